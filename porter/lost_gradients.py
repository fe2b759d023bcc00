"""Python that a compiled graph hands to the interpreter: the values that come back are right, and no gradient passes through them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.cut_lists import LIST
from porter.grammar import HELP, in_network
from porter.kinds import Kinds
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.walk import Walk

# what gives a value back that holds its arguments, or one of them; measured on MindSpore 2.10
_CALLS = frozenset({
    "sorted", "reversed", "iter", "copy.copy", "copy.deepcopy", "functools.reduce", "collections.OrderedDict", "collections.deque", "types.SimpleNamespace",
    "itertools.chain", "itertools.accumulate", "itertools.product", "itertools.zip_longest", "operator.itemgetter", "dict.fromkeys",
})  # fmt: skip
_METHODS = {"list": frozenset({"pop", "insert", "reverse"}), "dict": frozenset({"pop", "popitem"})}


def dict_edits(rewriter: Walk, node: ast.Call) -> list[Edit] | None:
    """`dict(x=y)`, `OrderedDict(pairs)` in a network's own code as a display or a comprehension, which a graph differentiates."""
    if _is_copy(rewriter, node) and in_network(rewriter):
        return _copied(rewriter, node.func.value)  # type: ignore[attr-defined]
    if not (node.args or node.keywords) or not in_network(rewriter) or not _is_dict(rewriter, node.func):
        return None
    if not node.args and all(k.arg for k in node.keywords):
        return rewriter.replace(node, _display(rewriter, node.keywords))
    if len(node.args) == 1 and all(k.arg for k in node.keywords) and node.keywords and K.proven(rewriter.kinds(node.args[0]), frozenset({"dict"})):
        return rewriter.replace(node, f"{rewriter.spell('emitted.merged')}({rewriter.render(node.args[0])}, {_display(rewriter, node.keywords)})")
    if len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
        return None
    text = _of_pairs(rewriter, node.args[0])
    return None if text is None else rewriter.replace(node, f"{{{text}}}")


def _display(rewriter: Walk, keywords: list[ast.keyword]) -> str:
    """Keywords as a dictionary is written."""
    quote = rewriter.quote
    return "{" + ", ".join(f"{quote}{k.arg}{quote}: {rewriter.render(k.value)}" for k in keywords) + "}"


def _is_copy(rewriter: Walk, node: ast.Call) -> bool:
    """`held.copy()` of a local list or dictionary."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr != "copy" or node.args or node.keywords or not isinstance(node.func.value, ast.Name):
        return False
    return K.proven(rewriter.kinds(node.func.value), frozenset({"list", "dict"}))


def _copied(rewriter: Walk, held: ast.Name) -> list[Edit] | None:
    """A copy in a form that a graph differentiates."""
    known, call = rewriter.kinds(held), rewriter.parents[id(rewriter.parents[id(held)])]
    if K.proven(known, LIST):
        return rewriter.replace(call, f"{rewriter.render(held)}[:]")
    text = _of_pairs(rewriter, held)
    return None if text is None else rewriter.replace(call, f"{{{text}}}")


def _is_dict(rewriter: Walk, func: ast.expr) -> bool:
    if isinstance(func, ast.Name) and func.id == "dict":
        return not rewriter._is_local("dict")
    return rewriter.resolve(func) == "collections.OrderedDict" and not rewriter.program.tells_ordered_apart


def _of_pairs(rewriter: Walk, given: ast.expr) -> str | None:
    """What stands between the braces for a dictionary of pairs, or a copy of one."""
    if isinstance(given, ast.List | ast.Tuple) and given.elts and all(isinstance(e, ast.Tuple) and len(e.elts) == 2 for e in given.elts):
        return ", ".join(f"{rewriter.render(e.elts[0])}: {rewriter.render(e.elts[1])}" for e in given.elts)  # type: ignore[attr-defined]
    if isinstance(given, ast.ListComp | ast.GeneratorExp) and isinstance(given.elt, ast.Tuple) and len(given.elt.elts) == 2:
        start, end = rewriter.span(given.elt)[1], rewriter.span(given)[1] - 1
        clauses = rewriter.splice(start, end, [e for g in given.generators for e in rewriter.visit(g)])
        return f"{rewriter.render(given.elt.elts[0])}: {rewriter.render(given.elt.elts[1])}{clauses}"
    known = rewriter.kinds(given)
    copied = K.proven(known, frozenset({"dict"}))
    zipped = isinstance(given, ast.Call) and isinstance(given.func, ast.Name) and given.func.id == "zip"
    if not copied and not zipped and not K.proven(known, LIST):
        return None
    taken = {n.id for n in ast.walk(rewriter.functions[-1]) if isinstance(n, ast.Name)}
    key, value = (name if name not in taken else rewriter._unused(name) for name in ("key", "value"))
    return f"{key}: {value} for {key}, {value} in {rewriter.render(given)}{'.items()' if copied else ''}"


def check_call(rewriter: Walk, node: ast.Call) -> None:
    """Names a call of a network's own code through which a compiled graph passes no gradient, where a tensor goes in."""
    what = _handed_over(rewriter, node) if in_network(rewriter) else None
    if what is not None:
        rewriter.report(node, "MSP616", f"PYNATIVE only: no gradient passes through {what} in a compiled graph", HELP)


def _handed_over(rewriter: Walk, node: ast.Call) -> str | None:
    func = node.func
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name):
        held = rewriter.kinds(func.value)
        for sort, methods in _METHODS.items():
            if func.attr in methods and K.proven(held, frozenset({sort})):
                return f"{ast.unparse(func)}()" if any(_holds_tensor(k.items) for k in held) else None
    if not any(_carries(rewriter.kinds(g)) for g in (*node.args, *(k.value for k in node.keywords))):
        return None
    name = rewriter.resolve(func) or (func.id if isinstance(func, ast.Name) and not rewriter._is_local(func.id) else "")
    if name in _CALLS:
        return f"{ast.unparse(func)}()"
    made = name if _is_instance(rewriter, name) else next((k.of for k in rewriter.kinds(node) if k.name == "tuple" and k.fields), "")
    return f"an instance of {made.rpartition('.')[2]}" if made and _makes_instance(rewriter, node) else None


def _makes_instance(rewriter: Walk, node: ast.Call) -> bool:
    """Whether a call names the class itself: what a torch function returns as a named tuple is MindSpore's own tuple."""
    name = rewriter.resolve(node.func) or ""
    return (not isinstance(node.func, ast.Attribute) and not rewriter.program.is_torch(name)) or _is_instance(rewriter, name)


def _is_instance(rewriter: Walk, name: str) -> bool:
    """Whether a call of a name makes an object that is neither a Cell nor raised."""
    if name in rewriter.program.classes:
        ancestry = rewriter.program.ancestry(name)
        return not rewriter.program.mixes_into_module(name) and not any(a.endswith(("Error", "Exception", "Warning", "Function", "Enum")) for a in ancestry)
    return any(row.returns.startswith("object[torch.distributions") for row in rewriter.table.get(name))


def _carries(kinds: Kinds) -> bool:
    """Whether a value is known to be, or to hold, a tensor among its possibilities."""
    return any(k.name in K.TENSORS or _holds_tensor(k.items) for k in kinds)


def _holds_tensor(items: tuple[Kinds, ...]) -> bool:
    return any(_carries(kinds) for kinds in items)
