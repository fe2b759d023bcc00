"""Lists that one function fills from its forward pass and another makes its loss of, as policy gradients do over an episode.

A gradient function has to run the network itself, so each entry becomes a function that computes it again; the loss calls them.
Only where the second pass surely gives what the first one gave: nothing drawn at random, no state, no step in between.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.again import draws
from porter.carrying import carrying_call, reached
from porter.dataflow import names_bound, names_read, parameter_names
from porter.inflow import leaves_graph
from porter.nodes import walk

if TYPE_CHECKING:
    from porter.program import Function
    from porter.rewrite.rewriter import Rewriter

# state that a second pass would change, or read otherwise
STATEFUL = ("BatchNorm", "InstanceNorm", "Dropout", "RReLU", "register_buffer", "spectral_norm", ".training")


@dataclass(frozen=True)
class Kept:
    """A list by its text, the statement that fills it, what computes an entry again, and where the loss reads it."""

    text: str
    fill: ast.Expr
    entry: ast.expr
    again: tuple[ast.stmt, ...]
    reads: tuple[ast.Attribute, ...]


def kept_lists(rewriter: Rewriter, scope: ast.FunctionDef) -> list[Kept]:
    """The lists that a function with a backward pass reads and that another one of the file fills from a network."""
    module = rewriter.module
    if any(module.has(text) for text in (b"load_state_dict(", b".copy_(", b".data.", b".eval()")):
        return []
    others = [f for f in walk(module.tree) if isinstance(f, ast.FunctionDef) and f is not scope]
    if any(isinstance(n, ast.Attribute) and n.attr == "backward" for f in others for n in walk(f)):
        return []
    read = {ast.unparse(n): n.attr for n in walk(scope) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
    found = []
    for text, attribute in read.items():
        fills = [(f, i) for f in others for i, s in enumerate(f.body) if _is_fill(s, text)]
        if len(fills) == 1 and _is_one_object(rewriter, text, scope, fills[0][0]):
            function, index = fills[0]
            kept = _kept(rewriter, scope, text, attribute, function, index)
            found += [kept] if kept is not None else []
    return found


def _is_fill(node: ast.stmt, text: str) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func) == f"{text}.append" and len(call.args) == 1 and not call.keywords


def _is_one_object(rewriter: Rewriter, text: str, scope: ast.FunctionDef, function: ast.FunctionDef) -> bool:
    """Whether a text means one list in both functions: of a global bound once, or of self in methods of one class."""
    root, dot, rest = text.partition(".")
    if "." in rest:
        return False
    owners = [_definition(rewriter, f) for f in (scope, function)]
    if root == "self":
        return all(o is not None and o.owner is not None for o in owners) and owners[0].owner is owners[1].owner  # type: ignore[union-attr]
    local = any(root in parameter_names(f) | {n for s in f.body for n in names_bound(s)} for f in (scope, function))
    return not local and sum(root in names_bound(s) for s in rewriter.module.tree.body) == 1


def _definition(rewriter: Rewriter, node: ast.FunctionDef) -> Function | None:
    return next((f for f in rewriter.program.functions.values() if f.node is node), None)


def _kept(rewriter: Rewriter, scope: ast.FunctionDef, text: str, attribute: str, function: ast.FunctionDef, index: int) -> Kept | None:
    fill = function.body[index]
    assert isinstance(fill, ast.Expr) and isinstance(fill.value, ast.Call) and isinstance(fill.value.func, ast.Attribute)
    entry = fill.value.args[0]
    again = _again(rewriter, function.body[:index], entry)
    if again is None or not _gives_the_same(rewriter, function, again, entry, fill):
        return None
    inside = {id(n) for n in walk(scope)}
    reads = []
    for node in _uses(rewriter, attribute):
        if node is fill.value.func.value or _is_reset(rewriter, node):
            continue
        if id(node) not in inside or not isinstance(node, ast.Attribute) or ast.unparse(node) != text or not isinstance(node.ctx, ast.Load):
            return None
        reads.append(node)
    return Kept(text, fill, entry, again, tuple(reads)) if reads else None


def _again(rewriter: Rewriter, before: list[ast.stmt], entry: ast.expr) -> tuple[ast.stmt, ...] | None:
    """The statements before a fill that compute its entry from a network; what carries no gradient is kept as it is."""
    carried: set[str] = set()
    computing = []
    for statement in before:
        carries = any(carrying_call(rewriter, n, set()) for n in walk(statement) if isinstance(n, ast.Call))
        if (carries or names_read(statement) & carried) and not leaves_graph(statement) and not _is_sampled(rewriter, statement):
            computing.append(statement)
            carried |= names_bound(statement)
        else:
            carried -= names_bound(statement)
    needed, chosen = names_read(entry), []
    if not needed & carried and not any(carrying_call(rewriter, n, set()) for n in walk(entry) if isinstance(n, ast.Call)):
        return None
    for statement in reversed(computing):
        if names_bound(statement) & needed:
            if not isinstance(statement, ast.Assign):
                return None
            chosen.append(statement)
            needed |= names_read(statement)
    return tuple(reversed(chosen))


def _is_sampled(rewriter: Rewriter, node: ast.stmt) -> bool:
    """`action = distribution.sample()`, which carries no gradient."""
    call = node.value if isinstance(node, ast.Assign) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "sample":
        return False
    known = rewriter.kinds(call.func.value)
    return bool(known) and all(k.name == "object" and k.of.startswith("torch.distributions.") for k in known)


def _gives_the_same(rewriter: Rewriter, function: ast.FunctionDef, again: tuple[ast.stmt, ...], entry: ast.expr, fill: ast.stmt) -> bool:
    """Whether a second pass reads what the first one read, draws nothing and finds the network as it was."""
    bound = set().union(*(names_bound(s) for s in again))
    stores: dict[str, list[int]] = {}
    for node in walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stores.setdefault(node.id, []).append(node.lineno)
    first = again[0].lineno if again else fill.lineno
    captured = set().union(names_read(entry), *(names_read(s) for s in again)) - bound
    for lines in (stores.get(name, []) for name in captured):
        if any(line > fill.lineno or (line > first and len(lines) > 1) for line in lines):
            return False
    if any(len(stores.get(name, [])) > 1 for name in bound):
        return False
    networks, unsure = reached(rewriter, [*again, fill])
    if not networks or unsure or any(draws(rewriter, n) for part in (*again, entry) for n in walk(part) if isinstance(n, ast.Call)):
        return False
    called = {ast.unparse(n.func): rewriter.kinds(n.func) for s in (*again, fill) for n in walk(s) if isinstance(n, ast.Call)}
    return all(name in called and _is_stateless(rewriter, {k.of for k in K.without_none(called[name])}, set()) for name in networks)


def _is_stateless(rewriter: Rewriter, classes: set[str], seen: set[str]) -> bool:
    """Whether networks keep nothing from one pass to the next, by the text of their classes and of those that they hold."""
    for name in classes - seen:
        seen.add(name)
        cls = rewriter.program.classes.get(name)
        if cls is None:
            if not name.startswith("torch.nn.") or any(word in name for word in STATEFUL):
                return False
            continue
        text = cls.module.source(cls.node)
        forward = [n for m in cls.node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("__") for n in walk(m)]
        stores = any(isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) for n in forward)
        made = {rewriter.program.dotted(cls.module, n.func) or "" for n in walk(cls.node) if isinstance(n, ast.Call)}
        held = {name for name in made if name in rewriter.program.classes}
        if stores or any(word in text for word in STATEFUL) or not _is_stateless(rewriter, held, seen):
            return False
    return True


def _uses(rewriter: Rewriter, attribute: str) -> Iterator[ast.AST]:
    """All places in the program that name an attribute; a text of it is one that cannot be followed."""
    for module in rewriter.program.modules.values():
        if module.has(attribute.encode()):
            yield from (n for n in walk(module.tree) if isinstance(n, ast.Attribute) and n.attr == attribute)
            yield from (n for n in walk(module.tree) if isinstance(n, ast.Constant) and n.value == attribute)


def _is_reset(rewriter: Rewriter, node: ast.AST) -> bool:
    """Whether a place empties the list or asks for its length: `x = []`, `del x[:]`, `x.clear()`, `len(x)`."""
    parent = rewriter.parents.get(id(node))
    if isinstance(parent, ast.Assign):
        return node in parent.targets and isinstance(parent.value, ast.List) and not parent.value.elts
    if isinstance(parent, ast.Subscript):
        return isinstance(parent.ctx, ast.Del) and ast.unparse(parent.slice) == ":"
    if isinstance(parent, ast.Attribute):
        return parent.attr == "clear"
    return isinstance(parent, ast.Call) and ast.unparse(parent.func) == "len"
