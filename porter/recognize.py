"""Recognizes values by their calls: methods that only tensors have, calls that no tensor would take, moves between devices."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY, Kinds
from porter.nodes import children

if TYPE_CHECKING:
    from porter.program import Function, Program

# Methods that no builtin type, numpy array, pandas or PIL object, nn.Module, optimizer or other class of torch has. Left out
# is every name that one of those has too (type, float, max, expand, copy, ...): those prove nothing. Methods in place are left
# out as well: how their result is stored depends on whether the receiver is a parameter.
TENSOR_ONLY = frozenset({
    "addcmul", "addmm", "amax", "amin", "baddbmm", "bmm", "chunk", "clamp", "clamp_max", "clamp_min", "clone", "contiguous",
    "data_ptr", "detach", "dim", "expand_as", "index_add", "index_copy", "index_fill", "index_select", "is_complex", "is_contiguous",
    "is_floating_point", "log_softmax", "logsumexp", "long", "masked_fill", "masked_select", "mm", "movedim", "narrow", "ndimension", "nelement",
    "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros", "numel", "numpy", "permute", "relu", "repeat_interleave",
    "reshape_as", "rsqrt", "scatter", "scatter_add", "sigmoid", "size", "softmax", "t", "tanh", "topk", "type_as", "unbind",
    "unfold", "unsqueeze", "view_as",
})  # fmt: skip
TENSOR_ATTRIBUTES = frozenset({"is_cuda", "is_xpu", "is_mps", "is_sparse", "is_quantized", "is_meta", "is_leaf", "grad_fn", "mT"})
MODULE_ONLY = frozenset({"parameters", "named_parameters", "modules", "named_modules", "named_children", "named_buffers", "flatten_parameters"})
COUNTED = frozenset({"groupby", "resample", "rolling"})  # pandas: df.groupby(...).size()
MOVES = frozenset({"to", "cuda", "cpu", "xpu", "npu"})
TEXT_ARGUMENTS = frozenset({"to", "type", "cuda", "new_tensor", "unflatten", "register_hook", "refine_names", "align_to", "rename"})


def is_tensor_call(program: Program, node: ast.Call, func: ast.Attribute) -> bool:
    """Whether a method call on something unknown shows that it is a tensor."""
    if _may_be_own(program, node, func):
        return False
    if isinstance(func.value, ast.Call) and isinstance(func.value.func, ast.Attribute) and func.value.func.attr in COUNTED:
        return False
    if func.attr.endswith("_") and isinstance(func.value, ast.Attribute) and func.value.attr == "data":
        return any(r.inplace for r in program.table.get(f"torch.Tensor.{func.attr}"))
    if func.attr == "new":
        return isinstance(func.value, ast.Attribute) and func.value.attr == "data"  # images and hashes are made by a new, too
    if func.attr == "type":  # a network is cast to what a person chooses, a tensor to what another tensor has
        return len(node.args) == 1 and not node.keywords and _is_dtype_of_another(node.args[0])
    if func.attr == "view":
        return len(node.args) > 1  # an array's view takes one dtype
    if any(k.arg == "keepdim" or (k.arg == "dim" and _literal(k.value) is not None) for k in node.keywords):
        return bool(program.table.get(f"torch.Tensor.{func.attr}"))  # an array says axis and keepdims, and xarray names its dim
    if func.attr in _BY_ARGUMENTS:
        return not node.keywords and _BY_ARGUMENTS[func.attr]([_literal(a) for a in node.args])
    if func.attr in ("clone", "numpy", "t", "long") and (node.args or node.keywords):
        return False
    return func.attr in TENSOR_ONLY


def _is_dtype_of_another(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "dtype" and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "torch", "np"))


def _literal(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
    return value if type(value) is int else None


def _swaps(axes: list[int | None]) -> bool:
    """Whether transpose(a, b) is torch's: an array's takes every axis, so two of them name the axes of a matrix."""
    return len(axes) == 2 and None not in axes and {a % 2 if -2 <= a < 2 else a for a in axes if a is not None} != {0, 1}


# Methods that arrays have too, with other arguments.
_BY_ARGUMENTS: dict[str, Callable[[list[int | None]], bool]] = {
    "transpose": _swaps,
    "expand": lambda given: len(given) > 1,
    "flatten": lambda given: len(given) in (1, 2) and None not in given,
    "flip": lambda given: bool(given) and given[0] is not None,
    "gather": lambda given: len(given) == 2 and given[0] is not None,
    "repeat": lambda given: len(given) > 2,
    "roll": lambda given: len(given) == 2,
    "unflatten": lambda given: len(given) == 2 and given[0] is not None,
}


_BUILTIN_TYPES: dict[str, type] = {
    "list": list, "tuple": tuple, "dict": dict, "set": set, "int": int, "float": float, "bool": bool, "str": str, "None": type(None),
}  # fmt: skip


def only_tensors_have(known: Kinds, method: str) -> bool:
    """Whether a value that is a tensor or something of Python's own must be a tensor, since the other has no such method."""
    names = K.names(known)
    others = names - K.TENSORS
    return bool(others) and others < names and all(n in _BUILTIN_TYPES and not hasattr(_BUILTIN_TYPES[n], method) for n in others)


