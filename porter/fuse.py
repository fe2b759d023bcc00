"""Finds layers that are applied one after the other and that one MindSpore layer replaces, as mappings/fusion/ states."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import libcst as cst

from porter.diagnostics import Diagnostic, InputError, Location
from porter.expression import NotInline, Site, Written, inline, mindspore_signatures
from porter.guards import UNKNOWN, Argument, choose_alternative, evaluate_node, truth
from porter.infer import Inference
from porter.kinds import ANY, Kinds
from porter.layout import LONGEST, fitted
from porter.program import Module, Program
from porter.rewrite.edits import Edit
from porter.rewrite.inplace import read_after
from porter.rewrite.rewriter import Rewriter
from porter.table import Alternative, Row, mappings_directory

KEYS = frozenset({"fusion", "match", "where", "mindspore", "weights", "differs", "cite"})
CONDITIONAL = (
    ast.IfExp,
    ast.BoolOp,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.Compare,
)
STRUCTURE = frozenset({"children", "named_children", "_modules", "__dict__", "get_submodule"})
SEQUENTIAL = "torch.nn.Sequential"


# --- rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fusion:
    """A row of mappings/fusion/: the layers by role, in the order in which they are applied, and what replaces them."""

    name: str
    location: Location
    match: Mapping[str, str]
    where: tuple[str, ...]
    to: str
    weights: Mapping[str, str | None]

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.match)

    def has_state(self, role: str) -> bool:
        """Whether a layer has parameters, so that nobody else may use it."""
        return any(name.startswith(f"{role}.") for name in self.weights)

    def place(self, role: str) -> str | None:
        """Where the layer's parameters are inside the fused one."""
        found = {
            now.rpartition(".")[0]
            for name, now in self.weights.items()
            if now and name.startswith(f"{role}.")
        }
        return found.pop() if len(found) == 1 else None


@lru_cache(maxsize=1)
def load_fusions() -> tuple[Fusion, ...]:
    """All fusion rows, in the order of their files. Raises InputError for a row that breaks a law."""
    found: list[Fusion] = []
    for path in sorted((mappings_directory() / "fusion").glob("*.yaml")):
        found += read_fusions(path)
    return tuple(found)


def read_fusions(path: Path) -> list[Fusion]:
    """The fusion rows of one file."""
    import yaml

    from porter.table import _strict_loader

    shown = f"mappings/fusion/{path.name}"
    text = path.read_text("utf-8")
    node: Any = yaml.compose(text, Loader=_strict_loader())
    found = []
    for item, raw in zip(node.value, yaml.load(text, Loader=_strict_loader()), strict=True):
        place = Location(shown, item.start_mark.line + 1, 1)
        problem = _broken_law(raw)
        if problem:
            raise InputError(
                str(Diagnostic(place, "MSP010", problem, f"keys are: {', '.join(sorted(KEYS))}"))
            )
        found.append(
            Fusion(
                raw["fusion"],
                place,
                raw["match"],
                tuple(raw.get("where", ())),
                raw["mindspore"],
                raw.get("weights") or {},
            )
        )
    return found


def _broken_law(raw: Any) -> str:
    if not isinstance(raw, dict) or not {"fusion", "match", "mindspore"} <= set(raw):
        return "a fusion row needs fusion, match and mindspore"
    unknown = sorted(set(raw) - KEYS)
    if unknown:
        return f"unknown key {unknown[0]!r}"
    for text in [*raw.get("where", ()), raw["mindspore"]]:
        try:
            tree = ast.parse(text, mode="eval")
        except SyntaxError as error:
            return f"{text!r} does not parse ({error.msg})"
        roles = {
            n.value.id
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)
        }
        if roles - set(raw["match"]) - {"mindspore"}:
            return (
                f"{text!r} reads {sorted(roles - set(raw['match']) - {'mindspore'})[0]!r}, which is no role"
            )
    return ""


# --- what a plan says ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Constructor calls, by role, that one call replaces; `end` is the last argument that goes with them."""

    fusion: Fusion
    calls: Mapping[str, ast.Call]
    end: ast.expr | None = None


