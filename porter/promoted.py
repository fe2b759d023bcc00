"""Pointwise functions of integers: torch computes them in float32, while MindSpore's kernels take floating tensors only."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.whole import as_float32, is_whole_tensor

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

# what raises for integers or truth values on CPU; exp2, reciprocal and sqrt are absent, for those give torch's float32
_FLOATING = frozenset({
    "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "asin", "asinh", "atan", "atanh", "cos", "cosh",
    "deg2rad", "digamma", "erf", "erfc", "erfinv", "exp", "expit", "expm1", "i0", "lgamma", "log", "log10", "log1p", "log2", "logit",
    "rad2deg", "rsqrt", "sigmoid", "sin", "sinh", "tan", "tanh",
})  # fmt: skip


def promote(rewriter: Walk, name: str, argument: ast.expr | None) -> None:
    """Has an argument of `torch.cos` and its like cast to float32 wherever it is written, if it is known to hold integers."""
    if name.rpartition(".")[2] not in _FLOATING or argument is None or id(argument) in rewriter.replaced:
        return
    if is_whole_tensor(rewriter, argument):
        rewriter.replaced[id(argument)] = as_float32(rewriter, argument)
