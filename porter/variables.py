"""`Variable(x)`: since torch 0.4 a tensor of the same values that is cut from the graph of x."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, cast

from porter import kinds as K
from porter.assigned import assigned
from porter.carrying import carrying_call
from porter.dataflow import parameter_names
from porter.grammar import in_network
from porter.leaves import VARIABLE
from porter.nodes import walk
from porter.old_types import old_dtype

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter
    from porter.rewrite.walk import Walk

_ENDS = frozenset({"detach", "data", "numpy", "item"})


def cuts_gradient(at: Walk, node: ast.Call, name: str) -> bool:
    """Whether a Variable is made of what may carry a gradient, where one is taken: inside of a gradient function or a network."""
    if name != VARIABLE or len(node.args) != 1 or not at.program.goes_backward:
        return False
    if not (at._is_moved() or in_network(at) or (at.functions and not _steps(at.functions[-1]))):
        return False
    return K.is_tensor(at.kinds(node.args[0])) and _may_carry(cast("Rewriter", at), node.args[0])


def _steps(function: ast.AST) -> bool:
    """Whether a function takes training steps: what it makes outside of their gradient functions carries nothing in."""
    return any(isinstance(n, ast.Attribute) and n.attr in ("backward", "zero_grad") for n in walk(function))


def _may_carry(rewriter: Rewriter, value: ast.expr, level: int = 0) -> bool:
    """Whether a value may depend on parameters: it calls a network, or is what a function was given."""
    last = value.func if isinstance(value, ast.Call) else value
    if (isinstance(last, ast.Attribute) and last.attr in _ENDS) or (isinstance(value, ast.Call) and old_dtype(rewriter, value.func)):
        return False
    if any(isinstance(n, ast.Call) and carrying_call(rewriter, n, set()) for n in walk(value)):
        return True
    if level == 3:
        return True
    for read in (n for n in walk(value) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)):
        given = assigned(rewriter.module, read.id) if K.is_tensor(rewriter.kinds(read)) else []
        if any(_is_given(rewriter, read.id) if v is None else _may_carry(rewriter, v, level + 1) for v in given if v is not value):
            return True
    return False


def _is_given(rewriter: Rewriter, name: str) -> bool:
    """Whether a name is a parameter of the function at hand."""
    return bool(rewriter.functions) and name in parameter_names(rewriter.functions[-1])
