"""Files of torch.save and torch.jit.save: the values of a state dict, found without torch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from porter.diagnostics import InputError
from porter.weights.archive import Archive, damaged
from porter.weights.entries import Checkpoint, Entry, SourceFile, Span, is_contiguous
from porter.weights.unpickle import Global, Instance, Opaque, Pickle, StorageReference, TensorReference

MAGIC = 0x1950A86A20F9469CFC6C
LARGEST_PICKLE = 1 << 28
DEEPEST = 60
MOST_VALUES = 4_000_000
SMALL = 1 << 26
MAIN_KEYS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "params",
    "weights",
)
ASIDE = ("optim", "sched", "scaler", "amp", "rng", "loss", "hook", "callback")


@dataclass(frozen=True, eq=False)
class Contents:
    """What a torch file holds: the value that was saved, and where each storage is."""

    value: Any
    storages: Callable[[str], Span]
    script: bool
    check: Callable[[], Iterator[int]]


def read_zip(file: SourceFile) -> Contents:
    """A zip archive by torch.save or torch.jit.save."""
    archive = Archive(file)
    pickles = [name for name in archive.members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputError(
            f"{file.path} is a zip archive but no torch checkpoint: it has no data.pkl",
            "give the file that torch.save wrote",
        )
    root = pickles[0].removesuffix("data.pkl")
    order = root + "byteorder"
    if order in archive.members and archive.read(order, 64).strip() != b"little":
        raise InputError(f"{file.path} was written big endian", "save it again on a little-endian machine")
    script = root + "constants.pkl" in archive.members
    pickle = Pickle(archive.read(pickles[0], LARGEST_PICKLE), file.path, script=script)
    value = pickle.load()

    def storage(key: str) -> Span:
        return archive.span(f"{root}data/{key}")

    def check() -> Iterator[int]:
        for member in archive.members.values():
            checksum = 0
            if not member.stored:  # TorchScript's code, which is not read
                continue
            for chunk in archive.span(member.name).chunks():
                checksum = zlib.crc32(chunk, checksum)
                yield len(chunk)
            if checksum != member.crc:
                raise damaged(file.path, f"the bytes of {member.name} do not match their checksum")

    return Contents(value, storage, script, check)


def read_legacy(file: SourceFile) -> Contents:
    """The format of torch.save before version 1.6: five pickles, then each storage's count and bytes."""
    data = file.read(0, min(file.size, LARGEST_PICKLE))
    at = 0
    values = []
    for _ in range(5):
        pickle = Pickle(data, file.path, at)
        values.append(pickle.load())
        at = pickle.at
        if len(values) == 1 and values[0] != MAGIC:
            raise InputError(
                f"{file.path} is a pickle but not one that torch.save wrote", "give a .pth file of torch.save"
            )
    _, version, system, value, keys = values
    if version != 1001 or not isinstance(keys, list) or not isinstance(system, dict):
        raise InputError(
            f"{file.path} has an unknown legacy torch format", "save it again with a newer torch"
        )
    if system.get("little_endian") is False:
        raise InputError(f"{file.path} was written big endian", "save it again on a little-endian machine")
    sizes = {reference.key: reference for reference in references(value)}
    spans: dict[str, Span] = {}
    for key in keys:
        if key not in sizes:
            raise InputError(f"{file.path} stores {key!r}, which nothing refers to", "copy the file again")
        reference = sizes[key]
        if reference.dtype is None or reference.view is not None:
            raise InputError(
                f"{file.path} has a storage of an unknown type", "save it again with a newer torch"
            )
        count = int.from_bytes(file.read(at, 8), "little")
        length = count * reference.dtype.itemsize
        if count != reference.count or at + 8 + length > file.size:
            raise InputError(f"{file.path} ends early or its sizes disagree", "copy or download it again")
        spans[key] = Span(file, at + 8, length)
        at += 8 + length
    if at != file.size:
        raise InputError(f"{file.path} has {file.size - at} bytes after its end", "copy or download it again")

    def storage(key: str) -> Span:
        if key not in spans:
            raise InputError(f"{file.path} lacks the storage {key!r}", "copy or download it again")
        return spans[key]

    return Contents(value, storage, False, lambda: iter(()))


