"""The command `porter port`: trace, convert, weights, parity, report."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porter.cli import shared_options
from porter.diagnostics import Diagnostic, InputError, Location

if TYPE_CHECKING:
    from porter.convert import PortedTree
    from porter.locate import Source
    from porter.parity.models import ModelParity
    from porter.table import Table
    from porter.trace import Facts

STEPS = 5
SIMPLE = "MODULE:EXPR"


@dataclass(frozen=True)
class Job:
    """What one run of the command is asked to do."""

    source: Source
    inputs: tuple[str, ...]
    output: Path
    weights: Path | None = None
    target: str = "portable"
    fuse: bool = False
    gradients: bool = False
    seed: int = 0
    mappings: tuple[Path, ...] = ()


@dataclass
class Outcome:
    """What came of it."""

    tree: PortedTree
    parity: tuple[ModelParity, ...] = ()
    problems: list[Diagnostic] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        return (*self.tree.diagnostics, *self.problems)

    @property
    def passed(self) -> bool:
        return not self.diagnostics and bool(self.parity) and all(p.passed for p in self.parity)


@click.command()
@click.argument("spec", metavar=SIMPLE)
@shared_options("input", "target", "mappings")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for everything that is written.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="The checkpoint to port; without it, sample weights are made.",
)
@click.option("--fuse", is_flag=True, help="Join Conv2d + BatchNorm2d (+ ReLU) into Conv2dBnAct.")
@click.option("--grad", is_flag=True, help="Also compare the gradients of every input and parameter.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of sample inputs and weights."
)
@click.option("--force", is_flag=True, help="Write into a folder that holds other files.")
def port(
    spec: str, inputs: tuple[str, ...], target: str, mappings: tuple[Path, ...], output: Path, weights: Path | None,
    fuse: bool, grad: bool, seed: int, force: bool,
) -> None:  # fmt: skip
    """The whole job: run the reference once, convert its package, its weights, and compare both models.

    MODULE is an import path or a .py file, EXPR builds the reference model. OUT gets the ported package, model.pth,
    model.ckpt and report.html.
    """
    from porter.locate import locate
    from porter.parity.samples import parse_spec

    if not inputs:
        raise click.UsageError("give one --input SPEC for each argument of forward")
    for text in inputs:
        parse_spec(text)
    source = locate(spec)
    _check_output(source, output, force)
    job = Job(source, inputs, output, weights, target, fuse, grad, seed, mappings)
    _check_weights(job)
    outcome = run(job)
    _show(outcome)
    sys.exit(0 if outcome.passed else 1)


def _check_output(source: Source, output: Path, force: bool) -> None:
    from porter.files import check_output

    if output.resolve() == source.root:
        raise InputError(f"{output}: the ported files would replace the reference", "choose another folder")
    check_output(output, (source.package,) if source.package else (), force=force)


def _check_weights(job: Job) -> None:
    """A checkpoint that cannot be read is told before anything is run or written."""
    if job.weights is not None:
        from porter.weights.read import open_checkpoint

        with open_checkpoint(job.weights):
            pass


# --- the steps -------------------------------------------------------------------------------------------------------


def run(job: Job) -> Outcome:
    """Does all steps and writes everything into the output folder. Raises InputError for bad input."""
    from porter.commands import write_map
    from porter.convert import convert_tree
    from porter.files import write_tree
    from porter.settings import load_own

    source = job.source
    with _step(1, f"tracing {source.spec}"):
        facts = _traced(source, job.inputs)
    table = load_own(tuple(job.mappings))
    with _step(2, f"converting {len(source.texts)} files"):
        tree = convert_tree(source.texts, table=table, target=job.target, facts=facts, fuse=job.fuse)
    outcome = Outcome(tree)
    reference = _reference_weights(job)
    write_tree(job.output, tree.files, source.others)
    write_map(job.output, tree)
    cell = ported_spec(job, tree, table)
    checkpoint = job.output / "model.ckpt"
    with _step(4, f"weights {reference} -> {checkpoint}"):
        outcome.problems += _convert_weights(job, reference, checkpoint, cell)
    if not outcome.problems:
        with _step(5, "running both models, PYNATIVE and GRAPH"):
            _compare(job, outcome, reference, checkpoint, cell)
    outcome.facts |= _facts(job, outcome, reference)
    _report(job, outcome)
    return outcome


def _traced(source: Source, inputs: tuple[str, ...]) -> Facts:
    from porter.trace import trace

    try:
        return trace(source.spec, inputs, (source.root,))
    except InputError as error:
        raise InputError(Exception.__str__(error).removeprefix("--trace "), error.help) from None


class _step:
    """Tells on stderr what is being done, and how long it took."""

    def __init__(self, number: int, text: str) -> None:
        self.text = f"[{number}/{STEPS}] {text}"

    def __enter__(self) -> None:
        self.started = time.perf_counter()
        click.echo(f"{self.text} ...", err=True, nl=False)

    def __exit__(self, kind: object, error: object, _: object) -> None:
        click.echo(" failed" if error else f" {time.perf_counter() - self.started:.1f} s", err=True)


def _reference_weights(job: Job) -> Path:
    """The given checkpoint, or one that is made now; nothing else has been written yet."""
    if job.weights is not None:
        return job.weights
    path = job.output / "model.pth"
    source = job.source
    asked = {"spec": source.spec, "paths": [str(source.root)], "inputs": list(job.inputs), "seed": job.seed}
    with _step(3, f"sample weights {path}"):
        from porter.files import MARK, write_text

        fresh = not job.output.exists()
        write_text(job.output / MARK, "Written by porter; its files here are replaced when it runs again.\n")
        partial = path.with_suffix(".pth.partial")
        done = _child(["-m", "porter.sample_weights"], json.dumps({**asked, "path": str(partial)}))
        said = _json_line(done.stdout)
        if "error" in said or not partial.exists():
            partial.unlink(missing_ok=True)
            if fresh:
                (job.output / MARK).unlink(missing_ok=True)
                job.output.rmdir()
            why = said.get("error") or _last_line(done.stderr)
            raise InputError(f"{source.spec}: {why}", "check the expression and --input")
        os.replace(partial, path)
    return path


def _convert_weights(job: Job, reference: Path, checkpoint: Path, cell: str) -> list[Diagnostic]:
    """Writes the checkpoint under the names of the ported Cell; what does not fit comes back."""
    arguments = [
        "-m",
        "porter.cli",
        "weights",
        str(reference),
        "-o",
        str(checkpoint),
        "--cell",
        cell,
        "--format",
        "json",
    ]
    done = _child(arguments)
    if done.returncode == 0:
        return []
    said = _json(done.stdout)
    if "diagnostics" in said:
        fields = said["diagnostics"]
        return [
            Diagnostic(Location(str(reference)), d["code"], d["message"], d["help"], symbol=d["symbol"])
            for d in fields
        ]
    why = str(said.get("error") or _last_line(done.stderr))
    return [Diagnostic(Location(str(job.output / job.source.path)), "MSP409", why, str(said.get("help", "")))]


def _compare(job: Job, outcome: Outcome, reference: Path, checkpoint: Path, cell: str) -> None:
    from porter.parity.models import Plan
    from porter.parity.sides import Side, compare_sides

    torch_side = Side(job.source.spec, (str(job.source.root),), str(reference))
    cell_side = Side(cell, (str(job.output.resolve()),), str(checkpoint))
    try:
        outcome.parity = compare_sides(
            torch_side,
            cell_side,
            job.inputs,
            plan=Plan(gradients=job.gradients),
            modes=("PYNATIVE", "GRAPH"),
            seed=job.seed,
        )
    except InputError as error:  # the reference has run before: it is the port that fails
        place = Location(str(job.output / job.source.path))
        outcome.problems.append(Diagnostic(place, "MSP501", Exception.__str__(error), error.help))


def ported_spec(job: Job, tree: PortedTree, table: Table) -> str:
    """MODULE:EXPR of the ported Cell: the module's new file, and the expression ported in its place there."""
    source = job.source
    expression = source.expression
    if any(isinstance(n, ast.Attribute) for n in ast.walk(ast.parse(expression, mode="eval"))):
        expression = _ported_expression(source, table, job.target)
    return f"{(job.output / source.path).resolve()}:{expression}"


