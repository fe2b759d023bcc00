"""Converts a checkpoint between torch and MindSpore: reads, names, writes, and compares what was written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from porter.diagnostics import Diagnostic, InputError
from porter.weights import names, optimizer_state, siblings, write
from porter.weights.entries import Checkpoint, Entry
from porter.weights.names import CellWeights, Matched, Plan
from porter.weights.read import open_checkpoint

TORCH_SUFFIXES = (".pth", ".pt", ".bin")
SUFFIXES = (".ckpt", ".safetensors", *TORCH_SUFFIXES)
Renames = Mapping[str, str] | Iterable[tuple[str, str]]


class WeightsError(Exception):
    """Names, shapes or dtypes that do not fit; `diagnostics` holds all of them, and nothing was written."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__("\n".join(map(str, diagnostics)))
        self.diagnostics = tuple(diagnostics)


@dataclass(frozen=True)
class Written:
    """One entry of the written file and what it was called in the source."""

    name: str
    source: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]


@dataclass
class WeightsReport:
    """What a conversion did."""

    source: str
    destination: str
    entries: list[Written] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bytes: int = 0
    verified: bool = False
    side: str = "mindspore"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def convert_weights(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    cell: str | None = None,
    plan: Plan | None = None,
    renames: Renames = (),
    allow_missing: Sequence[str] = (),
    key: str | None = None,
    verify: bool = True,
    rows: Iterable[CellWeights] | None = None,
    side: str | None = None,
    optimizer: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> WeightsReport:
    """Writes `source` as `destination` under the names of the other side (or of `side`).

    `cell` is MODULE:EXPR of the ported Cell, `plan` a ready plan; with neither, the names in the file decide.
    `optimizer` is the MindSpore optimizer whose state is taken from a training checkpoint.
    Raises InputError for what cannot be read or written, WeightsError for names that do not fit.
    """
    target = os.fspath(destination)
    suffix = Path(target).suffix
    if suffix not in SUFFIXES:
        raise InputError(
            f"-o {target}: unknown suffix {suffix!r}", f"end the name in one of {', '.join(SUFFIXES)}"
        )
    with open_checkpoint(source, key) as checkpoint:
        to = side or target_side(checkpoint, suffix)
        if plan is None and cell is not None:
            plan = plan_for(cell, rows)
        matched = name_entries(checkpoint, to, plan, renames, allow_missing, rows)
        if optimizer is not None and not matched.problems:
            optimizer_state.add(matched, checkpoint, optimizer)
        unsupported(matched, suffix, checkpoint.path)
        if matched.problems:
            raise WeightsError(matched.problems)
        if not matched.entries:
            raise InputError(
                f"{checkpoint.path}: nothing is left to write", "check --rename and --allow-missing"
            )
        report = _report(checkpoint, target, matched)
        report.side = to
        write_checkpoint(checkpoint, matched.entries, target, to, verify, progress)
        report.verified = verify
        report.bytes = os.path.getsize(target)
        return report


def target_side(checkpoint: Checkpoint, suffix: str) -> str:
    """Whose names the written file gets: .ckpt is MindSpore's, .pth torch's, .safetensors the other side's."""
    if suffix == ".ckpt":
        return "mindspore"
    if suffix in TORCH_SUFFIXES:
        return "torch"
    return "torch" if checkpoint.side == "mindspore" else "mindspore"


def plan_for(cell: str, rows: Iterable[CellWeights] | None = None) -> Plan:
    """The plan of the Cell that MODULE:EXPR builds."""
    from porter.weights import cells

    built, module = cells.build_cell(cell)
    return cells.plan_of(built, table_rows() if rows is None else rows, cells.read_fusions(module))


def table_rows() -> tuple[CellWeights, ...]:
    from porter.table import load_table

    return load_table().cell_weights()


def name_entries(
    checkpoint: Checkpoint,
    side: str,
    plan: Plan | None,
    renames: Renames,
    allow_missing: Sequence[str],
    rows: Iterable[CellWeights] | None = None,
) -> Matched:
    """The entries under the names of `side`."""
    pairs = list(renames.items()) if isinstance(renames, Mapping) else list(renames)
    entries, renamed = names.rename(checkpoint.entries, pairs, checkpoint.path)
    if renamed.problems:
        return renamed
    if checkpoint.side == side:
        result = Matched(entries=entries, origin={name: (name,) for name in entries})
    elif plan is not None and side == "mindspore":
        result = names.match(plan, entries, checkpoint.path, allow_missing)
    elif plan is not None:
        result = names.reverse(plan, entries, checkpoint.path, allow_missing)
    else:
        weights = table_rows() if rows is None else rows
        result = siblings.name_entries(entries, side, checkpoint.path, weights, frozenset(renamed.origin))
    result.dropped = renamed.dropped + result.dropped
    return result


def unsupported(matched: Matched, suffix: str, place: str) -> None:
    """Adds a problem for each entry whose element type the written format does not have."""
    for name, entry in matched.entries.items():
        dtype = entry.dtype
        holds = bool(dtype.mindspore) if suffix == ".ckpt" else bool(dtype.safetensors)
        if suffix in TORCH_SUFFIXES:
            holds = True
        if suffix == ".safetensors" and dtype.name.startswith("complex"):
            holds = False
        if not holds:
            message = f"{name} is {dtype.name}, which a {suffix} file for MindSpore cannot hold"
            help = (
                "save its real and imaginary parts as two tensors"
                if "complex" in dtype.name
                else "convert it first"
            )
            matched.problem(place, "MSP407", message, help, symbol=name)
        if not name:
            matched.problem(place, "MSP408", "an entry has no name", "name it with --rename", symbol=name)


def _report(checkpoint: Checkpoint, target: str, matched: Matched) -> WeightsReport:
    entries = [
        Written(name, matched.origin.get(name, ()), entry.dtype.name, entry.shape)
        for name, entry in matched.entries.items()
    ]
    notes = [*checkpoint.notes, *matched.notes]
    empty = [name for name, entry in matched.entries.items() if entry.count == 0]
    if empty and target.endswith(".ckpt"):
        notes.append(f"the .ckpt format has no empty tensors, left out: {', '.join(empty[:8])}")
    return WeightsReport(
        checkpoint.path, target, entries, matched.dropped, matched.filled, matched.missing_allowed, notes
    )


def write_checkpoint(
    checkpoint: Checkpoint,
    entries: Mapping[str, Entry],
    destination: str,
    side: str,
    verify: bool,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Writes entries to `destination`, which appears only when it is whole and, with `verify`, compared."""
    total = sum(entry.nbytes for entry in entries.values())
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress("write", done, total)

    with write.atomic(destination) as descriptor:
        sink = write.Sink(descriptor, tell)
        if destination.endswith(".ckpt"):
            write.write_ckpt(sink, entries)
        elif destination.endswith(".safetensors"):
            metadata = {"format": "ms" if side == "mindspore" else "pt"}
            write.write_safetensors(sink, entries, metadata)
        else:
            write.write_torch(sink, entries, Path(destination).stem)
        sink.finish()
        if verify:
            compare(checkpoint, entries, destination, descriptor, progress)


def compare(
    checkpoint: Checkpoint,
    entries: Mapping[str, Entry],
    destination: str,
    descriptor: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Reads the written file again and compares it bit for bit; checks the checksums of the source."""
    total = sum(entry.nbytes for entry in entries.values())
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress("verify", done, total)

    if checkpoint.check is not None:
        for _ in checkpoint.check():
            pass
    skips_empty = destination.endswith(".ckpt")
    expected = {name: entry for name, entry in entries.items() if not (skips_empty and entry.count == 0)}
    with open_checkpoint(destination, descriptor=descriptor) as written:
        if set(written.entries) != set(expected):
            raise InputError(
                f"{destination} holds other names than were written", "this is a defect of porter"
            )
        for name, entry in expected.items():
            again = written.entries[name]
            same = (again.dtype, again.shape) == (entry.dtype, entry.shape)
            if not same or not names.equal_chunks(again, entry, tell):
                raise InputError(f"{destination}: {name} differs from its source after writing", "try again")
