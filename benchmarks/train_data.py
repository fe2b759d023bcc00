"""Made data for the training scripts of train_corpus.py, in the formats that their loaders read; the same in each run."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Maker = Callable[[Path], None]


def numbers(*seed: int) -> np.random.Generator:
    return np.random.default_rng([2024, *seed])


def classes_of_images(count: int, classes: int, shape: tuple[int, ...], seed: int) -> tuple[Array, Array]:
    """uint8 images that can be learned, a coarse pattern of their class under noise, and their labels in turn."""
    height, width = shape[:2]
    patterns = numbers(0).integers(0, 2, (classes, 7, 7, *shape[2:])) * 160
    rows, columns = np.arange(height) * 7 // height, np.arange(width) * 7 // width
    labels = np.arange(count) % classes
    clean = patterns[labels][:, rows][:, :, columns]
    return (clean + numbers(1, seed).integers(0, 95, (count, *shape))).astype(np.uint8), labels


def mnist(folder: str, train: int = 640, test: int = 256) -> Maker:
    """MNIST's four IDX files below `folder`."""

    def make(root: Path) -> None:
        raw = root / folder / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for seed, (name, count) in enumerate([("train", train), ("t10k", test)]):
            images, labels = classes_of_images(count, 10, (28, 28), seed)
            head = np.array([0x803, count, 28, 28], ">u4").tobytes()
            (raw / f"{name}-images-idx3-ubyte").write_bytes(head + images.tobytes())
            head = np.array([0x801, count], ">u4").tobytes()
            (raw / f"{name}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())

    return make


def cifar10(folder: str, train: int = 40, test: int = 20) -> Maker:
    """CIFAR-10's pickled batches below `folder`."""

    def make(root: Path) -> None:
        base = root / folder / "cifar-10-batches-py"
        base.mkdir(parents=True)
        batches = [(f"data_batch_{n}", train // 5, n) for n in range(1, 6)]
        for name, count, seed in [*batches, ("test_batch", test, 6)]:
            images, labels = classes_of_images(count, 10, (32, 32, 3), seed)
            rows = images.transpose(0, 3, 1, 2).reshape(count, -1)
            (base / name).write_bytes(pickle.dumps({"data": rows, "labels": labels.tolist()}))
        words = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
        (base / "batches.meta").write_bytes(pickle.dumps({"label_names": words}))

    return make


def smooth(count: int, size: int, seed: int) -> Array:
    """uint8 pictures of soft spots on grey under a little noise: nothing that one look tells from a generator's first ones."""
    draw = numbers(20, seed)
    coarse = draw.normal(0, 1, (count, size // 8 + 2, size // 8 + 2, 3))
    places = np.arange(size) / 8
    low, part = places.astype(int), places % 1
    rows = coarse[:, low] * (1 - part)[:, None, None] + coarse[:, low + 1] * part[:, None, None]
    fine = rows[:, :, low] * (1 - part)[:, None] + rows[:, :, low + 1] * part[:, None]
    return np.clip(128 + 30 * fine + draw.normal(0, 4, fine.shape), 0, 255).astype(np.uint8)


def images(folders: Iterable[str], each: int, size: int) -> Maker:
    """`each` PNG files in each of several folders."""

    def make(root: Path) -> None:
        from PIL import Image

        for number, folder in enumerate(folders):
            (root / folder).mkdir(parents=True)
            for index, picture in enumerate(smooth(each, size, number)):
                Image.fromarray(picture).save(root / folder / f"{index:04d}.png")

    return make


def sentences(words: int, vocabulary: int, seed: int) -> list[str]:
    """Lines of made words, each of which is followed by few others."""
    draw = numbers(seed)
    followers = numbers(7).integers(0, vocabulary, (vocabulary, 4))
    word, lines, line = 0, [], []
    for _ in range(words):
        word = int(followers[word, draw.integers(4)])
        line.append(f"w{word}")
        if len(line) >= 8 + word % 9:
            lines.append(" ".join(line))
            line = []
    return [*lines, " ".join(line)]


def wikitext(folder: str, words: int = 8000, vocabulary: int = 300) -> Maker:
    def make(root: Path) -> None:
        (root / folder).mkdir(parents=True)
        for seed, (name, part) in enumerate([("train", 1.0), ("valid", 0.2), ("test", 0.2)]):
            text = "\n".join(f" {line} " for line in sentences(int(words * part), vocabulary, seed))
            (root / folder / f"{name}.txt").write_text(text + "\n")

    return make


def characters(folder: str) -> Maker:
    """Token files of nanoGPT with the vocabulary beside them."""

    def make(root: Path) -> None:
        (root / folder).mkdir(parents=True)
        text = "\n".join(sentences(8000, 80, 3))
        signs = sorted(set(text))
        codes = {sign: number for number, sign in enumerate(signs)}
        tokens = np.array([codes[sign] for sign in text], np.uint16)
        cut = len(tokens) * 9 // 10
        tokens[:cut].tofile(root / folder / "train.bin")
        tokens[cut:].tofile(root / folder / "val.bin")
        meta = {"vocab_size": len(signs), "itos": dict(enumerate(signs)), "stoi": codes}
        (root / folder / "meta.pkl").write_bytes(pickle.dumps(meta))

    return make


def text_file(name: str) -> Maker:
    def make(root: Path) -> None:
        (root / name).write_text("\n".join(sentences(1500, 60, 4)))

    return make


def sine_waves(rows: int = 13, length: int = 40) -> Maker:
    """The file that time_sequence_prediction/generate_sine_wave.py writes, smaller."""

    def make(root: Path) -> None:
        import torch

        shift = numbers(5).integers(-80, 80, (rows, 1))
        torch.save(np.sin((np.arange(length) + shift) / 20.0), root / "traindata.pt")

    return make


def cora(archive: bool, nodes: int = 1640, features: int = 60) -> Maker:
    """A citation graph in Cora's two files, or in the archive that holds them."""

    def make(root: Path) -> None:
        draw = numbers(6)
        labels = np.arange(nodes) % 7
        own = numbers(8).random((7, features)) * 0.2
        bits = (draw.random((nodes, features)) < own[labels]).astype(int)
        bits[:, 0] = 1
        content = "".join(f"{1000 + n} {' '.join(map(str, bits[n]))} topic{labels[n]}\n" for n in range(nodes))
        # each edge once: a repeated pair would be summed
        targets = (np.arange(nodes)[:, None] + 7 * draw.integers(1, nodes // 7, (nodes, 2))) % nodes
        pairs = sorted({(n, int(t)) for n in range(nodes) for t in targets[n]})
        cites = "".join(f"{1000 + one} {1000 + other}\n" for one, other in pairs)
        files = {"cora/cora.content": content, "cora/cora.cites": cites}
        if not archive:
            (root / "cora").mkdir()
            for name, text in files.items():
                (root / name).write_text(text)
            return
        with tarfile.open(root / "cora.tgz", "w:gz") as packed:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                packed.addfile(entry, io.BytesIO(text.encode()))

    return make


def translations(folder: str) -> Maker:
    """Pairs of sentences for the stand-in of torchtext."""

    def make(root: Path) -> None:
        (root / folder).mkdir(parents=True)
        for seed, (name, words) in enumerate([("train", 3000), ("valid", 300)]):
            lines = sentences(words, 60, 10 + seed)
            pairs = [[line, " ".join(f"t{word[1:]}" for word in reversed(line.split()))] for line in lines if line]
            (root / folder / f"{name}.json").write_text(json.dumps(pairs))

    return make


def empty(folder: str) -> Maker:
    return lambda root: (root / folder).mkdir(parents=True)
