"""A project's own tables: from --mappings and from [tool.porter] in pyproject.toml, with notice of what they replace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.diagnostics import InputError

if TYPE_CHECKING:
    from porter.table import Row, Table

KEYS = frozenset(["mappings"])


def own_tables(given: tuple[Path, ...], start: Path | None = None) -> tuple[Path, ...]:
    """The tables of [tool.porter] in the nearest pyproject.toml, then those that were given; later ones win."""
    found = [path for path in project_tables(start or Path.cwd()) if path.resolve() not in {g.resolve() for g in given}]
    return (*found, *given)


def project_tables(start: Path) -> Iterator[Path]:
    """The paths under `mappings` in [tool.porter]. Raises InputError where the section or a path is wrong."""
    path = next((p for folder in (start, *start.parents) if (p := folder / "pyproject.toml").is_file()), None)
    settings = _section(path) if path is not None else {}
    unknown = sorted(set(settings) - KEYS)
    if unknown:
        raise InputError(f"{path}: [tool.porter] has the unknown key {unknown[0]!r}", f"keys are: {', '.join(sorted(KEYS))}")
    tables = settings.get("mappings", [])
    if not isinstance(tables, list) or not all(isinstance(t, str) for t in tables):
        raise InputError(f"{path}: mappings in [tool.porter] is not a list of paths", 'write mappings = ["tables/own.yaml"]')
    for table in tables:
        assert path is not None
        if not (path.parent / table).is_file():
            raise InputError(f"{path}: [tool.porter] names {table}, which is no file", "paths are relative to pyproject.toml")
        yield path.parent / table


def _section(path: Path) -> Mapping[str, Any]:
    text = path.read_text("utf-8")
    if "tool.porter" not in text:
        return {}
    try:
        import tomllib
    except ModuleNotFoundError:
        raise InputError(f"{path}: [tool.porter] is read on Python 3.11 and later", "give the tables with --mappings") from None
    try:
        section = tomllib.loads(text).get("tool", {}).get("porter", {})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from None
    if not isinstance(section, dict):
        raise InputError(f"{path}: tool.porter is not a table", "write it as [tool.porter]")
    return section


def load_own(given: tuple[Path, ...]) -> Table:
    """The shipped table with the project's and the given ones over it; says on stderr which proven rows they replace."""
    import click

    from porter.table import load_table, read_rows

    tables = own_tables(tuple(given))
    if not tables:
        return load_table()
    merged = load_table(tables)
    names = dict.fromkeys(row.name for path in tables for row in read_rows(path)[0])
    for notice in replaced(names, merged, load_table()):
        click.echo(notice, err=True)
    return merged


def replaced(names: Iterable[str], own: Table, shipped: Table) -> Iterator[str]:
    """One line for each proven row of the shipped table that another row of its name contradicts."""
    from porter.parity.proofs import read_proofs

    proofs = read_proofs()
    for name in names:
        rows, before = own.get(name), shipped.get(name)
        if before and name in proofs and proofs[name].state == "proven" and _contradicts(rows, before):
            yield f"{rows[0].location}: note: stands in place of the proven row of {name} ({before[0].location})"


def _contradicts(rows: tuple[Row, ...], before: tuple[Row, ...]) -> bool:
    def outcome(row: Row) -> tuple[object, ...]:
        return row.alternatives, row.drop, row.refused, row.require, dict(row.weights)

    return list(map(outcome, rows)) != list(map(outcome, before))
