"""Casts of floating values to integers or truth values: in torch they end the gradient, while MindSpore's cast passes it on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.dataflow import assigned_values
from porter.expression import primary
from porter.grammar import in_network
from porter.masks import is_mask
from porter.nodes import walk
from porter.old_types import old_dtype
from porter.rewrite.edits import Edit
from porter.trace import span_of

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_WHOLE = ("mindspore.int", "mindspore.uint", "mindspore.bool")
_CASTS = frozenset({"bool", "byte", "char", "short", "int", "long"})
_CONVERSIONS = frozenset({"to", "type", "type_as"})
_WHOLE_DTYPES = frozenset({"bool", "uint8", "int8", "int16", "int32", "int64", "short", "int", "long"})
_WHOLE_RESULTS = _CASTS | {
    "argmax", "argmin", "argsort", "nonzero", "eq", "ne", "lt", "le", "gt", "ge", "any", "all", "isnan", "isinf", "isfinite",
    "logical_and", "logical_or", "logical_not", "logical_xor", "one_hot", "randint", "randperm", "bucketize", "searchsorted",
    "bincount", "multinomial", "numel",
}  # fmt: skip
_SAME_TYPE = frozenset({
    "unsqueeze", "squeeze", "view", "reshape", "expand", "expand_as", "permute", "transpose", "flatten", "repeat", "contiguous",
    "t", "clone", "detach", "flip", "roll", "tril", "triu", "repeat_interleave", "narrow", "chunk", "masked_fill",
})  # fmt: skip
# the arguments, the receiver as the first, through which no gradient passes
_DEAD_ARGUMENTS: dict[str, tuple[int, ...]] = {
    "one_hot": (0,), "embedding": (0,), "gather": (2,), "index_select": (2,), "take_along_dim": (1,), "masked_fill": (1,),
    "masked_select": (1,), "where": (0,), "index_add": (2,), "scatter": (2,), "scatter_add": (2,), "argmax": (0,), "eq": (0, 1),
    "ne": (0, 1), "logical_not": (0,), "any": (0,), "all": (0,), "cross_entropy": (1,), "nll_loss": (1,), "repeat_interleave": (1,),
}  # fmt: skip
_DEAD_METHODS = frozenset({"item", "tolist", "numpy", "any", "all", "detach", "argmax", "argmin", "nonzero", "size", "shape", "dtype", "eq", "ne",
                           "logical_not", "new_zeros", "new_ones", "new_full", "device", "ndim", "dim", "numel", "bool"})  # fmt: skip
_INDEX_LAYERS = frozenset({f"torch.nn.{n}" for n in ("Embedding", "EmbeddingBag", "CrossEntropyLoss", "NLLLoss")})
_PASSING = frozenset({*_SAME_TYPE, *_CASTS} - {"detach", "repeat_interleave"})
_BITWISE = (ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift)


def ends_gradient(at: Walk, node: ast.Call, func: ast.Attribute) -> bool:
    """Whether a cast of a tensor to whole numbers must end a gradient that MindSpore's cast would pass on."""
    if not _in_computation(at) or not _casts_to_whole(at, node, func):
        return False
    return not _is_whole(at, func.value) and not _is_dead(at, node, 0)


def mask_edits(at: Walk, node: ast.Assign) -> list[Edit] | None:
    """`mask = x > 0` that several computations read: where a gradient is taken, PYNATIVE mode adds up those of truth values, and fails."""
    target = node.targets[0]
    if len(node.targets) != 1 or not isinstance(target, ast.Name) or not is_mask(node.value, at.functions[-1]) or not _in_computation(at):
        return None
    if not any(K.is_tensor(at.kinds(side)) and not _is_whole(at, side) for side in _compared(at, node.value)):
        return None
    loads = [n for n in walk(at.functions[-1]) if isinstance(n, ast.Name) and n.id == target.id and isinstance(n.ctx, ast.Load)]
    if sum(not _is_dead(at, n, 0) for n in loads) < 2:
        return None
    return at.replace(node.value, f"{at.spell('mindspore.ops.stop_gradient')}({at.render(node.value)})")


