"""Names that a statement binds on some ways only: GRAPH mode wants each name bound on all ways before it is read.

`if mask is not None: y = f(mask)` and, below, `if mask is not None: x = x + y` is right in Python and refused by a graph, which
looks at both branches: `y = None` before the first statement that binds it makes it whole and changes no value.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING

from porter.dataflow import own_nodes
from porter.grammar import in_network
from porter.nodes import walk
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_STRANGE = (ast.Match, ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)
Bound = frozenset[str]


def prepare_names(rewriter: Walk, function: ast.FunctionDef) -> None:
    """Notes what is to be bound first in a function that a graph compiles: a network's own code, or one that takes tensors."""
    compiled = rewriter._in_forward() if rewriter.classes else in_network(rewriter)
    if compiled:
        rewriter.bound_first.update(missing_before(function))


def with_names(rewriter: Walk, node: ast.stmt, edits: list[Edit]) -> list[Edit]:
    """A statement with `y = None` before it, for each name that is to be bound first."""
    start, end = rewriter.span(node)
    data = rewriter.module.data
    line = data.rfind(b"\n", 0, start) + 1
    if data[line:start].strip():
        return edits
    pad = rewriter.indent(node)
    above = min((e for e in edits if e.start == line < start), key=lambda e: -e.end, default=None)
    if above is not None:  # what stands above the statement already, such as the function of a training step
        names = "".join(f"{pad}{name} = None\n" for name in rewriter.bound_first[id(node)])
        return [Edit(line, above.end, names + above.text), *(e for e in edits if e is not above)]
    lines = "".join(f"{name} = None\n{pad}" for name in rewriter.bound_first[id(node)])
    return [Edit(start, end, lines + rewriter.splice(start, end, edits))]


def missing_before(function: ast.FunctionDef) -> dict[int, list[str]]:
    """For each statement, by its id, the names to be bound before it; nothing where the function asks whether a name exists."""
    names = _Flow(function).uncertain
    if not names or any(isinstance(n, _STRANGE) or _asks_for_names(n) for n in walk(function)):
        return {}
    found: dict[int, list[str]] = {}
    for name in names:
        anchor = _anchor(function.body, name)
        if anchor is not None:
            found.setdefault(id(anchor), []).append(name)
    return found


def _asks_for_names(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("NameError", "UnboundLocalError", "locals", "vars")


class _Flow:
    """Which names are bound for certain, statement by statement; `uncertain` are those that are read where they may not be."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.uncertain: dict[str, None] = {}
        arguments = function.args
        taken = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg] if a}
        self.local = {n.id for s in function.body for n in own_nodes(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - taken
        self.block(function.body, frozenset(taken))

    def block(self, statements: Iterable[ast.stmt], bound: Bound) -> Bound | None:
        """What is bound after a block; None where its end is not reached."""
        current: Bound | None = bound
        for statement in statements:
            if current is None:
                return None
            current = self.statement(statement, current)
        return current

    def statement(self, node: ast.stmt, bound: Bound) -> Bound | None:
        if isinstance(node, ast.If):
            self.read(node.test, bound)
            ways = [self.block(node.body, bound), self.block(node.orelse, bound)]
            return _either(ways) if _is_setting(node.test) else _both(ways)
        if isinstance(node, _LOOPS):
            self.read(node.test if isinstance(node, ast.While) else node.iter, bound)
            inside = bound if isinstance(node, ast.While) else bound | _stored(node.target)
            self.block(node.body, inside)
            self.block(node.orelse, bound)
            return bound
        if isinstance(node, ast.With):
            for item in node.items:
                self.read(item.context_expr, bound)
                bound |= _stored(item.optional_vars)
            return self.block(node.body, bound)
        if isinstance(node, ast.Try):
            ways = [self.block([*node.body, *node.orelse], bound), *(self.block(h.body, bound | {h.name or ""}) for h in node.handlers)]
            after = _both(ways)
            return after if after is None else self.block(node.finalbody, after)
        if isinstance(node, _NESTED):
            return bound | {getattr(node, "name", "")}
        self.read(node, bound)
        if isinstance(node, ast.Return | ast.Raise | ast.Continue | ast.Break):
            return None
        if isinstance(node, ast.Import | ast.ImportFrom):
            return bound | {(a.asname or a.name).partition(".")[0] for a in node.names}
        return bound | _stored(node)

    def read(self, node: ast.AST | None, bound: Bound) -> None:
        """Notes the names that an expression or a plain statement reads, with those that `:=` binds on the way."""
        if node is None:
            return
        within = set(bound)
        for inner in own_nodes(node):
            if not isinstance(inner, ast.Name):
                continue
            if isinstance(inner.ctx, ast.Store):
                within.add(inner.id)
            elif isinstance(inner.ctx, ast.Load) and inner.id in self.local and inner.id not in within:
                self.uncertain[inner.id] = None
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id in self.local - bound:
            self.uncertain[node.target.id] = None


def _both(ways: Iterable[Bound | None]) -> Bound | None:
    reached = [w for w in ways if w is not None]
    return frozenset.intersection(*reached) if reached else None


def _either(ways: Iterable[Bound | None]) -> Bound | None:
    reached = [w for w in ways if w is not None]
    return frozenset().union(*reached) if reached else None


def _is_setting(test: ast.expr) -> bool:
    """A condition on the network's settings alone, which a graph decides before it looks at the branches."""
    reads = [n for n in ast.walk(test) if isinstance(n, ast.Name)]
    return bool(reads) and all(n.id == "self" for n in reads) and not any(isinstance(n, ast.Call) for n in ast.walk(test))


def _stored(node: ast.AST | None) -> Bound:
    if node is None:
        return frozenset()
    return frozenset(n.id for n in own_nodes(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _mentions(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in walk(node))


def _anchor(body: list[ast.stmt], name: str) -> ast.stmt | None:
    """The first statement that has the name, in the innermost block outside of loops that has it everywhere."""
    having = [s for s in body if _mentions(s, name)]
    if not having or isinstance(having[0], _NESTED):
        return None
    if len(having) == 1 and isinstance(having[0], ast.If | ast.With):
        blocks = [having[0].body, *([having[0].orelse] if isinstance(having[0], ast.If) else [])]
        inner = [b for b in blocks if any(_mentions(s, name) for s in b)]
        header = having[0].test if isinstance(having[0], ast.If) else ast.Tuple([i.context_expr for i in having[0].items], ast.Load())
        if len(inner) == 1 and not _mentions(header, name):
            found = _anchor(inner[0], name)
            return having[0] if _is_chain(having[0], inner[0]) and found is inner[0][0] else found
    return having[0]


def _is_chain(node: ast.stmt, block: list[ast.stmt]) -> bool:
    """Whether a block is the `elif` of a condition, which has no place before it."""
    return isinstance(node, ast.If) and block is node.orelse and len(block) == 1 and isinstance(block[0], ast.If) and block[0].col_offset == node.col_offset
