"""Assertions that ask whether tensors carry gradients, which in MindSpore is no property of a tensor: only a parameter has the flag."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk


def flag_edits(rewriter: Walk, node: ast.Assert) -> list[Edit] | None:
    """`assert not mask.requires_grad` goes with its line: it changes no value, and a MindSpore tensor has nothing to answer with."""
    flags = _flags(node.test)
    if not flags or not all(isinstance(f.value, ast.Name) and K.proven(rewriter.kinds(f.value), frozenset({"Tensor"})) for f in flags):
        return None  # what an object keeps may be a parameter
    return rewriter._statement(node, "")


def _flags(node: ast.expr) -> list[ast.Attribute]:
    """The flags of a condition that asks for flags and nothing else; none where it asks for something else too."""
    if isinstance(node, ast.Attribute):
        return [node] if node.attr == "requires_grad" else []
    if isinstance(node, ast.UnaryOp):
        return _flags(node.operand)
    if isinstance(node, ast.BoolOp):
        parts = [_flags(v) for v in node.values]
        return [f for part in parts for f in part] if all(parts) else []
    return []
