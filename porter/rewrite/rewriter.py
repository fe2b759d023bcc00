"""Rewrites one file: finds what the table has a row for, and gives edits and diagnostics; the text around stays as it is."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from porter.alignment import aligned_edits
from porter.asserted import flag_edits
from porter.comments import with_comments
from porter.complexes import complex_edits
from porter.cut_lists import CUTTING, cut_edits
from porter.functions import FUNCTION, function_edits, is_function
from porter.grammar import (
    differing_edits,
    flattened_edits,
    in_network,
    is_plain_delete,
    named_edits,
    prepare,
    raise_edits,
    set_edits,
)
from porter.graph_forms import display_edits, negated_edits, nested_edits, raised_edits, without_cast
from porter.infer import Inference
from porter.left_classes import left_edits
from porter.members import CELL_MEMBERS, own_name
from porter.numpy_operands import array_edits
from porter.parameter_names import check_names
from porter.program import Module, Program
from porter.reached import decorates_networks
from porter.rewrite.edits import Edit
from porter.rewrite.statements import Statements
from porter.rewrite.unpacking import device_apart
from porter.rewrite.walk import RENAMED_METHODS, all_arguments
from porter.shape_numbers import prepare_shape_numbers
from porter.sometimes import check_branches
from porter.training import Training
from porter.unbound import prepare_names, with_names
from porter.unreached import check_members
from porter.whole import divided_edits, mask_edits

if TYPE_CHECKING:
    from porter.fuse import FusionPlan

_OVERLOADS = frozenset({"torch.jit._overload_method", "torch.jit._overload", "torch._jit_internal._overload_method"})
_SIMPLE_STATEMENTS = frozenset({ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr})
_LOADING = frozenset({"_load_from_state_dict", "load_state_dict", "state_dict"})  # which no graph runs


class Rewriter(Statements):
    """The edits of one module."""

    def __init__(self, program: Program, module: Module, inference: Inference, target: str, fusions: FusionPlan | None = None) -> None:
        super().__init__(program, module, inference, target)
        self.fusions = fusions
        self._naming: set[int] = set()
        self.training = Training(self)

    def run(self) -> list[Edit]:
        return self.visit_body(self.module.tree.body)

    def visit(self, node: ast.AST) -> list[Edit]:
        if not self.bound_first or id(node) not in self.bound_first or id(node) in self._naming:
            return self._edits(node)
        self._naming.add(id(node))  # a training step visits its statement once more from within
        try:
            edits = self._edits(node)
        finally:
            self._naming.discard(id(node))
        return with_names(self, node, edits)  # type: ignore[arg-type]

    def _edits(self, node: ast.AST) -> list[Edit]:
        if self.replaced and id(node) in self.replaced:
            return self.replace(node, self.replaced[id(node)])
        planned = self.training.edits(node) if isinstance(node, ast.stmt) else None
        if planned is not None:
            return planned
        fused = self.fusions.edits(self, node) if self.fusions is not None else None
        if fused is not None:
            return fused
        if self._named_too and id(node) in self._named_too and isinstance(node, ast.Assign):
            return self.replace(node.value, f"{self._named_too[id(node)]} = {self.render(node.value)}")
        kind = type(node)
        if kind is ast.Assign and self.functions and self.module.has(b"cast("):
            uncast = without_cast(self, node)  # type: ignore[arg-type]
            if uncast is not None:
                return uncast
        if kind is ast.Assign and self.functions:
            apart = device_apart(self, node)  # type: ignore[arg-type]
            if apart is not None:
                return with_comments(self, node, apart)  # type: ignore[arg-type]
            masked = mask_edits(self, node)  # type: ignore[arg-type]
            if masked is not None:
                return with_comments(self, node, masked)  # type: ignore[arg-type]
        if kind in (ast.Assign, ast.Return) and self.functions and isinstance(node.value, ast.ListComp):  # type: ignore[attr-defined]
            flattened = flattened_edits(self, node)  # type: ignore[arg-type]
            if flattened is not None:
                return flattened
        if kind in _SIMPLE_STATEMENTS and any(self.module.has(text) for text in CUTTING):
            cut = cut_edits(self, node)  # type: ignore[arg-type]
            if cut is not None:
                return cut
        edits = self._visited(node)
        if self.lines_before and id(node) in self.lines_before:
            edits = self._with_lines_before(node, edits)
        return with_comments(self, node, edits) if kind in _SIMPLE_STATEMENTS else edits  # type: ignore[arg-type]

    def visit_ClassDef(self, node: ast.ClassDef) -> list[Edit]:
        name = f"{self.scope_names[-1]}.{node.name}"
        edits = self._decorators(node)
        if is_function(self.program, name):
            self.classes.append(name)
            self.scope_names.append(name)
            ported = function_edits(self, self.program.classes[name])
            self.scope_names.pop()
            self.classes.pop()
            if ported is not None:
                return edits + ported
            for base in node.bases:
                edits += self._keep_root(base) if self.resolve(base) in FUNCTION else self.visit(base)
            return edits + left_edits(self, node)  # left as it was, behind its diagnostic
        with self.within("base"):
            for base in node.bases:
                edits += self.visit(base)
        for keyword in node.keywords:
            edits += self.visit(keyword.value)
        self.classes.append(name)
        self.scope_names.append(name)
        check_members(self, node)
        check_branches(self, node)
        edits += self.visit_body(node.body)
        self.scope_names.pop()
        self.classes.pop()
        return edits

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Edit]:
        if any(self.resolve(d) in _OVERLOADS for d in node.decorator_list):
            start = self.module.data.rindex(b"@", 0, self.span(node.decorator_list[0])[0])
            return self._gone(node, start)
        check_names(self, node)
        edits = self._decorators(node)
        edits += self._renamed_method(node)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                edits += self.visit(default)
        with self.within("annotation"):
            for argument in all_arguments(node.args):
                if argument.annotation is not None:
                    edits += self.visit(argument.annotation)
            if node.returns is not None:
                edits += self.visit(node.returns)
        self._check_sharing(node)
        with self.inside(node):
            if in_network(self) and node.name not in _LOADING:
                self._check_apart(node)
            if isinstance(node, ast.FunctionDef):
                prepare(self, node)
                prepare_names(self, node)
                prepare_shape_numbers(self, node)
                edits += aligned_edits(self, node)
            edits += self.visit_body(node.body)
        return edits

    def _gone(self, node: ast.stmt, start: int) -> list[Edit]:
        """A definition that only torch's compiler reads goes, with the blank lines after it."""
        data = self.module.data
        end = data.find(b"\n", self.span(node)[1]) + 1 or len(data)
        start = data.rfind(b"\n", 0, start) + 1
        while data[end : end + 1] == b"\n":
            end += 1
        return [Edit(start, end, "")]

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> list[Edit]:
        with self.inside(node):
            return self.children(node)

    def _renamed_method(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Edit]:
        parent = self.parents.get(id(node))
        new = RENAMED_METHODS.get(node.name)
        while isinstance(parent, ast.If | ast.Try):
            parent = self.parents.get(id(parent))
        if new is None and node.name in CELL_MEMBERS:
            new = own_name(node.name)
        if new is None or not isinstance(parent, ast.ClassDef) or not self.classes:
            return []
        if not self.program.mixes_into_module(self.classes[-1]):
            return []
        start = self.module.data.index(b"def", self.span(node)[0])
        at = self.module.data.index(node.name.encode(), start + 3)
        return [Edit(at, at + len(node.name), new)]

    def _decorators(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[Edit]:
        edits: list[Edit] = []
        for decorator in node.decorator_list:
            subject = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = self.resolve(subject)
            if name == "functools.wraps" and self._wraps_network_code():
                edits.append(self._whole_line(decorator))  # a graph would compile the function that is wrapped, not this one
                continue
            if name is not None and self.program.is_torch(name):
                if self._is_neutral_decorator(name):
                    edits.append(self._whole_line(decorator))
                    continue
                if name == "torch.no_grad" or name == "torch.inference_mode" or name == "torch.enable_grad":
                    # outside of a gradient function MindSpore records nothing, so there is nothing to switch off
                    edits.append(self._whole_line(decorator))
                    continue
            edits += self.visit(decorator)
        return edits

    def _wraps_network_code(self) -> bool:
        """Whether the function at hand is made by a decorator of networks' methods or of functions that they call."""
        outer = f"{self.module.name}.{getattr(self.functions[0], 'name', '')}" if self.functions else ""
        return outer in decorates_networks(self.program)

    def _is_neutral_decorator(self, name: str) -> bool:
        rows = self.table.get(name)
        if name.startswith(("torch.jit.", "torch.fx.wrap", "torch.compile", "torch.compiler.", "torch._dynamo.", "torch._jit_internal.")):
            return True
        return any(r.drop or (r.alternatives and r.alternatives[0].to in r.signature.by_name) for r in rows)

    def _whole_line(self, decorator: ast.expr) -> Edit:
        start, end = self.span(decorator)
        start = self.module.data.rindex(b"@", 0, start)
        start = self.module.data.rfind(b"\n", 0, start) + 1
        end = self.module.data.find(b"\n", end)
        return Edit(start, len(self.module.data) if end < 0 else end + 1, "")

    def _is_moved(self) -> bool:
        return self.training.rendering

    def visit_NamedExpr(self, node: ast.NamedExpr) -> list[Edit]:
        edits = named_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_UnaryOp(self, node: ast.UnaryOp) -> list[Edit]:
        edits = negated_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_BinOp(self, node: ast.BinOp) -> list[Edit]:
        edits = complex_edits(self, node) or differing_edits(self, node) or divided_edits(self, node) or array_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_Assert(self, node: ast.Assert) -> list[Edit]:
        edits = flag_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_Delete(self, node: ast.Delete) -> list[Edit]:
        return self._statement(node, "") if is_plain_delete(self, node) else self.children(node)

    def visit_Raise(self, node: ast.Raise) -> list[Edit]:
        edits = raise_edits(self, node) or raised_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_ListComp(self, node: ast.ListComp) -> list[Edit]:
        return nested_edits(self, node) or self.children(node)

    def visit_Dict(self, node: ast.Dict) -> list[Edit]:
        edits = display_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_Set(self, node: ast.Set) -> list[Edit]:
        edits = set_edits(self, node)
        return self.children(node) if edits is None else edits
