"""Images: data sets and transforms of torchvision that read the same files and give the same pixels, as numpy arrays."""

import gzip
import pathlib
import pickle
import struct

import numpy as np


class Compose:
    """torchvision.transforms.Compose."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


class ToTensor:
    """torchvision.transforms.ToTensor: bytes become float32 in [0, 1], channels first; a numpy array, which loaders stack."""

    def __call__(self, image):
        array = np.asarray(image)
        array = array[:, :, None] if array.ndim == 2 else array
        array = np.ascontiguousarray(array.transpose(2, 0, 1))
        return array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array


class Normalize:
    """torchvision.transforms.Normalize of an image with channels first."""

    def __init__(self, mean, std, inplace=False):
        self.mean = np.atleast_1d(np.asarray(mean, np.float32))[:, None, None]
        self.std = np.atleast_1d(np.asarray(std, np.float32))[:, None, None]

    def __call__(self, image):
        return (image - self.mean) / self.std


def pil_transform(name, *args):
    """A transform of mindspore.dataset.vision on PIL images, whose pixels are those of torchvision."""
    import mindspore.dataset.vision as vision

    return getattr(vision, name)(*args)


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

        image, target = Image.fromarray(self.data[index]), int(self.targets[index])
        image = image if self.transform is None else self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)


def IdxImages(name, root, train, transform, target_transform):
    """torchvision.datasets.MNIST and those of its format, from the files in root/name/raw."""
    kind = "train" if train else "t10k"
    folder = pathlib.Path(root) / name / "raw"
    images = read_idx(folder / f"{kind}-images-idx3-ubyte")
    labels = read_idx(folder / f"{kind}-labels-idx1-ubyte")
    return ImageSet(images, labels.astype(np.int64), transform, target_transform)


def read_idx(path):
    """An array from an idx file, packed with gzip or not."""
    packed = path.with_name(path.name + ".gz")
    data = path.read_bytes() if path.is_file() else gzip.decompress(packed.read_bytes())
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def CifarImages(name, root, train, transform, target_transform):
    """torchvision.datasets.CIFAR10 and CIFAR100, from the files of the Python version under root."""
    ten = name == "CIFAR10"
    folder = pathlib.Path(root) / ("cifar-10-batches-py" if ten else "cifar-100-python")
    names = ([f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]) if ten else ["train" if train else "test"]
    batches = [pickle.loads((folder / n).read_bytes(), encoding="latin1") for n in names]
    images = np.concatenate([b["data"] for b in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = [label for b in batches for label in b["labels" if ten else "fine_labels"]]
    return ImageSet(np.ascontiguousarray(images), labels, transform, target_transform)


class ImageFolder:
    """torchvision.datasets.ImageFolder: one folder of images for each class."""

    ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

    def __init__(self, root, transform=None, target_transform=None):
        self.classes = sorted(p.name for p in pathlib.Path(root).iterdir() if p.is_dir())
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = [
            (str(path), self.class_to_idx[name]) for name in self.classes
            for path in sorted((pathlib.Path(root) / name).rglob("*")) if path.suffix.lower() in self.ENDINGS
        ]  # fmt: skip
        if not self.samples:
            raise FileNotFoundError(f"no images in {root}")
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
