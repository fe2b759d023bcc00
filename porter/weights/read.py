"""Opens a checkpoint of any known format by what it holds, not by its suffix."""

from __future__ import annotations

import json
import os
from pathlib import Path

from porter.diagnostics import InputError
from porter.weights import ckpt, safetensors_file, torch_file
from porter.weights.entries import Checkpoint, SourceFile

FORMATS = ".pth, .pt, .bin, .safetensors, *.index.json or .ckpt"


def open_checkpoint(
    path: str | os.PathLike[str], key: str | None = None, descriptor: int | None = None
) -> Checkpoint:
    """The checkpoint at `path`; `key` chooses a state dict within it. InputError when it cannot be read."""
    name = os.fspath(path)
    if descriptor is None and os.path.isdir(name):
        raise InputError(f"{name} is a folder", f"give one file: {FORMATS}")
    if name.endswith(".json"):
        return read_index(name, key)
    file = SourceFile(name, descriptor)
    try:
        return _read(file, key)
    except BaseException:
        file.close()
        raise


def _read(file: SourceFile, key: str | None) -> Checkpoint:
    if file.size == 0:
        raise InputError(f"{file.path} is empty", "copy or download it again")
    head = file.read(0, min(file.size, 512))
    if head[:4] == b"PK\x03\x04":
        return torch_file.to_checkpoint(file, torch_file.read_zip(file), key)
    if (head[:2] == b"\x80\x02" and b"\x8a\x0a" in head[:16]) or (head[:1] == b"\x80" and head[1] <= 5):
        return torch_file.to_checkpoint(file, torch_file.read_legacy(file), key)
    if key is not None:
        raise InputError(f"{file.path} is a flat file, --key does not apply", "leave --key out")
    if head[8:9] == b"{" and file.size > 9:
        return safetensors_file.read_safetensors(file)
    if ckpt.looks_like_ckpt(head):
        return ckpt.read_ckpt(file)
    raise InputError(f"{file.path} is no checkpoint: {_guess(head)}", f"give one of {FORMATS}")


def _guess(head: bytes) -> str:
    known = {
        b"\x89HDF": "it is HDF5 (Keras)",
        b"\x1f\x8b": "it is compressed with gzip",
        b"\x93NUMPY": "it is a numpy array",
        b"GGUF": "it is GGUF",
        b"version https://git-lfs": "it is a Git LFS pointer, the file itself was not downloaded",
        b"<": "it is a web page",
        b"BZh": "it is compressed with bzip2",
        b"7z": "it is a 7z archive",
    }
    for start, word in known.items():
        if head.startswith(start):
            return word
    if head[257:262] == b"ustar":
        return "it is a tar archive (torch before 0.2 or .nemo); unpack it first"
    text = all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return "it is text" if text else "its first bytes are unknown"


def read_index(path: str, key: str | None) -> Checkpoint:
    """A sharded Hugging Face checkpoint by its *.index.json."""
    try:
        weight_map = json.loads(Path(path).read_text(encoding="utf-8"))["weight_map"]
        shards = dict.fromkeys(weight_map.values())
        names = list(weight_map)
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", "give the *.index.json of a checkpoint"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path} is no index of a sharded checkpoint", "it needs a weight_map") from None
    result = Checkpoint(path, "torch", {})
    try:
        _read_shards(result, path, weight_map, names, list(shards), key)
    except BaseException:
        result.close()
        raise
    return result


def _read_shards(
    result: Checkpoint,
    path: str,
    weight_map: dict[str, str],
    names: list[str],
    shards: list[str],
    key: str | None,
) -> None:
    folder = Path(path).parent
    parts: dict[str, Checkpoint] = {}
    for shard in shards:
        if (
            not isinstance(shard, str)
            or not shard
            or Path(shard).name != shard
            or "\\" in shard
            or "\0" in shard
        ):
            raise InputError(
                f"{path} names {shard!r}, which is not a file beside it", "do not trust this index"
            )
        if shard.endswith(".json"):
            raise InputError(f"{path} names {shard!r} as a shard", "do not trust this index")
        part = parts[shard] = open_checkpoint(folder / shard, key)
        result.files += part.files
        result.notes += [note for note in part.notes if note not in result.notes]
    missing = [name for name in names if name not in parts[weight_map[name]].entries]
    unexpected = [f"{n} in {s}" for s, part in parts.items() for n in part.entries if weight_map.get(n) != s]
    if missing or unexpected:
        raise InputError(
            f"{path} and its shards disagree: missing {missing[:5]}, unexpected {unexpected[:5]}",
            "download the index and all its shards again",
        )
    for name in names:
        result.entries[name] = parts[weight_map[name]].entries[name]
    checks = [part.check for part in parts.values() if part.check]
    result.check = (lambda: (length for check in checks for length in check())) if checks else None