def references(value: Any) -> Iterator[StorageReference]:
    """Every storage that a value refers to."""
    pending, seen = [value], set()
    while pending:
        item = pending.pop()
        if isinstance(item, TensorReference):
            yield item.storage
        elif isinstance(item, (dict, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            pending.extend(item.values() if isinstance(item, dict) else item)


def to_checkpoint(file: SourceFile, contents: Contents, key: str | None) -> Checkpoint:
    """The state dict in a torch file; `key` names it where several are there."""
    notes: list[str] = []
    value = contents.value
    if contents.script:
        value = dict(_attributes(value, file.path))
        notes.append("TorchScript: its parameters were read, its code was not")
    elif key is not None:
        value = _by_key(value, key, file.path)
    else:
        value, extra = choose(value, file.path)
        notes += extra
    tensors, skipped = flatten(value, file.path)
    if not tensors:
        raise InputError(f"{file.path} holds no tensors", "save model.state_dict() with torch.save")
    if skipped:
        notes.append(f"not tensors, left aside: {', '.join(skipped[:8])}{' ...' if len(skipped) > 8 else ''}")
    builder = _Builder(file, contents)
    entries = {name: builder.entry(name, tensor) for name, tensor in tensors.items()}
    builder.check_total(entries)
    result = Checkpoint(file.path, "torch", entries, notes, [file], check=contents.check)
    result.extra = _Extra(contents.value, builder)
    return result


@dataclass(frozen=True, eq=False)
class _Extra:
    """The whole saved value, for the optimizer state that lies beside the model."""

    value: Any
    builder: _Builder

    def optimizer(self) -> dict[str, Any] | None:
        if not isinstance(self.value, dict):
            return None
        for name, part in self.value.items():
            named = isinstance(name, str) and "optim" in name.lower()
            if named and isinstance(part, dict) and "state" in part and "param_groups" in part:
                return part
        return None

    def entry(self, name: str, tensor: TensorReference) -> Entry:
        return self.builder.entry(name, tensor)


def _attributes(value: Any, path: str) -> Iterator[tuple[str, TensorReference]]:
    if not isinstance(value, Instance):
        raise InputError(f"{path} is a TorchScript archive without a module", "give one of torch.jit.save")
    pending: list[tuple[str, Any, int]] = [("", value, 0)]
    visited = 0
    while pending:
        prefix, item, depth = pending.pop(0)
        visited += 1
        if depth > DEEPEST or visited > MOST_VALUES:
            raise InputError(f"{path} nests its values too deeply", "do not trust this file")
        state = item.state if isinstance(item, Instance) else item
        if isinstance(state, TensorReference):
            yield prefix, state
        elif isinstance(state, dict) and isinstance(item, Instance):
            children = [(f"{prefix}.{k}" if prefix else str(k), v, depth + 1) for k, v in state.items()]
            pending = [c for c in children if isinstance(c[1], (Instance, TensorReference))] + pending


def choose(value: Any, path: str) -> tuple[Any, list[str]]:
    """The state dict within what was saved, by the names that training scripts use; ambiguity is refused."""
    if isinstance(value, (Instance, TensorReference, list, tuple, Opaque, Global)) or not isinstance(
        value, dict
    ):
        raise InputError(
            f"{path} holds no dictionary of tensors but a single {type(value).__name__}",
            "save model.state_dict() with torch.save",
        )
    if any(isinstance(item, TensorReference) for item in value.values()) or not value:
        return value, []
    parts = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, dict) and has_tensor(v)}
    main = [name for name in MAIN_KEYS if name in parts]
    others = [name for name in parts if not any(word in name.lower() for word in ASIDE)]
    if len(main) == 1:
        chosen = main[0]
    elif not main and len(others) == 1:
        chosen = others[0]
    elif not others:
        raise InputError(f"{path} holds no state dict, only {', '.join(map(str, value)) or 'nothing'}", "")
    else:
        raise InputError(
            f"{path} holds several state dicts: {', '.join(others)}", "choose one with --key NAME"
        )
    inner, notes = choose(parts[chosen], path)
    rest = [name for name in parts if name != chosen]
    return inner, [f"took {chosen!r}" + (f", not {', '.join(map(repr, rest))}" if rest else ""), *notes]


