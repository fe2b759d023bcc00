"""Samples of a data set as numpy arrays: what `__getitem__` computes with tensors, where it is simple, numpy computes as well."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.expression import primary
from porter.nodes import children, walk
from porter.old_types import CONSTRUCTORS
from porter.rewrite.edits import Edit

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter

DATASETS = frozenset({"torch.utils.data.Dataset", "torch.utils.data.IterableDataset"})
SAMPLERS = frozenset({"__getitem__", "__iter__"})
DTYPES = {
    "float32": "float32", "float": "float32", "float64": "float64", "double": "float64", "float16": "float16",
    "half": "float16", "int64": "int64", "long": "int64", "int32": "int32", "int": "int32", "uint8": "uint8", "bool": "bool_",
}  # fmt: skip
CASTS = {"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32", "byte": "uint8", "bool": "bool_"}
SAME = frozenset({"numpy", "contiguous", "detach", "cpu"})
KEPT = frozenset({"reshape", "squeeze", "sum", "mean", "max", "min", "item", "tolist", "any", "all", "flatten", "clip"})


class NotSimple(Exception):
    """Something in the function has no plain numpy form."""


def numpy_edits(rewriter: Rewriter, node: ast.FunctionDef) -> list[Edit] | None:
    """Edits that turn a data set's sample function to numpy; None where it is none, uses no tensor, or is not simple."""
    if node.name not in SAMPLERS or not _is_dataset(rewriter, node) or not _uses_tensors(rewriter, node):
        return None
    names = set(rewriter.needs.names)
    try:
        edits = _Numpy(rewriter).run(node)
    except NotSimple as problem:
        rewriter.needs.names.intersection_update(names)
        rewriter.forget()
        rewriter.report(
            problem.args[0], "MSP601", "a tensor operation inside a data set's sample function",
            "compute samples with numpy: worker threads of mindspore.dataset should not run MindSpore operators",
        )  # fmt: skip
        return None
    return edits


def _is_dataset(rewriter: Rewriter, node: ast.FunctionDef) -> bool:
    parent = rewriter.parents.get(id(node))
    if not isinstance(parent, ast.ClassDef):
        return False
    name = next((c.name for c in rewriter.program.classes.values() if c.node is parent), "")
    return bool(name) and bool(DATASETS & set(rewriter.program.ancestry(name)))


def _uses_tensors(rewriter: Rewriter, node: ast.FunctionDef) -> bool:
    for child in (c for statement in node.body for c in walk(statement)):
        if isinstance(child, ast.Call):
            name = _torch_name(rewriter, child.func)
            if name or (isinstance(child.func, ast.Attribute) and K.is_tensor(rewriter.kinds(child.func.value))):
                return True
    return False


def _torch_name(rewriter: Rewriter, node: ast.expr) -> str | None:
    name = rewriter.program.dotted(rewriter.module, node)
    return name if name is not None and rewriter.program.is_torch(name) and name.startswith("torch.") else None


