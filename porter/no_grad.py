"""What a block under torch.no_grad makes and hands on: tensors lose their gradient by name, the rest must be known to have none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY
from porter.nodes import walk

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

GROWING = frozenset({"append", "extend", "insert", "update", "setdefault", "appendleft"})
HOLDERS = frozenset({"list", "tuple", "dict"})


def assigned_tensors(rewriter: Walk, node: ast.With) -> list[str]:
    """Names that a block binds to tensors."""
    return [name for name in _stored(node) if K.is_tensor(_kinds(rewriter, node, name))]


def unstopped(rewriter: Walk, node: ast.With) -> Iterator[tuple[ast.AST, str]]:
    """Where a block makes something that is read after it and may hold a tensor which no statement can be given for."""
    function = rewriter.functions[-1]
    bound = _stored(node)
    for name in bound:
        if not K.is_tensor(kinds := _kinds(rewriter, node, name)) and _may_hold(kinds) and _read_later(function, name, node):
            yield bound[name], name
    for place, holder in _filled(node):
        root = holder
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name) and root.id in bound:
            continue  # made in the block, and seen above under its name
        text = ast.unparse(holder)
        if _may_hold(rewriter.kinds(holder), stored=isinstance(place, ast.Attribute)) and _read_later(function, text, node):
            yield place, text


def _stored(node: ast.With) -> dict[str, ast.Name]:
    found: dict[str, ast.Name] = {}
    for name in (n for s in node.body for n in walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)):
        found.setdefault(name.id, name)
    return found


def _kinds(rewriter: Walk, node: ast.With, name: str) -> K.Kinds:
    """What a name may hold by any of the block's assignments."""
    found = [n for s in node.body for n in walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id == name]
    return K.join(*(rewriter.kinds(n) or ANY for n in found))


def _may_hold(kinds: K.Kinds, *, stored: bool = False) -> bool:
    """Whether a value may be, or hold, a tensor with a gradient; a parameter that is stored to keeps its own."""
    if stored and K.names(K.without_none(kinds)) == {"Parameter"}:
        return False
    if not kinds or kinds & ANY:
        return True
    return any(k.name in K.TENSORS or (k.name in HOLDERS and (not k.items or any(map(_may_hold, k.items)))) for k in kinds)


def _filled(node: ast.With) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Attributes that a block stores, and containers that it fills."""
    for inner in (n for s in node.body for n in walk(s)):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            yield inner, inner
        elif isinstance(inner, ast.Subscript) and isinstance(inner.ctx, ast.Store):
            yield inner, inner.value
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in GROWING:
            yield inner, inner.func.value


def _read_later(function: ast.AST, text: str, node: ast.With) -> bool:
    """Whether an expression is read in the same function after a block."""
    end = (node.end_lineno or 0, node.end_col_offset or 0)
    return any(
        isinstance(n, ast.Attribute | ast.Name) and isinstance(n.ctx, ast.Load) and (n.lineno, n.col_offset) > end and ast.unparse(n) == text
        for n in walk(function)
    )
