"""What `porter weights` prints: the entries of a file, the difference of two, the report of a conversion."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click

from porter.weights import names
from porter.weights.convert import WeightsReport
from porter.weights.entries import Checkpoint, Entry
from porter.weights.read import open_checkpoint


def size_text(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def show_entries(path: str, key: str | None, form: str) -> int:
    with open_checkpoint(path, key) as checkpoint:
        shared = Counter(entry.storage for entry in checkpoint.entries.values())
        rows = [_row(name, entry, shared) for name, entry in checkpoint.entries.items()]
        if form == "json":
            content = {"path": path, "side": checkpoint.side, "entries": rows, "notes": checkpoint.notes}
            click.echo(json.dumps(content, indent=1))
            return 0
        width = max(len(row["name"]) for row in rows)
        for row in rows:
            shape = "x".join(map(str, row["shape"])) or "scalar"
            marks = "  shared" * row["shared"] + "  strided" * row["strided"]
            click.echo(
                f"{row['name']:{width}s}  {row['dtype']:10s} {shape:20s} {size_text(row['bytes']):>10s}{marks}"
            )
        total = sum(row["bytes"] for row in rows)
        click.echo(f"{len(rows)} entries, {size_text(total)}, {checkpoint.side} names")
        _show_notes(checkpoint.notes)
    return 0


def _row(name: str, entry: Entry, shared: Counter[Any]) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": entry.dtype.name,
        "shape": list(entry.shape),
        "bytes": entry.nbytes,
        "shared": entry.storage is not None and shared[entry.storage] > 1,
        "strided": entry.strides is not None,
    }


def show_difference(paths: tuple[str, str], key: str | None, form: str) -> int:
    with (
        open_checkpoint(paths[0], _key(paths[0], key)) as a,
        open_checkpoint(paths[1], _key(paths[1], key)) as b,
    ):
        lines = list(_differences(a, b))
        equal = sum(name in b.entries for name in a.entries) - sum(kind == "differs" for kind, _, _ in lines)
    if form == "json":
        found = [{"kind": kind, "name": name, "detail": detail} for kind, name, detail in lines]
        click.echo(json.dumps({"a": paths[0], "b": paths[1], "equal": equal, "differences": found}, indent=1))
    else:
        for kind, name, detail in lines:
            click.echo(f"{kind:10s} {name}  {detail}")
        click.echo(f"{equal} entries are equal bit for bit, {len(lines)} are not")
    return 1 if lines else 0


def _key(path: str, key: str | None) -> str | None:
    return None if path.endswith((".ckpt", ".safetensors")) else key


def _differences(a: Checkpoint, b: Checkpoint) -> list[tuple[str, str, str]]:
    lines = []
    for name, entry in a.entries.items():
        other = b.entries.get(name)
        here = f"{entry.dtype.name}{list(entry.shape)}"
        if other is None:
            lines.append(("only in A", name, here))
        elif (entry.dtype, entry.shape) != (other.dtype, other.shape):
            lines.append(("differs", name, f"{here} and {other.dtype.name}{list(other.shape)}"))
        elif not names.same_values(entry, other):
            lines.append(("differs", name, f"{here} {_largest(entry, other)}"))
    for name, entry in b.entries.items():
        if name not in a.entries:
            lines.append(("only in B", name, f"{entry.dtype.name}{list(entry.shape)}"))
    return lines


def _largest(a: Entry, b: Entry) -> str:
    """How far apart the values are, for the types that numpy has."""
    if a.dtype.name not in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"):
        return "in its bits"
    import numpy

    worst, count = 0.0, 0
    for x, y in zip(a.chunks(), b.chunks(), strict=False):
        if len(x) != len(y):
            return "in its bits"
        left, right = (numpy.frombuffer(raw, a.dtype.name).astype("float64") for raw in (x, y))
        with numpy.errstate(invalid="ignore"):
            gap = numpy.abs(left - right)
        count += int((left != right).sum())
        worst = max(worst, float(numpy.nan_to_num(gap, nan=numpy.inf).max(initial=0.0)))
    return f"in {count} of {a.count} values, at most by {worst:.3g}"


def show_report(report: WeightsReport, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(report.to_json(), indent=1))
        return
    checked = "compared bit for bit" if report.verified else "not compared"
    count = len(report.entries)
    click.echo(f"{report.destination}: {count} entries, {size_text(report.bytes)}, {checked}")
    _show_names("left aside, no counterpart", report.dropped)
    here = report.side == "mindspore"
    _show_names("filled, only MindSpore has them" if here else "filled with 0, MindSpore keeps none", report.filled)
    _show_names("missing, allowed", report.missing)
    _show_notes(report.notes)


def _show_names(title: str, found: list[str]) -> None:
    if found:
        leaves = Counter(name.rpartition(".")[2] for name in found)
        click.echo(f"  {title}: " + ", ".join(f"{n} {leaf}" for leaf, n in leaves.most_common(6)))


def _show_notes(notes: list[str]) -> None:
    for note in notes:
        click.echo(f"  note: {note}", err=True)
