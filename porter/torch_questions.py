"""Questions that code asks of torch itself: which keywords a function has, whether this version has a member."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

KEYWORDS = ".__kwdefaults__"


def keywords_text(rewriter: Walk, name: str) -> str | None:
    """`torch.meshgrid.__kwdefaults__`: the keywords of the signature in the table, which is that of the installed torch."""
    rows = rewriter.table.get(name.removesuffix(KEYWORDS)) if name.endswith(KEYWORDS) else ()
    if len(rows) != 1:
        return None
    given = [(p.name, p.default) for p in rows[0].signature.parameters or () if p.kind == "keyword" and p.default is not None]
    return f"{{{', '.join(f'{rewriter.quote}{k}{rewriter.quote}: {d}' for k, d in given)}}}" if given else "None"


def fallback_edits(rewriter: Walk, node: ast.Call) -> list[Edit] | None:
    """`getattr(torch.cpu, "_is_avx2_supported", default)` as its default: what the table has no row for is not there in the port."""
    if len(node.args) != 3 or not isinstance(node.args[0], ast.Name | ast.Attribute):
        return None
    space, member = rewriter.resolve(node.args[0]), node.args[1]
    if space is None or not rewriter.program.is_torch(space) or not isinstance(member, ast.Constant) or not isinstance(member.value, str):
        return None
    name = rewriter.program.member(space, member.value)
    if rewriter.table.get(space) or rewriter.table.get(name) or name in rewriter.table.namespaces:
        return None
    return rewriter.replace(node, rewriter._wrapped(node, rewriter.render(node.args[2])))
