"""Which calls may go through a network, and so carry a gradient to its parameters."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from porter import kinds as K
from porter import no_grad
from porter.kinds import ANY, Kind, Kinds
from porter.nodes import walk
from porter.places import target_like

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter


def carrying_call(rewriter: Rewriter, call: ast.Call, seen: set[str]) -> bool:
    """Whether a call may go through a network: a Cell, or a function of the program that calls one."""
    func = call.func
    if isinstance(func, ast.Name) and hasattr(builtins, func.id) and func.id not in rewriter.taken:
        return False
    known = K.without_none(rewriter.kinds(func))
    if known and not known & ANY:
        return any(_carrying_kind(rewriter, k, seen) and not (k.name == "lambda" and _plain_lambda(rewriter, func, seen)) for k in known)
    if isinstance(func, ast.Attribute):
        owner = K.without_none(rewriter.kinds(func.value))
        if owner and not owner & ANY:
            networks = any(k.name == "object" and rewriter._is_cell(k.of) for k in owner)
            return networks and not rewriter.table.get(f"torch.nn.Module.{func.attr}") and _method_carries(rewriter, func.attr, seen)
        return isinstance(func.value, ast.Name) and func.value.id == "self" and bool(call.args)
    return isinstance(func, ast.Name) and bool(call.args)


def _carrying_kind(rewriter: Rewriter, kind: Kind, seen: set[str]) -> bool:
    if kind.name == "object":
        return rewriter._is_cell(kind.of)
    if kind.name in ("function", "bound") and kind.of in rewriter.program.functions and kind.of not in seen:
        seen.add(kind.of)
        function = rewriter.program.functions[kind.of]
        if no_grad.is_decorated(rewriter.program, function.module, function.node):
            return False
        body = function.node
        return any(carrying_call(rewriter, n, seen) for n in walk(body) if isinstance(n, ast.Call))
    if kind.name == "module_method":
        return kind.of == "forward"
    return kind.name in ("lambda", "partial")


def _method_carries(rewriter: Rewriter, name: str, seen: set[str]) -> bool:
    """Whether a method of a network whose class is not known may run it: what the program's own methods of that name do."""
    methods = [m for cls in rewriter.program.classes.values() if (m := cls.methods.get(name)) is not None]
    return not methods or any(_carrying_kind(rewriter, Kind("function", m.name), seen) for m in methods)


def _plain_lambda(rewriter: Rewriter, func: ast.expr, seen: set[str]) -> bool:
    """Whether a name stands for lambdas of this file only, none of which calls a network."""
    if not isinstance(func, ast.Name):
        return False
    made = [n.value for n in walk(rewriter.module.tree) if isinstance(n, ast.Assign) and [ast.unparse(t) for t in n.targets] == [func.id]]
    lambdas = [v for v in made if isinstance(v, ast.Lambda)]
    return bool(lambdas) and not any(carrying_call(rewriter, n, seen) for v in lambdas for n in walk(v.body) if isinstance(n, ast.Call))


def networks_in(rewriter: Rewriter, statements: list[ast.stmt]) -> set[str]:
    """Names of the networks that statements call."""
    found = set()
    for statement in statements:
        for node in walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                known = K.without_none(rewriter.kinds(node.func)) - ANY
                if known and all(k.name == "object" and rewriter._is_cell(k.of) for k in known) and has_parameters(rewriter, known):
                    found.add(ast.unparse(node.func))
    return found


def has_parameters(rewriter: Rewriter, networks: Kinds) -> bool:
    """Whether modules may hold parameters: losses and activations of torch.nn do not."""
    for kind in networks:
        rows = rewriter.table.get(kind.of)
        page = Path(rows[0].location.path).stem if rows and kind.of.startswith("torch.nn.") else ""
        if page not in _WITHOUT_PARAMETERS or rows[0].weights:
            return True
    return False


_WITHOUT_PARAMETERS = frozenset({"loss", "distance", "dropout", "padding", "pooling", "shape"})


