"""What names, attributes and entries hold."""

from __future__ import annotations

import ast
import builtins
from functools import cached_property

from porter import kinds as K
from porter.functions import is_function
from porter.infer.narrowing import Narrowing
from porter.infer.state import BARE, CONTAINERS, Scope
from porter.kinds import ANY, NOTHING, Kind, Kinds, join, one
from porter.nodes import dotted_text
from porter.packed import PACKED
from porter.program import Function
from porter.recognize import TENSOR_ATTRIBUTES, class_of
from porter.table import Row

CONSTANTS = {int: K.INT, float: K.FLOAT, bool: K.BOOL, str: K.STR, type(None): K.NONE}


class Attributes(Narrowing):
    """Reads names, symbols of modules, attributes of every kind of value, and entries."""

    def _of_Constant(self, node: ast.Constant, scope: Scope) -> Kinds:
        return CONSTANTS.get(type(node.value), ANY)

    def _of_Name(self, node: ast.Name, scope: Scope) -> Kinds:
        if node.id in scope.env:
            return scope.env[node.id]
        outer = scope.function
        while outer is not None:
            outer = outer.outer
            if outer is not None:
                seen = self.read(("local", outer.name, node.id))
                if seen:
                    return seen
                parameter = self._closure_parameter(outer, node.id)
                if parameter:
                    return parameter
        qualified = self.program.resolve(scope.module, node.id)
        if qualified is not None:
            return self.symbol(qualified)
        return one("builtin", node.id) if hasattr(builtins, node.id) else ANY

    def _closure_parameter(self, function: Function, name: str) -> Kinds:
        arguments = function.node.args
        if any(a.arg == name for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]):
            return self.parameters(function).get(name, NOTHING)
        return NOTHING

    def symbol(self, qualified: str) -> Kinds:
        """What a qualified name stands for."""
        program = self.program
        if qualified in program.classes or qualified == BARE:
            return one("class", qualified)
        if qualified in program.functions:
            return one("function", qualified)
        if qualified in program.modules:
            return one("pymod", qualified)
        head, _, last = qualified.rpartition(".")
        if head and head in program.modules:
            return self.read(("global", head, last)) or ANY
        rows = self.table.get(qualified)
        if rows:
            return _row_symbol(rows[0])
        if program.is_torch(qualified):
            return one("pymod" if qualified in self.table.namespaces else "torch", qualified)
        root = qualified.partition(".")[0]
        if root in program.modules:
            return ANY
        return one("pymod" if "." not in qualified else "external", qualified)

    def _of_Attribute(self, node: ast.Attribute, scope: Scope) -> Kinds:
        base = self.eval(node.value, scope)
        key = dotted_text(node)
        if key and key in scope.env:
            return scope.env[key]
        if node.attr in TENSOR_ATTRIBUTES and K.without_none(base) & ANY:
            self.recognized[id(node.value)] = K.TENSOR | K.PARAMETER
            return self._tensor_attribute(node.attr)
        if node.attr == "device" and K.without_none(base) & ANY:
            return K.DEVICE | K.STR  # whatever has a device calls it so, and neither a tensor nor a dtype
        if node.attr == "__name__" and (subject := class_of(node.value)):
            return one("str", f"class of {subject}")
        return join(*(self.attribute(k, node.attr) for k in K.without_none(base)))

    def attribute(self, kind: Kind, name: str) -> Kinds:
        """What an attribute of a value of this kind is."""
        if kind.name == "pymod":
            return self.symbol(self.program.member(kind.of, name))
        if kind.name == "external":
            return one("external", f"{kind.of}.{name}")
        if kind.name in K.TENSORS:
            return self._tensor_attribute(name)
        if kind.name == "object":
            return self._object_attribute(kind, name)
        if kind.name == "class":
            return self._class_attribute(kind, name)
        if kind.name == "super":
            found = self.program.method((kind.items and next(iter(kind.items[0])).of) or kind.of, name, after=kind.of)
            if found is not None:
                return one("bound", found[1].name, (one("object", kind.of),))
            return self._module_member(kind.of, name) or ANY
        if kind.name == "named_class":
            return ANY
        if name in kind.fields:
            return kind.items[kind.fields.index(name)]
        if kind.name == "tuple" and kind.of in self.program.classes:
            return self._object_attribute(Kind("object", kind.of), name)  # a method or property of a named tuple's own class
        if kind.name in ("list", "tuple", "dict", "str", "set", "Size", "iterator"):
            return one("builtin_method", name, (frozenset({kind}),))
        if kind.name == "ndarray":
            if name == "T":
                return K.NDARRAY
            return one("ndarray_method", name) if name not in ("shape", "dtype", "ndim", "size") else ANY
        if kind.name == "partial" and name in ("keywords", "func", "args"):
            return ANY
        return ANY

    def _tensor_attribute(self, name: str) -> Kinds:
        rows = self.table.get(f"torch.Tensor.{name}")
        if name in ("shape",):
            return K.SIZE
        if not rows:
            return ANY
        if rows[0].kind == "attribute":
            return K.returned(rows[0].returns, rows[0].fields)
        return one("tensor_method", name)

    def _object_attribute(self, kind: Kind, name: str) -> Kinds:
        if kind.of == "torch.nn.ModuleDict" and kind.items and not self.table.get(f"torch.nn.Module.{name}"):
            return kind.items[kind.fields.index(name) if name in kind.fields else 0]
        if kind.of not in self.program.classes:
            if not self._is_module(kind.of):
                methods = self.table.get(f"{kind.of}.{name}")
                return one("bound", methods[0].name, (frozenset({kind}),)) if methods and methods[0].kind == "method" else ANY
            return (self._held_by_bare(name) if kind.of == BARE else NOTHING) or self._module_member(kind.of, name)
        if name == "__class__":
            return one("class", kind.of)
        if name in ("saved_tensors", "saved_variables") and is_function(self.program, kind.of):
            return K.list_of(K.TENSOR)
        found = self.program.method(kind.of, name)
        if found is not None:
            function = found[1]
            if any(ast.unparse(d) in ("property", "cached_property", "functools.cached_property") for d in function.decorators):
                return self.returned_by(function)
            return one("bound", function.name, (frozenset({kind}),))
        family = self.program.ancestry(kind.of)
        seen = join(*(self.read(("attr", c, name)) for c in family if c in self.program.classes))
        if not seen:
            seen = join(*(self.read(("attr", c, name)) for c in self.descendants.get(kind.of, ())))
            if not seen:
                below = [self.program.classes[c].methods.get(name) for c in self.descendants.get(kind.of, ())]
                bound = [one("bound", f.name, (frozenset({kind}),)) for f in below if f is not None]
                seen = join(*bound)
        if seen:
            return seen
        for base in family:
            if base not in self.program.classes:
                member = self._module_member(base, name)
                if member and not member & ANY:
                    return member
        return ANY

    @cached_property
    def _module_classes(self) -> list[str]:
        return [c for c in self.program.classes if self.program.is_module_class(c)]

    def _held_by_bare(self, name: str) -> Kinds:
        """What `nn.Module()` objects of the program are given under a name, with what its own networks have under it."""
        held = self.read(("attr", BARE, name))
        if not held or self.table.get(f"{BARE}.{name}"):
            return NOTHING
        return join(held, *(self.read(("attr", c, name)) for c in self._module_classes))

    def _module_member(self, class_name: str, name: str) -> Kinds:
        """Members of torch.nn's own classes."""
        if class_name in self.program.classes:
            family = self.program.ancestry(class_name)
            return join(*(self._module_member(c, name) for c in family if c not in self.program.classes))
        rows = self.table.get(class_name)
        if not self._is_module(class_name):
            return ANY
        if rows and (name in rows[0].weights or name in ("weight", "bias")):
            return K.PARAMETER if name == "weight" else K.PARAMETER | K.NONE
        if rows and name in rows[0].signature.by_name:
            return _parameter_guess(rows[0], name)
        if name == "training":
            return K.BOOL
        member = self.table.get(f"torch.nn.Module.{name}")
        if member:
            return one("module_method", name) if member[0].kind == "method" else K.returned(member[0].returns)
        if name == "forward":
            return one("module_method", "forward")
        return ANY

    def _class_attribute(self, kind: Kind, name: str) -> Kinds:
        if name == "apply" and is_function(self.program, kind.of):
            return one("applied", kind.of)
        if kind.of in self.program.classes:
            found = self.program.method(kind.of, name)
            if found is not None:
                function = found[1]
                decorators = {ast.unparse(d) for d in function.decorators}
                if "classmethod" in decorators:
                    return one("bound", function.name, (frozenset({kind}),))
                return one("function", function.name)
            return join(*(self.read(("attr", c, name)) for c in self.program.ancestry(kind.of))) or ANY
        if kind.of == "torch.Tensor" and self.table.get(f"torch.Tensor.{name}"):
            return one("unbound_tensor_method", name)
        return ANY

    def _of_Subscript(self, node: ast.Subscript, scope: Scope) -> Kinds:
        base = K.without_none(self.eval(node.value, scope))
        self.eval(node.slice, scope)
        if isinstance(node.slice, ast.Slice):
            if any(k.name == "object" and set(CONTAINERS) & set(self.program.ancestry(k.of)) for k in base):
                self.grown_containers = True  # a slice of MindSpore's own containers renames its parameters
            return join(*(self._sliced(k) for k in base))
        index = node.slice.value if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, int) else None
        if isinstance(node.slice, ast.UnaryOp) and isinstance(node.slice.operand, ast.Constant):
            value = node.slice.operand.value
            index = -value if isinstance(node.slice.op, ast.USub) and isinstance(value, int) else None
        if isinstance(node.slice, ast.Tuple) and K.is_tensor(base):
            return K.TENSOR
        if K.proven(base, frozenset({"ndarray"})) and self._keeps_axis(node.slice, scope):
            return K.NDARRAY
        return K.item(base, index)

    def _keeps_axis(self, index: ast.expr, scope: Scope) -> bool:
        """Whether an index of an array leaves it an axis, so that the result is an array and no number."""
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        return any(isinstance(p, ast.Slice | ast.List) or K.proven(self.eval(p, scope), frozenset({"ndarray", "list"})) for p in parts)

    def _sliced(self, kind: Kind) -> Kinds:
        if kind.name == "tuple":
            return K.list_of(join(*kind.items))
        if kind.name in ("list", "Size", "str", "Tensor", "ndarray", "object"):
            return frozenset({kind})
        return K.TENSOR if kind.name == "Parameter" else ANY

    def _of_Slice(self, node: ast.Slice, scope: Scope) -> Kinds:
        for child in (node.lower, node.upper, node.step):
            if child is not None:
                self.eval(child, scope)
        return one("slice")


def _row_symbol(row: Row) -> Kinds:
    if row.kind == "module" or row.name == PACKED:
        return one("class", row.name)
    if row.kind in ("function", "method"):
        return one("function", row.name)
    if row.name in ("torch.Tensor", "torch.nn.Parameter", "torch.Size", "torch.dtype", "torch.device", "torch.nn.Module"):
        return one("class", row.name)
    return K.returned(row.returns, row.fields)


def _parameter_guess(row: Row, name: str) -> Kinds:
    """What an attribute of a built layer holds that its constructor took: its default proves little, since any value may be given."""
    if name in ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size", "normalized_shape"):
        return ANY  # one number, or one for each axis
    default = row.signature.by_name[name].default
    if default is None:
        return K.INT if name.endswith(("features", "channels", "dim", "embeddings", "groups", "size", "num_heads")) else ANY
    try:
        value = ast.literal_eval(default)
    except ValueError:
        return ANY
    if isinstance(value, float):
        return K.INT | K.FLOAT if name in ("eps", "p") else ANY
    return ANY if value is None else CONSTANTS.get(type(value), ANY)
