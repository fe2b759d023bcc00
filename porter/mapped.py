"""`map` in a network's own code as a comprehension: GRAPH mode has no map over a closure, and none over a bound method."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.grammar import in_network
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_ONCE = frozenset(["list", "tuple", "zip", "enumerate", "sum", "dict", "sorted", "set"])  # builtins that take all elements at once


def mapped_edits(rewriter: Walk, node: ast.Call) -> list[Edit] | None:
    """`map(f, xs)` as `[f(x) for x in xs]`, a lambda written out; None where it stays."""
    if len(node.args) < 2 or node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
        return None
    if not in_network(rewriter) or b"#" in rewriter.module.data[slice(*rewriter.span(node))]:
        return None
    function = node.args[0]
    element = _lambda_body(rewriter, node, function) if isinstance(function, ast.Lambda) else _call_of(rewriter, node, function)
    if element is None:
        return None
    body, names = element
    over = rewriter._operand(node.args[1]) if len(names) == 1 else f"zip({', '.join(rewriter.render(a) for a in node.args[1:])})"
    return rewriter.replace(node, f"[{body} for {', '.join(names)} in {over}]")


def paired_edits(rewriter: Walk, node: ast.Call) -> list[Edit] | None:
    """`itertools.combinations(xs, 2)` in a network as a list of pairs that is made by loops: a graph has no such iterator."""
    if len(node.args) != 2 or node.keywords or not isinstance(node.args[1], ast.Constant) or node.args[1].value != 2:
        return None
    if rewriter.resolve(node.func) != "itertools.combinations" or not in_network(rewriter) or isinstance(node.args[0], ast.Starred):
        return None
    if not _is_taken_at_once(rewriter, node):
        return None
    return rewriter.replace(node, f"{rewriter.spell('emitted.pairs')}({rewriter.render(node.args[0])})")


def _lambda_body(rewriter: Walk, node: ast.Call, function: ast.Lambda) -> tuple[str, list[str]] | None:
    parameters, arguments = [a.arg for a in function.args.args], function.args
    if arguments.defaults or arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs:
        return None
    if len(parameters) != len(node.args) - 1:
        return None
    if isinstance(function.body, ast.Tuple) and not rewriter.module.source(function.body).startswith("("):
        return None
    with rewriter.inside(function):
        return rewriter.render(function.body), parameters


def _call_of(rewriter: Walk, node: ast.Call, function: ast.expr) -> tuple[str, list[str]] | None:
    """A function that closes over local values, or a method of self, where nothing waits for the elements one by one."""
    local = isinstance(function, ast.Name) and rewriter._is_local(function.id)
    own = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"
    if not (local or own) or not _is_taken_at_once(rewriter, node):
        return None
    inside = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    letters = [c for c in "tuvwabcd" if c not in inside]
    names = letters[: len(node.args) - 1]
    return (f"{rewriter.render(function)}({', '.join(names)})", names) if len(names) == len(node.args) - 1 else None


def _is_taken_at_once(rewriter: Walk, node: ast.Call) -> bool:
    """Whether the elements are unpacked, looped over or handed to a builtin that takes them all."""
    parent = rewriter.parents.get(id(node))
    if isinstance(parent, ast.Assign):
        return parent.value is node and isinstance(parent.targets[0], ast.Tuple | ast.List)
    if isinstance(parent, ast.Call):
        return isinstance(parent.func, ast.Name) and parent.func.id in _ONCE
    return isinstance(parent, ast.Starred) or (isinstance(parent, ast.For | ast.comprehension) and parent.iter is node)
