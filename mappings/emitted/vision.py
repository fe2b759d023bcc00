"""Images: data sets and transforms of torchvision that read the same files and give the same pixels, as numpy arrays."""

import gzip
import os
import pathlib
import pickle
import struct

import numpy as np
from mindspore import Tensor


class ImageSet:
    """Images in memory with their labels, as torchvision's data sets give them."""

    def __init__(self, data, targets, transform, target_transform):
        self.data = data
        self.targets = targets
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        from PIL import Image

        images, targets = as_array(self.data), as_array(self.targets)
        image, target = Image.fromarray(images[index]), int(targets[index])
        image = image if self.transform is None else self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)


class DigitSet(ImageSet):
    """An ImageSet whose images and labels also have the names that they had in torchvision's MNIST at first."""

    @property
    def train_data(self):
        return self.data

    @property
    def test_data(self):
        return self.data

    @property
    def train_labels(self):
        return self.targets

    @property
    def test_labels(self):
        return self.targets


def as_array(values):
    """An array, whose elements cost less to read than those of a tensor."""
    return values.asnumpy() if isinstance(values, Tensor) else np.asarray(values)


class FakeData:
    """torchvision.datasets.FakeData: each image is noise from a generator that its index seeds."""

    def __init__(self, size=1000, image_size=(3, 224, 224), num_classes=10, transform=None, target_transform=None, random_offset=0):
        self.size = size
        self.image_size = tuple(image_size)
        self.num_classes = num_classes
        self.transform = transform
        self.target_transform = target_transform
        self.random_offset = random_offset

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        from PIL import Image

        if index >= self.size:
            raise IndexError(f"{type(self).__name__} index out of range")
        numbers = np.random.default_rng(index + self.random_offset)
        pixels = (numbers.standard_normal(self.image_size) * 255).astype(np.int64).astype(np.uint8).transpose(1, 2, 0)
        image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        target = int(numbers.integers(self.num_classes))
        image = image if self.transform is None else self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)


def make_grid(tensor, nrow=8, padding=2, normalize=False, value_range=None, scale_each=False, pad_value=0.0):
    """torchvision.utils.make_grid: a batch of images beside and below each other, as one image with channels first."""
    if isinstance(tensor, (list, tuple)):
        images = np.stack([as_array(t) for t in tensor])
    else:
        images = as_array(tensor)
    images = images[None] if images.ndim == 2 else images
    images = images[None] if images.ndim == 3 else images
    images = np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images
    if normalize:
        images = np.stack([to_unit(i, value_range) for i in images]) if scale_each else to_unit(images, value_range)
    count, channels, height, width = images.shape
    if count == 1:
        return Tensor(images[0])
    columns = min(nrow, count)
    rows = -(-count // columns)
    height, width = height + padding, width + padding
    grid = np.full((channels, height * rows + padding, width * columns + padding), pad_value, images.dtype)
    for index, image in enumerate(images):
        top, left = (index // columns) * height + padding, (index % columns) * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = image
    return Tensor(grid)


def to_unit(images, value_range):
    """Pixels moved from a range, or from their own, to [0, 1]."""
    low, high = (images.min(), images.max()) if value_range is None else value_range
    return ((images.clip(low, high) - low) / max(high - low, 1e-5)).astype(images.dtype)


def save_image(tensor, fp, format=None, **kwargs):
    """torchvision.utils.save_image: writes a batch of images in [0, 1] as one grid."""
    from PIL import Image

    grid = make_grid(tensor, **kwargs).asnumpy()
    pixels = (grid * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels.transpose(1, 2, 0)).save(fp, format=format)


def idx_images(name, root, train, transform, target_transform):
    """Images and labels from the idx files in root/name/raw."""
    kind = "train" if train else "t10k"
    folder = pathlib.Path(root) / name / "raw"
    images = read_idx(folder / f"{kind}-images-idx3-ubyte")
    labels = read_idx(folder / f"{kind}-labels-idx1-ubyte")
    return DigitSet(Tensor(images), Tensor(labels.astype(np.int64)), transform, target_transform)


def MNIST(root, train=True, transform=None, target_transform=None, download=False):
    """torchvision.datasets.MNIST, from the files in root/MNIST/raw."""
    return idx_images("MNIST", root, train, transform, target_transform)


def FashionMNIST(root, train=True, transform=None, target_transform=None, download=False):
    """torchvision.datasets.FashionMNIST, from the files in root/FashionMNIST/raw."""
    return idx_images("FashionMNIST", root, train, transform, target_transform)


def KMNIST(root, train=True, transform=None, target_transform=None, download=False):
    """torchvision.datasets.KMNIST, from the files in root/KMNIST/raw."""
    return idx_images("KMNIST", root, train, transform, target_transform)


def read_idx(path):
    """An array from an idx file, packed with gzip or not."""
    packed = path.with_name(path.name + ".gz")
    data = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def CIFAR10(root, train=True, transform=None, target_transform=None, download=False):
    """torchvision.datasets.CIFAR10, from the files of the Python version in root/cifar-10-batches-py."""
    names = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
    files = [pathlib.Path(root) / "cifar-10-batches-py" / name for name in names]
    return cifar_images(files, "labels", transform, target_transform)


def CIFAR100(root, train=True, transform=None, target_transform=None, download=False):
    """torchvision.datasets.CIFAR100, from the files of the Python version in root/cifar-100-python."""
    file = pathlib.Path(root) / "cifar-100-python" / ("train" if train else "test")
    return cifar_images([file], "fine_labels", transform, target_transform)


def cifar_images(files, labels, transform, target_transform):
    """Images and labels from pickled batches."""
    batches = [pickle.loads(file.read_bytes(), encoding="latin1") for file in files]
    images = np.concatenate([b["data"] for b in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    targets = [label for b in batches for label in b[labels]]
    return ImageSet(np.ascontiguousarray(images), targets, transform, target_transform)


class ImageFolder:
    """torchvision.datasets.ImageFolder: one folder of images for each class."""

    ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

    def __init__(self, root, transform=None, target_transform=None):
        self.root = root
        self.classes = sorted(p.name for p in pathlib.Path(root).iterdir() if p.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"Couldn't find any class folder in {root}.")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = []
        for name, target in self.class_to_idx.items():
            # torchvision's order: a folder's own files come before those of the folders in it
            walked = sorted(os.walk(os.path.join(root, name), followlinks=True))
            found = [os.path.join(folder, file) for folder, _, files in walked for file in sorted(files)]
            images = [(path, target) for path in found if path.lower().endswith(self.ENDINGS)]
            if not images:
                raise FileNotFoundError(f"Found no valid file for the class {name}.")
            self.samples += images
        self.imgs = self.samples
        self.targets = [target for _, target in self.samples]
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        from PIL import Image

        path, target = self.samples[index]
        with Image.open(path) as file:
            image = file.convert("RGB")
        image = image if self.transform is None else self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)
