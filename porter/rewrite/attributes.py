"""Attributes and subscripts of tensors and layers, and assignments to them."""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TypeGuard

from porter import kinds as K
from porter.class_tuples import only_asked
from porter.conv_weights import lacks_axis, weight_edits
from porter.empty_slices import guarded_edits
from porter.expression import NotInline, Site, inline
from porter.functions import is_function
from porter.grammar import in_network, runs_in_forward, state_edits
from porter.held_dense import refused_question
from porter.kinds import Kinds
from porter.layer_settings import setting_text
from porter.leading_axes import fitted_edits
from porter.members import CELL_MEMBERS
from porter.named_imports import named_import
from porter.numpy_indices import is_numpy_integer
from porter.numpy_operands import is_numpy_value
from porter.numpy_sizes import as_size
from porter.rewrite.edits import Edit
from porter.rewrite.references import References, template
from porter.rewrite.walk import MODULE, RENAMED_METHODS
from porter.slices import empty_axis_edits, stepped_edits
from porter.table import Row, pure_definitions

LAYER_PARAMETERS = frozenset(["weight", "bias", "running_mean", "running_var"])


def is_gradient(node: ast.AST) -> bool:
    """Whether an expression is a parameter's `.grad`: a plain tensor in the port, which is bound anew where torch fills it."""
    return isinstance(node, ast.Attribute) and node.attr == "grad"


