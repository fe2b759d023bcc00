"""Which names statements read and bind, in what order, and whether a value is read later."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from porter.nodes import children, dotted_text, walk

GROWING = frozenset(["append", "extend", "insert", "add", "update"])


def names_read(node: ast.AST) -> set[str]:
    """Names, and attributes of names, that a statement reads; what is detached carries nothing on and is left out."""
    found: set[str] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, ast.Call) and isinstance(current.func, ast.Attribute) and current.func.attr in ("detach", "item"):
            continue
        if isinstance(current, ast.Attribute) and current.attr == "data" and isinstance(current.ctx, ast.Load):
            continue
        key = dotted_text(current) if isinstance(current, ast.Attribute) else None
        if key and isinstance(current.ctx, ast.Load):  # type: ignore[attr-defined]
            found.add(key)
        if isinstance(current, ast.Name) and isinstance(current.ctx, ast.Load):
            found.add(current.id)
        if isinstance(current, ast.AugAssign) and (target := dotted_text(current.target)):
            found.add(target)
        stack.extend(children(current))
    return found


def stored(node: ast.stmt) -> list[ast.expr]:
    return [n for n in walk(node) if isinstance(n, ast.Name | ast.Attribute) and isinstance(n.ctx, ast.Store)]


def names_bound(node: ast.stmt) -> set[str]:
    """Names, attributes and containers that a statement, or one inside it, assigns."""
    found: set[str] = set()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    for child in walk(node):
        if isinstance(child, ast.Name | ast.Attribute | ast.Subscript) and isinstance(child.ctx, ast.Store):
            base = child.value if isinstance(child, ast.Subscript) else child
            key = dotted_text(base)
            if key:
                found.add(key)
    return found


def containers_grown(node: ast.AST) -> set[str]:
    """Containers that a statement adds to: losses.append(...)."""
    found = set()
    for child in walk(node):
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in GROWING:
            key = dotted_text(child.func.value)
            if key:
                found.add(key)
    return found


_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_OWN_NAMES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A statement's nodes in the order of evaluation, as far as order matters here; nested functions and comprehensions
    keep their own names."""
    stack = [node]
    while stack:
        node = stack.pop()
        if isinstance(node, _OWN_NAMES):
            if isinstance(node, _COMPREHENSIONS):
                own = {n.id for g in node.generators for n in walk(g.target) if isinstance(n, ast.Name)}
                yield from (n for n in walk(node) if isinstance(n, ast.Name) and n.id not in own)
            continue
        yield node
        if isinstance(node, ast.Assign):
            order: list[ast.AST] = [node.value, *node.targets]
        elif isinstance(node, ast.AugAssign):
            order = [node.value, node.target]
        elif isinstance(node, ast.For):
            order = [node.iter, node.target, *node.body, *node.orelse]
        else:
            order = children(node)
        stack += reversed(order)


