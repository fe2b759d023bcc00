"""The commands `porter prove` and `porter parity`."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import date as calendar_date
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porter.diagnostics import InputError

if TYPE_CHECKING:
    from porter.parity.proofs import RowResult

INSTALLED = frozenset({"torch", "einops"})  # what every proof finds; rows of other packages are proven where those are
PROGRESS_LINES = 100  # rows between two lines of progress where no terminal shows a bar


@click.command()
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@click.option(
    "--fuzz", type=click.IntRange(min=0), default=0, metavar="N", help="Also run N random calls of each row."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random calls."
)
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Worker processes.")
@click.option("--fresh", is_flag=True, help="Run every row again, also where nothing has changed since its proof.")
@click.option("--mutants/--no-mutants", default=True, help="Mutate each proven row; every mutant must fail.")
@click.option(
    "--mappings", "tables", type=click.Path(path_type=Path), multiple=True, help="A table of your own."
)
@click.option("--write", is_flag=True, help="Record the result in mappings/proofs.json.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=None, help="Record it in this file instead."
)
@click.option("--date", default=None, metavar="YYYY-MM-DD", help="The date to record (today).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def prove(
    rows: tuple[str, ...],
    fuzz: int,
    seed: int,
    jobs: int,
    fresh: bool,
    mutants: bool,
    tables: tuple[Path, ...],
    write: bool,
    output: Path | None,
    date: str | None,
    form: str,
) -> None:
    """Run the table's own proofs: each example of each ROW (a torch name, or a part of names with *) on both sides."""
    from porter.parity.kept import row_digest
    from porter.parity.pool import Job, prove_rows
    from porter.parity.proofs import keyed_rows, write_proofs
    from porter.settings import load_own, own_tables

    known = keyed_rows(load_own(tables))
    tables = own_tables(tables)
    keys = select(rows, list(known))
    results = _with_progress(prove_rows(keys, Job(tables, mutants, fuzz, seed, fresh), jobs), len(keys))
    results.sort(key=lambda r: r.key)
    if write or output:
        proofs = {result.key: result.proof for result in results}
        digests = {key: row_digest(row) for key, row in known.items() if row.name.partition(".")[0] not in INSTALLED}
        write_proofs(proofs, versions(), date or calendar_date.today().isoformat(), known, output, digests)
    click.echo(_as_json(results) if form == "json" else summary(results))
    raise SystemExit(1 if any(r.proof.state == "failed" or r.survivors for r in results) else 0)


def select(patterns: Sequence[str], known: Sequence[str]) -> list[str]:
    """The row keys that names or patterns mean. Raises InputError for one that means none."""
    from fnmatch import fnmatchcase

    if not patterns:
        return list(known)
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = [key for key in known if fnmatchcase(key.partition("#")[0], pattern) or key == pattern]
        if not found:
            close = difflib.get_close_matches(pattern, known, 3)
            raise InputError(
                f"no row is called {pattern}", f"close names: {', '.join(close)}" if close else ""
            )
        chosen.update(dict.fromkeys(found))
    return list(chosen)


def versions() -> dict[str, str]:
    """The versions that a proof holds for."""
    return {name: metadata.version(name) for name in ("torch", "mindspore", "numpy")}


