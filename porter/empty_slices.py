"""Assignments through slice objects: `x[:, h, w] = n` is left out where a slice takes nothing, which MindSpore cannot assign to."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

SLICE = frozenset({"slice"})


def guarded_edits(rewriter: Walk, node: ast.Assign) -> list[Edit] | None:
    """The statement under `if 0 not in x[:, h, w].shape:` where h or w is a slice object whose length is not written out."""
    target = node.targets[0]
    if len(node.targets) > 1 or not isinstance(target, ast.Subscript) or not K.is_tensor(rewriter.kinds(target.value)):
        return None
    elements = target.slice.elts if isinstance(target.slice, ast.Tuple) else [target.slice]
    if not any(isinstance(e, ast.Name | ast.Attribute | ast.Subscript) and K.proven(rewriter.kinds(e), SLICE) for e in elements):
        return None
    start, end = rewriter.span(node)
    data = rewriter.module.data
    indent = data[data.rfind(b"\n", 0, start) + 1 : start].decode()
    if indent.strip() or rewriter.shares_line(node) or b"\n" in data[start:end]:
        return None
    inner = indent + ("\t" if indent.startswith("\t") else "    ")
    place = rewriter.render(target)
    return [Edit(start, end, f"if 0 not in {place}.shape:\n{inner}{place} = {rewriter.render(node.value)}")]
