"""Which tensors with gradients statements before a loop hand into it: followed backwards, statement by statement.

A gradient function starts where its loop does, so what such a tensor was computed from would silently get no gradient.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from porter.dataflow import containers_grown, names_bound, names_read
from porter.nodes import dotted_text, walk

Found = dict[str, None]


class Inflow:
    """The names that carry a gradient; `carries` says it of a statement, `stops` of a `with` block, `holds` of what may hold a tensor,
    and `bare` of what surely holds none."""

    def __init__(
        self, carries: Callable[[ast.stmt], bool], stops: Callable[[ast.With], bool], holds: Callable[[ast.expr], bool], bare: Callable[[ast.expr], bool]
    ) -> None:
        self.carries, self.stops, self.holds, self.bare = carries, stops, holds, bare
        self.found: Found = {}

    def follow(self, block: list[ast.stmt], needed: set[str]) -> None:
        """Goes through a block from its end; `needed` becomes what it needs from before it."""
        for statement in reversed(block):
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if isinstance(statement, ast.With | ast.AsyncWith):
                self._with(statement, needed)
            elif isinstance(statement, ast.If | ast.Try | ast.For | ast.AsyncFor | ast.While):
                self._branches(statement, needed)
            else:
                self._simple(statement, needed)

    def _with(self, node: ast.With | ast.AsyncWith, needed: set[str]) -> None:
        if isinstance(node, ast.With) and self.stops(node):
            needed -= names_bound(node)
            return
        self.follow(node.body, needed)

    def _branches(self, node: ast.If | ast.Try | ast.For | ast.AsyncFor | ast.While, needed: set[str]) -> None:
        """What decides which way is taken carries no gradient; a loop may hand on to its own next round."""
        blocks = [node.body, node.orelse]
        if isinstance(node, ast.Try):
            blocks += [node.finalbody, *(h.body for h in node.handlers)]
        before = set(needed)
        for block in [*blocks, *(blocks if isinstance(node, ast.For | ast.AsyncFor | ast.While) else [])]:
            inside = set(needed) if not isinstance(node, ast.If) else set(before)
            self.follow(block, inside)
            needed |= inside
        if isinstance(node, ast.For | ast.AsyncFor) and _names(node.target) & needed:
            needed |= names_read(node.iter)

    def _simple(self, node: ast.stmt, needed: set[str]) -> None:
        hit = (names_bound(node) | containers_grown(node)) & needed
        if not hit:
            return
        if self.carries(node) and not leaves_graph(node):
            names = [n for n in _targets(node) if dotted_text(n) in hit and self.holds(n)]
            self.found |= dict.fromkeys(str(dotted_text(n)) for n in names)
        plain = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        needed -= {n for t in plain for n in _names(t)} - (set() if leaves_graph(node) else names_read(node))
        if not leaves_graph(node) and not (plain and all(map(self.bare, plain))):
            needed |= names_read(node)


def _names(target: ast.expr) -> set[str]:
    """Names that are bound anew; of `values[i]` and `self.x` the old value stays in part or elsewhere."""
    return {n.id for n in walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _targets(node: ast.stmt) -> list[ast.expr]:
    """What a statement assigns, the containers that it fills included."""
    found: list[ast.expr] = []
    for child in walk(node):
        if isinstance(child, ast.Subscript) and isinstance(child.ctx, ast.Store):
            found.append(child.value)
        elif isinstance(child, ast.Name | ast.Attribute) and isinstance(child.ctx, ast.Store):
            found.append(child)
        elif isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and containers_grown(ast.Expr(child)):
            found.append(child.func.value)
    return found


def leaves_graph(node: ast.stmt) -> bool:
    """Whether what a statement assigns, or puts into a container, leaves the graph there."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return node.value is not None and gives_numbers(node.value)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return all(map(gives_numbers, node.value.args))
    return False


def gives_numbers(value: ast.expr) -> bool:
    """Whether an expression gives numbers without a gradient: `net(y).detach()`, `.item()`, `.numpy()`."""
    if isinstance(value, ast.Tuple | ast.List):
        return all(map(gives_numbers, value.elts))
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        if value.func.attr in ("detach", "item", "numpy", "tolist", "argmax", "argmin"):
            return True
        value = value.func.value
    return isinstance(value, ast.Constant)
