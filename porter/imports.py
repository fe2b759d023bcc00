"""Puts the imports that a ported file needs where its torch imports were."""

from __future__ import annotations

import ast
import io
import re
from pathlib import PurePosixPath

from porter.emit import EXTRAS
from porter.program import Module, Program, explore
from porter.rewrite.edits import Needs


def with_imports(text: str, module: Module, program: Program, needs: Needs) -> str:
    """The rewritten text with MindSpore's imports, one block, at the place of the first torch import."""
    if not needs.names and not needs.left:
        return text
    text = _with_dictionaries(text, needs)
    tree = ast.parse(text)
    lines = _import_lines(module, program, needs, explore(tree).bound)
    text, lines = _behind_stars(text, tree, lines, module, program)
    text, lines = _behind_paths(text, tree, lines, module)
    at, indent_break = _place(text, tree.body, module, program)
    return _inserted(text, at, lines, indent_break)


def _with_dictionaries(text: str, needs: Needs) -> str:
    """The text with each dictionary of members above the first definition that reads it."""
    for dictionary in needs.dictionaries.values():
        reads = re.compile(rf"\b{dictionary.name}\b")
        for node in ast.parse(text).body:
            if reads.search(ast.get_source_segment(text, node) or ""):
                at = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
                rows = text.splitlines()
                while at and rows[at - 1].startswith("#"):
                    at -= 1
                text = _inserted(text, at, dictionary.lines, "\n\n")
                break
    return text


def _inserted(text: str, at: int, lines: list[str], after: str = "") -> str:
    """A text with lines before the line `at`, counted from 0, and something between them and the rest."""
    parts = io.StringIO(text).readlines()
    return "".join([*parts[:at], *(f"{line}\n" for line in lines), after, *parts[at:]])


def _behind_stars(text: str, tree: ast.Module, lines: list[str], module: Module, program: Program) -> tuple[str, list[str]]:
    """`from models import *` brings the ms_extras of that package, so a script's own is imported after it."""
    from porter.convert import extras_home

    own = extras_home(program, module)
    others = [s for s in module.stars if s in program.modules and extras_home(program, program.modules[s]) != own]
    late = [line for line in lines if EXTRAS in line]
    stars = [n for n in tree.body if isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names)]
    if not others or not late or not stars:
        return text, lines
    at = stars[-1].end_lineno or 0
    return _inserted(text, at, late), [line for line in lines if line not in late]


def _behind_paths(text: str, tree: ast.Module, lines: list[str], module: Module) -> tuple[str, list[str]]:
    """A script that changes sys.path finds its package only after that: ms_extras comes just before the first import of it."""
    late = [line for line in lines if line.startswith("from ") and line.endswith(f" import {EXTRAS}") and not line.startswith("from .")]
    if not late or not module.has(b"sys.path"):
        return text, lines
    package = late[0].split()[1]
    own = next((n for n in tree.body if isinstance(n, ast.ImportFrom) and f"{n.module}.".startswith(f"{package}.")), None)
    if own is None or not any("sys.path" in ast.unparse(n) for n in tree.body if n.lineno < own.lineno):
        return text, lines
    at = own.lineno - 1
    return _inserted(text, at, late), [line for line in lines if line not in late]


def _import_lines(module: Module, program: Program, needs: Needs, taken: set[str]) -> list[str]:
    """The lines to add; `taken` are the names that the rewritten file binds at its top level or anywhere inside."""
    names = needs.names
    lines = []
    if "np" in names and "np" not in taken:
        lines.append("import numpy as np")
    if "typing" in names and "typing" not in taken:
        lines.append("import typing")
    if "mindspore" in names:
        lines.append("import mindspore")
    froms = []
    for name in ("nn", "ops", "mint"):
        if name in names:
            froms.append(name if name not in taken else f"{name} as ms_{name}")
    froms += [name for name in ("Tensor", "Parameter") if name in names]
    if froms:
        lines.append(f"from mindspore import {', '.join(sorted(froms, key=str.lower))}")
    if EXTRAS in names or needs.left:
        lines.append(_extras_import(module, program))
    for name in needs.left:
        if name not in taken:
            shown = module.imports.get(name, name)
            lines.append(f'{name} = {EXTRAS}.NotPorted("{shown}")')
    return lines


def _extras_import(module: Module, program: Program) -> str:
    from porter.convert import extras_home

    home = extras_home(program, module)
    if not program.is_package(home):
        return f"import {EXTRAS}"
    levels = len(PurePosixPath(module.folder).parts) - len(PurePosixPath(home).parts)
    package = ".".join(module.name.split(".")[: -(levels + 1)])
    if package and _is_script_of(module, package):
        return f"from {package} import {EXTRAS}"
    return f"from {'.' * (levels + 1)} import {EXTRAS}"


def _is_script_of(module: Module, package: str) -> bool:
    """Whether a file of a package is run as a program, for which leading dots mean nothing: it imports the package by its name."""
    imports = [n for n in module.tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    if any(isinstance(n, ast.ImportFrom) and n.level for n in imports):
        return False
    names = [a.name for n in imports if isinstance(n, ast.Import) for a in n.names]
    names += [n.module or "" for n in imports if isinstance(n, ast.ImportFrom)]
    if not any(name == package or name.startswith(f"{package}.") for name in names):
        return False
    return module.has(b"__main__") or any(isinstance(n, ast.For | ast.While | ast.With) for n in module.tree.body)


def _place(text: str, body: list[ast.stmt], module: Module, program: Program) -> tuple[int, str]:
    """The line before which the block goes, and what follows it."""
    first = _first_torch_import(module, program)
    if first is not None:
        before = [n for n in module.tree.body if n.lineno < first.lineno and not _is_torch_import(n, program, module)]
        count = len(before)
        if count == 0:
            header = body[0].lineno - 1 if body else text.count("\n") + 1
            original_gap = first.lineno - 1
            return min(original_gap, header if body else original_gap), ""
        previous = body[count - 1] if count <= len(body) else body[-1]
        gap = first.lineno - 1 - (before[-1].end_lineno or 0)
        return (previous.end_lineno or 0) + gap, ""
    last = 0
    for node in body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if docstring or isinstance(node, ast.Import | ast.ImportFrom):
            last = node.end_lineno or 0
        else:
            break
    return last, "\n" if last == 0 else ""


def _first_torch_import(module: Module, program: Program) -> ast.stmt | None:
    return next((n for n in module.tree.body if _is_torch_import(n, program, module)), None)


def _is_torch_import(node: ast.stmt, program: Program, module: Module) -> bool:
    if isinstance(node, ast.Import):
        return all(program.is_torch(a.name) for a in node.names)
    return isinstance(node, ast.ImportFrom) and not node.level and program.is_torch(node.module or "")
