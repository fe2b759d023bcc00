"""`WHITELIST = (nn.Linear, nn.Conv2d)`, asked with isinstance later: the classes themselves, and no adapters that nothing is an instance of."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

ASKING = frozenset({"isinstance", "issubclass"})


def only_asked(rewriter: Walk, node: ast.Assign) -> bool:
    """Whether a name is given classes of torch, and serves isinstance alone."""
    target = node.targets[0]
    if len(node.targets) != 1 or not isinstance(target, ast.Name):
        return False
    classes = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    if not classes or not all(_is_layer(rewriter, c) for c in classes):
        return False
    program, module = rewriter.program, rewriter.module
    if any(f"{module.name}.{target.id}" in m.imports.values() for m in program.modules.values()):
        return False
    uses = [n for n in ast.walk(module.tree) if isinstance(n, ast.Name) and n.id == target.id and isinstance(n.ctx, ast.Load)]
    return bool(uses) and all(_is_asked(module.explored.parents.get(id(n)), n) for n in uses)


def _is_layer(rewriter: Walk, node: ast.expr) -> bool:
    name = rewriter.program.dotted(rewriter.module, node) if isinstance(node, ast.Attribute | ast.Name) else None
    rows = rewriter.table.get(name or "")
    return bool(rows) and rows[0].kind == "module"


def _is_asked(parent: ast.AST | None, node: ast.AST) -> bool:
    asks = isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id in ASKING
    return asks and isinstance(parent, ast.Call) and len(parent.args) == 2 and parent.args[1] is node
