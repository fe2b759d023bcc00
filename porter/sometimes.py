"""Members that a network uses by chance: torch's optimizers skip them in the steps that left them out, zero gradients move them here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY
from porter.nodes import walk
from porter.unreached import holds_parameters, is_decaying, trains_with

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter

# optimizers in which a gradient of zero, unlike none, moves a parameter or its state
REMEMBERING = frozenset({"torch.optim." + n for n in ("Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "ASGD", "SparseAdam")})
RANDOM = ("random.", "numpy.random.", "torch.rand", "torch.bernoulli", "torch.normal", "torch.empty")
DRAWING = frozenset({"uniform_", "bernoulli_", "random_", "normal_", "random", "uniform", "randint", "rand", "item"})
LEAVING = (ast.Continue, ast.Return, ast.Break, ast.Raise)


def check_branches(rewriter: Rewriter, node: ast.ClassDef) -> None:
    """Reports members with parameters that forward uses on some draws of a random number, or values of a tensor, only."""
    forward = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "forward"), None)
    if forward is None or not any(rewriter._is_cell(c) for c in rewriter.classes) or not trains_with(rewriter.program, _moving):
        return
    drawn = _drawn_names(rewriter, forward)
    sure, unsure = _uses(rewriter, forward.body, drawn)
    for name, place in unsure.items():
        if name not in sure and holds_parameters(rewriter, place):
            rewriter.report(
                place, "MSP615", f"forward leaves self.{name} out by chance: torch's optimizer skips its parameters in such a step, here a zero gradient moves them",
                f"multiply the result of self.{name} by 0 or 1 in either framework, or train with SGD without momentum and weight decay",
            )  # fmt: skip


def _uses(rewriter: Rewriter, block: list[ast.stmt], drawn: set[str]) -> tuple[set[str], dict[str, ast.Attribute]]:
    """Members that a block uses whenever it runs, and those that it uses on some ways only."""
    sure: set[str] = set()
    unsure: dict[str, ast.Attribute] = {}
    for index, statement in enumerate(block):
        if isinstance(statement, ast.If):
            # a branch that leaves the block has the rest of it as its other branch
            leaves = bool(statement.body) and isinstance(statement.body[-1], LEAVING) and not statement.orelse
            other = block[index + 1 :] if leaves else statement.orelse
            inside, found = _either(rewriter, statement, other, drawn)
        elif isinstance(statement, ast.For | ast.While | ast.With | ast.Try):
            leaves = False
            inside, found = _uses(rewriter, statement.body, drawn)
            iterated = dict(_members([statement.iter])) if isinstance(statement, ast.For) else {}
            if isinstance(statement, ast.For | ast.While) and _may_not_run(rewriter, statement, drawn):
                places = dict(_members(statement.body))
                inside, found = set(), {**found, **{n: places[n] for n in inside}}
            if isinstance(statement, ast.For) and _skips(rewriter, statement, drawn):
                found |= iterated
            else:
                inside |= set(iterated)
        else:
            leaves = False
            inside, found = {n for n, _ in _members([statement])}, {}
        sure |= inside
        unsure |= {n: p for n, p in found.items() if n not in unsure}
        if leaves:
            break
    return sure, unsure


def _either(rewriter: Rewriter, node: ast.If, other: list[ast.stmt], drawn: set[str]) -> tuple[set[str], dict[str, ast.Attribute]]:
    """The uses of two ways of which one is taken."""
    one, two = _uses(rewriter, node.body, drawn), _uses(rewriter, other, drawn)
    found = {**one[1], **two[1]}
    asked = {n for n, _ in _members([node.test])}
    if not _varies(rewriter, node.test, drawn) or isinstance(node.body[-1], ast.Raise):
        return one[0] | two[0] | asked, found
    places = dict(_members([*node.body, *other]))
    return (one[0] & two[0]) | asked, {**found, **{n: places[n] for n in one[0] ^ two[0]}}


def _may_not_run(rewriter: Rewriter, loop: ast.For | ast.While, drawn: set[str]) -> bool:
    """Whether a loop makes no round on some draws: `for _ in range(random.randint(0, 3))`."""
    head = loop.test if isinstance(loop, ast.While) else loop.iter
    for call in (n for n in walk(head) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "randint"):
        low = call.args[0] if len(call.args) > 1 else None
        if isinstance(loop, ast.For) and isinstance(low, ast.Constant) and isinstance(low.value, int) and low.value > 0:
            return False
    return _varies(rewriter, head, drawn)


def _skips(rewriter: Rewriter, loop: ast.For, drawn: set[str]) -> bool:
    """Whether a loop calls what it walks over on some draws only: `if random() < p: continue`, `if keep: x = layer(x)`."""
    targets = {n.id for n in walk(loop.target) if isinstance(n, ast.Name)}
    inside = drawn | _drawn_names(rewriter, loop)
    chance = False
    for statement in loop.body:
        calls = any(isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id in targets for n in walk(statement))
        varies = isinstance(statement, ast.If) and _varies(rewriter, statement.test, inside)
        if calls and (chance or (varies and isinstance(statement, ast.If) and not statement.orelse)):
            return True
        if varies and isinstance(statement, ast.If) and statement.body and isinstance(statement.body[-1], ast.Continue):
            chance = True
    return False


def _members(nodes: list[ast.stmt] | list[ast.expr]) -> Iterator[tuple[str, ast.Attribute]]:
    for root in nodes:
        for node in walk(root):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr, node


def _varies(rewriter: Rewriter, test: ast.expr, drawn: set[str]) -> bool:
    """Whether a condition changes from step to step: it draws a number, or asks for the value of a tensor."""
    for node in walk(test):
        if isinstance(node, ast.Name) and node.id in drawn:
            return True
        if isinstance(node, ast.Call) and _draws(rewriter, node):
            return True
        if isinstance(node, ast.Compare) and any(K.is_tensor(rewriter.kinds(n)) for n in (node.left, *node.comparators)):
            return not any(isinstance(o, ast.Is | ast.IsNot | ast.In | ast.NotIn) for o in node.ops)
    return False


def _draws(rewriter: Rewriter, call: ast.Call) -> bool:
    name = rewriter.program.dotted(rewriter.module, call.func) or ""
    if name.startswith(RANDOM):
        return True
    func = call.func
    return isinstance(func, ast.Attribute) and func.attr in DRAWING and K.is_tensor(rewriter.kinds(func.value) or ANY)


def _drawn_names(rewriter: Rewriter, root: ast.AST) -> set[str]:
    """Names of plain random numbers."""
    return {
        t.id
        for n in walk(root) if isinstance(n, ast.Assign) and not isinstance(n.value, ast.IfExp)
        and any(isinstance(c, ast.Call) and _draws(rewriter, c) for c in walk(n.value)) and _is_number(rewriter, n.value)
        for t in n.targets if isinstance(t, ast.Name)
    }  # fmt: skip


def _is_number(rewriter: Rewriter, value: ast.expr) -> bool:
    """Whether a value may be asked in a condition: a number, or a tensor that is nothing but one draw."""
    return not K.is_tensor(rewriter.kinds(value)) or isinstance(value, ast.Call)


def _moving(name: str, call: ast.Call) -> bool:
    momentum = next((k.value for k in call.keywords if k.arg == "momentum"), None)
    moved = name.startswith("torch.optim.") and momentum is not None and not (isinstance(momentum, ast.Constant) and momentum.value == 0)
    return moved or name in REMEMBERING or is_decaying(name, call)
