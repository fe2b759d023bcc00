"""Loaders, samplers and image sets of the port beside torch's, over every option of DataLoader."""

from __future__ import annotations

import gzip
import itertools
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
import torch
from mindspore import Tensor
from PIL import Image

from mappings.emitted import data, transforms, vision
from porter.convert import convert_source
from porter.parity.ported import load_source


class Squares:
    """Samples of several kinds, as a data set of either side."""

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> tuple[np.ndarray, int, dict[str, Any]]:
        return np.full((2, 3), index, np.float32), index * index, {"name": f"s{index}", "half": index / 2}


class Stream:
    """Samples without an index."""

    def __init__(self, base: type, count: int) -> None:
        self.base, self.count = base, count

    def made(self) -> Any:
        count = self.count

        class Counted(self.base):  # type: ignore[name-defined, misc]
            def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
                return ((np.full(2, i, np.float32), -i) for i in range(count))

            def __len__(self) -> int:
                return count

        return Counted()


def same(ours: Any, theirs: Any) -> bool:
    """Equal values, dtypes and nesting; a tensor on one side is a tensor on the other."""
    if isinstance(theirs, torch.Tensor):
        return isinstance(ours, Tensor) and ours.asnumpy().dtype == theirs.numpy().dtype and np.array_equal(ours.asnumpy(), theirs.numpy())
    if isinstance(theirs, dict):
        return theirs.keys() == ours.keys() and all(same(ours[k], theirs[k]) for k in theirs)
    if isinstance(theirs, (list, tuple)):
        return type(ours) is type(theirs) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


OPTIONS: list[dict[str, Any]] = [
    {}, {"batch_size": 4}, {"batch_size": 4, "drop_last": True}, {"batch_size": None}, {"batch_size": 20}, {"batch_size": 20, "drop_last": True},
    {"sampler": [5, 0, 2, 9], "batch_size": 3}, {"batch_sampler": [[1, 2, 6], [0], [3, 3]]}, {"sampler": [3, 1], "batch_size": None},
    {"batch_size": 3, "collate_fn": lambda batch: [s[1] for s in batch]}, {"batch_size": None, "collate_fn": lambda sample: sample[1]},
    {"batch_size": 4, "pin_memory": False, "timeout": 0, "prefetch_factor": None, "persistent_workers": False},
]  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", range(len(OPTIONS)))
def test_loader_gives_torchs_batches(number: int, workers: int) -> None:
    options = OPTIONS[number]
    expected = torch.utils.data.DataLoader(Squares(), **options)
    actual = data.DataLoader(Squares(), num_workers=workers, **options)
    assert len(actual) == len(expected)
    for _ in range(2):  # a second epoch starts anew
        assert same(list(actual), list(expected)), options


@pytest.mark.parametrize("options", [{"batch_size": 3}, {"batch_size": 3, "drop_last": True}, {"batch_size": None}, {}], ids=str)
def test_a_stream_gives_torchs_batches(options: dict[str, Any]) -> None:
    expected = torch.utils.data.DataLoader(Stream(torch.utils.data.IterableDataset, 7).made(), **options)
    actual = data.DataLoader(Stream(data.IterableDataset, 7).made(), **options)
    assert len(actual) == len(expected) and same(list(actual), list(expected))


def test_a_shuffled_loader_gives_every_sample_once_and_another_order_each_time() -> None:
    mindspore.set_seed(4)
    loader = data.DataLoader(Squares(), batch_size=4, shuffle=True)
    orders = [[int(v) for _, y, _ in loader for v in y.asnumpy()] for _ in range(4)]
    assert all(sorted(o) == [i * i for i in range(11)] for o in orders)
    assert len({tuple(o) for o in orders}) == 4
    mindspore.set_seed(4)
    assert [int(v) for _, y, _ in loader for v in y.asnumpy()] == orders[0]
    # where each sample comes first in one order of eleven
    firsts = [next(iter(data.RandomSampler(Squares()))) for _ in range(1100)]
    counts = np.bincount(firsts, minlength=11)
    assert ((counts - 100) ** 2 / 100).sum() <= 35.6  # chi-squared of 10 degrees at 1e-4


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_may_never_end(workers: int) -> None:
    class Endless:
        def __iter__(self) -> Iterator[int]:
            return itertools.cycle([3, 1, 4])

    loader = data.DataLoader(Squares(), batch_size=2, sampler=Endless(), num_workers=workers)
    seen = [y.asnumpy().tolist() for _, y, _ in itertools.islice(loader, 4)]
    assert seen == [[9, 1], [16, 9], [1, 16], [9, 1]]


