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
