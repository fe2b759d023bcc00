"""Classes that stay as they were, behind a diagnostic: the file around them is still imported."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.rewrite.edits import Edit
from porter.rewrite.walk import all_arguments

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter


def left_edits(rewriter: Rewriter, node: ast.ClassDef) -> list[Edit]:
    """Edits of a class that stays as it was: what runs when the file is imported, decorators, defaults and annotations, names no torch."""
    edits: list[Edit] = []
    for method in (m for m in node.body if isinstance(m, ast.FunctionDef)):
        for decorator in method.decorator_list:
            name = rewriter.resolve(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if name is not None and rewriter.program.is_torch(name):
                edits.append(rewriter._whole_line(decorator))
        arguments = method.args
        for default in (d for d in [*arguments.defaults, *arguments.kw_defaults] if d is not None):
            edits += rewriter.visit(default)
        with rewriter.within("annotation"):
            hints = [a.annotation for a in all_arguments(arguments)] + [method.returns]
            edits += [e for hint in hints if hint is not None for e in rewriter.visit(hint)]
    return edits
