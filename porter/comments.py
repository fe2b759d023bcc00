"""Comments inside a statement that was written anew: those that the new text has no place for stand above it."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk


def with_comments(rewriter: Walk, node: ast.stmt, edits: list[Edit]) -> list[Edit]:
    """The edits of a simple statement, and the comments that they would lose, on lines of their own before it."""
    start, end = rewriter.span(node)
    if not edits or b"#" not in rewriter.module.data[start:end]:
        return edits
    before = rewriter.module.data[rewriter.module.data.rfind(b"\n", 0, start) + 1 : start].decode("utf-8")
    if before.strip() or any(e.start < start or e.end > end for e in edits):
        return edits
    new = rewriter.splice(start, end, edits)
    kept = Counter(_comments(new))
    lost = []
    for comment in _comments(rewriter.module.source(node)):
        kept[comment] -= 1
        if kept[comment] < 0:
            lost.append(comment)
    if not lost or not new.strip():
        return edits
    return [Edit(start, end, "".join(f"{comment}\n{before}" for comment in lost) + new)]


def _comments(text: str) -> Iterator[str]:
    """The comments of a statement's text."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(f"({text}\n)").readline):
            if token.type == tokenize.COMMENT:
                yield token.string.rstrip()
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return
