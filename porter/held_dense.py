"""Sparse tensors, which the port holds dense: what a program asks of them that a dense tensor answers otherwise."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING

from porter.guards import Argument, truth
from porter.table import Row

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

QUESTIONS = frozenset({"torch.Tensor.is_sparse", "torch.Tensor.is_sparse_csr"})
POWERS = frozenset({"torch.pow", "torch.Tensor.pow", "torch.Tensor.pow_"})


def refused_question(rewriter: Walk, node: ast.Attribute, row: Row) -> bool:
    """Whether `x.is_sparse` stays, with a diagnostic: the program makes sparse tensors, none of which is sparse in the port."""
    if row.name not in QUESTIONS or not rewriter.program.makes_sparse:
        return False
    what = f"{row.name}: the sparse tensors of this program are held dense in the port"
    rewriter.report(node, "MSP201", what, "decide it by a flag of your own", row, symbol=row.name)
    return True


def is_power(rewriter: Walk, row: Row) -> bool:
    """Whether a row is a power, in a program that makes sparse tensors."""
    return row.name in POWERS and rewriter.program.makes_sparse


def name_power(rewriter: Walk, node: ast.Call, row: Row, bound: Mapping[str, Argument]) -> None:
    """Names a negative power in a program that makes sparse tensors: of a sparse tensor torch leaves the zeros out."""
    if is_power(rewriter, row) and truth("exponent < 0", bound):
        what = f"{row.name}: of a sparse tensor, held dense here, zeros become infinite"
        rewriter.report(node, "MSP604", what, "set what is infinite to 0 where the tensor was sparse in torch", row, symbol=row.name)
