"""Torch names that stand alone: classes, functions and namespaces as values, annotations, bases and strings that name them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache, cached_property

from porter import exact_class, launcher
from porter.expression import Site, inline
from porter.kinds import ANY, Kinds
from porter.leaves import is_absent_gradient
from porter.members import CELL_MEMBERS, SHARED, own_name
from porter.nodes import children
from porter.numpy_sizes import as_size
from porter.old_types import is_old_type
from porter.packed import NO_FIELDS, PACKED, PAD_FIRST, is_packed, tells_apart
from porter.rewrite.binding import Binding
from porter.rewrite.edits import Edit
from porter.table import Row, emitted_definitions
from porter.torch_questions import keywords_text

_COMPILED = frozenset({"torch.jit.ScriptModule", "torch.jit.ScriptFunction", "torch.jit.RecursiveScriptModule", "torch.jit.TracedModule"})
_CLASSES = {"torch.nn.Parameter": "mindspore.Parameter"}  # classes whose rows are functions: building one is not naming it
_BUILTIN_VALUES = {"torch.nn.Module": "mindspore.nn.Cell", "torch.Tensor": "mindspore.Tensor"}


class References(Binding):
    """Names as values."""

    def visit_Name(self, node: ast.Name) -> list[Edit]:
        if isinstance(node.ctx, ast.Load):
            edits = self._reference(node)
            return as_size(self, node, edits or [])
        elif node.id in CELL_MEMBERS and not self.functions and self.classes and self.program.mixes_into_module(self.classes[-1]):
            return self.replace(node, own_name(node.id))  # an attribute of the class
        return []

    def visit_Constant(self, node: ast.Constant) -> list[Edit]:
        """An annotation written as a string names torch's classes too; so does a string that names an attribute."""
        if node.value in CELL_MEMBERS and self._names_own_member(node):
            return self.replace(node, repr(own_name(node.value)).replace("'", self.quote))
        if (name := launcher.variable(self, node)) is not None:
            return self.replace(node, repr(name).replace("'", self.quote))
        if id(node) in self.inference.class_literals:
            return self._class_literal(node)
        if self.context[-1] != "annotation" or not isinstance(node.value, str) or self._in_literal(node):
            return []
        try:
            tree = ast.parse(node.value, mode="eval")
        except SyntaxError:
            return []
        text = node.value
        for part in reversed(list(_dotted_parts(tree.body))):
            name = self.program.dotted(self.module, part)
            first, last = part.col_offset, part.end_col_offset
            new = None
            if name is not None and self.program.is_torch(name):
                new = self._reference_text(ast.copy_location(part, node), name)
            if new is not None:
                text = text[:first] + new + text[last:]
        if text == node.value:
            return []
        quote = '"' if self.module.data[slice(*self.span(node))].endswith(b'"') else "'"
        return self.replace(node, f"{quote}{text}{quote}")

    def visit_Compare(self, node: ast.Compare) -> list[Edit]:
        edits = exact_class.compared(self, node)
        if edits is None and self._is_absence_test(node):
            return self.replace(node, str(isinstance(node.ops[0], ast.IsNot)))
        if edits is None and isinstance(node.left, ast.Attribute) and is_absent_gradient(self, node):
            return self.replace(
                node.left, f"getattr({self.render(node.left.value)}, {self.quote}grad{self.quote}, None)"
            )
        return self.children(node) if edits is None else edits

    def _is_absence_test(self, node: ast.Compare) -> bool:
        """`torch_fft is None`, where a namespace of torch was imported in a try: it is there."""
        against = node.comparators[0]
        if not isinstance(node.ops[0], ast.Is | ast.IsNot) or not isinstance(against, ast.Constant) or against.value is not None:
            return False
        name = self.resolve(node.left) if isinstance(node.left, ast.Name | ast.Attribute) else None
        return name is not None and self.program.is_torch(name) and self.is_namespace(name)

    def _class_literal(self, node: ast.Constant) -> list[Edit]:
        """The name of a class as the port's own class has it: Linear is Dense."""
        wanted = str(node.value)
        ported = {r.short_name: _built_class(r) for n in self.table.rows if n.startswith("torch.nn.") and n.count(".") == 2
                  for r in self.table.get(n)[:1] if r.kind == "module" and r.alternatives}  # fmt: skip
        if wanted in ported and wanted not in ported[wanted]:
            quote = '"' if self.module.data[slice(*self.span(node))].endswith(b'"') else "'"
            return self.replace(node, f"{quote}{ported[wanted]}{quote}")
        lost = [torch for torch, name in ported.items() if wanted in torch and name and wanted not in name]
        if lost and wanted not in ported:
            self.report(node, "MSP303", f"classes are called differently in MindSpore: {lost[0]} is {ported[lost[0]]}", "test with isinstance")
        return []

    def _in_literal(self, node: ast.AST) -> bool:
        parent = self.parents.get(id(node))
        while isinstance(parent, ast.Tuple):
            parent = self.parents.get(id(parent))
        return isinstance(parent, ast.Subscript) and ast.unparse(parent.value).endswith("Literal")

    def _reference(self, node: ast.Name | ast.Attribute) -> list[Edit] | None:
        name = self.resolve(node)
        if name is None or not self.program.is_torch(name):
            return None
        text = self._reference_text(node, name)
        if text is None:
            return self._keep_root(node)
        return self.replace(node, text)

    def _named_member(self, node: ast.expr) -> str | None:
        """The torch name that getattr(torch.a, 'b', default) reads, where the names are written out."""
        if not isinstance(node, ast.Call):
            return self.resolve(node)
        if not isinstance(node.func, ast.Name) or node.func.id != "getattr" or len(node.args) not in (2, 3):
            return None
        base, member = self._named_member(node.args[0]), node.args[1]
        if base is None or not self.program.is_torch(base) or not isinstance(member, ast.Constant):
            return None
        return self.program.member(base, str(member.value))

    def _reference_text(self, node: ast.expr, name: str) -> str | None:
        builtin = _BUILTIN_VALUES.get(name)
        if builtin is not None and not self.table.get(name):
            return self.spell(builtin) if builtin.startswith("mindspore") else builtin
        rows = self.table.get(name)
        context = self.context[-1]
        if not rows:
            parent = self.parents.get(id(node))
            keywords = keywords_text(self, name)
            if keywords is not None:
                return keywords
            if self.is_namespace(name):
                return self._namespace(node, name, parent)
            self.report(node, "MSP101", f"{name} is not in the table", "port it by hand, or add a row (see CONTRIBUTING)", symbol=name)
            return None
        row = rows[0]
        if name == PACKED and self._is_tuple_here(node, context):
            return "tuple"
        if context == "base" and row.kind == "value" and row.alternatives and isinstance(template(row.alternatives[0].to), ast.Tuple):
            self.report(node, "MSP202", f"{name} as a base class: it is several classes here", "derive from the layer that is meant, such as BatchNorm2d", row, symbol=name)
            return None
        if context == "isinstance" and name in _COMPILED:
            return "()"  # torch.jit.script and trace give back what they are given
        if row.kind == "value" or row.kind == "attribute":
            return self._value_text(node, row)
        if context in ("annotation", "isinstance") and row.kind == "module":
            return self._class_text(node, row, context)
        if context == "annotation" and is_old_type(name):
            return self.spell("mindspore.Tensor")  # a constructor here, which is no type
        if name in _CLASSES and (context in ("annotation", "isinstance") or self._is_exact_test(node)):
            return self.spell(_CLASSES[name])
        if self.spells_as_is(row):
            return self.spell(row.alternatives[0].to.partition("(")[0])
        return self.adapter(row, node)

    def _is_tuple_here(self, node: ast.AST, context: str) -> bool:
        """Whether the class of packed sequences may be called a tuple: in annotations, and in tests where it tells them apart."""
        test = self.parents.get(id(node))
        return context == "annotation" or (
            context == "isinstance" and isinstance(test, ast.Call) and tells_apart(self.kinds(test.args[0]))
        )

    def _value_text(self, node: ast.AST, row: Row) -> str | None:
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
            return None
        alternative = next((a for a in row.alternatives if a.serves(self.target)), None)
        if alternative is None:
            return "None" if row.drop else None
        site = Site(row, {}, {}, None, None, self.spell)
        text = inline(site, alternative)
        if self.context[-1] == "annotation" and isinstance(template(alternative.to), ast.Tuple):
            return " | ".join(ast.unparse(e) for e in template(text).elts)  # type: ignore[attr-defined]
        return self._wrapped(node, text)

    def _class_text(self, node: ast.AST, row: Row, context: str) -> str | None:
        if row.name == "torch.nn.modules.loss._Loss" and context == "isinstance":
            self.report(node, "MSP202", f"{row.name} in isinstance: losses have no common base here", "name the losses that are meant", row, symbol=row.name)
        if row.refused is not None or not row.cells:
            # nothing in a ported program is an instance of it
            return "()" if context == "isinstance" else self._annotation_fallback()
        if context == "annotation":
            return self.spell(next((c for c in row.cells if c.startswith("mindspore.")), row.cells[0]))
        cells = _without_subclasses([c for c in row.cells if _is_class_name(c)])
        spelled = [self.spell(c) for c in cells] or ["()"]
        if not cells or len(cells) == 1:
            return spelled[0]
        parent = self.parents.get(id(node))
        joined = ", ".join(spelled)
        return joined if isinstance(parent, ast.Tuple) else f"({joined})"

    def class_names(self, row: Row) -> list[str]:
        """The classes that a row builds where its class is called, as this file writes them."""
        built = {ast.unparse(template(a.to)).partition("(")[0] for a in row.alternatives}
        return [self.spell(c) for c in row.cells if c in built and _is_class_name(c)]

    def _is_exact_test(self, node: ast.AST) -> bool:
        parent = self.parents.get(id(node))
        while isinstance(parent, ast.Tuple | ast.List | ast.Set):
            parent = self.parents.get(id(parent))
        return isinstance(parent, ast.Compare) and exact_class.is_exact_test(parent)

    def _annotation_fallback(self) -> str:
        return self.spell("mindspore.nn.Cell")

    def spells_as_is(self, row: Row) -> bool:
        """Whether the MindSpore name can stand for the torch name as it is: same parameters, order and defaults."""
        from porter.expression import mindspore_signatures

        if len(self.table.get(row.name)) != 1 or len(row.alternatives) != 1 or row.require or row.ignore:
            return False
        call = template(row.alternatives[0].to)
        if not isinstance(call, ast.Call) or not ast.unparse(call.func).startswith("mindspore."):
            return False
        if any(not isinstance(a, ast.Name) for a in call.args) or any(
            not isinstance(k.value, ast.Name) or k.arg != k.value.id for k in call.keywords
        ):
            return False
        signature = mindspore_signatures().get(ast.unparse(call.func))
        if signature is None:
            return False
        own = [(p.name, p.default) for p in row.signature.parameters or ()]
        theirs = [(p.name, p.default) for p in signature.parameters or ()]
        return own == theirs[: len(own)] and not row.weights and not row.attributes

    def _namespace(self, node: ast.expr, name: str, parent: ast.AST | None) -> str | None:
        """`nn` or `F` itself as a value, as in getattr(nn, kind)."""
        if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id in ("getattr", "hasattr"):
            attribute = parent.args[1] if len(parent.args) > 1 else None
            if isinstance(attribute, ast.Constant) and parent.func.id == "hasattr":
                return None
        self.report(node, "MSP207", f"the namespace {name} used as a value", "write out the members that it is used for, in a dictionary of classes", symbol=name)
        return None

    def _refuse_inside(self, node: ast.AST, value: ast.expr) -> None:
        """What a packed sequence holds in torch is not in its port: neither its fields nor their order."""
        if is_packed(self.kinds(value)):
            self.report(node, "MSP201", f"{PACKED}: {NO_FIELDS}", PAD_FIRST, symbol=PACKED)

    def _own_member(self, node: ast.Attribute, base: Kinds) -> list[Edit] | None:
        """An attribute of the program's own networks whose name mindspore.nn.Cell uses itself."""
        if node.attr not in self._own_members:
            return None
        if node.attr in SHARED and not (base and all(k.of in self.program.classes and self.program.method(k.of, node.attr) for k in base)):
            return None
        networks = [k for k in base if k.name in ("object", "class", "super") and self.program.mixes_into_module(k.of)]
        if base and len(networks) == len(base):
            return [self._attribute_name(node, own_name(node.attr))]
        if not base or base & ANY or networks:
            self.report(
                node, "MSP210", f".{node.attr} may be the network's own attribute, which is called {own_name(node.attr)} here",
                f"mindspore.nn.Cell has a member {node.attr}; write {own_name(node.attr)} if a network is meant, or annotate the receiver",
            )  # fmt: skip
        return None

    def _names_own_member(self, node: ast.Constant) -> bool:
        """Whether a string names an attribute of a network: register_buffer('phase', ...), getattr(self, 'phase')."""
        call = self.parents.get(id(node))
        if not isinstance(call, ast.Call) or node not in call.args[:2] or node.value not in self._own_members:
            return False
        if isinstance(call.func, ast.Attribute):
            return call.func.attr in ("register_buffer", "register_parameter", "add_module", "register_module")
        base = self.kinds(call.args[0])
        asks = isinstance(call.func, ast.Name) and call.func.id in ("getattr", "hasattr", "setattr", "delattr")
        return asks and bool(base) and all(k.name == "object" and self.program.mixes_into_module(k.of) for k in base)

    @cached_property
    def _own_members(self) -> set[str]:
        """Names of Cell members that networks of the program give to attributes or methods of their own."""
        stored = {name for kind, owner, name in self.inference.store if kind == "attr" and self.program.mixes_into_module(owner)}
        defined = {n for name, cls in self.program.classes.items() if self.program.mixes_into_module(name) for n in cls.methods}
        return (stored | defined) & CELL_MEMBERS


def _dotted_parts(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """The outermost names and attributes of an expression, in order."""
    if isinstance(node, ast.Name | ast.Attribute):
        yield node
        return
    for child in children(node):
        yield from _dotted_parts(child)


def _without_subclasses(cells: list[str]) -> list[str]:
    """Classes without the emitted ones that derive from another of them: isinstance asks for the base."""
    kept = []
    for cell in cells:
        definition = emitted_definitions().get(cell.removeprefix("emitted.")) if cell.startswith("emitted.") else None
        bases = definition.text.partition(":")[0] if definition is not None else ""
        if not any(other.removeprefix("mindspore.") in bases for other in cells if other != cell and other.startswith("mindspore.")):
            kept.append(cell)
    return kept


def _is_class_name(name: str) -> bool:
    last = name.rpartition(".")[2]
    if name.startswith("emitted."):
        definition = emitted_definitions().get(last)
        return definition is not None and "\nclass " in "\n" + definition.text
    return last[:1].isupper()


@cache
def template(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _built_class(row: Row) -> str:
    """The name of the class that a row's expression builds; empty where it is no plain call."""
    call = template(row.alternatives[0].to)
    return ast.unparse(call.func).rpartition(".")[2] if isinstance(call, ast.Call) else ""
