"""Calls of numpy 2 that the numpy of MindSpore, which is older than 2, spells in another way."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from porter.rewrite.edits import Edit
    from porter.rewrite.walk import Walk


def copied_if_needed(rewriter: Walk, node: ast.Call) -> list[Edit]:
    """`copy=None` copies where it must; before numpy 2 that is `copy=False`, and None raises."""
    for keyword in node.keywords:
        if keyword.arg == "copy" and isinstance(keyword.value, ast.Constant) and keyword.value.value is None:
            others = [child for child in ast.iter_child_nodes(node) if child is not keyword]
            return [*(e for child in others for e in rewriter.visit(child)), *rewriter.replace(keyword.value, "False")]
    return rewriter.children(node)
