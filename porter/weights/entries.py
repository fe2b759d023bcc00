"""Entries of a checkpoint: a name's dtype, shape and the spans of bytes in a file that hold its values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from porter.diagnostics import InputError

CHUNK = 1 << 20


@dataclass(frozen=True)
class DType:
    """One element type, as each format spells it; "" where a format has no such type."""

    name: str
    itemsize: int
    safetensors: str = ""
    mindspore: str = ""
    storage: str = ""


DTYPES: Mapping[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType("float16", 2, "F16", "Float16", "HalfStorage"),
        DType("bfloat16", 2, "BF16", "BFloat16", "BFloat16Storage"),
        DType("float32", 4, "F32", "Float32", "FloatStorage"),
        DType("float64", 8, "F64", "Float64", "DoubleStorage"),
        DType("int8", 1, "I8", "Int8", "CharStorage"),
        DType("int16", 2, "I16", "Int16", "ShortStorage"),
        DType("int32", 4, "I32", "Int32", "IntStorage"),
        DType("int64", 8, "I64", "Int64", "LongStorage"),
        DType("uint8", 1, "U8", "UInt8", "ByteStorage"),
        DType("uint16", 2, "U16", "UInt16"),
        DType("uint32", 4, "U32", "UInt32"),
        DType("uint64", 8, "U64", "UInt64"),
        DType("bool", 1, "BOOL", "Bool", "BoolStorage"),
        DType("complex64", 8, "C64", "", "ComplexFloatStorage"),
        DType("complex128", 16, "", "", "ComplexDoubleStorage"),
        DType("float8_e4m3fn", 1, "F8_E4M3"),
        DType("float8_e5m2", 1, "F8_E5M2"),
        DType("float8_e4m3fnuz", 1, "F8_E4M3FNUZ"),
        DType("float8_e5m2fnuz", 1, "F8_E5M2FNUZ"),
        DType("float8_e8m0fnu", 1, "F8_E8M0"),
        DType("complex32", 4),
    )
}


class SourceFile:
    """A file opened for reading at given places; it is closed with the checkpoint."""

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY) if descriptor is None else os.dup(descriptor)
        except OSError as error:
            raise InputError(
                f"cannot read {path}: {error.strerror}", "give a checkpoint file that exists and is readable"
            ) from None
        self.size = os.fstat(self.descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; InputError when the file ends before that."""
        parts: list[bytes] = []
        missing = length
        while missing > 0:
            try:
                part = os.pread(self.descriptor, min(missing, 1 << 30), offset)
            except OSError as error:
                raise InputError(f"cannot read {self.path}: {error.strerror}", "give a file") from None
            if not part:
                raise InputError(f"{self.path} ends early, at {self.size} bytes", "copy the file again")
            parts.append(part)
            offset += len(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@dataclass(frozen=True, eq=False)
class Span:
    """`length` bytes of a file from `offset`."""

    file: SourceFile
    offset: int
    length: int

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        for start in range(0, self.length, size):
            yield self.file.read(self.offset + start, min(size, self.length - start))


@dataclass(frozen=True, eq=False)
class Entry:
    """One tensor of a checkpoint, its values still in the file.

    `spans` hold the values in C order, unless `strides` (in elements) is given: then `spans` is the one storage and
    element (i, j, ...) is at `start + i * strides[0] + j * strides[1] + ...`. `storage` is equal for entries that share it.
    """

    dtype: DType
    shape: tuple[int, ...]
    spans: tuple[Span, ...] = ()
    strides: tuple[int, ...] | None = None
    start: int = 0
    storage: Any = None
    constant: bytes | None = None

    @property
    def count(self) -> int:
        product = 1
        for size in self.shape:
            product *= size
        return product

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The values in C order, little endian, at most about `size` bytes at a time."""
        if self.constant is not None:
            yield from _repeated(self.constant, self.nbytes, size)
        elif self.strides is not None:
            yield from _gathered(self, size)
        else:
            for span in self.spans:
                yield from span.chunks(size)

    def reshaped(self, shape: tuple[int, ...]) -> Entry:
        """The same values in C order under another shape of equal element count."""
        if self.strides is None:
            return Entry(self.dtype, shape, self.spans, None, 0, self.storage, self.constant)
        strides = list(self.strides)
        kept = iter(zip(self.shape, strides, strict=True))
        result: list[int] = []
        sizes = [size for size in self.shape if size != 1]
        if [size for size in shape if size != 1] != sizes:
            raise ValueError(f"{self.shape} does not become {shape} by axes of length 1")
        moving = [stride for size, stride in kept if size != 1]
        for size in shape:
            result.append(0 if size == 1 else moving.pop(0))
        return Entry(self.dtype, shape, self.spans, tuple(result), self.start, self.storage)


@dataclass(eq=False)
class Checkpoint:
    """What one input holds: entries by name, in the order of the file, and what was left aside, with reasons."""

    path: str
    side: str
    entries: dict[str, Entry]
    notes: list[str] = field(default_factory=list)
    files: list[SourceFile] = field(default_factory=list)
    extra: Any = None
    metadata: dict[str, str] = field(default_factory=dict)
    check: Any = None

    def close(self) -> None:
        for file in self.files:
            file.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a C-ordered array, in elements."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


@lru_cache(maxsize=1024)  # many tensors have few shapes
def is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether the elements follow each other in C order; the stride of an axis of length 1 means nothing."""
    if 0 in shape:
        return True
    expected = contiguous_strides(shape)
    return all(size == 1 or a == b for size, a, b in zip(shape, strides, expected, strict=True))


def _repeated(pattern: bytes, length: int, size: int) -> Iterator[bytes]:
    size = min(size, length) // len(pattern) * len(pattern) or len(pattern)
    block = pattern * (size // len(pattern))
    for start in range(0, length, size):
        yield block[: min(size, length - start)]


def _gathered(entry: Entry, size: int) -> Iterator[bytes]:
    """A strided view in C order: blocks of the leading axes, each filled from stretches of the storage."""
    if entry.count == 0:
        return
    import numpy

    assert entry.strides is not None
    span, item = entry.spans[0], entry.dtype.itemsize
    element = numpy.dtype((numpy.void, item))

    def fill(out: Any, strides: tuple[int, ...], start: int) -> None:
        reach = 1 + sum((n - 1) * s for n, s in zip(out.shape, strides, strict=True))
        if reach * item <= 4 * CHUNK:
            raw = numpy.frombuffer(span.file.read(span.offset + start * item, reach * item), element)
            steps = tuple(s * item for s in strides)
            out[...] = numpy.lib.stride_tricks.as_strided(raw, out.shape, steps, writeable=False)
            return
        axis = max(range(out.ndim), key=lambda i: (out.shape[i] - 1) * strides[i])
        half = out.shape[axis] // 2
        before = (slice(None),) * axis
        fill(out[(*before, slice(0, half))], strides, start)
        fill(out[(*before, slice(half, None))], strides, start + half * strides[axis])

    for shape, start in _blocks(entry.shape, entry.strides, entry.start, max(1, 16 * CHUNK // item)):
        block = numpy.empty(shape, element)
        fill(block, entry.strides, start)
        raw = block.tobytes()
        for first in range(0, len(raw), size):
            yield raw[first : first + size]


def _blocks(
    shape: tuple[int, ...], strides: tuple[int, ...], start: int, most: int
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Cuts a view, in C order, into blocks of at most `most` elements."""
    count = 1
    for n in shape:
        count *= n
    if count <= most:
        yield shape, start
        return
    axis = next(i for i, n in enumerate(shape) if n > 1)
    step = min(max(1, shape[axis] * most // count), shape[axis] - 1)
    for first in range(0, shape[axis], step):
        part = (*shape[:axis], min(step, shape[axis] - first), *shape[axis + 1 :])
        yield from _blocks(part, strides, start + first * strides[axis], most)