def is_module_call(program: Program, node: ast.Call, func: ast.Attribute) -> bool:
    """Whether a method call on something unknown shows that it is a network."""
    if _may_be_own(program, node, func):
        return False
    if func.attr in ("train", "eval"):
        return not node.keywords and all(isinstance(a, ast.Constant) and isinstance(a.value, bool) for a in node.args)
    if func.attr == "buffers":  # left alone it would be the Cell's own, which has other ones
        return not node.args and not node.keywords
    return func.attr in MODULE_ONLY


def tensors_by_use(program: Program, function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Parameters on which a function calls what only tensors have, before it binds their names anew."""
    known: set[str] | None = getattr(function, "_porter_tensors", None)
    if known is None:
        known = _tensors_by_use(program, function)
        function._porter_tensors = known  # type: ignore[union-attr]
    return known


def _tensors_by_use(program: Program, function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    first_bound: dict[str, int] = {}
    used: dict[str, int] = {}
    ends: dict[int, int] = {}
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            ends.update((id(n), node.end_lineno or node.lineno) for n in _bound_names(node))  # bound once its value is known
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            line = ends.get(id(node), node.lineno)
            first_bound[node.id] = min(line, first_bound.get(node.id, line))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            if is_tensor_call(program, node, node.func) or _is_in_place(program, node, node.func):
                name = node.func.value.id
                used[name] = min(node.lineno, used.get(name, node.lineno))
    return {name for name, line in used.items() if line <= first_bound.get(name, line)}


def _bound_names(node: ast.Assign | ast.AnnAssign) -> Iterator[ast.Name]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        yield from (n for n in ast.walk(target) if isinstance(n, ast.Name))


def _is_in_place(program: Program, node: ast.Call, func: ast.Attribute) -> bool:
    """Whether a method changes a tensor in place; modules have two whose names end alike."""
    if not func.attr.endswith("_") or func.attr in ("requires_grad_", "share_memory_") or _may_be_own(program, node, func):
        return False
    return any(row.inplace for row in program.table.get(f"torch.Tensor.{func.attr}"))


def _own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """The nodes of a function, those of functions and classes inside it left out."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            stack.extend(children(node))


def _may_be_own(program: Program, node: ast.Call, func: ast.Attribute) -> bool:
    """Whether a method of a class of the program has the name of a call and takes its arguments."""
    return any(_takes(method, node) for method in _own_methods(program).get(func.attr, ()))


def _takes(method: Function, node: ast.Call) -> bool:
    """Whether a call of a method on an object binds, as far as the number of its arguments and their names say."""
    given, arguments = len(node.args), method.node.args
    if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
        return True
    static = any(ast.unparse(d).rpartition(".")[2] == "staticmethod" for d in method.decorators)
    positional = [a.arg for a in [*arguments.posonlyargs, *arguments.args]][0 if static else 1 :]
    named = {k.arg for k in node.keywords}
    if method.decorators and not static:
        return True  # what a decorator makes of it may take others
    if given > len(positional) and not arguments.vararg:
        return False
    if not named <= {*positional[given:], *(a.arg for a in arguments.kwonlyargs)} and not arguments.kwarg:
        return False
    needed = positional[given : len(positional) - len(arguments.defaults)]
    needed += [a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is None]
    return named.issuperset(needed)


def _own_methods(program: Program) -> dict[str, list[Function]]:
    cached: dict[str, list[Function]] | None = getattr(program, "_method_names", None)
    if cached is None:
        cached = {}
        for cls in program.classes.values():
            for name, method in cls.methods.items():
                if not _is_property(method):
                    cached.setdefault(name, []).append(method)
        program._method_names = cached  # type: ignore[attr-defined]
    return cached


def _is_property(method: Function) -> bool:
    return any(ast.unparse(d).rpartition(".")[2] in ("property", "cached_property") for d in method.decorators)


def is_text_call(node: ast.Call, func: ast.Attribute, argument_kinds: list[Kinds]) -> bool:
    """Whether a method gets a text where no tensor method takes one, as in `line.split(",")`."""
    return func.attr not in TEXT_ARGUMENTS and any(K.proven(k, frozenset({"str"})) for k in argument_kinds)


def is_move(program: Program, node: ast.Call, func: ast.Attribute, argument_kinds: list[Kinds]) -> bool:
    """Whether a call only says on which device a value should lie, whatever the value is."""
    if func.attr not in MOVES or _may_be_own(program, node, func):
        return False
    if any(k.arg not in ("device", "non_blocking") for k in node.keywords):
        return False
    if func.attr != "to":
        return len(node.args) <= 1
    given = [*node.args, *(k.value for k in node.keywords if k.arg == "device")]
    return len(given) == 1 and _is_device(given[0], argument_kinds[0] if node.args else ANY, by_name=bool(node.keywords))


def _is_device(node: ast.expr, known: Kinds, *, by_name: bool) -> bool:
    if K.proven(known, frozenset({"device"})) or by_name:
        return True
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | int)
    last = ast.unparse(node).rpartition(".")[2].lower()
    return (K.is_unknown(known) or K.proven(known, frozenset({"device", "str", "int"}))) and ("device" in last or last in ("dev", "gpu", "rank"))