@pytest.mark.parametrize("workers", [0, 2])
def test_what_fails_in_a_sample_is_raised(workers: int) -> None:
    class Broken(Squares):
        def __getitem__(self, index: int) -> Any:
            if index == 5:
                raise ValueError("sample five")
            return super().__getitem__(index)

    with pytest.raises((ValueError, RuntimeError), match="sample five"):
        list(data.DataLoader(Broken(), batch_size=2, num_workers=workers))


def test_sets_made_of_sets_give_torchs_samples() -> None:
    x, y = np.arange(12, dtype=np.float32).reshape(6, 2), np.arange(6)
    theirs = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    ours = data.TensorDataset(Tensor(x), Tensor(y))
    t, m = torch.utils.data, data
    pairs = [
        (theirs, ours), (t.Subset(theirs, [4, 0, 4]), m.Subset(ours, [4, 0, 4])),
        (t.ConcatDataset([theirs, t.Subset(theirs, [1])]), m.ConcatDataset([ours, m.Subset(ours, [1])])),
        (theirs + theirs, ours + ours),
    ]  # fmt: skip
    for expected, actual in pairs:
        assert len(actual) == len(expected)
        assert same([actual[i] for i in range(len(actual))], [expected[i] for i in range(len(expected))])
        assert same(actual[len(actual) - 1], expected[len(expected) - 1])
    assert same(pairs[2][1][-1], pairs[2][0][-1])
    for lengths in ([4, 2], [0.5, 0.3, 0.2], [0.8, 0.2]):
        parts = data.random_split(ours, lengths)
        assert [len(p) for p in parts] == [len(p) for p in t.random_split(theirs, lengths)]
        assert sorted(int(p[i][1]) for p in parts for i in range(len(p))) == list(range(6))
    with pytest.raises(ValueError, match="Sum of input lengths"):
        data.random_split(ours, [4, 1])


@pytest.mark.parametrize("shuffle, drop_last", [(False, False), (False, True), (True, False), (True, True)])
def test_processes_share_the_data_as_torch_does(shuffle: bool, drop_last: bool) -> None:
    for count, replicas in ((11, 3), (2, 5), (12, 4)):
        ours = [data.DistributedSampler(range(count), replicas, r, shuffle, 3, drop_last) for r in range(replicas)]
        theirs = [torch.utils.data.DistributedSampler(range(count), replicas, r, shuffle, 3, drop_last) for r in range(replicas)]
        assert [len(s) for s in ours] == [len(s) for s in theirs]
        parts = [list(s) for s in ours]
        if shuffle:
            drawn = [i for p in parts for i in p]
            assert len(set(drawn)) == len({i for s in theirs for i in s})
            for sampler in ours:
                sampler.set_epoch(1)
            assert count < 5 or [list(s) for s in ours] != parts
        else:
            assert parts == [list(s) for s in theirs]


# --- image sets ----------------------------------------------------------------------------------------------------------


