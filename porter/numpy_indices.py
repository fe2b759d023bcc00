"""Indices that numpy computes: torch takes its integers as indices of a tensor, MindSpore wants Python's own."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.assigned import assigned

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_ONE = frozenset({"numpy.argmax", "numpy.argmin", "numpy.random.choice", "numpy.random.randint", "numpy.count_nonzero"})
_ROWS = frozenset({"numpy.arange", "numpy.flatnonzero", "numpy.unique", "numpy.random.permutation"})
_WHERE = frozenset({"numpy.where", "numpy.nonzero"})
_DEPTH = 3


def is_numpy_integer(at: Walk, node: ast.expr, depth: int = 0) -> bool:
    """Whether a value is surely one of numpy's integers, no array: an element of a row, or what is chosen from all."""
    if isinstance(node, ast.Name) and depth < _DEPTH:
        values = assigned(at.module, node.id)
        return bool(values) and all(v is not None and is_numpy_integer(at, v, depth + 1) for v in values)
    if isinstance(node, ast.Subscript):
        return _is_whole_number(at, node.slice) and _is_row(at, node.value, depth)
    if not isinstance(node, ast.Call) or node.keywords:
        return False
    name = _numpy_name(at, node)
    if name in _ONE:
        return len(node.args) <= (2 if name.endswith("randint") else 1)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    return method in ("argmax", "argmin") and not node.args and K.proven(at.kinds(node.func.value), frozenset({"ndarray"}))  # type: ignore[attr-defined]


def _is_row(at: Walk, node: ast.expr, depth: int) -> bool:
    """Whether a value is an array of one axis."""
    if isinstance(node, ast.Name) and depth < _DEPTH:
        values = assigned(at.module, node.id)
        return bool(values) and all(v is not None and _is_row(at, v, depth + 1) for v in values)
    if isinstance(node, ast.Subscript):
        if isinstance(node.slice, ast.Slice):
            return _is_row(at, node.value, depth)
        return _is_whole_number(at, node.slice) and isinstance(node.value, ast.Call) and _numpy_name(at, node.value) in _WHERE
    if not isinstance(node, ast.Call):
        return False
    name = _numpy_name(at, node)
    if name in ("numpy.random.choice", "numpy.random.randint"):
        sizes = [k.value for k in node.keywords if k.arg == "size"]
        place = 1 if name.endswith("choice") else 2
        sizes += node.args[place : place + 1]
        return len(sizes) == 1 and _is_whole_number(at, sizes[0])
    return name in _ROWS and not any(k.arg not in ("dtype", "size") for k in node.keywords)


def _is_whole_number(at: Walk, node: ast.expr) -> bool:
    return K.proven(at.kinds(node), frozenset({"int"}))


def _numpy_name(at: Walk, node: ast.Call) -> str:
    return at.program.dotted(at.module, node.func) or ""
