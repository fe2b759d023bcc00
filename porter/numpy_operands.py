"""`tensor * array` and `np.sqrt(2) * tensor`: torch makes a tensor of both, MindSpore refuses the one and numpy makes an array of the other."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.assigned import assigned
from porter.grammar import in_network
from porter.nodes import walk
from porter.rewrite.edits import Edit
from porter.whole import values_of

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_MAKERS = frozenset({f"numpy.{n}" for n in ("array", "zeros", "ones", "full", "eye", "arange", "linspace", "zeros_like", "ones_like", "stack")})
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_ANY_ARITHMETIC = (*_ARITHMETIC, ast.Pow, ast.FloorDiv, ast.Mod)
# what gives a float for numbers
_FLOATING = frozenset({
    f"numpy.{n}"
    for n in ("sqrt", "log", "log2", "log10", "log1p", "exp", "exp2", "expm1", "sin", "cos", "tan", "tanh", "sinh", "cosh", "float32", "float64", "cbrt", "deg2rad")
})


def array_edits(at: Walk, node: ast.BinOp) -> list[Edit] | None:
    """The edits for arithmetic of a tensor with an array on its right; None for everything else."""
    if not at.module.has(b"numpy") or not isinstance(node.op, _ANY_ARITHMETIC):
        return None
    led = _led_by_numpy(at, node)
    if led is not None or not isinstance(node.op, _ARITHMETIC):
        return led
    if not K.is_tensor(at.kinds(node.left)) or not _is_array(at, node.right):
        return None
    return [*at.visit(node.left), *at.replace(node.right, f"{at.spell('mindspore.tensor')}({at.render(node.right)})")]


def _is_array(at: Walk, node: ast.expr) -> bool:
    """Whether a value is surely an array: numpy's functions may give numbers, which torch takes as numbers."""
    if not K.proven(at.kinds(node), frozenset({"ndarray"})):
        return False
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        node = node.value
    if isinstance(node, ast.Name):
        values = assigned(at.module, node.id)
        return bool(values) and all(v is not None and not isinstance(v, ast.Name) and _is_array(at, v) for v in values)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if at.program.dotted(at.module, node.func) in _MAKERS:
        return True
    return node.func.attr == "numpy" and K.is_tensor(at.kinds(node.func.value))


def is_numpy_value(at: Walk, node: ast.expr) -> bool:
    """Whether a value is a number or an array that numpy made."""
    return bool(_numpy(at, node))


def _led_by_numpy(at: Walk, node: ast.BinOp) -> list[Edit] | None:
    """`np.sqrt(2) * x`: numpy would take x for an array, and no gradient would pass."""
    right = at.kinds(node.right)
    is_tensor = K.is_tensor(right) or (K.is_unknown(right) and in_network(at))
    led = _numpy(at, node.left) if is_tensor else ""
    if not led:
        return None
    name = "float" if led == "float" else at.spell("emitted.numpy_operand")
    return [*at.replace(node.left, f"{name}({at.render(node.left)})"), *at.visit(node.right)]


def _numpy(at: Walk, node: ast.expr, level: int = 0) -> str:
    """ "float" for what is a float of numpy's, "any" for another number or an array, "" for what may be something else."""
    if K.names(at.kinds(node)) & K.TENSORS:
        return ""
    if isinstance(node, ast.UnaryOp):
        return _numpy(at, node.operand, level)
    if isinstance(node, ast.Subscript):
        return "any" if _numpy(at, node.value, level) else ""
    if isinstance(node, ast.BinOp):
        sides = {_numpy(at, side, level) or ("number" if K.proven(at.kinds(side), K.NUMBERS) else "") for side in (node.left, node.right)}
        if not sides & {"float", "any"}:
            return ""
        return "float" if sides <= {"float", "number"} else "any"
    if isinstance(node, ast.Call):
        name = at.program.dotted(at.module, node.func) or ""
        if name.partition(".")[0] == "numpy" and not any(K.names(at.kinds(a)) & K.TENSORS for a in node.args):
            numbers = all(K.proven(at.kinds(a), K.NUMBERS) or _numpy(at, a, level) == "float" for a in node.args)
            return "float" if name in _FLOATING and numbers and len(node.args) == 1 and not node.keywords else "any"
        return "any" if K.proven(at.kinds(node), frozenset({"ndarray"})) else ""
    values: list[ast.expr | None] = []
    if isinstance(node, ast.Name) and level < 3:
        values = (values_of(at, node.id) if at.functions else []) or assigned(at.module, node.id)  # its own function's before the file's
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self" and level < 3:
        values = _members(at, node.attr)
    found = {_numpy(at, v, level + 1) if v is not None else "" for v in values}
    return "" if not found or "" in found else "float" if found == {"float"} else "any"


def _members(at: Walk, attribute: str) -> list[ast.expr | None]:
    """What the class at hand sets an attribute of its own to."""
    cls = at.program.classes.get(at.classes[-1]) if at.classes else None
    found: list[ast.expr | None] = []
    for node in walk(cls.node) if cls is not None else []:
        if isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Store):
            parent = at.parents.get(id(node))
            found.append(parent.value if isinstance(parent, ast.Assign) and node in parent.targets else None)
    return found