def plain_binds(node: ast.stmt) -> set[str]:
    return {n.id for n in own_nodes(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def plain_binds_of(loop: ast.stmt) -> set[str]:
    return plain_binds(loop)


def plain_binds_in_order(statements: list[ast.stmt]) -> list[str]:
    found: dict[str, None] = {}
    for statement in statements:
        for node in own_nodes(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = None
    return list(found)


def free_first(statements: list[ast.stmt], later: Callable[[str], bool] = lambda name: True) -> list[str]:
    """Names that are read before the statements bind them for sure, in order of appearance; `later` says of a name
    whether its value is used behind the statements."""
    found: dict[str, None] = {}
    certain: set[str] = set()
    for index, statement in enumerate(statements):
        _read_first(statement, certain, found)
        always = surely_bound(statement)
        for name in sorted(plain_binds(statement) - certain - always):
            # bound on some ways only: where it was bound before and is read behind it, that value must come in
            if later(name) or any(_reads(s, name) for s in statements[index + 1 :]):
                found.setdefault(name)
        certain |= always
    return list(found)


def _read_first(statement: ast.stmt, certain: set[str], found: dict[str, None]) -> None:
    """Adds the names that one statement reads before it binds them; each branch is a way of its own."""
    if isinstance(statement, ast.If | ast.While):
        _read_in_order([statement.test], set(certain), found)
        _read_branches([statement.body, statement.orelse], certain, found)
    elif isinstance(statement, ast.For | ast.AsyncFor):
        bound = set(certain)
        _read_in_order([statement.iter, statement.target], bound, found)
        _read_branches([statement.body], bound, found)
        _read_branches([statement.orelse], certain, found)
    elif isinstance(statement, ast.With | ast.AsyncWith):
        bound = set(certain)
        _read_in_order(list(statement.items), bound, found)
        _read_branches([statement.body], bound, found)
    elif isinstance(statement, ast.Try):
        _read_branches([[*statement.body, *statement.orelse], *(h.body for h in statement.handlers), statement.finalbody], certain, found)
    else:
        _read_in_order([statement], set(certain), found)


def _read_branches(blocks: list[list[ast.stmt]], certain: set[str], found: dict[str, None]) -> None:
    for block in blocks:
        bound = set(certain)
        for inner in block:
            _read_first(inner, bound, found)
            # on this way it is bound, if not on every way through the statement
            bound |= surely_bound(inner)


def _read_in_order(nodes: list[ast.AST], bound: set[str], found: dict[str, None]) -> None:
    for root in nodes:
        for node in own_nodes(root):
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id not in bound:
                found[node.target.id] = None
            if not isinstance(node, ast.Name):
                continue
            if isinstance(node.ctx, ast.Load) and node.id not in bound:
                found[node.id] = None
            elif isinstance(node.ctx, ast.Store):
                bound.add(node.id)


def _reads(statement: ast.stmt, name: str) -> bool:
    return any(
        (isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load))
        or (isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name) and n.target.id == name)
        for n in walk(statement)
    )


def surely_bound(statement: ast.stmt) -> set[str]:
    """Names that a statement binds whichever way it takes."""
    if isinstance(statement, ast.If):
        return all_bound(statement.body) & all_bound(statement.orelse)
    if isinstance(statement, ast.With):
        return all_bound(statement.body)
    return set() if isinstance(statement, ast.For | ast.While | ast.Try | ast.Match) else plain_binds(statement)


def loop_targets(statement: ast.stmt) -> set[str]:
    if not isinstance(statement, ast.For):
        return set()
    return {n.id for n in walk(statement.target) if isinstance(n, ast.Name)}


def all_bound(block: list[ast.stmt]) -> set[str]:
    return set().union(*(surely_bound(s) for s in block))


def parameter_names(scope: ast.AST) -> set[str]:
    arguments = getattr(scope, "args", None)
    if arguments is None:
        return set()
    return {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}


def names_in_scope(scope: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef, apart: list[ast.stmt]) -> set[str]:
    """Names that the scope binds outside of some statements."""
    skipped = {id(n) for s in apart for n in walk(s)}
    found = parameter_names(scope)
    for statement in scope.body:
        for node in own_nodes(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in skipped:
                found.add(node.id)
    return found


def read_later(scope: ast.AST, name: str, apart: list[ast.stmt], last: ast.stmt) -> bool:
    """Whether a name is read after some statements, or in the next round of a loop around them, before it is bound anew."""
    skipped = {id(n) for s in apart for n in walk(s)} | _inner_names(scope, name)
    end = (last.end_lineno or 0, last.end_col_offset or 0)
    events: list[tuple[int, int, str]] = []
    for node in walk(scope):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Name) and node.id == name:
            stored = isinstance(node.ctx, ast.Store)
            events.append((node.lineno, node.col_offset, "bind" if stored else "read"))
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            events.append((node.lineno, node.col_offset - 1, "read"))
    # in an assignment the right side is read before the left is bound
    events = sorted(_after_value(scope, events, name))
    after = next((e for e in events if e[:2] > end and (e[2] == "read" or not _conditional(scope, e, last))), None)
    if after is not None and after[2] == "read":
        return True
    for loop in walk(scope):
        if isinstance(loop, ast.For | ast.While) and loop.lineno <= last.lineno and end[0] <= (loop.end_lineno or 0):
            first = next((e for e in events if e[0] >= loop.lineno), None)
            if first is not None and first[2] == "read" and first[:2] < end:
                return True
    return False


def _inner_names(scope: ast.AST, name: str) -> set[int]:
    """Nodes of a name that comprehensions and functions inside a scope bind for themselves."""
    found: set[int] = set()
    for node in walk(scope):
        if node is scope:
            continue
        if isinstance(node, _COMPREHENSIONS):
            targets = [n for g in node.generators for n in walk(g.target)]
            first = {id(n) for n in walk(node.generators[0].iter)}  # belongs to the scope around
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            if any(isinstance(n, ast.Global | ast.Nonlocal) and name in n.names for n in walk(node)):
                continue
            targets = [n for n in walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
            targets += [ast.Name(a) for a in parameter_names(node) if a == name]
            first = {id(n) for d in node.args.defaults for n in walk(d)}
        else:
            continue
        if any(isinstance(n, ast.Name) and n.id == name for n in targets):
            found |= {id(n) for n in walk(node) if isinstance(n, ast.Name) and n.id == name} - first
    return found


def _after_value(scope: ast.AST, events: list[tuple[int, int, str]], name: str) -> list[tuple[int, int, str]]:
    moved = []
    targets = {}
    for node in walk(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for inner in walk(target):
                    if isinstance(inner, ast.Name) and inner.id == name:
                        targets[(inner.lineno, inner.col_offset)] = (node.end_lineno or 0, (node.end_col_offset or 0) + 1)
    for line, column, what in events:
        place = targets.get((line, column)) if what == "bind" else None
        moved.append((*place, what) if place is not None else (line, column, what))
    return moved


def _conditional(scope: ast.AST, event: tuple[int, int, str], last: ast.stmt) -> bool:
    """Whether a binding stands in a branch or loop that does not also hold the statements it would replace."""
    return any(
        isinstance(n, ast.If | ast.For | ast.While | ast.Try) and n.lineno <= event[0] <= (n.end_lineno or 0) and not n.lineno <= last.lineno
        for n in walk(scope)
    )


def reads_gradients(scope: ast.AST) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "grad" for n in walk(scope))


def none_by_default(arguments: ast.arguments) -> set[str]:
    """The parameters of a function whose default is None."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [*zip(reversed(positional), reversed(arguments.defaults)), *zip(arguments.kwonlyargs, arguments.kw_defaults)]
    return {a.arg for a, default in defaults if isinstance(default, ast.Constant) and default.value is None}


def assigned_values(name: str, function: ast.AST) -> list[ast.expr | None]:
    """What the assignments of a function bind a name to; None for a parameter, and for whatever else binds it."""
    found: list[ast.expr | None] = []
    plain: set[int] = set()
    for node in walk(function):
        if isinstance(node, ast.arg) and node.arg == name:
            found.append(None)
        elif isinstance(node, ast.Assign):
            targets = {id(t) for t in node.targets if isinstance(t, ast.Name) and t.id == name}
            plain |= targets
            found += [node.value] if targets else []
        elif isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load) and id(node) not in plain:
            found.append(None)
    return found
