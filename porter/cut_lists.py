"""Lists that a network's own code pops from, inserts into or turns: a compiled graph hands `list.pop` and its like to Python,
whose results carry no gradient, so the last element is read and the rest given the list's name."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.dataflow import own_nodes
from porter.grammar import in_network, makes_list, stands_alone
from porter.nodes import walk
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

CUTTING = (b".pop(", b".insert(", b".reverse()")
LIST = frozenset({"list"})
_APART = (ast.IfExp, ast.BoolOp, ast.Lambda, ast.comprehension, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
_METHODS = frozenset({"append", "extend", "pop", "insert", "reverse", "clear", "index", "count"})
_READERS = frozenset({"len", "enumerate", "zip", "reversed", "list", "tuple", "sum", "range", "any", "all", "print", "iter", "map"})


def cut_edits(rewriter: Walk, node: ast.stmt) -> list[Edit] | None:
    """`y = skips.pop()` as `y = skips[-1]` and `skips = skips[:-1]`, `found.insert(0, x)` as `found = [x] + found`.

    A pop of a list that others may hold stays one, in a statement of its own. None where the statement stays.
    """
    start, end = rewriter.span(node)
    if not any(rewriter.module.data.find(text, start, end) >= 0 for text in CUTTING) or not in_network(rewriter) or not stands_alone(rewriter, node):
        return None
    changed = _changed(rewriter, node) if isinstance(node, ast.Expr) else None
    if changed is not None and _ends_line(rewriter, node):
        return rewriter.replace(node, changed)
    pops = _pops(node)
    if pops and _ends_line(rewriter, node) and _are_cuts(rewriter, node, pops):
        return _cut(rewriter, node, pops)
    return _popped_first(rewriter, node, pops) if rewriter.classes else None


def _are_cuts(rewriter: Walk, node: ast.stmt, pops: list[ast.Call]) -> bool:
    """Whether every pop of a statement takes an end of a list of the function's own, of each list the same end."""
    if not all(_name(p) and _is_first(p) is not None and is_own_list(rewriter, _name(p)) for p in pops):
        return False
    return _reads_nothing_else(node, pops) and len({(_name(p), _is_first(p)) for p in pops}) == len({_name(p) for p in pops})


def _cut(rewriter: Walk, node: ast.stmt, pops: list[ast.Call]) -> list[Edit]:
    """The elements are read where they were popped; what is left of each list comes after the statement."""
    taken: Counter[tuple[str, bool]] = Counter()
    for pop in pops:
        name, first = place = (_name(pop), bool(_is_first(pop)))
        taken[place] += 1
        rewriter.replaced[id(pop)] = f"{name}[{taken[place] - 1 if first else -taken[place]}]"
    edits = rewriter._visited(node)
    cuts = [f"{name} = {name}[{count}:]" if first else f"{name} = {name}[:-{count}]" for (name, first), count in taken.items()]
    if isinstance(node, ast.Return):
        return edits  # nothing of the function reads the list any more
    if isinstance(node, ast.Expr) and id(node.value) in rewriter.replaced:
        return rewriter.replace(node, cuts[0])
    pad, end = "\n" + rewriter.indent(node), rewriter.span(node)[1]
    return [*edits, Edit(end, end, "".join(pad + cut for cut in cuts))]


def _popped_first(rewriter: Walk, node: ast.stmt, pops: list[ast.Call]) -> list[Edit] | None:
    """`cat((x, skips.pop()))`: in GRAPH mode pop stands in a statement of its own, so it comes before."""
    inner = [p for p in pops if p is not getattr(node, "value", None) and _name(p) and K.proven(rewriter.kinds(_owner(p)), LIST)]
    if not inner or not _reads_nothing_else(node, inner):
        return None
    start, end = rewriter.span(node)
    before = ""
    for pop in inner:
        name = rewriter._unused("popped")
        before += f"{name} = {rewriter.render(pop)}\n{rewriter.indent(node)}"
        rewriter.replaced[id(pop)] = name
    return [Edit(start, end, before + rewriter.splice(start, end, rewriter._visited(node)))]


def _changed(rewriter: Walk, node: ast.Expr) -> str | None:
    """What `found.insert(0, x)` or `found.reverse()` makes of a list."""
    call = node.value
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)) or call.keywords:
        return None
    name = call.func.value.id
    if not is_own_list(rewriter, name):
        return None
    if call.func.attr == "reverse" and not call.args:
        return f"{name} = {name}[::-1]"
    if call.func.attr != "insert" or len(call.args) != 2:
        return None
    at, new = call.args
    place = at.value if isinstance(at, ast.Constant) else None
    if type(place) is not int or place < 0 or any(isinstance(n, ast.Name) and n.id == name for n in walk(new)):
        return None
    text = rewriter.render(new)
    return f"{name} = [{text}] + {name}" if place == 0 else f"{name} = {name}[:{place}] + [{text}] + {name}[{place}:]"


