"""GRAPH mode's grammar: statements it cannot parse in another form with the same meaning, or a word that they run in PYNATIVE only."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.dataflow import own_nodes
from porter.nodes import walk
from porter.reached import in_networks
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

CASTS = frozenset({"type_as", "to", "cuda", "cpu", "contiguous"})
LIST = frozenset({"list"})
HELP = "run this network in PYNATIVE mode, or write the statement in a form that mindspore.jit compiles"


def statement_edits(rewriter: Walk, node: ast.Expr) -> list[Edit] | None:
    """Another form of an expression statement in a network's own code, or None where it may stay as it is."""
    if not in_network(rewriter):
        return None
    if isinstance(node.value, ast.Tuple) and all(isinstance(e, ast.Call) for e in node.value.elts):
        return _lines(rewriter, node, [rewriter.render(e) for e in node.value.elts])
    return _updated(rewriter, node) or _extended(rewriter, node) or _grown(rewriter, node)


def is_plain_delete(rewriter: Walk, node: ast.Delete) -> bool:
    """Whether a `del` in a network's own code only lets go of local values, which a graph does by itself."""
    return in_network(rewriter) and all(isinstance(t, ast.Name) and rewriter._is_local(t.id) for t in node.targets)


def raise_edits(rewriter: Walk, node: ast.Raise) -> list[Edit] | None:
    """`raise NotImplemented`, which is no exception and raises TypeError, as the exception that is meant and a graph knows."""
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    if not isinstance(raised, ast.Name) or raised.id != "NotImplemented" or not in_network(rewriter):
        return None
    return rewriter.replace(raised, "NotImplementedError") + (rewriter.children(node.exc) if isinstance(node.exc, ast.Call) else [])


def in_network(rewriter: Walk) -> bool:
    """Whether the code at hand is compiled in GRAPH mode: a network's own that is not part of building it, or a function it calls."""
    if not rewriter.functions or not rewriter._in_forward():
        return False
    if rewriter.classes:
        return rewriter.program.mixes_into_module(rewriter.classes[-1])
    return f"{rewriter.module.name}.{getattr(rewriter.functions[0], 'name', '')}" in in_networks(rewriter.program)


def _lines(rewriter: Walk, node: ast.stmt, texts: list[str]) -> list[Edit] | None:
    """One statement a line in place of one statement that stands alone on its line."""
    if not stands_alone(rewriter, node):
        return None
    return rewriter.replace(node, ("\n" + rewriter.indent(node)).join(texts))


def flattened_edits(rewriter: Walk, node: ast.Assign | ast.Return) -> list[Edit] | None:
    """`[f(i) for pair in pairs for i in pair]` as loops: a graph's comprehension has one `for`."""
    listed = node.value
    if not isinstance(listed, ast.ListComp) or len(listed.generators) < 2 or any(g.is_async for g in listed.generators) or not in_network(rewriter):
        return None
    start, end = rewriter.span(node)
    inside, bound = {id(n) for n in walk(listed)}, {n.id for g in listed.generators for n in walk(g.target) if isinstance(n, ast.Name)}
    others = {n.id for n in walk(rewriter.functions[-1]) if isinstance(n, ast.Name) and id(n) not in inside}
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    if bound & (others - {"_"}) or b"#" in rewriter.module.data[start:end] or not (isinstance(node, ast.Return) or isinstance(target, ast.Name)):
        return None
    read = {n.id for n in walk(listed) if isinstance(n, ast.Name)}
    name = target.id if isinstance(target, ast.Name) and target.id not in read else rewriter._unused("flat")
    lines = loops_of(rewriter, listed, name, rewriter.indent(node))
    if not isinstance(target, ast.Name):
        lines.append(f"return {name}")
    elif target.id != name:
        lines.append(f"{target.id} = {name}")
    return _lines(rewriter, node, lines)


