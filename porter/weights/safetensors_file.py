"""The .safetensors format: a JSON header of names, types, shapes and offsets, then the values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from porter.diagnostics import InputError
from porter.weights.entries import DTYPES, Checkpoint, Entry, SourceFile, Span

LONGEST_HEADER = 100 << 20
BY_NAME = {dtype.safetensors: dtype for dtype in DTYPES.values() if dtype.safetensors}


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name appears twice")
    return result


def damaged(path: str, what: str) -> InputError:
    return InputError(f"{path} is a damaged .safetensors file: {what}", "copy or download it again")


def read_safetensors(file: SourceFile) -> Checkpoint:
    """The entries of a .safetensors file, values left in it."""
    length = int.from_bytes(file.read(0, 8), "little") if file.size >= 8 else 0
    if not 2 <= length <= min(LONGEST_HEADER, file.size - 8):
        raise damaged(file.path, "its header does not fit")
    try:
        header = json.loads(file.read(8, length).decode(), object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise damaged(file.path, f"its header cannot be read ({str(error)[:80]})") from None
    if not isinstance(header, dict):
        raise damaged(file.path, "its header is no object")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise damaged(file.path, "its metadata is not text")
    entries: dict[str, Entry] = {}
    places: list[tuple[int, int]] = []
    for name, fields in header.items():
        entries[name], place = _entry(file, name, fields, 8 + length)
        places.append(place)
    at = 0
    for begin, end in sorted(places):
        if begin != at:
            raise damaged(file.path, "its values overlap or leave holes")
        at = end
    if 8 + length + at != file.size:
        raise damaged(file.path, "its values do not fill the file")
    if not entries:
        raise InputError(f"{file.path} holds no tensors", "give a file with tensors")
    side = "mindspore" if metadata.get("format") == "ms" else "torch"
    return Checkpoint(file.path, side, entries, [], [file], metadata=metadata)


def _entry(file: SourceFile, name: str, fields: Any, data: int) -> tuple[Entry, tuple[int, int]]:
    try:
        kind, shape, (begin, end) = fields["dtype"], fields["shape"], fields["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise damaged(file.path, f"{name} is not described") from None
    whole = [begin, end, *shape] if isinstance(shape, list) else [None]
    if not all(type(value) is int and 0 <= value < 1 << 62 for value in whole) or len(whole) > 66:
        raise damaged(file.path, f"the sizes of {name} are no whole numbers")
    if not isinstance(kind, str) or kind not in BY_NAME:
        raise InputError(f"{file.path}: {name} has the element type {kind!r}", "save it as another type")
    entry = Entry(
        BY_NAME[kind], tuple(shape), (Span(file, data + begin, end - begin),), storage=(file.path, name)
    )
    if end - begin != entry.nbytes or data + end > file.size:
        raise damaged(file.path, f"the bytes of {name} do not fill {tuple(shape)}")
    return entry, (begin, end)


def ordered(entries: Mapping[str, Entry]) -> list[str]:
    """The order of values that the safetensors library writes: widest element first, then by name."""
    return sorted(entries, key=lambda name: (-entries[name].dtype.itemsize, name))


def header(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    """The file's bytes before the values."""
    fields: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name in ordered(entries):
        entry = entries[name]
        fields[name] = {
            "dtype": entry.dtype.safetensors,
            "shape": list(entry.shape),
            "data_offsets": [at, at + entry.nbytes],
        }
        at += entry.nbytes
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


__all__ = ["header", "ordered", "read_safetensors"]
