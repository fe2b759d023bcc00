"""Image transforms of torchvision on PIL images, and on the arrays with channels first that ToTensor makes of them.

Where mindspore.dataset.vision gives torchvision's pixels, it is used; random numbers are numpy's, which
mindspore.set_seed seeds. What would give other pixels on an array raises TypeError.
"""

import math

import mindspore
import mindspore.dataset.vision as vision
import numpy as np
from mindspore import Tensor

RESAMPLING = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
INTERPOLATIONS = {0: vision.Inter.NEAREST, 2: vision.Inter.LINEAR, 3: vision.Inter.BICUBIC}


def channels_first(image):
    """A tensor or an array of an image, as an array; None for a PIL image."""
    if isinstance(image, Tensor):
        return image.asnumpy()
    return image if isinstance(image, np.ndarray) else None


def on_tensor(function, image, *arguments):
    """A function of arrays applied to a tensor gives a tensor, as the functions of torchvision do."""
    made = function(image, *arguments)
    if not isinstance(image, Tensor):
        return made
    return tuple(Tensor(m) for m in made) if isinstance(made, tuple) else Tensor(made)


def pil_only(image, name):
    """Raises TypeError for what is not a PIL image."""
    if channels_first(image) is not None:
        raise TypeError(f"{name} gives torchvision's pixels for PIL images only: let it stand before ToTensor")
    return image


def image_size(image):
    """Height and width."""
    array = channels_first(image)
    return tuple(array.shape[-2:]) if array is not None else (image.height, image.width)


def size_pair(size):
    """Height and width from a number or a sequence of one or two."""
    if isinstance(size, int):
        return size, size
    return (size[0], size[0]) if len(size) == 1 else tuple(size)


def fill_for(image, fill):
    """A colour with a value for each channel, as PIL takes it."""
    bands = len(image.getbands())
    fill = 0 if fill is None else fill
    if isinstance(fill, (list, tuple)):
        fill = tuple(fill) * bands if len(fill) == 1 else tuple(fill)
    elif bands > 1:
        fill = (fill,) * bands
    if image.mode == "F":
        return fill
    return tuple(int(v) for v in fill) if isinstance(fill, tuple) else int(fill)


def uniform(low, high):
    """One random number between two bounds."""
    return float(np.random.uniform(low, high))


def happens(p):
    """True with the probability p."""
    return np.random.random() < p


# --- functions ---------------------------------------------------------------------------------------------------------


