"""Tensors of their own that an optimizer holds: `log_alpha = torch.zeros(1, requires_grad=True)`, `Adam([log_alpha])`."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.leaves import asks_for_gradient
from porter.nodes import walk
from porter.places import target_like

if TYPE_CHECKING:
    from porter.program import Module, Program

OPTIMIZER = "torch.optim."


def leaves_by_optimizer(program: Program, module: Module) -> dict[str, set[str]]:
    """For every optimizer that is made from a written list, the names and attributes in it."""
    known: dict[str, set[str]] | None = module.__dict__.get("_leaves_by_optimizer")
    if known is None:
        known = _find(program, module) if module.has(b"optim") and (module.has(b"requires_grad") or module.has(b"Parameter(")) else {}
        module.__dict__["_leaves_by_optimizer"] = known
    return known


def _find(program: Program, module: Module) -> dict[str, set[str]]:
    modules = [c.node for name, c in program.classes.items() if c.module is module and program.mixes_into_module(name)]
    inside = {id(n) for node in modules for n in walk(node)}  # what a module holds counts as its own parameter
    found: dict[str, set[str]] = {}
    made: dict[str, list[bool]] = {}
    for node in walk(module.tree):
        if not isinstance(node, ast.Assign) or id(node) in inside:
            continue
        held = _held(program, module, node.value) if isinstance(node.value, ast.Call) else set()
        for text in map(ast.unparse, node.targets):
            made.setdefault(text, []).append(_is_made_with_gradient(program, module, node.value))
            if held:
                found.setdefault(text, set()).update(held)
    return {optimizer: leaves for optimizer, texts in found.items() if (leaves := {t for t in texts if all(made.get(t, [False]))})}


def _is_made_with_gradient(program: Program, module: Module, value: ast.expr) -> bool:
    """`torch.zeros(1, requires_grad=True)` or `nn.Parameter(torch.zeros(1))`."""
    if not isinstance(value, ast.Call):
        return False
    name = program.dotted(module, value.func) or ""
    if name in ("torch.nn.Parameter", "torch.nn.parameter.Parameter"):
        return not any(k.arg == "requires_grad" for k in value.keywords)
    return name.startswith("torch.") and asks_for_gradient(value)


def is_leaf(program: Program, module: Module, target: ast.expr) -> bool:
    """Whether an assignment's target is handed to an optimizer by itself."""
    return any(ast.unparse(target) in leaves for leaves in leaves_by_optimizer(program, module).values())


def _held(program: Program, module: Module, call: ast.Call) -> set[str]:
    if not call.args or not isinstance(call.args[0], ast.List | ast.Tuple) or not (program.dotted(module, call.func) or "").startswith(OPTIMIZER):
        return set()
    found: set[str] = set()
    for element in call.args[0].elts:
        if isinstance(element, ast.Dict):
            held = [v for k, v in zip(element.keys, element.values) if isinstance(k, ast.Constant) and k.value == "params"]
            elements = [e for v in held for e in (v.elts if isinstance(v, ast.List | ast.Tuple) else [v])]
        else:
            elements = [element]
        found |= {ast.unparse(e) for e in elements if target_like(e)}
    return found