@dataclass
class FusionPlan:
    """What the rewriter does differently at the nodes of fused layers."""

    built: dict[int, Group] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    unwrapped: dict[int, ast.expr] = field(default_factory=dict)
    renamed: dict[int, str] = field(default_factory=dict)
    renames: dict[str, dict[str, str]] = field(default_factory=dict)

    def edits(self, rewriter: Rewriter, node: ast.AST) -> list[Edit] | None:
        """The edits of a node that fusion changes, or None for any other."""
        key = id(node)
        if key in self.built:
            return self._build(rewriter, node, self.built[key])
        if key in self.removed and isinstance(node, ast.stmt):
            return rewriter._statement(node, "")
        if key in self.unwrapped:
            return rewriter.replace(node, rewriter.render(self.unwrapped[key]))
        if key in self.renamed:
            return rewriter.replace(node, self.renamed[key])
        return None

    def _build(self, rewriter: Rewriter, node: ast.AST, group: Group) -> list[Edit] | None:
        text = fused_text(rewriter, group)
        if text is None:  # the plan tried it before
            raise AssertionError(f"{group.fusion.name} cannot be written")
        start, end = rewriter.span(node)
        data = rewriter.module.data
        line = data.rfind(b"\n", 0, start) + 1
        text = fitted(data[line:start].decode(), text, longest=LONGEST)
        if group.end is None:
            return [Edit(start, end, text)]
        last = rewriter.span(group.end)[1]
        return [Edit(start, last, _comments(data[end:last], data[line:start]) + text)]

    def recorded(self) -> tuple[Mapping[str, object], ...]:
        """What the weight converter must know."""
        return tuple({"class": name, "renames": renames} for name, renames in sorted(self.renames.items()))


def _comments(between: bytes, indent: bytes) -> str:
    """Comments between the arguments that are joined, for the lines above, if the first one begins its line."""
    if indent.strip() or b"#" not in between:
        return ""
    lines = [line.partition(b"#")[2].decode() for line in between.splitlines() if b"#" in line]
    return "".join(f"#{line}\n{indent.decode()}" for line in lines)


# --- the text of a fused call ----------------------------------------------------------------------------------------


def fused_text(rewriter: Rewriter, group: Group) -> str | None:
    """The call that replaces a group, or None where a layer of it has no plain form of its own here."""
    fusion = group.fusion
    first = fusion.roles[0]
    arguments: dict[str, Argument] = {}
    written: dict[str, tuple[Written, ...]] = {}
    base: tuple[Row, Alternative] | None = None
    call: cst.Call | None = None
    for role in fusion.roles:
        node = group.calls[role]
        found = _plain(rewriter, fusion.match[role], node)
        if found is None:
            return None
        row, alternative, bound, marks = found
        prefix = "" if role == first else f"{role}__"
        shift = len(call.args) if call is not None else 0
        arguments |= {prefix + name: argument for name, argument in bound.items()}
        written |= {
            prefix + n: tuple(replace(w, index=w.index + shift) for w in ws) for n, ws in marks.items()
        }
        parsed = _parsed(rewriter, node)
        if parsed is None:
            return None
        call = parsed if call is None else _appended(call, parsed)
        base = base or (row, alternative)
    if base is None or not all(_holds(_qualified(c, first), arguments) for c in fusion.where):
        return None
    to = _completed(fusion, base[1], arguments)
    try:
        return inline(Site(base[0], arguments, written, None, call, rewriter.spell), replace(base[1], to=to))
    except (NotInline, cst.ParserSyntaxError):
        return None


Plain = tuple[Row, Alternative, dict[str, Argument], dict[str, tuple[Written, ...]]]


