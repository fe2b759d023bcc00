"""The port report: one HTML page that needs nothing else."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from porter import __version__
from porter.diagnostics import Diagnostic
from porter.report.text import groups, shown

if TYPE_CHECKING:
    from porter.parity.models import LayerDifference, ModelParity

CONTEXT_LINES = 3
BAR_FLOOR = 1e-9  # a bar starts here and is full at 1, on a logarithmic scale


class Tree(Protocol):
    """What the converter gives for a set of files."""

    @property
    def files(self) -> Mapping[str, str]: ...
    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]: ...


@dataclass(frozen=True)
class DiffLine:
    """One row of a side-by-side diff; `kind` is equal, change, left, right or gap."""

    kind: str
    left_number: int | None = None
    left: str = ""
    right_number: int | None = None
    right: str = ""


@dataclass(frozen=True)
class PortedText:
    """A source file before and after."""

    path: str
    before: str
    after: str

    @property
    def lines(self) -> list[DiffLine]:
        return list(side_by_side(self.before, self.after))

    @property
    def changed(self) -> int:
        """How many lines of the ported file are not in the reference."""
        return sum(line.kind in ("change", "right") for line in self.lines)


@dataclass(frozen=True)
class PortReport:
    """Everything that the page shows."""

    title: str
    parity: tuple[ModelParity, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    files: tuple[PortedText, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.diagnostics and all(result.passed for result in self.parity)

    @property
    def verdict(self) -> str:
        """One sentence for the head of the page."""
        parts = []
        if self.parity:
            bad = [result for result in self.parity if not result.passed]
            parts.append(bad[0].verdict if bad else "; ".join(result.verdict for result in self.parity))
        if self.files or self.diagnostics:
            count = len(self.diagnostics)
            parts.append(f"{count} diagnostic{'s' * (count != 1)}" if count else "every call was ported")
        return ". ".join(parts) or "nothing was compared"


def write_report(
    path: Path,
    *,
    title: str = "Port report",
    texts: Mapping[str, str] | None = None,
    tree: Tree | None = None,
    parity: Sequence[ModelParity] = (),
    diagnostics: Sequence[Diagnostic] = (),
    facts: Mapping[str, str] | None = None,
) -> None:
    """Writes the page whole or not at all. `texts` are the reference files that `tree` was converted from."""
    from porter.files import write_text

    report = PortReport(
        title=title,
        parity=tuple(parity),
        diagnostics=(*(tree.diagnostics if tree else ()), *diagnostics),
        files=tuple(_changed_files(texts or {}, tree.files if tree else {})),
        facts=facts or {},
        versions=installed_versions(),
    )
    write_text(path, render(report))


def _changed_files(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[PortedText]:
    for path in sorted(after):
        old = before.get(path, "")
        if old != after[path]:
            yield PortedText(path, old, after[path])


def installed_versions() -> dict[str, str]:
    """Versions of porter and of what it compares, without importing any of them."""
    found = {"porter": __version__}
    for name in ("torch", "mindspore", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def render(report: PortReport) -> str:
    """The page as text."""
    page: str = _template().render(
        report=report,
        codes=sorted(Counter(d.code for d in report.diagnostics).items()),
        bar=bar,
        shown=shown,
        groups=groups,
    )
    return page


@lru_cache(maxsize=1)
def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html.j2")


def bar(layer: LayerDifference) -> int:
    """The length of a layer's bar, 0 to 100."""
    if layer.comparison is None:
        return 0
    return bar_length(layer.comparison.difference)


def bar_length(difference: float) -> int:
    """0 for a difference of 1e-9 or less, 100 for 1 or more, logarithmic between."""
    if not math.isfinite(difference):
        return 100
    if difference <= BAR_FLOOR:
        return 0
    return min(100, round(100 * (1 - math.log10(difference) / math.log10(BAR_FLOOR))))


def side_by_side(before: str, after: str, context: int = CONTEXT_LINES) -> Iterator[DiffLine]:
    """Rows of a side-by-side diff, with a gap where unchanged lines are left out."""
    old, new = before.splitlines(), after.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    at = 0
    for group in matcher.get_grouped_opcodes(context):
        if group[0][1] > at:
            yield DiffLine("gap", left=f"{group[0][1] - at} unchanged lines")
        for tag, i1, i2, j1, j2 in group:
            yield from _rows(tag, list(enumerate(old[i1:i2], i1 + 1)), list(enumerate(new[j1:j2], j1 + 1)))
            at = i2
    if 0 < at < len(old):
        yield DiffLine("gap", left=f"{len(old) - at} unchanged lines")


def _rows(tag: str, old: list[tuple[int, str]], new: list[tuple[int, str]]) -> Iterator[DiffLine]:
    for index in range(max(len(old), len(new))):
        left = old[index] if index < len(old) else None
        right = new[index] if index < len(new) else None
        if left and right:
            yield DiffLine("equal" if tag == "equal" else "change", *left, *right)
        elif left:
            yield DiffLine("left", *left)
        elif right:
            yield DiffLine("right", None, "", *right)
