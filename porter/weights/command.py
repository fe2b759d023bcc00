"""The command `porter weights`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from porter.diagnostics import InputError


@click.command("weights", short_help="Convert a checkpoint between PyTorch and MindSpore.")
@click.argument("source", metavar="IN", required=False)
@click.option(
    "-o", "--output", metavar="OUT", help="The file to write: .ckpt, .safetensors, .pth, .pt or .bin."
)
@click.option("--cell", metavar="MODULE:EXPR", help="The ported Cell, which gives names, shapes and dtypes.")
@click.option("--map", "map_file", metavar="FILE", help="A name map (see --write-map) instead of the Cell.")
@click.option("--write-map", metavar="FILE", help="Also write the names of the Cell as a map.")
@click.option("--allow-missing", metavar="PATTERN", multiple=True, help="Parameters that the file may lack.")
@click.option("--rename", metavar="A=B", multiple=True, help="Take the entry (or prefix, or PREFIX*) A as B.")
@click.option("--key", metavar="NAME", help="Which state dict, where the file holds several.")
@click.option(
    "--optimizer", metavar="CLASS", help="Also carry over the optimizer state, for this MindSpore optimizer."
)
@click.option("--list", "list_entries", is_flag=True, help="Print every entry of IN.")
@click.option("--diff", nargs=2, metavar="A B", help="Compare two checkpoints, entry by entry.")
@click.option("--no-verify", is_flag=True, help="Do not read the written file again.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to print results."
)
def weights(
    source: str | None,
    output: str | None,
    cell: str | None,
    map_file: str | None,
    write_map: str | None,
    allow_missing: tuple[str, ...],
    rename: tuple[str, ...],
    key: str | None,
    optimizer: str | None,
    list_entries: bool,
    diff: tuple[str, str] | None,
    no_verify: bool,
    form: str,
) -> None:
    """Convert a checkpoint between PyTorch and MindSpore, without running what is in it.

    IN is a .pth, .pt, .bin, .safetensors, *.index.json or .ckpt file. Names come from the ported Cell (--cell),
    from a map (--map), or from the entries themselves.
    """
    from porter.weights.convert import WeightsError

    try:
        status = _run(
            source,
            output,
            cell,
            map_file,
            write_map,
            allow_missing,
            rename,
            key,
            optimizer,
            list_entries,
            diff,
            no_verify,
            form,
        )
    except WeightsError as error:
        _print_problems(error, form)
        status = 1
    except InputError as error:
        _print_error(error, form)
        status = 2
    sys.exit(status)


def _run(
    source: str | None,
    output: str | None,
    cell: str | None,
    map_file: str | None,
    write_map: str | None,
    allow_missing: tuple[str, ...],
    rename: tuple[str, ...],
    key: str | None,
    optimizer: str | None,
    list_entries: bool,
    diff: tuple[str, str] | None,
    no_verify: bool,
    form: str,
) -> int:
    from porter.weights import convert, listing, maps

    if diff is not None:
        return listing.show_difference(diff, key, form)
    if source is None:
        raise InputError("porter weights needs IN", "porter weights IN -o OUT --cell MODULE:EXPR")
    if list_entries:
        return listing.show_entries(source, key, form)
    if output is None:
        raise InputError("porter weights needs -o OUT", "porter weights IN -o OUT --cell MODULE:EXPR")
    if cell and map_file:
        raise InputError("--cell and --map exclude each other", "give one of them")
    pairs = [_pair(text) for text in rename]
    plan = convert.plan_for(cell) if cell else maps.read_map(map_file) if map_file else None
    if write_map:
        if plan is None:
            raise InputError("--write-map needs --cell", "give the ported Cell")
        maps.write_map(plan, write_map)
    with _Bar() as bar:
        report = convert.convert_weights(
            source,
            output,
            plan=plan,
            renames=pairs,
            allow_missing=allow_missing,
            key=key,
            optimizer=optimizer,
            verify=not no_verify,
            progress=bar.update if form == "text" else None,
        )
    listing.show_report(report, form)
    return 0


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not equals or not old:
        raise InputError(f"--rename {text!r} is not A=B", "for example --rename head.weight=fc.weight")
    return old, new


def _print_problems(error: Any, form: str) -> None:
    if form == "json":
        fields = ("code", "message", "help", "symbol")
        problems = [{name: getattr(d, name) for name in fields} for d in error.diagnostics]
        click.echo(json.dumps({"diagnostics": problems}, indent=1))
        return
    for diagnostic in error.diagnostics:
        click.echo(str(diagnostic), err=True)
    count = len(error.diagnostics)
    click.echo(f"error: {count} diagnostic{'s' if count > 1 else ''}, nothing was written", err=True)


def _print_error(error: InputError, form: str) -> None:
    if form == "json":
        click.echo(json.dumps({"error": error.args[0], "help": error.help}))
    else:
        click.echo(f"error: {error}", err=True)


class _Bar:
    """A progress line on a terminal, for work that takes longer than a moment."""

    def __init__(self) -> None:
        self.shown = -1
        self.active = sys.stderr.isatty()

    def __enter__(self) -> _Bar:
        return self

    def update(self, stage: str, done: int, total: int) -> None:
        percent = 100 * done // max(total, 1)
        if not self.active or total < 1 << 26 or percent == self.shown:
            return
        self.shown = percent
        filled = percent * 30 // 100
        sys.stderr.write(f"\r{stage:7s} [{'#' * filled}{'.' * (30 - filled)}] {percent:3d} %")
        sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self.shown >= 0:
            sys.stderr.write("\r" + " " * 50 + "\r")
