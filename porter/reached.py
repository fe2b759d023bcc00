"""Functions that a network's own code calls, directly or through others: what GRAPH mode compiles beside the networks themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from porter.nodes import walk
from porter.program import Module, Program

_BUILDING = ("__init__", "init_", "_init", "reset_")


def in_networks(program: Program) -> frozenset[str]:
    """Qualified names of functions at module level that run inside of networks."""
    cached: frozenset[str] | None = getattr(program, "_in_networks", None)
    if cached is None:
        cached = program._in_networks = frozenset(_reached(program))  # type: ignore[attr-defined]
    return cached


def _reached(program: Program) -> set[str]:
    plain = {name: f for name, f in program.functions.items() if f.owner is None and f.outer is None}
    short = {name.rpartition(".")[2] for name in plain}
    found: set[str] = set()
    waiting = [
        (cls.module, method.node)
        for name, cls in program.classes.items() if program.mixes_into_module(name)
        for title, method in cls.methods.items() if not title.startswith(_BUILDING)
    ]  # fmt: skip
    while waiting:
        module, node = waiting.pop()
        for name in (set(_named(program, module, walk(node), short)) & plain.keys()) - found:
            found.add(name)
            waiting.append((plain[name].module, plain[name].node))
    return found


def _named(program: Program, module: Module, nodes: Iterable[ast.AST], short: set[str]) -> Iterable[str]:
    for node in nodes:
        last = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
        if last in module.imports or last in short:
            name = program.dotted(module, node)
            if name is not None:
                yield name


def decorates_networks(program: Program) -> frozenset[str]:
    """Functions at module level whose results stand in networks for the functions that they are given: decorators, and what
    `g = many(f)` at module level calls."""
    cached: frozenset[str] | None = getattr(program, "_decorates_networks", None)
    if cached is None:
        cached = program._decorates_networks = frozenset(_decorating(program))  # type: ignore[attr-defined]
    return cached


def _decorating(program: Program) -> Iterable[str]:
    used: list[tuple[Module, ast.expr]] = []
    for name, cls in program.classes.items():
        if program.mixes_into_module(name):
            used += [(cls.module, d) for method in cls.methods.values() for d in method.decorators]
    for name in in_networks(program):
        used += [(program.functions[name].module, d) for d in program.functions[name].decorators]
    for module in program.modules.values():
        used += [(module, s.value) for s in module.tree.body if isinstance(s, ast.Assign) and isinstance(s.value, ast.Call)]
    for module, node in used:
        while isinstance(node, ast.Call):
            node = node.func
        found = program.dotted(module, node)
        if found in program.functions:
            yield found