def _ported_expression(source: Source, table: Table, target: str) -> str:
    """An expression such as Net(norm=nn.BatchNorm2d) or Net().eval() in MindSpore's terms."""
    from porter.convert import convert_tree

    name = "porter_model"
    texts = {
        **source.texts,
        source.path: f"{source.texts[source.path].rstrip()}\n\n{name} = ({source.expression})\n",
    }
    text = convert_tree(texts, table=table, target=target).files[source.path]
    last = ast.parse(text).body[-1]
    return ast.unparse(last.value) if isinstance(last, ast.Assign) else source.expression


# --- other processes ---------------------------------------------------------------------------------------------------


def _child(arguments: Sequence[str], given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, ONEDNN_MAX_CPU_ISA=os.environ.get("ONEDNN_MAX_CPU_ISA", "AVX2"))
    environment.setdefault("GLOG_v", "3")
    root = str(Path(__file__).resolve().parents[1])
    environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environment.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *arguments], input=given, env=environment, capture_output=True, text=True
    )


def _json_line(text: str) -> dict[str, Any]:
    """The last line as JSON; what the user's code prints stands before it."""
    lines = [line for line in text.splitlines() if line.strip()]
    return _json(lines[-1]) if lines else {}


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _last_line(text: str) -> str:
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "no output")


