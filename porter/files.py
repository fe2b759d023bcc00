"""Reads source trees and writes outputs atomically, without touching what is not porter's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from porter.diagnostics import InputError

MARK = ".porter"
SKIPPED = frozenset({"__pycache__", ".git", ".hg", ".svn", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"})


def read_tree(paths: tuple[Path, ...]) -> tuple[dict[str, str], dict[str, Path]]:
    """Python sources by relative POSIX path, and the other files to copy. A folder gives its tree, a file its name."""
    sources: dict[str, str] = {}
    others: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder", "name a .py file or a folder of them")
        root = path if path.is_dir() else path.parent
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            relative = file.relative_to(root)
            if file.is_dir() or any(part in SKIPPED for part in relative.parts):
                continue
            if file.suffix == ".py":
                sources[relative.as_posix()] = _text(file)
            else:
                others[relative.as_posix()] = file
    if not sources:
        raise InputError(f"{', '.join(map(str, paths))}: no Python file there", "name a .py file or a folder of them")
    return sources, others


def package_of(paths: tuple[Path, ...]) -> str:
    """The name of the folder that holds all sources, where it is a package."""
    only = paths[0].resolve() if len(paths) == 1 else None
    return only.name if only is not None and only.is_dir() and (only / "__init__.py").is_file() and only.name.isidentifier() else ""


def _text(file: Path) -> str:
    import tokenize

    try:
        with open(file, "rb") as stream:
            encoding, _ = tokenize.detect_encoding(stream.readline)
        with open(file, encoding=encoding, newline="") as stream:
            return stream.read()
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}", "check the file and its encoding") from None


def check_output(output: Path, sources: tuple[Path, ...], *, force: bool = False) -> None:
    """Refuses a destination inside the source, one that holds other work, or one that cannot be written."""
    resolved = output.resolve()
    for source in sources:
        root = (source if source.is_dir() else source.parent).resolve()
        # a folder beside a single file holds none of what is converted
        if resolved == root or (source.is_dir() and root in resolved.parents):
            raise InputError(f"{output}: lies inside the source {source}", "choose a folder outside of it")
    if output.exists():
        if not output.is_dir():
            raise InputError(f"{output}: is a file", "name a folder")
        if any(output.iterdir()) and not (output / MARK).exists() and not force:
            raise InputError(f"{output}: holds other work", "choose an empty folder, or pass --force to write into it")
    parent = output if output.exists() else next(p for p in resolved.parents if p.exists())
    if not os.access(parent, os.W_OK):
        raise InputError(f"{output}: cannot be written", "choose a folder that you may write to")


def write_tree(output: Path, files: Mapping[str, str], others: Mapping[str, Path]) -> None:
    """Writes all files, each whole or not at all."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_text(output / MARK, "Written by porter; its files here are replaced when it runs again.\n")
        for name, text in files.items():
            write_text(output / name, text)
        for name, source in others.items():
            target = output / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror or error}", "check space and permissions") from None


def write_text(path: Path, text: str) -> None:
    """Writes a text file by way of a temporary one beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
