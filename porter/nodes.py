"""Walks over syntax trees, as ast.walk and ast.iter_child_nodes give them, faster: without contexts, and functions only once."""

from __future__ import annotations

import ast

_FIELDS: dict[type, tuple[str, ...]] = {}
_PLAIN = frozenset(["ctx", "id", "attr", "arg", "lineno", "type_comment", "kind", "is_async", "simple", "level", "module"])
_KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


def fields(kind: type) -> tuple[str, ...]:
    """The fields of a kind of node that may hold nodes other than Load, Store and Del."""
    known = _FIELDS.get(kind)
    if known is None:
        known = _FIELDS[kind] = tuple(name for name in kind._fields if name not in _PLAIN)  # type: ignore[attr-defined]
    return known


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node, in order."""
    found: list[ast.AST] = []
    _collect(node, found)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """A node and all below it, outer ones first; the tree of a definition is walked once and must not change."""
    known: list[ast.AST] | None = getattr(node, "_porter_nodes", None)
    if known is not None:
        return known
    found = [node]
    for inner in found:
        _collect(inner, found)
    if isinstance(node, _KEPT):
        node._porter_nodes = found  # type: ignore[union-attr]
    return found


def _collect(node: ast.AST, found: list[ast.AST]) -> None:
    """Adds the nodes right below a node."""
    kind = type(node)
    for name in _FIELDS.get(kind) or fields(kind):
        value = getattr(node, name, None)
        if type(value) is list:
            found += [v for v in value if isinstance(v, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)


def dotted_text(node: ast.AST) -> str | None:
    """`a.b.c` as text; None for anything but names and their attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted_text(node.value)
        return f"{base}.{node.attr}" if base else None
    return None
