"""Python that GRAPH mode cannot compile, in functions that a network's forward reaches, in a form with the same meaning that it can."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.grammar import in_network, loops_of, stands_alone
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

SIMPLE = (ast.Assign, ast.Return, ast.Expr, ast.AugAssign)


_FOUND = {"any": "True in", "all": "False not in"}
_NEGATED = {"any": "True not in", "all": "False in"}
_PLAIN = frozenset({"int", "float", "bool", "str", "None", "Size", "tuple", "list", "dtype", "device"})


def call_edits(rewriter: Walk, node: ast.Call) -> list[Edit] | None:
    """`zip(a, b, strict=True)` without its keyword, and `reversed(skips)` or `zip(reversed(range(n)), a)` over a list that is turned."""
    if _is_called(node, "reversed") and len(node.args) == 1 and in_network(rewriter):
        return _turned(rewriter, node)
    if isinstance(node.func, ast.Name) and node.func.id in _FOUND and len(node.args) == 1 and in_network(rewriter):
        text = _asked_of_each(rewriter, node, _FOUND[node.func.id])
        return None if text is None else rewriter.replace(node, rewriter._wrapped(node, text))
    if not isinstance(node.func, ast.Name) or node.func.id not in ("zip", "enumerate") or not in_network(rewriter):
        return None
    strict = [k for k in node.keywords if k.arg == "strict"] if node.func.id == "zip" else []
    turned = [a for a in node.args if _is_reversed_range(a)]
    listed = [a for a in node.args if _is_parameter_list(rewriter, a)] if node.func.id == "zip" else []
    if not strict and not turned and not listed:
        return None
    edits = [e for a in [*node.args, *node.keywords] if a not in turned and a not in strict and a not in listed for e in rewriter.visit(a)]
    for argument in listed:  # beside a list of cells, a graph does not see what an object of the program's own holds
        edits += rewriter.replace(argument, f"list({rewriter.render(argument)})")
    for argument in turned:
        inner = argument.args[0]  # type: ignore[attr-defined]
        edits += rewriter.replace(argument, f"list({rewriter.render(inner)})[::-1]")
    for keyword in strict:
        if node.args:
            start, end = rewriter.span(node.args[-1])[1], rewriter.span(keyword)[1]
            edits.append(Edit(start, end, "")) if keyword is node.keywords[0] else edits
    return edits


def _turned(rewriter: Walk, node: ast.Call) -> list[Edit] | None:
    """`reversed(skips)` as `skips[::-1]`: a graph differentiates no iterator that Python makes, and runs no cells of it."""
    given = node.args[0]
    held = rewriter.kinds(given)
    parent = rewriter.parents.get(id(node))
    whole = isinstance(parent, ast.For | ast.comprehension | ast.Starred | ast.Call) and not (isinstance(parent, ast.Call) and _is_called(parent, "next"))
    if not whole or (isinstance(given, ast.Call) and _is_called(given, "range")) or K.proven(held, K.TENSORS | {"dict"}):
        return None
    text = rewriter.render(given)
    if not K.proven(held, frozenset({"list", "tuple", "Size"})):
        text = f"list({text})"
    elif not isinstance(given, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.List | ast.Tuple | ast.ListComp):
        text = f"({text})"
    return rewriter.replace(node, f"{text}[::-1]")


def display_edits(rewriter: Walk, node: ast.Dict) -> list[Edit] | None:
    """`{**features, 'out': x}` as `merged(features, {'out': x})`: a graph reads the wrong entries of such a display."""
    if None not in node.keys or not in_network(rewriter):
        return None
    parts: list[str] = []
    pairs: list[str] = []
    for key, value in zip(node.keys, node.values, strict=True):
        if key is not None:
            pairs.append(f"{rewriter.render(key)}: {rewriter.render(value)}")
            continue
        if pairs:
            parts.append("{" + ", ".join(pairs) + "}")
        parts.append(rewriter.render(value))
        pairs = []
    if pairs:
        parts.append("{" + ", ".join(pairs) + "}")
    return rewriter.replace(node, f"{rewriter.spell('emitted.merged')}({', '.join(parts)})")


def _asked_of_each(rewriter: Walk, node: ast.Call, found: str) -> str | None:
    """`any(t.shape != size for t in states)` as `True in [...]`: a graph hands any and all to Python, without the names around them."""
    asked = node.args[0]
    if not isinstance(asked, ast.GeneratorExp | ast.ListComp) or len(asked.generators) != 1 or node.keywords or not _is_truth(rewriter, asked.elt):
        return None
    clause = asked.generators[0]
    tests = "".join(f" if {rewriter.render(t)}" for t in clause.ifs)
    return f"{found} [{rewriter.render(asked.elt)} for {rewriter.module.source(clause.target)} in {rewriter.render(clause.iter)}{tests}]"


def negated_edits(rewriter: Walk, node: ast.UnaryOp) -> list[Edit] | None:
    """`not all(...)` as `False in [...]`."""
    call = node.operand
    if not isinstance(node.op, ast.Not) or not isinstance(call, ast.Call) or len(call.args) != 1 or not isinstance(call.func, ast.Name):
        return None
    found = _NEGATED.get(call.func.id)
    text = _asked_of_each(rewriter, call, found) if found and in_network(rewriter) else None
    return None if text is None else rewriter.replace(node, rewriter._wrapped(node, text))


def _is_truth(rewriter: Walk, node: ast.expr) -> bool:
    """Whether an expression gives True or False, and never a tensor of them."""
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        by_identity = all(isinstance(o, ast.Is | ast.IsNot) for o in node.ops)
        return by_identity or all(K.proven(k, _PLAIN) or k == K.NONE for k in map(rewriter.kinds, operands))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _is_truth(rewriter, node.operand)
    if isinstance(node, ast.BoolOp):
        return all(_is_truth(rewriter, v) for v in node.values)
    return isinstance(node, ast.Call) and _is_called(node, "isinstance")


def without_cast(rewriter: Walk, node: ast.Assign) -> list[Edit] | None:
    """`block = cast(ModuleDict, block)`, which says nothing to a run and hides the value from a graph, goes with its line."""
    call, target = node.value, node.targets[0]
    if not isinstance(call, ast.Call) or not isinstance(target, ast.Name) or len(node.targets) != 1 or not is_cast(rewriter, call):
        return None
    same = isinstance(call.args[1], ast.Name) and call.args[1].id == target.id
    return rewriter._statement(node, "") if same and in_network(rewriter) else None


def is_cast(rewriter: Walk, node: ast.Call) -> bool:
    """Whether this is `typing.cast(kind, value)` with both written out: of `cast(kind, *values)` no value stands alone."""
    written = len(node.args) == 2 and not node.keywords and not any(isinstance(a, ast.Starred) for a in node.args)
    return written and rewriter.resolve(node.func) == "typing.cast"


def _is_reversed_range(node: ast.expr) -> bool:
    inner = node.args[0] if isinstance(node, ast.Call) and _is_called(node, "reversed") and len(node.args) == 1 else None
    return isinstance(inner, ast.Call) and _is_called(inner, "range")


def _is_parameter_list(rewriter: Walk, node: ast.expr) -> bool:
    held = rewriter.kinds(node)
    return K.proven(held, frozenset({"object"})) and all("torch.nn.ParameterList" in rewriter._family(k.of) for k in held)


def _is_called(node: ast.Call, name: str) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == name


def nested_edits(rewriter: Walk, node: ast.ListComp) -> list[Edit] | None:
    """`[f(a, b) for a in x for b in y]` as loops before the statement: a graph has comprehensions of one clause."""
    if id(node) in rewriter.replaced:
        return rewriter.replace(node, rewriter.replaced[id(node)])
    if len(node.generators) < 2 or any(g.is_async for g in node.generators) or not in_network(rewriter):
        return None
    statement: ast.AST = node
    child: ast.AST = node
    while not isinstance(statement, ast.stmt):
        child, statement = statement, rewriter.parents[id(statement)]
        if isinstance(statement, ast.Lambda | ast.IfExp | ast.BoolOp | ast.comprehension | ast.ListComp | ast.GeneratorExp | ast.DictComp):
            return None
    if not isinstance(statement, SIMPLE) or not stands_alone(rewriter, statement) or child is getattr(statement, "target", None):
        return None
    bound = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
    inside = {id(n) for n in ast.walk(node)}
    if bound & {n.id for n in ast.walk(rewriter.functions[-1]) if isinstance(n, ast.Name) and id(n) not in inside and not _in_comprehension(rewriter, n)}:
        return None  # in a loop the names would be the function's own
    name = rewriter._unused("listed")
    pad = rewriter.indent(statement)
    lines = "".join(f"{line}\n{pad}" for line in loops_of(rewriter, node, name, pad))
    rewriter.lines_before[id(statement)] = rewriter.lines_before.get(id(statement), "") + lines
    rewriter.replaced[id(node)] = name
    return rewriter.replace(node, name)


def _in_comprehension(rewriter: Walk, node: ast.AST) -> bool:
    parent = rewriter.parents.get(id(node))
    while parent is not None and not isinstance(parent, ast.stmt):
        if isinstance(parent, ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp):
            return True
        parent = rewriter.parents.get(id(parent))
    return False


def raised_edits(rewriter: Walk, node: ast.Raise) -> list[Edit] | None:
    """`raise ShapeError("...")` of a class of the program as the exception of Python that it derives from, where nothing catches it."""
    call = node.exc
    if not isinstance(call, ast.Call) or not call.args or node.cause is not None or not in_network(rewriter):
        return None
    name = rewriter.resolve(call.func) or ""
    if name not in rewriter.program.classes or _is_caught(rewriter, name):
        return None
    base = _python_base(rewriter, name)
    if base is None:
        return None
    return rewriter.replace(call, f"{base}({rewriter.render(call.args[0])})")


def _python_base(rewriter: Walk, name: str) -> str | None:
    for ancestor in rewriter.program.ancestry(name):
        last = ancestor.rpartition(".")[2]
        found = getattr(builtins, last, None)
        if ancestor not in rewriter.program.classes and isinstance(found, type) and issubclass(found, Exception):
            return last
    bases = [b for c in rewriter.program.ancestry(name) if c in rewriter.program.classes for b in rewriter.program.classes[c].node.bases]
    plain = [b.id for b in bases if isinstance(b, ast.Name) and isinstance(getattr(builtins, b.id, None), type)]
    return next((b for b in plain if b != "Exception"), "Exception" if plain else None)


def _is_caught(rewriter: Walk, name: str) -> bool:
    """Whether the program catches a class of its own, or one that it derives from, by name."""
    wanted = {a.rpartition(".")[2] for a in rewriter.program.ancestry(name) if a in rewriter.program.classes}
    for module in rewriter.program.modules.values():
        for node in ast.walk(module.tree) if any(w.encode() in module.data for w in wanted) else ():
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                if wanted & {n.id if isinstance(n, ast.Name) else n.attr for n in ast.walk(node.type) if isinstance(n, ast.Name | ast.Attribute)}:
                    return True
    return False
