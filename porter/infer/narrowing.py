"""What a test proves of the values it asks about, on either of its branches."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.infer.annotations import BUILTIN_INSTANCES, instance_of
from porter.infer.state import Env, Scope
from porter.infer.targets import Targets
from porter.kinds import ANY, Kind, Kinds, join, one
from porter.nodes import dotted_text
from porter.recognize import class_name_test


class Narrowing(Targets):
    """Follows isinstance, comparisons with None and with names of classes."""

    def _narrow(self, test: ast.expr, scope: Scope) -> tuple[Env, Env]:
        yes, no = dict(scope.env), dict(scope.env)
        self._narrow_into(test, scope, yes, no)
        return yes, no

    def _narrow_into(self, test: ast.expr, scope: Scope, yes: Env, no: Env) -> None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self._narrow_into(test.operand, scope, no, yes)
        elif isinstance(test, ast.BoolOp):
            for value in test.values:
                spare: Env = {}
                if isinstance(test.op, ast.And):
                    self._narrow_into(value, scope, yes, spare)
                else:
                    self._narrow_into(value, scope, spare, no)
        elif (asked := class_name_test(test)) is not None:
            self._narrow_class_name(*asked, scope, yes)
        elif isinstance(test, ast.Compare) and len(test.ops) == 1 and is_none(test.comparators[0]):
            key = dotted_text(test.left)
            if key:
                known = self.eval(test.left, scope)
                if isinstance(test.ops[0], ast.IsNot):
                    yes[key] = known - K.NONE or known
                    no[key] = K.NONE
                elif isinstance(test.ops[0], ast.Is):
                    no[key] = known - K.NONE or known
                    yes[key] = K.NONE
        elif isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance":
            if len(test.args) == 2:
                self._narrow_isinstance(test.args[0], test.args[1], scope, yes, no)
        elif isinstance(test, ast.Call) and self.program.dotted(scope.module, test.func) == "torch.is_tensor":
            key = dotted_text(test.args[0]) if test.args else None
            if key:
                yes[key] = K.TENSOR
        elif isinstance(test, ast.Name | ast.Attribute):
            key = dotted_text(test)
            if key:
                known = self.eval(test, scope)
                yes[key] = known - K.NONE or known

    def _narrow_class_name(self, name: ast.expr, literal: ast.expr, part: str, scope: Scope, yes: Env) -> None:
        """`classname.find("BatchNorm") != -1` says what the module is whose class has that name."""
        for kind in self.eval(name, scope):
            if not kind.of.startswith("class of "):
                continue
            self.class_literals[id(literal)] = part
            subject = kind.of.removeprefix("class of ")
            found = [r for r in self.table.rows if r.startswith("torch.nn.") and r.count(".") == 2 and part in r.rpartition(".")[2]]
            found = [r for r in found if self._is_module(r) and not self.table.get(r)[0].refused]
            own = [c for c in self.program.classes if part in c.rpartition(".")[2] and self.program.is_module_class(c)]
            if subject in scope.env and 0 < len(found) + len(own) <= 12:
                yes[subject] = join(*(one("object", f) for f in [*found, *own]))

    def _narrow_isinstance(self, subject: ast.expr, against: ast.expr, scope: Scope, yes: Env, no: Env) -> None:
        key = dotted_text(subject)
        if key is None:
            return
        known = self.eval(subject, scope)
        wanted = self._instances(self.eval(against, scope))
        if not wanted or wanted & ANY:
            return
        kept = frozenset(n for k in known for w in wanted if (n := self._narrowed(k, w)) is not None)
        yes[key] = kept if kept and not known & ANY else wanted
        left = frozenset(k for k in known if not any(self._within(k, w) for w in wanted))
        if left and not known & ANY:
            no[key] = left

    def _narrowed(self, kind: Kind, wanted: Kind) -> Kind | None:
        """What a value of one kind is once it is known to be of another: some module that is a Linear is a Linear."""
        if self._within(kind, wanted):
            return kind
        return wanted if kind.name == "object" and self._within(wanted, kind) else None

    def _within(self, kind: Kind, wanted: Kind) -> bool:
        if kind.name == "object" and wanted.name == "object":
            if wanted.of == "torch.nn.Module":
                return self._is_module(kind.of)
            return wanted.of in self.program.ancestry(kind.of)
        return kind.name == wanted.name or (kind.name == "Parameter" and wanted.name == "Tensor")

    def _instances(self, classes: Kinds) -> Kinds:
        """What instances of the given classes are; tuples of classes as in isinstance."""
        found: list[Kinds] = []
        for kind in classes:
            if kind.name == "tuple":
                found += [self._instances(i) for i in kind.items]
            elif kind.name == "class":
                found.append(instance_of(kind.of))
            elif kind.name == "builtin" and kind.of in BUILTIN_INSTANCES:
                found.append(BUILTIN_INSTANCES[kind.of])
            else:
                return ANY
        return join(*found)


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