def _pops(node: ast.stmt) -> list[ast.Call]:
    """The calls of `pop` in a statement, in the order of their evaluation; none where one may not be evaluated."""
    inside = list(ast.walk(node))
    if any(isinstance(n, _APART) for n in inside):
        return []
    found = [n for n in inside if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "pop"]
    return sorted(found, key=lambda p: (p.end_lineno, p.end_col_offset))


def _owner(pop: ast.Call) -> ast.expr:
    assert isinstance(pop.func, ast.Attribute)
    return pop.func.value


def _name(pop: ast.Call) -> str:
    owner = _owner(pop)
    return owner.id if isinstance(owner, ast.Name) else ""


def _reads_nothing_else(node: ast.stmt, pops: list[ast.Call]) -> bool:
    """Whether a statement names the lists that it pops from only there."""
    names = Counter(map(_name, pops))
    return Counter(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in names) == names


def _is_first(call: ast.Call) -> bool | None:
    """Whether a pop takes the first element or, as it does unless told, the last; None for any other."""
    if not call.args and not call.keywords:
        return False
    given = ast.unparse(call.args[0]) if len(call.args) == 1 and not call.keywords else ""
    return {"0": True, "-1": False}.get(given)


def is_own_list(rewriter: Walk, name: str) -> bool:
    """Whether a name holds a list that the function at hand made, and no other name does."""
    function = rewriter.functions[-1]
    if not isinstance(function, ast.FunctionDef) or not makes_list(rewriter, name) or name in {a.arg for a in walk(function.args) if isinstance(a, ast.arg)}:
        return False
    own = {id(n) for statement in function.body for n in own_nodes(statement)}
    uses = [n for n in walk(function) if isinstance(n, ast.Name) and n.id == name]
    return all(id(n) in own and ((_makes(rewriter, n) or _is_cut_no_more(rewriter, n)) if isinstance(n.ctx, ast.Store) else _only_reads(rewriter, n)) for n in uses)


def _makes(rewriter: Walk, node: ast.Name) -> bool:
    """Whether an assignment gives the name a list of its own: one that is written out, a slice, a sum, or `list(...)`."""
    statement = rewriter.parents.get(id(node))
    if isinstance(statement, ast.Tuple):
        assigned = rewriter.parents.get(id(statement))
        if not (isinstance(assigned, ast.Assign) and isinstance(assigned.value, ast.Tuple) and len(assigned.value.elts) == len(statement.elts)):
            return False
        value: ast.expr | None = assigned.value.elts[statement.elts.index(node)]
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        value = statement.value
    else:
        return isinstance(statement, ast.AugAssign)
    if isinstance(value, ast.Subscript):
        return isinstance(value.slice, ast.Slice) and K.proven(rewriter.kinds(value), LIST)
    return isinstance(value, ast.List | ast.ListComp | ast.BinOp) or (
        isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("list", "sorted")
    )


def _only_reads(rewriter: Walk, node: ast.Name) -> bool:
    """Whether a use of a list gives it no second name and keeps it nowhere."""
    parent = rewriter.parents.get(id(node))
    if isinstance(parent, ast.Attribute):
        return parent.attr in _METHODS and isinstance(call := rewriter.parents.get(id(parent)), ast.Call) and call.func is parent
    if isinstance(parent, ast.Subscript):
        return parent.value is node
    if isinstance(parent, ast.Call):
        called = rewriter.resolve(parent.func) or ""
        reads = rewriter.program.is_torch(called) or (isinstance(parent.func, ast.Name) and parent.func.id in _READERS)
        return node in parent.args and (reads or _is_cut_no_more(rewriter, node))
    if isinstance(parent, ast.For):
        return parent.iter is node and not any(_is_cut(n, node.id) for s in parent.body for n in walk(s))
    if isinstance(parent, ast.comprehension):
        return parent.iter is node
    if isinstance(parent, ast.Tuple):
        return isinstance(rewriter.parents.get(id(parent)), ast.Return)
    return isinstance(parent, ast.Return | ast.BinOp | ast.Compare | ast.UnaryOp | ast.If | ast.While | ast.Starred | ast.AugAssign)


def _is_cut_no_more(rewriter: Walk, node: ast.Name) -> bool:
    """Whether a list is not cut any more where it is handed on, or the name given to something else."""
    scope: ast.AST = rewriter.functions[-1]
    outer: ast.AST | None = node
    while outer is not None and outer is not scope:
        if isinstance(outer, ast.For | ast.While) and any(_is_cut(n, node.id) for n in walk(outer)):
            return False
        outer = rewriter.parents.get(id(outer))
    return all((n.lineno, n.col_offset) < (node.lineno, node.col_offset) for n in walk(scope) if _is_cut(n, node.id))  # type: ignore[attr-defined]


def _is_cut(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("pop", "insert", "reverse") and isinstance(node.value, ast.Name) and node.value.id == name


def _ends_line(rewriter: Walk, statement: ast.stmt) -> bool:
    """Whether at most a comment follows a statement on its last line, so that lines may follow it."""
    end, data = rewriter.span(statement)[1], rewriter.module.data
    after = data[end:].split(b"\n", 1)[0].strip()
    return not after or after.startswith(b"#")
