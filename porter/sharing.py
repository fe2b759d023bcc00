"""Follows a function statement by statement: which names show the same storage when torch changes a tensor in place.

MindSpore computes a new tensor instead, so a name that torch would show changed and that is read again keeps its old value.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.activations import InPlaceLayers, asks_inplace
from porter.containers import EMPTY, Change, Contents, Held
from porter.nodes import dotted_text, walk

if TYPE_CHECKING:
    from porter.infer import Inference
    from porter.kinds import Kinds
    from porter.program import Class, Function, Module

VIEWS = frozenset([
    "view", "reshape", "squeeze", "unsqueeze", "transpose", "permute", "t", "flatten", "unflatten", "narrow", "select", "expand",
    "chunk", "split", "unbind", "detach", "contiguous", "view_as", "expand_as", "to", "swapaxes", "movedim", "diagonal", "type_as", "float",
])  # fmt: skip
PARTS = frozenset(["chunk", "split", "unbind"])
_METADATA = frozenset(["shape", "dtype", "device", "ndim", "requires_grad", "is_cuda", "layout", "training"])
_WHOLE = frozenset(["data", "T", "mT", "H"])
_METADATA_CALLS = frozenset(
    [
        "size",
        "dim",
        "numel",
        "ndimension",
        "is_contiguous",
        "element_size",
        "stride",
        "get_device",
        "is_floating_point",
    ]
)
_GROWING = frozenset(["append", "extend", "insert", "add", "appendleft", "setdefault", "update"])
_CUTTING = frozenset(["pop", "popitem", "clear", "remove", "reverse", "sort"])
_HOLDING = frozenset(["pop", "popleft", "get", "values", "items", "copy"])
_GATHERING = frozenset(["list", "tuple", "zip", "enumerate", "reversed", "iter", "next", "dict", "set"])
_VALUES = frozenset(["int", "float", "bool", "str", "dtype", "device"])
_FEW = 4
# puts samples together anew each time it is walked
_LOADER = "torch.utils.data.DataLoader"


Part = int | tuple[str, str, str] | None


@dataclass(frozen=True)
class Token:
    """A storage: where it came from, how old, and which of several disjoint parts; None is all of it."""

    root: object
    age: int = 0
    part: Part = None

    def meets(self, other: Token) -> bool:
        return (self.root, self.age) == (other.root, other.age) and not _disjoint(self.part, other.part)


Tokens = frozenset[Token]
NONE: Tokens = frozenset()


@dataclass(frozen=True)
class Seen:
    """A change in place that another name would show."""

    node: ast.AST
    name: str
    by: str


@dataclass
class Summary:
    """What a function does to its arguments: those it changes, and those that it may return."""

    changed: set[str] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)
    seen: list[Seen] = field(default_factory=list)
    free: set[str] = field(default_factory=set)  # containers of the function around it that get items
    grown: dict[str, bool] = field(default_factory=dict)  # lists, dictionaries and tensors that get items; whether at the end alone
    apart: list[Seen] = field(default_factory=list)  # what a compiled graph alone keeps apart


State = tuple[dict[str, Tokens], dict[str, tuple[ast.AST, str]], dict[str, object], Held]


class Sharing:
    """The functions of a program, each followed once, on demand."""

    def __init__(self, inference: Inference) -> None:
        self.inference, self.program = inference, inference.program
        self.layers = InPlaceLayers(self.program, self._forward_changes)
        self._summaries: dict[int, Summary] = {}

    def summary(self, function: Function) -> Summary:
        return self.of(function.node, function.module, function.owner)

    def of(self, node: ast.AST, module: Module, owner: Class | None) -> Summary:
        """What a definition does; nothing where it is asked for while it is being followed."""
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return Summary()
        if id(node) not in self._summaries:
            self._summaries[id(node)] = Summary()
            self._summaries[id(node)] = _Followed(self, node, module, owner).result
        return self._summaries[id(node)]

    def _forward_changes(self, class_name: str) -> bool:
        found = self.program.method(class_name, "forward")
        return found is not None and bool(self.summary(found[1]).changed)


class _Followed:
    """One function, from its first statement to its last."""

    def __init__(
        self,
        sharing: Sharing,
        function: ast.FunctionDef | ast.AsyncFunctionDef,
        module: Module,
        owner: Class | None,
    ) -> None:
        self.sharing, self.program, self.module = sharing, sharing.program, module
        self.owner = owner.name if owner is not None else ""
        self.parents, self.function = module.explored.parents, function
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        self.result = Summary()
        self.local = {a.arg for a in arguments} | {
            n.id for n in walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        self.held: dict[str, Tokens] = {
            a.arg: frozenset({Token(f"parameter {a.arg}")}) for a in arguments if a.arg != "self"
        }
        self.stale: dict[str, tuple[ast.AST, str]] = {}
        self.objects: dict[str, object] = {name: name for name in self.held}  # names of one tensor, not of views of it, have one object
        self.containers = Held.of_parameters(name for name in self.held if not K.is_tensor(self.kinds_of_name(name)))
        self.block(function.body)

    # what the program says of a name

    def kinds(self, node: ast.AST) -> Kinds:
        return self.sharing.inference.kinds_of(node)

    def resolve(self, node: ast.expr) -> str | None:
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or root.id in self.local:
            return None
        return self.program.dotted(self.module, node)

    def changes_receiver(self, func: ast.Attribute) -> bool:
        return (
            func.attr.endswith("_")
            and K.is_tensor(self.kinds(func.value))
            and any(r.inplace for r in self.program.table.get(f"torch.Tensor.{func.attr}"))
        )

    def changes_argument(self, func: ast.expr) -> bool:
        """Whether a layer, as it was built, may change what it is called with."""
        if not self.owner:
            return False
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "self":
            return self.sharing.layers.attribute(self.owner, func.attr)
        activations = any(
            k.name == "object"
            and any("inplace" in r.signature.positional for r in self.program.table.get(k.of))
            for k in self.kinds(func)
        )
        return activations and self.sharing.layers.builds_any(self.owner)

    def chained(self, receiver: ast.expr) -> ast.expr:
        """The x of `x.mul_(a).add_(b)`."""
        while (
            isinstance(receiver, ast.Call)
            and isinstance(receiver.func, ast.Attribute)
            and self.changes_receiver(receiver.func)
        ):
            receiver = receiver.func.value
        return receiver

    def keeps_object(self, holder: ast.expr) -> bool:
        """Whether the port gives the same object its new values, as it does with parameters: every name shows them."""
        if isinstance(holder, ast.Attribute) and holder.attr == "data":
            return True
        if isinstance(holder, ast.Attribute) and holder.attr == "grad" and not self.names_gradients:
            holder = holder.value  # the parameter is given the new gradient, under all of its names
        return K.names(K.without_none(self.kinds(holder))) == {"Parameter"}

    @cached_property
    def names_gradients(self) -> bool:
        """Whether some statement gives a gradient a name of its own, which would not see it changed."""
        assigned = [n.value for n in walk(self.module.tree) if isinstance(n, ast.Assign)]
        return any((dotted_text(v) or "").endswith((".grad", ".grad.data")) for v in assigned)

    def is_inplace_function(self, name: str) -> bool:
        return (
            name.endswith("_")
            and not name.startswith("torch.nn.init.")
            and any(r.inplace for r in self.program.table.get(name))
        )

    def called(self, func: ast.expr) -> list[Function]:
        """The program's functions that a call may run."""
        found: list[Function] = []
        for kind in self.kinds(func):
            if kind.name in ("function", "bound") and kind.of in self.program.functions:
                found.append(self.program.functions[kind.of])
            elif kind.name == "object":
                method = self.program.method(kind.of, "forward")
                found += [method[1]] if method is not None else []
        return found

    # statements

    def block(self, body: list[ast.stmt]) -> bool:
        """Follows statements; whether the last of them leaves the block."""
        for statement in body:
            self.statement(statement)
            if isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
                return True
        return False

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            self.assign(node.targets, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self.assign([node.target], node.value)
        elif isinstance(node, ast.AugAssign):
            self.augmented(node)
        elif isinstance(node, ast.Return) and node.value is not None:
            roots = {t.root for t in self.value(node.value)}
            self.result.returned |= {
                str(r).removeprefix("parameter ")
                for r in roots
                if isinstance(r, str) and r.startswith("parameter ")
            }
        elif isinstance(node, ast.If):
            self.value(node.test)
            self.branches([node.body, node.orelse])
        elif isinstance(node, ast.For | ast.AsyncFor):
            self.loop(node.body, lambda: self.walk(node))
            self.block(node.orelse)
        elif isinstance(node, ast.While):
            self.loop(node.body, lambda: self.value(node.test))
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                held = self.value(item.context_expr)
                if item.optional_vars is not None:
                    self.bind(item.optional_vars, held)
            self.block(node.body)
        elif isinstance(node, ast.Try):
            self.block(node.body)
            self.branches([[], *(h.body for h in node.handlers)])
            self.block(node.orelse)
            self.block(node.finalbody)
        elif isinstance(node, ast.Expr | ast.Assert | ast.Raise | ast.Delete):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr) and not isinstance(node, ast.Delete):
                    self.value(child)

    def walk(self, node: ast.For | ast.AsyncFor) -> None:
        """One round of a loop begins."""
        self.bind(node.target, self.walked(node.iter))
        self.containers.walk(node.target, node.iter)

    def walked(self, node: ast.expr) -> Tokens:
        """The storages that a loop over a value may name: batches of a loader are new ones."""
        tokens = self.value(node)
        return NONE if self.is_loader(node) else tokens

    def is_loader(self, node: ast.expr) -> bool:
        kinds = K.without_none(self.kinds(node))
        return bool(kinds) and all(k.name == "object" and k.of == _LOADER for k in kinds)

    def branches(self, bodies: list[list[ast.stmt]]) -> None:
        before = self.save()
        ends: list[State] = []
        for body in bodies:
            self.load(before)
            if not self.block(body):
                ends.append(self.save())
        self.load(ends[0] if ends else before)
        for other in ends[1:]:
            self.join(other)

    def loop(self, body: list[ast.stmt], head: Callable[[], object]) -> None:
        for _ in range(2):
            before = self.save()
            head()
            self.block(body)
            self.join(before)

    def save(self) -> State:
        return dict(self.held), dict(self.stale), dict(self.objects), self.containers.copy()

    def load(self, state: State) -> None:
        self.held, self.stale, self.objects, self.containers = dict(state[0]), dict(state[1]), dict(state[2]), state[3].copy()

    def join(self, other: State) -> None:
        for name, tokens in other[0].items():
            self.held[name] = self.held.get(name, NONE) | tokens
        self.stale = {**other[1], **self.stale}
        for name, one in other[2].items():
            if self.objects.setdefault(name, one) != one:
                self.objects[name] = object()
        self.containers.join(other[3])

    def assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        if isinstance(value, ast.Tuple | ast.List) and all(
            isinstance(t, ast.Tuple | ast.List) and len(t.elts) == len(value.elts) for t in targets
        ):
            several = [self.value(e) for e in value.elts]
            inside = [self.containers.make(e) for e in value.elts]
            for target in targets:
                for one, tokens, held in zip(target.elts, several, inside, strict=True):  # type: ignore[attr-defined]
                    self.bind(one, tokens)
                    self.containers.bind(one, held)
            return
        tokens, held, path = self.value(value), self.containers.make(value), _path(value)
        for target in targets:
            self.bind(target, tokens, parts=_gives_parts(value))
            self.containers.bind(target, held)
            if path is not None and (name := _path(target)) is not None:
                self.objects[name] = self.objects.get(path, path)

    def augmented(self, node: ast.AugAssign) -> None:
        added = self.value(node.value)
        path = _path(node.target)
        if isinstance(node.target, ast.Subscript):
            self.set_items(node.target)
        if path is None or (not self.owner and self.keeps_object(node.target)):
            return
        kinds, operand = self.kinds(node.target), self.kinds(node.value)
        tokens = self.held.get(path, frozenset({Token(f"attribute {path}")}) if "." in path else NONE)
        if K.is_tensor(kinds) or (
            not K.proven(kinds, frozenset(K.names(kinds)) - {"any"}) and K.is_tensor(operand)
        ):
            self.change(node, tokens, path, by="change")
        elif K.proven(kinds, K.SEQUENCES):
            self.held[path] = tokens | added
            self.grow(Change(node, True), node.target, self.containers.inside([node.value]))
        else:
            self.bind(node.target, NONE)

    def bind(self, target: ast.expr, tokens: Tokens, *, parts: bool = False) -> None:
        if isinstance(target, ast.Starred):
            self.bind(target.value, tokens)
        elif isinstance(target, ast.Tuple | ast.List):
            for i, one in enumerate(target.elts):
                self.bind(one, frozenset(Token(t.root, t.age, i) for t in tokens) if parts else tokens)
        elif isinstance(target, ast.Subscript):
            self.set_items(target)
            path = _path(target.value)
            if (
                path is not None
                and not K.is_tensor(self.kinds(target.value))
                and not isinstance(target.slice, ast.Slice | ast.Tuple)
            ):
                self.held[path] = self.held.get(path, NONE) | tokens
        else:
            path = _path(target)
            if path is None:
                return
            if not tokens or K.proven(self.kinds(target), _VALUES):
                self.age(id(target))
                tokens = frozenset({Token(id(target))})
            self.held[path] = tokens
            self.stale.pop(path, None)
            self.objects[path] = object()
            self.containers.bind(target, EMPTY)

    def age(self, root: object) -> None:
        """What a statement made when it ran before is another storage than what it makes now."""
        for name, tokens in self.held.items():
            if any(t.root == root and t.age == 0 for t in tokens):
                self.held[name] = frozenset(Token(t.root, 1, t.part) if t.root == root else t for t in tokens)

    # changes

    def change(
        self, node: ast.expr | ast.stmt, tokens: Iterable[Token], holder: str | None, *, by: str
    ) -> None:
        """A tensor is changed at `node`; `holder` is the name that the ported statement assigns."""
        changed = list(tokens)
        for token in changed:
            if isinstance(token.root, str):
                sort, _, name = token.root.partition(" ")
                if sort == "parameter":
                    self.result.changed.add(name)
                elif name != holder:
                    self.note(node, name, by)
        for name, held in self.held.items():
            if name != holder and self.shares(held, changed):
                self.stale[name] = (node, by)
        self.same_statement(node, changed, by)

    def set_items(self, target: ast.Subscript) -> None:
        """`y[0] = x`: in MindSpore other names of y show it too, but in a graph; views of y do not where a gradient is taken."""
        holder = target.value
        while isinstance(holder, ast.Subscript) and K.is_tensor(self.kinds(holder.value)):
            holder = holder.value
        if not K.is_tensor(self.kinds(holder)):
            self.grow(Change(target, False), target.value)
            return
        path, tokens = _path(holder), self.value(holder, quiet=True)
        if holder is not target.value and not _is_basic(target.slice):
            tokens = NONE
        own = self.objects.get(path or "", path)
        for token in tokens:
            sort, _, name = str(token.root).partition(" ")
            if sort == "parameter" and own == name:
                self.result.grown[name] = False
            elif sort == "parameter":
                self.result.changed.add(name)
        for name, held in self.held.items():
            if name == path or not self.shares(held, tokens):
                continue
            if self.objects.get(name, name) == own or not K.is_tensor(self.kinds_of_name(name)):
                self.containers.stale[name] = Change(target, False)
            else:
                self.stale[name] = (target, "items")

    def kinds_of_name(self, name: str) -> Kinds:
        """What a name of the function holds, as far as its values say."""
        return self.names_kinds.get(name, K.ANY)

    @cached_property
    def names_kinds(self) -> dict[str, Kinds]:
        found: dict[str, Kinds] = {}
        for node in walk(self.function):
            if isinstance(node, ast.Name | ast.Attribute) and (path := _path(node)) is not None:
                found[path] = K.join(found[path], self.kinds(node)) if path in found else self.kinds(node)
        return found

    def grow(self, change: Change, holder: ast.expr, added: Contents = EMPTY, *, named: bool = True) -> None:
        """A list or dictionary gets other items: a graph gives them to the name at hand alone."""
        for name in self.containers.grow(change, holder, added, named=named):
            self.result.grown[name] = self.result.grown.get(name, True) and change.at_end
        while isinstance(holder, ast.Subscript):
            holder = holder.value
        if isinstance(holder, ast.Name) and holder.id not in self.local:
            self.result.free.add(holder.id)

    @staticmethod
    def shares(left: Iterable[Token], right: Iterable[Token]) -> bool:
        return any(a.meets(b) for a in left for b in right)

    def same_statement(self, node: ast.expr | ast.stmt, changed: list[Token], by: str) -> None:
        """`x + self.act_(x)`: the left x was named before the change and is used after it."""
        around: list[ast.AST] = []
        at: ast.AST | None = self.parents.get(id(node))
        while at is not None and not isinstance(at, ast.stmt):
            around.append(at)
            at = self.parents.get(id(at))
        if at is None or isinstance(node, ast.stmt):
            return
        inside = {id(n) for n in ast.walk(node)}
        for name in ast.walk(at):
            if not (isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)) or id(name) in inside:
                continue
            if (name.lineno, name.col_offset) < (node.lineno, node.col_offset) and self.shares(
                self.held.get(name.id, NONE), changed
            ):
                user = self.parents.get(id(name))
                if isinstance(user, ast.Attribute):
                    continue
                while user is not None and not isinstance(
                    user, ast.Call | ast.BinOp | ast.Compare | ast.Subscript | ast.stmt
                ):
                    user = self.parents.get(id(user))
                if user is at or any(user is a for a in around):
                    self.note(node, name.id, by)

    def note(self, node: ast.AST, name: str, by: str) -> None:
        seen = Seen(node, name, by)
        if seen not in self.result.seen:
            self.result.seen.append(seen)

    # expressions

    def value(self, node: ast.expr, *, quiet: bool = False) -> Tokens:
        """The storages that an expression's value may be, or hold; `quiet` where only its shape or type is asked."""
        if isinstance(node, ast.Name | ast.Attribute):
            return self.named(node, quiet=quiet)
        if isinstance(node, ast.Constant):
            return NONE
        method = getattr(self, f"of_{type(node).__name__}", None)
        if method is not None:
            found: Tokens = method(node)
            return found
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        return NONE

    def named(self, node: ast.Name | ast.Attribute, *, quiet: bool) -> Tokens:
        if isinstance(node, ast.Attribute):
            quiet = quiet or node.attr in _METADATA
        path = _path(node)
        if path is not None and not quiet and path in self.stale:
            self.note(self.stale[path][0], path, self.stale[path][1])
        if path is not None and not quiet and path in self.containers.stale and not self.reads_first_item(node, self.containers.stale[path]):
            seen = Seen(self.containers.stale[path].node, path, "items")
            self.result.apart += [seen] if seen not in self.result.apart else []
        if path is not None and (path in self.held or isinstance(node, ast.Name)):
            return self.held.get(path, NONE)
        if path is not None:
            return frozenset({Token(f"attribute {path}")}) if K.is_tensor(self.kinds(node)) else NONE
        assert isinstance(node, ast.Attribute)
        inner = self.value(node.value, quiet=quiet)
        return (
            inner
            if node.attr in _WHOLE or (K.is_tensor(self.kinds(node.value)) and node.attr not in _METADATA)
            else NONE
        )

    def reads_first_item(self, node: ast.AST, change: Change) -> bool:
        """`outs[0]` of a list that got longer."""
        parent = self.parents.get(id(node))
        index = parent.slice if isinstance(parent, ast.Subscript) and parent.value is node else None
        return change.at_end and isinstance(index, ast.Constant) and isinstance(index.value, int)

    def of_Subscript(self, node: ast.Subscript) -> Tokens:
        base = self.value(node.value)
        self.value(node.slice)
        if not K.is_tensor(self.kinds(node.value)):
            return base
        if not _is_basic(node.slice):
            return NONE
        part: Part = _slice_part(node.slice)
        return frozenset(Token(t.root, t.age, t.part if t.part is not None else part) for t in base)

    def of_Tuple(self, node: ast.Tuple) -> Tokens:
        return NONE.union(*(self.value(e) for e in node.elts))

    of_List = of_Set = of_Tuple

    def of_Dict(self, node: ast.Dict) -> Tokens:
        return NONE.union(*(self.value(v) for v in node.values))

    def of_Starred(self, node: ast.Starred) -> Tokens:
        return self.value(node.value)

    def of_IfExp(self, node: ast.IfExp) -> Tokens:
        self.value(node.test)
        return self.value(node.body) | self.value(node.orelse)

    def of_BoolOp(self, node: ast.BoolOp) -> Tokens:
        return NONE.union(*(self.value(v) for v in node.values))

    def of_NamedExpr(self, node: ast.NamedExpr) -> Tokens:
        tokens = self.value(node.value)
        self.bind(node.target, tokens)
        return self.held.get(node.target.id, NONE)

    def of_Compare(self, node: ast.Compare) -> Tokens:
        quiet = all(isinstance(o, ast.Is | ast.IsNot) for o in node.ops)
        for one in [node.left, *node.comparators]:
            self.value(one, quiet=quiet)
        return NONE

    def of_BinOp(self, node: ast.BinOp) -> Tokens:
        left, right = self.value(node.left), self.value(node.right)
        lists = any(
            isinstance(e, ast.List | ast.Tuple) or K.proven(self.kinds(e), K.SEQUENCES)
            for e in (node.left, node.right)
        )
        return left | right if lists else NONE

    def of_Lambda(self, node: ast.Lambda) -> Tokens:
        return NONE

    def of_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> Tokens:
        for generator in node.generators:
            self.bind(generator.target, self.value(generator.iter))
            self.containers.walk(generator.target, generator.iter)
            for test in generator.ifs:
                self.value(test)
        return self.value(node.elt)

    of_SetComp = of_GeneratorExp = of_ListComp

    def of_Call(self, node: ast.Call) -> Tokens:
        func = node.func
        receiver = NONE
        if isinstance(func, ast.Attribute):
            receiver = self.value(func.value, quiet=func.attr in _METADATA_CALLS)
        elif not isinstance(func, ast.Name):
            self.value(func)
        quiet = isinstance(func, ast.Name) and func.id in ("isinstance", "len", "type")
        given = [self.value(a, quiet=quiet) for a in node.args]
        named = {k.arg: self.value(k.value) for k in node.keywords}
        everything = NONE.union(*given, *named.values())
        name = self.resolve(func)
        if isinstance(func, ast.Name) and func.id in _GATHERING and node.args and all(map(self.is_loader, node.args)):
            return NONE
        if name is not None and self.program.is_torch(name):
            return self.torch_call(node, name, given[0] if given else named.get("input", NONE))
        if isinstance(func, ast.Attribute) and self.changes_receiver(func):
            if self.keeps_object(self.chained(func.value)):
                return receiver
            self.change(node, receiver, _path(self.chained(func.value)), by="change")
            return receiver
        if (
            isinstance(func, ast.Attribute)
            and func.attr in _GROWING
            and not K.is_tensor(self.kinds(func.value))
        ):
            path = _path(func.value)
            if path is not None and path in self.held:
                self.held[path] = self.held[path] | everything
            self.grow(Change(node, func.attr in ("append", "extend")), func.value, self.containers.inside(node.args))
            return NONE
        if isinstance(func, ast.Attribute) and func.attr in _CUTTING and not K.is_tensor(self.kinds(func.value)):
            self.grow(Change(node, False), func.value)
        if self.changes_argument(func):
            return self.activation(node, given[0] if given else NONE)
        if isinstance(func, ast.Name) and func.id in _GATHERING:
            return everything
        called = self.called(func)
        if called:
            return self.own_call(node, called, given, named)
        if isinstance(func, ast.Attribute) and (
            func.attr in VIEWS or (func.attr in _HOLDING and not K.is_tensor(self.kinds(func.value)))
        ):
            return receiver
        return NONE

    def torch_call(self, node: ast.Call, name: str, first: Tokens) -> Tokens:
        makes = any(r.kind == "module" for r in self.program.table.get(name))  # nn.Dropout(p, inplace=True) changes no p
        if not makes and (self.is_inplace_function(name) or asks_inplace(self.program, node, name) is True):
            return self.activation(node, first)
        return first if name.rpartition(".")[2] in VIEWS and name.count(".") == 1 else NONE

    def activation(self, node: ast.Call, first: Tokens) -> Tokens:
        if not node.args:
            return NONE
        alone = isinstance(self.parents.get(id(node)), ast.Expr)
        self.change(node, first, _path(node.args[0]) if alone else None, by="activation")
        return first

    def own_call(
        self, node: ast.Call, called: list[Function], given: list[Tokens], named: dict[str | None, Tokens]
    ) -> Tokens:
        found: Tokens = NONE
        for function in called:
            summary = self.sharing.summary(function)
            names = [a.arg for a in [*function.node.args.posonlyargs, *function.node.args.args]]
            if function.owner is not None and names:
                names = names[1:]
            passed = {
                **dict(zip(names, given, strict=False)),
                **{k: v for k, v in named.items() if k is not None},
            }
            for name in summary.changed & set(passed):
                self.change(node, passed[name], None, by="call")
            found = found.union(*(passed[n] for n in summary.returned & set(passed)))
            if len(called) > _FEW:
                continue  # any layer of the program: what one of them does says nothing of this call
            arguments = {**dict(zip(names, node.args, strict=False)), **{k.arg: k.value for k in node.keywords if k.arg}}
            for name in summary.free & self.local:  # of a function within this one
                self.grow(Change(node, False), ast.Name(name, ast.Load()), named=False)
            for name in summary.grown.keys() & set(arguments):
                self.grow(Change(node, summary.grown[name]), arguments[name], named=False)
                self.apart_from(node, arguments[name], passed[name])
        return found

    def apart_from(self, node: ast.Call, given: ast.expr, tokens: Tokens) -> None:
        """A function sets items of a tensor that it is given: in a graph no name of the caller shows them."""
        if K.is_tensor(self.kinds(given)):
            for name, held in self.held.items():
                if self.shares(held, tokens):
                    self.containers.stale[name] = Change(node, False)


