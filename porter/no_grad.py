"""What a block under torch.no_grad makes and hands on: tensors lose their gradient by name, the rest must be known to have none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY
from porter.nodes import walk

if TYPE_CHECKING:
    from porter.program import Module, Program
    from porter.rewrite.walk import Walk

GROWING = frozenset({"append", "extend", "insert", "update", "setdefault", "appendleft"})
HOLDERS = frozenset({"list", "tuple", "dict"})


def assigned_tensors(rewriter: Walk, node: ast.With) -> list[str]:
    """Names that a block binds to tensors and that are read after it."""
    function = rewriter.functions[-1]
    found = [name for name in _stored(node) if K.is_tensor(_kinds(rewriter, node, name))]
    return [name for name in found if _read_later(function, name, node) or _is_of_outside(function, name)]


def _is_of_outside(function: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Global | ast.Nonlocal) and name in n.names for n in walk(function))


def unstopped(rewriter: Walk, node: ast.With) -> Iterator[tuple[ast.AST, str]]:
    """Where a block makes something that is read after it and may hold a tensor which no statement can be given for."""
    function = rewriter.functions[-1]
    bound = _stored(node)
    for name in bound:
        if not K.is_tensor(kinds := _kinds(rewriter, node, name)) and _may_hold(kinds) and _read_later(function, name, node):
            yield bound[name], name
    for place, holder in _filled(node):
        root = holder
        while isinstance(root, ast.Attribute | ast.Subscript):
            root = root.value
        if isinstance(root, ast.Name) and root.id in bound:
            continue  # made in the block, and seen above under its name
        text = ast.unparse(holder)
        if _may_hold(rewriter.kinds(holder), stored=isinstance(place, ast.Attribute)) and _read_later(function, text, node):
            yield place, text


def _stored(node: ast.With) -> dict[str, ast.Name]:
    found: dict[str, ast.Name] = {}
    for name in (n for s in node.body for n in walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)):
        found.setdefault(name.id, name)
    return found


def _kinds(rewriter: Walk, node: ast.With, name: str) -> K.Kinds:
    """What a name may hold by any of the block's assignments."""
    found = [n for s in node.body for n in walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id == name]
    return K.join(*(rewriter.kinds(n) or ANY for n in found))


def _may_hold(kinds: K.Kinds, *, stored: bool = False) -> bool:
    """Whether a value may be, or hold, a tensor with a gradient; a parameter that is stored to keeps its own."""
    if stored and K.names(K.without_none(kinds)) == {"Parameter"}:
        return False
    if not kinds or kinds & ANY:
        return True
    return any(k.name in K.TENSORS or (k.name in HOLDERS and (not k.items or any(map(_may_hold, k.items)))) for k in kinds)


def _filled(node: ast.With) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Attributes that a block stores, and containers that it fills."""
    for inner in (n for s in node.body for n in walk(s)):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            yield inner, inner
        elif isinstance(inner, ast.Subscript) and isinstance(inner.ctx, ast.Store):
            yield inner, inner.value
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in GROWING:
            yield inner, inner.func.value


def _read_later(function: ast.AST, text: str, node: ast.With) -> bool:
    """Whether an expression is read in the same function after a block, or by the next turn of a loop around it."""
    end = (node.end_lineno or 0, node.end_col_offset or 0)
    loops = [n for n in walk(function) if isinstance(n, ast.For | ast.AsyncFor | ast.While) and any(inner is node for inner in walk(n))]
    start = (loops[0].lineno, loops[0].col_offset) if loops else end  # the outermost comes first
    inner = {id(n) for f in walk(function) if isinstance(f, ast.FunctionDef | ast.Lambda) and f is not function for n in walk(f)}
    return any(
        isinstance(n, ast.Attribute | ast.Name)
        and isinstance(n.ctx, ast.Load)
        and ((n.lineno, n.col_offset) > start or id(n) in inner)  # what a function inside reads, it may read at any time
        and not (node.lineno, node.col_offset) < (n.lineno, n.col_offset) < end
        and ast.unparse(n) == text
        for n in walk(function)
    )


SWITCHES = frozenset({"torch.no_grad", "torch.inference_mode", "torch.autograd.no_grad"})


def is_decorated(program: Program, module: Module, function: ast.AST) -> bool:
    """Whether everything that a function computes is outside of the graph: `@torch.no_grad()`."""
    decorators = getattr(function, "decorator_list", [])
    return any(program.dotted(module, d.func if isinstance(d, ast.Call) else d) in SWITCHES for d in decorators)


def is_block(program: Program, module: Module, node: ast.AST) -> bool:
    """Whether a statement is `with torch.no_grad():` and nothing else."""
    if not isinstance(node, ast.With):
        return False
    calls = [i.context_expr for i in node.items]
    return all(isinstance(c, ast.Call) and program.dotted(module, c.func) in SWITCHES for c in calls)


def outside(program: Program, module: Module, root: ast.AST) -> frozenset[int]:
    """The nodes of a statement that run under no_grad."""
    return frozenset(id(n) for block in walk(root) if is_block(program, module, block) for n in walk(block))


def returns_to_stop(rewriter: Walk, node: ast.Return) -> list[ast.expr]:
    """The tensors that a function under @no_grad gives to code that may differentiate what is made of them."""
    function = rewriter.functions[-1] if rewriter.functions else None
    if node.value is None or not isinstance(function, ast.FunctionDef) or not is_decorated(rewriter.program, rewriter.module, function):
        return []
    if not _is_used(rewriter, function.name):
        return []
    parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    return [p for p in parts if K.is_tensor(rewriter.kinds(p)) and not isinstance(p, ast.Starred)]


def _is_used(rewriter: Walk, name: str) -> bool:
    """Whether the result of a function is used somewhere in a program that goes backward."""
    program = rewriter.program
    used: set[str] | None = getattr(program, "_used_calls", None)
    if used is None:
        used = {n for m in program.modules.values() for n in _used_calls(m)} if program.goes_backward else set()
        program._used_calls = used  # type: ignore[attr-defined]
    return name in used


def _used_calls(module: Module) -> Iterator[str]:
    """The last names of what a module calls and does not leave as a statement of its own."""
    parents = module.explored.parents
    for node in walk(module.tree):
        if isinstance(node, ast.Call) and not isinstance(parents.get(id(node)), ast.Expr):
            yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def unproven_call(rewriter: Walk, node: ast.Call) -> bool:
    """Whether a call inside a gradient function gives what a function under @no_grad made, and that may hold tensors not stopped in it."""
    program = rewriter.program
    found = [program.functions[k.of] for k in rewriter.kinds(node.func) if k.name in ("function", "bound") and k.of in program.functions]
    if isinstance(rewriter.parents.get(id(node)), ast.Expr) or not any(is_decorated(program, f.module, f.node) for f in found):
        return False
    return not K.is_tensor(kinds := rewriter.kinds(node)) and _may_hold(kinds) and not all(_is_stopped(k) for k in kinds)


def _is_stopped(kind: K.Kind) -> bool:
    """A tuple is stopped part by part where each part is known to be a tensor or no tensor."""
    return kind.name == "tuple" and bool(kind.items) and all(K.is_tensor(i) or not _may_hold(i) for i in kind.items)
