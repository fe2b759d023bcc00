"""Tensors that train outside of any network: `w = torch.randn(3, requires_grad=True)` becomes a Parameter.

Only such a tensor counts as is made for one name, bound once, and then trained: its gradient is read, or it stands in a list, as
optimizers are given them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porter.nodes import dotted_text, walk

if TYPE_CHECKING:
    from porter.program import Module, Program
    from porter.rewrite.walk import Walk

VARIABLE = "torch.autograd.Variable"
PARAMETER = "torch.nn.Parameter"
_ASKING = (b".grad", b"import grad", b"retain_grad", b"register_hook", b"is_leaf", b"backward(inputs")
_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


@dataclass
class Leaves:
    """The leaves of a module: the assignment that makes each, the calls that must give a Parameter with its name, the calls in functions
    that make the tensors for them, and the lists that hold leaves."""

    made: dict[str, ast.Assign] = field(default_factory=dict)
    calls: dict[int, str] = field(default_factory=dict)
    inner: set[int] = field(default_factory=set)
    held: dict[str, set[str]] = field(default_factory=dict)

    def read(self, names: Iterable[str]) -> set[str]:
        """The leaves that names stand for: leaves themselves, and lists that hold some."""
        found: set[str] = set()
        for name in names:
            root = name.partition(".")[0]
            found |= {root} if root in self.made else self.held.get(root, set())
        return found


def leaves_of(program: Program, module: Module) -> Leaves:
    """The leaves of a module; none where no file goes backward."""
    known: Leaves | None = getattr(module, "_leaves", None)
    if known is None:
        mentions = module.has(b"requires_grad") or module.has(b"Parameter(")
        known = _find(program, module) if mentions and program.goes_backward else Leaves()
        module._leaves = known  # type: ignore[attr-defined]
    return known


def is_absent_gradient(rewriter: Walk, node: ast.Compare) -> bool:
    """`w.grad is None` of a parameter that no optimizer holds: it has no such attribute before its first gradient."""
    left, against = node.left, node.comparators[0]
    if not (
        isinstance(left, ast.Attribute)
        and left.attr == "grad"
        and isinstance(node.ops[0], ast.Is | ast.IsNot)
    ):
        return False
    if len(node.ops) != 1 or not (isinstance(against, ast.Constant) and against.value is None):
        return False
    return bool(leaves_of(rewriter.program, rewriter.module).made) or not rewriter.program.has(b"optim")


def _find(program: Program, module: Module) -> Leaves:
    found = Leaves()
    makers = {n.name: n for n in module.tree.body if isinstance(n, ast.FunctionDef)}
    for node in walk(module.tree):
        if not (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            continue
        name, value = node.targets[0].id, node.value
        calls = _flagged(program, module, value)
        if (
            not calls
            and isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and value.func.id in makers
        ):
            calls = _returned(program, module, makers[value.func.id])
        made = calls or (isinstance(value, ast.Call) and _is_parameter(program, module, value.func))
        if (
            made
            and _in_plain_code(module, node)
            and _is_bound_once(module, name)
            and _is_trained(program, module, name, value)
        ):
            found.made[name] = node
            if calls:
                found.calls[id(value)] = name
            found.inner |= {id(c) for c in calls if c is not value}
        elif value in calls and _is_input(program, module, node, name):
            found.inner.add(id(value))
    _drop_shared_makers(module, found, makers)
    if found.made:
        _find_holders(module, found)
    return found


def _is_parameter(program: Program, module: Module, func: ast.expr) -> bool:
    written = isinstance(func, ast.Name) or (isinstance(func, ast.Attribute) and func.attr == "Parameter")
    return written and program.dotted(module, func) == PARAMETER


def asks_for_gradient(call: ast.Call) -> bool:
    """Whether a call is given `requires_grad=True`, written out."""
    return any(k.arg == "requires_grad" and isinstance(k.value, ast.Constant) and k.value.value is True for k in call.keywords)


def _flagged(program: Program, module: Module, value: ast.expr) -> list[ast.Call]:
    """The call itself, where it makes a tensor that asks for a gradient."""
    if not isinstance(value, ast.Call):
        return []
    if not asks_for_gradient(value):
        return []
    name = program.dotted(module, value.func) or ""
    if not name.startswith("torch."):
        return []
    rows = program.table.rows.get(name, ())
    return (
        [value]
        if name == VARIABLE or any("requires_grad" in guard.that for row in rows for guard in row.require)
        else []
    )


def _returned(program: Program, module: Module, function: ast.FunctionDef) -> list[ast.Call]:
    """The calls that make what a function returns, where every return makes a tensor that asks for a gradient."""
    returns = [n.value for n in walk(function) if isinstance(n, ast.Return)]
    calls = [_flagged(program, module, value) if value is not None else [] for value in returns]
    return [c for several in calls for c in several] if calls and all(calls) else []


def _drop_shared_makers(module: Module, found: Leaves, makers: dict[str, ast.FunctionDef]) -> None:
    """A function that is also called for something else than a leaf makes none."""
    made = {id(a.value) for a in found.made.values()}
    for node in walk(module.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in makers
            and id(node) not in made
        ):
            inside = {id(n) for n in walk(makers[node.func.id])}
            found.inner -= inside
            dropped = {
                n: a
                for n, a in found.made.items()
                if isinstance(a.value, ast.Call) and dotted_text(a.value.func) == node.func.id
            }
            for name, assign in dropped.items():
                del found.made[name], found.calls[id(assign.value)]


def _in_plain_code(module: Module, node: ast.AST) -> bool:
    """Whether a statement is the module's own or a plain function's: in a class a Parameter would become one of its own."""
    parents = module.explored.parents
    outer = parents.get(id(node))
    while outer is not None:
        if isinstance(outer, ast.ClassDef):
            return False
        outer = parents.get(id(outer))
    return True


def _is_bound_once(module: Module, name: str) -> bool:
    parents = module.explored.parents
    stored = [
        n
        for n in walk(module.tree)
        if isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load)
    ]
    return sum(not isinstance(parents.get(id(n)), ast.AugAssign) for n in stored) == 1


def _is_trained(program: Program, module: Module, name: str, value: ast.expr) -> bool:
    parents = module.explored.parents
    asked = listed = False
    for node in walk(module.tree):
        if not (isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)):
            continue
        parent = parents.get(id(node))
        asked = asked or (isinstance(parent, ast.Attribute) and parent.attr == "grad")
        listed = listed or isinstance(parent, _DISPLAYS)
        listed = listed or (
            isinstance(parent, ast.Call)
            and isinstance(parent.func, ast.Attribute)
            and parent.func.attr == "append"
            and node in parent.args
        )
    given = (
        value.args[0]
        if isinstance(value, ast.Call)
        and value.args
        and program.dotted(module, value.func) in (VARIABLE, PARAMETER)
        else None
    )
    if isinstance(given, ast.Name) and (listed or _is_changed(module, name)):
        return False  # torch changes the tensor that it was made of as well
    return asked or listed


def _is_input(program: Program, module: Module, node: ast.Assign, name: str) -> bool:
    """Whether a tensor that asks for a gradient only goes into calls, in a program that never asks for it: its flag counts for nothing."""
    if not _in_plain_code(module, node) or any(map(program.has, _ASKING)):
        return False
    parents = module.explored.parents
    for read in walk(module.tree):
        if isinstance(read, ast.Name) and read.id == name and isinstance(read.ctx, ast.Load):
            parent = parents.get(id(read))
            if not isinstance(parent, ast.Call) or read is parent.func or (program.dotted(module, parent.func) or "").startswith("torch.optim."):
                return False
    return True


def _is_changed(module: Module, name: str) -> bool:
    """Whether a tensor is changed in place under this name."""
    for node in walk(module.tree):
        if isinstance(node, ast.AugAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
            if any(dotted_text(t) in (name, f"{name}.data") for t in targets) and not (
                isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            ):
                return True
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr.endswith("_")
        ):
            if dotted_text(node.func.value) in (name, f"{name}.data"):
                return True
    return False


def _find_holders(module: Module, found: Leaves) -> None:
    """Lists of leaves, and lists made of such lists."""
    assigned = [
        n
        for n in walk(module.tree)
        if isinstance(n, ast.Assign) and all(isinstance(t, ast.Name) for t in n.targets)
    ]
    for _ in range(3):
        for assign in assigned:
            if isinstance(assign.value, ast.Name | ast.BinOp | ast.List | ast.Tuple) and not _computes(assign.value):
                names = found.read(n.id for n in walk(assign.value) if isinstance(n, ast.Name))
                for target in assign.targets:
                    if names and isinstance(target, ast.Name) and target.id not in found.made:
                        found.held.setdefault(target.id, set()).update(names)
    for node in walk(module.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("append", "extend")
        ):
            holder = dotted_text(node.func.value)
            names = found.read(n.id for a in node.args for n in walk(a) if isinstance(n, ast.Name))
            if holder and names:
                found.held.setdefault(holder, set()).update(names)
    for node in walk(module.tree):
        if (
            isinstance(node, ast.For)
            and isinstance(node.target, ast.Name)
            and (names := found.read([dotted_text(node.iter) or ""]))
        ):
            found.held.setdefault(node.target.id, set()).update(names)


def _computes(value: ast.expr) -> bool:
    """Whether an expression computes with tensors, rather than joining lists."""
    if isinstance(value, ast.BinOp):
        sides = [value.left, value.right]
        return (
            not isinstance(value.op, ast.Add)
            or any(map(_computes, sides))
            or not all(isinstance(s, ast.Name | ast.List | ast.Tuple | ast.BinOp) for s in sides)
        )
    return False