def loops_of(rewriter: Walk, listed: ast.ListComp, name: str, indent: str) -> list[str]:
    """The lines of loops that fill the list `name` as a comprehension does, for a statement indented by `indent`."""
    step = "\t" if "\t" in indent else "    "
    lines, depth = [f"{name} = []"], 0
    for generator in listed.generators:
        lines.append(f"{step * depth}for {rewriter.render(generator.target)} in {rewriter.render(generator.iter)}:")
        depth += 1
        for test in generator.ifs:
            lines.append(f"{step * depth}if {rewriter.render(test)}:")
            depth += 1
    return [*lines, f"{step * depth}{name}.append({rewriter.render(listed.elt)})"]


def _updated(rewriter: Walk, node: ast.Expr) -> list[Edit] | None:
    """`kwargs.update(context=x)` as `kwargs.update({"context": x})`: a graph's update takes no keywords."""
    call = node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "update" or call.args:
        return None
    owner = call.func.value
    if not call.keywords or not isinstance(owner, ast.Name) or not K.proven(rewriter.kinds(owner), frozenset({"dict"})):
        return None
    quote = rewriter.quote
    parts = [f"{quote}{k.arg}{quote}: {rewriter.render(k.value)}" if k.arg else f"**{rewriter.render(k.value)}" for k in call.keywords]
    return rewriter.replace(node, f"{rewriter.render(owner)}.update({{{', '.join(parts)}}})")


def _extended(rewriter: Walk, node: ast.Expr) -> list[Edit] | None:
    """`names.extend(["a", "b"])`: the compiler of MindSpore 2.10 crashes where a list parameter gains strings this way."""
    call = node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "extend" or len(call.args) != 1:
        return None
    added = call.args[0]
    if not isinstance(added, ast.List | ast.Tuple) or not isinstance(call.func.value, ast.Name):
        return None
    if not all(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in added.elts) or not added.elts:
        return None
    if not K.proven(rewriter.kinds(call.func.value), LIST):
        return None
    return _lines(rewriter, node, [f"{call.func.value.id}.append({rewriter.module.source(e)})" for e in added.elts])


def _grown(rewriter: Walk, node: ast.Expr) -> list[Edit] | None:
    """`found.extend(more)` of a list that the function makes as `found += more`: what a graph extends keeps growing from call to call."""
    call = node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.func.attr != "extend" or len(call.args) != 1:
        return None
    owner, added = call.func.value, call.args[0]
    if not isinstance(owner, ast.Name) or isinstance(added, ast.GeneratorExp | ast.Starred) or not makes_list(rewriter, owner.id):
        return None
    text = rewriter.render(added)
    listed = isinstance(added, ast.List | ast.ListComp) or K.proven(rewriter.kinds(added), LIST)
    return rewriter.replace(node, f"{owner.id} += {text if listed else f'list({text})'}")


def makes_list(rewriter: Walk, name: str) -> bool:
    """Whether the function at hand itself gives a name a new list."""
    body = getattr(rewriter.functions[-1], "body", None) if rewriter.functions else None
    statements = body if isinstance(body, list) else []
    return any(name in _lists_made(n) for statement in statements for n in own_nodes(statement))


def _lists_made(node: ast.AST) -> set[str]:
    """Names that an assignment gives a list: `a = []`, `a: list = []`, `a, b = [], []`."""
    pairs: list[tuple[ast.expr, ast.expr | None]] = []
    if isinstance(node, ast.AnnAssign):
        pairs.append((node.target, node.value))
    elif isinstance(node, ast.Assign):
        pairs += [(t, node.value) for t in node.targets]
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs += zip(target.elts, node.value.elts)
    return {t.id for t, value in pairs if isinstance(t, ast.Name) and isinstance(value, ast.List | ast.ListComp)}


_REFUSED: dict[type[ast.AST], str] = {
    ast.Try: "try", ast.Await: "await", ast.ClassDef: "a class inside a method", ast.Global: "global",
    ast.Nonlocal: "nonlocal", ast.Delete: "del", ast.Match: "match", ast.NamedExpr: ":=", ast.Set: "a set literal",
    ast.Import: "import", ast.ImportFrom: "import",
}  # fmt: skip
_MEMBERS = frozenset({"children", "named_children", "modules", "named_modules", "parameters", "named_parameters", "buffers", "named_buffers"})
_PYTHON = frozenset({"int", "float", "bool", "str", "None", "Size", "dtype", "device", "function", "class"})


