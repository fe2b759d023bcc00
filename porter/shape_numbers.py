"""Numbers that a forward pass computes from shapes with tensors and reads back, as numpy arrays: a graph holds no values to read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.dataflow import assigned_values
from porter.grammar import in_network
from porter.guards import constant_of
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_MAKERS = frozenset({"torch.tensor", "torch.as_tensor", "torch.LongTensor"})
_JOINS = {"torch.stack": "stack", "torch.cat": "concatenate", "torch.concat": "concatenate"}
_READS = ("tolist", "item")
_WHOLE = {"int": "int32", "long": "int64"}
_SAME = ("flatten", "clone", "detach", "cpu")


def prepare_shape_numbers(rewriter: Walk, function: ast.FunctionDef) -> None:
    """Plans the numpy form of each such expression of a network's own function; all that a name holds must be of this kind."""
    if not any(rewriter.module.has(f".{read}(".encode()) for read in _READS) or not in_network(rewriter):
        return
    calls = [n for n in ast.walk(function) if isinstance(n, ast.Call)]
    if not any(isinstance(c.func, ast.Attribute) and c.func.attr in _READS for c in calls):
        return
    if not any(_makes(rewriter, c) for c in calls):
        return
    names = _held(rewriter, function)
    for root in _roots(rewriter, function, names):
        read = rewriter.parents.get(id(root))
        text = _text(rewriter, root, names)
        if isinstance(read, ast.Attribute) and read.attr == "item":  # a graph takes a number of an array for Python's own
            rewriter.replaced[id(rewriter.parents[id(read)])] = f"int({text})"
        else:
            rewriter.replaced[id(root)] = text


def _held(rewriter: Walk, function: ast.FunctionDef) -> set[str]:
    """Local names that hold such numbers only, and are used for nothing but others of them and to be read."""
    values = {n.id: assigned_values(n.id, function) for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names = {name for name, bound in values.items() if None not in bound}
    while True:
        kept = {n for n in names if all(_is_whole(rewriter, v, names) for v in values[n] if v is not None)}
        roots = {id(part) for root in _roots(rewriter, function, kept) for part in ast.walk(root)}
        kept = {n for n in kept if all(id(use) in roots for use in _uses(function, n))}
        if kept == names:
            return names
        names = kept


def _uses(function: ast.FunctionDef, name: str) -> Iterator[ast.Name]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            yield node


def _roots(rewriter: Walk, function: ast.FunctionDef, names: set[str]) -> Iterator[ast.expr]:
    """The outermost such expressions that are read back, or bound to one of the names."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names:
            yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _READS and not node.args:
            if (_is_whole(rewriter, node.func.value, names) and not isinstance(node.func.value, ast.Name)) or (isinstance(node.func.value, ast.Name) and node.func.value.id in names):
                yield node.func.value


def _makes(rewriter: Walk, node: ast.AST) -> bool:
    """`torch.tensor(x.shape)`, also of a part of a shape or of a list of sizes."""
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords or rewriter.resolve(node.func) not in _MAKERS:
        return False
    given = node.args[0]
    if isinstance(given, ast.List | ast.Tuple):
        return bool(given.elts) and all(_is_size(rewriter, e) for e in given.elts)
    return _is_shape(rewriter, given)


def _is_shape(rewriter: Walk, node: ast.expr) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Slice) and _is_shape(rewriter, node.value)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr == "size" and not node.args and not node.keywords
    return isinstance(node, ast.Attribute) and node.attr == "shape"


def _is_size(rewriter: Walk, node: ast.expr) -> bool:
    """Whether an expression is surely a whole number of Python's own."""
    return isinstance(constant_of(node), int) or K.proven(rewriter.kinds(node), frozenset({"int"}))


def _is_whole(rewriter: Walk, node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is an array of whole numbers in the forms that are known here."""
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Subscript):
        return _is_whole(rewriter, node.value, names) and _is_index(node.slice)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _is_whole(rewriter, node.operand, names)
    if isinstance(node, ast.BinOp):
        sides = (node.left, node.right)
        joins = isinstance(node.op, ast.Add | ast.Sub | ast.Mult) or (
            isinstance(node.op, ast.FloorDiv) and isinstance(constant_of(node.right), int) and constant_of(node.right) != 0
        )
        arrays = [_is_whole(rewriter, s, names) for s in sides]
        return joins and any(arrays) and all(a or _is_size(rewriter, s) for a, s in zip(arrays, sides, strict=True))
    if not isinstance(node, ast.Call):
        return False
    if _makes(rewriter, node):
        return True
    if rewriter.resolve(node.func) in _JOINS and len(node.args) == 1 and not node.keywords:
        listed = node.args[0]
        return isinstance(listed, ast.List | ast.Tuple) and bool(listed.elts) and all(_is_whole(rewriter, e, names) for e in listed.elts)
    if not isinstance(node.func, ast.Attribute) or node.args or node.keywords:
        return False
    if node.func.attr in _WHOLE:
        return _is_whole(rewriter, node.func.value, names) or _is_quotient(rewriter, node.func.value, names)
    return node.func.attr in (*_SAME, "t") and _is_whole(rewriter, node.func.value, names)


def _is_index(node: ast.expr) -> bool:
    parts = [node.lower, node.upper] if isinstance(node, ast.Slice) and node.step is None else [node]
    return all(p is None or isinstance(constant_of(p), int) for p in parts)


def _is_quotient(rewriter: Walk, node: ast.expr, names: set[str]) -> bool:
    """Whole numbers divided by a constant: cut to whole numbers again they are the same in any precision."""
    return (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _is_whole(rewriter, node.left, names)
        and isinstance(constant_of(node.right), int) and 0 < constant_of(node.right) < 1 << 10
    )  # fmt: skip


def _text(rewriter: Walk, node: ast.expr, names: set[str]) -> str:
    """An expression with numpy's names; whatever else stands in it is ported as anywhere."""
    return rewriter.splice(*rewriter.span(node), _edits(rewriter, node, names))


def _edits(rewriter: Walk, node: ast.expr, names: set[str]) -> list[Edit]:
    if isinstance(node, ast.Call) and _makes(rewriter, node):
        return [*rewriter.replace(node.func, rewriter.spell("numpy.array")), *rewriter.visit(node.args[0])]
    if isinstance(node, ast.Call) and rewriter.resolve(node.func) in _JOINS:
        name = _JOINS[rewriter.resolve(node.func) or ""]
        parts = [e for part in node.args[0].elts for e in _edits(rewriter, part, names)]  # type: ignore[attr-defined]
        return [*rewriter.replace(node.func, rewriter.spell(f"numpy.{name}")), *parts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        value, method = node.func.value, node.func.attr
        after = {"t": ".T", "flatten": ".flatten()"}.get(method, "")
        if method in _WHOLE:
            after = f".astype({rewriter.spell(f'numpy.{_WHOLE[method]}')})"
        # what closes a bracket around the value stays before the dot
        dot = rewriter.module.data.rindex(b".", rewriter.span(value)[1], rewriter.span(node)[1])
        return [*_edits(rewriter, value, names), Edit(dot, rewriter.span(node)[1], after)]
    inside = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)]
    return [e for part in inside for e in (_edits(rewriter, part, names) if _is_known(rewriter, part, names) else rewriter.visit(part))]


def _is_known(rewriter: Walk, node: ast.expr, names: set[str]) -> bool:
    return _is_whole(rewriter, node, names) or _is_quotient(rewriter, node, names)
