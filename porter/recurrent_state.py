"""The state of a recurrent layer: torch takes a list of hidden and cell state, MindSpore's LSTM only a tuple."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K

if TYPE_CHECKING:
    from porter.rewrite.edits import Edit
    from porter.rewrite.walk import Walk


def listed_state(rewriter: Walk, node: ast.Call, edits: list[Edit]) -> list[Edit]:
    """`lstm(x, state)` with `tuple(state)` where the state may be a list and is never None."""
    if len(node.args) != 2 or node.keywords or isinstance(node.args[1], ast.Tuple):
        return edits
    layers, state = rewriter.kinds(node.func), rewriter.kinds(node.args[1])
    if not layers or any(k.name != "object" or k.of not in ("torch.nn.LSTM", "torch.nn.LSTMCell") for k in layers):
        return edits
    if "list" not in K.names(state) or not K.names(state) <= {"list", "tuple"}:
        return edits
    start, end = rewriter.span(node.args[1])
    text = rewriter.splice(start, end, [e for e in edits if start <= e.start and e.end <= end])
    return [*(e for e in edits if not (start <= e.start and e.end <= end)), *rewriter.replace(node.args[1], f"tuple({text})")]
