"""`1 - tanh(x) ** 2`: MindSpore's tanh on CPU is off by up to 1e-4 near 1, and above it, which a logarithm of this makes much of."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.nodes import walk

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_TANH = frozenset({"torch.tanh", "torch.nn.functional.tanh", "torch.Tensor.tanh"})
_SQUARES = frozenset({"pow", "square", "atanh", "arctanh"})


def exact_tanh(at: Walk, node: ast.Call, name: str, receiver: ast.expr | None) -> str | None:
    """The text of a tanh whose square is taken, by the emitted function; None for any other call."""
    given = [receiver] if receiver is not None else node.args
    if name not in _TANH or len(given) != 1 or node.keywords or at.target in ("Ascend", "GPU") or not _is_squared(at, node):
        return None
    return f"{at.spell('emitted.tanh')}({at.render(given[0])})"


def _is_squared(at: Walk, node: ast.expr) -> bool:
    if not (at.module.has(b"pow(") or at.module.has(b"**") or at.module.has(b"square(") or at.module.has(b"tanh(")):
        return False
    parent = at.parents.get(id(node))
    if _squares(at, node):
        return True
    if not at.functions or not isinstance(parent, ast.Assign) or len(parent.targets) != 1 or not isinstance(parent.targets[0], ast.Name):
        return False
    name = parent.targets[0].id
    return any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load) and _squares(at, n) for n in walk(at.functions[-1]))


def _squares(at: Walk, node: ast.expr) -> bool:
    """Whether what surrounds a value squares it, or takes it back through the inverse."""
    parent = at.parents.get(id(node))
    if isinstance(parent, ast.BinOp):
        if isinstance(parent.op, ast.Mult) and ast.unparse(parent.left) == ast.unparse(parent.right):
            return True
        return isinstance(parent.op, ast.Pow) and parent.left is node
    if isinstance(parent, ast.Attribute):
        return parent.attr in _SQUARES
    called = at.resolve(parent.func) or "" if isinstance(parent, ast.Call) and node in parent.args else ""
    return at.program.is_torch(called) and called.rpartition(".")[2] in _SQUARES
