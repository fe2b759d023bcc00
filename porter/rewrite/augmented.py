"""`x += y` where x outlives the call: a graph adds in place, to the caller's tensor, an attribute or the constant that it was compiled
with, whose next call then starts from the sum; PYNATIVE makes a new tensor. `x = x + y` is the same in both."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.grammar import in_network
from porter.nodes import walk
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_FROM_DATA = frozenset(
    f"torch.{n}" for n in (
        "tensor", "as_tensor", "asarray", "from_numpy", "scalar_tensor", "Tensor", "FloatTensor", "DoubleTensor", "HalfTensor",
        "LongTensor", "IntTensor", "BoolTensor",
    )
)  # fmt: skip
_SAME = frozenset(["to", "type", "float", "double", "half", "int", "long", "cuda", "cpu", "detach", "requires_grad_", "type_as", "contiguous"])
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**", ast.MatMult: "@",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip


def augmented_edits(walk_: Walk, node: ast.AugAssign) -> list[Edit] | None:
    """The statement without the change in place; None where the tensor is one of the call's own, or nothing is known."""
    target, operator = node.target, OPERATORS.get(type(node.op))
    if operator is not None and isinstance(target, ast.Subscript) and in_network(walk_):
        return _item(walk_, node, target, operator)
    if operator is None or not isinstance(target, ast.Name) or not in_network(walk_) or not K.is_tensor(walk_.kinds(target)):
        return None
    function = walk_.functions[-1]
    if isinstance(function, ast.Lambda) or not any(_outlives(walk_, function, d) for d in _definitions(function, target.id, node.lineno)):
        return None
    return walk_.replace(node, f"{target.id} = {target.id} {operator} {_operand(walk_, node.value)}")


def _item(walk_: Walk, node: ast.AugAssign, target: ast.Subscript, operator: str) -> list[Edit] | None:
    """`outs[0] += x` of a list or dictionary, where the item may be what came in: a graph adds to that as well."""
    held, items = walk_.kinds(target.value), walk_.kinds(target)
    simple = all(isinstance(n, ast.Name | ast.Constant | ast.UnaryOp | ast.USub | ast.Load | ast.Subscript | ast.Store) for n in walk(target))
    if not simple or not K.proven(held, frozenset({"list", "dict"})) or K.proven(items, frozenset({"int", "float", "str", "bool", "list", "tuple"})):
        return None
    place = walk_.render(target)
    return walk_.replace(node, f"{place} = {place} {operator} {_operand(walk_, node.value)}")


def _operand(walk_: Walk, node: ast.expr) -> str:
    text = walk_.render(node)
    return text if isinstance(node, ast.Constant | ast.Name | ast.Attribute | ast.Call | ast.Subscript) else f"({text})"


def _definitions(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str, line: int) -> Iterator[ast.AST]:
    """What may have bound a name: assignments from the last one that every way passes, else from the parameter on."""
    plain = [s for s in function.body if isinstance(s, ast.Assign) and s.lineno < line and _binds(s, name)]
    first = plain[-1].lineno if plain else 0
    arguments = function.args
    if not plain:
        yield from (a for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs] if a.arg == name)
    for node in walk(function):
        if isinstance(node, ast.Assign) and node.lineno >= first and _binds(node, name):
            yield node.value


def _binds(node: ast.Assign, name: str) -> bool:
    return any(isinstance(t, ast.Name) and t.id == name for t in node.targets)


def _outlives(walk_: Walk, function: ast.FunctionDef | ast.AsyncFunctionDef, made: ast.AST, level: int = 0) -> bool:
    """Whether a value is a parameter's, an attribute's, or made of data that a graph keeps as a constant."""
    if isinstance(made, ast.arg):
        return True
    while isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute) and made.func.attr in _SAME and walk_.resolve(made.func) is None:
        made = made.func.value
    if isinstance(made, ast.Attribute):
        return isinstance(made.value, ast.Name) and made.value.id == "self"
    if isinstance(made, ast.IfExp):
        return any(_outlives(walk_, function, m, level) for m in (made.body, made.orelse))
    if isinstance(made, ast.Name) and level < 3:
        return any(_outlives(walk_, function, d, level + 1) for d in _definitions(function, made.id, made.lineno))
    return isinstance(made, ast.Call) and walk_.resolve(made.func) in _FROM_DATA
