"""Calls of torch functions, of tensor and module methods, of super() and of what formats text."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.by_name import member_edits
from porter.complexes import complex_call_edits
from porter.expression import primary
from porter.formats import (
    field_place,
    formatted_values,
    is_numeric,
    number_text,
    numeric_arguments,
    quote_of,
    requoted,
)
from porter.functions import omitted_arguments
from porter.grammar import in_network
from porter.graph_forms import call_edits, is_cast
from porter.guards import (
    constant_of,
    truth,
)
from porter.held_dense import is_power
from porter.kinds import ANY, Kinds
from porter.leaves import leaves_of
from porter.lost_gradients import check_call, dict_edits
from porter.mapped import mapped_edits, paired_edits
from porter.no_grad import unproven_call
from porter.numpy_calls import copied_if_needed
from porter.numpy_sizes import as_size
from porter.old_constructors import listed_values
from porter.old_types import named_edits, sized_edits, typed_edits
from porter.promoted import promote
from porter.rearrange import Rearrangement, method_chain, short_equation
from porter.recognize import is_move, is_text_call
from porter.recurrent_state import listed_state
from porter.rewrite.attributes import is_identity
from porter.rewrite.edits import Edit, Needs
from porter.rewrite.inplace import InPlace
from porter.rewrite.walk import MODULE, RENAMED_METHODS
from porter.table import Row
from porter.tanh_squared import exact_tanh
from porter.torch_questions import fallback_edits
from porter.variables import cuts_gradient
from porter.whole import ends_gradient, is_bare_cast

_CONTAINERS = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict", "torch.nn.ParameterList", "torch.nn.ParameterDict"})
_CONTAINER_METHODS = frozenset({"add_module", "append", "extend", "insert", "pop", "update", "items", "keys", "values", "clear"})
_COMMON_METHODS: frozenset[str] = frozenset(["resize", "values", "keys", "items", "index", "count", "copy", "apply", "get", "pop", "update", "format"])


class Calls(InPlace):
    """Calls."""

    def visit_Call(self, node: ast.Call) -> list[Edit]:
        """A call is rewritten once, though the calls around it ask for its text several times."""
        key = (id(node), self.context[-1])
        if key not in self._calls:
            self._calls[key] = self._as_leaf(node, as_size(self, node, self._call(node)))
        return self._calls[key]

    def _as_leaf(self, node: ast.Call, edits: list[Edit]) -> list[Edit]:
        """What trains outside of a network is a Parameter, under the name that the file gives it."""
        name = leaves_of(self.program, self.module).calls.get(id(node))
        if name is None:
            return edits
        text = self.splice(*self.span(node), edits)
        return self.replace(
            node, f"{self.spell('mindspore.Parameter')}({text}, name={self.quote}{name}{self.quote})"
        )

    def forget(self) -> None:
        """Calls are rewritten anew, and note what they need anew, after an attempt was given up."""
        self._calls.clear()

    def _call(self, node: ast.Call) -> list[Edit]:
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance" and len(node.args) == 2:
            edits = self.visit(node.args[0])
            with self.within("isinstance"):
                return edits + self.visit(node.args[1])
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call) and _is_super(node.func.value):
            return self._super_call(node)
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) in (2, 3):
            name = self._named_member(node)
            text = self._reference_text(node, name) if name is not None and self.table.get(name) else None
            member = member_edits(self, node) if text is None else self.replace(node, text)
            member = fallback_edits(self, node) if member is None else member
            if member is not None:
                return member
        if isinstance(node.func, ast.Name) and node.func.id == "abs" and self.program.makes_complex and K.is_tensor(self.kinds(node.args[0])):
            return self._torch_call(node, "torch.abs")
        mapped = mapped_edits(self, node) if isinstance(node.func, ast.Name) and node.func.id == "map" else None
        if mapped is None and len(node.args) == 2:
            mapped = paired_edits(self, node)
        if mapped is not None:
            return mapped
        zipped = call_edits(self, node)
        if zipped is None:
            zipped = dict_edits(self, node)
        if zipped is not None:
            return zipped
        check_call(self, node)
        if self._is_apply(node.func):
            return self._apply_call(node, node.func)
        values = formatted_values(self, node)
        if values is not None:
            return [*self.visit(node.func), *self.replace(values, f"{self.spell('emitted.numbers')}({self.render(values)})"), *(e for a in node.args for e in self.visit(a)),
                    *(e for k in node.keywords if k.value is not values for e in self.visit(k.value))]  # fmt: skip
        numeric = {id(a) for a in numeric_arguments(node)}
        if numeric:
            return self._with_numbers(node, numeric)
        name = self.resolve(node.func)
        multiplied = complex_call_edits(self, node, name)
        if multiplied is not None:
            return multiplied
        if name is not None and self.program.is_torch(name):
            return self._torch_call(node, name)
        if self._is_moved() and unproven_call(self, node):
            self.report(node, "MSP205", f"{ast.unparse(node.func)} runs under no_grad, and what it returns may hold tensors that would carry a gradient here",
                        "return ops.stop_gradient of each tensor in it")  # fmt: skip
        if isinstance(node.func, ast.Attribute):
            method = self._method_call(node, node.func)
            if method is not None:
                return method
        if name is not None and name.startswith("numpy."):
            return copied_if_needed(self, node)
        if is_cast(self, node) and in_network(self):
            return self.replace(node, self._wrapped(node, self.render(node.args[1])))
        if name in ("typing.cast", "cast") and len(node.args) == 2:
            with self.within("annotation"):
                edits = self.visit(node.args[0])
            return edits + self.visit(node.args[1])
        return listed_state(self, node, self.children(node))

    def _apply_call(self, node: ast.Call, func: ast.Attribute) -> list[Edit]:
        edits = [*self._applied(func), *(e for a in node.args for e in self.visit(a))]
        kinds = self.kinds(func.value)
        rest = {omitted_arguments(self.program, k.of, node) for k in kinds}
        if len(rest) != 1 or None in rest:
            self.report(node, "MSP211", f"{ast.unparse(func)} leaves out an argument of forward", "pass every argument")
            return edits
        text = rest.pop()
        if text:
            end = self.span(node)[1] - 1
            edits.append(Edit(end, end, text))
        return edits

    def _with_numbers(self, node: ast.Call, numeric: set[int]) -> list[Edit]:
        """`"{:.4f}".format(loss)`: tensors that a format for numbers takes become numbers."""
        edits: list[Edit] = []
        for argument in [*node.args, *(k.value for k in node.keywords)]:
            own = self.visit(argument)
            text = self.splice(*self.span(argument), own)
            new = number_text(self, argument, text) if id(argument) in numeric else text
            edits += own if new == text else self.replace(argument, new)
        return edits

    def _torch_call(self, node: ast.Call, name: str) -> list[Edit]:
        rows = self.table.get(name)
        if not rows:
            owner = name.rpartition(".")[0]
            if name == MODULE and not node.args and not node.keywords:  # a bare module that only holds others
                return self.replace(node.func, self.spell("emitted.Module"))
            if self._is_base_call(node, owner):
                return self._base_call(node)
            if name.startswith("torch.Tensor.") or (owner in self.table.rows and self.table.get(owner)[0].kind == "module"):
                return self.children(node)
            self.report(node, "MSP101", f"{name} is not in the table", "port this call by hand, or add a row (see CONTRIBUTING)", symbol=name)
            return self._left(node, name)
        receiver = None
        if rows[0].kind == "method" and name.startswith("torch.Tensor.") and node.args:
            return self._unbound_method(node, rows)
        chain = self._method_chain(node, name) if name.startswith("einops.") else None
        if chain is not None:
            return self.replace(node, chain)
        promote(self, name, node.args[0] if node.args else None)
        if name == "torch.nn.ModuleList" and len(node.args) == 1 and isinstance(node.args[0], ast.Tuple):  # a CellList takes a list
            self.replaced.setdefault(id(node.args[0]), f"[{self.render(node.args[0])[1:-1].rstrip().removesuffix(',')}]")
        values = listed_values(self, node, name)
        if values is not None and rows[-1].adapter:
            return self.replace(node, f"{self.spell(rows[-1].adapter)}({values})")
        text = (exact_tanh(self, node, name, None) if name.endswith("tanh") else None) or self._port_call(node, rows, receiver)
        if text is not None and cuts_gradient(self, node, name):
            text = f"{self.spell('mindspore.ops.stop_gradient')}({text})"
        return self._left(node, name) if text is None else self.replace(node, text)

    def _is_base_call(self, node: ast.Call, layer: str) -> bool:
        """`nn.Conv2d.__init__(self, 3, 4, 1)` in a class that derives from that layer: what super() would call."""
        if not isinstance(node.func, ast.Attribute) or not self.classes or layer not in self.program.bases(self.classes[-1]):
            return False
        called = node.func.attr == "__init__" or node.func.attr in RENAMED_METHODS
        return called and bool(node.args) and isinstance(node.args[0], ast.Name) and self._is_self_method() and node.args[0].id == "self"

    def _base_call(self, node: ast.Call) -> list[Edit]:
        assert isinstance(node.func, ast.Attribute)
        edits = [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]
        new = RENAMED_METHODS.get(node.func.attr)
        if new is not None:
            edits.append(self._attribute_name(node.func, new))
            if len(self.program.bases(self.classes[-1])) == 1:  # a graph calls what super() finds, and no class
                following = [self.span(a)[0] for a in [*node.args[1:], *node.keywords[:1]]]
                start, end = self.span(node.args[0])
                return edits + self.replace(node.func.value, self._super(self.classes[-1])) + [Edit(start, following[0] if following else end, "")]
        with self.within("base"):
            return self.visit(node.func.value) + edits

    def _super(self, owner: str) -> str:
        """A graph takes `super()` from the class of the object: two levels below it would call itself for ever."""
        return f"super({owner.rpartition('.')[2]}, self)" if self.inference.descendants.get(owner) else "super()"

    def _method_chain(self, node: ast.Call, name: str) -> str | None:
        """A call of einops with a literal pattern, written with tensor methods or as an einsum."""
        function = name.removeprefix("einops.")
        if function == "einsum" and len(node.args) > 1 and not node.keywords:
            return self._short_einsum(node)
        given = {k.arg: self.render(k.value) for k in node.keywords if k.arg is not None}
        parts = [*node.args, *(k.value for k in node.keywords if k.arg in ("pattern", "reduction"))]
        texts = [constant_of(part) for part in parts[1:]]
        if function not in ("rearrange", "repeat", "reduce") or not node.args or len(given) < len(node.keywords):
            return None
        if not all(isinstance(text, str) for text in texts) or len(texts) != (2 if function == "reduce" else 1):
            return None
        if not K.is_tensor(self.kinds(node.args[0])) or any(k.arg in ("pattern", "reduction") for k in node.keywords):
            return None
        subject, text = node.args[0], self.render(node.args[0])
        named = isinstance(subject, ast.Name) or (isinstance(subject, ast.Attribute) and isinstance(subject.value, ast.Name))
        own = primary(text)
        chain = method_chain(Rearrangement(function, own, named, texts[0], given, "".join(texts[1:])))
        return None if chain is None else self._wrapped(node, self._fitted(node, chain))

    def _short_einsum(self, node: ast.Call) -> str | None:
        pattern = constant_of(node.args[-1])
        equation = short_equation(pattern) if isinstance(pattern, str) else None
        if equation is None or any(isinstance(a, ast.Starred) for a in node.args):
            return None
        operands = ", ".join(self.render(a) for a in node.args[:-1])
        return f"{self.spell('emitted.einsum')}({self.quote}{equation}{self.quote}, {operands})"

    def _unbound_method(self, node: ast.Call, rows: tuple[Row, ...]) -> list[Edit]:
        self.report(node, "MSP202", f"{rows[0].name} called through its class", "call it as a method of the tensor", rows[0])
        return self._left(node, rows[0].name)

    def _super_call(self, node: ast.Call) -> list[Edit]:
        assert isinstance(node.func, ast.Attribute) and self.classes is not None
        edits = [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]
        owner = self.classes[-1] if self.classes else ""
        if not owner or not self.program.mixes_into_module(owner):
            return edits
        new = RENAMED_METHODS.get(node.func.attr)
        if new is not None:
            edits.append(self._attribute_name(node.func, new))
            called = node.func.value
            if self.inference.descendants.get(owner) and isinstance(called, ast.Call) and not called.args and self._is_self_method():
                edits += self.replace(called, self._super(owner))
        elif self.table.get(f"{MODULE}.{node.func.attr}") and self.program.method(owner, node.func.attr, after=owner) is None:
            text = self._port_call(node, self.table.get(f"{MODULE}.{node.func.attr}"), node.func.value)
            if text is not None:
                return self.replace(node, text)
        else:
            function = self._function_of_layer(owner, node.func.attr)
            if function is not None and not node.args and not node.keywords and self._is_self_method():
                return self.replace(node, f"{self.spell(function)}(self)")
        return edits

    def _function_of_layer(self, owner: str, method: str) -> str | None:
        """The emitted function that stands for a method of the layer of torch.nn that a class derives from."""
        if self.program.method(owner, method, after=owner) is not None:
            return None
        rows = [r for c in self.program.ancestry(owner) if c not in self.program.classes for r in self.table.get(f"{c}.{method}")]
        called = [r.alternatives[0].to for r in rows[:1] if r.alternatives and r.kind == "method"]
        return called[0].removesuffix("(self)") if called and called[0].startswith("emitted.") and called[0].endswith("(self)") else None

    def _method_call(self, node: ast.Call, func: ast.Attribute) -> list[Edit] | None:
        receiver = K.without_none(self.kinds(func.value))
        rows = self.table.get(f"torch.Tensor.{func.attr}")
        sized = sized_edits(self, node, func) if func.attr in ("resize_as_", "resize_", "zero_") else None
        if sized is not None:
            return sized
        named = named_edits(self, node, func)
        if named is not None:
            return named
        typed = typed_edits(self, node, func)
        if typed is not None:
            return self._without_gradient_call(node, typed) if ends_gradient(self, node, func) else typed
        if K.is_tensor(receiver):
            return self._tensor_method(node, func, rows)
        known = K.names(receiver)
        if receiver and known <= {"object"} and all(self._is_cell(k.of) for k in receiver):
            return self._cell_method(node, func, receiver)
        if receiver and known <= {"class"} and all(self._is_cell(k.of) for k in receiver) and func.attr in RENAMED_METHODS:
            if len(receiver) == 1 and self._is_base_call(node, next(iter(receiver)).of):
                return self._base_call(node)
            return [*self.children(node), self._attribute_name(func, RENAMED_METHODS[func.attr])]
        if rows and (not receiver or receiver & ANY or known & K.TENSORS):
            arguments = [self.kinds(a) for a in node.args]
            if is_move(self.program, node, func, arguments):
                return self.replace(node, self._wrapped(node, self.render(func.value)))
            if is_bare_cast(node, func) and ends_gradient(self, node, func):  # only tensors have such a method
                return self._without_gradient_call(node, self.children(node))
            if func.attr == "transpose" and len(node.args) == 2 and not node.keywords and not self._is_spread(node):
                return self._as_it_is_at_run_time(node, func)
            if not is_text_call(node, func, arguments):
                self._unproven(node, func, rows)
        return None

    @staticmethod
    def _is_spread(node: ast.Call) -> bool:
        return any(isinstance(a, ast.Starred) for a in node.args)

    def _as_it_is_at_run_time(self, node: ast.Call, func: ast.Attribute) -> list[Edit]:
        """transpose(a, b) of what may be a tensor or an array: the one method of both that is called everywhere and means two things."""
        edits = [e for a in node.args for e in self.visit(a)]
        start, end = self.span(node)
        open_at = self.module.data.index(b"(", self.span(func)[1])
        arguments = self.splice(open_at + 1, end, edits).lstrip(" ")
        return [Edit(start, end, f"{self.spell('emitted.swapped_or_ordered')}({self.render(func.value)}, {arguments}")]

    def _unproven(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> None:
        if any(is_identity(r) for r in rows) or func.attr in _COMMON_METHODS or not self._changes(node, func, rows):
            return
        shown = ast.unparse(func.value)
        shown = shown if len(shown) < 30 else "the receiver"
        self.report(
            node, "MSP301", f"{shown}.{func.attr}(): not known whether {shown} is a tensor",
            f"annotate it (x: torch.Tensor), or convert with --trace; as a tensor method it becomes {rows[0].alternatives[0].to if rows[0].alternatives else 'refused'}",
            rows[0], symbol=f"torch.Tensor.{func.attr}",
        )  # fmt: skip

    def _changes(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> bool:
        """Whether a call would read otherwise if its receiver were a tensor; where no row takes its arguments it is none."""
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            return True
        if all(self._arguments(row, node, func.value) is None for row in rows):
            return False
        if any(r.inplace for r in rows):
            return True
        needs, said = self.needs, list(self.diagnostics)
        self.needs = Needs()
        text = self._port_call(node, rows, func.value)
        self.needs, self.diagnostics = needs, said
        return text is None or text != self.module.source(node)

    def _tensor_method(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> list[Edit]:
        name = f"torch.Tensor.{func.attr}"
        if not rows:
            self.report(node, "MSP101", f"{name} is not in the table", "port this call by hand, or add a row (see CONTRIBUTING)", symbol=name)
            return self.children(node)
        if any(r.inplace for r in rows):
            return self._inplace_value(node, func, rows)
        edits = self._plain_tensor_method(node, func, rows)
        return self._without_gradient_call(node, edits) if ends_gradient(self, node, func) else edits

    def _without_gradient_call(self, node: ast.Call, edits: list[Edit]) -> list[Edit]:
        return self.replace(node, f"{self.spell('mindspore.ops.stop_gradient')}({self.splice(*self.span(node), edits)})")

    def _plain_tensor_method(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> list[Edit]:
        promote(self, func.attr, func.value)
        squared = exact_tanh(self, node, "torch.Tensor.tanh", func.value) if func.attr == "tanh" else None
        if squared is not None:
            return self.replace(node, squared)
        if len(rows) == 1 and is_identity(rows[0]) and not is_power(self, rows[0]) and not any(isinstance(a, ast.Starred) for a in node.args):
            arguments = self._arguments(rows[0], node, func.value)
            ignored = arguments is not None and arguments[1].keys() & set(rows[0].ignore)
            if arguments is not None and not ignored and truth(rows[0].where, arguments[0]) is not False and not rows[0].require:
                return [*self.children(node), *self._torch_keywords(node, rows[0])]
        text = self._port_call(node, rows, func.value)
        return self.children(node) if text is None else self.replace(node, text)

    def _cell_method(self, node: ast.Call, func: ast.Attribute, receiver: Kinds) -> list[Edit] | None:
        attribute = func.attr
        user = [self.program.method(k.of, attribute) for k in receiver if k.of in self.program.classes]
        if any(user) and attribute not in RENAMED_METHODS:
            return None
        if attribute in RENAMED_METHODS and (any(user) or attribute == "forward"):
            return [*self.visit(func.value), self._attribute_name(func, RENAMED_METHODS[attribute]),
                    *[e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]]  # fmt: skip
        if attribute in _CONTAINER_METHODS and any(c in _CONTAINERS for k in receiver for c in self._family(k.of)):
            return None  # the emitted containers have torch's own methods
        rows = [r for k in receiver for c in self._family(k.of) for r in self.table.get(f"{c}.{attribute}")]
        rows = rows or list(self.table.get(f"{MODULE}.{attribute}"))
        if not rows:
            return None
        same = [r for r in rows if r.name == rows[0].name]
        text = self._port_call(node, tuple(same), func.value)
        return self.children(node) if text is None else self.replace(node, text)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> list[Edit]:
        import sys

        edits = [e for v in node.values if isinstance(v, ast.FormattedValue) for e in self._field_edits(v)]
        if not edits or sys.version_info >= (3, 12):
            return edits
        return self._formatted(node)

    def _field_edits(self, value: ast.FormattedValue) -> list[Edit]:
        edits = self.visit(value.value)
        text = self.splice(*self.span(value.value), edits)
        new = number_text(self, value.value, text) if is_numeric(value) else text
        return edits if new == text else self.replace(value.value, new)

    def _formatted(self, node: ast.JoinedStr) -> list[Edit]:
        """Before Python 3.12 positions inside f-strings are not exact; each expression is found by its text."""
        text, at = self.module.source(node), 0
        quote = quote_of(text)
        for value in node.values:
            if not isinstance(value, ast.FormattedValue):
                continue
            place = field_place(text, at, value.value)
            old = text[slice(*place)] if place else ast.unparse(value.value)
            new = self._unparsed(value.value)
            new = old if new == ast.unparse(value.value) else new
            new = number_text(self, value.value, new) if is_numeric(value) else new
            new = new if new == old or len(quote) == 3 else requoted(new, quote)
            if place is not None:
                text, at = text[: place[0]] + new + text[place[1] :], place[0] + len(new)
            elif new != old:
                self.report(node, "MSP209", "an f-string with an expression that must change", "move the expression out of the f-string")
                return []
        return self.replace(node, text)

    def _unparsed(self, node: ast.expr) -> str:
        """Rewrites an expression apart from its place, through its own text."""
        start, end = self.span(node)
        if self.module.data[start:end].decode("utf-8", "replace") == ast.unparse(node):
            return self.splice(start, end, self.visit(node))
        return ast.unparse(node)


def _is_super(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "super"
