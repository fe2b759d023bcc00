"""`x.type(torch.FloatTensor)`: torch's old constructors as the names of dtypes, also behind a name that a file gives them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.assigned import assigned
from porter.expression import primary
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

CONSTRUCTORS = {
    "FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16", "BFloat16Tensor": "bfloat16", "LongTensor": "int64",
    "IntTensor": "int32", "ShortTensor": "int16", "CharTensor": "int8", "ByteTensor": "uint8", "BoolTensor": "bool_",
}  # fmt: skip


def typed_edits(rewriter: Walk, node: ast.Call, func: ast.Attribute) -> list[Edit] | None:
    """The edits for `x.type(Constructor)` with a constructor that is known; None for another call, or a network's."""
    if func.attr != "type" or len(node.args) != 1 or node.keywords or K.names(rewriter.kinds(func.value)) & {"object", "class"}:
        return None
    dtype = old_dtype(rewriter, node.args[0])
    if dtype is None:
        return None
    return rewriter.replace(node, f"{primary(rewriter.render(func.value))}.astype({rewriter.spell(dtype)})")


def named_edits(rewriter: Walk, node: ast.Call, func: ast.Attribute) -> list[Edit] | None:
    """`y.type()` where it is handed on as a dtype: `y.dtype`; None where the name of the type is what counts."""
    if func.attr != "type" or node.args or node.keywords or K.names(rewriter.kinds(func.value)) & {"object", "class"}:
        return None
    if not _is_taken_as_dtype(rewriter, node):
        return None
    return rewriter.replace(node, f"{primary(rewriter.render(func.value))}.dtype")


def _is_taken_as_dtype(rewriter: Walk, node: ast.Call) -> bool:
    parent = rewriter.parents.get(id(node))
    if isinstance(parent, ast.keyword):
        return parent.arg == "dtype"
    if isinstance(parent, ast.Compare):
        return all(_is_type_call(side) for side in (parent.left, *parent.comparators))
    if not isinstance(parent, ast.Call) or node not in parent.args:
        return False
    if isinstance(parent.func, ast.Attribute) and parent.func.attr == "type":
        return True
    place = parent.args.index(node)
    called = [(k.name, rewriter.program.functions.get(k.of)) for k in rewriter.kinds(parent.func)]
    named = [_positional(f.node, place + (name == "bound")) for name, f in called if name in ("function", "bound") and f is not None]
    return bool(named) and len(named) == len(called) and set(named) == {"dtype"} and not any(isinstance(a, ast.Starred) for a in parent.args)


def _positional(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, place: int) -> str:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return arguments[place].arg if place < len(arguments) else ""


def _is_type_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "type" and not node.args and not node.keywords


def sized_edits(rewriter: Walk, node: ast.Call, func: ast.Attribute) -> list[Edit] | None:
    """`x.new().resize_as_(y)` and `x.new().resize_(2, 3)`, as new tensors of a shape were made, and the zeros that they are filled with."""
    filled = (
        func.attr == "zero_"
        and isinstance(func.value, ast.Call)
        and isinstance(func.value.func, ast.Attribute)
    )
    call = func.value if filled else node
    if not (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("resize_as_", "resize_")
        and (len(call.args) == 1 or (call.args and call.func.attr == "resize_"))
        and not any(isinstance(a, ast.Starred) for a in call.args)
        and not call.keywords
    ):
        return None
    maker, like = call.func.value, call.args[0]
    if (
        not (
            isinstance(maker, ast.Call) and isinstance(maker.func, ast.Attribute) and maker.func.attr == "new"
        )
        or maker.args
        or maker.keywords
    ):
        return None
    if not K.is_tensor(rewriter.kinds(maker.func.value)):
        return None
    if call.func.attr == "resize_":
        sizes = ", ".join(map(rewriter.render, call.args))
        shape = sizes if len(call.args) == 1 else f"({sizes})"
        return rewriter.replace(node, f"{primary(rewriter.render(maker.func.value))}.new_zeros({shape})")
    if not K.is_tensor(rewriter.kinds(like)):
        return None
    if ast.unparse(maker.func.value) == ast.unparse(like):
        return rewriter.replace(
            node, f"{rewriter.spell('mindspore.ops.zeros_like')}({rewriter.render(like)})"
        )
    shape, dtype = primary(rewriter.render(like)), primary(rewriter.render(maker.func.value))
    return rewriter.replace(node, f"{rewriter.spell('mindspore.ops.zeros')}({shape}.shape, {dtype}.dtype)")


def old_dtype(rewriter: Walk, node: ast.expr) -> str | None:
    """The MindSpore dtype that a constructor names, where every way to the value gives the same one."""
    if isinstance(node, ast.IfExp):
        found = {old_dtype(rewriter, node.body), old_dtype(rewriter, node.orelse)}
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _dtype_of(node.value)
    else:
        name = rewriter.program.dotted(rewriter.module, node)
        if name is not None and name.startswith("torch."):
            return _dtype_of(name)
        values = assigned(rewriter.module, node.id) if isinstance(node, ast.Name) else []
        found = {None if v is None or isinstance(v, ast.Name) else old_dtype(rewriter, v) for v in values}
    return found.pop() if len(found) == 1 else None


def is_old_type(name: str) -> bool:
    """Whether a qualified name is torch.LongTensor or its like."""
    return _dtype_of(name) is not None


def _dtype_of(name: str) -> str | None:
    owner, _, last = name.rpartition(".")
    return f"mindspore.{CONSTRUCTORS[last]}" if owner in ("torch", "torch.cuda") and last in CONSTRUCTORS else None
