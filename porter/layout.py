"""Breaks a call that has grown too long for its line."""

from __future__ import annotations

import io
import tokenize

LONGEST = 110
SHORTEST = 100  # no file is so narrow that a call must break before


def fitted(before: str, text: str, after: str = "", longest: int = LONGEST) -> str:
    """`text`, a call that stands between `before` and `after` on its line; where that is too long it goes on below."""
    longest = max(longest, SHORTEST)
    if "\n" in text or len(before) + len(text) + len(after.rstrip()) <= longest:
        return text
    parts = _arguments(text)
    if parts is None:
        return text
    head, arguments = parts
    indent = before[: len(before) - len(before.lstrip())]
    line = f"{indent}    {', '.join(arguments)}"
    if len(line) <= longest:
        return f"{head}(\n{line}\n{indent})"
    return f"{head}({_filled(arguments, len(before) + len(head) + 1, longest)})"


def _filled(arguments: list[str], column: int, longest: int) -> str:
    """Arguments in lines that begin below the first one."""
    lines = [""]
    for index, argument in enumerate(arguments):
        piece = argument + ("," if index < len(arguments) - 1 else "")
        if lines[-1] and column + len(lines[-1]) + 1 + len(piece) > longest:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + piece
    return ("\n" + " " * column).join(lines)


def _arguments(text: str) -> tuple[str, list[str]] | None:
    """The function and the arguments of a call on one line."""
    level, start, head, found = 0, 0, "", []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.OP:
            continue
        column = token.start[1]
        if token.string in "([{":
            level += 1
            if level == 1 and token.string == "(" and not head:
                head, start = text[:column], column + 1
        elif token.string in ")]}":
            level -= 1
            if level == 0:
                if not head or column != len(text.rstrip()) - 1:
                    return None
                found.append(text[start:column].strip())
                return head, [a for a in found if a]
        elif token.string == "," and level == 1:
            found.append(text[start:column].strip())
            start = column + 1
    return None