def class_of(node: ast.expr) -> str:
    """The name `m` in `m.__class__` and `type(m)`."""
    if isinstance(node, ast.Attribute) and node.attr == "__class__" and isinstance(node.value, ast.Name):
        return node.value.id
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "type" and len(node.args) == 1:
        return node.args[0].id if isinstance(node.args[0], ast.Name) else ""
    return ""


def class_name_test(test: ast.expr) -> tuple[ast.expr, ast.expr, str] | None:
    """The text, the literal and its value in `name.find("Conv") != -1`, `"Conv" in name` and `name == "Conv2d"`."""
    found = _asked(test)
    if found is None or not isinstance(found[1], ast.Constant) or not isinstance(found[1].value, str):
        return None
    return found[0], found[1], found[1].value


def _asked(test: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and test.func.attr in ("startswith", "endswith") and test.args:
        return test.func.value, test.args[0]
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    left, operator, right = test.left, test.ops[0], test.comparators[0]
    if isinstance(operator, ast.In):
        return right, left
    if isinstance(operator, ast.Eq):
        return left, right
    if not (isinstance(left, ast.Call) and isinstance(left.func, ast.Attribute) and left.func.attr == "find" and left.args):
        return None
    return (left.func.value, left.args[0]) if isinstance(operator, ast.NotEq | ast.Gt | ast.GtE) else None
