"""Changes in place: MindSpore's methods leave the tensor as it was, so the name is assigned, where no other name sees the change."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.activations import always_inplace, asks_inplace
from porter.emit import EXTRAS
from porter.grammar import in_network, runs_in_forward
from porter.nodes import walk
from porter.rewrite.attributes import Attributes, is_gradient
from porter.rewrite.augmented import OPERATORS, augmented_edits
from porter.rewrite.edits import Edit
from porter.rewrite.walk import all_arguments
from porter.sharing import Seen
from porter.table import Row


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
        holder, is_data = self._changed(receiver)
        text = self._port_call(call, rows, holder if not isinstance(receiver, ast.Call) else receiver)
        if text is None:
            return self.children(node)
        target = self.render(holder)
        if isinstance(holder, ast.Subscript) and not self._is_entry_parameter(holder):
            return self._assigned(node, target, text)
        if self._is_parameter(holder, is_data) and not is_gradient(holder):
            return self.replace(
                node,
                f"{target}.set_data({text})"
                if (is_data and not runs_in_forward(self)) or not self._in_forward()  # a graph has no set_data
                else f"{self.spell('mindspore.ops.assign')}({target}, {text})",
            )
        if isinstance(holder, ast.Name):
            self._check_alias(node, holder)
            return self.replace(node, f"{target} = {text}")
        if isinstance(holder, ast.Attribute):
            return self._assigned(node, target, text)
        return self._nameless(node)

    def _is_entry_parameter(self, holder: ast.Subscript) -> bool:
        """`net.state_dict()[name]`: an entry of a dictionary that is a parameter of the network, and no part of a tensor."""
        return K.proven(self.kinds(holder), frozenset({"Parameter"})) and K.proven(self.kinds(holder.value), frozenset({"dict"}))

    def _assigned(self, node: ast.Expr, target: str, text: str) -> list[Edit]:
        """`target = text`; a parameter that the port reaches through a function takes the values instead."""
        if not isinstance(ast.parse(target, mode="eval").body, ast.Call):
            return self.replace(node, f"{target} = {text}")
        if target.startswith(f"{EXTRAS}.layer_parameter("):
            return self.replace(node, f"{target}.set_data({text})")
        return self._nameless(node)

    def _nameless(self, node: ast.Expr) -> list[Edit]:
        self.report(node, "MSP204", "a tensor that has no name is changed in place", "assign the result to a name")
        return self.children(node)

    def _changed(self, receiver: ast.expr) -> tuple[ast.expr, bool]:
        """The tensor that all of `x.mul_(a).add_(b)` changes, and whether through its data; the calls before the last are links of one value."""
        while isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute) and receiver.func.attr.endswith("_"):
            if not any(r.inplace for r in self.table.get(f"torch.Tensor.{receiver.func.attr}")) or not K.is_tensor(self.kinds(receiver.func.value)):
                break
            self._links.add(id(receiver))
            receiver = receiver.func.value
        is_data = isinstance(receiver, ast.Attribute) and receiver.attr == "data"
        return (receiver.value if is_data and isinstance(receiver, ast.Attribute) else receiver), is_data

    def _inplace_call_statement(self, node: ast.Expr, call: ast.Call, name: str | None) -> list[Edit] | None:
        """`F.relu_(x)`, `F.relu(x, inplace=True)` or an in-place layer as a statement: x becomes the result."""
        if not call.args or isinstance(call.args[0], ast.Starred):
            return None
        in_table = (
            name is not None
            and not name.startswith("torch.nn.init.")
            and any(r.inplace for r in self.table.get(name))
        )
        if not (in_table or self._asks_inplace(call, name) or self._is_inplace_layer(call.func)):
            return None
        holder = call.args[0]
        if not isinstance(holder, ast.Name | ast.Attribute | ast.Subscript):
            return self._nameless(node)
        if isinstance(holder, ast.Name):
            self._check_alias(node, holder)
        return self._assigned(node, self.render(holder), self.splice(*self.span(call), self.visit(call)))

    def _asks_inplace(self, call: ast.Call, name: str | None) -> bool:
        return (
            name is not None
            and name.startswith("torch.nn.functional.")
            and asks_inplace(self.program, call, name) is True
        )

    def _check_alias(self, node: ast.stmt, name: ast.Name) -> None:
        """A change in place is seen through every other name of the tensor; an assignment is not."""
        if not self.functions:
            return
        function = self.functions[-1]
        if _is_callers(function, name.id, node):
            self.report(
                node, "MSP602", f"{name.id} is the caller's tensor and is changed in place: the caller will not see it",
                f"return the new {name.id} and let the caller use it, or copy it first if the caller must not see the change",
            )  # fmt: skip

    def visit_AugAssign(self, node: ast.AugAssign) -> list[Edit]:
        target = node.target
        is_data = isinstance(target, ast.Attribute) and target.attr == "data" and K.is_tensor(self.kinds(target.value))
        holder = target.value if is_data and isinstance(target, ast.Attribute) else target
        # under its name alone a parameter would become the sum, and what holds it would keep the old value
        if type(node.op) in OPERATORS and (is_data or (self._is_parameter(target, False) and not in_network(self))):
            owner, value = self.render(holder), self._operand(node.value)
            value = (
                value
                if isinstance(node.value, ast.Constant | ast.Name | ast.Attribute | ast.Call | ast.Subscript)
                else f"({value})"
            )
            changed = f"{owner} {OPERATORS[type(node.op)]} {value}"
            renamed = is_gradient(holder) or not self._is_parameter(holder, is_data)
            assigned = f"{self.spell('mindspore.ops.assign')}({owner}, {changed})" if runs_in_forward(self) else f"{owner}.set_data({changed})"
            return self.replace(node, f"{owner} = {changed}" if renamed else assigned)
        if isinstance(node.target, ast.Name) and K.is_tensor(self.kinds(node.target)):
            self._check_alias(node, node.target)
        edits = augmented_edits(self, node)
        return self.children(node) if edits is None else edits

    def _check_sharing(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Names that torch would show changed by what changes another name of the same tensor, and that are read again."""
        owner = (
            self.program.classes.get(self.classes[-1])
            if self.classes and self.parents.get(id(function)) is self._class_node()
            else None
        )
        for seen in self.inference.sharing.of(function, self.module, owner).seen:
            if self._names_result_too(seen):
                continue
            if seen.by == "activation":
                message, help = (
                    f"{seen.name} is read after an in-place activation changed it",
                    f"write inplace=False if {seen.name} is meant as it was, or use the activation's result under that name",
                )
            elif seen.by == "items":
                message, help = (
                    f"items of a tensor are set and {seen.name} may share its memory: where a gradient is taken, MindSpore sets them in one of the two",
                    f"set the items of the tensor that {seen.name} is made of before {seen.name} is made, or make {seen.name} a copy",
                )
            elif seen.by == "call":
                message, help = (
                    f"{seen.name} is read after a call changed it in place",
                    f"let the called function return the new tensor, and use it under the name {seen.name}",
                )
            else:
                message, help = (
                    f"a tensor is changed in place and {seen.name} may be the same tensor",
                    f"make {seen.name} a copy, or use the value under one name only",
                )
            self.report(seen.node, "MSP204", message, help)

    def _check_apart(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Names that a compiled graph would show without items that another name, or a function that is called, gave them."""
        owner = self.program.classes.get(self.classes[-1]) if self.classes and self.parents.get(id(function)) is self._class_node() else None
        for seen in self.inference.sharing.of(function, self.module, owner).apart:
            self.report(
                seen.node, "MSP617", f"PYNATIVE only: {seen.name} is read later, and a compiled graph does not give it the items that are set here",
                f"set them under the name {seen.name}, or return what was changed and name it {seen.name}",
            )  # fmt: skip

    def _names_result_too(self, seen: Seen) -> bool:
        """`y = self.act_(x)` with x read later: x is given the result as well."""
        call, statement = seen.node, self.parents.get(id(seen.node))
        if seen.by != "activation" or not isinstance(call, ast.Call) or not (call.args and isinstance(call.args[0], ast.Name) and call.args[0].id == seen.name):
            return False
        if not (isinstance(statement, ast.Assign) and statement.value is call and all(isinstance(t, ast.Name) for t in statement.targets)):
            return False
        name = self.resolve(call.func)
        if not (self._is_inplace_layer(call.func) or (name is not None and always_inplace(self.program, call, name))):
            return False
        self._named_too[id(statement)] = seen.name
        return True

    def _class_node(self) -> ast.ClassDef | None:
        cls = self.program.classes.get(self.classes[-1]) if self.classes else None
        return cls.node if cls is not None else None

    def _is_inplace_layer(self, func: ast.expr) -> bool:
        if not (
            isinstance(func, ast.Attribute)
            and isinstance(func.value, ast.Name)
            and func.value.id == "self"
            and self.classes
        ):
            return False
        return self.inference.sharing.layers.certain(self.classes[-1], func.attr)

    def _inplace_value(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> list[Edit]:
        """An in-place method whose value is used: right where nobody reads the receiver again."""
        receiver = func.value
        holder, is_data = self._changed(receiver)
        text = self._port_call(node, rows, holder if not isinstance(receiver, ast.Call) else receiver)
        if text is None:
            return self.children(node)
        if id(node) in self._links:
            return self.replace(node, text)
        parent = self.parents.get(id(node))
        same = isinstance(parent, ast.Assign) and ast.unparse(parent.targets[0]) == ast.unparse(holder)
        fresh = isinstance(holder, ast.Call | ast.BinOp)
        unread = (
            isinstance(holder, ast.Name)
            and self.functions
            and not read_after(self.functions[-1], holder.id, node)
        )
        if self._is_parameter(holder, is_data) and not fresh:
            return self.replace(node, f"{self.spell('mindspore.ops.assign')}({self.render(holder)}, {text})")
        if isinstance(holder, ast.Name) and isinstance(parent, ast.Assign) and parent.value is node and not (same or unread):
            self._check_alias(parent, holder)
            if all(isinstance(t, ast.Name) for t in parent.targets):
                return self.replace(node, f"{holder.id} = {text}")
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
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or name not in {
        a.arg for a in all_arguments(function.args)
    }:
        return False
    for other in walk(function):
        if (
            isinstance(other, ast.Name)
            and other.id == name
            and isinstance(other.ctx, ast.Store)
            and other.lineno < node.lineno
        ):
            return False
    return True


def read_after(function: ast.AST, name: str, node: ast.AST) -> bool:
    """Whether a name is read after a place, or anywhere in a loop around it, before it is bound anew right there."""
    line = (getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0))
    loops = [
        n
        for n in walk(function)
        if isinstance(n, ast.For | ast.While) and n.lineno <= line[0] <= (n.end_lineno or 0)
    ]
    events: list[tuple[int, int, str]] = []
    for n in walk(function):
        if isinstance(n, ast.Name) and n.id == name:
            if isinstance(n.ctx, ast.Load):
                events.append((n.lineno, n.col_offset, "read"))
        if isinstance(n, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in n.targets):
            events.append((n.end_lineno or 0, (n.end_col_offset or 0) + 1, "bind"))
    for event in sorted(events):
        if event[:2] > line:
            if event[2] == "read":
                return True
            if not any(
                isinstance(p, ast.If | ast.For | ast.While | ast.Try)
                and p.lineno <= event[0] <= (p.end_lineno or 0)
                for p in walk(function)
            ):
                return False
    for loop in loops:
        first = next((e for e in sorted(events) if e[0] >= loop.lineno), None)
        if first is not None and first[2] == "read" and first[:2] < line:
            return True
    return False
