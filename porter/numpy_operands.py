"""`tensor * array`: torch makes a tensor of the array, MindSpore's operators refuse it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.assigned import assigned
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_MAKERS = frozenset({f"numpy.{n}" for n in ("array", "zeros", "ones", "full", "eye", "arange", "linspace", "zeros_like", "ones_like", "stack")})
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)


def array_edits(at: Walk, node: ast.BinOp) -> list[Edit] | None:
    """The edits for arithmetic of a tensor with an array on its right; None for everything else."""
    if not at.module.has(b"numpy") or not isinstance(node.op, _ARITHMETIC):
        return None
    if not K.is_tensor(at.kinds(node.left)) or not _is_array(at, node.right):
        return None
    return [*at.visit(node.left), *at.replace(node.right, f"{at.spell('mindspore.tensor')}({at.render(node.right)})")]


def _is_array(at: Walk, node: ast.expr) -> bool:
    """Whether a value is surely an array: numpy's functions may give numbers, which torch takes as numbers."""
    if not K.proven(at.kinds(node), frozenset({"ndarray"})):
        return False
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        node = node.value
    if isinstance(node, ast.Name):
        values = assigned(at.module, node.id)
        return bool(values) and all(v is not None and not isinstance(v, ast.Name) and _is_array(at, v) for v in values)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if at.program.dotted(at.module, node.func) in _MAKERS:
        return True
    return node.func.attr == "numpy" and K.is_tensor(at.kinds(node.func.value))