class Attributes(References):
    """Attributes, subscripts and assignments."""

    def visit_Attribute(self, node: ast.Attribute) -> list[Edit]:
        if self._is_apply(node):
            return self._applied(node)
        if isinstance(node.ctx, ast.Load):
            edits = self._reference(node)
            if edits is not None:
                return edits
        self._refuse_inside(node, node.value)
        if self.kept and id(node) in self.kept:
            name = self.kept[id(node)]
            return self.replace(node, f"[{name}() for {name} in {self.splice(*self.span(node), self._value_attribute(node))}]")
        return as_size(self, node, self._value_attribute(node)) if node.attr == "n" else self._value_attribute(node)

    def _value_attribute(self, node: ast.Attribute) -> list[Edit]:
        """An attribute of a tensor, of a named result, or of a torch.nn layer."""
        base = K.without_none(self.kinds(node.value))
        inner = self.visit(node.value)
        if node.attr in CELL_MEMBERS:
            renamed = self._own_member(node, base)
            if renamed is not None:
                return [*inner, *renamed]
        if self._is_initialized(node) and not self._has_one_name(node.attr, base):
            layer = self.splice(*self.span(node.value), inner)
            return self.replace(node, f"{self.spell('emitted.layer_parameter')}({layer}, '{node.attr}')")
        if node.attr == "requires_grad" and isinstance(node.ctx, ast.Store) and K.proven(base, frozenset({"Tensor"})):
            self._name_wanted_gradient(node)
        if node.attr == "forward" and K.is_unknown(base) and self._only_networks_forward:
            return [*inner, self._attribute_name(node, RENAMED_METHODS[node.attr])]
        if not base:
            return inner
        # a program's own named tuple (one with a class) keeps its names, but for a graph, which reads them wrong
        indexed = [k for k in base if k.name != "object" and node.attr in k.fields and (not k.of or in_network(self))]
        field_index = {k.fields.index(node.attr) for k in indexed}
        if len(field_index) == 1 and len(indexed) == len(base):
            return [Edit(*self.span(node), f"{self.splice(*self.span(node.value), inner)}[{field_index.pop()}]")]
        if self._is_entry(node, base):
            entry = f"{self.splice(*self.span(node.value), inner)}[{self.quote}{node.attr}{self.quote}]"
            return [Edit(*self.span(node), entry)]
        if K.is_tensor(base):
            return self._tensor_attribute(node, inner)
        if node.attr == "type" and K.proven(base, frozenset({"device"})) and not self._is_made_device(node.value):
            return self._device_type(node, inner)
        if K.names(base) <= {"object"} and all(self._is_cell(k.of) for k in base):
            flat = weight_edits(self, node, inner)
            return self._cell_attribute(node, base, inner) if flat is None else flat
        return inner

    def _is_entry(self, node: ast.Attribute, base: Kinds) -> bool:
        """Whether this reads a module out of a ModuleDict by its name, in a network: a graph takes it for a dictionary."""
        written = all(k.name == "object" and k.of == "torch.nn.ModuleDict" and node.attr in k.fields for k in base)
        return bool(base) and written and bool(node.attr) and isinstance(node.ctx, ast.Load) and (in_network(self) or self._is_in_lambda(node))

    def _is_in_lambda(self, node: ast.expr) -> bool:
        """Whether an expression stands in a function without a name that a network makes, which its forward may call."""
        above = self.parents.get(id(node))
        while isinstance(above, ast.expr | ast.keyword):
            if isinstance(above, ast.Lambda):
                return bool(self.classes) and self.program.mixes_into_module(self.classes[-1])
            above = self.parents.get(id(above))
        return False

    def _is_made_device(self, node: ast.expr) -> bool:
        """Whether a device is made right here, torch.device('cpu'), whose class in the port knows its type."""
        return isinstance(node, ast.Call)

    def _device_type(self, node: ast.Attribute, inner: list[Edit]) -> list[Edit]:
        """`x.device.type`: the device of a MindSpore tensor is a string such as 'CPU'."""
        own = self.splice(*self.span(node.value), inner)
        of_tensor = isinstance(node.value, ast.Attribute) and K.is_tensor(self.kinds(node.value.value))
        return self.replace(node, f"{own}.lower()" if of_tensor else f'str({own}).partition({self.quote}:{self.quote})[0].lower()')

    @cached_property
    def _only_networks_forward(self) -> bool:
        """Whether nothing but networks has a method forward in this program; the common libraries have none either."""
        others = (
            c for name, c in self.program.classes.items()
            if not self.program.mixes_into_module(name) and not is_function(self.program, name)
        )  # fmt: skip
        return not any("forward" in cls.methods for cls in others)

    def _is_initialized(self, node: ast.Attribute) -> bool:
        """Whether this is the weight or bias that a function of torch.nn.init is given."""
        call = self.parents.get(id(node))
        if node.attr not in ("weight", "bias") or not isinstance(call, ast.Call) or not call.args or call.args[0] is not node:
            return False
        return (self.program.dotted(self.module, call.func) or "").startswith("torch.nn.init.")

    def _name_wanted_gradient(self, node: ast.Attribute) -> None:
        """`x.requires_grad = True` of an input whose gradient is read: it would find no gradient when it runs."""
        if self.module.has(f"{ast.unparse(node.value)}.grad".encode()):
            row = self.table.get("torch.Tensor.requires_grad_")[0]
            self.report(node, "MSP201", f"{row.name}: {row.require[0].otherwise}", row.require[0].help, row, symbol=row.name)

    def _has_one_name(self, attribute: str, base: Kinds) -> bool:
        """Whether all layers that a value may be have one name for a parameter, as far as they are known."""
        known = bool(base) and K.names(base) <= {"object"} and all(self._is_cell(k.of) for k in base)
        names = {self._layer_attribute(k.of, attribute) for k in base} if known else set()
        # a name inside of a layer (bn2d.gamma): a walk over all cells meets the inner layer too, which has another
        return len(names) == 1 and not any("." in (name or "") for name in names)

    def _tensor_attribute(self, node: ast.Attribute, inner: list[Edit]) -> list[Edit]:
        parent = self.parents.get(id(node))
        rows = self.table.get(f"torch.Tensor.{node.attr}")
        if isinstance(parent, ast.Call) and parent.func is node:
            return inner
        if not rows:
            return inner
        row = rows[0]
        if row.kind != "attribute":
            if not is_identity(row):
                self.report(node, "MSP208", f"the method {row.name} used as a value", "call it, or wrap it in a lambda", row)
            return inner
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
            return inner
        if refused_question(self, node, row):
            return inner
        if isinstance(node.ctx, ast.Store):
            if node.attr == "data":
                return self._data_store(node, inner)
            if row.alternatives and row.alternatives[0].to != f"self.{node.attr}":
                self.report(node, "MSP208", f"assignment to {row.name}", "port this line by hand", row)
            return inner
        if node.attr == "data" and (self._is_written_through(parent, node) or _is_stored_into(parent, node)):
            return [Edit(*self.span(node), self.splice(*self.span(node.value), inner))]
        alternative = next((a for a in row.alternatives if a.serves(self.target)), None)
        if alternative is None or alternative.to == f"self.{node.attr}":
            return inner
        site = Site(row, {}, {}, self.splice(*self.span(node.value), inner), None, self.spell)
        try:
            return self.replace(node, self._wrapped(node, inline(site, alternative)))
        except NotInline:
            function = self.adapter(row, node)
            return inner if function is None else self.replace(node, f"{function}({self.splice(*self.span(node.value), inner)})")

    def _is_written_through(self, parent: ast.AST | None, node: ast.Attribute) -> bool:
        """Whether `.data` is handed to something that writes into it: an initializer, or a function that may be one."""
        if isinstance(parent, ast.keyword):
            parent = self.parents.get(id(parent))
        if not isinstance(parent, ast.Call) or parent.func is node:
            return False
        name = self.resolve(parent.func) or ""
        if self.program.is_torch(name):
            return name.startswith("torch.nn.init.") or any(r.inplace for r in self.table.get(name))
        return True

    def _data_store(self, node: ast.Attribute, inner: list[Edit]) -> list[Edit]:
        """`p.data = value` becomes an assignment to the parameter."""
        parent = self.parents.get(id(node))
        if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
            owner = self.splice(*self.span(node.value), inner)
            start, end = self.span(node)
            value_start = self.span(parent.value)[0]
            if is_gradient(node.value):
                return [Edit(start, end, owner)]
            flat = lacks_axis(self, node, parent.value)
            opened = f"{self.spell('mindspore.ops.unsqueeze')}(" if flat else ""
            self._closing[id(parent)] = ", 2))" if flat else ")"
            if runs_in_forward(self):  # a graph has no set_data
                return [Edit(start, value_start, f"{self.spell('mindspore.ops.assign')}({owner}, {opened}")]
            return [Edit(start, value_start, f"{owner}.set_data({opened}")]
        self.report(node, "MSP208", "an assignment to .data of this form", "use parameter.set_data(value)")
        return inner

    def visit_Assign(self, node: ast.Assign) -> list[Edit]:
        name = self.resolve(node.targets[0]) if isinstance(node.targets[0], ast.Attribute) else None
        if name is not None and self.program.is_torch(name):
            if name.startswith(("torch.backends.", "torch._dynamo.", "torch._C.")):
                return self._statement(node, "")
            self.report(node, "MSP208", f"assignment to {name}", "port this line by hand", symbol=name)
            return self._keep_root(node.targets[0]) + self.visit(node.value)
        imported = None if self.functions else named_import(self.program, self.module, node)
        if imported is not None:
            return self._statement(node, f"{imported.flag} = True" if imported.flag not in (None, "_") else "")
        if any(isinstance(t, ast.Tuple | ast.List) for t in node.targets):
            self._refuse_inside(node.value, node.value)
        if only_asked(self, node):
            with self.within("isinstance"):
                return self.children(node)
        setting = setting_text(self, node)
        if setting is not None:
            return self.replace(node, setting)
        current = state_edits(self, node) if self.current_states else None
        if current is not None:
            return current
        guarded = guarded_edits(self, node)
        if guarded is not None:
            return guarded
        fitted = fitted_edits(self, node)
        if fitted is not None:
            return fitted
        edits = self.children(node)
        closing = self._closing.get(id(node))
        if closing:
            end = self.span(node)[1]
            edits.append(Edit(end, end, closing))
        return edits

    def _cell_attribute(self, node: ast.Attribute, base: Kinds, inner: list[Edit]) -> list[Edit]:
        """conv.weight, bn.running_mean, linear.in_features: what the layer's row calls them."""
        attribute = node.attr
        if attribute in RENAMED_METHODS and attribute == "forward":
            return [*inner, self._attribute_name(node, RENAMED_METHODS[attribute])]
        renamed = {self._layer_attribute(k.of, attribute) for k in base}
        unknown = all(k.of == MODULE for k in base)
        if attribute in LAYER_PARAMETERS and (unknown or len(renamed) != 1) and isinstance(node.ctx, ast.Load):
            return self.replace(node, f"{self.spell('emitted.layer_parameter')}({self.splice(*self.span(node.value), inner)}, {self.quote}{attribute}{self.quote})")
        if len(renamed) != 1:
            if renamed - {None}:
                shown = ", ".join(sorted(str(r) for r in renamed if r))
                self.report(node, "MSP303", f".{attribute} is called differently in the layers this may be ({shown})", "treat each layer in a branch of its own")
            return inner
        new = renamed.pop()
        if isinstance(node.ctx, ast.Store) and self._is_setting(base, attribute):
            self.report(
                node, "MSP208", f".{attribute} of a layer is set after the layer was built, where MindSpore's layer has already read it",
                "build the layer with this value", symbol=f"{sorted(k.of for k in base)[0]}.{attribute}",
            )  # fmt: skip
            return inner
        if new is None:
            return self._cell_value(node, base, inner)
        own = self.splice(*self.span(node.value), inner)
        text = self._with_pure_spelled(new).replace("self.", own + ".") if "self." in new else f"{own}.{new}"
        return self.replace(node, text)

    def _with_pure_spelled(self, expression: str) -> str:
        """An attribute's expression, its functions of porter.pure written as the members of ms_extras that they become."""
        called = {n.func.id for n in ast.walk(template(expression)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        for name in sorted(called & pure_definitions().keys()):
            expression = expression.replace(f"{name}(", f"{self.spell('emitted.' + name)}(")
        return expression

    def _is_setting(self, base: Kinds, attribute: str) -> bool:
        """Whether an attribute of torch.nn's own layers is a parameter of their constructor that forward reads later."""
        if attribute in ("weight", "bias", "inplace", "device", "training"):
            return False
        rows = [r for k in base if k.of not in self.program.classes for r in self.table.get(k.of) if r.kind == "module"]
        return any(attribute in r.signature.by_name or attribute in r.attributes for r in rows)

    def _layer_attribute(self, class_name: str, attribute: str) -> str | None:
        for name in self._family(class_name):
            if name in self.program.classes:
                if attribute in self.program.classes[name].methods or self.inference.store.get(("attr", name, attribute)):
                    return None
                continue
            for row in self.table.get(name):
                if row.kind != "module":
                    continue
                if attribute in row.attributes:
                    expression = row.attributes[attribute]
                    return None if expression == f"self.{attribute}" else expression
                if attribute in row.weights and "." not in attribute:
                    new = row.weights[attribute]
                    if new is None:
                        return None
                    new = new.partition("[")[0]
                    return None if new == attribute else new
        return None

    def _cell_value(self, node: ast.Attribute, base: Kinds, inner: list[Edit]) -> list[Edit]:
        """Attributes of torch.nn.Module itself, such as _modules."""
        parent = self.parents.get(id(node))
        if isinstance(parent, ast.Call) and parent.func is node:
            return inner
        if any(self.program.method(k.of, node.attr) for k in base if k.of in self.program.classes):
            return inner
        rows = self.table.get(f"{MODULE}.{node.attr}")
        if not rows or rows[0].kind != "attribute":
            return inner
        row = rows[0]
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
            return inner
        if not row.alternatives or row.alternatives[0].to == f"self.{node.attr}":
            return inner
        site = Site(row, {}, {}, self.splice(*self.span(node.value), inner), None, self.spell)
        return self.replace(node, self._wrapped(node, inline(site, row.alternatives[0])))

    def visit_Subscript(self, node: ast.Subscript) -> list[Edit]:
        stepped = stepped_edits(self, node) if self.functions and self._in_forward() else None
        if stepped is not None:
            return stepped
        self._refuse_inside(node, node.value)
        edits = [*self.children(node), *empty_axis_edits(self, node)]
        elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        tensor = K.is_tensor(self.kinds(node.value))
        if tensor or len(elements) > 1:
            for start, end in (self.span(e) for e in elements if _is_range(e)):
                edits += [Edit(start, start, "list("), Edit(end, end, ")")]
        if tensor or (K.is_unknown(self.kinds(node.value)) and in_network(self)):
            edits = self._numbered_bounds(elements, edits)
        if not tensor:
            return edits
        for element in elements:
            number = self.module.has(b"numpy") and is_numpy_integer(self, element)
            if number or K.proven(self.kinds(element), frozenset({"ndarray"})):
                start, end = self.span(element)
                own = self.splice(start, end, self.visit(element))
                maker = "int" if number else self.spell("mindspore.Tensor")
                edits = [e for e in edits if not start <= e.start < end] + [Edit(start, end, f"{maker}({own})")]
        return edits + self._whole_axes(elements)

    def _numbered_bounds(self, elements: list[ast.expr], edits: list[Edit]) -> list[Edit]:
        """The bounds of slices that numpy computes, as Python's numbers."""
        for element in elements if self.module.has(b"numpy") else []:
            for bound in (element.lower, element.upper) if isinstance(element, ast.Slice) else ():
                if bound is not None and is_numpy_value(self, bound):
                    start, end = self.span(bound)
                    own = self.splice(start, end, self.visit(bound))
                    edits = [e for e in edits if not start <= e.start < end] + [Edit(start, end, f"int({own})")]
        return edits

    def _whole_axes(self, elements: list[ast.expr]) -> list[Edit]:
        """`x[mask, :]` is x[mask]: MindSpore takes a mask beside other indices for one axis, however many it has."""
        kept = list(elements)
        while len(kept) > 1 and (_is_whole(kept[-1]) or (isinstance(kept[-1], ast.Constant) and kept[-1].value is Ellipsis)):
            kept.pop()
        plain = frozenset({"int", "slice", "None", "bool"})
        if len(kept) == len(elements) or all(isinstance(e, ast.Slice) or K.proven(self.kinds(e), plain) or _is_plain_index(e) for e in kept):
            return []
        return [Edit(self.span(kept[-1])[1], self.span(elements[-1])[1], "")]

    def _is_apply(self, node: ast.expr) -> TypeGuard[ast.Attribute]:
        """Whether an expression is the `apply` of a torch.autograd.Function of the program."""
        if not isinstance(node, ast.Attribute) or node.attr != "apply":
            return False
        kinds = self.kinds(node.value)
        return bool(kinds) and all(k.name == "class" and is_function(self.program, k.of) for k in kinds)

    def _applied(self, node: ast.Attribute) -> list[Edit]:
        """`X.apply` is an instance of the Cell that X became."""
        return [*self.visit(node.value), Edit(self.span(node.value)[1], self.span(node)[1], "()")]


def _is_stored_into(parent: ast.AST | None, node: ast.expr) -> bool:
    """Whether a tensor is the one that `x[...] = value` writes into."""
    return isinstance(parent, ast.Subscript) and parent.value is node and isinstance(parent.ctx, ast.Store)


def _is_range(node: ast.expr) -> bool:
    """`x[range(n), y]`: torch takes a range as a list of indices."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"


def _is_whole(node: ast.expr) -> bool:
    """The index `:`."""
    return isinstance(node, ast.Slice) and node.lower is node.upper is node.step is None


def _is_plain_index(node: ast.expr) -> bool:
    """None, '...' and numbers, which are no masks."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


def is_identity(row: Row) -> bool:
    """Whether a method call stays as it is: `self.view(*shape)` for `view(self, *shape)`."""
    if len(row.alternatives) != 1 or row.alternatives[0].when or row.inplace:
        return False
    call = template(row.alternatives[0].to)
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != f"self.{row.short_name}":
        return False
    star = row.signature.star
    if any((isinstance(a, ast.Starred)) is not (ast.unparse(a).lstrip("*") == star) for a in call.args):
        return False
    names = [ast.unparse(a).lstrip("*") for a in call.args]
    keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
    own = [n for n in row.signature.by_name if n != "self" and n not in row.ignore]
    return names + list(keywords) == own and all(k == v for k, v in keywords.items())
