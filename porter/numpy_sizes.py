"""Sizes that numpy computes: torch's layers take a numpy integer, MindSpore's want Python's own."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.assigned import assigned
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_REDUCTIONS = frozenset({"prod", "sum", "max", "min", "amax", "amin"})
_SIZES = frozenset({
    "in_features", "out_features", "in1_features", "in2_features", "in_channels", "out_channels", "num_features", "num_channels", "num_groups",
    "num_embeddings", "embedding_dim", "input_size", "hidden_size", "num_layers", "normalized_shape", "kernel_size", "embed_dim", "num_heads",
    "d_model", "nhead", "dim_feedforward", "size",
})  # fmt: skip


def as_size(rewriter: Walk, node: ast.Call | ast.Name | ast.Attribute, edits: list[Edit]) -> list[Edit]:
    """`int(...)` around what numpy reduces, where it is the size of a layer or of a new tensor."""
    if not _is_numpy_number(rewriter, node) or not _is_size(rewriter, node):
        return edits
    return rewriter.replace(node, f"int({rewriter.splice(*rewriter.span(node), edits)})")


def _is_numpy_number(rewriter: Walk, node: ast.AST) -> bool:
    """Whether a call reduces a whole array to one number, a name only ever holds such numbers, or a space has so many actions."""
    if isinstance(node, ast.Name):
        if not rewriter.module.has(b"prod(") and not rewriter.module.has(b"_space.n"):
            return False
        values = assigned(rewriter.module, node.id)
        return bool(values) and all(isinstance(v, ast.Call | ast.Attribute) and _is_numpy_number(rewriter, v) for v in values)
    if isinstance(node, ast.Attribute):  # a Discrete space of gymnasium counts its actions in numpy's integers
        return node.attr == "n" and ast.unparse(node.value).endswith("_space")
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in _REDUCTIONS:
        return False
    if rewriter.program.dotted(rewriter.module, node.func) == f"numpy.{node.func.attr}":
        return len(node.args) == 1 and not node.keywords
    return not node.args and not node.keywords and K.proven(rewriter.kinds(node.func.value), frozenset({"ndarray"}))


def _is_size(rewriter: Walk, node: ast.expr) -> bool:
    """Whether a value, or what is computed with it, is given to torch as the size of something."""
    parent = rewriter.parents.get(id(node))
    while isinstance(parent, ast.BinOp | ast.UnaryOp | ast.keyword):
        if not isinstance(parent, ast.keyword):
            node = parent
        parent = rewriter.parents.get(id(parent))
    if isinstance(parent, ast.Assign):
        return isinstance(node, ast.Attribute)  # kept under a name, from where it becomes a size
    if not isinstance(parent, ast.Call):
        return False
    name = rewriter.program.dotted(rewriter.module, parent.func) or ""
    rows = rewriter.table.get(name) if name.startswith("torch.") else ()
    if not rows:
        return False
    signature = rows[0].signature
    keyword = next((k.arg for k in parent.keywords if k.value is node), None)
    if keyword is not None:
        return keyword in _SIZES
    at = next((i for i, a in enumerate(parent.args) if a is node), -1)
    if at < 0 or any(isinstance(a, ast.Starred) for a in parent.args[:at]):
        return False
    given = signature.positional[at] if at < len(signature.positional) else signature.star
    return given in _SIZES
