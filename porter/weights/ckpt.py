"""MindSpore's .ckpt: protobuf messages Checkpoint{value{tag, tensor{dims, type, content}}} one after the other."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import lru_cache

from porter.diagnostics import InputError
from porter.weights.entries import DTYPES, Checkpoint, DType, Entry, SourceFile, Span

SLICE = 512 << 20
CRC_LENGTH = 17
BY_NAME = {dtype.mindspore: dtype for dtype in DTYPES.values() if dtype.mindspore}
BUFFER = 1 << 16


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def headers(name: str, entry: Entry) -> Iterator[tuple[bytes, int]]:
    """For each slice of an entry: the bytes before its content, and the content's length."""
    tag = name.encode()
    for start in range(0, max(entry.nbytes, 1), SLICE):
        length = min(SLICE, entry.nbytes - start)
        value = b"\x0a" + varint(len(tag)) + tag + _tensor_header(entry.dtype.mindspore, entry.shape, length)
        yield b"\x0a" + varint(len(value) + length) + value, length


@lru_cache(maxsize=1024)  # many tensors have few shapes
def _tensor_header(kind: str, shape: tuple[int, ...], length: int) -> bytes:
    dims = b"".join(b"\x08" + varint(size) for size in shape)
    before = dims + b"\x12" + varint(len(kind)) + kind.encode() + b"\x1a" + varint(length)
    return b"\x12" + varint(len(before) + length) + before


class _Reader:
    """Protobuf fields of a file, read through a small window; contents are skipped, not read."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.window = b""
        self.base = 0

    def bytes(self, at: int, length: int) -> bytes:
        start = at - self.base
        if start < 0 or start + length > len(self.window):
            self.base = at
            self.window = self.file.read(at, min(max(length, BUFFER), self.file.size - at))
            start = 0
        part = self.window[start : start + length]
        if len(part) < length:
            raise self.damaged(at)
        return part

    def varint(self, at: int, end: int) -> tuple[int, int]:
        start = at - self.base
        if 0 <= start < len(self.window) and at < end and self.window[start] < 0x80:
            return self.window[start], at + 1
        value = shift = 0
        for byte in self.bytes(at, min(10, end - at)):
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise self.damaged(at)

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """(field number, value, begin, end) of each field; value is 0 for a length-delimited one."""
        while at < end:
            key, at = self.varint(at, end)
            if key & 7 == 0:
                value, at = self.varint(at, end)
                yield key >> 3, value, at, at
            elif key & 7 == 2:
                length, at = self.varint(at, end)
                if at + length > end:
                    raise self.damaged(at)
                yield key >> 3, 0, at, at + length
                at += length
            else:
                raise self.damaged(at)

    def damaged(self, at: int) -> InputError:
        return InputError(
            f"{self.file.path} is no MindSpore checkpoint, or a damaged one (at byte {at})",
            "copy it again; an encrypted checkpoint must be saved without its key first",
        )

    def text(self, begin: int, end: int) -> str:
        if end - begin > 1 << 16:
            raise self.damaged(begin)
        try:
            return self.bytes(begin, end - begin).decode()
        except UnicodeDecodeError:
            raise self.damaged(begin) from None


def read_ckpt(file: SourceFile) -> Checkpoint:
    """The entries of a .ckpt, contents left in the file."""
    reader = _Reader(file)
    end, checked = file.size, False
    if end >= CRC_LENGTH and file.read(end - CRC_LENGTH, 7) == b"crc_num":
        end, checked = end - CRC_LENGTH, True
    parts: dict[str, tuple[DType, tuple[int, ...], list[Span]]] = {}
    notes: list[str] = []
    for number, _, begin, stop in reader.fields(0, end):
        if number != 1:
            raise reader.damaged(begin)
        name, dtype, shape, span = _value(reader, begin, stop)
        if dtype is None:
            notes.append(f"{name} is text, left aside")
            continue
        known = parts.setdefault(name, (dtype, shape, []))
        if known[:2] != (dtype, shape):
            raise InputError(f"{file.path} holds two entries named {name}", "save the checkpoint again")
        known[2].append(span)
    entries = {}
    for name, (dtype, shape, spans) in parts.items():
        entry = Entry(dtype, shape, tuple(spans), storage=(file.path, name))
        if sum(span.length for span in spans) != entry.nbytes:
            raise InputError(f"{file.path}: the bytes of {name} do not fill {shape}", "copy it again")
        entries[name] = entry
    if not entries:
        raise InputError(f"{file.path} holds no parameters", "give a file that save_checkpoint wrote")
    check = (lambda: _checksum(file, end)) if checked else None
    return Checkpoint(file.path, "mindspore", entries, notes, [file], check=check)


def _checksum(file: SourceFile, end: int) -> Iterator[int]:
    """Compares the CRC-32 that save_checkpoint(crc_check=True) wrote after the last message."""
    checksum = 0
    for chunk in Span(file, 0, end).chunks():
        checksum = zlib.crc32(chunk, checksum)
        yield len(chunk)
    if checksum != int.from_bytes(file.read(end + 7, 10), "big"):
        raise InputError(f"{file.path}: its bytes do not match their checksum", "copy it again")


def _value(reader: _Reader, begin: int, end: int) -> tuple[str, DType | None, tuple[int, ...], Span]:
    name, tensor = "", None
    for number, _, start, stop in reader.fields(begin, end):
        if number == 1:
            name = reader.text(start, stop)
        elif number == 2:
            tensor = (start, stop)
        else:
            raise InputError(f"{reader.file.path}: {name} is no plain tensor", "save plain parameters")
    if tensor is None:
        raise reader.damaged(begin)
    dims: list[int] = []
    kind = ""
    content = None
    for number, value, start, stop in reader.fields(*tensor):
        if number == 1:
            dims.append(value)
        elif number == 2:
            kind = reader.text(start, stop)
        elif number == 3:
            content = Span(reader.file, start, stop - start)
        else:
            raise reader.damaged(start)
    if content is None or len(dims) > 64:
        raise reader.damaged(begin)
    if kind == "str":
        return name, None, (), content
    if kind not in BY_NAME:
        raise InputError(
            f"{reader.file.path}: {name} has the element type {kind!r}", "save it as another type"
        )
    return name, BY_NAME[kind], tuple(dims), content


def looks_like_ckpt(head: bytes) -> bool:
    """Whether the first bytes can be one Checkpoint.value message."""
    try:
        if head[:1] != b"\x0a":
            return False
        at = 1
        while head[at] > 0x7F:
            at += 1
        return at < 11 and head[at + 1 : at + 2] == b"\x0a"
    except IndexError:
        return False


__all__ = ["headers", "looks_like_ckpt", "read_ckpt"]
