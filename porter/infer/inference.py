"""Finds what kind of value each expression has, by following assignments, calls, attributes and returns of a program.

The program is taken as closed: a parameter is what its callers in the program pass, what its annotation says, or what its
default shows. What a traced run saw (see trace.py) stands in wherever reading alone proves nothing.
"""

from __future__ import annotations

import ast
from functools import cached_property

from porter.dataflow import own_nodes
from porter.infer.state import Scope, method_class
from porter.infer.statements import Statements
from porter.kinds import ANY
from porter.program import Function, Module
from porter.sharing import Sharing

MAX_VISITS = 8


class Inference(Statements):
    """The analysis of one program; `kinds_of(node)` answers once `run` is done."""

    @cached_property
    def sharing(self) -> Sharing:
        """Which names hold the same storage, once the kinds are settled."""
        return Sharing(self)

    def run(self) -> Inference:
        for name in self.program.classes:
            for ancestor in self.program.ancestry(name)[1:]:
                self.descendants.setdefault(ancestor, []).append(name)
        self._settle()
        if any(self.store.get(key, ANY) != ANY for key in self.guessed):
            # a function that was read before its callers took its parameters for anything, and passed that on: once more
            self.seeds = {key: kinds - ANY for key, kinds in self.store.items() if key[0] == "param"}
            self.store, self.readers, self.found, self.visits = {}, {}, {}, {}
            self._settle()
        return self

    def _settle(self) -> None:
        for module in self.program.modules.values():
            self.pending[module.name] = None
        for function in self.program.functions.values():
            self.pending[function.name] = None
        while self.pending:
            unit = next(iter(self.pending))
            del self.pending[unit]
            if self.visits.get(unit, 0) >= MAX_VISITS:
                continue
            self.visits[unit] = self.visits.get(unit, 0) + 1
            self.current = unit
            if unit in self.program.functions:
                self._function(self.program.functions[unit])
            else:
                self._module(self.program.modules[unit])

    def _module(self, module: Module) -> None:
        if self.visits[module.name] > 1:  # what was read before the classes of the program is known better now
            for node in own_nodes(module.tree):
                self.found.pop(id(node), None)
        scope = Scope(module, None, None, {}, module.name)
        self._body(module.tree.body, scope)

    def _function(self, function: Function) -> None:
        node = function.node
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        env = self.parameters(function)
        scope = Scope(function.module, function, function.owner or method_class(function), env, function.name)
        self._body(node.body, scope)