def prepare(rewriter: Walk, method: ast.FunctionDef) -> None:
    """Looks at a method that a network runs in its forward pass before its statements are rewritten."""
    if not _runs_in_forward(rewriter, method):
        return
    for node in walk(method):
        refused = _REFUSED.get(type(node))
        if isinstance(node, ast.NamedExpr) and _is_hoistable(rewriter, node):
            refused = None
        if isinstance(node, ast.Set) and _is_membership(rewriter, node):
            refused = None
        if isinstance(node, ast.Delete) and is_plain_delete(rewriter, node):
            refused = None
        if isinstance(node, ast.Call) and _lists_members(rewriter, node):
            refused = f"{ast.unparse(node.func)}()"
        if refused is not None and not _vanishes(rewriter, node):
            rewriter.report(node, "MSP611", f"PYNATIVE only: {refused} in {method.name} is outside of GRAPH mode's grammar", HELP)
    for attribute, writes in _written(method).items():
        _keep_current(rewriter, method, attribute, writes)


def _lists_members(rewriter: Walk, node: ast.Call) -> bool:
    """`self.children()` and its like, which MindSpore writes as generators."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in _MEMBERS:
        return False
    first = rewriter.parents.get(id(node))
    asked = rewriter.parents.get(id(first)) if isinstance(first, ast.Call) else None
    if isinstance(asked, ast.Attribute) and asked.attr in ("device", "is_cuda"):  # which no port reads
        return False
    held = rewriter.kinds(node.func.value)
    return K.proven(held, frozenset({"object"})) and all(rewriter._is_cell(k.of) for k in held)


def _is_hoistable(rewriter: Walk, node: ast.NamedExpr) -> bool:
    """Whether `:=` is evaluated first thing in its statement, in an expression that stays in place."""
    child: ast.AST = node
    parent = rewriter.parents.get(id(node))
    while isinstance(parent, ast.Compare | ast.BoolOp | ast.UnaryOp):
        first = parent.left if isinstance(parent, ast.Compare) else parent.values[0] if isinstance(parent, ast.BoolOp) else parent.operand
        if first is not child:
            return False
        child, parent = parent, rewriter.parents.get(id(parent))
    if isinstance(parent, ast.If):
        return child is parent.test and not rewriter._is_elif(parent) and stands_alone(rewriter, parent)
    return isinstance(parent, ast.Return | ast.Assign) and child is parent.value and stands_alone(rewriter, parent)


def stands_alone(rewriter: Walk, statement: ast.stmt) -> bool:
    """Whether nothing stands before a statement on its line, so that lines may be put above it."""
    start = rewriter.span(statement)[0]
    data = rewriter.module.data
    return not data[data.rfind(b"\n", 0, start) + 1 : start].strip()


def named_edits(rewriter: Walk, node: ast.NamedExpr) -> list[Edit] | None:
    """`if (n := f(x)) > 1:` as `n = f(x)` and `if n > 1:`; None where the order of evaluation forbids it."""
    if not in_network(rewriter) or not _is_hoistable(rewriter, node):
        return None
    statement: ast.AST = node
    while not isinstance(statement, ast.stmt):
        statement = rewriter.parents[id(statement)]
    line = f"{node.target.id} = {rewriter.render(node.value)}\n{rewriter.indent(statement)}"
    start, end = rewriter.span(node)
    data = rewriter.module.data
    if data[start - 1 : start] == b"(" and data[end : end + 1] == b")":
        start, end = start - 1, end + 1
    at = rewriter.span(statement)[0]
    return [Edit(at, at, line), Edit(start, end, node.target.id)]


def _is_membership(rewriter: Walk, node: ast.Set) -> bool:
    parent = rewriter.parents.get(id(node))
    return isinstance(parent, ast.Compare) and node in parent.comparators and all(isinstance(o, ast.In | ast.NotIn) for o in parent.ops)


def set_edits(rewriter: Walk, node: ast.Set) -> list[Edit] | None:
    """`kind in {1, 2}` as `kind in (1, 2)`."""
    if not in_network(rewriter) or not _is_membership(rewriter, node):
        return None
    inside = ", ".join(rewriter.render(e) for e in node.elts)
    return rewriter.replace(node, f"({inside}{',' if len(node.elts) == 1 else ''})")


def differing_edits(rewriter: Walk, node: ast.BinOp) -> list[Edit] | None:
    """`exists(a) ^ exists(b)` as `(exists(a) != exists(b))`: a graph has no exclusive or of Python's truth values."""
    sides = (node.left, node.right)
    if not isinstance(node.op, ast.BitXor) or not all(K.proven(rewriter.kinds(s), frozenset({"bool"})) for s in sides):
        return None
    left, right = (rewriter.render(s) if isinstance(s, ast.Name | ast.Attribute | ast.Call) else f"({rewriter.render(s)})" for s in sides)
    return rewriter.replace(node, f"({left} != {right})")