def _compared(at: Walk, node: ast.expr | None, level: int = 0) -> Iterator[ast.expr]:
    """What the tests of a mask look at."""
    if isinstance(node, ast.Compare):
        yield from (node.left, *node.comparators)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield from (node.func.value, *node.args)
    elif isinstance(node, ast.BinOp | ast.UnaryOp):
        for side in (node.left, node.right) if isinstance(node, ast.BinOp) else (node.operand,):
            yield from _compared(at, side, level)
    elif isinstance(node, ast.Name) and level < 2:
        for value in values_of(at, node.id):
            yield from _compared(at, value, level + 1)


def is_bare_cast(node: ast.Call, func: ast.Attribute) -> bool:
    """`x.long()` and its like, which no value but a tensor has."""
    return func.attr in _CASTS and not node.args and not node.keywords


def _in_computation(at: Walk) -> bool:
    """In a function that may stand between a loss and what it depends on: a network's, or one outside of classes that is no training step."""
    if not at.functions or not at._in_forward():
        return False
    if at.classes:
        return at.program.mixes_into_module(at.classes[-1])
    called = {n.attr for n in walk(at.functions[0]) if isinstance(n, ast.Attribute)}
    return not called & {"backward", "zero_grad", "eval", "no_grad"}


def _casts_to_whole(at: Walk, node: ast.Call, func: ast.Attribute) -> bool:
    if func.attr in _CASTS:
        return True
    if func.attr == "type" and node.args and (old_dtype(at, node.args[0]) or "").startswith(_WHOLE):
        return True
    if func.attr not in _CONVERSIONS:
        return False
    given = [*node.args, *(k.value for k in node.keywords if k.arg in ("dtype", "other"))]
    if any(isinstance(a, ast.Attribute) and a.attr in _WHOLE_DTYPES and at.kinds(a) == K.DTYPE for a in given):
        return True
    whole = at.inference.facts.whole
    return bool(whole) and span_of(at.module.path, node) in whole


def _is_whole(at: Walk, node: ast.expr, level: int = 0) -> bool:
    """Whether a value is known to hold integers or truth values, through which no gradient comes anyway."""
    facts = at.inference.facts
    if facts.whole and span_of(at.module.path, node) in facts.whole:
        return True
    if isinstance(node, ast.Compare):
        return True
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not | ast.Invert) or _is_whole(at, node.operand, level)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _BITWISE) or (
            not isinstance(node.op, ast.Div) and all(_is_whole(at, n, level) or _is_integer(at, n) for n in (node.left, node.right))
        )
    if isinstance(node, ast.Subscript):
        return _is_whole(at, node.value, level)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
        return _call_is_whole(at, node, node.func, level)
    if isinstance(node, ast.Name) and level < 3 and at.functions:
        values = values_of(at, node.id)
        return bool(values) and all(v is not None and _is_whole(at, v, level + 1) for v in values)
    return False


def divided_edits(at: Walk, node: ast.BinOp) -> list[Edit] | None:
    """`positions / n` of integers in a network: float32 as torch has it, where a graph has float64."""
    if not isinstance(node.op, ast.Div) or not in_network(at):
        return None
    whole = [is_whole_tensor(at, side) for side in (node.left, node.right)]
    others = [side for side, is_whole in zip((node.left, node.right), whole) if not is_whole]
    if not any(whole) or not all(K.proven(at.kinds(o), frozenset({"int", "float", "bool"})) for o in others):
        return None
    side = node.left if whole[0] else node.right
    return at.replace(side, as_float32(at, side)) + at.visit(node.right if whole[0] else node.left)


def as_float32(at: Walk, node: ast.expr) -> str:
    """A tensor's new text, cast to float32."""
    return f"{primary(at.render(node))}.astype({at.spell('mindspore.float32')})"


def is_whole_tensor(at: Walk, node: ast.expr) -> bool:
    """Whether a value is known to be a tensor of integers or truth values."""
    return K.is_tensor(at.kinds(node)) and _is_whole(at, node)


def _is_integer(at: Walk, node: ast.expr) -> bool:
    return K.proven(at.kinds(node), frozenset({"int", "bool"}))