def _by_key(value: Any, key: str, path: str) -> Any:
    for part in [key] if isinstance(value, dict) and key in value else key.split("."):
        if not isinstance(value, dict) or part not in value:
            known = ", ".join(map(str, value)) if isinstance(value, dict) else "nothing"
            raise InputError(f"{path} has no {part!r}; it holds {known[:300]}", "give one of these to --key")
        value = value[part]
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key!r} is no dictionary of tensors", "give another name to --key")
    return value


def has_tensor(value: Any, depth: int = 0) -> bool:
    if isinstance(value, TensorReference):
        return True
    return (
        isinstance(value, dict) and depth < 4 and any(has_tensor(item, depth + 1) for item in value.values())
    )


def flatten(value: Any, path: str) -> tuple[dict[str, TensorReference], list[str]]:
    """Tensors by dotted name, and the names of what is no tensor."""
    tensors: dict[str, TensorReference] = {}
    skipped: list[str] = []
    pending: list[tuple[str, Any, int]] = [("", value, 0)]
    visited = 0
    while pending:
        prefix, item, depth = pending.pop()
        visited += 1
        if depth > DEEPEST or visited > MOST_VALUES or len(prefix) > 4096:
            raise InputError(f"{path} nests its values too deeply", "do not trust this file")
        if isinstance(item, TensorReference):
            if prefix in tensors:
                raise InputError(f"{path} holds two tensors named {prefix}", "save a flat state dict")
            tensors[prefix] = item
        elif isinstance(item, dict):
            children = [(f"{prefix}.{k}" if prefix else str(k), v, depth + 1) for k, v in item.items()]
            pending.extend(reversed(children))
        elif item is not None:
            skipped.append(prefix)
    return tensors, skipped


class _Builder:
    """Checks tensor references against their storages."""

    def __init__(self, file: SourceFile, contents: Contents) -> None:
        self.file = file
        self.contents = contents
        self.spans: dict[str, Span] = {}

    def span(self, reference: StorageReference) -> Span:
        span = self.spans.get(reference.key)
        if span is None:
            span = self.spans[reference.key] = self.contents.storages(reference.key)
        itemsize = reference.dtype.itemsize if reference.dtype else 1
        if span.length != reference.count * itemsize:
            raise InputError(
                f"{self.file.path}: the storage {reference.key} has {span.length} bytes, "
                f"its pickle says {reference.count * itemsize}",
                "copy or download the checkpoint again",
            )
        return span

    def entry(self, name: str, tensor: TensorReference) -> Entry:
        span = self.span(tensor.storage)
        item = tensor.dtype.itemsize
        count, last = 1, tensor.start
        for size, stride in zip(tensor.shape, tensor.strides, strict=True):
            count *= size
            last += (size - 1) * stride
        if (count and (last + 1) * item > span.length) or tensor.start * item > span.length:
            raise InputError(
                f"{self.file.path}: {name} of shape {tensor.shape} and strides {tensor.strides} "
                f"reaches beyond its {span.length} bytes",
                "copy the checkpoint again; do not trust it if it fails again",
            )
        if count * item > max(span.length, SMALL):
            raise InputError(
                f"{self.file.path}: {name} of shape {tensor.shape} repeats {span.length} bytes without end",
                "save it contiguous; do not trust the file if you did not write it",
            )
        if count == 0:
            return Entry(tensor.dtype, tensor.shape, storage=(self.file.path, tensor.storage.key))
        key = (self.file.path, tensor.storage.key)
        if is_contiguous(tensor.shape, tensor.strides):
            part = Span(self.file, span.offset + tensor.start * item, count * item)
            return Entry(tensor.dtype, tensor.shape, (part,), None, 0, key)
        return Entry(tensor.dtype, tensor.shape, (span,), tensor.strides, tensor.start, key)

    def check_total(self, entries: dict[str, Entry]) -> None:
        total = sum(entry.nbytes for entry in entries.values())
        if total > 16 * self.file.size + 16 * SMALL:
            raise InputError(
                f"{self.file.path} of {self.file.size} bytes claims {total} bytes of tensors",
                "do not trust this file",
            )


__all__ = ["Contents", "read_legacy", "read_zip", "to_checkpoint"]