def _with_progress(results: Any, total: int) -> list[RowResult]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("proving"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    found = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        failed = 0
        for result in results:
            found.append(result)
            failed += result.proof.state == "failed"
            progress.update(task, advance=1, description=f"{result.key}  ({failed} failed)")
            if not console.is_terminal and len(found) % PROGRESS_LINES == 0:
                click.echo(f"{len(found)} of {total} rows, {failed} failed", err=True)
    return found


def summary(results: Sequence[RowResult]) -> str:
    """What failed and what survived, with a reproduction where few rows were asked for; then the totals."""
    lines: list[str] = []
    for result in results:
        if result.failures:
            lines.append(f"{result.key}: failed")
            lines += [f"  {failure}" for failure in result.failures[:6]]
            if len(result.failures) > 6:
                lines.append(f"  and {len(result.failures) - 6} more")
            script = next((f.reproduction for f in result.failures if f.reproduction), "")
            if script and len(results) <= 3:
                lines += ["  to reproduce:", *(f"    {line}".rstrip() for line in script.splitlines())]
        lines += [f"{result.key}: mutant survives: {text}" for text in result.survivors]
        lines += [f"{result.key}: no guard for {failure}" for failure in result.raised[:3]]
    states = Counter(result.proof.state for result in results)
    killed = sum(result.proof.mutants[0] for result in results)
    total = sum(result.proof.mutants[1] for result in results)
    parts = [f"{states[s]} {s}" for s in ("proven", "documented", "refused", "failed") if states[s]]
    calls: Counter[str] = Counter()
    for result in results:
        calls.update(result.proof.fuzz)
    if calls:
        parts.append(f"{calls.total()} random calls ({', '.join(f'{n} {o}' for o, n in calls.most_common())})")
    lines.append(f"{len(results)} rows: {', '.join(parts)}; mutants killed: {killed} of {total}")
    return "\n".join(lines)


def _as_json(results: Sequence[RowResult]) -> str:
    rows = [
        {
            "row": result.key,
            **result.proof.to_json(),
            "failures": [str(failure) for failure in result.failures],
            "survivors": list(result.survivors),
            "raised": [str(failure) for failure in result.raised],
            "seconds": round(result.seconds, 2),
        }
        for result in results
    ]
    return json.dumps({"versions": versions(), "rows": rows}, indent=1, ensure_ascii=False)


# --- porter parity -------------------------------------------------------------------------------------------------


@click.command()
@click.option("--torch", "torch_spec", required=True, metavar="MODULE:EXPR", help="The reference model.")
@click.option("--cell", "cell_spec", required=True, metavar="MODULE:EXPR", help="The ported Cell.")
@click.option(
    "--input", "specs", multiple=True, required=True, metavar="SPEC", help="As float32[1,3,224,224]."
)
@click.option(
    "--torch-path", multiple=True, type=click.Path(exists=True, file_okay=False), help="Where MODULE lies."
)
@click.option(
    "--cell-path", multiple=True, type=click.Path(exists=True, file_okay=False), help="Where MODULE lies."
)
@click.option(
    "--weights",
    nargs=2,
    type=click.Path(exists=True, dir_okay=False),
    metavar="IN.pth OUT.ckpt",
    default=None,
)
@click.option("--grad", is_flag=True, help="Also compare gradients of every input and parameter.")
@click.option(
    "--train",
    "steps",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Also compare N training steps.",
)
@click.option("--optimizer", type=click.Choice(["sgd", "adam"]), default="sgd", show_default=True)
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), default=0.01, show_default=True)
@click.option(
    "--mode", type=click.Choice(["pynative", "graph", "both"]), default="pynative", show_default=True
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--rtol",
    type=click.FloatRange(min=0),
    default=None,
    help="Largest difference of an output allowed (1e-4).",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), default=None, help="Write a report page."
)
def parity(
    torch_spec: str,
    cell_spec: str,
    specs: tuple[str, ...],
    torch_path: tuple[str, ...],
    cell_path: tuple[str, ...],
    weights: tuple[str, str] | None,
    grad: bool,
    steps: int,
    optimizer: str,
    lr: float,
    mode: str,
    seed: int,
    rtol: float | None,
    form: str,
    html: Path | None,
) -> None:
    """Run a torch model and its port on the same inputs and weights, and compare them layer by layer.

    Without --weights the torch model's weights (seeded, perturbed) are copied into the Cell. MODULE is an import path
    or a file; EXPR is evaluated in it; each side runs in its own process.
    """
    from porter.parity.models import Plan, Tolerances
    from porter.parity.samples import parse_spec
    from porter.parity.sides import Side, compare_sides
    from porter.report.text import parity_json, parity_text

    for spec in specs:
        parse_spec(spec)  # malformed ones are told before anything runs
    results = compare_sides(
        Side(torch_spec, _absolute(torch_path), weights[0] if weights else None),
        Side(cell_spec, _absolute(cell_path), weights[1] if weights else None),
        specs,
        plan=Plan(
            gradients=grad, steps=steps, optimizer="adam" if optimizer == "adam" else "sgd", learning_rate=lr
        ),
        modes={"pynative": ["PYNATIVE"], "graph": ["GRAPH"], "both": ["PYNATIVE", "GRAPH"]}[mode],  # type: ignore[arg-type]
        seed=seed,
        tolerances=Tolerances(output=rtol) if rtol is not None else None,
    )
    if html is not None:
        from porter.report.html import write_report

        write_report(html, title=f"Parity of {cell_spec}", parity=results)
    click.echo(json.dumps(parity_json(results), indent=1) if form == "json" else parity_text(results))
    raise SystemExit(0 if all(result.passed for result in results) else 1)


def _absolute(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(Path(path).resolve()) for path in paths)