def _call_is_whole(at: Walk, node: ast.Call, func: ast.Attribute | ast.Name, level: int) -> bool:
    name = at.resolve(func) or ""
    package, _, short = name.rpartition(".")
    is_function = bool(package) and (at.program.is_torch(name) or package == "einops")
    if isinstance(func, ast.Name) and not is_function:
        return False
    called = short if is_function else func.attr if isinstance(func, ast.Attribute) else ""
    if called in _CONVERSIONS and isinstance(func, ast.Attribute):
        return _casts_to_whole(at, node, func)
    dtypes = [k.value for k in node.keywords if k.arg == "dtype"]
    if dtypes:
        return isinstance(dtypes[0], ast.Attribute) and dtypes[0].attr in _WHOLE_DTYPES
    if called in _WHOLE_RESULTS:
        return True
    if called == "arange" and node.args:
        return all(_is_integer(at, a) for a in node.args)
    if called in ("tensor", "as_tensor") and node.args:
        return _holds_integers(at, node.args[0])
    if called not in _SAME_TYPE and not (package == "einops" and called == "rearrange"):
        return False
    source = node.args[0] if is_function and node.args else func.value if isinstance(func, ast.Attribute) else None
    return source is not None and K.is_tensor(at.kinds(source)) and _is_whole(at, source, level)


def _holds_integers(at: Walk, node: ast.expr) -> bool:
    """Whether a number, or every number of a written list of lists, is an integer or a truth value."""
    if isinstance(node, ast.List | ast.Tuple):
        return bool(node.elts) and all(_holds_integers(at, e) for e in node.elts)
    return _is_integer(at, node)


def values_of(at: Walk, name: str) -> list[ast.expr | None]:
    """What the function assigns to a name; None for a value that is not written as one expression."""
    return assigned_values(name, at.functions[-1])


def _is_dead(at: Walk, node: ast.expr, level: int) -> bool:
    """Whether nothing that reads a value passes a gradient back to it."""
    parent = at.parents.get(id(node))
    if isinstance(parent, ast.Compare | ast.Assert | ast.If | ast.While):
        return True
    if isinstance(parent, ast.UnaryOp):
        return isinstance(parent.op, ast.Not | ast.Invert)
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, _BITWISE) or _is_dead(at, parent, level)
    if isinstance(parent, ast.Slice | ast.Tuple):
        outer = at.parents.get(id(parent))
        return isinstance(outer, ast.Subscript | ast.Tuple) and _is_dead(at, parent, level)
    if isinstance(parent, ast.Subscript):
        return parent.slice is node or _is_dead(at, parent, level)
    if isinstance(parent, ast.Attribute):
        return parent.attr in _DEAD_METHODS or _passes_on(at, parent, level)
    if isinstance(parent, ast.Call):
        return _is_dead_argument(at, parent, node)
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name) and level < 3:
        return _is_name_dead(at, parent.targets[0].id, level)
    return False


def _passes_on(at: Walk, attribute: ast.Attribute, level: int) -> bool:
    call = at.parents.get(id(attribute))
    if not isinstance(call, ast.Call) or call.func is not attribute:
        return False
    if _is_receiver_dead(attribute.attr):
        return True
    return attribute.attr in _PASSING and _is_dead(at, call, level)


def _is_receiver_dead(method: str) -> bool:
    return 0 in _DEAD_ARGUMENTS.get(method, ())


def _is_dead_argument(at: Walk, call: ast.Call, node: ast.expr) -> bool:
    if isinstance(call.func, ast.Name) and call.func.id in ("int", "bool", "float", "len", "print", "isinstance"):
        return True
    if node not in call.args:
        return any(k.value is node and k.arg in ("index", "mask", "indices", "key_padding_mask") for k in call.keywords)
    place = call.args.index(node)
    kinds = at.kinds(call.func)
    if kinds and all(k.name == "object" and k.of in _INDEX_LAYERS for k in kinds):
        return place == (1 if all(k.of.endswith("Loss") for k in kinds) else 0)
    if not isinstance(call.func, ast.Attribute):
        return False
    name = at.resolve(call.func)
    if name is not None and at.program.is_torch(name):
        return place in _DEAD_ARGUMENTS.get(name.rpartition(".")[2], ())
    method = call.func.attr.removesuffix("_")
    return K.is_tensor(at.kinds(call.func.value)) and place + 1 in _DEAD_ARGUMENTS.get(method, ())


def _is_name_dead(at: Walk, name: str, level: int) -> bool:
    loads = [n for n in walk(at.functions[-1]) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
    return all(_is_dead(at, n, level + 1) for n in loads)
