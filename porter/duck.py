"""Methods that, among all values a PyTorch program handles, only tensors or only modules have: a call of one proves its receiver.

Left out is every name that Python's own values, numpy arrays, nn.Module, torch's other classes or the common libraries
beside them have too (view, type, float, max, expand, ...): those prove nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter.nodes import children

TENSOR_ONLY = frozenset(
    [
        "unsqueeze", "unsqueeze_", "squeeze_", "permute", "contiguous", "is_contiguous", "masked_fill", "masked_fill_", "masked_select",
        "index_select", "index_fill", "index_add", "index_copy", "new_zeros", "new_ones", "new_full", "new_empty", "new_tensor",
        "expand_as", "view_as", "reshape_as", "type_as", "ndimension", "is_floating_point", "dim", "unbind", "narrow", "bmm", "baddbmm",
        "log_softmax", "logsumexp", "scatter_add", "scatter_add_", "index_put_", "clamp_min", "clamp_max", "clamp_", "repeat_interleave",
        "transpose_", "t_", "fill_", "normal_", "uniform_", "copy_", "data_ptr", "is_complex", "addmm",
    ]
)  # fmt: skip

# the same for nn.Module
MODULE_ONLY = frozenset(["named_parameters", "named_modules", "named_children", "named_buffers", "parameters", "modules"])


def receiver(node: ast.Call, own_methods: frozenset[str]) -> ast.expr | None:
    """The receiver of a call that only a tensor can take; `own_methods` are those that the program's classes define."""
    func = node.func
    if isinstance(func, ast.Attribute) and func.attr in TENSOR_ONLY and func.attr not in own_methods:
        return func.value
    return None


def proven_names(function: ast.FunctionDef | ast.AsyncFunctionDef, own_methods: frozenset[str]) -> set[str]:
    """Parameters on which the function calls what only tensors have, before it binds their names anew."""
    known: set[str] | None = getattr(function, "_porter_tensors", None)
    if known is None:
        known = _proven_names(function, own_methods)
        function._porter_tensors = known  # type: ignore[union-attr]
    return known


def _proven_names(function: ast.FunctionDef | ast.AsyncFunctionDef, own_methods: frozenset[str]) -> set[str]:
    first_bound: dict[str, int] = {}
    used: dict[str, int] = {}
    for node in _own_nodes(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            first_bound[node.id] = min(node.lineno, first_bound.get(node.id, node.lineno))
        elif isinstance(node, ast.Call):
            subject = receiver(node, own_methods)
            if isinstance(subject, ast.Name):
                used[subject.id] = min(node.lineno, used.get(subject.id, node.lineno))
    return {name for name, line in used.items() if line <= first_bound.get(name, line)}


def _own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function, those of functions and classes inside it left out."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            stack.extend(children(node))