def _path(node: ast.expr) -> str | None:
    """`x`, `self.x` and `self.a.x` as text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and node.attr in ("data",):
        return _path(node.value)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        return f"self.{node.attr}"
    return None


def _gives_parts(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in PARTS


def _is_basic(index: ast.expr) -> bool:
    """Whether an index gives a view: numbers, slices, None and Ellipsis."""
    if isinstance(index, ast.Tuple):
        return all(_is_basic(e) for e in index.elts)
    if isinstance(index, ast.UnaryOp):
        return _is_basic(index.operand)
    return isinstance(index, ast.Slice | ast.Constant)


def _slice_part(index: ast.expr) -> tuple[str, str, str] | None:
    """The axis, the beginning and the end of `[..., :n]` and `[:, n:m]`, as text, where one axis alone is cut."""
    axes = index.elts if isinstance(index, ast.Tuple) else [index]
    cut = [
        (i, a)
        for i, a in enumerate(axes)
        if isinstance(a, ast.Slice) and (a.lower is not None or a.upper is not None)
    ]
    others = [a for a in axes if not isinstance(a, ast.Slice)]
    if len(cut) != 1 or any(not (isinstance(a, ast.Constant) and a.value is Ellipsis) for a in others):
        return None
    at, piece = cut[0]
    assert isinstance(piece, ast.Slice)
    if piece.step is not None:
        return None
    place = f"{at - len(axes) if others else at}"
    return (
        place,
        ast.unparse(piece.lower) if piece.lower is not None else "",
        ast.unparse(piece.upper) if piece.upper is not None else "",
    )


def _disjoint(left: Part, right: Part) -> bool:
    """Whether two parts of one storage do not overlap: different results of one split, or slices of which one ends where the other begins."""
    if isinstance(left, int) and isinstance(right, int):
        return left != right
    if not (isinstance(left, tuple) and isinstance(right, tuple)) or left[0] != right[0]:
        return False
    return _ends_before(left[2], right[1]) or _ends_before(right[2], left[1])


def _ends_before(end: str, begin: str) -> bool:
    """Whether `end` is `begin`, or a whole multiple of it is: `n` and `2 * n`."""
    if not end or not begin or end.startswith("-") != begin.startswith("-"):
        return False
    factor, _, rest = begin.partition(" * ")
    return end == begin or (rest == end and factor.isdigit()) or (factor == end and rest.isdigit())
