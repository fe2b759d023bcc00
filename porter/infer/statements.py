"""What statements do to the names in scope: assignments, branches, loops, handlers and definitions."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from porter import kinds as K
from porter.infer.calls import Calls
from porter.infer.expressions import arithmetic
from porter.infer.state import Scope, merge
from porter.kinds import ANY, NOTHING, one
from porter.nodes import children


class Statements(Calls):
    """Walks the statements of a body."""

    def _body(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        for node in body:
            if not scope.alive:
                # unreachable code is still ported, so it is still looked at
                scope.alive = True
            self._statement(node, scope)

    def _statement(self, node: ast.stmt, scope: Scope) -> None:
        method = getattr(self, f"_do_{type(node).__name__}", None)
        if method is not None:
            method(node, scope)
            return
        for child in children(node):
            if isinstance(child, ast.expr):
                self.eval(child, scope)

    def _do_Expr(self, node: ast.Expr, scope: Scope) -> None:
        self.eval(node.value, scope)

    def _do_Assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.eval(node.value, scope)
        for target in node.targets:
            self._assign(target, value, scope)

    def _do_AnnAssign(self, node: ast.AnnAssign, scope: Scope) -> None:
        annotated = self._annotated(node.annotation, scope)
        value = self.eval(node.value, scope) if node.value is not None else NOTHING
        known = annotated if annotated and not annotated & ANY else value
        if known:
            self._assign(node.target, known, scope)

    def _do_AugAssign(self, node: ast.AugAssign, scope: Scope) -> None:
        left = self.eval(node.target, scope)
        right = self.eval(node.value, scope)
        # a parameter is changed in place and stays one
        changed = K.PARAMETER & left
        if left != changed or not left:
            changed = arithmetic(left - changed, right, node.op) | changed
        self._assign(node.target, changed, scope)

    def _do_Return(self, node: ast.Return, scope: Scope) -> None:
        value = self.eval(node.value, scope) if node.value is not None else K.NONE
        if scope.function is not None:
            self.write(("return", scope.function.name, ""), value)
        scope.alive = False

    def _do_Raise(self, node: ast.Raise, scope: Scope) -> None:
        for child in (node.exc, node.cause):
            if child is not None:
                self.eval(child, scope)
        scope.alive = False

    def _do_Continue(self, node: ast.Continue, scope: Scope) -> None:
        scope.alive = False

    def _do_Break(self, node: ast.Break, scope: Scope) -> None:
        scope.alive = False

    def _do_If(self, node: ast.If, scope: Scope) -> None:
        self.eval(node.test, scope)
        before = scope.env
        yes, no = self._narrow(node.test, scope)
        scope.env = yes
        self._body(node.body, scope)
        after_yes, alive_yes = scope.env, scope.alive
        scope.env, scope.alive = no, True
        self._body(node.orelse, scope)
        after_no, alive_no = scope.env, scope.alive
        if alive_yes and alive_no:
            scope.env = merge(after_yes, after_no)
        elif alive_yes or alive_no:
            scope.env = after_yes if alive_yes else after_no
        else:
            scope.env = before
        scope.alive = alive_yes or alive_no

    def _do_For(self, node: ast.For, scope: Scope) -> None:
        items = K.elements(self.eval(node.iter, scope))
        before = dict(scope.env)
        self._assign(node.target, items, scope)
        entered = scope.env
        for _ in range(2):
            scope.env = dict(entered)
            self._body(node.body, scope)
            scope.alive = True
            scope.env = merge(before, scope.env)
            self._assign(node.target, items, scope)
            if scope.env == entered:
                break
            entered = scope.env
        self._body(node.orelse, scope)
        scope.alive = True

    def _do_AsyncFor(self, node: ast.AsyncFor, scope: Scope) -> None:
        self._body(node.body, scope)

    def _do_While(self, node: ast.While, scope: Scope) -> None:
        self.eval(node.test, scope)
        before = dict(scope.env)
        for _ in range(2):
            entered = dict(scope.env)
            self._body(node.body, scope)
            scope.alive = True
            scope.env = merge(before, scope.env)
            if scope.env == entered:
                break
        self._body(node.orelse, scope)
        scope.alive = True

    def _do_With(self, node: ast.With, scope: Scope) -> None:
        for item in node.items:
            value = self.eval(item.context_expr, scope)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, value if item.optional_vars else ANY, scope)
        self._body(node.body, scope)

    def _do_Try(self, node: ast.Try, scope: Scope) -> None:
        before = dict(scope.env)
        self._body(node.body, scope)
        after = scope.env if scope.alive else before
        for handler in node.handlers:
            scope.env, scope.alive = dict(merge(before, after)), True
            self._body(handler.body, scope)
            if scope.alive:
                after = merge(after, scope.env)
        scope.env, scope.alive = dict(after), True
        self._body(node.orelse, scope)
        self._body(node.finalbody, scope)

    def _do_FunctionDef(self, node: ast.FunctionDef, scope: Scope) -> None:
        for decorator in node.decorator_list:
            self.eval(decorator, scope)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.eval(default, scope)
        if scope.function is not None:
            name = f"{scope.function.name}.<locals>.{node.name}"
            scope.env[node.name] = one("function", name)
            self._keep_local(scope, node.name, scope.env[node.name])

    def _do_ClassDef(self, node: ast.ClassDef, scope: Scope) -> None:
        for base in [*node.bases, *(k.value for k in node.keywords), *node.decorator_list]:
            self.eval(base, scope)
        prefix = scope.function.name + ".<locals>" if scope.function else scope.module.name
        if scope.owner is not None and scope.function is None:
            prefix = scope.owner.name
        name = f"{prefix}.{node.name}"
        cls = self.program.classes.get(name)
        if scope.function is not None:
            scope.env[node.name] = one("class", name)
            self._keep_local(scope, node.name, scope.env[node.name])
        if cls is not None:
            inner = Scope(scope.module, None, cls, {}, scope.unit)
            for statement in node.body:
                self._statement(statement, inner)
            for attribute, kinds in inner.env.items():
                self.write(("attr", name, attribute), kinds)
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    self.write(("attr", name, statement.target.id), self._annotated(statement.annotation, inner))
