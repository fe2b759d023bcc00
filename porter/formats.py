"""Numbers in formatted text: `f"{loss:.4f}"` takes torch's tensors of one element, and not MindSpore's."""

from __future__ import annotations

import ast
import io
import string
import tokenize
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

NUMERIC = frozenset("eEfFgGn%d")
SETTINGS = frozenset({"args", "opt", "opts", "config", "cfg", "hparams", "params", "flags", "FLAGS", "options"})


def number_text(rewriter: Walk, node: ast.expr, text: str) -> str:
    """The expression as a number, where it is or may be a tensor."""
    known = K.without_none(rewriter.kinds(node))
    if K.is_tensor(known):
        return f"{text if _is_primary(node) else f'({text})'}.item()"
    possible = bool(K.names(known) & K.TENSORS) or bool(known & ANY and _uses_torch(rewriter))
    if possible and not _is_setting(node):
        return f"{rewriter.spell('emitted.number')}({text})"
    return text


def _uses_torch(rewriter: Walk) -> bool:
    """Whether the file imports torch: in another one a value of unknown kind stays as it is."""
    return any(rewriter.program.is_torch(name) for name in rewriter.module.imports.values())


def _is_primary(node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call)


def _is_setting(node: ast.expr) -> bool:
    """args.lr, or arithmetic with the length of something: written by people or counted, never computed by a network."""
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id in SETTINGS
    return isinstance(node, ast.Constant)


def is_numeric(value: ast.FormattedValue) -> bool:
    """Whether a replacement field of an f-string has a format for numbers."""
    if value.format_spec is None or value.conversion != -1 or not isinstance(value.format_spec, ast.JoinedStr):
        return False
    last = value.format_spec.values[-1] if value.format_spec.values else None
    return isinstance(last, ast.Constant) and isinstance(last.value, str) and last.value[-1:] in NUMERIC


def numeric_arguments(node: ast.Call) -> Iterator[ast.expr]:
    """Arguments of `"{:.4f}".format(loss)` that a format for numbers takes."""
    func = node.func
    if not (isinstance(func, ast.Attribute) and func.attr == "format" and isinstance(func.value, ast.Constant)):
        return
    if not isinstance(func.value.value, str) or any(isinstance(a, ast.Starred) for a in node.args):
        return
    keywords = {k.arg: k.value for k in node.keywords if k.arg}
    try:
        fields = [(name, spec) for _, name, spec, conversion in string.Formatter().parse(func.value.value) if name is not None and not conversion]
    except ValueError:
        return
    automatic = 0
    for name, spec in fields:
        key = name or str(automatic)
        automatic += not name
        if spec and spec[-1] in NUMERIC:
            if key.isdigit() and int(key) < len(node.args):
                yield node.args[int(key)]
            elif key in keywords:
                yield keywords[key]


def formatted_values(rewriter: Walk, node: ast.Call) -> ast.expr | None:
    """The mapping of `text.format(**values)`, where its values may be tensors and the text may ask for numbers."""
    func = node.func
    if not (isinstance(func, ast.Attribute) and func.attr == "format" and _uses_torch(rewriter)):
        return None
    if not K.names(K.without_none(rewriter.kinds(func.value))) <= {"str", "any"}:
        return None
    given = [k.value for k in node.keywords if k.arg is None]
    if len(given) != 1 or (isinstance(given[0], ast.Call) and isinstance(given[0].func, ast.Name) and given[0].func.id == "locals"):
        return None
    return given[0]


def field_place(text: str, start: int, wanted: ast.expr) -> tuple[int, int] | None:
    """Where the source of an f-string, from some place on, has a given expression in braces."""
    meaning = ast.dump(wanted)
    at = text.find("{", start)
    while at >= 0:
        for end in range(at + 2, len(text)):
            if text[end] in "}:!=" and _means(text[at + 1 : end], meaning):
                return at + 1, end
        at = text.find("{", at + 1)
    return None


def _means(text: str, meaning: str) -> bool:
    try:
        return ast.dump(ast.parse(text.strip(), mode="eval").body) == meaning
    except SyntaxError:
        return False


def requoted(text: str, quote: str) -> str:
    """An expression for an f-string with this quote: its own strings take the other one, as Python before 3.12 wants."""
    other = "'" if quote[0] == '"' else '"'
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return text
    for token in reversed(tokens):
        if token.type == tokenize.STRING and token.start[0] == token.end[0] == 1 and token.string[-1] == quote[0]:
            body = token.string.rstrip(quote[0]).partition(quote[0])
            if other not in token.string and "\\" not in token.string:
                text = f"{text[: token.start[1]]}{body[0]}{other}{body[2]}{other}{text[token.end[1] :]}"
    return text


def quote_of(text: str) -> str:
    """The quote that opens a string's source: one character, or three."""
    start = min(i for i in (text.find("'"), text.find('"')) if i >= 0)
    return text[start : start + 3] if text[start : start + 3] in ("'''", '"""') else text[start]
