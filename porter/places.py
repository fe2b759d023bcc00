"""Statements with their blocks, and the backward passes and steps that are found among them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from porter.dataflow import names_bound
from porter.nodes import walk

Block = list[ast.stmt]


@dataclass(frozen=True)
class Place:
    """A statement with its block and the statements around it, outermost first, inside one function or module."""

    block: Block
    index: int
    around: tuple[Place, ...] = ()

    @property
    def node(self) -> ast.stmt:
        return self.block[self.index]


@dataclass
class Backward:
    """One `loss.backward()`: the loss, the statements that compute it, and what becomes of them."""

    place: Place
    loss: ast.expr
    scaler: ast.expr | None
    region: list[ast.stmt] = field(default_factory=list)
    again: list[ast.stmt] = field(default_factory=list)
    optimizers: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    leaves: list[str] = field(default_factory=list)
    overlapping: bool = False
    simple: bool = False
    anchor: ast.stmt | None = None
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    bundled: bool = False
    names: tuple[str, str, str] = ("forward_fn", "grad_fn", "grads")
    unset: list[str] = field(default_factory=list)
    found: bool = False

    @property
    def first(self) -> ast.stmt:
        """The statement in whose place the gradient function is called."""
        return self.region[0] if self.region else self.place.node

    @property
    def expression(self) -> list[ast.stmt]:
        """The loss as a statement, where the call computes it."""
        return [] if target_like(self.loss) else [ast.copy_location(ast.Expr(self.loss), self.loss)]

    @property
    def computing(self) -> list[ast.stmt]:
        """All that computes the loss, in order."""
        return [*self.again, *self.region, *self.expression]


@dataclass
class Step:
    """`optimizer.step()`, `optimizer.zero_grad()`, a clipping call or another statement of the step."""

    place: Place
    role: str
    optimizer: str
    call: ast.Call


def scopes_of(tree: ast.Module) -> Iterator[ast.Module | ast.FunctionDef | ast.AsyncFunctionDef]:
    yield tree
    for node in walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def mentions_backward(scope: ast.AST) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in walk(scope))


def places_in(block: Block, around: tuple[Place, ...]) -> Iterator[Place]:
    for index, node in enumerate(block):
        place = Place(block, index, around)
        yield place
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from places_in(getattr(node, name, []), (*around, place))
        for handler in getattr(node, "handlers", []):
            yield from places_in(handler.body, (*around, place))


def call_of(node: ast.stmt) -> ast.Call | None:
    value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    return value if isinstance(value, ast.Call) else None


def argument(call: ast.Call, index: int, name: str) -> ast.expr:
    given = next((k.value for k in call.keywords if k.arg == name), None)
    return given if given is not None else call.args[index] if index < len(call.args) else call


def target_like(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and target_like(node.value))


def condition(step: Backward) -> list[ast.expr]:
    """The tests of the `if`s that a backward pass stands in and its forward pass before, if they may be asked before it too.

    `if phase == "train":` of a loop that trains and validates: a value of names that no statement between binds.
    """
    if not step.region:
        return []
    around = step.place.around
    start = next((i for i, p in enumerate(around) if any(s is step.region[-1] for s in p.block[: p.index])), None)
    if start is None:
        return []
    wrappers = [*around[start:], step.place]
    if not all(isinstance(p.node, ast.If) and inner.block is p.node.body for p, inner in pairwise(wrappers)):
        return []
    first = next(i for i, s in enumerate(wrappers[0].block) if s is step.region[0])
    between = wrappers[0].block[first : wrappers[0].index] + [s for p in wrappers[1:-1] for s in p.block[: p.index]]
    bound = {name.partition(".")[0] for s in between for name in names_bound(s)}
    tests = [p.node.test for p in wrappers[:-1] if isinstance(p.node, ast.If)]
    return tests if all(_is_steady(t, bound) for t in tests) else []


_SETTINGS = frozenset({"args", "opt", "cfg", "config", "hparams"})  # what a script is told at its start
_STEADY = (
    ast.Name, ast.Constant, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Tuple, ast.List,
    ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop,
)  # fmt: skip


def _is_steady(test: ast.expr, bound: set[str]) -> bool:
    """Whether a test asks nothing but names that stay what they are, and whether a network trains."""
    for node in walk(test):
        if isinstance(node, ast.Attribute):
            if node.attr != "training" and not (isinstance(node.value, ast.Name) and node.value.id in _SETTINGS):
                return False
        elif not isinstance(node, _STEADY):
            return False
        if isinstance(node, ast.Name) and node.id in bound:
            return False
    return True