def _plain(rewriter: Rewriter, name: str, node: ast.Call) -> Plain | None:
    """The row, alternative and arguments of a layer that is a class of mindspore.nn here, proven to be."""
    rows = rewriter.table.get(name)
    found = rewriter._arguments(rows[0], node, None) if len(rows) == 1 else None
    if found is None or any(truth(guard.that, found[0]) is not True for guard in rows[0].require):
        return None
    alternative, known = choose_alternative(rows[0], found[0], rewriter.target)
    if alternative is None or not known or not alternative.to.startswith("mindspore.nn."):
        return None
    return rows[0], alternative, *found


def _parsed(rewriter: Rewriter, node: ast.Call) -> cst.Call | None:
    """A call with its arguments ported, as a tree that keeps their layout."""
    edits = [e for a in [*node.args, *(k.value for k in node.keywords)] for e in rewriter.visit(a)]
    text = rewriter.splice(*rewriter.span(node), [*edits, Edit(*rewriter.span(node.func), "f")])
    parsed = cst.parse_expression(text)
    return parsed if isinstance(parsed, cst.Call) else None


def _appended(call: cst.Call, other: cst.Call) -> cst.Call:
    """A call with the arguments of another behind its own; what stood behind its last argument stays last."""
    if not call.args or not other.args:
        return call.with_changes(args=[*call.args, *other.args])
    between = (
        call.args[0].comma if len(call.args) > 1 else cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    )
    own = [*call.args[:-1], call.args[-1].with_changes(comma=between)]
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    # the names are set anew when the call is written
    named = [
        a if a.keyword or a.star else a.with_changes(keyword=cst.Name("_"), equal=equal) for a in other.args
    ]
    named[-1] = named[-1].with_changes(comma=call.args[-1].comma)
    return call.with_changes(args=own + named)


class _Qualify(ast.NodeTransformer):
    """`conv.stride` becomes `stride` for the first role, `bn.eps` becomes `bn__eps` for the others."""

    def __init__(self, first: str) -> None:
        self.first = first

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id != "mindspore":
            return ast.Name(
                node.attr if node.value.id == self.first else f"{node.value.id}__{node.attr}", ast.Load()
            )
        return node


def _qualified(text: str, first: str) -> ast.expr:
    tree = _Qualify(first).visit(ast.parse(text, mode="eval").body)
    assert isinstance(tree, ast.expr)
    return ast.fix_missing_locations(tree)


def _completed(fusion: Fusion, alternative: Alternative, arguments: Mapping[str, Argument]) -> str:
    """The right side of the row with the first layer's own arguments in place of `...`, defaults left out."""
    tree = _qualified(fusion.to, fusion.roles[0])
    own = ast.parse(alternative.to, mode="eval").body
    assert isinstance(tree, ast.Call) and isinstance(own, ast.Call)
    signature = mindspore_signatures().get(ast.unparse(tree.func))
    added = []
    for keyword in tree.keywords:
        value = evaluate_node(keyword.value, arguments)
        known = signature.by_name.get(keyword.arg or "") if signature is not None else None
        if known is None or value is UNKNOWN or repr(value) != known.default:
            added.append(keyword)
    tree.args = [
        *own.args,
        *(a for a in tree.args if not (isinstance(a, ast.Constant) and a.value is Ellipsis)),
    ]
    tree.keywords = [*own.keywords, *added]
    return ast.unparse(tree)


def _holds(condition: ast.expr, arguments: Mapping[str, Argument]) -> bool:
    """Whether a condition is proven; equal arguments may also be the same words."""
    if isinstance(condition, ast.Call) and ast.unparse(condition.func) == "sole_reader":
        return True  # the search looks for that
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And):
        return all(_holds(value, arguments) for value in condition.values)
    value = evaluate_node(condition, arguments)
    if value is not UNKNOWN and not isinstance(value, Argument):
        return bool(value)
    if isinstance(condition, ast.Compare) and isinstance(condition.ops[0], ast.Eq):
        sides = [arguments.get(ast.unparse(side)) for side in (condition.left, condition.comparators[0])]
        left, right = (s.node if s is not None else None for s in sides)
        return (
            left is not None and right is not None and _is_still(left) and ast.dump(left) == ast.dump(right)
        )
    return False


