"""Stepped slices: `x[:, ::2, ::2]` in a network's forward code picks its elements in a way whose gradient MindSpore has on CPU."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.grammar import in_network
from porter.guards import UNKNOWN, constant_of
from porter.rewrite.edits import Edit
from porter.trace import span_of

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk


def stepped_edits(rewriter: Walk, node: ast.Subscript) -> list[Edit] | None:
    """`x[:, 1::2]` as `stepped(x[:, 1:], 1, 2)`; None where there is no step, or it is on the first or the last axis alone."""
    known = rewriter.kinds(node.value)
    # a network's forward code takes slices of several axes from tensors
    is_unknown = K.is_unknown(known) and isinstance(node.slice, ast.Tuple) and in_network(rewriter)
    if not isinstance(node.ctx, ast.Load) or not (K.is_tensor(known) or is_unknown):
        return None
    elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if not any(_has_step(e) for e in elements) or not all(_is_plain(rewriter, e) for e in elements):
        return None
    axes = _axes(elements)
    if axes is None or axes in ([0], [-1]):
        return None
    steps = [rewriter.render(e.step) for e in elements if isinstance(e, ast.Slice) and e.step is not None and _has_step(e)]
    base = rewriter.render(node.value)
    rest = [_without_step(rewriter, e) for e in elements]
    picked = base if all(r in (":", "...") for r in rest) else f"{base}[{', '.join(rest)}]"
    name = rewriter.spell("emitted.stepped")
    listed = (str(axes[0]), steps[0]) if len(axes) == 1 else (str(tuple(axes)), f"({', '.join(steps)})")
    return rewriter.replace(node, f"{name}({picked}, {listed[0]}, {listed[1]})")


def empty_axis_edits(rewriter: Walk, node: ast.Subscript) -> list[Edit]:
    """`x[:-1]` as `x[:max(x.shape[0] - 1, 0)]` where a traced run saw the axis empty: PYNATIVE mode cannot count from its end."""
    shapes = rewriter.inference.facts.shapes.get(span_of(rewriter.module.path, node.value), frozenset())
    if not any(0 in shape for shape in shapes) or not isinstance(node.value, ast.Name | ast.Attribute):
        return []
    edits: list[Edit] = []
    axis = 0
    for element in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
        if not _is_plain(rewriter, element) or constant_of(element) is Ellipsis:
            return edits
        if isinstance(element, ast.Slice) and any(len(shape) > axis and shape[axis] == 0 for shape in shapes):
            for bound in (element.lower, element.upper):
                count = constant_of(bound) if bound is not None else None
                if bound is not None and isinstance(count, int) and count < 0:
                    length = f"{rewriter.render(node.value)}.shape[{axis}]"
                    edits += rewriter.replace(bound, f"max({length} - {-count}, 0)")
        axis += constant_of(element) is not None
    return edits


def _has_step(node: ast.expr) -> bool:
    return isinstance(node, ast.Slice) and node.step is not None and constant_of(node.step) not in (1, None)


def _is_plain(rewriter: Walk, node: ast.expr) -> bool:
    if isinstance(node, ast.Slice) or (isinstance(node, ast.Constant) and (node.value is None or node.value is Ellipsis)):
        return True
    return (constant_of(node) is not UNKNOWN and isinstance(constant_of(node), int)) or K.proven(rewriter.kinds(node), frozenset({"int"}))


def _axes(elements: list[ast.expr]) -> list[int] | None:
    """The axes of the result that are stepped, from the left before an Ellipsis and from the right after it."""
    dots = [i for i, e in enumerate(elements) if isinstance(e, ast.Constant) and e.value is Ellipsis]
    if len(dots) > 1:
        return None
    cut = dots[0] if dots else len(elements)
    left = _numbered(elements[:cut])
    right = [-1 - axis for axis in _numbered(elements[cut + 1 :][::-1])][::-1]
    return left + right


def _numbered(elements: list[ast.expr]) -> list[int]:
    found, axis = [], 0
    for element in elements:
        if _has_step(element):
            found.append(axis)
        axis += isinstance(element, ast.Slice) or (isinstance(element, ast.Constant) and element.value is None)
    return found


def _without_step(rewriter: Walk, node: ast.expr) -> str:
    if not isinstance(node, ast.Slice):
        return rewriter.render(node)
    lower = rewriter.render(node.lower) if node.lower is not None and constant_of(node.lower) not in (0, None) else ""
    upper = rewriter.render(node.upper) if node.upper is not None and constant_of(node.upper) is not None else ""
    return f"{lower}:{upper}"
