"""What a conversion did to the text of a tree: does it parse, are the comments there, is what has no torch untouched."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass
class TextFigures:
    """Counts over a tree, and the places that need a look."""

    files: int = 0
    lines: int = 0
    unparsable: list[str] = field(default_factory=list)
    comments: int = 0
    removed_with_code: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    without_torch: int = 0
    touched: list[str] = field(default_factory=list)


def figures_of(sources: Mapping[str, str], ported: Mapping[str, str]) -> TextFigures:
    """The figures of all files of a tree."""
    figures = TextFigures()
    for path, text in sources.items():
        figures.files += 1
        figures.lines += text.count("\n")
        result = ported[path]
        try:
            ast.parse(result)
        except SyntaxError:
            figures.unparsable.append(path)
            continue
        tree = ast.parse(text)
        if not uses_torch(tree):
            figures.without_torch += 1
            if result != text:
                figures.touched.append(path)
        _comments(path, text, result, tree, figures)
    return figures


def uses_torch(tree: ast.Module) -> bool:
    """Whether a module imports torch or torchvision, anywhere, or uses the name torch that a star import brought."""
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    names += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return any(name.split(".")[0] in ("torch", "torchvision") for name in names)


def comments_of(text: str) -> list[tuple[int, str]]:
    """Line and text of each comment; spaces around it do not count."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [(token.start[0], token.string.strip()) for token in tokens if token.type == tokenize.COMMENT]


def _comments(path: str, text: str, result: str, tree: ast.Module, figures: TextFigures) -> None:
    """Counts the comments of one file; a lost one is excused only where all code around it is gone as well."""
    here = comments_of(text)
    figures.comments += len(here)
    left = Counter(comment for _, comment in comments_of(result))
    left.subtract(comment for _, comment in here)
    missing = {comment for comment, count in left.items() if count < 0}
    if not missing:
        return
    lines, kept = text.split("\n"), {line.split("#")[0].strip() for line in result.split("\n")}
    for comment in missing:
        places = [line for line, other in here if other == comment]
        gone = [line for line in places if not any(code in kept for code in _code_around(line, lines, tree))]
        named = [f"{path}:{line} {comment}" for line in [*gone, *(p for p in places if p not in gone)]][: -left[comment]]
        figures.removed_with_code += named[: len(gone)]
        figures.lost += named[len(gone) :]


def _code_around(line: int, lines: list[str], tree: ast.Module) -> Iterator[str]:
    """Lines of code that a comment belongs to: its own line, else the statement after it in the same block."""
    own = lines[line - 1].split("#")[0].strip()
    if own:
        yield from _statement(line, lines, tree)
        return
    after = next((i for i in range(line, len(lines)) if lines[i].split("#")[0].strip()), None)
    if after is not None:
        yield lines[after].split("#")[0].strip()


def _statement(line: int, lines: list[str], tree: ast.Module) -> Iterator[str]:
    """The line itself, when it is all of its statement; else every line of the simple statement it is in."""
    inside = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or n.lineno)]
    node = max(inside, key=lambda n: n.lineno, default=None)
    if node is None:
        yield lines[line - 1].split("#")[0].strip()
        return
    last = (node.end_lineno or node.lineno) if not hasattr(node, "body") else line
    for number in range(node.lineno if not hasattr(node, "body") else line, last + 1):
        code = lines[number - 1].split("#")[0].strip()
        if len(code) > 2:
            yield code