def crop_image(img, top, left, height, width):
    """torchvision.transforms.functional.crop: what lies outside of the image is 0."""
    array = channels_first(img)
    if array is None:
        return img.crop((left, top, left + width, top + height))
    rows, columns = array.shape[-2:]
    inside = array[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    beyond = [(max(-top, 0), max(top + height - rows, 0)), (max(-left, 0), max(left + width - columns, 0))]
    return np.pad(inside, [(0, 0)] * (array.ndim - 2) + beyond)


def center_crop(img, output_size):
    """torchvision.transforms.functional.center_crop."""
    height, width = size_pair(output_size)
    rows, columns = image_size(img)
    if width > columns or height > rows:
        x, y = max(width - columns, 0), max(height - rows, 0)
        img = pad_image(img, (x // 2, y // 2, (x + 1) // 2, (y + 1) // 2))
        rows, columns = image_size(img)
    return crop_image(img, round((rows - height) / 2.0), round((columns - width) / 2.0), height, width)


def pad_image(img, padding, fill=0, padding_mode="constant"):
    """torchvision.transforms.functional.pad: left, top, right, bottom."""
    sides = (padding,) if isinstance(padding, int) else tuple(padding)
    left, top, right, bottom = {1: sides * 4, 2: sides * 2, 4: sides}[len(sides)]
    array = channels_first(img)
    if array is None and padding_mode == "constant":
        from PIL import ImageOps

        return ImageOps.expand(img, (left, top, right, bottom), fill_for(img, fill))
    options = {"constant_values": fill} if padding_mode == "constant" else {}
    if array is not None:
        return np.pad(array, [(0, 0)] * (array.ndim - 2) + [(top, bottom), (left, right)], padding_mode, **options)
    from PIL import Image

    pixels = np.asarray(img)
    return Image.fromarray(np.pad(pixels, [(top, bottom), (left, right)] + [(0, 0)] * (pixels.ndim - 2), padding_mode))


def resize_image(img, size, interpolation="bilinear", max_size=None, antialias=True):
    """torchvision.transforms.functional.resize: one number is the length of the shorter side."""
    pil_only(img, "resize")
    method = RESAMPLING.get(interpolation, interpolation)
    if isinstance(size, int) or len(size) == 1:
        size = size if isinstance(size, int) else size[0]
        short, long = sorted((img.height, img.width))
        new_short, new_long = size, int(size * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
        size = (new_long, new_short) if img.width <= img.height else (new_short, new_long)
    if method in INTERPOLATIONS:
        return vision.Resize(tuple(size), INTERPOLATIONS[method])(img)
    return img.resize(tuple(size)[::-1], method)


def resized_crop(img, top, left, height, width, size, interpolation="bilinear", antialias=True):
    """torchvision.transforms.functional.resized_crop."""
    return resize_image(crop_image(img, top, left, height, width), size, interpolation)


def mirrored(img):
    """torchvision.transforms.functional.hflip: left and right change places."""
    array = channels_first(img)
    if array is not None:
        return np.ascontiguousarray(array[..., ::-1])
    from PIL import ImageOps

    return ImageOps.mirror(img)


def upside_down(img):
    """torchvision.transforms.functional.vflip: top and bottom change places."""
    array = channels_first(img)
    if array is not None:
        return np.ascontiguousarray(array[..., ::-1, :])
    from PIL import ImageOps

    return ImageOps.flip(img)


def rotate_image(img, angle, interpolation="nearest", expand=False, center=None, fill=None):
    """torchvision.transforms.functional.rotate: degrees against the clock."""
    method = RESAMPLING.get(interpolation, interpolation)
    return pil_only(img, "rotate").rotate(angle, method, expand, center, fillcolor=fill_for(img, fill))


def affine_image(img, angle, translate, scale, shear, interpolation="nearest", fill=None, center=None):
    """torchvision.transforms.functional.affine: turned, sheared, scaled and moved."""
    from PIL import Image

    width, height = pil_only(img, "affine").size
    shears = (shear, 0.0) if isinstance(shear, (int, float)) else tuple(shear) * (2 if len(shear) == 1 else 1)
    turn, sx, sy = (math.radians(v) for v in (angle, *shears))
    cx, cy = (width * 0.5, height * 0.5) if center is None else center
    a, c = math.cos(turn - sy) / math.cos(sy), math.sin(turn - sy) / math.cos(sy)
    b = -math.cos(turn - sy) * math.tan(sx) / math.cos(sy) - math.sin(turn)
    d = -math.sin(turn - sy) * math.tan(sx) / math.cos(sy) + math.cos(turn)
    # PIL wants the way back from the new pixel to the old one
    matrix = [v / scale for v in (d, -b, 0.0, -c, a, 0.0)]
    x, y = -cx - translate[0], -cy - translate[1]
    matrix[2] += matrix[0] * x + matrix[1] * y
    matrix[5] += matrix[3] * x + matrix[4] * y
    matrix[2] += cx
    matrix[5] += cy
    method = RESAMPLING.get(interpolation, interpolation)
    return img.transform(img.size, Image.Transform.AFFINE, matrix, method, fillcolor=fill_for(img, fill))


def enhanced(img, kind, factor):
    """An image whose Brightness, Contrast, Color or Sharpness is moved by a factor."""
    from PIL import ImageEnhance

    return getattr(ImageEnhance, kind)(pil_only(img, kind)).enhance(factor)


def adjust_hue(img, hue_factor):
    """torchvision.transforms.functional.adjust_hue: colours turned by a share of the colour wheel."""
    from PIL import Image

    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if pil_only(img, "adjust_hue").mode in ("L", "1", "I", "F"):
        return img
    hue, saturation, value = img.convert("HSV").split()
    turned = (np.array(hue, np.int32) + int(hue_factor * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert(img.mode)


def adjust_gamma(img, gamma, gain=1):
    """torchvision.transforms.functional.adjust_gamma."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    curve = [int((255 + 1 - 1e-3) * gain * pow(v / 255.0, gamma)) for v in range(256)]
    return pil_only(img, "adjust_gamma").convert("RGB").point(curve * 3).convert(img.mode)


def to_grayscale(img, num_output_channels=1):
    """torchvision.transforms.functional.to_grayscale."""
    return vision.Grayscale(num_output_channels)(pil_only(img, "to_grayscale"))


def grayscale_as_before(img):
    """A grey image with as many channels as before."""
    return to_grayscale(img, len(pil_only(img, "grayscale").getbands()))


def as_rgb(img):
    """torchvision.transforms.v2.RGB."""
    return pil_only(img, "RGB").convert("RGB")


def image_operation(img, name, *arguments):
    """A function of PIL.ImageOps: invert, posterize, solarize, equalize or autocontrast."""
    from PIL import ImageOps

    return getattr(ImageOps, name)(pil_only(img, name), *arguments)


def to_tensor(pic):
    """torchvision.transforms.functional.to_tensor: channels first, bytes become float32 in [0, 1]; as a numpy array."""
    mode = getattr(pic, "mode", "")
    array = np.asarray(pic, {"I": np.int32, "I;16": np.int16, "F": np.float32, "1": np.uint8}.get(mode))
    array = array * 255 if mode == "1" else array
    array = array[:, :, None] if array.ndim == 2 else array
    array = np.ascontiguousarray(array.transpose(2, 0, 1))
    return array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array


def pil_to_array(pic):
    """torchvision.transforms.functional.pil_to_tensor: channels first, values as they are."""
    array = np.array(pil_only(pic, "pil_to_tensor"))
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def image_array(pic):
    """torchvision.transforms.v2.ToImage: a PIL image or an array with channels last, with channels first."""
    array = np.array(pic)
    return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))


def to_image_dtype(image, dtype, scale=False):
    """torchvision.transforms.v2.ToDtype: the values as they are, or scaled to the range of the type."""
    array, wanted = channels_first(image), np.dtype(mindspore.dtype_to_nptype(dtype))
    if scale and array.dtype == np.uint8 and wanted.kind == "f":
        return array.astype(wanted) * wanted.type(1.0 / 255)  # torchvision.transforms.functional divides
    return convert_image_dtype(array, dtype) if scale else array.astype(wanted)


def convert_image_dtype(image, dtype=mindspore.float32):
    """torchvision.transforms.functional.convert_image_dtype between bytes and floats.

    Raises:
        TypeError: between other types.
    """
    array, wanted = channels_first(image), np.dtype(mindspore.dtype_to_nptype(dtype))
    if array.dtype == wanted:
        return array
    if array.dtype == np.uint8 and wanted.kind == "f":
        return array.astype(wanted) / wanted.type(255)
    if array.dtype.kind == "f" and wanted.kind == "f":
        return array.astype(wanted)
    if array.dtype.kind == "f" and wanted == np.uint8:
        return (array * array.dtype.type(255 + 1 - 1e-3)).astype(wanted)
    raise TypeError(f"images of {array.dtype} are not converted to {wanted}")


def to_pil_image(pic, mode=None):
    """torchvision.transforms.functional.to_pil_image of a tensor or of an array with channels first; bytes may have them last.

    Raises:
        ValueError: an array whose channels may be the first or the last axis.
    """
    from PIL import Image

    array = channels_first(pic)
    if array.ndim == 3:
        first, last = array.shape[0] in (1, 2, 3, 4), array.shape[2] in (1, 2, 3, 4)
        if first and last and not isinstance(pic, Tensor):
            raise ValueError(f"the channels of an image of shape {array.shape} may be its first or its last axis")
        array = array.transpose(1, 2, 0) if first else array
        array = array[:, :, 0] if array.shape[2] == 1 else array
    if array.dtype.kind == "f" and mode != "F":
        array = (array * array.dtype.type(255)).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array)) if mode is None else Image.fromarray(np.ascontiguousarray(array)).convert(mode)


# --- transforms --------------------------------------------------------------------------------------------------------


class Compose:
    """torchvision.transforms.Compose."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


class Lambda:
    """torchvision.transforms.Lambda: the function gets what torch's would, a tensor instead of an array."""

    def __init__(self, lambd):
        self.lambd = lambd

    def __call__(self, image):
        made = self.lambd(Tensor(image) if isinstance(image, np.ndarray) else image)
        return made.asnumpy() if isinstance(made, Tensor) else made


class ImageFunction:
    """A transform that is a function with fixed arguments."""

    def __init__(self, function, *arguments):
        self.function = function
        self.arguments = arguments

    def __call__(self, image):
        return self.function(image, *self.arguments)


class RandomImageFunction(ImageFunction):
    """A transform that happens with the probability p."""

    def __init__(self, p, function, *arguments):
        super().__init__(function, *arguments)
        self.p = p

    def __call__(self, image):
        return super().__call__(image) if happens(self.p) else image


class ToTensor:
    """torchvision.transforms.ToTensor: bytes become float32 in [0, 1], channels first; a numpy array, which loaders stack."""

    def __call__(self, image):
        return to_tensor(image)


class PILToTensor:
    """torchvision.transforms.PILToTensor: channels first, values as they are; a numpy array, which loaders stack."""

    def __call__(self, image):
        return pil_to_array(image)


class Normalize:
    """torchvision.transforms.Normalize of an image with channels first."""

    def __init__(self, mean, std, inplace=False):
        self.mean = np.atleast_1d(np.asarray(mean, np.float32))[:, None, None]
        self.std = np.atleast_1d(np.asarray(std, np.float32))[:, None, None]

    def __call__(self, image):
        array = channels_first(image)
        if array is None or array.dtype.kind != "f":
            raise TypeError(f"Normalize takes a float array, not {type(image).__name__} {getattr(array, 'dtype', '')}")
        return (array - self.mean.astype(array.dtype)) / self.std.astype(array.dtype)


class LinearTransformation:
    """torchvision.transforms.LinearTransformation: a flattened image minus its mean, times a matrix."""

    def __init__(self, transformation_matrix, mean_vector):
        self.matrix = np.asarray(channels_first(transformation_matrix))
        self.mean = np.asarray(channels_first(mean_vector))

    def __call__(self, image):
        array = channels_first(image)
        return ((array.reshape(1, -1) - self.mean) @ self.matrix).reshape(array.shape)


def five_crops(img, size):
    """torchvision.transforms.functional.five_crop: the four corners and the middle."""
    height, width = size_pair(size)
    rows, columns = image_size(img)
    if width > columns or height > rows:
        raise ValueError(f"Requested crop size {(height, width)} is bigger than input size {(rows, columns)}")
    corners = [(top, left) for top in (0, rows - height) for left in (0, columns - width)]
    return (*(crop_image(img, top, left, height, width) for top, left in corners), center_crop(img, (height, width)))


def ten_crops(img, size, vertical_flip=False):
    """torchvision.transforms.functional.ten_crop: five crops of the image, and of the flipped one."""
    return five_crops(img, size) + five_crops(upside_down(img) if vertical_flip else mirrored(img), size)


class RandomCrop:
    """torchvision.transforms.RandomCrop."""

    def __init__(self, size, padding=None, pad_if_needed=False, fill=0, padding_mode="constant"):
        self.size = size_pair(size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = padding_mode

    def __call__(self, image):
        height, width = self.size
        if self.padding is not None:
            image = pad_image(image, self.padding, self.fill, self.padding_mode)
        if self.pad_if_needed and image_size(image)[1] < width:
            image = pad_image(image, (width - image_size(image)[1], 0), self.fill, self.padding_mode)
        if self.pad_if_needed and image_size(image)[0] < height:
            image = pad_image(image, (0, height - image_size(image)[0]), self.fill, self.padding_mode)
        rows, columns = image_size(image)
        if rows < height or columns < width:
            raise ValueError(f"Required crop size {self.size} is larger than input image size {(rows, columns)}")
        top, left = np.random.randint(rows - height + 1), np.random.randint(columns - width + 1)
        return crop_image(image, int(top), int(left), height, width)


def random_box(rows, columns, scale, ratio, largest, sides):
    """Top, left, height and width of a random part with a share of the area and a ratio of its sides; None after ten misses."""
    for _ in range(10):
        area = rows * columns * uniform(*scale)
        height, width = sides(area, math.exp(uniform(math.log(ratio[0]), math.log(ratio[1]))))
        if 0 < height <= largest[0] and 0 < width <= largest[1]:
            return int(np.random.randint(rows - height + 1)), int(np.random.randint(columns - width + 1)), height, width
    return None


def upright(area, ratio):
    """Height and width of a part with a ratio of height to width."""
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))


def lying(area, ratio):
    """Height and width of a part with a ratio of width to height."""
    return round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))


class RandomResizedCrop:
    """torchvision.transforms.RandomResizedCrop: of PIL images."""

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), interpolation="bilinear", antialias=True):
        self.size = size_pair(size)
        self.scale = scale
        self.ratio = ratio
        self.interpolation = interpolation

    def box(self, rows, columns):
        found = random_box(rows, columns, self.scale, self.ratio, (rows, columns), lying)
        if found is not None:
            return found
        height, width = rows, columns
        if columns / rows < min(self.ratio):
            height = round(columns / min(self.ratio))
        elif columns / rows > max(self.ratio):
            width = round(rows * max(self.ratio))
        return (rows - height) // 2, (columns - width) // 2, height, width

    def __call__(self, image):
        return resized_crop(image, *self.box(*image_size(image)), self.size, self.interpolation)


class RandomRotation:
    """torchvision.transforms.RandomRotation: of PIL images."""

    def __init__(self, degrees, interpolation="nearest", expand=False, center=None, fill=0):
        self.degrees = around_zero(degrees)
        self.rest = (interpolation, expand, center, fill)

    def __call__(self, image):
        return rotate_image(image, uniform(*self.degrees), *self.rest)


def around_zero(value):
    """A range around 0 from one number; a range as it is."""
    return (-value, value) if isinstance(value, (int, float)) else tuple(value)


class RandomAffine:
    """torchvision.transforms.RandomAffine: of PIL images."""

    def __init__(self, degrees, translate=None, scale=None, shear=None, interpolation="nearest", fill=0, center=None):
        self.degrees = around_zero(degrees)
        self.translate = (0.0, 0.0) if translate is None else translate
        self.scale = (1.0, 1.0) if scale is None else scale
        shears = (0.0, 0.0) if shear is None else around_zero(shear)
        self.shear = shears if len(shears) == 4 else (*shears, 0.0, 0.0)
        self.rest = (interpolation, fill, center)

    def __call__(self, image):
        rows, columns = image_size(image)
        moved = tuple(round(uniform(-share * length, share * length)) for share, length in zip(self.translate, (columns, rows)))
        shear = (uniform(*self.shear[:2]), uniform(*self.shear[2:]))
        return affine_image(image, uniform(*self.degrees), moved, uniform(*self.scale), shear, *self.rest)


class ColorJitter:
    """torchvision.transforms.ColorJitter: of PIL images; the four changes come in random order."""

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0):
        ranges = [jitter_range(v) for v in (brightness, contrast, saturation)]
        changes = list(zip(("Brightness", "Contrast", "Color"), ranges))
        self.changes = [(name, r) for name, r in changes if r is not None and tuple(r) != (1, 1)]
        hue = around_zero(hue or 0)
        self.changes += [("hue", hue)] if hue != (0, 0) else []

    def __call__(self, image):
        for index in np.random.permutation(len(self.changes)):
            name, bounds = self.changes[index]
            factor = uniform(*bounds)
            image = adjust_hue(image, factor) if name == "hue" else enhanced(image, name, factor)
        return image


