"""The zip archive and pickle of torch.save, written byte by byte without torch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from porter.weights.entries import Entry, contiguous_strides

ALIGNMENT = 64
WIDE = 0xFFFFFFFF


class Output(Protocol):
    """Where the archive goes."""

    at: int

    def write(self, data: bytes) -> None: ...

    def patch(self, at: int, data: bytes) -> None: ...


@dataclass
class Place:
    """A member being written."""

    name: bytes
    header: int
    length: int
    checksum: int = 0


class ZipLayout:
    """Stored members, their values aligned to 64 bytes as torch does."""

    def __init__(self, archive: str) -> None:
        self.archive = archive
        self.places: list[Place] = []

    def add(self, out: Output, name: str, content: bytes) -> None:
        place = self.begin(out, name, len(content), zlib.crc32(content))
        out.write(content)
        self.places.append(place)

    def begin(self, out: Output, name: str, length: int, checksum: int = 0) -> Place:
        raw = f"{self.archive}/{name}".encode()
        place = Place(raw, out.at, length, checksum)
        wide = struct.pack("<HHQQ", 1, 16, length, length) if length >= WIDE else b""
        start = out.at + 30 + len(raw) + len(wide) + 4
        padding = -start % ALIGNMENT
        extra = wide + struct.pack("<HH", 0x4246, padding) + b"Z" * padding
        size = min(length, WIDE)
        fields = (
            b"PK\x03\x04",
            45 if wide else 20,
            0x800,
            0,
            0,
            0x21,
            checksum,
            size,
            size,
            len(raw),
            len(extra),
        )
        out.write(struct.pack("<4sHHHHHIIIHH", *fields) + raw + extra)
        return place

    def finish(self, out: Output, place: Place, checksum: int) -> None:
        place.checksum = checksum
        out.patch(place.header + 14, struct.pack("<I", checksum))
        self.places.append(place)

    def close(self, out: Output) -> None:
        start = out.at
        for place in self.places:
            out.write(self._central(place))
        size, count = out.at - start, len(self.places)
        if start >= WIDE or size >= WIDE or count >= 0xFFFF:
            end = out.at
            out.write(struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start))
            out.write(struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1))
        few = min(count, 0xFFFF)
        sizes = (min(size, WIDE), min(start, WIDE))
        out.write(struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, few, few, *sizes, 0))

    def _central(self, place: Place) -> bytes:
        wide = b""
        if place.length >= WIDE:
            wide += struct.pack("<QQ", place.length, place.length)
        if place.header >= WIDE:
            wide += struct.pack("<Q", place.header)
        extra = struct.pack("<HH", 1, len(wide)) + wide if wide else b""
        size, version = min(place.length, WIDE), 45 if wide else 20
        fields = (
            version,
            version,
            0x800,
            0,
            0,
            0x21,
            place.checksum,
            size,
            size,
            len(place.name),
            len(extra),
        )
        tail = (0, 0, 0, 0, min(place.header, WIDE))
        return struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", *fields, *tail) + place.name + extra


def storages(entries: Mapping[str, Entry]) -> tuple[dict[str, str], dict[str, Entry]]:
    """The storage key of each entry, and what each storage holds; equal bytes of a file are stored once."""
    keys: dict[str, str] = {}
    stored: dict[str, Entry] = {}
    known: dict[Any, str] = {}
    for name, entry in entries.items():
        places = tuple((id(span.file), span.offset, span.length) for span in entry.spans)
        same = (places, entry.strides, entry.start, entry.dtype.name, entry.count)
        key = known.get(same) if places else None
        if key is None:
            key = known[same] = str(len(stored))
            stored[key] = entry
        keys[name] = key
    return keys, stored


def pickled(entries: Mapping[str, Entry], keys: Mapping[str, str]) -> bytes:
    """The pickle (protocol 2) of an OrderedDict of tensors."""
    empty = _name("collections", "OrderedDict") + b")R"
    out = [b"\x80\x02", empty, b"("]
    for name, entry in entries.items():
        out += [_text(name), _tensor(entry, keys[name], empty)]
    out.append(b"u.")
    return b"".join(out)


def _tensor(entry: Entry, key: str, empty: bytes) -> bytes:
    typed = bool(entry.dtype.storage)
    kind = _name("torch", entry.dtype.storage) if typed else _name("torch.storage", "UntypedStorage")
    count = entry.count if typed else entry.nbytes
    storage = b"(" + _text("storage") + kind + _text(key) + _text("cpu") + _int(count) + b"tQ"
    sizes = _ints(entry.shape) + _ints(contiguous_strides(entry.shape))
    body = storage + _int(0) + sizes + b"\x89" + empty
    if typed:
        return _name("torch._utils", "_rebuild_tensor_v2") + b"(" + body + b"tR"
    return (
        _name("torch._utils", "_rebuild_tensor_v3") + b"(" + body + _name("torch", entry.dtype.name) + b"tR"
    )


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _int(value: int) -> bytes:
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def _ints(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_int, values)) + b"t"
