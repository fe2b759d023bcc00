"""`torch.Tensor(sizes)`: where a sequence surely gives values, and no shape as a torch.Size does, the port makes a list of it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.old_types import is_old_type

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_SAME = frozenset({"to", "cuda", "cpu", "float", "double", "type"})
_READING = frozenset({"prod", "sum", "mean", "max", "min", "log", "exp", "sqrt", "std", "var", "norm", "cumsum", "cumprod"})


def listed_values(at: Walk, node: ast.Call, name: str) -> str | None:
    """The argument of an old constructor as a list, where it is a tuple of values; None for every other call."""
    if (name != "torch.Tensor" and not is_old_type(name)) or len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
        return None
    given = node.args[0]
    kinds = at.kinds(given)
    if isinstance(given, ast.List | ast.ListComp | ast.Constant) or K.names(kinds) & (K.TENSORS | K.NUMBERS | {"ndarray", "Size"}):
        return None
    sequence = K.proven(kinds, frozenset({"tuple"})) and not all(i and K.proven(i, frozenset({"int"})) for k in kinds for i in k.items)
    if not (isinstance(given, ast.Tuple) or sequence or (not K.proven(kinds, frozenset({"list"})) and _is_only_read(at, node))):
        return None
    text = at.render(given)
    return f"[{text[1:-1]}]" if isinstance(given, ast.Tuple) and text.startswith("(") else f"list({text})"


def _is_only_read(at: Walk, node: ast.Call) -> bool:
    """Whether a new tensor is read at once: what a shape gives holds no values yet."""
    parent = at.parents.get(id(node))
    while isinstance(parent, ast.Attribute) and parent.attr in _SAME and isinstance(call := at.parents.get(id(parent)), ast.Call):
        node, parent = call, at.parents.get(id(call))
    if isinstance(parent, ast.Attribute):
        return parent.attr in _READING and isinstance(at.parents.get(id(parent)), ast.Call)
    if not isinstance(parent, ast.Call) or node not in parent.args:
        return False
    called = at.resolve(parent.func) or ""
    return at.program.is_torch(called) and called.rpartition(".")[2] in _READING