def jitter_range(value):
    """The range of a factor around 1."""
    return (max(1 - value, 0), 1 + value) if isinstance(value, (int, float)) else value


class RandomErasing:
    """torchvision.transforms.RandomErasing: of images with channels first."""

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, inplace=False):
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value

    def __call__(self, image):
        array = channels_first(image)
        if array is None:
            raise TypeError("RandomErasing takes an array with channels first: let it stand after ToTensor")
        if not happens(self.p):
            return array
        rows, columns = array.shape[-2:]
        # a part as high or as wide as the image is not erased
        box = random_box(rows, columns, self.scale, self.ratio, (rows - 1, columns - 1), upright)
        if box is None:
            return array
        top, left, height, width = box
        if isinstance(self.value, str):
            value = np.random.standard_normal((array.shape[-3], height, width))
        else:
            value = np.atleast_1d(np.asarray(self.value, np.float64))[:, None, None]
        array = array.copy()
        array[..., top : top + height, left : left + width] = value
        return array


class RandomApply:
    """torchvision.transforms.RandomApply: a list of transforms with the probability p."""

    def __init__(self, transforms, p=0.5):
        self.transforms = transforms
        self.p = p

    def __call__(self, image):
        return Compose(self.transforms)(image) if happens(self.p) else image


class RandomChoice:
    """torchvision.transforms.RandomChoice: one of several transforms, with weights p."""

    def __init__(self, transforms, p=None):
        self.transforms = transforms
        self.p = None if p is None else np.asarray(p) / np.sum(p)

    def __call__(self, image):
        return self.transforms[np.random.choice(len(self.transforms), p=self.p)](image)


class RandomOrder:
    """torchvision.transforms.RandomOrder: several transforms in random order."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for index in np.random.permutation(len(self.transforms)):
            image = self.transforms[index](image)
        return image
