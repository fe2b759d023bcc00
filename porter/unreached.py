"""Parameters that no loss reaches: torch leaves them alone, and zero gradients let weight decay shrink them in MindSpore."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.carrying import has_parameters
from porter.kinds import ANY
from porter.nodes import walk

if TYPE_CHECKING:
    from porter.program import Program
    from porter.rewrite.rewriter import Rewriter

PARAMETER = "torch.nn.Parameter"
DECAYING = frozenset({"torch.optim.AdamW"})
# what reaches members without naming them
WALKS = frozenset({"children", "modules", "named_children", "named_modules", "_modules", "_parameters", "__dict__", "parameters", "named_parameters"})
SETTING_UP = ("init", "_init", "reset_", "_reset")


def check_members(rewriter: Rewriter, node: ast.ClassDef) -> None:
    """Reports members with parameters that no code of the program uses, where an optimizer decays weights."""
    if not any(rewriter._is_cell(c) for c in rewriter.classes) or not trains_with(rewriter.program, is_decaying):
        return
    used = _used(rewriter)
    for target, value in _members(node):
        if target.attr not in used and target.attr not in rewriter.program.strings and holds_parameters(rewriter, value):
            rewriter.report(
                target, "MSP614", f"no code uses self.{target.attr}: torch's optimizer leaves its parameters alone, here weight decay shrinks them",
                f"remove self.{target.attr}, or give the optimizer the other parameters only",
            )  # fmt: skip


def _members(node: ast.ClassDef) -> Iterator[tuple[ast.Attribute, ast.expr]]:
    """`self.name = value` of a constructor; a class that walks its members has none that can be judged."""
    methods = [m for m in node.body if isinstance(m, ast.FunctionDef)]
    walks = {n.attr for m in methods if m.name != "__init__" for n in ast.walk(m) if isinstance(n, ast.Attribute)} & WALKS
    made = next((m for m in methods if m.name == "__init__"), None)
    if made is None or walks or not any(m.name == "forward" for m in methods):
        return
    for statement in ast.walk(made):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                yield target, statement.value


def holds_parameters(rewriter: Rewriter, value: ast.expr) -> bool:
    known = K.without_none(rewriter.kinds(value))
    if isinstance(value, ast.Call) and rewriter.resolve(value.func) == PARAMETER:
        return not any(k.arg == "requires_grad" for k in value.keywords)
    modules = bool(known) and not known & ANY and all(k.name == "object" and rewriter._is_cell(k.of) for k in known)
    return modules and has_parameters(rewriter, known)


def trains_with(program: Program, question: Callable[[str, ast.Call], bool]) -> bool:
    """Whether the program goes backward and calls something of which a question about its name and arguments holds."""
    known: dict[str, bool] = program.__dict__.setdefault("_trains_with", {})
    if question.__name__ not in known:
        modules = program.modules.values()
        known[question.__name__] = program.goes_backward and any(
            question(program.dotted(m, n.func) or "", n)
            for m in modules if b"optim" in m.data for n in walk(m.tree) if isinstance(n, ast.Call)
        )
    return known[question.__name__]


def is_decaying(name: str, call: ast.Call) -> bool:
    if not name.startswith("torch.optim."):
        return False
    given = next((k.value for k in call.keywords if k.arg == "weight_decay"), None)
    if given is None:
        return name in DECAYING
    return not (isinstance(given, ast.Constant) and given.value == 0)


def _used(rewriter: Rewriter) -> frozenset[str]:
    """Attributes that the program reads outside of code that sets networks up."""
    cached: frozenset[str] | None = getattr(rewriter.program, "_used_members", None)
    if cached is None:
        cached = frozenset(name for m in rewriter.program.modules.values() for name in _read_in(m.tree))
        rewriter.program._used_members = cached  # type: ignore[attr-defined]
    return cached


def _read_in(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef) and child.name.startswith(SETTING_UP):
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Call) and "init." in ast.unparse(child.value.func):
            continue
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Load):
            yield child.attr
        yield from _read_in(child)
