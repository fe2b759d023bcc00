"""Comments that stand further left than the method they are in: GRAPH mode takes a method's indentation from its leftmost line."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.grammar import in_network
from porter.nodes import walk
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk


def aligned_edits(rewriter: Walk, method: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Edit]:
    """Moves such comments, and such lines of the docstring, to the method's body; their text stays."""
    if not method.col_offset or not in_network(rewriter):
        return []
    data = rewriter.module.data
    margin = rewriter.indent(method.body[-1])
    texts = [n for n in walk(method) if isinstance(n, ast.Constant | ast.JoinedStr) and n.end_lineno != n.lineno]
    docstring = method.body[0].value if ast.get_docstring(method, clean=False) is not None else None  # type: ignore[attr-defined]
    literal = {line for n in texts if n is not docstring for line in range(n.lineno + 1, (n.end_lineno or n.lineno) + 1)}
    described = {line for n in texts if n is docstring for line in range(n.lineno + 1, (n.end_lineno or n.lineno) + 1)}
    edits = []
    for line in range(method.lineno + 1, (method.end_lineno or method.lineno) + 1):
        start = rewriter.module.offset(line, 0)
        text = data[start : data.find(b"\n", start)]
        bare = text.lstrip(b" \t")
        if bare and len(text) - len(bare) < method.col_offset and line not in literal and (bare.startswith(b"#") or line in described):
            edits.append(Edit(start, start + len(text) - len(bare), margin))
    return edits
