"""`getattr(nn, name)`: the classes and functions of a torch namespace that a program asks for by names that it computes."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from porter.dataflow import assigned_values
from porter.guards import constant_of
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.references import References

_SHORT = 3  # entries that a dictionary in the line may have
_COMPUTED = re.compile(r"\{[^}]*\}|%[ds]")


def member_edits(rewriter: References, node: ast.Call) -> list[Edit] | None:
    """A dictionary of what the name may be, in the line where it is short, else the file's one dictionary of all of them."""
    space = rewriter.resolve(node.args[0])
    if space is None or not rewriter.program.is_torch(space) or rewriter.table.get(space) or not rewriter.is_namespace(space):
        return None
    members = rewriter.table.get(f"{space}.__dict__")
    if members and len(node.args) == 2:
        whole = rewriter.spell(members[0].alternatives[0].to.removesuffix("()"))
        return rewriter.replace(node, f"{whole}()[{rewriter.render(node.args[1])}]")
    wanted = constant_of(node.args[1])
    names = [wanted] if isinstance(wanted, str) else _named(rewriter, space, node.args[1])
    entries = _entries(rewriter, node, space, names)
    if not entries:
        return None
    if isinstance(wanted, str):
        return rewriter.replace(node, entries[wanted])
    key = rewriter.render(node.args[1])
    if len(entries) > _SHORT:
        shown = rewriter.needs.dictionary(space, entries, rewriter._unused)
    else:
        shown = "{" + ", ".join(f"{n!r}: {e}" for n, e in sorted(entries.items())) + "}"
    default = f".get({key}, {rewriter.render(node.args[2])})" if len(node.args) == 3 else f"[{key}]"
    return rewriter.replace(node, shown + default)


def _entries(rewriter: References, node: ast.Call, space: str, names: list[str]) -> dict[str, str]:
    """How those names of a namespace that have a MindSpore form are written in this file."""
    entries = {}
    for name in names:
        rows = rewriter.table.get(f"{space}.{name}")
        if rows and rows[0].refused is None and (len(rows) == 1 or rows[0].adapter):
            plain = rewriter.spells_as_is(rows[0])
            entry = rewriter.spell(rows[0].alternatives[0].to.partition("(")[0]) if plain else rewriter.adapter(rows[0], node)
            if entry:
                entries[name] = entry
    return entries


def _named(rewriter: References, space: str, key: ast.expr) -> list[str]:
    """Members of a namespace that a key may name: by its own form, or by any string of the program."""
    rows = rewriter.table.rows
    members = [n.removeprefix(space + ".") for n in rows if n.startswith(space + ".") and n.count(".") == space.count(".") + 1]
    texts = _texts(key, rewriter.functions[-1] if rewriter.functions else None)
    found: dict[str, None] = {}
    for text in rewriter.program.strings if texts is None else texts:
        if text in members:
            found[text] = None
        elif _COMPUTED.search(text) and re.search("[A-Za-z]{3}", text) and len(text) < 40:
            pattern = ".{0,8}".join(re.escape(part) for part in _COMPUTED.split(text))
            found.update(dict.fromkeys(m for m in members if re.fullmatch(pattern, m)))
    return [n for n in found if rewriter.table.get(f"{space}.{n}")[0].kind in ("module", "function")]


def _texts(key: ast.expr, function: ast.AST | None) -> list[str] | None:
    """The strings, or patterns such as 'Conv{}d', that an expression may be; None where its form does not say."""
    if isinstance(key, ast.Name) and function is not None:
        values = [_texts(v, None) if v is not None else None for v in assigned_values(key.id, function)]
        return [t for v in values if v is not None for t in v] if values and None not in values else None
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return [key.value]
    if isinstance(key, ast.JoinedStr):
        return ["".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in key.values)]
    if isinstance(key, ast.Call) and isinstance(key.func, ast.Attribute) and key.func.attr == "format":
        return _texts(key.func.value, None)
    if isinstance(key, ast.BinOp) and isinstance(key.op, ast.Mod):
        return _texts(key.left, None)
    return None