class _Numpy:
    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        self.np = rewriter._numpy()

    def run(self, node: ast.FunctionDef) -> list[Edit]:
        edits = [e for statement in node.body for e in self.visit(statement)]
        annotations = [a.annotation for a in node.args.args if a.annotation is not None]
        for annotation in [*annotations, *([node.returns] if node.returns is not None else [])]:
            edits += self._annotation(annotation)
        return edits

    def _annotation(self, node: ast.expr) -> list[Edit]:
        if _torch_name(self.rewriter, node) == "torch.Tensor":
            return self.rewriter.replace(node, f"{self.np}.ndarray")
        return [e for child in children(node) if isinstance(child, ast.expr) for e in self._annotation(child)]

    def visit(self, node: ast.AST) -> list[Edit]:
        if isinstance(node, ast.Call):
            text = self._call(node)
            if text is not None:
                return self.rewriter.replace(node, text)
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = _torch_name(self.rewriter, node)
            if name is not None:
                return self.rewriter.replace(node, self._dtype(node))
        if self._is_held_tensor(node):
            return self.rewriter.replace(node, f"{self.rewriter.module.source(node)}.asnumpy()")
        return [e for child in children(node) for e in self.visit(child)]

    def _is_held_tensor(self, node: ast.AST) -> bool:
        """`self.data`, which the data set holds as a tensor: its array is the same memory and costs less to index."""
        return (
            isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name)
            and node.value.id == "self" and K.is_tensor(self.rewriter.kinds(node))
        )  # fmt: skip

    def text(self, node: ast.AST) -> str:
        return self.rewriter.splice(*self.rewriter.span(node), self.visit(node))

    def _dtype(self, node: ast.expr) -> str:
        short = (_torch_name(self.rewriter, node) or "").removeprefix("torch.")
        if short not in DTYPES:
            raise NotSimple(node)
        return f"{self.np}.{DTYPES[short]}"

    def _call(self, node: ast.Call) -> str | None:
        name = _torch_name(self.rewriter, node.func)
        if name is not None:
            function = _FUNCTIONS.get(name)
            if function is None:
                raise NotSimple(node)
            return function(self, node)
        if isinstance(node.func, ast.Attribute) and K.is_tensor(self.rewriter.kinds(node.func.value)):
            return self._method(node, node.func)
        if K.is_tensor(self.rewriter.kinds(node)):
            return f"{self.rewriter.render(node)}.asnumpy()"  # of torchvision, or of the project itself
        return None

    def _method(self, node: ast.Call, func: ast.Attribute) -> str | None:
        own, arguments = primary(self.text(func.value)), [self.text(a) for a in node.args]
        if func.attr in SAME and not node.keywords:
            return own
        if func.attr in CASTS and not arguments and not node.keywords:
            return f"{own}.astype({self.np}.{CASTS[func.attr]})"
        if func.attr in ("to", "type") and len(arguments) == 1 and _torch_name(self.rewriter, node.args[0]):
            return f"{own}.astype({arguments[0]})"
        if func.attr == "unsqueeze" and len(arguments) == 1:
            return f"{self.np}.expand_dims({own}, {arguments[0]})"
        if func.attr == "permute" and not node.keywords:
            return f"{own}.transpose({', '.join(arguments)})"
        if func.attr == "view" and not node.keywords:
            return f"{own}.reshape({', '.join(arguments)})"
        if func.attr == "clone" and not arguments:
            return f"{own}.copy()"
        if func.attr == "size" and len(arguments) <= 1 and not node.keywords:
            return f"{own}.shape" + (f"[{arguments[0]}]" if arguments else "")
        if func.attr in KEPT and not node.keywords and (func.attr not in ("max", "min", "squeeze") or not arguments):
            return None
        raise NotSimple(node)

    # --- functions of torch ---------------------------------------------------------------------------------------------

    def same(self, node: ast.Call) -> str:
        if len(node.args) != 1 or node.keywords:
            raise NotSimple(node)
        return self.text(node.args[0])

    def array(self, node: ast.Call) -> str:
        """torch.tensor and its kind: Python numbers become float32 or int64, arrays keep their dtype."""
        dtype = next((k.value for k in node.keywords if k.arg == "dtype"), None)
        if len(node.args) != 1 or any(k.arg != "dtype" for k in node.keywords):
            raise NotSimple(node)
        value = self.text(node.args[0])
        if dtype is not None:
            return f"{self.np}.array({value}, {self.text(dtype)})"
        known = K.without_none(self.rewriter.kinds(node.args[0]))
        plain = {"int": "int64", "float": "float32", "bool": "bool_"}
        if len(known) == 1 and (only := next(iter(known)).name) in plain:
            return f"{self.np}.array({value}, {self.np}.{plain[only]})"
        if K.proven(known, frozenset({"ndarray"})):
            return f"{self.np}.array({value})"
        if K.is_tensor(known):
            raise NotSimple(node)
        return f"{self.rewriter.spell('emitted.array_of')}({value})"

    def typed(self, node: ast.Call) -> str:
        """torch.FloatTensor and its kind of a list or an array, which numbers would give a shape."""
        dtype = CONSTRUCTORS.get((_torch_name(self.rewriter, node.func) or "").removeprefix("torch."), "float32")
        value = node.args[0] if len(node.args) == 1 and not node.keywords else node
        held = isinstance(value, ast.List | ast.ListComp) or K.proven(self.rewriter.kinds(value), frozenset({"list", "ndarray"}))
        if value is node or not held:
            raise NotSimple(node)
        return f"{self.np}.array({self.text(value)}, {self.np}.{dtype})"

    def filled(self, node: ast.Call) -> str:
        name = (_torch_name(self.rewriter, node.func) or "").removeprefix("torch.")
        dtype = next((self.text(k.value) for k in node.keywords if k.arg == "dtype"), f"{self.np}.float32")
        if any(k.arg != "dtype" for k in node.keywords) or not node.args:
            raise NotSimple(node)
        sizes = [self.text(a) for a in node.args]
        shape = sizes[0] if len(sizes) == 1 else f"({', '.join(sizes)})"
        return f"{self.np}.{name}({shape}, {dtype})"

    def joined(self, node: ast.Call) -> str:
        name = {"torch.stack": "stack", "torch.cat": "concatenate"}[_torch_name(self.rewriter, node.func) or ""]
        axis = next((self.text(k.value) for k in node.keywords if k.arg == "dim"), None)
        axis = self.text(node.args[1]) if len(node.args) > 1 else axis
        if not node.args or any(k.arg != "dim" for k in node.keywords):
            raise NotSimple(node)
        return f"{self.np}.{name}({self.text(node.args[0])}{f', axis={axis}' if axis else ''})"


_FUNCTIONS: dict[str, Callable[[_Numpy, ast.Call], str]] = {
    "torch.from_numpy": _Numpy.same, "torch.tensor": _Numpy.array, "torch.as_tensor": _Numpy.array,
    **{f"torch.{n}": _Numpy.typed for n in ("Tensor", "FloatTensor", "LongTensor", "IntTensor", "DoubleTensor")},
    "torch.zeros": _Numpy.filled, "torch.ones": _Numpy.filled, "torch.stack": _Numpy.joined, "torch.cat": _Numpy.joined,
}  # fmt: skip
