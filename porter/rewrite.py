"""Rewrites one file: finds what the table has a row for, and gives edits and diagnostics; the text around stays as it is."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import libcst as cst

from porter import kinds as K
from porter.diagnostics import Diagnostic, Location
from porter.emit import EXTRAS, adapter_name
from porter.expression import NotInline, Site, Written, inline, is_primary
from porter.formats import field_place, is_numeric, number_text, numeric_arguments
from porter.functions import FUNCTION, function_edits, is_function, omitted_arguments
from porter.grammar import named_edits, prepare, set_edits, state_edits, statement_edits
from porter.guards import (
    UNKNOWN,
    Argument,
    bind_arguments,
    choose_alternative,
    constant_of,
    truth,
)
from porter.infer import Inference, span_of
from porter.kinds import ANY, Kinds
from porter.layout import LONGEST, fitted
from porter.members import CELL_MEMBERS, own_name
from porter.packed import NO_FIELDS, PACKED, PAD_FIRST, is_packed, tells_apart
from porter.precision import HELP, MESSAGE, asks_for_float64
from porter.program import Module, Program, absolute
from porter.rearrange import Rearrangement, method_chain, short_equation
from porter.recognize import is_move, is_text_call
from porter.slices import empty_axis_edits, stepped_edits
from porter.table import Alternative, Row, emitted_definitions, pure_definitions
from porter.training import Training

if TYPE_CHECKING:
    from porter.fuse import FusionPlan

MODULE = "torch.nn.Module"
RENAMED_METHODS = {"forward": "construct", "train": "set_train", "extra_repr": "extend_repr"}


@dataclass(frozen=True)
class Edit:
    """Bytes [start, end) of the encoded source become `text`."""

    start: int
    end: int
    text: str


@dataclass
class Needs:
    """What the rewritten file uses beside what it already had."""

    names: set[str] = field(default_factory=set)
    emitted: set[str] = field(default_factory=set)
    adapters: dict[str, Row] = field(default_factory=dict)
    left: dict[str, None] = field(default_factory=dict)


class Rewriter:
    """The edits of one module. `result` gives the new text once `run` is done."""

    def __init__(self, program: Program, module: Module, inference: Inference, target: str) -> None:
        self.program = program
        self.module = module
        self.inference = inference
        self.fusions: FusionPlan | None = None
        self.table = program.table
        self.target = target
        self.needs = Needs()
        self.diagnostics: list[Diagnostic] = []
        self.context: list[str] = ["value"]
        self.functions: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda] = []
        self.local_names: list[set[str]] = []
        self.classes: list[str] = []
        self.scope_names: list[str] = [module.name]
        self._visitors: dict[type, Callable[[Any], list[Edit]]] = {ast.Load: _nothing, ast.Store: _nothing}
        self.quote = '"' if module.text.count('"') > module.text.count("'") else "'"
        self._removed_statements: dict[tuple[int, str], set[int]] = {}
        self._closing_texts: dict[int, str] = {}
        self._inplace_cache: dict[str, set[str]] = {}
        self._calls: dict[tuple[int, str], list[Edit]] = {}
        self.replaced: dict[int, str] = {}
        self.current_states: dict[int, str] = {}
        self.parents, self.taken = module.explored.parents, module.explored.bound
        self.training = Training(self)

    # --- text --------------------------------------------------------------------------------------------------------

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.module.offset(node.lineno, node.col_offset),  # type: ignore[attr-defined]
            self.module.offset(node.end_lineno, node.end_col_offset),  # type: ignore[attr-defined]
        )

    def indent(self, node: ast.stmt) -> str:
        """What a statement's line begins with, tabs where the author indents with tabs."""
        start = self.span(node)[0]
        before = self.module.data[self.module.data.rfind(b"\n", 0, start) + 1 : start]
        return before.decode("utf-8") if not before.strip() else " " * node.col_offset

    def splice(self, start: int, end: int, edits: Iterable[Edit]) -> str:
        """The source between two offsets with edits applied; outer edits win over those inside them."""
        parts, at = [], start
        for edit in sorted(edits, key=lambda e: (e.start, -e.end)):
            if edit.start < at:
                continue
            parts += [self.module.data[at : edit.start].decode("utf-8"), edit.text]
            at = edit.end
        parts.append(self.module.data[at:end].decode("utf-8"))
        return "".join(parts)

    def render(self, node: ast.AST) -> str:
        return self.splice(*self.span(node), self.visit(node))

    def replace(self, node: ast.AST, text: str) -> list[Edit]:
        return [Edit(*self.span(node), text)]

    def report(self, node: ast.AST, code: str, message: str, help: str = "", row: Row | None = None, symbol: str = "") -> None:
        place = Location(self.module.path, getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1)
        rule = str(row.location).rpartition(":")[0] if row is not None else ""
        found = Diagnostic(place, code, message, help, rule, symbol)
        if found not in self.diagnostics:
            self.diagnostics.append(found)

    def kinds(self, node: ast.AST) -> Kinds:
        return self.inference.kinds_of(node)

    @contextmanager
    def within(self, context: str) -> Iterator[None]:
        self.context.append(context)
        try:
            yield
        finally:
            self.context.pop()

    # --- names in the ported file ----------------------------------------------------------------------------------------

    def spell(self, dotted: str) -> str:
        """How a qualified MindSpore, numpy or emitted name is written in this file; notes the import it needs."""
        if dotted.startswith("emitted."):
            name = dotted.removeprefix("emitted.")
            self.needs.emitted.add(name)
            self.needs.names.add(EXTRAS)
            return f"{EXTRAS}.{name}"
        parts = dotted.split(".")
        if parts[0] == "typing":
            self.needs.names.add("typing")
            return dotted
        if parts[0] == "numpy":
            return ".".join([self._numpy(), *parts[1:]])
        if len(parts) == 2 and parts[1] in ("Tensor", "Parameter") and parts[1] not in self.taken:
            self.needs.names.add(parts[1])
            return parts[1]
        if len(parts) >= 3 and parts[1] in ("nn", "ops", "mint"):
            prefix = self._submodule(parts[1])
            return ".".join([prefix, *parts[2:]])
        self.needs.names.add("mindspore")
        return ".".join([self._free("mindspore", "mindspore"), *parts[1:]])

    def _numpy(self) -> str:
        for local, name in self.module.imports.items():
            if name == "numpy":
                return local
        self.needs.names.add("np")
        return "np"

    def _submodule(self, name: str) -> str:
        self.needs.names.add(name)
        return self._free(name, f"ms_{name}")

    def _free(self, name: str, otherwise: str) -> str:
        return otherwise if name in self.taken and otherwise != name else name

    def resolve(self, node: ast.expr) -> str | None:
        """The qualified torch or program name that a dotted expression stands for, local names excluded."""
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or self._is_local(root.id):
            return None
        return self.program.dotted(self.module, node)

    def _is_local(self, name: str) -> bool:
        return any(name in names for names in self.local_names)

    # --- walking -----------------------------------------------------------------------------------------------------

    def run(self) -> list[Edit]:
        return self.visit_body(self.module.tree.body)

    def visit_body(self, body: list[ast.stmt]) -> list[Edit]:
        return [edit for statement in body for edit in self.visit(statement)]

    def visit(self, node: ast.AST) -> list[Edit]:
        if self.replaced and id(node) in self.replaced:
            return self.replace(node, self.replaced[id(node)])
        planned = self.training.edits(node) if isinstance(node, ast.stmt) else None
        if planned is not None:
            return planned
        fused = self.fusions.edits(self, node) if self.fusions is not None else None
        if fused is not None:
            return fused
        kind = type(node)
        if kind in _SIMPLE_STATEMENTS and b".pop(" in self.module.data:
            popped = self._popped_first(node)  # type: ignore[arg-type]
            if popped is not None:
                return popped
        return self._visited(node)

    def _visited(self, node: ast.AST) -> list[Edit]:
        kind = type(node)
        if kind not in self._visitors:
            self._visitors[kind] = getattr(self, f"visit_{kind.__name__}", self.children if node._fields else _nothing)
        return self._visitors[kind](node)

    def _popped_first(self, node: ast.stmt) -> list[Edit] | None:
        """`cat((x, skips.pop()))`: in GRAPH mode pop stands in a statement of its own, so it comes before."""
        if not self.functions or not self.classes or not self._in_forward() or not self.program.mixes_into_module(self.classes[-1]):
            return None
        calls = self._inner_pops(node)
        start, end = self.span(node)
        line = self.module.data[self.module.data.rfind(b"\n", 0, start) + 1 : start]
        if not calls or line.strip():
            return None
        before = ""
        for call in calls:
            name = self._unused("popped")
            before += f"{name} = {self.render(call)}\n{line.decode()}"
            self.replaced[id(call)] = name
        return [Edit(start, end, before + self.splice(start, end, self._visited(node)))]

    def _inner_pops(self, node: ast.stmt) -> list[ast.Call]:
        """Calls of a list's pop inside a larger expression, in order, where nothing else in the statement reads the list."""
        found: list[ast.Call] = []
        value = getattr(node, "value", None)
        for inner in ast.walk(node):
            if isinstance(inner, ast.IfExp | ast.BoolOp | ast.Lambda | ast.comprehension | ast.NamedExpr):
                return []
            if not (isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "pop"):
                continue
            if isinstance(inner.func.value, ast.Name) and inner is not value and K.proven(self.kinds(inner.func.value), frozenset({"list"})):
                found.append(inner)
        names = [c.func.value.id for c in found]  # type: ignore[attr-defined]
        read = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in names]
        return sorted(found, key=lambda c: (c.lineno, c.col_offset)) if len(read) == len(found) else []

    def _unused(self, name: str) -> str:
        """A name like the given one that the file does not have yet; it is taken from now on."""
        number, free = 1, name
        while free in self.taken:
            number += 1
            free = f"{name}_{number}"
        self.taken.add(free)
        return free

    def children(self, node: ast.AST) -> list[Edit]:
        edits: list[Edit] = []
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                edits += self.visit(value)
            elif isinstance(value, list):
                for child in value:
                    if isinstance(child, ast.AST):
                        edits += self.visit(child)
        return edits

    # --- definitions -------------------------------------------------------------------------------------------------

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
            return edits  # left as it was, behind its diagnostic
        with self.within("base"):
            for base in node.bases:
                edits += self.visit(base)
        for keyword in node.keywords:
            edits += self.visit(keyword.value)
        self.classes.append(name)
        self.scope_names.append(name)
        edits += self.visit_body(node.body)
        self.scope_names.pop()
        self.classes.pop()
        return edits

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[Edit]:
        if any(self.resolve(d) in _OVERLOADS for d in node.decorator_list):
            start = self.module.data.rindex(b"@", 0, self.span(node.decorator_list[0])[0])
            return self._gone(node, start)
        edits = self._decorators(node)
        edits += self._renamed_method(node)
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                edits += self.visit(default)
        with self.within("annotation"):
            for argument in _all_arguments(node.args):
                if argument.annotation is not None:
                    edits += self.visit(argument.annotation)
            if node.returns is not None:
                edits += self.visit(node.returns)
        with self.inside(node):
            if isinstance(node, ast.FunctionDef):
                prepare(self, node)
            edits += self.visit_body(node.body)
        return edits

    @contextmanager
    def inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[None]:
        """While the body of a function is looked at."""
        self.functions.append(node)
        self.local_names.append(_local_names(node))
        self.scope_names.append(f"{self.scope_names[-1]}.{getattr(node, 'name', '<lambda>')}.<locals>")
        try:
            yield
        finally:
            self.scope_names.pop()
            self.functions.pop()
            self.local_names.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def _gone(self, node: ast.stmt, start: int) -> list[Edit]:
        """A definition that only torch's compiler reads goes, with the blank lines after it."""
        data = self.module.data
        end = data.find(b"\n", self.span(node)[1]) + 1 or len(data)
        start = data.rfind(b"\n", 0, start) + 1
        while data[end : end + 1] == b"\n":
            end += 1
        return [Edit(start, end, "")]

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

    # --- statements --------------------------------------------------------------------------------------------------

    def visit_AnnAssign(self, node: ast.AnnAssign) -> list[Edit]:
        with self.within("annotation"):
            edits = self.visit(node.annotation)
        edits += self.visit(node.target)
        return edits + (self.visit(node.value) if node.value is not None else [])

    def visit_Import(self, node: ast.Import) -> list[Edit]:
        kept = [a for a in node.names if not self.program.is_torch(a.name)]
        if len(kept) == len(node.names):
            return []
        text = "import " + ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in kept) if kept else ""
        return self._statement(node, text)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[Edit]:
        source = absolute(self.module, node)
        if self.program.is_torch(source) and node.level == 0:
            return self._statement(node, "")
        kept = []
        for alias in node.names:
            name = self.program.resolve(self.module, alias.asname or alias.name) if alias.name != "*" else None
            if name is not None and self.program.is_torch(name) and f"{source}.{alias.name}" not in self.program.modules:
                continue
            kept.append(alias)
        if len(kept) == len(node.names):
            return []
        dots = "." * node.level
        names = ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in kept)
        return self._statement(node, f"from {dots}{node.module or ''} import {names}" if kept else "")

    def _statement(self, node: ast.stmt, text: str) -> list[Edit]:
        """Replaces a statement; with no text it goes with its line, or becomes `pass` where a block needs one."""
        if text:
            return self.replace(node, text)
        if not self._removable(node):
            return self.replace(node, "pass")
        start, end = self.span(node)
        data = self.module.data
        line_start = data.rfind(b"\n", 0, start) + 1
        line_end = data.find(b"\n", end)
        line_end = len(data) if line_end < 0 else line_end + 1
        alone = not data[line_start:start].strip() and not data[end:line_end].split(b"#")[0].strip()
        if alone and b"#" not in data[end:line_end]:
            return [Edit(line_start, line_end, "")]
        if alone:
            return [Edit(start, end + len(data[end:line_end]) - len(data[end:line_end].lstrip()), "")]
        following = data[end:line_end]
        if following.lstrip().startswith(b";"):
            rest = following[following.index(b";") + 1 :]
            return [Edit(start, line_end - len(rest.lstrip(b" \t")), "")]
        before = data[line_start:start].rstrip()
        if before.endswith(b";"):
            return [Edit(line_start + len(before) - 1, end, "")]
        return self.replace(node, "pass")

    def shares_line(self, node: ast.stmt) -> bool:
        """Whether another statement stands on the same line, behind a semicolon."""
        start, end = self.span(node)
        data = self.module.data
        return data[data.rfind(b"\n", 0, start) + 1 : start].rstrip().endswith(b";") or data[end : end + 80].lstrip(b" \t").startswith(b";")

    def _removable(self, node: ast.stmt) -> bool:
        parent = self.parents.get(id(node))
        if parent is None or isinstance(parent, ast.Module):
            return True
        for name in ("body", "orelse", "finalbody", "handlers"):
            block = getattr(parent, name, None)
            if isinstance(block, list) and node in block:
                removed = self._removed.setdefault((id(parent), name), set())
                removed.add(id(node))
                return len(removed) < len(block)
        return False

    @property
    def _removed(self) -> dict[tuple[int, str], set[int]]:
        return self._removed_statements

    def visit_Expr(self, node: ast.Expr) -> list[Edit]:
        call = node.value
        if isinstance(call, ast.Call):
            looped = self._extended_by_loop(node, call)
            if looped is not None:
                return looped
            name = self.resolve(call.func)
            if name is not None and any(r.drop for r in self.table.get(name)):
                return self._statement(node, "")
            edits = self._inplace_statement(node, call)
            if edits is None:
                edits = self._inplace_call_statement(node, call, name)
            if edits is not None:
                return edits
        edits = statement_edits(self, node)
        return self.children(node) if edits is None else edits

    def _extended_by_loop(self, node: ast.Expr, call: ast.Call) -> list[Edit] | None:
        """`y.extend(f(y[-1]) for m in ms)` as a loop: GRAPH mode computes all elements before y has the first of them."""
        func, elements = call.func, call.args[0] if len(call.args) == 1 and not call.keywords else None
        if not (isinstance(func, ast.Attribute) and func.attr == "extend" and isinstance(elements, ast.GeneratorExp)):
            return None
        generator = elements.generators[0]
        start, end = self.span(node)
        line = self.module.data[self.module.data.rfind(b"\n", 0, start) + 1 : start].decode()
        if len(elements.generators) > 1 or generator.ifs or generator.is_async or line.strip() or b"#" in self.module.data[start:end]:
            return None
        if not self.functions or not self.classes or not self.program.mixes_into_module(self.classes[-1]):
            return None
        bound = {n.id for n in ast.walk(generator.target) if isinstance(n, ast.Name)}
        if not self._reads(elements.elt, func.value) or bound & {n.id for n in self._names_outside(node)}:
            return None
        target, loop = self.module.source(generator.target), self.render(generator.iter)
        added = f"{self.render(func.value)}.append({self.render(elements.elt)})"
        return [Edit(start, end, f"for {target} in {loop}:\n{line}    {added}")]

    def _reads(self, node: ast.AST, subject: ast.expr) -> bool:
        wanted = ast.unparse(subject)
        return any(isinstance(n, ast.Name | ast.Attribute) and ast.unparse(n) == wanted for n in ast.walk(node))

    def _names_outside(self, node: ast.stmt) -> Iterator[ast.Name]:
        """Names of the function around a statement, those of the statement left out, and '_', which nobody reads."""
        inside = {id(n) for n in ast.walk(node)}
        for other in ast.walk(self.functions[-1]):
            if isinstance(other, ast.Name) and id(other) not in inside and other.id != "_":
                yield other

    def visit_With(self, node: ast.With) -> list[Edit]:
        neutral = [i for i in node.items if self._is_neutral_context(i.context_expr)]
        if len(neutral) == len(node.items) and not any(i.optional_vars for i in neutral):
            return self._without_header(node, [])
        items = [i for i in node.items if not self._is_grad_switch(i.context_expr)]
        if len(items) == len(node.items):
            return self.children(node)
        if items:
            self.report(node, "MSP206", "a gradient switch beside other contexts in one with", "put it in a with of its own")
            return self.children(node)
        return self._without_gradient(node)

    def visit_If(self, node: ast.If) -> list[Edit]:
        """A branch that only torch's compilers take goes; the other one moves out."""
        decided = self._decided(node.test)
        if decided is None:
            return self.children(node)
        kept = node.body if decided else node.orelse
        if self._is_elif(node):
            return self.children(node)
        if not kept:
            return self._statement(node, "")
        return self._unwrapped(node, kept)

    def _decided(self, test: ast.expr) -> bool | None:
        """The value of a condition made of compiler questions alone."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            inner = self._decided(test.operand)
            return None if inner is None else not inner
        if isinstance(test, ast.BoolOp):
            values = [self._decided(v) for v in test.values]
            wanted = isinstance(test.op, ast.Or)
            if wanted in values:
                return wanted
            return None if None in values else not wanted
        if isinstance(test, ast.Call):
            name = self.resolve(test.func)
            rows = self.table.get(name) if name is not None and self.program.is_torch(name) else ()
            constant = {"False": False, "True": True}
            if rows and len(rows[0].alternatives) == 1 and rows[0].alternatives[0].to in constant and name in _COMPILER_QUESTIONS:
                return constant[rows[0].alternatives[0].to]
        return None

    def visit_NamedExpr(self, node: ast.NamedExpr) -> list[Edit]:
        edits = named_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_Set(self, node: ast.Set) -> list[Edit]:
        edits = set_edits(self, node)
        return self.children(node) if edits is None else edits

    def visit_BoolOp(self, node: ast.BoolOp) -> list[Edit]:
        neutral = isinstance(node.op, ast.And)
        decided = [self._decided(v) is neutral for v in node.values]
        if not any(decided) or all(decided):
            return self.children(node)
        kept = [v for v, d in zip(node.values, decided) if not d]
        if len(kept) == 1 or all(decided[: decided.index(False)]):
            word = " and " if neutral else " or "
            text = word.join(self._operand(v) for v in kept)
            parent = self.parents.get(id(node))
            if len(kept) == 1 and isinstance(parent, ast.UnaryOp) and not isinstance(kept[0], ast.Name | ast.Call):
                text = f"({text})"
            return self.replace(node, text)
        return self.children(node)

    def _operand(self, node: ast.expr) -> str:
        """An operand with the parentheses it stands in."""
        text = self.render(node)
        return f"({text})" if isinstance(node, ast.BoolOp | ast.IfExp | ast.Lambda | ast.NamedExpr) or "\n" in text else text

    def _is_elif(self, node: ast.If) -> bool:
        start = self.span(node)[0]
        return self.module.data[start : start + 4] == b"elif"

    def _unwrapped(self, node: ast.If, kept: list[ast.stmt]) -> list[Edit]:
        data = self.module.data
        start, end = self.span(node)
        body_start = data.rfind(b"\n", 0, self._first_offset(kept[0])) + 1
        if kept is node.body and body_start > start:  # comments before the first statement
            body_start = data.index(b"\n", self.span(node.test)[1]) + 1
        if body_start <= start or (kept is node.orelse and len(kept) == 1 and isinstance(kept[0], ast.If) and self._is_elif(kept[0])):
            return self.children(node)
        text = self.splice(body_start, self.span(kept[-1])[1], self.visit_body(kept))
        text = _dedent(text, kept[0].col_offset - node.col_offset, 0).lstrip(" \t")
        if not text.strip():
            return self._statement(node, "")
        return [Edit(start, end, text)]

    def visit_Try(self, node: ast.Try) -> list[Edit]:
        """`try: from torch import x; except ImportError: def x` keeps what is right without torch: the handler."""
        handler = next((h for h in node.handlers if _catches_import(h)), None)
        imported = self._torch_names(node.body)
        if handler is None or not imported & _bound_by([s for s in handler.body if not _is_absence(s)]):
            return self.children(node)
        data = self.module.data
        start, end = self.span(node)
        first, last = handler.body[0], handler.body[-1]
        body_start = data.rfind(b"\n", 0, self._first_offset(first)) + 1
        if body_start <= self.span(handler)[0]:
            return self.children(node)
        text = self.splice(body_start, self.span(last)[1], self.visit_body(handler.body))
        return [Edit(start, end, _dedent(text, first.col_offset - node.col_offset, 0).lstrip(" \t"))]

    def _torch_names(self, body: list[ast.stmt]) -> set[str]:
        found: set[str] = set()
        for node in body:
            if isinstance(node, ast.Import):
                found |= {a.asname or a.name.partition(".")[0] for a in node.names if self.program.is_torch(a.name)}
            elif isinstance(node, ast.ImportFrom) and not node.level and self.program.is_torch(node.module or ""):
                found |= {a.asname or a.name for a in node.names}
        return found

    def _is_grad_switch(self, expression: ast.expr) -> bool:
        name = self.resolve(expression.func) if isinstance(expression, ast.Call) else None
        if name in ("torch.set_grad_enabled", "torch.autograd.set_grad_enabled"):
            return isinstance(expression, ast.Call) and constant_of(expression.args[0]) is False
        return name in ("torch.no_grad", "torch.inference_mode", "torch.autograd.no_grad")

    def _is_neutral_context(self, expression: ast.expr) -> bool:
        """A context that measures, or chooses between kernels of equal meaning."""
        name = self.resolve(expression.func) if isinstance(expression, ast.Call) else None
        return name is not None and (name in _NEUTRAL_CONTEXTS or name.startswith(_NEUTRAL_NAMESPACES))

    def _without_gradient(self, node: ast.With) -> list[Edit]:
        """The block one level to the left; tensors it makes carry no gradient, which stop_gradient says."""
        assigned = self._assigned_tensors(node)
        if assigned and self.functions and self.classes and self._in_forward():
            return self._without_header(node, assigned)
        if self._in_forward() and any(self._returns_tensor(n) for s in node.body for n in ast.walk(s)):
            self.report(node, "MSP205", "a return under no_grad in a forward method", "wrap the result in ops.stop_gradient by hand")
        return self._without_header(node, [])

    def _returns_tensor(self, node: ast.AST) -> bool:
        """Whether a network's own code returns here, or other code returns a tensor, which a loss could use."""
        return isinstance(node, ast.Return) and (bool(self.classes) or (node.value is not None and K.is_tensor(self.kinds(node.value))))

    def _without_header(self, node: ast.With, stopped: list[str]) -> list[Edit]:
        """The block one level to the left, and after it the names that carry no gradient."""
        first, last = node.body[0], node.body[-1]
        data = self.module.data
        start = self.span(node)[0]
        body_start = data.rfind(b"\n", 0, self._first_offset(first)) + 1
        if body_start <= start:  # with ...: statement on one line
            return [Edit(start, self._first_offset(first), ""), *self.visit_body(node.body)]
        end = self.span(last)[1]
        edits = self.visit_body(node.body)
        header = node.items[-1].optional_vars or node.items[-1].context_expr
        between = data[data.index(b"\n", self.span(header)[1]) + 1 : body_start].decode()
        text = between + self.splice(body_start, end, edits)
        text = _dedent(text, first.col_offset - node.col_offset, node.col_offset)
        if stopped:
            pad = self.indent(node)
            stop = self.spell("mindspore.ops.stop_gradient")
            text += "".join(f"\n{pad}{name} = {stop}({name})" for name in stopped)
        return [Edit(start, end, text.lstrip(" \t"))]

    def _first_offset(self, node: ast.stmt) -> int:
        decorators = getattr(node, "decorator_list", [])
        if decorators:
            return self.module.data.rindex(b"@", 0, self.span(decorators[0])[0])
        return self.span(node)[0]

    def _in_forward(self) -> bool:
        names = [getattr(f, "name", "") for f in self.functions]
        return bool(names) and not any(n.startswith(("__init__", "init_", "_init", "reset_")) for n in names)

    def _assigned_tensors(self, node: ast.With) -> list[str]:
        found: dict[str, None] = {}
        for statement in node.body:
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and not K.proven(
                    self.kinds(inner), frozenset({"int", "float", "str", "bool"})
                ):
                    if K.is_tensor(self.kinds(inner)):
                        found[inner.id] = None
        return list(found)

    # --- in-place methods ----------------------------------------------------------------------------------------------

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

    def _is_parameter(self, holder: ast.expr, is_data: bool) -> bool:
        known = K.without_none(self.kinds(holder))
        return is_data or (bool(known) and K.names(known) <= {"Parameter"})

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
            if other != name.id and _read_after(function, other, node):
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

    # --- expressions -------------------------------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> list[Edit]:
        """A call is rewritten once, though the calls around it ask for its text several times."""
        key = (id(node), self.context[-1])
        if key not in self._calls:
            self._calls[key] = self._call(node)
        return self._calls[key]

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
            member = self._namespace_member(node) if text is None else self.replace(node, text)
            if member is not None:
                return member
        mapped = self._mapped_lambda(node) if isinstance(node.func, ast.Name) and node.func.id == "map" else None
        if mapped is not None:
            return mapped
        if self._is_apply(node.func):
            return self._apply_call(node, node.func)
        numeric = {id(a) for a in numeric_arguments(node)}
        if numeric:
            return self._with_numbers(node, numeric)
        name = self.resolve(node.func)
        self._check_inplace_call(node, name)
        if name is not None and self.program.is_torch(name):
            return self._torch_call(node, name)
        if isinstance(node.func, ast.Attribute):
            method = self._method_call(node, node.func)
            if method is not None:
                return method
        if name in ("typing.cast", "cast") and len(node.args) == 2:
            with self.within("annotation"):
                edits = self.visit(node.args[0])
            return edits + self.visit(node.args[1])
        return self.children(node)

    def _mapped_lambda(self, node: ast.Call) -> list[Edit] | None:
        """`map(lambda t: f(t), xs)` as `[f(t) for t in xs]` in a network's own code: GRAPH mode has no map over a closure."""
        function = node.args[0] if len(node.args) == 2 and not node.keywords else None
        if not isinstance(function, ast.Lambda) or not self.classes or not self.functions or not self._in_forward():
            return None
        parameters = _all_arguments(function.args)
        if len(parameters) != 1 or function.args.defaults or function.args.vararg or isinstance(node.args[1], ast.Starred):
            return None
        if not self.program.mixes_into_module(self.classes[-1]):
            return None
        if isinstance(function.body, ast.Tuple) and not self.module.source(function.body).startswith("("):
            return None
        with self.inside(function):
            body = self.render(function.body)
        commented = "#" in self.module.source(node)
        return None if commented else self.replace(node, f"[{body} for {parameters[0].arg} in {self._operand(node.args[1])}]")

    def _is_apply(self, node: ast.expr) -> TypeGuard[ast.Attribute]:
        """Whether an expression is the `apply` of a torch.autograd.Function of the program."""
        if not isinstance(node, ast.Attribute) or node.attr != "apply":
            return False
        kinds = self.kinds(node.value)
        return bool(kinds) and all(k.name == "class" and is_function(self.program, k.of) for k in kinds)

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

    def _applied(self, node: ast.Attribute) -> list[Edit]:
        """`X.apply` is an instance of the Cell that X became."""
        return [*self.visit(node.value), Edit(self.span(node.value)[1], self.span(node)[1], "()")]

    def _with_numbers(self, node: ast.Call, numeric: set[int]) -> list[Edit]:
        """`"{:.4f}".format(loss)`: tensors that a format for numbers takes become numbers."""
        edits: list[Edit] = []
        for argument in [*node.args, *(k.value for k in node.keywords)]:
            own = self.visit(argument)
            text = self.splice(*self.span(argument), own)
            new = number_text(self, argument, text) if id(argument) in numeric else text
            edits += own if new == text else self.replace(argument, new)
        return edits

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
            if _read_after(function, other, node):
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

    def _namespace_member(self, node: ast.Call) -> list[Edit] | None:
        """`getattr(nn, name)`: a dictionary of the classes that the program names in its strings."""
        space = self.resolve(node.args[0])
        if space is None or not self.program.is_torch(space) or self.table.get(space) or not self._is_namespace(space):
            return None
        wanted = constant_of(node.args[1])
        names = [wanted] if isinstance(wanted, str) else self._named_members(space)
        rows = {n: self.table.get(f"{space}.{n}")[0] for n in names if self.table.get(f"{space}.{n}")}
        usable = {n: r for n, r in rows.items() if r.refused is None and (len(self.table.get(r.name)) == 1 or r.adapter)}
        if not usable:
            return None
        entries = {n: self.spell(r.alternatives[0].to.partition("(")[0]) if self._same_signature(r) else self.adapter(r, node) for n, r in usable.items()}
        if isinstance(wanted, str):
            return self.replace(node, str(entries[wanted]))
        shown = ", ".join(f"{n!r}: {e}" for n, e in sorted(entries.items()) if e)
        key = self.render(node.args[1])
        if len(node.args) == 3:
            return self.replace(node, f"{{{shown}}}.get({key}, {self.render(node.args[2])})")
        return self.replace(node, f"{{{shown}}}[{key}]")

    def _named_members(self, space: str) -> list[str]:
        """Members of a torch namespace whose names, or patterns of names such as 'Conv{}d', stand in the program's strings."""
        members = [n.removeprefix(space + ".") for n in self.table.rows if n.startswith(space + ".") and n.count(".") == space.count(".") + 1]
        found: dict[str, None] = {}
        for text in self.program.strings:
            if text in members:
                found[text] = None
            elif re.search(r"\{[^}]*\}|%[ds]", text) and re.search("[A-Za-z]{3}", text) and len(text) < 40:
                pattern = re.sub(r"\\\{[^}]*\}|%[ds]", ".{0,8}", re.escape(text).replace("%", "%"))
                found.update(dict.fromkeys(m for m in members if re.fullmatch(pattern, m)))
        return [n for n in found if self.table.get(f"{space}.{n}")[0].kind in ("module", "function")]

    def _torch_call(self, node: ast.Call, name: str) -> list[Edit]:
        rows = self.table.get(name)
        if not rows:
            owner = name.rpartition(".")[0]
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
        text = self._port_call(node, rows, receiver)
        return self._left(node, name) if text is None else self.replace(node, text)

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
        own = text if is_primary(text) else f"({text})"
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

    def _left(self, node: ast.Call, name: str) -> list[Edit]:
        """A call that stays as it was; its root name stays bound to a stand-in."""
        return self._keep_root(node.func) + [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]

    def _keep_root(self, node: ast.expr) -> list[Edit]:
        """Keeps the root of a torch name bound, to a stand-in; names that MindSpore takes are written out in full."""
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name):
            return []
        full = self.program.resolve(self.module, node.id)
        if node.id in _MINDSPORE_NAMES and full is not None:
            self.needs.left["torch"] = None
            return [Edit(*self.span(node), full)]
        self.needs.left[node.id] = None
        return []

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
                # a graph takes `super()` from the class of the object: two levels below it would call itself for ever
                edits += self.replace(called, f"super({owner.rpartition('.')[2]}, self)")
        elif self.table.get(f"{MODULE}.{node.func.attr}") and self.program.method(owner, node.func.attr, after=owner) is None:
            text = self._port_call(node, self.table.get(f"{MODULE}.{node.func.attr}"), node.func.value)
            if text is not None:
                return self.replace(node, text)
        return edits

    def _is_self_method(self) -> bool:
        """Whether the code at hand is a method of a class at module level whose first parameter is called self."""
        function = self.functions[-1] if len(self.functions) == 1 else None
        arguments = function.args.args if isinstance(function, ast.FunctionDef) else []
        return len(self.classes) == 1 and bool(arguments) and arguments[0].arg == "self"

    def _attribute_name(self, node: ast.Attribute, new: str) -> Edit:
        end = self.span(node)[1]
        return Edit(end - len(node.attr.encode()), end, new)

    def _method_call(self, node: ast.Call, func: ast.Attribute) -> list[Edit] | None:
        receiver = K.without_none(self.kinds(func.value))
        rows = self.table.get(f"torch.Tensor.{func.attr}")
        if K.is_tensor(receiver):
            return self._tensor_method(node, func, rows)
        known = K.names(receiver)
        if receiver and known <= {"object"} and all(self._is_cell(k.of) for k in receiver):
            return self._cell_method(node, func, receiver)
        if receiver and known <= {"class"} and all(self._is_cell(k.of) for k in receiver) and func.attr in RENAMED_METHODS:
            return [*self.children(node), self._attribute_name(func, RENAMED_METHODS[func.attr])]
        if rows and (not receiver or receiver & ANY or known & K.TENSORS):
            arguments = [self.kinds(a) for a in node.args]
            if is_move(self.program, node, func, arguments):
                return self.replace(node, self._wrapped(node, self.render(func.value)))
            if not is_text_call(node, func, arguments):
                self._unproven(node, func, rows)
        return None

    def _unproven(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> None:
        if any(_is_identity(r) for r in rows) or func.attr in _COMMON_METHODS or not self._changes(node, func, rows):
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

    def _is_cell(self, name: str) -> bool:
        if name in self.program.classes:
            return self.program.is_module_class(name)
        return name == MODULE or any(r.kind == "module" for r in self.table.get(name))

    def _tensor_method(self, node: ast.Call, func: ast.Attribute, rows: tuple[Row, ...]) -> list[Edit]:
        name = f"torch.Tensor.{func.attr}"
        if not rows:
            self.report(node, "MSP101", f"{name} is not in the table", "port this call by hand, or add a row (see CONTRIBUTING)", symbol=name)
            return self.children(node)
        if any(r.inplace for r in rows):
            return self._inplace_value(node, func, rows)
        if len(rows) == 1 and _is_identity(rows[0]) and not any(isinstance(a, ast.Starred) for a in node.args):
            arguments = self._arguments(rows[0], node, func.value)
            if arguments is not None and truth(rows[0].where, arguments[0]) is not False and not rows[0].require:
                return [*self.children(node), *self._torch_keywords(node, rows[0])]
        text = self._port_call(node, rows, func.value)
        return self.children(node) if text is None else self.replace(node, text)

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
        fresh = isinstance(holder, ast.Call | ast.BinOp)
        unread = isinstance(holder, ast.Name) and self.functions and not _read_after(self.functions[-1], holder.id, node)
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

    def _family(self, name: str) -> list[str]:
        return self.program.ancestry(name) if name in self.program.classes else [name]

    # --- one call against its rows -----------------------------------------------------------------------------------

    def _arguments(self, row: Row, node: ast.Call, receiver: ast.expr | None) -> tuple[dict[str, Argument], dict[str, tuple[Written, ...]]] | None:
        """Bound arguments and how they are written; None where they do not bind or are spread with * or **."""
        positional: list[tuple[Argument, Written]] = []
        keywords: dict[str, tuple[Argument, Written]] = {}
        if receiver is not None:
            text = self.render(receiver)
            positional.append((self._argument(receiver, text), Written(text, None, "", -1)))
        star = row.signature.star
        for index, node_argument in enumerate(node.args):
            starred = isinstance(node_argument, ast.Starred)
            value = node_argument.value if isinstance(node_argument, ast.Starred) else node_argument
            text = self.render(value)
            position = len(positional)
            if starred and (star is None or position < len(row.signature.positional)):
                return None
            argument = Argument(K.list_of(ANY), UNKNOWN, True, None, text) if starred else self._argument(value, text)
            positional.append((argument, Written(text, None, "*" if starred else "", index)))
        for offset, keyword in enumerate(node.keywords):
            if keyword.arg is None:
                return None
            text = self.render(keyword.value)
            keywords[keyword.arg] = (self._argument(keyword.value, text), Written(text, keyword.arg, "", len(node.args) + offset))
        bound = bind_arguments(row, [a for a, _ in positional], {k: a for k, (a, _) in keywords.items()})
        if bound is None:
            return None
        written: dict[str, tuple[Written, ...]] = {}
        names = row.signature.positional
        for index, (_, mark) in enumerate(positional):
            if index < len(names):
                written[names[index]] = (mark,)
            elif star:
                written[star] = (*written.get(star, ()), mark)
        for name, (_, mark) in keywords.items():
            written[row.signature.canonical(name)] = (mark,)
        if star and any(w.star for w in written.get(star, ())):
            bound[star] = Argument(K.list_of(ANY), UNKNOWN, True)
        written.pop("self", None) if receiver is not None else None
        return bound, written

    def _argument(self, node: ast.expr, text: str) -> Argument:
        shapes = self.inference.facts.shapes
        seen = shapes.get(span_of(self.module, node), frozenset()) if shapes else frozenset()
        return Argument(self.kinds(node), constant_of(node), True, node, text, seen)

    def _port_call(self, node: ast.Call, rows: Iterable[Row], receiver: ast.expr | None) -> str | None:
        """The new text of a call, or None where it is refused (with a diagnostic)."""
        rows = tuple(rows)
        row, certain = self._overload(node, rows, receiver)
        if row is None:
            if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords) or not certain:
                return self._adapter_call(node, rows[0], receiver)
            self.report(node, "MSP203", f"these arguments do not fit {rows[0].name}({rows[0].signature.text()})", "check the call", rows[0])
            return None
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
            return None
        found = self._arguments(row, node, receiver)
        if found is None:
            return self._adapter_call(node, row, receiver)
        bound, written = found
        bound = {**bound, **self._measured(node)}
        if row.drop:
            return "None"
        if row.name in ("torch.nn.Sequential", "torch.nn.ModuleList") and self._needs_own_container(node, row):
            return self._adapter_call(node, row, receiver)
        if self._is_made_parameter(node) and "requires_grad" in bound:
            bound["requires_grad"] = Argument(K.BOOL, False)
            written.pop("requires_grad", None)
        for guard in row.require:
            holds = truth(guard.that, bound)
            if holds is False:
                self.report(node, "MSP201", f"{row.name}: {guard.otherwise}", guard.help, row, symbol=row.name)
                return None
            if holds is None:
                return self._adapter_call(node, row, receiver)
        if asks_for_float64(row, node):
            self.report(node, "MSP603", MESSAGE, HELP, row)
        alternative, known = choose_alternative(row, bound, self.target)
        if alternative is None:
            self.report(node, "MSP202", f"{row.name} with these arguments has no form on {self.target}", row.differs or "port this call by hand", row, symbol=row.name)
            return None
        if not known:
            return self._adapter_call(node, row, receiver)
        return self._inline(node, row, alternative, bound, written, receiver) or self._adapter_call(node, row, receiver)

    def _is_made_parameter(self, node: ast.Call) -> bool:
        """Whether a new tensor becomes a parameter right here, whose own flag is the one that counts."""
        parent = self.parents.get(id(node))
        return isinstance(parent, ast.Call) and node in parent.args and self.resolve(parent.func) == "torch.nn.Parameter"

    def _needs_own_container(self, node: ast.Call, row: Row) -> bool:
        """Whether MindSpore's container would misname, refuse or lose what this one holds."""
        if self.inference.grown_containers:
            return True
        if row.name != "torch.nn.ModuleList":
            return False
        parent, first = self.parents.get(id(node)), node.args[0] if node.args else None
        held = self.kinds(node)
        for target in parent.targets if isinstance(parent, ast.Assign) else []:
            held = K.join(held, self.kinds(target))
            if isinstance(target, ast.Attribute) and self._grows(target):
                return True
        if any(K.NONE & items for k in held for items in k.items):
            return True
        function = self.functions[-1].args if self.functions else None
        spread = function is not None and function.vararg is not None and function.vararg.arg
        return isinstance(first, ast.Name) and first.id == spread

    def _grows(self, target: ast.Attribute) -> bool:
        """Whether an attribute gains cells once it is one, when MindSpore's CellList no longer names them after it."""
        owners = {c for k in self.kinds(target.value) for c in self._family(k.of)}
        return any(name == target.attr and owners & set(self._family(owner)) for owner, name in self.inference.grown_attributes)

    def _measured(self, node: ast.Call) -> dict[str, Argument]:
        """Facts of a call beside its arguments: the height and width that reach a layer, whether it may join empty tensors,
        whether a layer may be given packed sequences."""
        facts = {
            "may_be_empty": Argument(K.BOOL, self._may_join_empty(node)),
            "may_be_packed": Argument(K.BOOL, self.program.packs_sequences),
        }
        seen = self.inference.facts.in_hw.get(span_of(self.module, node), frozenset())
        return {**facts, "in_hw": Argument(ANY, next(iter(seen)))} if len(seen) == 1 else facts

    def _may_join_empty(self, node: ast.Call) -> bool:
        """Whether one of the tensors that a call is given in a list may have the shape (0,): a traced run says of each."""
        if not self.program.makes_empty:
            return False
        listed = node.args[0] if node.args else next((k.value for k in node.keywords if k.arg == "tensors"), None)
        if not isinstance(listed, ast.List | ast.Tuple) or not listed.elts:
            return True
        shapes = [self.inference.facts.shapes.get(span_of(self.module, e), frozenset()) for e in listed.elts]
        return not all(shapes) or any((0,) in seen for seen in shapes)

    def _overload(self, node: ast.Call, rows: tuple[Row, ...], receiver: ast.expr | None) -> tuple[Row | None, bool]:
        if len(rows) == 1 and rows[0].where is None:
            return rows[0], True
        unsure = False
        likely: Row | None = None
        for row in rows:
            if likely is not None and row.refused is None:
                likely = None
                break
            found = self._arguments(row, node, receiver)
            if found is None:
                spread = any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords)
                unsure = unsure or spread
                continue
            fits = truth(row.where, found[0])
            if fits and not unsure:
                return row, True
            if fits is not False:
                # what cannot be told apart from a refused form fails loudly there, so the other form may stand
                likely = row if not unsure and row.refused is None else likely
                unsure = True
        if likely is not None and all(r.refused is not None for r in rows[rows.index(likely) + 1 :]):
            return likely, True
        return None, not unsure

    def _inline(
        self, node: ast.Call, row: Row, alternative: Alternative, bound: dict[str, Argument],
        written: dict[str, tuple[Written, ...]], receiver: ast.expr | None,
    ) -> str | None:  # fmt: skip
        function = self.module.source(node.func)
        start, end = self.span(node)
        edits = [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]
        func_start, func_end = self.span(node.func)
        text = self.splice(start, end, [*edits, Edit(func_start, func_end, "f")])
        del function
        try:
            parsed = cst.parse_expression(text)
            call = parsed if isinstance(parsed, cst.Call) else None
            own = self.render(receiver) if receiver is not None else None
            if own is None and "self" in row.signature.by_name and "self" in written:
                own = written["self"][0].text
            new = inline(Site(row, bound, written, own, call, self.spell, self.quote), alternative)
        except (NotInline, cst.ParserSyntaxError):
            return None
        return self._wrapped(node, self._fitted(node, new))

    def _fitted(self, node: ast.Call, text: str) -> str:
        """A call that has outgrown its line goes on below; the longest line that the author writes is the measure."""
        start, end = self.span(node)
        around: ast.AST | None = node
        while around is not None and not isinstance(around, ast.stmt):
            around = self.parents.get(id(around))
            if isinstance(around, ast.JoinedStr):
                return text
        data = self.module.data
        before = data[data.rfind(b"\n", 0, start) + 1 : start].decode("utf-8")
        after = data[end : data.find(b"\n", end)].decode("utf-8").partition("#")[0]
        longest = min(max(map(len, self.module.text.splitlines())), LONGEST)
        return fitted(before, text, after, longest)

    def _wrapped(self, node: ast.AST, text: str) -> str:
        """Parentheses where the new expression stands beside an operator or before a dot."""
        parent = self.parents.get(id(node))
        if isinstance(parent, ast.BinOp | ast.UnaryOp | ast.Compare | ast.BoolOp | ast.Attribute | ast.Starred | ast.Await) or (
            isinstance(parent, ast.Subscript) and parent.value is node) or (isinstance(parent, ast.Call) and parent.func is node):
            return text if is_primary(text) else f"({text})"
        if "\n" in text and not is_primary(text):
            return f"({text})"
        return text

    def _adapter_call(self, node: ast.Call, row: Row, receiver: ast.expr | None) -> str | None:
        first = self.table.get(row.name)[0]
        row = first if first.adapter else row
        function = self.adapter(row, node)
        if function is None:
            return None
        edits = [e for a in [*node.args, *(k.value for k in node.keywords)] for e in self.visit(a)]
        edits += self._torch_keywords(node, row)
        start, end = self.span(node)
        open_at = self.module.data.index(b"(", self.span(node.func)[1])
        if receiver is None:
            return self.splice(start, end, [*edits, Edit(*self.span(node.func), function)])
        own = self.render(receiver)
        comma = ", " if node.args or node.keywords else ""
        return f"{function}({own}{comma}" + self.splice(open_at + 1, end, edits).lstrip(" ")

    def _torch_keywords(self, node: ast.Call, row: Row) -> Iterator[Edit]:
        """Keywords under numpy's names, such as axis, as the adapter's parameters are called."""
        for keyword in node.keywords:
            meant = row.signature.canonical(keyword.arg) if keyword.arg is not None else keyword.arg
            if keyword.arg is not None and meant is not None and meant != keyword.arg:
                start, _ = self.span(keyword)
                yield Edit(start, start + len(keyword.arg.encode()), meant)

    def adapter(self, row: Row, node: ast.AST) -> str | None:
        """The name of the definition in ms_extras with a row's torch signature, or None where there is none."""
        several = self.table.get(row.name)
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
            return None
        if len(several) > 1 and not row.adapter:
            self.report(
                node, "MSP302", f"{row.name} has several forms and these arguments do not show which is meant",
                "annotate the arguments, write them out, or convert with --trace", row, symbol=row.name,
            )  # fmt: skip
            return None
        if not row.adapter and not any(a.serves(self.target) and not a.needs for a in row.alternatives) and not row.drop:
            self.report(node, "MSP202", f"{row.name} has no form on {self.target}", row.differs or "port this call by hand", row, symbol=row.name)
            return None
        self.needs.names.add(EXTRAS)
        if row.adapter:
            self.needs.emitted.add(row.adapter.removeprefix("emitted."))
        else:
            self.needs.adapters[row.name] = row
        return f"{EXTRAS}.{adapter_name(row)}"

    # --- references ----------------------------------------------------------------------------------------------------

    def visit_Name(self, node: ast.Name) -> list[Edit]:
        if isinstance(node.ctx, ast.Load):
            edits = self._reference(node)
            if edits is not None:
                return edits
        elif node.id in CELL_MEMBERS and not self.functions and self.classes and self.program.mixes_into_module(self.classes[-1]):
            return self.replace(node, own_name(node.id))  # an attribute of the class
        return []

    def visit_Attribute(self, node: ast.Attribute) -> list[Edit]:
        if self._is_apply(node):
            return self._applied(node)
        if isinstance(node.ctx, ast.Load):
            edits = self._reference(node)
            if edits is not None:
                return edits
        self._refuse_inside(node, node.value)
        return self._value_attribute(node)

    def _refuse_inside(self, node: ast.AST, value: ast.expr) -> None:
        """What a packed sequence holds in torch is not in its port: neither its fields nor their order."""
        if is_packed(self.kinds(value)):
            self.report(node, "MSP201", f"{PACKED}: {NO_FIELDS}", PAD_FIRST, symbol=PACKED)

    def visit_Constant(self, node: ast.Constant) -> list[Edit]:
        """An annotation written as a string names torch's classes too; so does a string that names an attribute."""
        if node.value in CELL_MEMBERS and self._names_own_member(node):
            return self.replace(node, repr(own_name(node.value)).replace("'", self.quote))
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
            if self._is_namespace(name):
                return self._namespace(node, name, parent)
            self.report(node, "MSP101", f"{name} is not in the table", "port it by hand, or add a row (see CONTRIBUTING)", symbol=name)
            return None
        row = rows[0]
        if name == PACKED and self._is_tuple_here(node, context):
            return "tuple"
        if context == "base" and row.kind == "value" and row.alternatives and isinstance(_template(row.alternatives[0].to), ast.Tuple):
            self.report(node, "MSP202", f"{name} as a base class: it is several classes here", "derive from the layer that is meant, such as BatchNorm2d", row, symbol=name)
            return None
        if row.kind == "value" or row.kind == "attribute":
            return self._value_text(node, row)
        if context in ("annotation", "isinstance") and row.kind == "module":
            return self._class_text(node, row, context)
        if self._same_signature(row):
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
        return self._wrapped(node, inline(site, alternative))

    def _class_text(self, node: ast.AST, row: Row, context: str) -> str | None:
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

    def _annotation_fallback(self) -> str:
        return self.spell("mindspore.nn.Cell")

    def _same_signature(self, row: Row) -> bool:
        """Whether the MindSpore name can stand for the torch name as it is: same parameters, order and defaults."""
        from porter.expression import mindspore_signatures

        if len(self.table.get(row.name)) != 1 or len(row.alternatives) != 1 or row.require or row.ignore:
            return False
        call = _template(row.alternatives[0].to)
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

    def _is_namespace(self, name: str) -> bool:
        return name in self.table.namespaces

    def _namespace(self, node: ast.expr, name: str, parent: ast.AST | None) -> str | None:
        """`nn` or `F` itself as a value, as in getattr(nn, kind)."""
        if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name) and parent.func.id in ("getattr", "hasattr"):
            attribute = parent.args[1] if len(parent.args) > 1 else None
            if isinstance(attribute, ast.Constant) and parent.func.id == "hasattr":
                return None
        self.report(node, "MSP207", f"the namespace {name} used as a value", "write out the members that it is used for, in a dictionary of classes", symbol=name)
        return None

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
        if node.attr == "forward" and (not base or base & ANY) and self._only_networks_forward:
            return [*inner, self._attribute_name(node, RENAMED_METHODS[node.attr])]
        if not base:
            return inner
        field_index = {k.fields.index(node.attr) for k in base if k.name != "object" and node.attr in k.fields}
        if len(field_index) == 1 and all(node.attr in k.fields for k in base):
            return [Edit(*self.span(node), f"{self.splice(*self.span(node.value), inner)}[{field_index.pop()}]")]
        if K.is_tensor(base):
            return self._tensor_attribute(node, inner)
        if node.attr == "type" and K.proven(base, frozenset({"device"})) and not self._is_made_device(node.value):
            return self._device_type(node, inner)
        if K.names(base) <= {"object"} and all(self._is_cell(k.of) for k in base):
            return self._cell_attribute(node, base, inner)
        return inner

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
        others = (c for name, c in self.program.classes.items() if not self.program.mixes_into_module(name))
        return not any("forward" in cls.methods for cls in others)

    def _is_initialized(self, node: ast.Attribute) -> bool:
        """Whether this is the weight or bias that a function of torch.nn.init is given."""
        call = self.parents.get(id(node))
        if node.attr not in ("weight", "bias") or not isinstance(call, ast.Call) or not call.args or call.args[0] is not node:
            return False
        return (self.program.dotted(self.module, call.func) or "").startswith("torch.nn.init.")

    def _has_one_name(self, attribute: str, base: Kinds) -> bool:
        """Whether all layers that a value may be have one name for a parameter, as far as they are known."""
        known = bool(base) and K.names(base) <= {"object"} and all(self._is_cell(k.of) for k in base)
        return known and len({self._layer_attribute(k.of, attribute) for k in base}) == 1

    def _own_member(self, node: ast.Attribute, base: Kinds) -> list[Edit] | None:
        """An attribute of the program's own networks whose name mindspore.nn.Cell uses itself."""
        if node.attr not in self._own_members:
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

    def _tensor_attribute(self, node: ast.Attribute, inner: list[Edit]) -> list[Edit]:
        parent = self.parents.get(id(node))
        rows = self.table.get(f"torch.Tensor.{node.attr}")
        if isinstance(parent, ast.Call) and parent.func is node:
            return inner
        if not rows:
            return inner
        row = rows[0]
        if row.kind != "attribute":
            if not _is_identity(row):
                self.report(node, "MSP208", f"the method {row.name} used as a value", "call it, or wrap it in a lambda", row)
            return inner
        if row.refused is not None:
            self.report(node, "MSP201", f"{row.name}: {row.refused[0]}", row.refused[1], row, symbol=row.name)
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
            self._closing[id(parent)] = ")"
            return [Edit(start, value_start, f"{owner}.set_data(")]
        self.report(node, "MSP208", "an assignment to .data of this form", "use parameter.set_data(value)")
        return inner

    @property
    def _closing(self) -> dict[int, str]:
        return self._closing_texts

    def visit_Assign(self, node: ast.Assign) -> list[Edit]:
        name = self.resolve(node.targets[0]) if isinstance(node.targets[0], ast.Attribute) else None
        if name is not None and self.program.is_torch(name):
            if name.startswith(("torch.backends.", "torch._dynamo.", "torch._C.")):
                return self._statement(node, "")
            self.report(node, "MSP208", f"assignment to {name}", "port this line by hand", symbol=name)
            return self._keep_root(node.targets[0]) + self.visit(node.value)
        if any(isinstance(t, ast.Tuple | ast.List) for t in node.targets):
            self._refuse_inside(node.value, node.value)
        setting = self._batch_norm_setting(node)
        if setting is not None:
            return self.replace(node, setting)
        current = state_edits(self, node) if self.current_states else None
        if current is not None:
            return current
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
        called = {n.func.id for n in ast.walk(_template(expression)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        for name in sorted(called & pure_definitions().keys()):
            expression = expression.replace(f"{name}(", f"{self.spell('emitted.' + name)}(")
        return expression

    def _batch_norm_setting(self, node: ast.Assign) -> str | None:
        """`m.eps = 1e-3` of a batch normalization: MindSpore's layer has made its operators when it was built."""
        target = node.targets[0]
        if not isinstance(target, ast.Attribute) or target.attr not in ("eps", "momentum") or len(node.targets) > 1:
            return None
        base = K.without_none(self.kinds(target.value))
        if not base or not all(k.name == "object" and k.of in _BATCH_NORMS for k in base):
            return None
        name = self.spell("emitted.set_batch_norm")
        return f"{name}({self.render(target.value)}, {target.attr}={self.render(node.value)})"

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
        if not K.is_tensor(self.kinds(node.value)):
            return edits
        elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for element in elements:
            if K.proven(self.kinds(element), frozenset({"ndarray"})):
                start, end = self.span(element)
                own = self.splice(start, end, self.visit(element))
                edits = [e for e in edits if not start <= e.start < end] + [Edit(start, end, f"{self.spell('mindspore.Tensor')}({own})")]
        return edits + self._whole_axes(elements)

    def _whole_axes(self, elements: list[ast.expr]) -> list[Edit]:
        """`x[mask, :]` is x[mask]: MindSpore takes a mask beside other indices for one axis, however many it has."""
        kept = list(elements)
        while len(kept) > 1 and (_is_whole(kept[-1]) or (isinstance(kept[-1], ast.Constant) and kept[-1].value is Ellipsis)):
            kept.pop()
        plain = frozenset({"int", "slice", "None", "bool"})
        if len(kept) == len(elements) or all(isinstance(e, ast.Slice) or K.proven(self.kinds(e), plain) or _is_plain_index(e) for e in kept):
            return []
        return [Edit(self.span(kept[-1])[1], self.span(elements[-1])[1], "")]

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
        for value in node.values:
            if not isinstance(value, ast.FormattedValue):
                continue
            place = field_place(text, at, value.value)
            old = text[slice(*place)] if place else ast.unparse(value.value)
            new = self._unparsed(value.value)
            new = old if new == ast.unparse(value.value) else new
            new = number_text(self, value.value, new) if is_numeric(value) else new
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


_MINDSPORE_NAMES = frozenset({"nn", "ops", "mint", "mindspore", "Tensor", "Parameter"})
_OVERLOADS = frozenset({"torch.jit._overload_method", "torch.jit._overload", "torch._jit_internal._overload_method"})
_COMPILER_QUESTIONS = frozenset(
    f"torch.{n}" for n in (
        "jit.is_scripting", "jit.is_tracing", "compiler.is_compiling", "compiler.is_dynamo_compiling", "compiler.is_exporting",
        "onnx.is_in_onnx_export", "_C._get_tracing_state", "_C._is_tracing", "jit._unwrap_optional", "overrides.has_torch_function",
        "overrides.has_torch_function_unary", "overrides.has_torch_function_variadic", "_utils.is_compiling",
    )
)  # fmt: skip


def _nothing(node: ast.AST) -> list[Edit]:
    return []


def _catches_import(handler: ast.ExceptHandler) -> bool:
    names = {ast.unparse(n) for n in ast.walk(handler.type) if isinstance(n, ast.Name)} if handler.type else {"Exception"}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception"})


def _is_absence(node: ast.stmt) -> bool:
    """`torch = None`, which stands for no torch at all and is no substitute."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)


def _dotted_parts(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """The outermost names and attributes of an expression, in order."""
    if isinstance(node, ast.Name | ast.Attribute):
        yield node
        return
    for child in ast.iter_child_nodes(node):
        yield from _dotted_parts(child)


def _bound_by(body: list[ast.stmt]) -> set[str]:
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {a.asname or a.name for a in node.names}
    return found


def _is_stored_into(parent: ast.AST | None, node: ast.expr) -> bool:
    """Whether a tensor is the one that `x[...] = value` writes into."""
    return isinstance(parent, ast.Subscript) and parent.value is node and isinstance(parent.ctx, ast.Store)


def _is_whole(node: ast.expr) -> bool:
    """The index `:`."""
    return isinstance(node, ast.Slice) and node.lower is node.upper is node.step is None


def _is_plain_index(node: ast.expr) -> bool:
    """None, '...' and numbers, which are no masks."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))


def _is_super(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "super"


_SIMPLE_STATEMENTS = frozenset({ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr})
_OPERATOR_TEXTS: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**", ast.MatMult: "@",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_NEUTRAL_CONTEXTS = frozenset({"torch.nn.attention.sdpa_kernel", "torch.backends.cuda.sdp_kernel"})
_NEUTRAL_NAMESPACES = ("torch.autograd.profiler.", "torch.profiler.", "torch.jit.")
_BATCH_NORMS = frozenset({"torch.nn.BatchNorm1d", "torch.nn.BatchNorm2d", "torch.nn.BatchNorm3d"})
_CONTAINERS = frozenset({"torch.nn.Sequential", "torch.nn.ModuleList", "torch.nn.ModuleDict", "torch.nn.ParameterList", "torch.nn.ParameterDict"})
_CONTAINER_METHODS = frozenset({"add_module", "append", "extend", "insert", "pop", "update", "items", "keys", "values", "clear"})


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
def _template(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _built_class(row: Row) -> str:
    """The name of the class that a row's expression builds; empty where it is no plain call."""
    call = _template(row.alternatives[0].to)
    return ast.unparse(call.func).rpartition(".")[2] if isinstance(call, ast.Call) else ""


def _is_identity(row: Row) -> bool:
    """Whether a method call stays as it is: `self.view(*shape)` for `view(self, *shape)`."""
    if len(row.alternatives) != 1 or row.alternatives[0].when or row.inplace:
        return False
    call = _template(row.alternatives[0].to)
    if not isinstance(call, ast.Call) or ast.unparse(call.func) != f"self.{row.short_name}":
        return False
    star = row.signature.star
    if any((isinstance(a, ast.Starred)) is not (ast.unparse(a).lstrip("*") == star) for a in call.args):
        return False
    names = [ast.unparse(a).lstrip("*") for a in call.args]
    keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
    own = [n for n in row.signature.by_name if n != "self" and n not in row.ignore]
    return names + list(keywords) == own and all(k == v for k, v in keywords.items())


def _all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


def _local_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    cached: set[str] | None = getattr(function, "_porter_locals", None)
    if cached is None:
        cached = {a.arg for a in _all_arguments(function.args)}
        declared_global: set[str] = set()
        stack: list[ast.AST] = list(function.body) if isinstance(function.body, list) else [function.body]
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                cached.add(node.id)
            elif isinstance(node, ast.Global):
                declared_global |= set(node.names)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                cached.add(node.name)
                continue
            if isinstance(node, ast.Lambda):
                continue
            stack.extend(ast.iter_child_nodes(node))
        cached -= declared_global
        function._porter_locals = cached  # type: ignore[union-attr]
    return cached


def _is_callers(function: ast.AST, name: str, node: ast.stmt) -> bool:
    """Whether a name still holds the argument that the caller passed when a statement runs."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or name not in {a.arg for a in _all_arguments(function.args)}:
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


_VIEWS = frozenset(["view", "reshape", "squeeze", "unsqueeze", "transpose", "permute", "t", "flatten", "narrow", "select", "expand", "chunk", "split", "unbind", "detach", "contiguous", "data", "T", "view_as", "expand_as", "to"])


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


def _read_after(function: ast.AST, name: str, node: ast.AST) -> bool:
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


# methods of Python's own containers; a sparse or named tensor has them too, which no ported program may hold
LAYER_PARAMETERS = frozenset(["weight", "bias", "running_mean", "running_var"])
_COMMON_METHODS: frozenset[str] = frozenset(["resize", "values", "keys", "items", "index", "count", "copy", "apply", "get", "pop", "update", "format"])
_BUILTIN_VALUES = {"torch.nn.Module": "mindspore.nn.Cell", "torch.Tensor": "mindspore.Tensor"}



def _dedent(text: str, by: int, _column: int) -> str:
    """Moves lines to the left, lines inside multi-line strings excepted."""
    import tokenize

    lines = io.StringIO(text).readlines()
    inside: set[int] = set()
    try:
        wrapped = "if True:\n" + text + "\n"
        for token in tokenize.generate_tokens(io.StringIO(wrapped).readline):
            if token.type == tokenize.STRING and token.start[0] != token.end[0]:
                inside |= set(range(token.start[0], token.end[0]))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass
    result = []
    for index, line in enumerate(lines):
        if index in inside or line[:by].strip():
            result.append(line)
        else:
            result.append(line[by:] if len(line) > by else line.lstrip(" \t"))
    return "".join(result)