def reached(rewriter: Rewriter, statements: list[ast.stmt]) -> tuple[set[str], set[str]]:
    """Texts of the networks whose parameters statements may reach, and of what may be a network, or hold one."""
    known: set[str] = set()
    unsure: set[str] = set()
    bound = {n.id for s in statements for n in walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    _reach(rewriter, statements, known, unsure, set())
    return ({t for t in known if t.partition(".")[0] not in bound}, {t for t in unsure if t.partition(".")[0] not in bound} - known)


def apart_from(rewriter: Rewriter, scope: ast.AST, statement: ast.stmt, held: set[str]) -> bool:
    """Whether a statement runs through networks only that share nothing with those that an optimizer holds: each is made on its
    own, from values that hold no network. Their gradients, if they have any, are not those of the step."""
    known, unsure = reached(rewriter, [statement])
    networks = {text.partition(".")[0] for text in known}
    owners = {text.partition(".")[0] for text in held}
    return bool(known) and not unsure and not networks & owners and all(_is_made_alone(rewriter, scope, n) for n in networks | owners)


def _is_made_alone(rewriter: Rewriter, scope: ast.AST, name: str) -> bool:
    """Whether a name is bound once, in this scope, to an object made there from values that surely hold no network."""
    binds = [n for n in walk(scope) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)]
    made = [n.value for n in walk(scope) if isinstance(n, ast.Assign) and [ast.unparse(t) for t in n.targets] == [name]]
    changed = any(isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and ast.unparse(n).startswith(f"{name}.") for n in walk(scope))
    if changed or len(binds) != 1 or len(made) != 1 or not isinstance(made[0], ast.Call):
        return False
    call = made[0]
    while isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
        call = call.func.value  # Net().to(device)
    if not any(k.name in ("class", "function") for k in K.without_none(rewriter.kinds(call.func))):
        return False
    given = [n for n in walk(made[0]) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n not in walk(call.func)]
    return all(K.proven(rewriter.kinds(n), _BARE) for n in given)


_BARE = frozenset({"int", "float", "bool", "str", "ndarray", "dtype", "device", "Size", "Tensor"})


def _reach(rewriter: Rewriter, nodes: Iterable[ast.AST], known: set[str], unsure: set[str], seen: set[str]) -> None:
    for call in [n for root in nodes for n in walk(root) if isinstance(n, ast.Call)]:
        if not carrying_call(rewriter, call, set()):
            continue
        for kind in K.without_none(rewriter.kinds(call.func)) or ANY:
            if kind.name == "object":
                if has_parameters(rewriter, frozenset({kind})) and target_like(call.func):
                    known.add(ast.unparse(call.func))
            elif kind.name in ("function", "bound") and kind.of in rewriter.program.functions:
                _reach_through(rewriter, call, kind, known, unsure, seen)
            else:
                owner = [call.func.value] if isinstance(call.func, ast.Attribute) else []
                holders = owner if owner and call.func.attr == "forward" else [call.func, *owner]  # type: ignore[attr-defined]
                unsure |= {ast.unparse(h) for h in holders if target_like(h) and ast.unparse(h) != "self"}


def _reach_through(rewriter: Rewriter, call: ast.Call, kind: Kind, known: set[str], unsure: set[str], seen: set[str]) -> None:
    """What a function of the program reaches: the object whose method it is, its arguments, and for a method of self what it calls."""
    receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
    for given in [*([receiver] if receiver is not None else []), *call.args, *(k.value for k in call.keywords)]:
        kinds = K.without_none(rewriter.kinds(given))
        if not target_like(given):
            continue
        if kinds and not kinds & ANY and all(k.name == "object" and rewriter._is_cell(k.of) for k in kinds):
            known.add(ast.unparse(given))
        elif K.is_unknown(kinds) and given is not receiver:
            unsure.add(ast.unparse(given))
    if isinstance(receiver, ast.Name) and receiver.id == "self" and kind.of not in seen:
        seen.add(kind.of)
        inner: tuple[set[str], set[str]] = (set(), set())
        _reach(rewriter, [rewriter.program.functions[kind.of].node], *inner, seen)
        known |= {t for t in inner[0] if t.startswith("self.")}
        unsure |= {t for t in inner[1] if t.startswith("self.")}
