"""What inference keeps: the kinds of expressions, what every name, attribute and parameter was given, and who reads it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from porter.kinds import ANY, NOTHING, Kinds, join, one
from porter.nodes import children
from porter.program import Class, Function, Module, Program
from porter.trace import Facts, span_of

Key = tuple[str, str, str]
Env = dict[str, Kinds]

BARE = "torch.nn.Module"
SOME_MODULE = one("object", BARE)
CONTAINERS = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict"})
GROWING = frozenset({"add_module", "register_module", "append", "extend", "insert", "pop", "__setitem__"})


@dataclass(slots=True)
class Scope:
    """Where an expression stands: module, function, class, and what its names hold at this point."""

    module: Module
    function: Function | None
    owner: Class | None
    env: Env
    unit: object = None
    alive: bool = True


@dataclass(slots=True)
class Call:
    node: ast.Call
    positional: list[Kinds]
    keywords: dict[str, Kinds]
    starred: int | None
    spread: bool

    def without_arguments(self) -> Call:
        return Call(self.node, [], {}, 0, True)


class State:
    """The store of one analysis; the layers above it say what each statement and expression does to it."""

    def __init__(self, program: Program, facts: Facts | None = None) -> None:
        self.program = program
        self.table = program.table
        self.facts = facts or Facts()
        self.store: dict[Key, Kinds] = {}
        self.readers: dict[Key, dict[str, None]] = {}
        self.found: dict[int, Kinds] = {}
        self.pending: dict[str, None] = {}
        self.visits: dict[str, int] = {}
        self.descendants: dict[str, list[str]] = {}
        self.current = ""
        self.seeds: dict[Key, Kinds] = {}
        self.guessed: set[Key] = set()
        self.annotations: dict[int, tuple[ast.expr, Kinds]] = {}
        self.grown_containers = False
        self.grown_attributes: set[tuple[str, str]] = set()
        self.recognized: dict[int, Kinds] = {}
        self.class_literals: dict[int, str] = {}
        self.handlers = {getattr(ast, n[4:]): getattr(self, n) for n in dir(type(self)) if n.startswith("_of_")}

    def kinds_of(self, node: ast.AST) -> Kinds:
        """What is known of an expression; empty where it was never reached."""
        known = self.found.get(id(node), NOTHING)
        return self.recognized.get(id(node), known) if is_unsure(known) or len(known) > 1 else known

    def read(self, key: Key) -> Kinds:
        self.readers.setdefault(key, {})[self.current] = None
        return self.store.get(key, NOTHING)

    def write(self, key: Key, kinds: Kinds) -> None:
        if not kinds:
            return
        old = self.store.get(key, NOTHING)
        if kinds <= old:
            return
        new = join(old, kinds)
        if new != old:
            self.store[key] = new
            for reader in self.readers.get(key, ()):
                self.pending[reader] = None

    def _is_module(self, name: str) -> bool:
        if name in self.program.classes:
            return self.program.is_module_class(name)
        return any(r.kind == "module" for r in self.table.get(name)) or name == "torch.nn.Module"

    def eval(self, node: ast.expr, scope: Scope) -> Kinds:
        handler = self.handlers.get(type(node))
        if handler is not None:
            kinds: Kinds = handler(node, scope)
        else:
            for child in children(node):
                if isinstance(child, ast.expr):
                    self.eval(child, scope)
            kinds = ANY
        if self.facts.kinds and (not kinds or kinds & ANY or len(kinds) > 1 or kinds == SOME_MODULE):
            seen = self.facts.kinds.get(span_of(scope.module.path, node))
            if seen is not None and not seen & ANY:
                kinds = seen
        old = self.found.get(id(node))
        self.found[id(node)] = kinds if old is None or old == kinds else join(old, kinds)
        return kinds


def is_unsure(kinds: Kinds) -> bool:
    """Whether a value may be anything, or, as far as is known, some module or something else."""
    return bool(kinds & ANY) or (kinds > SOME_MODULE)


def method_class(function: Function) -> Class | None:
    outer: Function | None = function
    while outer is not None:
        if outer.owner is not None:
            return outer.owner
        outer = outer.outer
    return None


def merge(left: Env, right: Env) -> Env:
    if left is right:
        return left
    merged = dict(left)
    for name, kinds in right.items():
        own = merged.get(name)
        merged[name] = kinds if own is None or own is kinds else join(own, kinds)
    for name in left.keys() - right.keys():
        if "." in name:
            del merged[name]
    for name in right.keys() - left.keys():
        if "." in name:
            del merged[name]
    return merged