def _vanishes(rewriter: Walk, node: ast.AST) -> bool:
    """Imports of torch go; nothing else does."""
    if isinstance(node, ast.Import):
        return all(rewriter.program.is_torch(a.name) for a in node.names)
    return isinstance(node, ast.ImportFrom) and not node.level and rewriter.program.is_torch(node.module or "")


def runs_in_forward(rewriter: Walk) -> bool:
    """Whether the code at hand belongs to a method that a network's forward runs."""
    method = rewriter.functions[0] if rewriter.functions else None
    return isinstance(method, ast.FunctionDef) and _runs_in_forward(rewriter, method)


def _runs_in_forward(rewriter: Walk, method: ast.FunctionDef) -> bool:
    """Whether a method is the forward of the network at hand, or is called by it through self."""
    if not rewriter.classes or not rewriter.program.mixes_into_module(rewriter.classes[-1]):
        return False
    cls = rewriter.program.classes[rewriter.classes[-1]]
    reached, waiting = set[str](), ["forward"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        function = cls.methods.get(name)
        if function is None:
            continue
        called = {n.attr for n in walk(function.node) if _is_own(n) and isinstance(n, ast.Attribute)}
        waiting += [c for c in called & cls.methods.keys() if c not in reached]
    return method.name in reached and cls.methods.get(method.name) is not None and cls.methods[method.name].node is method


def _is_own(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _written(method: ast.FunctionDef) -> dict[str, list[ast.Attribute]]:
    """Attributes of self that a method assigns."""
    found: dict[str, list[ast.Attribute]] = {}
    for node in walk(method):
        if isinstance(node, ast.Attribute) and _is_own(node) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.attr, []).append(node)
    return found


def _keep_current(rewriter: Walk, method: ast.FunctionDef, attribute: str, writes: list[ast.Attribute]) -> None:
    """A graph that sets self.x to a tensor and reads self.x reads what it was when the graph was compiled: a local name
    carries the new value to the reads of the same method; reads elsewhere are named."""
    if all(_is_python(rewriter, w) for w in writes):
        return
    last = min((w.lineno, w.col_offset) for w in writes)
    reads = [n for n in walk(method) if _is_own(n) and isinstance(n, ast.Attribute) and n.attr == attribute and isinstance(n.ctx, ast.Load)]
    statement = rewriter.parents.get(id(writes[0]))
    cast = _cast_of(statement, attribute) if len(writes) == 1 else None
    after = [n for n in reads if (n.lineno, n.col_offset) > last and n is not cast]
    if after:
        local = _local_for(rewriter, method, statement, attribute) if len(writes) == 1 else None
        if local is None or not all(_is_after(n, statement) for n in after):
            _report_state(rewriter, after[0], attribute)
            return
        for node in after:
            rewriter.replaced[id(node)] = local
    elsewhere = _read_elsewhere(rewriter, method, attribute)
    if elsewhere is not None:
        _report_state(rewriter, elsewhere, attribute)


def _cast_of(statement: ast.AST | None, attribute: str) -> ast.AST | None:
    """The read of self.x in `self.x = self.x.to(y)`, which gives the same values however often it runs."""
    value = statement.value if isinstance(statement, ast.Assign) else None
    if not (isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in CASTS):
        return None
    read = value.func.value
    return read if _is_own(read) and isinstance(read, ast.Attribute) and read.attr == attribute else None


def _report_state(rewriter: Walk, node: ast.AST, attribute: str) -> None:
    rewriter.report(
        node, "MSP612", f"PYNATIVE only: self.{attribute} is set to a tensor in forward and read after: a compiled graph reads its old value",
        "hand the tensor on as an argument and a result, or run this network in PYNATIVE mode",
    )  # fmt: skip


def _is_python(rewriter: Walk, write: ast.Attribute) -> bool:
    known = K.without_none(rewriter.kinds(write))
    return bool(known) and all(k.name in _PYTHON for k in known)


def _is_after(node: ast.Attribute, statement: ast.AST | None) -> bool:
    end = (getattr(statement, "end_lineno", 0), getattr(statement, "end_col_offset", 0))
    return (node.lineno, node.col_offset) >= end


def _local_for(rewriter: Walk, method: ast.FunctionDef, statement: ast.AST | None, attribute: str) -> str | None:
    """The local name that holds what a statement assigns to an attribute; notes the statement's new form."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1 or statement not in method.body:
        return None
    stores = [n for n in walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    if isinstance(statement.value, ast.Name):
        name = statement.value.id
        return None if any(n.id == name and n.lineno > statement.lineno for n in stores) else name
    taken = {n.id for n in walk(method) if isinstance(n, ast.Name)} | rewriter.taken
    name = attribute.lstrip("_") or "value"
    while name in taken:
        name += "_"
    rewriter.current_states[id(statement)] = name
    return name


def _read_elsewhere(rewriter: Walk, method: ast.FunctionDef, attribute: str) -> ast.AST | None:
    """A read of the attribute in another method that runs in the forward pass."""
    cls = rewriter.program.classes[rewriter.classes[-1]]
    for other in cls.methods.values():
        if other.node is method or not isinstance(other.node, ast.FunctionDef) or not _runs_in_forward(rewriter, other.node):
            continue
        for node in walk(other.node):
            if _is_own(node) and isinstance(node, ast.Attribute) and node.attr == attribute and isinstance(node.ctx, ast.Load):
                return node
    return None


def state_edits(rewriter: Walk, node: ast.Assign) -> list[Edit] | None:
    """`self.x = f(y)` as `x = f(y)` and `self.x = x`, where the method reads self.x below."""
    local = rewriter.current_states.get(id(node))
    if local is None:
        return None
    attribute, first = _attribute_of(node), f"{local} = {rewriter.render(node.value)}"
    if _cast_of(node, attribute) is not None and not _read_by_others(rewriter, attribute):
        return _lines(rewriter, node, [first])  # the values stay, and a graph cannot compute with a tensor that it has set
    return _lines(rewriter, node, [first, f"self.{attribute} = {local}"])


def _read_by_others(rewriter: Walk, attribute: str) -> bool:
    """Whether another method of the class, or of one that derives from it, reads self.x."""
    name, current = rewriter.classes[-1], rewriter.functions[0]
    family = [*rewriter.program.ancestry(name), *rewriter.inference.descendants.get(name, ())]
    methods = [m.node for c in family if c in rewriter.program.classes for m in rewriter.program.classes[c].methods.values()]
    return any(
        _is_own(n) and isinstance(n, ast.Attribute) and n.attr == attribute and isinstance(n.ctx, ast.Load)
        for method in methods if method is not current for n in walk(method)
    )  # fmt: skip


def _attribute_of(node: ast.Assign) -> str:
    target = node.targets[0]
    assert isinstance(target, ast.Attribute)
    return target.attr