def made_images(count: int, height: int, width: int, channels: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def test_image_folders_are_read_in_torchvisions_order(tmp_path: Path) -> None:
    images = made_images(5, 6, 7, 3)
    # files of a folder come before those of the folders in it, classes in alphabetical order
    places = ["cat/b.png", "cat/z.PNG", "cat/a/x.png", "dog/2.bmp", "dog/10.bmp"]
    for place, pixels in zip(places, images):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / place)
    (tmp_path / "dog" / "note.txt").write_text("no image")
    found = vision.ImageFolder(tmp_path, transform=transforms.ToTensor(), target_transform=lambda t: t + 10)
    assert found.classes == ["cat", "dog"] and found.class_to_idx == {"cat": 0, "dog": 1}
    assert [Path(p).relative_to(tmp_path).as_posix() for p, _ in found.samples] == ["cat/b.png", "cat/z.PNG", "cat/a/x.png", "dog/10.bmp", "dog/2.bmp"]
    assert found.targets == [0, 0, 0, 1, 1] and found.imgs == found.samples
    for index, source in enumerate([0, 1, 2, 4, 3]):
        pixels, target = found[index]
        assert target == 10 + found.targets[index]
        assert np.array_equal(pixels, images[source].transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    batches = list(data.DataLoader(found, batch_size=2))
    assert [b[0].shape for b in batches] == [(2, 3, 6, 7), (2, 3, 6, 7), (1, 3, 6, 7)]
    (tmp_path / "eel").mkdir()
    with pytest.raises(FileNotFoundError, match="eel"):
        vision.ImageFolder(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_digits_are_read_from_torchvisions_files(name: str, packed: bool, tmp_path: Path) -> None:
    folder = tmp_path / name / "raw"
    folder.mkdir(parents=True)
    for kind, count in (("train", 4), ("t10k", 3)):
        images, labels = made_images(count, 28, 28, 1)[..., 0], np.arange(count, dtype=np.uint8) + 5
        files = {"images-idx3": (3, images), "labels-idx1": (1, labels)}
        for file, (rank, values) in files.items():
            content = bytes([0, 0, 8, rank]) + struct.pack(f">{rank}I", *values.shape) + values.tobytes()
            path = folder / f"{kind}-{file}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content) if packed else content)
    for train, count in ((True, 4), (False, 3)):
        digits = getattr(vision, name)(tmp_path, train=train, download=True)
        assert len(digits) == count and digits.data.shape == (count, 28, 28) and digits.targets.asnumpy().tolist() == list(range(5, 5 + count))
        assert digits.train_data is digits.test_data is digits.data and digits.train_labels is digits.test_labels is digits.targets
        image, target = digits[2]
        assert image.mode == "L" and target == 7 and isinstance(target, int)
        assert np.array_equal(np.asarray(image), made_images(count, 28, 28, 1)[2, ..., 0])


@pytest.mark.parametrize("name, key, classes", [("CIFAR10", "labels", 10), ("CIFAR100", "fine_labels", 100)])
def test_small_pictures_are_read_from_torchvisions_files(name: str, key: str, classes: int, tmp_path: Path) -> None:
    batches = [f"data_batch_{i}" for i in range(1, 6)] if classes == 10 else ["train"]
    folder = tmp_path / ("cifar-10-batches-py" if classes == 10 else "cifar-100-python")
    folder.mkdir()
    pixels, labels = made_images(2 * len(batches), 32, 32, 3), [i % classes for i in range(2 * len(batches))]
    for i, batch in enumerate(batches):
        rows = pixels[2 * i : 2 * i + 2].transpose(0, 3, 1, 2).reshape(2, -1)
        (folder / batch).write_bytes(pickle.dumps({"data": rows, key: labels[2 * i : 2 * i + 2]}))
    pictures = getattr(vision, name)(str(tmp_path), transform=transforms.PILToTensor())
    assert len(pictures) == len(labels)
    for index in range(len(labels)):
        image, target = pictures[index]
        assert target == labels[index] and np.array_equal(image, pixels[index].transpose(2, 0, 1))


NETWORKS = """
import torch
import torchvision
import torchvision.models as models
from torchvision import models as others

names = sorted(name for name in models.__dict__ if name.islower() and not name.startswith("__") and callable(models.__dict__[name]))


def build(arch):
    return models.__dict__[arch](num_classes=10), getattr(others, arch)(), torchvision.models.get_model(arch, num_classes=3)
"""


def test_networks_are_built_by_name(tmp_path: Path) -> None:
    converted = convert_source(NETWORKS)
    assert not converted.diagnostics
    ported = load_source(tmp_path, "named_networks", converted.text, converted.extras)
    assert {"resnet18", "vgg11_bn", "alexnet"} < set(ported.names)
    assert [net.fc.weight.shape for net in ported.build("resnet18")] == [(10, 512), (1000, 512), (3, 512)]
    with pytest.raises(ValueError, match="porter weights"):
        ported.ms_extras.vision_networks()["resnet18"](pretrained=True)


BATCHES = """
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Pairs(Dataset):
    def __init__(self, files, steps):
        self.files, self.transform = files, transforms.Compose(steps)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        image = self.transform(self.files[index])
        return {"a": image, "name": "x"} if NAMED else {"a": image, "b": image}


for batch in DataLoader(Pairs([], []), batch_size=2):
    print(batch["a"].repeat(1, 2))
"""


def test_what_collating_makes_of_unknown_samples_is_a_tensor() -> None:
    source = BATCHES.replace(' if NAMED else {"a": image, "b": image}', "")
    converted = convert_source(source.replace('"name": "x"', '"b": image'))
    assert not converted.diagnostics and 'batch["a"].tile((1, 2))' in converted.text
    own = convert_source(source.replace("batch_size=2", "collate_fn=lambda samples: samples"))
    assert "tile" not in own.text and {d.code for d in own.diagnostics} == {"MSP301"}
