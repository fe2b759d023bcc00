"""`b, n, device = *x.shape, x.device`: a device among the values makes a graph lose the types of all of them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk


def device_apart(walk: Walk, node: ast.Assign) -> list[Edit] | None:
    """The device gets a statement of its own after the others; None where nothing is to do, or it is not known which name gets it."""
    target, value = node.targets[0], node.value
    if len(node.targets) != 1 or not isinstance(target, ast.Tuple) or not isinstance(value, ast.Tuple):
        return None
    pairs = _pairs(target.elts, value.elts)
    devices = [(t, v) for t, v in pairs if _is_device(walk, v) and isinstance(t, ast.Name)]
    start, end = walk.span(node)
    margin = walk.module.data[walk.module.data.rfind(b"\n", 0, start) + 1 : start].decode("utf-8")
    gone = {id(n) for pair in devices for n in pair}
    targets, values = [t for t in target.elts if id(t) not in gone], [v for v in value.elts if id(v) not in gone]
    named = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    if not devices or not targets or margin.strip() or any(_reads(v, named) for _, v in devices):
        return None
    if len(targets) == 1 and isinstance(targets[0] if isinstance(targets[0], ast.Starred) else values[0], ast.Starred):
        return None
    lines = [f"{_several(walk, targets)} = {_several(walk, values)}", *(f"{walk.render(t)} = {walk.render(v)}" for t, v in devices)]
    return [Edit(start, end, f"\n{margin}".join(lines))]


def _pairs(targets: list[ast.expr], values: list[ast.expr]) -> list[tuple[ast.expr, ast.expr]]:
    """Which name surely gets which value: counted from either end, up to what is starred."""
    found = []
    for left, right in zip(targets, values, strict=False):
        if isinstance(left, ast.Starred) or isinstance(right, ast.Starred):
            break
        found.append((left, right))
    else:
        return found if len(targets) == len(values) else []
    for left, right in zip(reversed(targets), reversed(values), strict=False):
        if isinstance(left, ast.Starred) or isinstance(right, ast.Starred):
            break
        found.append((left, right))
    return found


def _is_device(walk: Walk, value: ast.expr) -> bool:
    return isinstance(value, ast.Attribute) and value.attr == "device" and K.is_tensor(walk.kinds(value.value))


def _reads(value: ast.expr, names: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(value))


def _several(walk: Walk, elements: list[ast.expr]) -> str:
    """Elements of a tuple as text: `*x.shape` alone is x.shape."""
    if len(elements) == 1:
        only = elements[0]
        if isinstance(only, ast.Starred) and isinstance(only.ctx, ast.Load):
            return walk.render(only.value)
        return walk.render(only)
    return ", ".join(walk.render(e) for e in elements)
