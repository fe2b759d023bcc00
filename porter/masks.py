"""Which expressions are surely masks: tensors of booleans, or of whole numbers made of them."""

from __future__ import annotations

import ast

from porter.dataflow import assigned_values

_TESTS = frozenset([  # functions and methods of tensors whose result is boolean
    "all", "any", "bool", "eq", "equal", "ge", "greater", "greater_equal", "gt", "isclose", "isfinite", "isin", "isinf", "isnan", "isneginf",
    "isposinf", "isreal", "le", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "ne", "not_equal", "signbit",
])  # fmt: skip
_KEEPING = frozenset([  # methods whose result is a mask where their tensor is one
    "byte", "clone", "contiguous", "cpu", "cuda", "detach", "expand", "expand_as", "flatten", "int", "long", "permute", "reshape", "squeeze", "t",
    "transpose", "unsqueeze", "view",
])  # fmt: skip


def is_mask(node: ast.expr | None, function: ast.AST | None) -> bool:
    """Whether an expression of a function is a mask, by its form or by the one form that its name is bound to there."""
    if isinstance(node, ast.Name) and function is not None:
        values = assigned_values(node.id, function)
        return bool(values) and all(not isinstance(v, ast.Name) and is_mask(v, None) for v in values)
    if isinstance(node, ast.Compare):
        return all(isinstance(op, ast.Eq | ast.NotEq | ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Invert) and is_mask(node.operand, function)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitAnd | ast.BitOr | ast.BitXor) and is_mask(node.left, function) and is_mask(node.right, function)
    if isinstance(node, ast.Subscript):
        return is_mask(node.value, function)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in _TESTS or (node.func.attr in _KEEPING and is_mask(node.func.value, function))
    return False
