"""The weight of a one-dimensional convolution: MindSpore's has four axes, the third of length 1, and code that counts axes must not see it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.expression import primary
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

_FOUR_AXES = "weight[:, :, None]"
HELP = "write it for the axes (out, in, 1, kernel)"
# what does not depend on the axes
_NEUTRAL = frozenset({
    "requires_grad", "requires_grad_", "grad", "dtype", "device", "numel", "nelement", "is_cuda", "register_hook", "retain_grad", "data_ptr",
    "is_floating_point", "element_size", "flatten", "ravel", "new", "new_tensor", "new_zeros", "new_ones", "new_empty", "new_full",
})  # fmt: skip
_WHOLE = frozenset({"norm", "sum", "mean", "std", "var", "max", "min", "abs", "square", "isnan", "any", "all", "neg", "sign", "exp", "sqrt"})
_CHANGING = frozenset({"copy_", "mul_", "add_", "sub_", "div_", "masked_fill_", "index_fill_", "index_copy_"})


def weight_edits(at: Walk, node: ast.Attribute, inner: list[Edit]) -> list[Edit] | None:
    """The edits for `conv.weight` of a one-dimensional convolution, where the number of its axes counts; None where it does not."""
    if node.attr != "weight" or not is_flat(at, node):
        return None
    parent = at.parents.get(id(node))
    if isinstance(node.ctx, ast.Store):
        _report(at, node)
        return None
    if isinstance(parent, ast.Attribute) and parent.attr == "data":
        return _data_edits(at, node, parent)
    if _is_changed(at, parent):
        _report(at, node)
    if not _counts_axes(at, node, parent):
        return None
    return at.replace(node, f"{primary(at.splice(*at.span(node), inner))}.squeeze(2)")


def is_flat(at: Walk, node: ast.expr) -> bool:
    """Whether a value is surely the weight of a layer whose weight has one axis more in MindSpore."""
    if not isinstance(node, ast.Attribute) or node.attr != "weight":
        return False
    base = K.without_none(at.kinds(node.value))
    return bool(base) and all(k.name == "object" and _has_four_axes(at, k.of) for k in base)


def _has_four_axes(at: Walk, name: str) -> bool:
    own = [owner for owner in at._family(name) if owner in at.program.classes]
    if any("weight" in at.program.classes[owner].methods or at.inference.store.get(("attr", owner, "weight")) for owner in own):
        return False
    return any(row.weights.get("weight") == _FOUR_AXES for owner in at._family(name) for row in at.table.get(owner))


def _counts_axes(at: Walk, node: ast.expr, parent: ast.AST | None) -> bool:
    if isinstance(parent, ast.Attribute):
        call = at.parents.get(id(parent))
        if parent.attr in _NEUTRAL or parent.attr.endswith("_"):
            return False
        return not (parent.attr in _WHOLE and isinstance(call, ast.Call) and call.func is parent and not call.args and not call.keywords)
    if isinstance(parent, ast.Subscript):
        return parent.value is node and isinstance(parent.ctx, ast.Load)
    if isinstance(parent, ast.BinOp):
        return True
    if isinstance(parent, ast.Assign):
        return parent.value is node and all(isinstance(t, ast.Name) for t in parent.targets) and at._in_forward()
    if not isinstance(parent, ast.Call) or node not in parent.args:
        return False
    name = at.resolve(parent.func) or ""
    if name.partition(".")[0] == "einops":
        return True
    if name.startswith("torch.nn.functional."):
        return "conv" not in name
    return name.startswith("torch.") and not name.startswith(("torch.nn.", "torch.conv", "torch.is_", "torch.numel"))


def _data_edits(at: Walk, node: ast.Attribute, data: ast.Attribute) -> list[Edit] | None:
    """`conv.weight.data`: an assignment takes a further axis, what counts axes elsewhere is named."""
    parent = at.parents.get(id(data))
    if isinstance(data.ctx, ast.Store):
        if not (isinstance(parent, ast.Assign) and parent.targets == [data] and is_flat(at, _owner_of_data(parent.value))):
            _report_unless_assigned(at, node, parent)
        return None
    if _is_changed(at, parent):
        _report(at, node)
    elif _counts_axes(at, data, parent):
        return at.replace(node, f"{primary(at.render(node.value))}.weight.squeeze(2)")
    return None


def _is_changed(at: Walk, parent: ast.AST | None) -> bool:
    """Whether a part of the weight is set, or the weight by a tensor of torch's axes."""
    if isinstance(parent, ast.Subscript):
        return isinstance(parent.ctx, ast.Store)
    if not isinstance(parent, ast.Attribute) or parent.attr not in _CHANGING:
        return False
    call = at.parents.get(id(parent))
    return isinstance(call, ast.Call) and bool(call.args) and not all(_is_alike(at, a) for a in call.args)


def _owner_of_data(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Attribute) and node.attr == "data" else node


def _report_unless_assigned(at: Walk, node: ast.Attribute, parent: ast.AST | None) -> None:
    changed = isinstance(parent, ast.AugAssign) and _is_alike(at, parent.value)
    if not changed and not (isinstance(parent, ast.Assign) and len(parent.targets) == 1):
        _report(at, node)


def _is_alike(at: Walk, node: ast.expr) -> bool:
    """Whether a value has no axes, or those of MindSpore's weight."""
    return K.proven(at.kinds(node), K.NUMBERS) or is_flat(at, _owner_of_data(node))


def lacks_axis(at: Walk, target: ast.Attribute, value: ast.expr) -> bool:
    """Whether what `conv.weight.data = value` assigns needs one axis more."""
    return is_flat(at, target.value) and not _is_alike(at, value)


def _report(at: Walk, node: ast.Attribute) -> None:
    at.report(node, "MSP208", f"{ast.unparse(node)} has the axes (out, in, 1, kernel) in MindSpore, and is changed", HELP)
