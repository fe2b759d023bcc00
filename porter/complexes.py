"""Products and quotients of complex tensors: MindSpore's product has no gradient, its quotient a wrong one, and neither takes a real tensor."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.nodes import walk
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_FFT_REAL = frozenset({"irfft", "irfft2", "irfftn", "hfft", "hfft2", "hfftn", "fftfreq", "rfftfreq", "fftshift", "ifftshift"})
_MAKERS = frozenset({"torch.complex", "torch.polar", "torch.view_as_complex"})
_DTYPES = frozenset({"cfloat", "cdouble", "chalf", "complex32", "complex64", "complex128"})
# what gives a complex tensor for one, or for several of which one is complex
_PASSING = frozenset({
    "conj", "conj_physical", "resolve_conj", "matmul", "mm", "bmm", "einsum", "cat", "concat", "concatenate", "stack", "exp", "sum", "mean",
    "unsqueeze", "squeeze", "view", "reshape", "expand", "expand_as", "permute", "transpose", "flatten", "repeat", "contiguous", "t", "clone",
    "detach", "flip", "roll", "tril", "triu", "narrow", "fftshift", "ifftshift", "zeros_like", "ones_like", "empty_like", "rand_like",
    "randn_like", "new_zeros", "new_ones", "mul", "multiply", "div", "divide", "true_divide", "add", "sub", "subtract", "neg", "reciprocal",
    "index_select", "gather",
})  # fmt: skip
_PRODUCTS = frozenset({"mul", "multiply"})
_QUOTIENTS = frozenset({"div", "divide", "true_divide"})
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.MatMult)
_PLAIN = frozenset({"int", "float", "bool"})


def complex_edits(at: Walk, node: ast.BinOp) -> list[Edit] | None:
    """`z * w` and `z / w` of a tensor that is known to be complex."""
    if not isinstance(node.op, ast.Mult | ast.Div) or not at.program.makes_complex:
        return None
    return _edits(at, node, node.left, node.right, is_product=isinstance(node.op, ast.Mult))


def complex_call_edits(at: Walk, node: ast.Call, name: str | None) -> list[Edit] | None:
    """`torch.mul(z, w)`, `z.div(w)` and their like."""
    if node.keywords or not at.program.makes_complex or any(isinstance(a, ast.Starred) for a in node.args):
        return None
    short = name.rpartition(".")[2] if name is not None else node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if short not in _PRODUCTS | _QUOTIENTS:
        return None
    if name is None and isinstance(node.func, ast.Attribute) and len(node.args) == 1 and K.is_tensor(at.kinds(node.func.value)):
        return _edits(at, node, node.func.value, node.args[0], is_product=short in _PRODUCTS)
    if name is not None and name.rpartition(".")[0] == "torch" and len(node.args) == 2:
        return _edits(at, node, node.args[0], node.args[1], is_product=short in _PRODUCTS)
    return None


def _edits(at: Walk, node: ast.expr, left: ast.expr, right: ast.expr, *, is_product: bool) -> list[Edit] | None:
    sides = (left, right)
    if not any(_is_complex(at, side) for side in sides):
        return None
    numbers = [K.proven(at.kinds(side), _PLAIN) for side in sides]
    if numbers[1] or (is_product and numbers[0]):
        return None  # MindSpore has both
    constants = [side.value if isinstance(side, ast.Constant) and isinstance(side.value, complex) else None for side in sides]
    if constants[1] or (is_product and constants[0]):  # a graph has no complex numbers
        other, number = (left, constants[1]) if constants[1] else (right, constants[0])
        factor = number.imag if is_product else -1 / number.imag  # type: ignore[union-attr]
        return at.replace(node, f"{at.spell('emitted.times_imaginary')}({at.render(other)}, {factor!r})")
    name = at.spell("emitted.complex_product" if is_product else "emitted.complex_quotient")
    return at.replace(node, f"{name}({at.render(left)}, {at.render(right)})")


def _is_complex(at: Walk, node: ast.expr, level: int = 0) -> bool:
    """Whether a value is known to be complex somewhere; a real one is left to the function that is written."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, complex)
    if isinstance(node, ast.UnaryOp):
        return _is_complex(at, node.operand, level)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, _ARITHMETIC) and (_is_complex(at, node.left, level) or _is_complex(at, node.right, level))
    if isinstance(node, ast.Subscript):
        return _is_complex(at, node.value, level)
    if isinstance(node, ast.List | ast.Tuple):
        return any(_is_complex(at, e, level) for e in node.elts)
    if isinstance(node, ast.Call):
        return _call_is_complex(at, node, level)
    if isinstance(node, ast.Attribute):
        return node.attr in ("T", "mT", "H", "mH", "data") and _is_complex(at, node.value, level)
    if isinstance(node, ast.Name) and level < 3 and at.functions:
        return any(_is_complex(at, v, level + 1) for v in _values_of(at, node.id))
    return False


def _call_is_complex(at: Walk, node: ast.Call, level: int) -> bool:
    name = at.resolve(node.func) or ""
    package, _, short = name.rpartition(".")
    if not name and isinstance(node.func, ast.Attribute):
        short = node.func.attr
    elif not at.program.is_torch(name) and package != "einops":
        return False
    if package == "torch.fft" and short not in _FFT_REAL:
        return True
    if name in _MAKERS or any(k.arg == "return_complex" and isinstance(k.value, ast.Constant) and k.value.value is True for k in node.keywords):
        return True
    if any(isinstance(v, ast.Attribute) and v.attr in _DTYPES for v in [*(k.value for k in node.keywords), *node.args]):
        return True
    if short not in _PASSING and package != "einops":
        return False
    sources = [*node.args, *([node.func.value] if not name and isinstance(node.func, ast.Attribute) else [])]
    return any(_is_complex(at, s, level) for s in sources)


def _values_of(at: Walk, name: str) -> list[ast.expr]:
    """What the function at hand assigns to a name as one expression."""
    found = []
    for node in walk(at.functions[-1]):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                found.append(node.value)
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(target.elts) == len(node.value.elts):
                found += [v for t, v in zip(target.elts, node.value.elts) if isinstance(t, ast.Name) and t.id == name]
    return found
