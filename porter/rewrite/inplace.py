"""Changes in place: MindSpore's methods leave the tensor as it was, so the name is assigned, where no other name sees the change."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.rewrite.attributes import Attributes
from porter.rewrite.edits import Edit
from porter.rewrite.walk import all_arguments
from porter.table import Row

_OPERATOR_TEXTS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**", ast.MatMult: "@",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_VIEWS = frozenset(["view", "reshape", "squeeze", "unsqueeze", "transpose", "permute", "t", "flatten", "narrow", "select", "expand", "chunk", "split", "unbind", "detach", "contiguous", "data", "T", "view_as", "expand_as", "to"])


class InPlace(Attributes):
    """Changes in place."""

    def _inplace_statement(self, node: ast.Expr, call: ast.Call) -> list[Edit] | None:
        """`x.add_(y)` as a statement: MindSpore's in-place methods leave x as it was, so x is assigned."""
        if not isinstance(call.func, ast.Attribute) or not call.func.attr.endswith("_"):
            return None
        rows = [r for r in self.table.get(f"torch.Tensor.{call.func.attr}") if r.inplace]
        receiver = call.func.value
        if not rows or not K.is_tensor(self.kinds(receiver)):
            return None
        is_data = isinstance(receiver, ast.Attribute) and receiver.attr == "data"
        holder = receiver.value if is_data and isinstance(receiver, ast.Attribute) else receiver
        text = self._port_call(call, rows, holder)
        if text is None:
            return self.children(node)
        holder = self._chain_root(holder)
        target = self.render(holder)
        if isinstance(holder, ast.Subscript):
            return self.replace(node, f"{target} = {text}")
        if self._is_parameter(holder, is_data):
            return self.replace(node, f"{target}.set_data({text})" if is_data or not self._in_forward() else f"{self.spell('mindspore.ops.assign')}({target}, {text})")
        if isinstance(holder, ast.Name):
            self._check_alias(node, holder)
            return self.replace(node, f"{target} = {text}")
        if isinstance(holder, ast.Subscript | ast.Attribute):
            return self.replace(node, f"{target} = {text}")
        self.report(node, "MSP204", f"{call.func.attr} changes a tensor that has no name", "assign the result to a name")
        return self.children(node)

    def _chain_root(self, node: ast.expr) -> ast.expr:
        """The tensor that `x.add_(y).clamp_(0)` changes: x, where every call of the chain works in place."""
        root = node
        while isinstance(root, ast.Call) and isinstance(root.func, ast.Attribute) and self._is_inplace_method(root.func.attr):
            root = root.func.value
        return root if isinstance(root, ast.Name | ast.Attribute | ast.Subscript) else node

    def _is_inplace_method(self, name: str) -> bool:
        return any(r.inplace for r in self.table.get(f"torch.Tensor.{name}"))

    def _ends_in_statement(self, node: ast.AST) -> bool:
        """Whether a call of an in-place chain belongs to a statement, which assigns the chain's tensor."""
        parent = self.parents.get(id(node))
        while isinstance(parent, ast.Attribute) and self._is_inplace_method(parent.attr):
            node = self.parents[id(parent)]
            parent = self.parents.get(id(node))
        return isinstance(parent, ast.Expr)

    def _inplace_call_statement(self, node: ast.Expr, call: ast.Call, name: str | None) -> list[Edit] | None:
        """`F.relu_(x)`, `F.relu(x, inplace=True)` or an in-place layer as a statement: x becomes the result."""
        if not call.args or isinstance(call.args[0], ast.Starred):
            return None
        in_table = name is not None and not name.startswith("torch.nn.init.") and any(r.inplace for r in self.table.get(name))
        if not (in_table or self._asks_inplace(call, name) or self._is_inplace_layer(call.func)):
            return None
        holder = call.args[0]
        if not isinstance(holder, ast.Name | ast.Attribute | ast.Subscript):
            self.report(node, "MSP204", "a tensor that has no name is changed in place", "assign the result to a name")
            return None
        if isinstance(holder, ast.Name):
            self._check_alias(node, holder)
        edits = self.visit(call)
        start, end = self.span(call)
        return [Edit(start, end, f"{self.render(holder)} = {self.splice(start, end, edits)}")]

    def _asks_inplace(self, call: ast.Call, name: str | None) -> bool:
        flag = any(k.arg == "inplace" and isinstance(k.value, ast.Constant) and k.value.value is True for k in call.keywords)
        return flag and name is not None and name.startswith("torch.nn.functional.")

    def _check_alias(self, node: ast.stmt, name: ast.Name) -> None:
        """A change in place is seen through every other name of the tensor; an assignment is not."""
        if not self.functions:
            return
        function = self.functions[-1]
        others = _aliases(function, name.id)
        if _is_callers(function, name.id, node):
            self.report(
                node, "MSP602", f"{name.id} is the caller's tensor and is changed in place: the caller will not see it",
                f"return the new {name.id} and let the caller use it, or copy it first if the caller must not see the change",
            )  # fmt: skip
            return
        for other in others:
            if other != name.id and read_after(function, other, node):
                self.report(
                    node, "MSP204", f"{name.id} is changed in place and {other} may be the same tensor",
                    f"make {other} a copy, or use the value of {name.id} under one name only",
                )  # fmt: skip
                return

    def visit_AugAssign(self, node: ast.AugAssign) -> list[Edit]:
        target = node.target
        if isinstance(target, ast.Attribute) and target.attr == "data" and K.is_tensor(self.kinds(target.value)):
            owner, value = self.render(target.value), self._operand(node.value)
            value = value if isinstance(node.value, ast.Constant | ast.Name | ast.Attribute | ast.Call | ast.Subscript) else f"({value})"
            return self.replace(node, f"{owner}.set_data({owner} {_OPERATOR_TEXTS[type(node.op)]} {value})")
        if isinstance(node.target, ast.Name) and K.is_tensor(self.kinds(node.target)):
            self._check_alias(node, node.target)
        return self.children(node)

    def _check_inplace_call(self, node: ast.Call, name: str | None) -> None:
        """relu(x, inplace=True), or a layer built so: torch changes x as well, and MindSpore does not."""
        if not self.functions or not node.args or not isinstance(node.args[0], ast.Name):
            return
        if not self._asks_inplace(node, name) and not self._is_inplace_layer(node.func):
            return
        function, subject = self.functions[-1], node.args[0].id
        statement: ast.AST | None = node
        while statement is not None and not isinstance(statement, ast.stmt):
            statement = self.parents.get(id(statement))
        rebound = isinstance(statement, ast.Assign) and any(isinstance(t, ast.Name) and t.id == subject for t in statement.targets)
        seen = _aliases(function, subject) - {subject} if rebound else _aliases(function, subject)
        # what the result is bound to is the changed tensor itself
        if isinstance(statement, ast.Assign):
            seen -= {t.id for t in statement.targets if isinstance(t, ast.Name)}
        for other in sorted(seen):
            if read_after(function, other, node):
                self.report(
                    node, "MSP204", f"{other} is read after an in-place activation changed it",
                    f"write inplace=False if {other} is meant as it was, or use the activation's result under that name",
                )  # fmt: skip
                return

    def _is_inplace_layer(self, func: ast.expr) -> bool:
        if not (isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "self" and self.classes):
            return False
        cls = self.program.classes.get(self.classes[-1])
        if cls is None:
            return False
        layers: set[str] | None = self._inplace_cache.get(cls.name)
        if layers is None:
            layers = self._inplace_cache[cls.name] = _inplace_layers(cls.node)
        return func.attr in layers

    def _inplace_value(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> list[Edit]:
        """An in-place method whose value is used: right where nobody reads the receiver again."""
        receiver = func.value
        is_data = isinstance(receiver, ast.Attribute) and receiver.attr == "data"
        holder = receiver.value if isinstance(receiver, ast.Attribute) and is_data else receiver
        text = self._port_call(node, rows, holder)
        if text is None:
            return self.children(node)
        parent = self.parents.get(id(node))
        same = isinstance(parent, ast.Assign) and ast.unparse(parent.targets[0]) == ast.unparse(holder)
        same = same or (isinstance(holder, ast.Name | ast.Attribute | ast.Subscript) and self._ends_in_statement(node))
        fresh = isinstance(holder, ast.Call | ast.BinOp)
        unread = isinstance(holder, ast.Name) and self.functions and not read_after(self.functions[-1], holder.id, node)
        if self._is_parameter(holder, is_data) and not fresh:
            return self.replace(node, f"{self.spell('mindspore.ops.assign')}({self.render(holder)}, {text})")
        if isinstance(holder, ast.Name) and (same or unread):
            self._check_alias(node, holder)  # type: ignore[arg-type]
        elif not (same or fresh):
            shown = ast.unparse(holder)
            self.report(
                node, "MSP204", f"{shown} is changed in place by {func.attr} and read again",
                f"write {shown} = ... as a statement of its own first", rows[0],
            )  # fmt: skip
        return self.replace(node, text)


def _is_callers(function: ast.AST, name: str, node: ast.stmt) -> bool:
    """Whether a name still holds the argument that the caller passed when a statement runs."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or name not in {a.arg for a in all_arguments(function.args)}:
        return False
    for other in ast.walk(function):
        if isinstance(other, ast.Name) and other.id == name and isinstance(other.ctx, ast.Store) and other.lineno < node.lineno:
            return False
    return True


def _inplace_layers(cls: ast.ClassDef) -> set[str]:
    """Attributes that hold a layer built with inplace=True."""
    found: set[str] = set()
    nodes = list(ast.walk(cls))
    if any(isinstance(n, ast.keyword) and n.arg == "inplace" for n in nodes):
        for node in nodes:
            if isinstance(node, ast.Assign) and any(
                isinstance(k, ast.keyword) and k.arg == "inplace" and isinstance(k.value, ast.Constant) and k.value.value is True
                for k in ast.walk(node.value)
            ):
                found |= {t.attr for t in node.targets if isinstance(t, ast.Attribute)}
    return found


def _aliases(function: ast.AST, name: str) -> set[str]:
    """Local names that may hold the same tensor, or a view of it, as `name`."""
    pairs: list[tuple[str, str]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            source = _alias_source(node.value)
            for target in node.targets:
                if source and isinstance(target, ast.Name):
                    pairs.append((target.id, source))
    group = {name}
    grown = True
    while grown:
        grown = False
        for left, right in pairs:
            if (left in group) != (right in group):
                group |= {left, right}
                grown = True
    return group


def _alias_source(value: ast.expr) -> str | None:
    """The name whose storage an expression shares: x, x[...], x.view(...), x.T."""
    if isinstance(value, ast.Name):
        return value.id
    if isinstance(value, ast.Subscript):
        return _alias_source(value.value)
    if isinstance(value, ast.Attribute) and value.attr in ("data", "T", "mT"):
        return _alias_source(value.value)
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in _VIEWS:
        if isinstance(value.func.value, ast.Name) and value.func.value.id in ("torch", "F"):
            return _alias_source(value.args[0]) if value.args else None
        return _alias_source(value.func.value)
    return None


def read_after(function: ast.AST, name: str, node: ast.AST) -> bool:
    """Whether a name is read after a place, or anywhere in a loop around it, before it is bound anew right there."""
    line = (getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0))
    loops = [n for n in ast.walk(function) if isinstance(n, ast.For | ast.While) and n.lineno <= line[0] <= (n.end_lineno or 0)]
    events: list[tuple[int, int, str]] = []
    for n in ast.walk(function):
        if isinstance(n, ast.Name) and n.id == name:
            if isinstance(n.ctx, ast.Load):
                events.append((n.lineno, n.col_offset, "read"))
        if isinstance(n, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in n.targets):
            events.append((n.end_lineno or 0, (n.end_col_offset or 0) + 1, "bind"))
    for event in sorted(events):
        if event[:2] > line:
            if event[2] == "read":
                return True
            if not any(isinstance(p, ast.If | ast.For | ast.While | ast.Try) and p.lineno <= event[0] <= (p.end_lineno or 0) for p in ast.walk(function)):
                return False
    for loop in loops:
        first = next((e for e in sorted(events) if e[0] >= loop.lineno), None)
        if first is not None and first[2] == "read" and first[:2] < line:
            return True
    return False
