"""Tests of an object's very class, `type(m) == nn.Linear`: the port names the classes that its layers really have."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.table import Row

if TYPE_CHECKING:
    from porter.program import Module
    from porter.rewrite.edits import Edit
    from porter.rewrite.references import References

_EQUAL = {ast.Eq: "in", ast.Is: "in", ast.NotEq: "not in", ast.IsNot: "not in"}


def compared(rewriter: References, node: ast.Compare) -> list[Edit] | None:
    """The edits of a comparison of a class with layers' classes, None where it is none."""
    if len(node.ops) != 1 or not is_exact_test(node):
        return None
    left, right = node.left, node.comparators[0]
    if type(node.ops[0]) in _EQUAL:
        subject, against = (left, right) if is_class_of(left) else (right, left)
        cells = _cells(rewriter, against)
        if cells is None:
            return None
        if len(cells) == 1:
            return rewriter.visit(subject) + rewriter.replace(against, cells[0])
        return rewriter.replace(node, f"{rewriter.render(subject)} {_EQUAL[type(node.ops[0])]} ({', '.join(cells)})")
    edits = rewriter.visit(left)
    for element in right.elts if isinstance(right, ast.Tuple | ast.List | ast.Set) else []:
        cells = _cells(rewriter, element)
        edits += rewriter.visit(element) if cells is None else rewriter.replace(element, ", ".join(cells))
    return edits if isinstance(right, ast.Tuple | ast.List | ast.Set) else None


def is_class_of(node: ast.expr) -> bool:
    """`type(x)` or `x.__class__`."""
    if isinstance(node, ast.Attribute):
        return node.attr == "__class__"
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 1


def is_exact_test(node: ast.Compare) -> bool:
    return is_class_of(node.left) or (type(node.ops[0]) in _EQUAL and is_class_of(node.comparators[0]))


def _cells(rewriter: References, node: ast.expr) -> list[str] | None:
    """How the classes of a layer of torch.nn are written: MindSpore's, and the one with torch's signature where that is built too."""
    name = rewriter.resolve(node)
    rows = rewriter.table.get(name) if name is not None and rewriter.program.is_torch(name) else ()
    if not rows or rows[0].kind != "module" or rows[0].refused is not None:
        return None
    cells = rewriter.class_names(rows[0])
    if name is not None and _is_built_as_value(rewriter, name, rows[0]):
        adapter = rewriter.adapter(rows[0], node)
        if adapter is not None and adapter not in cells:
            cells.append(adapter)
    return cells or None


def _is_built_as_value(rewriter: References, name: str, row: Row) -> bool:
    """Whether the program hands the class itself on, so that layers of the class with torch's signature are made."""
    modules = rewriter.program.modules.values()
    return any(_is_value(rewriter, module, node, name) for module in modules if row.short_name.encode() in module.data for node in ast.walk(module.tree))


def _is_value(rewriter: References, module: Module, node: ast.AST, name: str) -> bool:
    if not isinstance(node, ast.Name | ast.Attribute) or rewriter.program.dotted(module, node) != name:
        return False
    parents = module.explored.parents
    child: ast.AST = node
    parent = parents.get(id(child))
    while isinstance(parent, ast.Tuple | ast.List):
        child, parent = parent, parents.get(id(parent))
    if isinstance(parent, ast.Call):
        test = isinstance(parent.func, ast.Name) and parent.func.id in ("isinstance", "issubclass")
        return not test and parent.func is not child
    if isinstance(parent, ast.Compare):
        return not is_exact_test(parent)
    return not isinstance(parent, ast.AnnAssign | ast.arg | ast.FunctionDef | ast.ClassDef | ast.BinOp | ast.Subscript)
