"""Finds the source that MODULE of MODULE:EXPR belongs to, without importing it."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from porter.diagnostics import InputError
from porter.files import SKIPPED, read_tree

EXAMPLE = "write it as package.module:Model(num_classes=10) or net.py:Net()"


@dataclass(frozen=True)
class Source:
    """A reference model: `module` as seen from `root`, the expression, and the texts that are ported together."""

    root: Path
    module: str
    expression: str
    texts: dict[str, str]
    others: dict[str, Path]
    package: Path | None = None

    @property
    def path(self) -> str:
        """The module's file, relative to the root."""
        base = self.module.replace(".", "/")
        return f"{base}.py" if f"{base}.py" in self.texts else f"{base}/__init__.py"

    @property
    def spec(self) -> str:
        return f"{self.module}:{self.expression}"


def locate(spec: str) -> Source:
    """The package, or the loose scripts, that MODULE belongs to. Raises InputError where there is none."""
    name, colon, expression = spec.partition(":")
    if not colon or not name or not expression.strip():
        raise InputError(f"{spec!r} is not MODULE:EXPR", EXAMPLE)
    try:
        ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        raise InputError(
            f"{spec}: {expression.strip()!r} is not an expression: {error.msg}", EXAMPLE
        ) from None
    file = _file_of(name)
    folder, parts = file.parent, [] if file.name == "__init__.py" else [file.stem]
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    package = folder / parts[0] if len(parts) > 1 or file.name == "__init__.py" else None
    texts, others = _package(package) if package is not None else _scripts(file)
    return Source(folder, ".".join(parts), expression.strip(), texts, others, package)


def _file_of(name: str) -> Path:
    if name.endswith(".py"):
        path = Path(name).resolve()
        if not path.is_file():
            raise InputError(f"{name}: no such file", "name the .py file of the model, or an import path")
        return path
    relative = Path(*name.split("."))
    for root in dict.fromkeys([os.getcwd(), *sys.path]):
        for candidate in (
            Path(root or ".") / relative.with_suffix(".py"),
            Path(root or ".") / relative / "__init__.py",
        ):
            if candidate.is_file():
                return candidate.resolve()
    raise InputError(f"{name}: no such module", "run from the folder that holds it, or name its .py file")


def _package(folder: Path) -> tuple[dict[str, str], dict[str, Path]]:
    texts, others = read_tree((folder,))
    top = folder.name
    return {f"{top}/{n}": t for n, t in texts.items()}, {f"{top}/{n}": p for n, p in others.items()}


def _scripts(file: Path) -> tuple[dict[str, str], dict[str, Path]]:
    """A loose script and what it imports from its own folder, modules and packages."""
    folder = file.parent
    texts: dict[str, str] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(folder).as_posix()
        if name in texts:
            continue
        texts[name] = read_tree((path,))[0][path.name]
        for top in _imported(texts[name]):
            if (folder / f"{top}.py").is_file():
                waiting.append(folder / f"{top}.py")
            elif (folder / top / "__init__.py").is_file():
                waiting += [p for p in (folder / top).rglob("*.py") if not SKIPPED & set(p.parts)]
    return texts, {}


def _imported(text: str) -> Iterator[str]:
    """Top names that a source imports absolutely; nothing for one that does not parse."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]
