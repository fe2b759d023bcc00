"""Walks one file: where nodes stand, how names are spelled, and the edits that make the new text; what lies between stays as it is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from porter import kinds as K
from porter.assigned import assigned
from porter.diagnostics import Diagnostic, Location
from porter.emit import EXTRAS
from porter.expression import is_primary, primary
from porter.grammar import in_network
from porter.infer import Inference
from porter.kinds import Kinds
from porter.layout import LONGEST, fitted
from porter.nodes import children
from porter.program import Module, Program
from porter.rewrite.edits import Edit, Needs
from porter.table import Row

MODULE = "torch.nn.Module"
RENAMED_METHODS = {"forward": "construct", "train": "set_train", "extra_repr": "extend_repr"}
_MINDSPORE_NAMES = frozenset({"nn", "ops", "mint", "mindspore", "Tensor", "Parameter"})


class Walk:
    """The file at hand, the way to it from a node, and what its port needs."""

    def __init__(self, program: Program, module: Module, inference: Inference, target: str) -> None:
        self.program = program
        self.module = module
        self.inference = inference
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
        self._removed: dict[tuple[int, str], set[int]] = {}
        self._closing: dict[int, str] = {}
        self._links: set[int] = set()
        self._named_too: dict[int, str] = {}
        self._calls: dict[tuple[int, str], list[Edit]] = {}
        self.replaced: dict[int, str] = {}
        self.kept: dict[int, str] = {}  # reads of lists whose entries are functions, see porter.kept
        self.current_states: dict[int, str] = {}
        self.bound_first: dict[int, list[str]] = {}
        self.lines_before: dict[int, str] = {}
        self.returns_stopped: dict[int, list[ast.expr]] = {}
        self.parents, self.taken = module.explored.parents, module.explored.bound

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

    def visit_body(self, body: list[ast.stmt]) -> list[Edit]:
        return [edit for statement in body for edit in self.visit(statement)]

    def visit(self, node: ast.AST) -> list[Edit]:
        """The edits for a node and all inside it."""
        return self._visited(node)

    def _with_lines_before(self, statement: ast.AST, edits: list[Edit]) -> list[Edit]:
        """The edits of a statement, and the lines that something inside it wants above it."""
        start, text = self.span(statement)[0], self.lines_before.pop(id(statement))
        for index, edit in enumerate(edits):
            if edit.start == start:
                return [*edits[:index], Edit(start, edit.end, text + edit.text), *edits[index + 1 :]]
        return [Edit(start, start, text), *edits]

    def _visited(self, node: ast.AST) -> list[Edit]:
        kind = type(node)
        if kind not in self._visitors:
            self._visitors[kind] = getattr(self, f"visit_{kind.__name__}", self.children if node._fields else _nothing)
        return self._visitors[kind](node)

    def children(self, node: ast.AST) -> list[Edit]:
        return [edit for child in children(node) for edit in self.visit(child)]

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

    def _unused(self, name: str) -> str:
        """A name like the given one that the file does not have yet; it is taken from now on."""
        number, free = 1, name
        while free in self.taken:
            number += 1
            free = f"{name}_{number}"
        self.taken.add(free)
        return free

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

    def _is_elif(self, node: ast.If) -> bool:
        start = self.span(node)[0]
        return self.module.data[start : start + 4] == b"elif"

    def _operand(self, node: ast.expr) -> str:
        """An operand with the parentheses it stands in."""
        text = self.render(node)
        return f"({text})" if isinstance(node, ast.BoolOp | ast.IfExp | ast.Lambda | ast.NamedExpr) or "\n" in text else text

    def _first_offset(self, node: ast.stmt) -> int:
        decorators = getattr(node, "decorator_list", [])
        if decorators:
            return self.module.data.rindex(b"@", 0, self.span(decorators[0])[0])
        return self.span(node)[0]

    def _in_forward(self) -> bool:
        names = [getattr(f, "name", "") for f in self.functions]
        return bool(names) and not any(n.startswith(("__init__", "init_", "_init", "reset_")) for n in names)

    def _is_moved(self) -> bool:
        """Whether the statement at hand becomes part of a gradient function."""
        return False

    def _is_cell(self, name: str) -> bool:
        if name in self.program.classes:
            return self.program.is_module_class(name)
        return name == MODULE or any(r.kind == "module" for r in self.table.get(name))

    def _family(self, name: str) -> list[str]:
        return self.program.ancestry(name) if name in self.program.classes else [name]

    def _is_self_method(self) -> bool:
        """Whether the code at hand is a method of a class at module level whose first parameter is called self."""
        function = self.functions[-1] if len(self.functions) == 1 else None
        arguments = function.args.args if isinstance(function, ast.FunctionDef) else []
        return len(self.classes) == 1 and bool(arguments) and arguments[0].arg == "self"

    def _attribute_name(self, node: ast.Attribute, new: str) -> Edit:
        end = self.span(node)[1]
        return Edit(end - len(node.attr.encode()), end, new)

    def _wrapped(self, node: ast.AST, text: str) -> str:
        """Parentheses where the new expression stands beside an operator or before a dot."""
        parent = self.parents.get(id(node))
        if isinstance(parent, ast.BinOp | ast.UnaryOp | ast.Compare | ast.BoolOp | ast.Attribute | ast.Starred | ast.Await) or (
            isinstance(parent, ast.Subscript) and parent.value is node) or (isinstance(parent, ast.Call) and parent.func is node):
            return primary(text)
        if "\n" in text and not is_primary(text):
            return f"({text})"
        return text

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
        return fitted(before, text, after, self._longest)

    @cached_property
    def _longest(self) -> int:
        """The longest line that the author writes, in characters."""
        return min(max(map(len, self.module.text.splitlines())), LONGEST)

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

    def is_namespace(self, name: str) -> bool:
        return name in self.table.namespaces

    def _is_parameter(self, holder: ast.expr, is_data: bool) -> bool:
        known = K.without_none(self.kinds(holder))
        return (is_data and not self._is_computed(holder)) or (bool(known) and K.names(known) <= {"Parameter"})

    def _is_computed(self, holder: ast.expr) -> bool:
        """Whether a name is only ever given what an operation computed, and no gradient is taken here: it may be given a new tensor."""
        values = assigned(self.module, holder.id) if isinstance(holder, ast.Name) and not self._is_moved() and not in_network(self) else []
        return bool(values) and all(isinstance(v, ast.BinOp) for v in values) and K.is_tensor(self.kinds(holder))


def _nothing(node: ast.AST) -> list[Edit]:
    return []


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    extra = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *extra]


def _local_names(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    cached: set[str] | None = getattr(function, "_porter_locals", None)
    if cached is None:
        cached = {a.arg for a in all_arguments(function.args)}
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
            stack.extend(children(node))
        cached -= declared_global
        function._porter_locals = cached  # type: ignore[union-attr]
    return cached
