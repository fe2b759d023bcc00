"""Networks asked to compute in float64, where MindSpore holds Python numbers as float32."""

from __future__ import annotations

import ast

from porter.table import Row

CASTS = frozenset({"torch.nn.Module.double", "torch.nn.Module.to", "torch.nn.Module.type"})
MESSAGE = "a network in float64: MindSpore holds the Python numbers of its arithmetic as float32, so results follow torch's to about 1e-7 only"
HELP = "where more digits count, write such numbers as mindspore.Tensor(0.1, mindspore.float64)"


def asks_for_float64(row: Row, call: ast.Call) -> bool:
    """Whether a call gives a network parameters of float64."""
    if row.name not in CASTS:
        return False
    given = [*call.args, *(k.value for k in call.keywords)]
    return row.name.endswith(".double") or any(isinstance(g, ast.Attribute) and g.attr in ("float64", "double") for g in given)
