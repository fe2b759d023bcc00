"""`values[t] = v` where v has a first axis of size 1 too many: torch drops it, MindSpore refuses to store it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.assigned import assigned
from porter.nodes import walk

if TYPE_CHECKING:
    from porter.rewrite.edits import Edit
    from porter.rewrite.walk import Walk

_SAME = frozenset({"detach", "clone", "float", "double", "to", "cpu", "cuda", "contiguous", "exp", "log", "abs", "clamp"})


def fitted_edits(at: Walk, node: ast.Assign) -> list[Edit] | None:
    """The edits for a store of a value with such an axis; a name that gets the same value gets it before, as it is."""
    if not any(map(at.module.has, (b"reshape(1", b"view(1", b"unsqueeze(0", b"[None"))):
        return None
    stores = [t for t in node.targets if isinstance(t, ast.Subscript)]
    names = [t for t in node.targets if isinstance(t, ast.Name)]
    if not stores or len(stores) + len(names) != len(node.targets) or len(stores) > 1:
        return None
    read = {n.id for t in stores for n in walk(t) if isinstance(n, ast.Name)}
    if not K.is_tensor(at.kinds(stores[0].value)) or read & {n.id for n in names} or not _has_leading_axis(at, node.value, 0):
        return None
    value = at.render(node.value)
    lines = [f"{' = '.join(n.id for n in names)} = {value}"] if names else []
    place = at.render(stores[0])
    lines.append(f"{place} = {at.spell('emitted.without_leading_axes')}({names[0].id if names else value}, {place}.shape)")
    between = "; " if at.shares_line(node) else "\n" + at.indent(node)
    return at.replace(node, between.join(lines))


def _has_leading_axis(at: Walk, node: ast.expr, depth: int) -> bool:
    """Whether a value may have got a first axis of size 1."""
    if isinstance(node, ast.BinOp):
        return _has_leading_axis(at, node.left, depth) or _has_leading_axis(at, node.right, depth)
    if isinstance(node, ast.UnaryOp):
        return _has_leading_axis(at, node.operand, depth)
    if isinstance(node, ast.Name) and depth < 4:
        return any(v is not None and _has_leading_axis(at, v, depth + 1) for v in assigned(at.module, node.id))
    if isinstance(node, ast.Subscript):
        first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
        return isinstance(first, ast.Constant) and first.value is None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr in ("reshape", "view") and node.args:
        sizes = node.args[0].elts if isinstance(node.args[0], ast.Tuple | ast.List) else node.args
        return len(sizes) > 1 and _is(sizes[0], 1)
    if node.func.attr == "unsqueeze" and node.args:
        return _is(node.args[-1], 0)
    return node.func.attr in _SAME and _has_leading_axis(at, node.func.value, depth)


def _is(node: ast.expr, number: int) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == number
