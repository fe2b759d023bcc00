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
    """Counts the comments of one file; a lost one is excused only where its code has no counterpart in a port."""
    here = comments_of(text)
    figures.comments += len(here)
    left = Counter(comment for _, comment in comments_of(result))
    left.subtract(comment for _, comment in here)
    missing = {comment for comment, count in left.items() if count < 0}
    if not missing:
        return
    spans = list(_removed(tree))
    for comment in missing:
        places = [line for line, other in here if other == comment]
        gone = [line for line in places if any(first <= line <= last for first, last in spans)]
        named = [f"{path}:{line} {comment}" for line in [*gone, *(p for p in places if p not in gone)]][: -left[comment]]
        figures.removed_with_code += named[: len(gone)]
        figures.lost += named[len(gone) :]


def _removed(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """First and last lines of what a port leaves out: imports, torch.jit's decorators and overloads, branches for scripting."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) or (isinstance(node, ast.If) and "is_scripting" in ast.unparse(node.test)):
            yield node.lineno, node.end_lineno or node.lineno
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if ast.unparse(decorator).startswith("torch.jit."):
                    overload = "_overload" in ast.unparse(decorator)
                    yield decorator.lineno, (node if overload else decorator).end_lineno or decorator.lineno
