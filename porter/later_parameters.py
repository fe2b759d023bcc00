"""Parameters that come to train, or stop, while a loop runs: layers that are thawed, groups that an optimizer is given later."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from porter.nodes import walk

if TYPE_CHECKING:
    from porter.places import Backward
    from porter.program import Program


def may_change(program: Program, step: Backward) -> bool:
    """Whether the parameters that a step differentiates may be others at a later turn of the loop around it."""
    if step.anchor is None:
        return False  # its gradient function is made where it is called
    grown = bool(step.optimizers) and program.has(b"add_param_group")
    # an optimizer keeps its parameters, whether they train or not; a network's own are those that train
    switched = bool(step.watched or not step.optimizers) and program.has(b"requires_grad")
    if not grown and not switched:
        return False
    return any((grown and _is_growth(n)) or (switched and _is_switch(n)) for n in _running(program, step.anchor))


def _running(program: Program, loop: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a loop and of all functions of the program that it may call, by their names."""
    functions: dict[str, list[ast.AST]] = {}
    for module in program.modules.values():
        for node in walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.setdefault(node.name, []).append(node)
    seen: set[str] = set()
    waiting: list[ast.AST] = [loop]
    while waiting:
        nodes = walk(waiting.pop())
        yield from nodes
        called = _called(nodes) - seen
        seen |= called
        waiting += [f for name in called for f in functions.get(name, ())]


def _called(nodes: Iterable[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            found.add(node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
    return found


def _is_growth(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "add_param_group"


def _is_switch(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "requires_grad_" or (node.attr == "requires_grad" and isinstance(node.ctx, ast.Store))
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr"
