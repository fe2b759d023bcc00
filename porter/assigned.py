"""What a file assigns to a name, wherever it does."""

from __future__ import annotations

import ast

from porter.program import Module


def assigned(module: Module, name: str) -> list[ast.expr | None]:
    """The values that `name = ...` gives a name anywhere in a file; None stands for what is bound in another way."""
    cached: dict[str, list[ast.expr | None]] | None = getattr(module, "_assigned", None)
    if cached is None:
        cached = module._assigned = _bindings(module.tree)  # type: ignore[attr-defined]
    return cached.get(name, [])


def _bindings(tree: ast.Module) -> dict[str, list[ast.expr | None]]:
    found: dict[str, list[ast.expr | None]] = {}
    plain: set[int] = set()
    others: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
            plain.add(id(node.targets[0]))
        elif isinstance(node, ast.arg):
            others.append(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            others.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in plain:
            others.append(node.id)
    for name in others:
        found.setdefault(name, []).append(None)
    return found
