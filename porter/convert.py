"""Converts source text, files and trees: parse, infer, rewrite, emit, check."""

from __future__ import annotations

import ast
import gc
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from porter.diagnostics import Diagnostic, Location
from porter.emit import EXTRAS, extras_text
from porter.fuse import FusionPlan, plan_fusions
from porter.imports import with_imports
from porter.infer import Inference
from porter.program import Module, Program, build_program
from porter.rewrite.edits import Needs
from porter.rewrite.rewriter import Rewriter
from porter.shadowed import class_names
from porter.table import Row, Table, load_table
from porter.trace import Facts

WORTH_A_PROCESS = 20  # modules; forking a process takes as long as a few


@dataclass(frozen=True)
class Ported:
    """The outcome for one file."""

    text: str
    extras: str
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class PortedTree:
    """The outcome for a tree: new text by relative path, the emitted modules among them, and what was said."""

    files: Mapping[str, str]
    diagnostics: tuple[Diagnostic, ...]
    changed: frozenset[str] = frozenset()
    extras: tuple[str, ...] = ()
    fusions: tuple[Mapping[str, object], ...] = field(default=())


def convert_source(
    text: str, *, path: str = "example.py", table: Table | None = None, target: str = "portable", facts: Facts | None = None
) -> Ported:
    """Converts one file on its own."""
    tree = convert_tree({path: text}, table=table, target=target, facts=facts)
    extras = "".join(tree.files[e] for e in tree.extras)
    return Ported(tree.files[path], extras, tree.diagnostics)


def convert_tree(
    sources: Mapping[str, str], *, table: Table | None = None, target: str = "portable", facts: Facts | None = None,
    fuse: bool = False, style: str = "loop", package: str = "", jobs: int = 1,
) -> PortedTree:  # fmt: skip
    """Converts Python files (relative path → text) that belong together; what does not parse stays as it was.

    `package` is the name of the folder that holds them, where that is a package itself. `jobs` processes rewrite the files of
    a large tree; the outcome is the same.
    """
    with _without_collection():
        return _convert_tree(sources, table if table is not None else load_table(), target, facts, fuse, style, package, jobs)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Syntax trees are many small objects that all live to the end: collecting garbage among them is a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _convert_tree(
    sources: Mapping[str, str], table: Table, target: str, facts: Facts | None, fuse: bool, style: str, package: str, jobs: int
) -> PortedTree:
    program, failed = build_program(dict(sources), table, package=package)
    inference = Inference(program, facts).run()
    diagnostics = [_unparsable(path, error) for path, error in failed.items()]
    files: dict[str, str] = {path: sources[path] for path in failed}
    packages: dict[str, list[Needs]] = {}
    plan = plan_fusions(program, inference, target) if fuse else None
    rewriting = Rewriting(program, inference, target, plan, style)
    for module, (needs, text, found) in zip(program.modules.values(), _each_module(rewriting, jobs), strict=True):
        files[module.path] = text
        diagnostics += found
        packages.setdefault(extras_home(program, module), []).append(needs)
    extras = []
    for home, all_needs in packages.items():
        text = _extras(all_needs, target, class_names(program))
        if text:
            name = f"{home}/{EXTRAS}.py" if home else f"{EXTRAS}.py"
            files[name] = text
            extras.append(name)
    if facts is not None and facts.inplace_matters:
        diagnostics.append(
            Diagnostic(
                Location(next(iter(sources))), "MSP204", "the traced model depends on a change in place that another name sees",
                "look at += and inplace=True on tensors that are read again, and write the result under its own name",
            )  # fmt: skip
        )
    changed = frozenset(p for p, t in files.items() if sources.get(p) != t)
    fusions = plan.recorded() if plan is not None else ()
    return PortedTree(files, tuple(sorted(diagnostics)), changed, tuple(extras), fusions)


Outcome = tuple[Needs, str, list[Diagnostic]]


@dataclass(frozen=True)
class Rewriting:
    """What the modules of a program are rewritten with, each by itself, once the kinds are inferred."""

    program: Program
    inference: Inference
    target: str
    plan: FusionPlan | None
    style: str

    def module(self, name: str) -> Outcome:
        """What a module needs, its new text, and what is said of it."""
        module = self.program.modules[name]
        if _is_ported(self.program, module):
            return Needs(), module.text, []
        rewriter = Rewriter(self.program, module, self.inference, self.target, self.plan)
        try:
            if self.style == "model":
                from porter.style_model import plan_models

                plan_models(rewriter)
            edits = rewriter.run()
            text = rewriter.splice(0, len(module.data), edits)
            text = with_imports(text, module, self.program, rewriter.needs)
            _check(text, module)
        except Exception as error:  # one file must not take the others with it
            problem = Diagnostic(
                Location(module.path), "MSP901", f"porter failed on this file: {type(error).__name__}: {error}",
                "the file is left as it was; please report it",
            )  # fmt: skip
            return Needs(), module.text, [problem]
        return rewriter.needs, text, rewriter.diagnostics


_rewriting: Rewriting  # what a process that was forked for some of the modules finds


def _each_module(rewriting: Rewriting, jobs: int) -> Sequence[Outcome]:
    """The outcomes in the order of the modules; of many modules by several processes that start with all that is known here."""
    names = list(rewriting.program.modules)
    if jobs < 2 or len(names) < WORTH_A_PROCESS * jobs or rewriting.plan is not None or sys.platform != "linux":
        return [rewriting.module(name) for name in names]
    global _rewriting
    _rewriting = rewriting
    try:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            return pool.map(_module, names, chunksize=1)
    finally:
        del _rewriting


def _module(name: str) -> Outcome:
    return _rewriting.module(name)


def _is_ported(program: Program, module: Module) -> bool:
    """Whether a file stands on MindSpore already: its tensors are MindSpore's, whatever their methods are called."""
    roots = {name.partition(".")[0] for name in [*module.imports.values(), *module.stars]}
    return "mindspore" in roots and not any(program.is_torch(name) for name in [*module.imports.values(), *module.stars])


def _check(text: str, module: Module) -> None:
    """The output parses."""
    ast.parse(text, filename=module.path)


def _unparsable(path: str, error: SyntaxError) -> Diagnostic:
    place = Location(path, error.lineno or 0, error.offset or 0)
    return Diagnostic(place, "MSP900", f"not Python that this version parses: {error.msg}", "the file is copied as it is")


def extras_home(program: Program, module: Module) -> str:
    """The folder that holds ms_extras.py for a module: the outermost package above it, or its own folder."""
    homes: dict[str, str] = program.__dict__.setdefault("_extras_homes", {})
    if module.folder not in homes:
        homes[module.folder] = _extras_home(program, PurePosixPath(module.path).parent)
    return homes[module.folder]


def _extras_home(program: Program, folder: PurePosixPath) -> str:
    parts = folder.parts
    for length in range(len(parts) + 1):
        package = "/".join(parts[:length])
        if program.is_package(package):
            return package
    return "" if str(folder) == "." else str(folder)


def _extras(all_needs: list[Needs], target: str, taken: frozenset[str]) -> str:
    emitted = {name for needs in all_needs for name in needs.emitted}
    adapters: dict[str, Row] = {name: row for needs in all_needs for name, row in needs.adapters.items()}
    return extras_text(emitted, adapters.values(), target, not_ported=any(needs.left for needs in all_needs), taken=taken)
