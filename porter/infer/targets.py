"""Assignment: to names, attributes, entries and unpacked tuples, and what a container gains."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.infer.parameters import Parameters
from porter.infer.state import BARE, Scope
from porter.kinds import NOTHING, Kind, Kinds, join
from porter.nodes import dotted_text


class Targets(Parameters):
    """Writes what targets of assignments are given."""

    def _keep_local(self, scope: Scope, name: str, kinds: Kinds) -> None:
        if scope.function is not None:
            self.write(("local", scope.function.name, name), kinds)

    def _assign(self, target: ast.expr, value: Kinds, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            self.found[id(target)] = join(self.found.get(id(target), NOTHING), value)
            scope.env[target.id] = value
            prefix = target.id + "."
            for key in [k for k in scope.env if k.startswith(prefix)]:
                del scope.env[key]
            if scope.function is None and scope.owner is None:
                self.write(("global", scope.module.name, target.id), value)
            else:
                self._keep_local(scope, target.id, value)
        elif isinstance(target, ast.Attribute):
            base = self.eval(target.value, scope)
            self.found[id(target)] = join(self.found.get(id(target), NOTHING), value)
            for kind in base:
                if kind.name == "object" and (kind.of in self.program.classes or kind.of == BARE):
                    self.write(("attr", kind.of, target.attr), value)
            dotted = dotted_text(target)
            if dotted:
                scope.env[dotted] = value
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, value, scope)
        elif isinstance(target, ast.Starred):
            self._assign(target.value, K.list_of(value), scope)
        elif isinstance(target, ast.Subscript):
            container = self.eval(target.value, scope)
            self.eval(target.slice, scope)
            if any(k.name == "object" and "torch.nn.Sequential" in self.program.ancestry(k.of) for k in container):
                self.grown_containers = True
            if K.proven(container, frozenset({"list", "dict"})):
                self._extend(target.value, container, value, scope)

    def _unpack(self, target: ast.Tuple | ast.List, value: Kinds, scope: Scope) -> None:
        starred = any(isinstance(e, ast.Starred) for e in target.elts)
        for index, element in enumerate(target.elts):
            self._assign(element, K.elements(value) if starred else K.item(value, index), scope)

    def _extend(self, holder: ast.expr, container: Kinds, value: Kinds, scope: Scope) -> None:
        """A list, dict or module container gains an element."""
        grown = frozenset(
            Kind(k.name, k.of, (join(k.items[0] if k.items else NOTHING, value),))
            if k.name in ("list", "dict", "object")
            else k
            for k in container
        )
        if isinstance(holder, ast.Attribute):
            self._note_growth(holder)
        if isinstance(holder, ast.Name | ast.Attribute):
            self._assign(holder, grown, scope)

    def _note_growth(self, holder: ast.Attribute) -> None:
        """Notes that what an attribute of a class of the program holds is added to."""
        owners = self.kinds_of(holder.value)
        self.grown_attributes |= {(k.of, holder.attr) for k in owners if k.name == "object" and k.of in self.program.classes}