# --- what is shown -----------------------------------------------------------------------------------------------------


def _facts(job: Job, outcome: Outcome, reference: Path) -> Mapping[str, str]:
    return {
        "reference": job.source.spec,
        "inputs": " ".join(job.inputs),
        "weights": f"{reference}" if job.weights else f"sample weights, seed {job.seed}",
        "target": job.target,
        "fused classes": ", ".join(str(f["class"]) for f in outcome.tree.fusions)
        if job.fuse
        else "fusion was not asked for",
    }


def _report(job: Job, outcome: Outcome) -> None:
    from porter.report.html import write_report

    write_report(
        job.output / "report.html", title=f"Port of {job.source.spec}", texts=job.source.texts, tree=outcome.tree,
        parity=outcome.parity, diagnostics=outcome.problems, facts=outcome.facts,
    )  # fmt: skip
    click.echo(f"report: {job.output / 'report.html'}", err=True)


def _show(outcome: Outcome) -> None:
    from rich.console import Console

    console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False)
    for result in outcome.parity:
        if result.layers:
            console.print(_layer_table(result))
    for diagnostic in outcome.diagnostics:
        click.echo(str(diagnostic))
    from porter.report.text import group_lines

    for result in outcome.parity:
        click.echo(f"{group_lines(result)}\n{result.verdict}")
    count = len(outcome.diagnostics)
    click.echo(f"{count} diagnostic{'s' * (count != 1)}" if count else "every call was ported")


def _layer_table(result: ModelParity) -> Any:
    """Every layer's largest difference, relative to the largest magnitude of its output."""
    from rich.table import Table as RichTable

    from porter.report.text import shown

    table = RichTable(
        "layer", "kind", "largest difference", title=f"{result.mode}: layers in the order of the calls"
    )
    first = result.first_difference
    for layer in result.layers:
        mark = " <- differs first" if layer is first else "" if layer.passed else " differs"
        table.add_row(layer.path, layer.kind, shown(layer) + mark, style=None if layer.passed else "red")
    return table