def _is_still(node: ast.expr) -> bool:
    """Whether an expression gives the same value each time it is read."""
    return not any(isinstance(n, ast.Call | ast.NamedExpr | ast.Await | ast.Yield) for n in ast.walk(node))


# --- where a program names, reads and takes apart its layers -----------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """An attribute somewhere in the program."""

    module: Module
    node: ast.Attribute
    receiver: Kinds


class Uses:
    """All attributes of a program by name, strings that may name them, and what reads layers in other ways."""

    def __init__(self, program: Program, inference: Inference) -> None:
        self.program = program
        self.inference = inference
        self.attributes: dict[str, list[Use]] = {}
        self.parts: set[str] = set()
        self.parents_named: set[str] = set()
        self.substrings: set[str] = set()
        self.dynamic: list[Kinds] = []
        self.hooked = False
        self.parents: dict[int, ast.AST] = {}
        for module in program.modules.values():
            for node in ast.walk(module.tree):
                for child in ast.iter_child_nodes(node):
                    self.parents[id(child)] = node
            for node in ast.walk(module.tree):
                self._note(module, node)

    def _note(self, module: Module, node: ast.AST) -> None:
        if isinstance(node, ast.Attribute):
            receiver = self.inference.kinds_of(node.value)
            self.attributes.setdefault(node.attr, []).append(Use(module, node, receiver))
            if node.attr in STRUCTURE:
                self.dynamic.append(receiver)
            self.hooked = self.hooked or (_is_hook(node.attr) and self._may_be_layer(receiver))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._note_text(module, node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            by_name = node.func.id in ("getattr", "setattr", "delattr") and not isinstance(
                node.args[1], ast.Constant
            )
            if by_name or node.func.id == "vars":
                self.dynamic.append(self.inference.kinds_of(node.args[0]))

    def _note_text(self, module: Module, node: ast.Constant) -> None:
        assert isinstance(node.value, str)
        parent = self.parents.get(id(node))
        if isinstance(parent, ast.Expr) or " " in node.value or self._is_torch_argument(module, parent):
            return
        self.parts |= set(node.value.split("."))
        self.parents_named |= set(node.value.split(".")[:-1])
        if isinstance(parent, ast.Compare) and isinstance(parent.ops[0], ast.In | ast.NotIn):
            self.substrings.add(node.value)

    def _is_torch_argument(self, module: Module, parent: ast.AST | None) -> bool:
        """A string such as nonlinearity="relu" names no attribute."""
        call = self.parents.get(id(parent)) if isinstance(parent, ast.keyword) else parent
        name = self.program.dotted(module, call.func) if isinstance(call, ast.Call) else None
        return name is not None and self.program.is_torch(name)

    def _may_be_layer(self, receiver: Kinds) -> bool:
        matched = {name for fusion in load_fusions() for name in fusion.match.values()} | {"torch.nn.Module"}
        return (
            any(k.name == "any" or (k.name == "object" and k.of in matched) for k in receiver) or not receiver
        )

    def may_be(self, owner: str, receiver: Kinds) -> bool:
        """Whether a receiver may be an instance of a class or of one related to it."""
        if not receiver:
            return True
        family = self.program.ancestry(owner)
        for kind in receiver:
            if kind.name in ("any", "super"):
                return True
            if kind.name == "object" and (
                kind.of in family
                or (kind.of in self.program.classes and owner in self.program.ancestry(kind.of))
            ):
                return True
        return False

    def of(self, owner: str, name: str) -> list[Use]:
        """The places where an attribute of a class may be meant."""
        return [use for use in self.attributes.get(name, ()) if self.may_be(owner, use.receiver)]

    def is_named(self, name: str) -> bool:
        """Whether a string of the program may name an attribute."""
        return name in self.parts or any(text in name for text in self.substrings)

    def taken_apart(self, owner: str) -> bool:
        """Whether the program reaches layers of a class by other means than their names."""
        return any(self.may_be(owner, receiver) for receiver in self.dynamic)


def _is_hook(name: str) -> bool:
    return name.startswith("register_") and name.endswith("_hook")


# --- the search ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attribute:
    """A layer that `__init__` puts into an attribute, once."""

    name: str
    torch: str
    statement: ast.Assign
    call: ast.Call


@dataclass(frozen=True)
class Step:
    """One layer of a chain: its attribute, and the call in the forward method that applies it."""

    attribute: Attribute
    call: ast.Call
    statement: ast.stmt


def plan_fusions(program: Program, inference: Inference, target: str) -> FusionPlan:
    """Where layers of a program can be fused without anybody noticing."""
    plan = FusionPlan()
    uses = Uses(program, inference)
    if uses.hooked:
        return plan
    for module in program.modules.values():
        _Sequentials(uses, module, target, plan).search()
    for name in program.classes:
        if program.is_module_class(name) and not uses.taken_apart(name):
            _Attributes(uses, name, target, plan).search()
    return plan


class _Search:
    """Tries groups with a rewriter of its own, whose notes are thrown away."""

    def __init__(self, uses: Uses, module: Module, target: str, plan: FusionPlan) -> None:
        self.uses = uses
        self.module = module
        self.target = target
        self.plan = plan
        self.parents = uses.parents

    def torch_name(self, call: ast.expr) -> str | None:
        """The torch class that an expression builds an instance of."""
        if not isinstance(call, ast.Call):
            return None
        name = self._rewriter(call).resolve(call.func)
        return name if name is not None and self.uses.program.is_torch(name) else None

    def can_be_written(self, group: Group) -> bool:
        first = group.calls[group.fusion.roles[0]]
        return fused_text(self._rewriter(first), group) is not None

    def _rewriter(self, node: ast.AST) -> Rewriter:
        rewriter = self._spare
        rewriter.functions = [
            n for n in self.above(node) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ][::-1]
        return rewriter

    @property
    def _spare(self) -> Rewriter:
        spare: Rewriter | None = getattr(self, "_rewriter_kept", None)
        if spare is None:
            spare = self._rewriter_kept = Rewriter(
                self.uses.program, self.module, self.uses.inference, self.target
            )
        return spare

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        parent = self.parents.get(id(node))
        while parent is not None:
            yield parent
            parent = self.parents.get(id(parent))

    def block(self, statement: ast.stmt) -> list[ast.stmt]:
        """The statements among which one stands."""
        parent = self.parents.get(id(statement))
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(parent, name, None)
            if isinstance(statements, list) and statement in statements:
                return statements
        return [statement]


class _Sequentials(_Search):
    """Layers that stand one after the other among the arguments of nn.Sequential."""

    def search(self) -> None:
        calls = [n for n in ast.walk(self.module.tree) if isinstance(n, ast.Call) and self._is_sequential(n)]
        for call in calls:
            if not self._picked_from(call):
                self._fuse(call)

    def _is_sequential(self, call: ast.Call) -> bool:
        return len(call.args) > 1 and self.torch_name(call) == SEQUENTIAL

    def _fuse(self, call: ast.Call) -> None:
        names = [self.torch_name(a) for a in call.args]
        at, kept = 0, []
        while at < len(call.args):
            group = self._group(call.args[at:], names[at:])
            kept.append(call.args[at])
            if group is None:
                at += 1
                continue
            self.plan.built[id(call.args[at])] = group
            at += len(group.calls)
        call.args = kept

    def _group(self, arguments: Sequence[ast.expr], names: Sequence[str | None]) -> Group | None:
        for fusion in load_fusions():
            count = len(fusion.match)
            if tuple(names[:count]) != tuple(fusion.match.values()):
                continue
            calls = {
                role: a for role, a in zip(fusion.roles, arguments, strict=False) if isinstance(a, ast.Call)
            }
            group = Group(fusion, calls, arguments[count - 1])
            if self.can_be_written(group):
                return group
        return None

    def _picked_from(self, call: ast.Call) -> bool:
        """Whether the program may reach a member by its number, which fusion would shift."""
        names = self._bound_names(call)
        if names & self.uses.parents_named:
            return True
        return any(
            _is_sequence_of_layers(kinds) or (bool(kinds & ANY or not kinds) and name in names)
            for kinds, name in self._pickers
        )

    @property
    def _pickers(self) -> list[tuple[Kinds, str]]:
        """What is subscripted, iterated, measured or taken apart: its kinds and its last name."""
        found: list[tuple[Kinds, str]] | None = getattr(self.uses, "pickers", None)
        if found is None:
            found = []
            for module in self.uses.program.modules.values():
                for node in ast.walk(module.tree):
                    found += [(self.uses.inference.kinds_of(n), _last_name(n)) for n in _picked(node)]
            self.uses.pickers = found  # type: ignore[attr-defined]
        return found

    def _bound_names(self, call: ast.Call) -> set[str]:
        """Names and attributes that the Sequential is known under, as far as the text tells."""
        parent = self.parents.get(id(call))
        found: set[str] = set()
        if isinstance(parent, ast.Assign | ast.AnnAssign):
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            found |= {_last_name(t) for t in targets}
        elif isinstance(parent, ast.keyword) and parent.arg:
            found.add(parent.arg)
        grown = True
        while grown:
            grown = False
            for use in self._stores:
                if use[1] in found and use[0] not in found:
                    found.add(use[0])
                    grown = True
        return found

    @property
    def _stores(self) -> list[tuple[str, str]]:
        """(attribute or name, the name assigned to it)"""
        found: list[tuple[str, str]] | None = getattr(self.uses, "stores", None)
        if found is None:
            found = [
                (_last_name(t), _last_name(n.value))
                for m in self.uses.program.modules.values() for n in ast.walk(m.tree) if isinstance(n, ast.Assign)
                for t in n.targets if isinstance(n.value, ast.Name | ast.Attribute)
            ]  # fmt: skip
            self.uses.stores = found  # type: ignore[attr-defined]
        return found


def _picked(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Subscript):
        return [node.value]
    if isinstance(node, ast.For | ast.comprehension):
        return [node.iter]
    if isinstance(node, ast.Starred) and isinstance(node.ctx, ast.Load):
        return [node.value]
    if isinstance(node, ast.Attribute) and (
        node.attr in STRUCTURE or node.attr in ("append", "insert", "extend", "pop", "add_module")
    ):
        return [node.value]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("len", "list", "enumerate", "reversed", "zip", "iter", "tuple")
    ):
        return list(node.args)
    return []


