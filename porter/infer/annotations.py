"""What annotations promise, of parameters, attributes and results."""

from __future__ import annotations

import ast

from porter import kinds as K
from porter.infer import named_tuples
from porter.infer.state import SOME_MODULE, Scope, State
from porter.kinds import ANY, NOTHING, Kind, Kinds, join, one
from porter.loaders import annotated_object
from porter.program import Function

BUILTIN_INSTANCES: dict[str, Kinds] = {
    "int": K.INT, "float": K.FLOAT, "bool": K.BOOL, "str": K.STR, "list": K.list_of(ANY), "tuple": K.list_of(ANY),
    "dict": one("dict", items=(ANY,)), "List": K.list_of(ANY), "Tuple": K.list_of(ANY), "Dict": one("dict", items=(ANY,)),
    "OrderedDict": one("dict", items=(ANY,)), "set": one("set", items=(ANY,)), "Number": K.INT | K.FLOAT,
}  # fmt: skip


class Annotations(State):
    """Reads annotations, and what a function promises to return."""

    def _annotated(self, node: ast.expr | None, scope: Scope) -> Kinds:
        """What an annotation promises; ANY where it says nothing of use, nothing where there is none."""
        if node is None:
            return NOTHING
        known = self.annotations.get(id(node))
        if known is None:
            # the node is kept beside its kinds: an id is another node's once a node is gone
            known = self.annotations[id(node)] = (node, self._read_annotation(node, scope))
        return known[1]

    def _read_annotation(self, node: ast.expr, scope: Scope) -> Kinds:
        if isinstance(node, ast.Constant):
            if node.value is None:
                return K.NONE
            if isinstance(node.value, str):
                try:
                    return self._annotated(ast.parse(node.value, mode="eval").body, scope)
                except SyntaxError:
                    return ANY
            return ANY
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return join(self._annotated(node.left, scope), self._annotated(node.right, scope))
        if isinstance(node, ast.Subscript):
            return self._annotated_generic(node, scope)
        name = self.program.dotted(scope.module, node)
        short = (name or ast.unparse(node)).rpartition(".")[2]
        if name in ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor", "torch.nn.Parameter"):
            return K.PARAMETER if short == "Parameter" else K.TENSOR
        if name == "torch.nn.Module":
            return one("object", "torch.nn.Module")
        if name in ("torch.dtype", "torch.device", "torch.Size"):
            return {"dtype": K.DTYPE, "device": K.DEVICE, "Size": K.SIZE}[short]
        if name in ("numpy.ndarray",):
            return K.NDARRAY
        if name in self.program.classes or any(r.kind == "module" for r in self.table.get(name or "")):
            return named_tuples.of_class(self, self.program.classes.get(name or "")) or instance_of(name or "")
        if short in BUILTIN_INSTANCES and (name is None or not self.program.is_torch(name)):
            return BUILTIN_INSTANCES[short]
        return annotated_object(self, name) or ANY

    def _annotated_generic(self, node: ast.Subscript, scope: Scope) -> Kinds:
        outer = ast.unparse(node.value).rpartition(".")[2]
        arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        inner = [self._annotated(a, scope) for a in arguments]
        if outer == "Optional":
            return join(inner[0], K.NONE)
        if outer == "Union":
            return join(*inner)
        if outer in ("List", "list", "Sequence", "Iterable", "Set", "set", "Iterator", "Generator"):
            return K.list_of(inner[0])
        if outer in ("Tuple", "tuple"):
            if len(arguments) == 2 and isinstance(arguments[1], ast.Constant) and arguments[1].value is Ellipsis:
                return K.list_of(inner[0])
            return K.tuple_of(*inner)
        if outer in ("Dict", "dict", "Mapping", "OrderedDict", "MutableMapping"):
            return one("dict", items=(inner[-1],))
        if outer in ("Type", "type"):
            return frozenset(Kind("class", k.of) if k.name == "object" else Kind("any") for k in inner[0])
        if outer in ("Final", "ClassVar", "Annotated"):
            return inner[0]
        return ANY

    def _specific(self, annotated: Kinds, passed: Kinds) -> Kinds:
        """`model: nn.Module` is whichever networks the callers pass, where all of them are known."""
        known = K.without_none(passed)
        if annotated == SOME_MODULE and known and all(k.name == "object" and self._is_module(k.of) for k in known):
            return known
        return annotated

    def returned_by(self, function: Function) -> Kinds:
        """What a function of the program returns: its annotation where that promises something, else what was seen."""
        node = function.node
        annotated = self._annotated(getattr(node, "returns", None), Scope(function.module, None, None, {}))
        if annotated and not annotated & ANY:
            return self._specific(annotated, self.read(("return", function.name, "")))
        return self.read(("return", function.name, "")) or NOTHING


def instance_of(name: str) -> Kinds:
    if name in ("torch.Tensor", "torch.FloatTensor", "torch.LongTensor"):
        return K.TENSOR
    if name in ("torch.nn.Parameter", "torch.nn.Buffer"):
        return K.PARAMETER
    if name in ("torch.Size", "torch.dtype", "torch.device"):
        return one(name.rpartition(".")[2])
    if name == "numpy.ndarray":
        return K.NDARRAY
    return one("object", name)
