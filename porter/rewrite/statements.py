"""Statements: imports, contexts, conditions and tries that mean something to torch alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from porter import kinds as K
from porter.comments import with_comments
from porter.grammar import statement_edits
from porter.guards import constant_of
from porter.inflow import gives_numbers
from porter.no_grad import assigned_tensors, returns_to_stop, unstopped
from porter.nodes import walk
from porter.program import absolute
from porter.rewrite.calls import Calls
from porter.rewrite.edits import Edit, dedent
from porter.torch_packages import name_package

_COMPILER_QUESTIONS = frozenset(
    f"torch.{n}" for n in (
        "jit.is_scripting", "jit.is_tracing", "compiler.is_compiling", "compiler.is_dynamo_compiling", "compiler.is_exporting",
        "onnx.is_in_onnx_export", "_C._get_tracing_state", "_C._is_tracing", "jit._unwrap_optional", "overrides.has_torch_function",
        "overrides.has_torch_function_unary", "overrides.has_torch_function_variadic", "_utils.is_compiling",
    )
)  # fmt: skip
_GRAD_SETTERS = frozenset({"torch.set_grad_enabled", "torch.autograd.set_grad_enabled"})
_NEUTRAL_CONTEXTS = frozenset({"torch.nn.attention.sdpa_kernel", "torch.backends.cuda.sdp_kernel"})
_NEUTRAL_NAMESPACES = ("torch.autograd.profiler.", "torch.profiler.", "torch.jit.")


class Statements(Calls):
    """Statements."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> list[Edit]:
        with self.within("annotation"):
            edits = self.visit(node.annotation)
        edits += self.visit(node.target)
        return edits + (self.visit(node.value) if node.value is not None else [])

    def visit_Import(self, node: ast.Import) -> list[Edit]:
        for alias in node.names:
            name_package(self, node, alias.name)
        kept = [a for a in node.names if not self.program.is_torch(a.name)]
        if len(kept) == len(node.names):
            return []
        text = "import " + ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in kept) if kept else ""
        return self._statement(node, text)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[Edit]:
        source = absolute(self.module, node)
        if self.program.is_torch(source) and node.level == 0:
            return self._statement(node, "")
        if node.level == 0:
            name_package(self, node, source)
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
        if edits is None:
            edits = self.children(node)
            start, end = self.span(node)
            if isinstance(call, ast.Call) and len(edits) == 1 and edits[0] == Edit(start, end, "None"):
                return self._statement(node, "")  # rnn.flatten_parameters() leaves nothing
        return edits

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
        bound = {n.id for n in walk(generator.target) if isinstance(n, ast.Name)}
        if not self._reads(elements.elt, func.value) or bound & {n.id for n in self._names_outside(node)}:
            return None
        target, loop = self.module.source(generator.target), self.render(generator.iter)
        added = f"{self.render(func.value)}.append({self.render(elements.elt)})"
        return [Edit(start, end, f"for {target} in {loop}:\n{line}    {added}")]

    def _reads(self, node: ast.AST, subject: ast.expr) -> bool:
        wanted = ast.unparse(subject)
        return any(isinstance(n, ast.Name | ast.Attribute) and ast.unparse(n) == wanted for n in walk(node))

    def _names_outside(self, node: ast.stmt) -> Iterator[ast.Name]:
        """Names of the function around a statement, those of the statement left out, and '_', which nobody reads."""
        inside = {id(n) for n in walk(node)}
        for other in walk(self.functions[-1]):
            if isinstance(other, ast.Name) and id(other) not in inside and other.id != "_":
                yield other

    def visit_With(self, node: ast.With) -> list[Edit]:
        neutral = [i for i in node.items if self._is_neutral_context(i.context_expr)]
        if len(neutral) == len(node.items) and not any(i.optional_vars for i in neutral):
            return self._without_header(node, [])
        condition = self._grad_condition(node.items[0].context_expr) if len(node.items) == 1 else None
        if condition is not None:
            return self._switched_gradient(node, condition)
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

    def _unwrapped(self, node: ast.If, kept: list[ast.stmt]) -> list[Edit]:
        data = self.module.data
        start, end = self.span(node)
        body_start = data.rfind(b"\n", 0, self._first_offset(kept[0])) + 1
        if kept is node.body and body_start > start:  # comments before the first statement
            body_start = data.index(b"\n", self.span(node.test)[1]) + 1
        if body_start <= start or (kept is node.orelse and len(kept) == 1 and isinstance(kept[0], ast.If) and self._is_elif(kept[0])):
            return self.children(node)
        text = self.splice(body_start, self.span(kept[-1])[1], self.visit_body(kept))
        text = dedent(text, kept[0].col_offset - node.col_offset).lstrip(" \t")
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
        text = dedent(text, first.col_offset - node.col_offset).lstrip(" \t")
        kept = with_comments(self, node, [Edit(start, end, text)])
        if text.strip() == "pass" and self._removable(node):
            comments = kept[0].text.removesuffix(text).rstrip()
            return [Edit(start, end, comments)] if comments else self._statement(node, "")
        return kept

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
        if name in _GRAD_SETTERS:
            return constant_of(_grad_mode(expression)) is False
        return name in ("torch.no_grad", "torch.inference_mode", "torch.autograd.no_grad")

    def _grad_condition(self, expression: ast.expr) -> ast.expr | None:
        """The condition under which a context records gradients, where it depends on a value."""
        if not isinstance(expression, ast.Call) or self.resolve(expression.func) not in _GRAD_SETTERS:
            return None
        mode = _grad_mode(expression)
        return mode if mode is not None and not isinstance(mode, ast.Constant) else None

    def _is_neutral_context(self, expression: ast.expr) -> bool:
        """A context that measures, chooses between kernels of equal meaning, or records gradients as MindSpore does."""
        name = self.resolve(expression.func) if isinstance(expression, ast.Call) else None
        if name is None:
            return False
        if name in _GRAD_SETTERS:
            return constant_of(_grad_mode(expression)) is True
        dropped = any(row.drop for row in self.program.table.get(name))
        return dropped or name in _NEUTRAL_CONTEXTS or name.startswith(_NEUTRAL_NAMESPACES)

    def _switched_gradient(self, node: ast.With, condition: ast.expr) -> list[Edit]:
        """The block one level to the left; in a forward what it makes carries no gradient unless the condition holds."""
        if not (self.functions and self.classes and self._in_forward()):
            return self._without_header(node, [])
        if isinstance(condition, ast.Starred):
            self.report(node, "MSP205", "a gradient switch whose argument a star gives", "write the condition out")
            return []
        stored = {n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        if any(self._returns_tensor(n) for s in node.body for n in ast.walk(s)) or stored & _names(condition):
            self.report(node, "MSP205", "a gradient switch that depends on a value, around a return or around its own condition",
                        "take the return out of the block, and give the condition a name of its own")  # fmt: skip
            return []
        self._report_unstopped(node)
        return self._without_header(node, assigned_tensors(self, node), unless=condition)

    def _without_gradient(self, node: ast.With) -> list[Edit]:
        """The block one level to the left; tensors it makes carry no gradient, which stop_gradient says."""
        if self._in_forward():
            returns = [n for s in node.body for n in walk(s) if isinstance(n, ast.Return) and self._returns_tensor(n)]
            for returned in returns:
                self.returns_stopped[id(returned)] = [p for p in _parts(returned) if K.is_tensor(self.kinds(p)) and not gives_numbers(p)]
            if any(not K.is_tensor(self.kinds(p)) and not self._is_number(p) for r in returns for p in _parts(r)):
                self.report(node, "MSP205", "a return under no_grad in a forward method", "wrap the result in ops.stop_gradient by hand")
        if not (self.functions and self._in_forward() and (self.classes or self._is_moved() or self._gives_tensors())):
            return self._without_header(node, [])
        self._report_unstopped(node)
        return self._without_header(node, assigned_tensors(self, node))

    def _is_number(self, node: ast.expr) -> bool:
        """Whether a value surely has no gradient: a number, an array, or what leaves the graph where it is made."""
        cast = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("int", "float", "bool", "len", "str")
        return cast or gives_numbers(node) or K.proven(self.kinds(node), frozenset({"int", "float", "bool", "str", "ndarray", "None", "Size"}))

    def _gives_tensors(self) -> bool:
        """Whether the function at hand gives tensors that its caller may differentiate."""
        function = self.functions[-1]
        returned = [n.value for n in walk(function) if isinstance(n, ast.Return) and n.value is not None]
        return any(K.is_tensor(self.kinds(part)) for r in returned for part in (r.elts if isinstance(r, ast.Tuple) else [r]))

    def visit_Return(self, node: ast.Return) -> list[Edit]:
        """What a function under @no_grad gives carries no gradient."""
        stopped = returns_to_stop(self, node) or self.returns_stopped.get(id(node), [])
        if not stopped:
            return self.children(node)
        stop = self.spell("mindspore.ops.stop_gradient")
        edits = []
        for part in [node.value] if not isinstance(node.value, ast.Tuple) else node.value.elts:
            assert part is not None
            inner = self.visit(part)
            start, end = self.span(part)
            edits += [Edit(start, end, f"{stop}({self.splice(start, end, inner)})")] if part in stopped else inner
        return edits

    def _report_unstopped(self, node: ast.With) -> None:
        for place, shown in unstopped(self, node):
            self.report(
                place, "MSP205", f"{shown} is made or filled under no_grad, and may hold tensors that would carry a gradient here",
                f"end it by hand: {shown} = ops.stop_gradient({shown}) for a tensor, element by element for a container",
            )  # fmt: skip

    def _returns_tensor(self, node: ast.AST) -> bool:
        """Whether a network's own code returns here, or other code returns a tensor, which a loss could use."""
        return isinstance(node, ast.Return) and node.value is not None and (bool(self.classes) or K.is_tensor(self.kinds(node.value)))

    def _without_header(self, node: ast.With, stopped: list[str], unless: ast.expr | None = None) -> list[Edit]:
        """The block one level to the left, and after it the names that carry no gradient (`unless` a condition holds)."""
        first, last = node.body[0], node.body[-1]
        data = self.module.data
        start = self.span(node)[0]
        body_start = data.rfind(b"\n", 0, self._first_offset(first)) + 1
        if body_start <= start:  # with ...: statement on one line
            end = self.span(last)[1]
            stops = [Edit(end, end, self._stops(node, stopped, unless))] if stopped else []
            return [Edit(start, self._first_offset(first), ""), *self.visit_body(node.body), *stops]
        end = self.span(last)[1]
        edits = self.visit_body(node.body)
        header = node.items[-1].optional_vars or node.items[-1].context_expr
        between = data[data.index(b"\n", self.span(header)[1]) + 1 : body_start].decode()
        text = between + self.splice(body_start, end, edits)
        text = dedent(text, first.col_offset - node.col_offset)
        text += self._stops(node, stopped, unless)
        return [Edit(start, end, text.lstrip(" \t"))]

    def _stops(self, node: ast.With, stopped: list[str], unless: ast.expr | None) -> str:
        """The lines that take the gradient off some names."""
        if not stopped:
            return ""
        pad = self.indent(node)
        stop = self.spell("mindspore.ops.stop_gradient")
        if unless is None:
            return "".join(f"\n{pad}{name} = {stop}({name})" for name in stopped)
        negated = unless.operand if isinstance(unless, ast.UnaryOp) and isinstance(unless.op, ast.Not) else None
        held = negated if negated is not None else unless
        text = self.splice(*self.span(held), self.visit(held))
        test = text if negated is not None else f"not {text}" if isinstance(held, ast.Name | ast.Attribute) else f"not ({text})"
        inner = pad + ("\t" if pad.startswith("\t") else "    ")
        return f"\n{pad}if {test}:" + "".join(f"\n{inner}{name} = {stop}({name})" for name in stopped)


def _parts(node: ast.Return) -> list[ast.expr]:
    """What a return gives, element by element."""
    return node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] if node.value is not None else []


def _grad_mode(call: ast.expr) -> ast.expr | None:
    """The argument of torch.set_grad_enabled."""
    if not isinstance(call, ast.Call):
        return None
    return call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "mode"), None)


def _names(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


def _catches_import(handler: ast.ExceptHandler) -> bool:
    names = {ast.unparse(n) for n in walk(handler.type) if isinstance(n, ast.Name)} if handler.type else {"Exception"}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception"})


def _is_absence(node: ast.stmt) -> bool:
    """`torch = None`, which stands for no torch at all and is no substitute."""
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)


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
