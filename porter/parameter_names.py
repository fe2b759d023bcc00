"""Names from named_parameters are torch's, keys of state_dict MindSpore's: code that looks one up by the other is told."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.nodes import walk

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter

NAMING = frozenset({"named_parameters", "named_buffers"})
KEYED = frozenset({"state_dict", "load"})


def check_names(rewriter: Rewriter, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Reports a lookup of a state dict, made in the same function, by a name of a parameter."""
    states = {t.id for n in walk(function) if isinstance(n, ast.Assign) and _calls(n.value, KEYED) for t in n.targets if isinstance(t, ast.Name)}
    if not states:
        return
    names = set(_loop_names(function))
    for node in walk(function):
        key = _lookup(node, states)
        if isinstance(key, ast.Name) and key.id in names:
            rewriter.report(
                node, "MSP613", f"{key.id} is torch's name of a parameter, and the keys of the state dict are MindSpore's",
                "walk the state dict itself, or cell.parameters_and_names(), whose names are its keys",
            )  # fmt: skip


def _calls(node: ast.AST, methods: frozenset[str]) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods


def _loop_names(function: ast.AST) -> Iterator[str]:
    """First targets of loops over named parameters."""
    for node in walk(function):
        if isinstance(node, ast.For | ast.comprehension) and any(_calls(n, NAMING) for n in walk(node.iter)):
            first = node.target.elts[0] if isinstance(node.target, ast.Tuple) else None
            if isinstance(first, ast.Name):
                yield first.id


def _lookup(node: ast.AST, states: set[str]) -> ast.expr | None:
    """The key of `state[key]` or `key in state`."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in states:
        return node.slice
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
        container = node.comparators[0]
        if isinstance(container, ast.Name) and container.id in states:
            return node.left
    return None