def _is_sequence_of_layers(kinds: Kinds) -> bool:
    """Whether a value may be an nn.Sequential that holds a layer some fusion starts with."""
    firsts = {fusion.match[fusion.roles[0]] for fusion in load_fusions()}
    return any(
        k.name == "object"
        and k.of == SEQUENTIAL
        and (not k.items or any(i.of in firsts or i.name == "any" for i in k.items[0]))
        for k in kinds
    )


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class _Attributes(_Search):
    """Layers in attributes of a class that one of its methods applies one after the other."""

    def __init__(self, uses: Uses, owner: str, target: str, plan: FusionPlan) -> None:
        cls = uses.program.classes[owner]
        super().__init__(uses, cls.module, target, plan)
        self.owner = owner
        self.methods = cls.methods
        self.fused: set[int] = set()

    def search(self) -> None:
        attributes = {a.name: a for a in self._attributes()}
        chains = [self._chain(a, attributes) for a in attributes.values()]
        for chain in chains:
            for fusion in load_fusions():
                if chain and self._fuse(fusion, chain[: len(fusion.match)]):
                    break
        for attribute in attributes.values():
            self._drop_if_unused(attribute)

    def _attributes(self) -> Iterator[Attribute]:
        init = self.methods.get("__init__")
        for node in ast.walk(init.node) if init is not None else ():
            if (
                not isinstance(node, ast.Assign)
                or len(node.targets) != 1
                or not isinstance(node.value, ast.Call)
            ):
                continue
            target, name = node.targets[0], self.torch_name(node.value)
            if name is None or not isinstance(target, ast.Attribute) or not self._is_self(target.value):
                continue
            stored = [
                u for u in self.uses.of(self.owner, target.attr) if not isinstance(u.node.ctx, ast.Load)
            ]
            looped = any(isinstance(n, ast.For | ast.While) for n in self.above(node))
            if (
                len(stored) == 1
                and not looped
                and not isinstance(self.parents.get(id(target)), ast.AugAssign)
            ):
                yield Attribute(target.attr, name, node, node.value)

    def _is_self(self, node: ast.expr) -> bool:
        function = next((n for n in self.above(node) if isinstance(n, ast.FunctionDef)), None)
        if function is None or not function.args.args or not isinstance(node, ast.Name):
            return False
        return node.id == function.args.args[0].arg and any(f.node is function for f in self.methods.values())

    # --- a chain in the forward method ---------------------------------------------------------------------------------

    def _chain(self, first: Attribute, attributes: Mapping[str, Attribute]) -> list[Step]:
        """The layers that are applied to each other's results from the one place where `first` is applied."""
        read = self._reads(first)
        call = self._application(read[0].node) if len(read) == 1 and read[0].module is self.module else None
        steps: list[Step] = []
        while call is not None:
            attribute = self._applied(call, attributes)
            if attribute is None:
                break
            steps.append(Step(attribute, call, self._statement_of(call)))
            call = self._next(steps[-1])
        return steps

    def _reads(self, attribute: Attribute) -> list[Use]:
        return [u for u in self.uses.of(self.owner, attribute.name) if isinstance(u.node.ctx, ast.Load)]

    def _application(self, node: ast.expr) -> ast.Call | None:
        """The call of one argument that a node is the function of."""
        parent = self.parents.get(id(node))
        if (
            not isinstance(parent, ast.Call)
            or parent.func is not node
            or parent.keywords
            or len(parent.args) != 1
        ):
            return None
        return None if isinstance(parent.args[0], ast.Starred) else parent

    def _applied(self, call: ast.Call, attributes: Mapping[str, Attribute]) -> Attribute | None:
        if not isinstance(call.func, ast.Attribute) or not self._is_self(call.func.value):
            return None
        return attributes.get(call.func.attr)

    def _statement_of(self, node: ast.AST) -> ast.stmt:
        return next(n for n in self.above(node) if isinstance(n, ast.stmt))

    def _next(self, step: Step) -> ast.Call | None:
        """The call that takes the result of a step, when nothing else does."""
        parent = self.parents.get(id(step.call))
        if isinstance(parent, ast.Call) and parent.args == [step.call] and not parent.keywords:
            return parent
        if (
            not isinstance(parent, ast.Assign)
            or len(parent.targets) != 1
            or not isinstance(parent.targets[0], ast.Name)
        ):
            return None
        block = self.block(parent)
        after = block[block.index(parent) + 1 :]
        return self._reader(parent, parent.targets[0].id, after[0]) if after else None

    def _reader(self, before: ast.Assign, name: str, statement: ast.stmt) -> ast.Call | None:
        """The call in the statement right behind that is the only reader of a name."""
        if not isinstance(statement, ast.Assign | ast.Return | ast.Expr):
            return None
        loads = [
            n
            for n in ast.walk(statement)
            if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
        ]
        call = self.parents.get(id(loads[0])) if len(loads) == 1 else None
        if not isinstance(call, ast.Call) or call.args != loads or call.keywords:
            return None
        for node in self.above(loads[0]):
            if node is statement:
                break
            if isinstance(node, CONDITIONAL):
                return None
        rebound = (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and ast.unparse(statement.targets[0]) == name
        )
        function = next(
            n for n in self.above(before) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        if any(
            isinstance(n, ast.Try | ast.Global | ast.Nonlocal) for n in ast.walk(function)
        ) or self._in_closure(function, name):
            return None
        dead = rebound or isinstance(statement, ast.Return) or not read_after(function, name, statement)
        return call if dead else None

    def _in_closure(self, function: ast.AST, name: str) -> bool:
        inner = [
            n for n in ast.walk(function) if n is not function and isinstance(n, ast.FunctionDef | ast.Lambda)
        ]
        return any(isinstance(n, ast.Name) and n.id == name for f in inner for n in ast.walk(f))

    # --- fusing it -------------------------------------------------------------------------------------------------------

    def _fuse(self, fusion: Fusion, steps: Sequence[Step]) -> bool:
        if tuple(s.attribute.torch for s in steps) != tuple(fusion.match.values()):
            return False
        by_role = dict(zip(fusion.roles, steps, strict=True))
        group = Group(fusion, {role: step.attribute.call for role, step in by_role.items()})
        private = [s for role, s in by_role.items() if fusion.has_state(role)]
        if any(len(self._reads(s.attribute)) != 1 or self.uses.is_named(s.attribute.name) for s in private):
            return False
        if not all(
            self._built_together(private[0].attribute, s.attribute) for s in private[1:]
        ) or not self.can_be_written(group):
            return False
        self._record(fusion, by_role)
        self.plan.built[id(group.calls[fusion.roles[0]])] = group
        self.plan.removed |= {id(s.attribute.statement) for s in private[1:]}
        self._join(steps)
        self.fused |= {id(s.call.func) for s in steps}
        return True

    def _built_together(self, first: Attribute, other: Attribute) -> bool:
        """Whether two layers are built under the same conditions, and from arguments that do not change in between."""
        block = self.block(first.statement)
        if other.statement not in block:
            return False
        places = sorted((block.index(first.statement), block.index(other.statement)))
        bound = {_last_name(n) for s in block[places[0] : places[1] + 1] for n in ast.walk(s)
                 if isinstance(n, ast.Name | ast.Attribute) and isinstance(n.ctx, ast.Store | ast.Del)}  # fmt: skip
        arguments = [*other.call.args, *(k.value for k in other.call.keywords)]
        read = {
            _last_name(n) for a in arguments for n in ast.walk(a) if isinstance(n, ast.Name | ast.Attribute)
        }
        return not bound & read and all(_is_still(a) for a in arguments)

    def _record(self, fusion: Fusion, steps: Mapping[str, Step]) -> None:
        holder = steps[fusion.roles[0]].attribute.name
        renames = self.plan.renames.setdefault(self.owner, {})
        for role, step in steps.items():
            place = fusion.place(role)
            if place is not None:
                renames[step.attribute.name] = f"{holder}.{place}"

    def _join(self, steps: Sequence[Step]) -> None:
        """The forward method applies the first layer only; statements that are left without a purpose go."""
        first = steps[0]
        for statement in dict.fromkeys(s.statement for s in steps):
            inside = [s.call for s in steps if s.statement is statement]
            outer = inside[-1]
            if statement is first.statement:
                if outer is not first.call:
                    self.plan.unwrapped[id(outer)] = first.call
                continue
            if (
                isinstance(statement, ast.Assign)
                and statement.value is outer
                and isinstance(statement.targets[0], ast.Name)
                and len(statement.targets) == 1
            ):
                self.plan.removed.add(id(statement))
                assert isinstance(first.statement, ast.Assign)
                target = first.statement.targets[0]
                if isinstance(target, ast.Name) and target.id != statement.targets[0].id:
                    self.plan.renamed[id(target)] = statement.targets[0].id
            else:
                self.plan.unwrapped[id(outer)] = inside[0].args[0]

    def _drop_if_unused(self, attribute: Attribute) -> None:
        """A layer without parameters that only fused chains read is not built any more."""
        stateless = {f.match[r] for f in load_fusions() for r in f.roles if not f.has_state(r)}
        if attribute.torch not in stateless or self.uses.is_named(attribute.name):
            return
        reads = self._reads(attribute)
        if reads and all(id(u.node) in self.fused for u in reads):
            self.plan.removed.add(id(attribute.statement))
