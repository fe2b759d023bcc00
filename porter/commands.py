"""The commands that need neither torch nor MindSpore: convert, scan, explain, new, table."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porter.cli import shared_options
from porter.diagnostics import Diagnostic, InputError

if TYPE_CHECKING:
    from porter.convert import PortedTree
    from porter.trace import Facts


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SRC...")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the ported tree.")
@click.option("--trace", "trace_spec", metavar="MODULE:EXPR", help="Run the model once to learn what calls are made on; runs its code.")
@shared_options("input", "target", "mappings", "format")
@click.option("--style", "form", type=click.Choice(["loop", "model"]), default="loop", show_default=True, help="Training loops as loops, or as mindspore.train.Model with callbacks where they fit it.")
@click.option("--fuse", is_flag=True, help="Join Conv2d + BatchNorm2d (+ ReLU) into Conv2dBnAct.")
@click.option("--diff", is_flag=True, help="Print a unified diff instead of writing.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if there is anything to say.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a report page.")
@click.option("--force", is_flag=True, help="Write into a folder that holds other files.")
@click.option("--jobs", type=click.IntRange(min=1), default=lambda: os.cpu_count() or 1, show_default="the cores", help="Processes that rewrite the files of a large tree.")
def convert(
    sources: tuple[Path, ...], output: Path | None, trace_spec: str | None, inputs: tuple[str, ...], target: str,
    mappings: tuple[Path, ...], style: str, form: str, fuse: bool, diff: bool, check: bool, html: Path | None, force: bool, jobs: int,
) -> None:  # fmt: skip
    """Convert PyTorch source files or folders to MindSpore.

    A refused call stays as it was and is named with what to do; the output always parses.
    """
    if output is None and not (diff or check):
        raise click.UsageError("give -o OUT, --diff or --check")
    if inputs and not trace_spec:
        raise click.UsageError("--input belongs to --trace")
    from porter.convert import convert_tree
    from porter.files import check_output, package_of, read_tree, write_tree
    from porter.settings import load_own

    texts, others = read_tree(sources)
    if output is not None:
        check_output(output, sources, force=force)
    facts = _traced(trace_spec, inputs, sources) if trace_spec else None
    tree = convert_tree(texts, table=load_own(mappings), target=target, facts=facts, fuse=fuse, style=form, package=package_of(sources), jobs=jobs)
    gc.freeze()  # this process ends soon: the trees are not worth looking through again
    if diff:
        click.echo(unified_diff(texts, tree), nl=False)
    elif output is not None and not check:
        write_tree(output, tree.files, others)
        write_map(output, tree)
    if html is not None:
        from porter.report.html import write_report

        write_report(html, texts=texts, tree=tree)
    show(tree.diagnostics, style)
    if style == "text":
        count = len(tree.diagnostics)
        said = f"{count} diagnostic{'s' * (count != 1)}" if count else "clean"
        click.echo(f"{len(texts)} files, {len(tree.changed)} ported: {said}", err=True)
    sys.exit(1 if tree.diagnostics else 0)


def _traced(spec: str, inputs: tuple[str, ...], sources: tuple[Path, ...]) -> Facts:
    from porter.trace import trace

    return trace(spec, inputs, sources)


def write_map(output: Path, tree: PortedTree) -> None:
    """Leaves what the weight converter must know of fusions beside the ported source."""
    from porter.files import write_text

    path = output / "porter-map.json"
    if tree.fusions:
        write_text(path, json.dumps({"fusions": list(tree.fusions)}, indent=1) + "\n")
    elif path.exists():
        path.unlink()


def unified_diff(texts: dict[str, str], tree: PortedTree) -> str:
    import difflib

    parts: list[str] = []
    for name in sorted(tree.files):
        old, new = texts.get(name, ""), tree.files[name]
        if old != new:
            parts += difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}")
    return "".join(parts)


def show(diagnostics: Iterable[Diagnostic], style: str) -> None:
    """Prints diagnostics on stdout in the asked style."""
    if style == "text":
        for diagnostic in diagnostics:
            click.echo(str(diagnostic))
    elif style == "json":
        click.echo(json.dumps([as_json(d) for d in diagnostics], indent=1))
    else:
        from porter.report.sarif import sarif

        click.echo(json.dumps(sarif(list(diagnostics)), indent=1))


def as_json(diagnostic: Diagnostic) -> dict[str, object]:
    place = diagnostic.location
    return {
        "path": place.path, "line": place.line, "column": place.column, "code": diagnostic.code,
        "message": diagnostic.message, "help": diagnostic.help, "rule": diagnostic.rule, "symbol": diagnostic.symbol,
    }  # fmt: skip


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SRC...")
@shared_options("target", "mappings")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How the result is printed.")
def scan(sources: tuple[Path, ...], target: str, mappings: tuple[Path, ...], style: str) -> None:
    """Say what would port and what would not, most blocking first; writes nothing and runs nothing."""
    from porter.convert import convert_tree
    from porter.files import package_of, read_tree
    from porter.settings import load_own

    texts, _ = read_tree(sources)
    tree = convert_tree(texts, table=load_own(mappings), target=target, package=package_of(sources))
    groups: dict[tuple[str, str], list[Diagnostic]] = {}
    for diagnostic in tree.diagnostics:
        groups.setdefault((diagnostic.code, diagnostic.symbol or diagnostic.message), []).append(diagnostic)
    ranked = sorted(groups.items(), key=lambda g: (-len({d.location.path for d in g[1]}), -len(g[1]), g[0]))
    if style == "json":
        found = [
            {"code": c, "subject": s, "files": len({d.location.path for d in ds}), "places": [as_json(d) for d in ds]} for (c, s), ds in ranked
        ]  # fmt: skip
        click.echo(json.dumps({"files": len(texts), "clean": len(texts) - len({d.location.path for d in tree.diagnostics}), "blocking": found}, indent=1))
    else:
        _show_scan(texts, tree, ranked)
    sys.exit(1 if tree.diagnostics else 0)


def _show_scan(texts: dict[str, str], tree: PortedTree, ranked: list[tuple[tuple[str, str], list[Diagnostic]]]) -> None:
    from rich.console import Console
    from rich.table import Table as RichTable

    blocked = {d.location.path for d in tree.diagnostics}
    lines = sum(t.count("\n") for t in texts.values())
    console = Console()
    console.print(f"{len(texts)} files, {lines} lines: {len(texts) - len(blocked)} would port as they are, {len(blocked)} need a hand")
    if not ranked:
        return
    shown = RichTable("files", "places", "code", "what", "what to do")
    for (code, subject), found in ranked[:40]:
        shown.add_row(str(len({d.location.path for d in found})), str(len(found)), code, subject, found[0].help)
    console.print(shown)
    if len(ranked) > 40:
        console.print(f"and {len(ranked) - 40} more kinds; --format json has all of them")


@click.command()
@click.argument("name")
@shared_options("mappings")
def explain(name: str, mappings: tuple[Path, ...]) -> None:
    """Show what a torch name becomes: its row, what differs and why, its state on each target, an example."""
    from porter.explain import explained
    from porter.settings import load_own

    text = explained(name, load_own(mappings))
    click.echo(text)


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Print the skeleton of a row, with the signature that the installed torch has."""
    from porter.explain import skeleton

    click.echo(skeleton(name))


@click.command()
@click.option("--readme", is_flag=True, help="Write mappings/README.md.")
@click.option("--schema", is_flag=True, help="Write mappings/schema.json.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the whole table as one searchable page.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a page is not what the table gives.")
@click.option("--demand", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Say how many names of a CSV (columns api, models_executing) are proven.")
def table(readme: bool, schema: bool, html: Path | None, check: bool, demand: Path | None) -> None:
    """Write the table's generated pages, or check that they are up to date."""
    from porter.report.table import demand_text, pages
    from porter.table import load_table

    if demand is not None:
        click.echo(demand_text(load_table(), demand))
    stale = []
    for path, text in pages(load_table(), readme=readme or check, schema=schema or check, html=html):
        if check:
            if not path.exists() or path.read_text("utf-8") != text:
                stale.append(path)
        else:
            from porter.files import write_text

            write_text(path, text)
            click.echo(str(path))
    if stale:
        raise InputError(f"{', '.join(map(str, stale))}: not what the table gives", "run porter table --readme --schema")
