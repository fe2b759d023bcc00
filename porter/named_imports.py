"""Imports whose module is named in a string: `rearrange, has_einops = optional_import("einops", name="rearrange")` at module level."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from porter.nodes import walk

if TYPE_CHECKING:
    from porter.program import Module, Program

IMPORT_MODULE = frozenset({"importlib.import_module"})


@dataclass(frozen=True)
class NamedImport:
    """What a statement binds: a local name to a qualified torch name, and perhaps a flag that says whether the import went well."""

    name: str
    qualified: str
    flag: str | None


def named_import(program: Program, module: Module, node: ast.stmt) -> NamedImport | None:
    """The import of torch, or of what is ported with it, that an assignment makes by calling a function with the module's name."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.value, ast.Call):
        return None
    call, names = node.value, _target_names(node.targets[0])
    texts = [*call.args, *(k.value for k in call.keywords)]
    if not names or not any(isinstance(t, ast.Constant) and isinstance(t.value, str) and program.is_torch(t.value) for t in texts):
        return None
    parameters = _importer(program, module, call.func)
    if parameters is None or (len(names) == 2) != parameters.returns_flag:
        return None
    source, member = _given(call, parameters, parameters.module), _given(call, parameters, parameters.member)
    if not source or not program.is_torch(source):
        return None
    qualified = program.member(source, member) if member else source
    known = program.table.get(qualified) or qualified in program.table.namespaces or qualified in ("torch", "einops", "torchvision")
    return NamedImport(names[0], qualified, names[1] if len(names) == 2 else None) if known else None


def _target_names(target: ast.expr) -> list[str]:
    elements = target.elts if isinstance(target, ast.Tuple) and len(target.elts) == 2 else [target]
    return [e.id for e in elements if isinstance(e, ast.Name)] if all(isinstance(e, ast.Name) for e in elements) else []


@dataclass(frozen=True)
class _Importer:
    """A function that imports: its parameters in order, those that name the module and the member, and whether it returns a flag too."""

    parameters: tuple[str, ...]
    module: str
    member: str | None
    returns_flag: bool


def _importer(program: Program, module: Module, func: ast.expr) -> _Importer | None:
    name = program.dotted(module, func) or ""
    if name in IMPORT_MODULE:
        return _Importer(("name",), "name", None, False)
    function = program.functions.get(name)
    if function is None or not isinstance(function.node, ast.FunctionDef):
        return None
    arguments = function.node.args
    names = tuple(a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])
    imported = member = None
    for node in walk(function.node):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        if _is_import(program, function.module, node.func) and isinstance(node.args[0], ast.Name) and node.args[0].id in names:
            imported = node.args[0].id
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1:
            asked = node.args[1]
            member = asked.id if isinstance(asked, ast.Name) and asked.id in names else member
    return None if imported is None else _Importer(names, imported, member, _returns_flag(function.node))


def _is_import(program: Program, module: Module, func: ast.expr) -> bool:
    return (isinstance(func, ast.Name) and func.id == "__import__") or program.dotted(module, func) in IMPORT_MODULE


def _returns_flag(function: ast.FunctionDef) -> bool:
    """Whether a function returns what it imported and True."""
    returned = [n.value for n in walk(function) if isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple)]
    return any(len(r.elts) == 2 and isinstance(r.elts[1], ast.Constant) and r.elts[1].value is True for r in returned)


def _given(call: ast.Call, importer: _Importer, parameter: str | None) -> str:
    """The text that a call gives for a parameter, or "" where there is none."""
    value = next((k.value for k in call.keywords if k.arg == parameter), None)
    if value is None and parameter in importer.parameters and importer.parameters.index(parameter) < len(call.args):
        value = call.args[importer.parameters.index(parameter)]
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
