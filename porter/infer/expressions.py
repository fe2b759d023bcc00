"""Literals, operators, lambdas and comprehensions."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from porter import kinds as K
from porter.infer.attributes import Attributes
from porter.infer.state import Scope
from porter.kinds import ANY, NOTHING, Kinds, join, one


class Expressions(Attributes):
    """Evaluates every expression but calls."""

    def _of_Tuple(self, node: ast.Tuple, scope: Scope) -> Kinds:
        items = [self.eval(e, scope) for e in node.elts]
        if any(isinstance(e, ast.Starred) for e in node.elts):
            return K.list_of(join(*items))
        return K.tuple_of(*items)

    def _of_List(self, node: ast.List, scope: Scope) -> Kinds:
        return K.list_of(join(*[self.eval(e, scope) for e in node.elts]))

    def _of_Set(self, node: ast.Set, scope: Scope) -> Kinds:
        return one("set", items=(join(*[self.eval(e, scope) for e in node.elts]),))

    def _of_Dict(self, node: ast.Dict, scope: Scope) -> Kinds:
        for key in node.keys:
            if key is not None:
                self.eval(key, scope)
        values = [self.eval(v, scope) for k, v in zip(node.keys, node.values)]
        spread = [k is None for k in node.keys]
        return one("dict", items=(join(*(K.item(v, None) if s else v for v, s in zip(values, spread))),))

    def _of_Starred(self, node: ast.Starred, scope: Scope) -> Kinds:
        return K.elements(self.eval(node.value, scope))

    def _of_JoinedStr(self, node: ast.JoinedStr, scope: Scope) -> Kinds:
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                self.eval(value.value, scope)
        return K.STR

    def _of_NamedExpr(self, node: ast.NamedExpr, scope: Scope) -> Kinds:
        value = self.eval(node.value, scope)
        self._assign(node.target, value, scope)
        return value

    def _of_IfExp(self, node: ast.IfExp, scope: Scope) -> Kinds:
        self.eval(node.test, scope)
        yes, no = self._narrow(node.test, scope)
        before = scope.env
        scope.env = yes
        left = self.eval(node.body, scope)
        scope.env = no
        right = self.eval(node.orelse, scope)
        scope.env = before
        return join(left, right)

    def _of_BoolOp(self, node: ast.BoolOp, scope: Scope) -> Kinds:
        before = scope.env
        found = []
        for value in node.values:
            found.append(self.eval(value, scope))
            yes, no = self._narrow(value, scope)
            scope.env = yes if isinstance(node.op, ast.And) else no
        scope.env = before
        if isinstance(node.op, ast.Or):
            found = [K.without_none(f) for f in found[:-1]] + found[-1:]
        return join(*found)

    def _of_Compare(self, node: ast.Compare, scope: Scope) -> Kinds:
        sides = [self.eval(node.left, scope), *(self.eval(c, scope) for c in node.comparators)]
        if all(isinstance(o, ast.Is | ast.IsNot | ast.In | ast.NotIn) for o in node.ops):
            return K.BOOL
        if any(K.is_tensor(s) for s in sides):
            return K.TENSOR
        return ANY if any(s & ANY or not s for s in sides) else K.BOOL

    def _of_UnaryOp(self, node: ast.UnaryOp, scope: Scope) -> Kinds:
        value = self.eval(node.operand, scope)
        if isinstance(node.op, ast.Not):
            return K.BOOL
        return K.TENSOR if K.is_tensor(value) else value

    def _of_BinOp(self, node: ast.BinOp, scope: Scope) -> Kinds:
        return arithmetic(self.eval(node.left, scope), self.eval(node.right, scope), node.op)

    def _of_Lambda(self, node: ast.Lambda, scope: Scope) -> Kinds:
        return self._lambda(node, (), scope)

    def _lambda(self, node: ast.Lambda, passed: Sequence[Kinds], scope: Scope) -> Kinds:
        """A lambda, of whose first parameters it may be known what they are given."""
        before = dict(scope.env)
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            scope.env[argument.arg] = ANY
        for argument, kinds in zip(node.args.args, passed):
            scope.env[argument.arg] = kinds or ANY
        result = self.eval(node.body, scope)
        scope.env = before
        return one("lambda", items=(result,))

    def _comprehension(self, node: ast.expr, generators: list[ast.comprehension], results: list[ast.expr], scope: Scope) -> list[Kinds]:
        before = dict(scope.env)
        for generator in generators:
            self._assign(generator.target, K.elements(self.eval(generator.iter, scope)), scope)
            for test in generator.ifs:
                self.eval(test, scope)
                scope.env = self._narrow(test, scope)[0]
        found = [self.eval(r, scope) for r in results]
        scope.env = before
        return found

    def _of_ListComp(self, node: ast.ListComp, scope: Scope) -> Kinds:
        return K.list_of(self._comprehension(node, node.generators, [node.elt], scope)[0])

    def _of_SetComp(self, node: ast.SetComp, scope: Scope) -> Kinds:
        return one("set", items=(self._comprehension(node, node.generators, [node.elt], scope)[0],))

    def _of_GeneratorExp(self, node: ast.GeneratorExp, scope: Scope) -> Kinds:
        return one("iterator", items=(self._comprehension(node, node.generators, [node.elt], scope)[0],))

    def _of_DictComp(self, node: ast.DictComp, scope: Scope) -> Kinds:
        return one("dict", items=(self._comprehension(node, node.generators, [node.key, node.value], scope)[1],))

    def _of_Yield(self, node: ast.Yield, scope: Scope) -> Kinds:
        value = self.eval(node.value, scope) if node.value is not None else K.NONE
        if scope.function is not None:
            self.write(("return", scope.function.name, ""), one("iterator", items=(value,)))
        return ANY


def arithmetic(left: Kinds, right: Kinds, operator: ast.operator) -> Kinds:
    sides = (K.without_none(left), K.without_none(right))
    if any(K.is_tensor(s) for s in sides):
        return K.TENSOR
    if not left or not right:
        return NOTHING  # not known yet
    if any(not s or s & ANY for s in sides):
        return ANY
    known = K.names(left) | K.names(right)
    if isinstance(operator, ast.Mod) and K.proven(left, frozenset({"str"})):
        return K.STR
    if known <= K.NUMBERS:
        if isinstance(operator, ast.Div):
            return K.FLOAT
        return K.FLOAT if "float" in known and known == {"float"} else join(left, right) - K.BOOL or K.INT
    if isinstance(operator, ast.Add | ast.Mult) and known & {"list", "tuple", "Size", "str"}:
        if known <= {"str", "int"}:
            return K.STR
        if known <= {"list", "tuple", "Size", "int"}:
            parts = [K.elements(s) for s in sides if not K.proven(s, frozenset({"int"}))]
            return K.list_of(join(*parts))
    if "ndarray" in known:
        return K.NDARRAY
    if known & K.TENSORS and known <= K.TENSORS | K.NUMBERS:
        return join(K.TENSOR, *(frozenset({k}) for k in left | right if k.name in K.NUMBERS))
    return ANY
