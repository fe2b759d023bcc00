"""torch makes a module in training mode and MindSpore makes a cell without it: networks that no statement sets to training get it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.nodes import children, walk

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter

MODULE = "torch.nn.Module"
CONTAINERS = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict"})
PARALLEL = frozenset({"torch.nn.DataParallel", "torch.nn.parallel.DistributedDataParallel"})
_HOLDERS = (
    ast.Call, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.IfExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
SAME_MODULE = frozenset({"to", "cuda", "cpu", "float", "double", "half", "apply", "requires_grad_", "type"})


def needs_training_mode(rewriter: Rewriter, node: ast.Assign) -> bool:
    """Whether `net = Net()` must say `.set_train()`, since torch's training mode would otherwise be missed."""
    if not isinstance(node.value, ast.Call) or len(node.targets) != 1 or _in_cell(rewriter):
        return False
    return _makes_network(rewriter, node.value) and _is_missing(rewriter, node.value)


def needing_training_mode(rewriter: Rewriter, node: ast.Assign | ast.AnnAssign | ast.Expr | ast.Return) -> list[ast.Call]:
    """The networks that a statement makes inside of its value, and that must say `.set_train()`: `a, b = Net(), Net()`."""
    if not isinstance(node.value, _HOLDERS) or not _training_scopes(rewriter) or _in_cell(rewriter):
        return []
    inner = [c for c in _calls_inside(rewriter, node.value) if not (c is node.value and not isinstance(node, ast.AnnAssign))]
    return [c for c in inner if _makes_network(rewriter, c) and _is_missing(rewriter, c)]


def _in_cell(rewriter: Rewriter) -> bool:
    return any(rewriter._is_cell(c) for c in rewriter.classes)


def _calls_inside(rewriter: Rewriter, value: ast.expr) -> Iterator[ast.Call]:
    """The calls whose results a value is, holds or hands to a function or class of the program."""
    if isinstance(value, ast.Tuple | ast.List | ast.Set):
        parts: list[ast.expr] = value.elts
    elif isinstance(value, ast.Dict):
        parts = value.values
    elif isinstance(value, ast.ListComp | ast.SetComp | ast.GeneratorExp):
        parts = [value.elt]
    elif isinstance(value, ast.DictComp):
        parts = [value.value]
    elif isinstance(value, ast.IfExp):
        parts = [value.body, value.orelse]
    elif isinstance(value, ast.Call):
        yield value
        if isinstance(value.func, ast.Attribute) and value.func.attr in SAME_MODULE and not _makes_network(rewriter, value):
            yield from _calls_inside(rewriter, value.func.value)
            return
        takes = K.without_none(rewriter.kinds(value.func))
        own = bool(takes) and all(k.of in rewriter.program.functions or k.of in rewriter.program.classes for k in takes)
        parts = [*value.args, *(k.value for k in value.keywords)] if own and not _makes_network(rewriter, value) else []
    else:
        parts = []
    for part in parts:
        yield from _calls_inside(rewriter, part)


def hides_training_mode(rewriter: Rewriter, made: ast.expr) -> bool:
    """Whether a network has a method train of its own that is no switch of the mode: it wants more than torch's does."""
    for kind in K.without_none(rewriter.kinds(made)):
        found = rewriter.program.method(kind.of, "train") if kind.of in rewriter.program.classes else None
        if found is None:
            continue
        arguments = found[1].node.args
        required = len([*arguments.posonlyargs, *arguments.args]) - len(arguments.defaults) - 1
        if required > 0 or any(d is None for d in arguments.kw_defaults):
            return True
    return False


def _makes_network(rewriter: Rewriter, value: ast.expr) -> bool:
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in SAME_MODULE:
        value = value.func.value
    if not isinstance(value, ast.Call):
        return False
    makers = K.without_none(rewriter.kinds(value.func))
    if value.args and makers and all(k.of in PARALLEL for k in makers):
        return _makes_network(rewriter, value.args[0])
    return bool(makers) and all(_is_maker(rewriter, k) for k in makers)


def _is_maker(rewriter: Rewriter, kind: K.Kind) -> bool:
    if kind.name == "class":
        return kind.of in CONTAINERS or (kind.of in rewriter.program.classes and rewriter._is_cell(kind.of))
    of_class = kind.name == "bound" and bool(kind.items) and K.names(kind.items[0]) == {"class"}
    if (kind.name == "function" or of_class) and kind.of in rewriter.program.functions:
        made = K.without_none(rewriter.inference.returned_by(rewriter.program.functions[kind.of]))
        return bool(made) and all(k.name == "object" and rewriter._is_cell(k.of) for k in made)
    return kind.name == "function" and kind.of.startswith("torchvision.models.")


def _is_missing(rewriter: Rewriter, value: ast.expr) -> bool:
    own = {k.of for k in K.without_none(rewriter.kinds(value))}
    scopes = _training_scopes(rewriter)
    return bool(scopes) and not all(_sets_mode(rewriter, calls, own) for calls in scopes)


def _sets_mode(rewriter: Rewriter, calls: list[ast.Call], own: set[str]) -> bool:
    """Whether some `.train()` before a backward pass may mean these networks."""
    for call in calls:
        assert isinstance(call.func, ast.Attribute)
        known = K.without_none(rewriter.kinds(call.func.value))
        if K.is_unknown(known) or any(k.of == MODULE or k.of in own for k in known) or not own - {MODULE}:
            return True
    return False


def _training_scopes(rewriter: Rewriter) -> list[list[ast.Call]]:
    """For every function that goes backward, its calls of `.train()` before that."""
    cached: list[list[ast.Call]] | None = getattr(rewriter.program, "_training_scopes", None)
    if cached is None:
        cached = [found for m in rewriter.program.modules.values() if b".backward(" in m.data for found in _in_module(m.tree)]
        rewriter.program._training_scopes = cached  # type: ignore[attr-defined]
    return cached


def _in_module(tree: ast.Module) -> Iterator[list[ast.Call]]:
    scopes = [tree, *(n for n in walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))]
    for scope in scopes:
        calls = [c for statement in scope.body for c in _own_calls(statement)]
        backward = [c.lineno for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "backward"]
        if backward:
            yield [c for c in calls if _is_train(c) and c.lineno < max(backward)]


def _own_calls(node: ast.AST) -> Iterator[ast.Call]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in children(node):
        yield from _own_calls(child)


def _is_train(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "train":
        return False
    return not call.args or (isinstance(call.args[0], ast.Constant) and call.args[0].value is True)
