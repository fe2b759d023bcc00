"""Which calls may go through a network, and so carry a gradient to its parameters."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY, Kind, Kinds
from porter.nodes import walk

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter


def carrying_call(rewriter: Rewriter, call: ast.Call, seen: set[str]) -> bool:
    """Whether a call may go through a network: a Cell, or a function of the program that calls one."""
    func = call.func
    if isinstance(func, ast.Name) and hasattr(builtins, func.id) and func.id not in rewriter.taken:
        return False
    known = K.without_none(rewriter.kinds(func))
    if known and not known & ANY:
        return any(_carrying_kind(rewriter, k, seen) for k in known)
    if isinstance(func, ast.Attribute):
        owner = K.without_none(rewriter.kinds(func.value))
        if owner and not owner & ANY:
            return any(k.name == "object" and rewriter._is_cell(k.of) for k in owner) and not rewriter.table.get(f"torch.nn.Module.{func.attr}")
        return isinstance(func.value, ast.Name) and func.value.id == "self" and bool(call.args)
    return isinstance(func, ast.Name) and bool(call.args)


def _carrying_kind(rewriter: Rewriter, kind: Kind, seen: set[str]) -> bool:
    if kind.name == "object":
        return rewriter._is_cell(kind.of)
    if kind.name in ("function", "bound") and kind.of in rewriter.program.functions and kind.of not in seen:
        seen.add(kind.of)
        body = rewriter.program.functions[kind.of].node
        return any(carrying_call(rewriter, n, seen) for n in walk(body) if isinstance(n, ast.Call))
    if kind.name == "module_method":
        return kind.of == "forward"
    return kind.name in ("lambda", "partial")


def networks_in(rewriter: Rewriter, statements: list[ast.stmt]) -> set[str]:
    """Names of the networks that statements call."""
    found = set()
    for statement in statements:
        for node in walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                known = K.without_none(rewriter.kinds(node.func)) - ANY
                if known and all(k.name == "object" and rewriter._is_cell(k.of) for k in known) and has_parameters(rewriter, known):
                    found.add(ast.unparse(node.func))
    return found


def has_parameters(rewriter: Rewriter, networks: Kinds) -> bool:
    """Whether modules may hold parameters: losses and activations of torch.nn do not."""
    for kind in networks:
        rows = rewriter.table.get(kind.of)
        page = Path(rows[0].location.path).stem if rows and kind.of.startswith("torch.nn.") else ""
        if page not in _WITHOUT_PARAMETERS or rows[0].weights:
            return True
    return False


_WITHOUT_PARAMETERS = frozenset({"loss", "distance", "dropout", "padding", "pooling", "shape"})
