"""Which names of a function hold one list or dictionary, by itself or within another: a compiled graph gives each a value of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

Objects = frozenset[object]
_NEW = frozenset({"list", "dict", "sorted", "copy", "set", "OrderedDict"})
_PARTS = frozenset({"get", "values", "items", "pop", "popleft", "popitem", "setdefault"})
_WALKS = frozenset({"zip", "enumerate", "reversed", "iter", "next", "tuple", "map"})


@dataclass(frozen=True)
class Contents:
    """The containers that a value may be, and those that it may hold."""

    selves: Objects = frozenset()
    inside: Objects = frozenset()

    @property
    def part(self) -> Contents:
        """What an element may be."""
        return Contents(self.inside, self.inside)

    @property
    def all(self) -> Objects:
        return self.selves | self.inside

    def __or__(self, other: Contents) -> Contents:
        return Contents(self.selves | other.selves, self.inside | other.inside)


EMPTY = Contents()


@dataclass(frozen=True)
class Made:
    """A container that an expression makes; `old` where the expression has made another one since."""

    place: int
    old: bool = False


def _new(node: ast.expr, inside: Objects = frozenset()) -> Contents:
    return Contents(frozenset({Made(id(node))}), inside)


def _aged(objects: Objects, made: set[int]) -> Objects:
    return frozenset(Made(o.place, old=True) if isinstance(o, Made) and o.place in made else o for o in objects)


@dataclass
class Change:
    """Where a container got other items, and whether at its end alone, so that its first items are what they were."""

    node: ast.AST
    at_end: bool


@dataclass
class Held:
    """The containers of each local name, and the names that show an older state of one in a graph."""

    names: dict[str, Contents] = field(default_factory=dict)
    stale: dict[str, Change] = field(default_factory=dict)

    @classmethod
    def of_parameters(cls, parameters: Iterable[str]) -> Held:
        return cls({name: Contents(frozenset({("parameter", name)}), frozenset({("within", name)})) for name in parameters})

    def copy(self) -> Held:
        return Held(dict(self.names), dict(self.stale))

    def join(self, other: Held) -> None:
        for name, contents in other.names.items():
            self.names[name] = self.names.get(name, EMPTY) | contents
        self.stale = {**other.stale, **self.stale}

    def of(self, node: ast.expr) -> Contents:
        """The containers of an expression's value."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, EMPTY)
        if isinstance(node, ast.List | ast.Set):
            return _new(node, self.inside(node.elts).inside)
        if isinstance(node, ast.Dict):
            return _new(node, self.inside(node.values).inside)
        if isinstance(node, ast.Tuple):
            return self.inside(node.elts)
        if isinstance(node, ast.ListComp | ast.DictComp):
            return _new(node)
        if isinstance(node, ast.Starred):
            return self.of(node.value).part
        if isinstance(node, ast.IfExp):
            return self.of(node.body) | self.of(node.orelse)
        if isinstance(node, ast.BoolOp):
            return self._together(node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
            return _new(node, self.of(node.left).inside | self.of(node.right).inside)
        if isinstance(node, ast.Subscript):
            held = self.of(node.value)
            return _new(node, held.inside) if isinstance(node.slice, ast.Slice) else held.part
        return self._called(node) if isinstance(node, ast.Call) else EMPTY

    def _called(self, node: ast.Call) -> Contents:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        given = self._together(node.args)
        if isinstance(node.func, ast.Attribute) and name in (*_PARTS, "copy"):
            held = self.of(node.func.value)
            return held.part if name in _PARTS else _new(node, held.inside)
        if name in _NEW:
            return _new(node, given.inside)
        return Contents(frozenset(), given.inside) if name in _WALKS else EMPTY

    def _together(self, nodes: Iterable[ast.expr]) -> Contents:
        found = EMPTY
        for node in nodes:
            found = found | self.of(node)
        return found

    def inside(self, nodes: Iterable[ast.expr]) -> Contents:
        """What a container of these values holds."""
        return Contents(frozenset(), self._together(nodes).all)

    def bind(self, target: ast.expr, held: Contents) -> None:
        """A name, or an item of a container, holds something else now."""
        if isinstance(target, ast.Tuple | ast.List):
            for one in target.elts:
                self.bind(one.value if isinstance(one, ast.Starred) else one, held.part)
        elif isinstance(target, ast.Name):
            self.names[target.id] = held
            self.stale.pop(target.id, None)
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
            before = self.names.get(target.value.id, EMPTY)
            self.names[target.value.id] = Contents(before.selves, before.inside | held.all)

    def make(self, value: ast.expr) -> Contents:
        """The containers of a value that a statement computes: what it made when it ran before is another one."""
        made = {id(node) for node in ast.walk(value) if isinstance(node, ast.expr)}
        for name, contents in self.names.items():
            if any(isinstance(o, Made) and not o.old and o.place in made for o in contents.all):
                self.names[name] = Contents(_aged(contents.selves, made), _aged(contents.inside, made))
        return self.of(value)

    def walk(self, target: ast.expr, values: ast.expr) -> None:
        """A loop names the elements of a value."""
        self.bind(target, self.of(values).part)

    def grow(self, change: Change, holder: ast.expr, added: Contents = EMPTY, *, named: bool = True) -> set[str]:
        """A container gets other items under one name, or under none of this function's; the parameters that it comes from."""
        grown = self.of(holder).selves if named else self.of(holder).all
        root = holder
        while isinstance(root, ast.Subscript):  # a graph writes `a[0].append(x)` back into a
            root = root.value
        own = root.id if named and isinstance(root, ast.Name) else None
        for name, contents in self.names.items():
            if name != own and contents.all & grown:
                longer = change.at_end and not named and bool(contents.selves & grown)
                self.stale[name] = Change(change.node, longer)
            if contents.selves & grown:
                self.names[name] = Contents(contents.selves, contents.inside | added.inside)
        return {str(origin[1]) for origin in grown if isinstance(origin, tuple)}
