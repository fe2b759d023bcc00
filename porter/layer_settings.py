"""Assignments to what a built layer of torch.nn reads again and MindSpore's does not: eps and momentum, and parameters that go."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_BATCH_NORMS = frozenset({"torch.nn.BatchNorm1d", "torch.nn.BatchNorm2d", "torch.nn.BatchNorm3d"})


def setting_text(rewriter: Walk, node: ast.Assign) -> str | None:
    """`m.eps = 1e-3` of a batch normalization, `m.bias = None` of any layer, as calls that change the MindSpore layer."""
    target = node.targets[0]
    if not isinstance(target, ast.Attribute) or len(node.targets) > 1:
        return None
    layers = [_layer(rewriter, kind) for kind in K.without_none(rewriter.kinds(target.value))]
    if not layers or None in layers:
        return None
    if target.attr in ("eps", "momentum") and set(layers) <= _BATCH_NORMS:
        name = rewriter.spell("emitted.set_batch_norm")
        return f"{name}({rewriter.render(target.value)}, {target.attr}={rewriter.render(node.value)})"
    gone = isinstance(node.value, ast.Constant) and node.value.value is None
    if target.attr in ("weight", "bias") and gone and all(_has_parameter(rewriter, layer, target.attr) for layer in layers):
        name = rewriter.spell("emitted.without_parameter")
        return f"{name}({rewriter.render(target.value)}, {rewriter.quote}{target.attr}{rewriter.quote})"
    return None


def _layer(rewriter: Walk, kind: K.Kind) -> str | None:
    """The class of torch.nn that a value is, or that its class derives from."""
    if kind.name != "object":
        return None
    family = rewriter.program.ancestry(kind.of) if kind.of in rewriter.program.classes else [kind.of]
    return next((c for c in family if c not in rewriter.program.classes and any(r.kind == "module" for r in rewriter.table.get(c))), None)


def _has_parameter(rewriter: Walk, layer: str | None, name: str) -> bool:
    return layer is not None and any(name in row.weights or name in row.signature.by_name for row in rewriter.table.get(layer))
