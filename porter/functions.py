"""Custom gradients: a subclass of torch.autograd.Function becomes a Cell with a `bprop`, and `X.apply(...)` becomes `X()(...)`.

`forward` turns into `construct`. What it saved on its context is written again where `backward`, now `bprop`, asks for it:
an input or the output by its name, anything else by running the statements of `forward` once more.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.program import Class, Program
from porter.rewrite.edits import Edit
from porter.unbound import prepare_names

if TYPE_CHECKING:
    from porter.rewrite.rewriter import Rewriter

FUNCTION = frozenset({"torch.autograd.Function", "torch.autograd.function.Function"})
DECORATORS = frozenset({"staticmethod", "classmethod", "once_differentiable", "custom_fwd", "custom_bwd"})
SILENT = frozenset({"set_materialize_grads", "mark_non_differentiable"})
RANDOM = ("rand", "bernoulli", "dropout", "normal", "multinomial", "uniform", "exponential", "poisson", "gumbel", "rrelu")
HELP = "write it as a Cell with construct and bprop by hand"


class Unportable(Exception):
    """A function class whose shape has no bprop that is certain to be equal; the node says where, the text why."""

    def __init__(self, node: ast.AST, reason: str) -> None:
        super().__init__(reason)
        self.node = node


def is_function(program: Program, class_name: str) -> bool:
    """Whether a class of the program is a torch.autograd.Function."""
    return class_name in program.classes and not FUNCTION.isdisjoint(program.ancestry(class_name))


def forward_of(program: Program, class_name: str) -> ast.FunctionDef | None:
    found = program.method(class_name, "forward")
    return found[1].node if found is not None and isinstance(found[1].node, ast.FunctionDef) else None


def function_edits(rewriter: Rewriter, cls: Class) -> list[Edit] | None:
    """Edits of the whole class; None where it stays, with a diagnostic that says why."""
    try:
        recomputed = _Recomputed(rewriter, cls)
        return recomputed.edits() if recomputed.is_one() else _FunctionClass(rewriter, cls).edits()
    except Unportable as problem:
        rewriter.report(problem.node, "MSP211", f"the custom gradient {cls.node.name} {problem}", HELP)
        return None


def omitted_arguments(program: Program, class_name: str, call: ast.Call) -> str | None:
    """The defaults of forward that a call of `apply` leaves out, as text: bprop takes every input. None where they are not literals."""
    forward = forward_of(program, class_name)
    if forward is None or any(isinstance(a, ast.Starred) for a in call.args):
        return ""
    names = [a.arg for a in forward.args.args[context_place(forward) + 1 :]]
    missing = len(names) - len(call.args)
    if missing <= 0:
        return ""
    defaults = forward.args.defaults[-missing:]
    if len(defaults) < missing or not all(isinstance(d, ast.Constant) for d in defaults):
        return None
    return "".join(f", {ast.unparse(d)}" for d in defaults)


@dataclass
class _Context:
    """What forward keeps for backward: tensors in order, and attributes by name."""

    saved: list[ast.expr] = field(default_factory=list)
    attributes: dict[str, ast.expr] = field(default_factory=dict)
    statements: list[ast.stmt] = field(default_factory=list)
    direct: bool = True


class _FunctionClass:
    """The translation of one class."""

    def __init__(self, rewriter: Rewriter, cls: Class) -> None:
        self.rewriter = rewriter
        self.cls = cls
        self.forward = self._method("forward")
        self.backward = self._method("backward")
        if "setup_context" in cls.methods:
            raise Unportable(cls.methods["setup_context"].node, "keeps its context in setup_context")
        arguments = self.forward.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or len(arguments.args) <= context_place(self.forward):
            raise Unportable(self.forward, "takes a variable number of inputs")
        self.context_name = _context(self.forward)
        self.inputs = [a.arg for a in arguments.args[context_place(self.forward) + 1 :]]
        self.output = _returned_name(self.forward)
        self.kept = self._kept()

    def _method(self, name: str) -> ast.FunctionDef:
        method = self.cls.methods.get(name)
        if method is None or not isinstance(method.node, ast.FunctionDef):
            raise Unportable(self.cls.node, f"has no {name} of its own")
        if not any(isinstance(d, ast.Name) and d.id in ("staticmethod", "classmethod") for d in method.node.decorator_list):
            raise Unportable(method.node, f"has a {name} that is neither a static nor a class method")
        return method.node

    # --- what is kept ------------------------------------------------------------------------------------------------

    def _kept(self) -> _Context:
        kept = _Context()
        stored = _stored(self.forward)
        for node in ast.walk(self.forward):
            if isinstance(node, ast.Call) and self._is_context(node.func):
                self._note_call(node, kept)
            elif isinstance(node, ast.Assign) and any(self._is_context(t) for t in _flat(node.targets)):
                for target, value in _paired(node):
                    if not self._is_context(target):
                        raise Unportable(node, "assigns to its context and to something else at once")
                    assert isinstance(target, ast.Attribute)
                    kept.direct = kept.direct and target.attr not in kept.attributes
                    kept.attributes[target.attr] = value
                kept.statements.append(node)
        self._refuse_other_uses(self.forward, kept)
        values = [*kept.saved, *kept.attributes.values()]
        for statement in kept.statements:
            if statement not in self.forward.body:
                kept.direct = False
        kept.direct = kept.direct and all(self._is_direct(v, stored) for v in values)
        if not kept.direct:
            self._check_repeatable()
        return kept

    def _note_call(self, node: ast.Call, kept: _Context) -> None:
        assert isinstance(node.func, ast.Attribute)
        statement = self.rewriter.parents.get(id(node))
        if not isinstance(statement, ast.Expr) or node.func.attr not in {"save_for_backward", *SILENT}:
            raise Unportable(node, f"calls {node.func.attr} on its context")
        if node.func.attr == "save_for_backward":
            if any(isinstance(a, ast.Starred) for a in node.args):
                raise Unportable(node, "saves a number of tensors that is not known")
            kept.direct = kept.direct and not kept.saved
            kept.saved = list(node.args)
        kept.statements.append(statement)

    def _is_context(self, node: ast.AST, name: str | None = None) -> bool:
        return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == (name or self.context_name)

    def _refuse_other_uses(self, method: ast.FunctionDef, kept: _Context) -> None:
        """The context may be read where forward wrote it, and nowhere be handed on."""
        name = _context(method)
        for node in ast.walk(method):
            if isinstance(node, ast.Name) and node.id == name:
                parent = self.rewriter.parents.get(id(node))
                if not isinstance(parent, ast.Attribute):
                    raise Unportable(node, "hands its context on")
                known = {"saved_tensors", "saved_variables", "needs_input_grad", "save_for_backward", *SILENT, *kept.attributes}
                if parent.attr not in known:
                    raise Unportable(node, f"reads {name}.{parent.attr}, which forward does not set")
                if method is self.forward and isinstance(parent.ctx, ast.Load) and parent.attr not in {"save_for_backward", *SILENT}:
                    raise Unportable(node, f"reads {name}.{parent.attr} in forward")

    def _is_direct(self, value: ast.expr, stored: set[str]) -> bool:
        """Whether an expression can be written in bprop as it is: inputs as they came, the output, globals and constants."""
        if isinstance(value, ast.Name) and value.id == self.output:
            return True
        names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
        return not names & stored and self.context_name not in names

    def _check_repeatable(self) -> None:
        body = self.forward.body
        returns = [n for n in ast.walk(self.forward) if isinstance(n, ast.Return)]
        if len(returns) != 1 or body[-1] is not returns[0]:
            raise Unportable(self.forward, "keeps values for backward and returns in several places")
        for node in ast.walk(self.forward):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name.startswith(RANDOM):
                raise Unportable(node, f"keeps values that depend on random numbers ({name})")
        gradients = {a.arg for a in self.backward.args.args[context_place(self.backward) + 1 :]}
        clash = gradients & ({*self.inputs} | _stored(self.forward))
        if clash:
            raise Unportable(self.backward, f"uses the name {min(clash)} in forward and in backward")

    # --- the new class -----------------------------------------------------------------------------------------------

    def edits(self) -> list[Edit]:
        rewriter, node = self.rewriter, self.cls.node
        edits: list[Edit] = []
        for base in node.bases:
            if rewriter.resolve(base) in FUNCTION:
                edits += rewriter.replace(base, rewriter.spell("mindspore.nn.Cell"))
        for statement in node.body:
            if statement is self.forward:
                edits += self._construct()
            elif statement is self.backward:
                edits += self._bprop()
            else:
                edits += rewriter.visit(statement)
        return edits

    def _construct(self) -> list[Edit]:
        return [*self._undecorated(self.forward), *self._renamed(self.forward, "construct"), *self._annotations(self.forward),
                self._first(self.forward), *self._body(self.forward, dropped=self.kept.statements)]  # fmt: skip

    def _undecorated(self, method: ast.FunctionDef) -> list[Edit]:
        for decorator in method.decorator_list:
            subject = decorator.func if isinstance(decorator, ast.Call) else decorator
            if ast.unparse(subject).rpartition(".")[2] not in DECORATORS:
                raise Unportable(decorator, f"is decorated with {ast.unparse(subject)}")
        return [self.rewriter._whole_line(d) for d in method.decorator_list]

    def _renamed(self, method: ast.FunctionDef, new: str) -> list[Edit]:
        data = self.rewriter.module.data
        start = data.index(b"def", self.rewriter.span(method)[0])
        at = data.index(method.name.encode(), start + 3)
        return [Edit(at, at + len(method.name), new)]

    def _annotations(self, method: ast.FunctionDef) -> list[Edit]:
        with self.rewriter.within("annotation"):
            found = [e for a in method.args.args[context_place(method) + 1 :] if a.annotation is not None for e in self.rewriter.visit(a.annotation)]
            return found + (self.rewriter.visit(method.returns) if method.returns is not None else [])

    def _first(self, method: ast.FunctionDef) -> Edit:
        arguments = method.args.args
        return Edit(self.rewriter.span(arguments[0])[0], self.rewriter.span(arguments[context_place(method)])[1], "self")

    def _body(self, method: ast.FunctionDef, *, dropped: list[ast.stmt]) -> list[Edit]:
        rewriter = self.rewriter
        for node in ast.walk(method) if context_place(method) else ():
            if isinstance(node, ast.Name) and node.id == method.args.args[0].arg:
                rewriter.replaced[id(node)] = "self"  # the class, of which the Cell is an instance
        with rewriter.inside(method):
            prepare_names(rewriter, method)
            edits: list[Edit] = []
            for statement in ast.walk(method):
                if statement in dropped and isinstance(statement, ast.stmt):
                    edits += rewriter._statement(statement, "")
            return edits + rewriter.visit_body(method.body)

    def _bprop(self) -> list[Edit]:
        rewriter, method = self.rewriter, self.backward
        self._refuse_other_uses(method, self.kept)
        header, prelude = self._bprop_header()
        data = rewriter.module.data
        name_at = self._renamed(method, "bprop")[0].start
        last = max(rewriter.span(a)[1] for a in [*method.args.args, *filter(None, [method.args.vararg])])
        close = data.index(b")", last)
        header_end = rewriter.span(method.returns)[1] if method.returns is not None else close + 1
        anchor = (_without_docstring(method) or method.body)[0]
        if rewriter.span(anchor)[0] < data.index(b"\n", header_end):
            raise Unportable(method, "has a backward on one line")
        pad = rewriter.indent(anchor)
        if not self.kept.direct:
            prelude = [self._again(), *prelude]
        at = data.rfind(b"\n", 0, rewriter._first_offset(anchor)) + 1
        inserted = "".join(f"{pad}{line}\n" for line in prelude)
        edits = [*self._undecorated(method), Edit(name_at, header_end, header), *([Edit(at, at, inserted)] if inserted else [])]
        dropped = self._restored(method)
        returns = [e for n in ast.walk(method) if isinstance(n, ast.Return) for e in self._return(n)]
        return edits + returns + self._body(method, dropped=dropped)

    def _bprop_header(self) -> tuple[str, list[str]]:
        """`bprop(self, x, out, grad_output)`, and the lines that name its gradients as backward does."""
        gradients = [a.arg for a in self.backward.args.args[context_place(self.backward) + 1 :]]
        star = self.backward.args.vararg
        prelude: list[str] = []
        if star is not None:
            if gradients:
                raise Unportable(self.backward, "mixes named and starred gradients")
            dout = star.arg
            if not isinstance(_last_return(self.forward), ast.Tuple):
                prelude.append(f"{dout} = ({dout},)")
        elif len(gradients) == 1:
            dout = gradients[0]
        else:
            dout = _unused("dout", self.backward)
            prelude.append(f"{', '.join(gradients)} = {dout}")
        out = self.output if self.output and self.output not in self.inputs and self._asks_output() else _unused("out", self.backward)
        names = ["self", *self.inputs, out, dout]
        if len(set(names)) != len(names):
            raise Unportable(self.backward, "gives a gradient the name of an input")
        return f"bprop({', '.join(names)})", prelude

    def _asks_output(self) -> bool:
        values = [*self.kept.saved, *self.kept.attributes.values()]
        return self.kept.direct and any(isinstance(v, ast.Name) and v.id == self.output for v in values)

    def _again(self) -> str:
        """The statements of forward once more, with what the context kept under names of its own."""
        rewriter, method = self.rewriter, self.forward
        body = method.body
        start, end = rewriter._first_offset(body[0]), rewriter.span(body[-2] if len(body) > 1 else body[-1])[1]
        with rewriter.inside(method):
            edits = rewriter.visit_body(body)
            extra: list[Edit] = []
            for statement in self.kept.statements:
                if isinstance(statement, ast.Assign):
                    for target in _flat(statement.targets):
                        assert isinstance(target, ast.Attribute)
                        extra.append(Edit(*rewriter.span(target), self._attribute(target.attr)))
                elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                    values = [rewriter.render(a) for a in statement.value.args]
                    saved = ", ".join(values) if len(values) > 1 else f"({values[0]},)" if values else "()"
                    silent = isinstance(statement.value.func, ast.Attribute) and statement.value.func.attr in SILENT
                    extra.append(Edit(*rewriter.span(statement), "pass" if silent else f"{self._saved()} = {saved}"))
        return rewriter.splice(start, end, [*extra, *edits])

    def _attribute(self, name: str) -> str:
        return f"{self.context_name}_{name}"

    def _saved(self) -> str:
        return f"{self.context_name}_saved"

    # --- backward's own statements --------------------------------------------------------------------------------------

    def _restored(self, method: ast.FunctionDef) -> list[ast.stmt]:
        """Notes what each use of the context becomes; gives the statements that say nothing any more (`x, = ctx.saved_tensors`)."""
        rewriter, name = self.rewriter, _context(method)
        with rewriter.inside(self.forward):
            values = [rewriter.render(v) for v in self.kept.saved]
        dropped: list[ast.stmt] = []
        # a name that backward binds itself no longer holds forward's input
        bound = _stored(method)
        for node in ast.walk(method):
            if not isinstance(node, ast.Attribute) or not self._is_context(node, name):
                continue
            statement = rewriter.parents.get(id(node))
            if node.attr in ("saved_tensors", "saved_variables"):
                text = (f"({values[0]},)" if len(values) == 1 else ", ".join(values)) if self.kept.direct else self._saved()
                if self.kept.direct and isinstance(statement, ast.Assign) and self._is_same(statement, values):
                    dropped.append(statement)
                elif isinstance(statement, ast.Subscript) and (index := _index(statement, len(values))) is not None and self.kept.direct:
                    rewriter.replaced[id(statement)] = values[index]
                    outer = rewriter.parents.get(id(statement))
                    if isinstance(outer, ast.Assign) and ast.unparse(outer.targets[0]) == values[index]:
                        dropped.append(outer)
                elif not self.kept.direct or isinstance(statement, ast.Assign):
                    rewriter.replaced[id(node)] = text
                else:
                    rewriter.replaced[id(node)] = f"({text})" if len(values) > 1 else text
            elif node.attr == "needs_input_grad":
                whole = isinstance(statement, ast.Subscript)
                rewriter.replaced[id(statement if whole else node)] = "True" if whole else f"(True,) * {len(self.inputs)}"
            else:
                self._restore_attribute(node, bound)
        return dropped

    def _restore_attribute(self, node: ast.Attribute, bound: set[str]) -> None:
        value = self.kept.attributes[node.attr]
        if not self.kept.direct:
            self.rewriter.replaced[id(node)] = self._attribute(node.attr)
            return
        names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
        statement = self.rewriter.parents.get(id(node))
        renames = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name) and names == {statement.targets[0].id}
        if names & bound and not renames:
            raise Unportable(node, f"binds {min(names & bound)} anew in backward")
        with self.rewriter.inside(self.forward):
            text = self.rewriter.render(value)
        self.rewriter.replaced[id(node)] = text if isinstance(value, ast.Name | ast.Attribute | ast.Constant | ast.Call | ast.Subscript) else f"({text})"

    def _is_same(self, statement: ast.Assign, values: list[str]) -> bool:
        target = statement.targets[0]
        names = [ast.unparse(e) for e in target.elts] if isinstance(target, ast.Tuple | ast.List) else []
        return names == values

    def _return(self, node: ast.Return) -> list[Edit]:
        """bprop gives a tuple with a gradient for every input; where torch gives None for a tensor, zeros."""
        rewriter, value = self.rewriter, node.value
        if value is None:
            raise Unportable(node, "returns no gradient")
        if not isinstance(value, ast.Tuple):
            if len(self.inputs) != 1:
                return []
            with rewriter.inside(self.backward):
                return rewriter.replace(value, f"({rewriter.render(value)},)")
        if len(value.elts) < len(self.inputs) or any(isinstance(e, ast.Starred) for e in value.elts):
            raise Unportable(node, "returns a number of gradients that is not the number of inputs")
        edits: list[Edit] = []
        for name, element in zip(self.inputs, value.elts):
            if isinstance(element, ast.Constant) and element.value is None and self._is_tensor_input(name):
                zeros = f"{rewriter.spell('mindspore.ops.zeros_like')}({name})"
                may_be_none = self._has_default(name) and not self._is_proven_tensor(name)
                test = f" if isinstance({name}, {rewriter.spell('mindspore.Tensor')}) else None" if may_be_none else ""
                edits += rewriter.replace(element, zeros + test)
        return edits

    def _has_default(self, name: str) -> bool:
        arguments = self.forward.args
        return name in [a.arg for a in arguments.args[len(arguments.args) - len(arguments.defaults) :]]

    def _is_proven_tensor(self, name: str) -> bool:
        return K.is_tensor(self.rewriter.inference.parameters(self.cls.methods["forward"]).get(name, K.NOTHING))

    def _is_tensor_input(self, name: str) -> bool:
        kinds = self.rewriter.inference.parameters(self.cls.methods["forward"]).get(name, K.NOTHING)
        return not K.proven(kinds, frozenset({"int", "float", "bool", "str", "None", "tuple", "list", "Size", "dtype"}))


class _Recomputed(_FunctionClass):
    """Gradient checkpointing by hand: forward calls a function that it is given, backward calls it again and takes autograd's gradients."""

    def __init__(self, rewriter: Rewriter, cls: Class) -> None:
        self.rewriter = rewriter
        self.cls = cls
        self.forward = self._method("forward")
        self.backward = self._method("backward")
        self.context_name = self.forward.args.args[0].arg if self.forward.args.args else ""

    def is_one(self) -> bool:
        """Whether forward keeps what it is given and does nothing but the call, which backward repeats."""
        arguments = {a.arg for a in (*self.forward.args.args, *filter(None, [self.forward.args.vararg]))}
        if context_place(self.forward) or self.forward.args.kwarg or self.forward.args.kwonlyargs or "setup_context" in self.cls.methods:
            return False
        if any(not isinstance(n, ast.Attribute) for n in self._parents_of_context()):
            return False
        body = _without_docstring(self.forward)
        if len(body) < 3:
            return False
        *kept, block, last = body
        if not all(isinstance(s, ast.Assign) and len(s.targets) == 1 and self._is_context(s.targets[0]) for s in kept):
            return False
        names = {t.attr: s.value for s in kept if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Attribute)}
        if len(names) != len(kept) or any(name in arguments and ast.unparse(value) != name for name, value in names.items()):
            return False
        call = self._call_in(block)
        if call is None or not isinstance(last, ast.Return) or not isinstance(last.value, ast.Name) or last.value.id != self._output_of(block):
            return False
        if not self._is_context(call.func) or not self._is_given(names.get(call.func.attr), arguments):  # type: ignore[attr-defined]
            return False
        return self._repeats(call)

    def _parents_of_context(self) -> list[ast.AST | None]:
        return [self.rewriter.parents.get(id(n)) for n in ast.walk(self.forward) if isinstance(n, ast.Name) and n.id == self.context_name]

    def _call_in(self, block: ast.stmt) -> ast.Call | None:
        """The call in `with torch.no_grad(): outputs = ctx.function(*ctx.inputs)`."""
        if not isinstance(block, ast.With) or len(block.items) != 1 or len(block.body) != 1 or not isinstance(block.body[0], ast.Assign):
            return None
        context = block.items[0].context_expr
        if not isinstance(context, ast.Call) or self.rewriter.resolve(context.func) != "torch.no_grad":
            return None
        value = block.body[0].value
        return value if isinstance(value, ast.Call) and not value.keywords else None

    @staticmethod
    def _output_of(block: ast.stmt) -> str:
        statement = block.body[0] if isinstance(block, ast.With) else None
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        return target.id if isinstance(target, ast.Name) else ""

    @staticmethod
    def _is_given(value: ast.expr | None, arguments: set[str]) -> bool:
        return isinstance(value, ast.Name) and value.id in arguments

    def _repeats(self, call: ast.Call) -> bool:
        """Whether backward calls the same function with gradients on, and returns what autograd gives for it."""
        context = self.backward.args.args[0].arg if self.backward.args.args else ""
        wanted = f"{context}.{call.func.attr}"  # type: ignore[attr-defined]
        calls = [n for n in ast.walk(self.backward) if isinstance(n, ast.Call)]
        again = [c for c in calls if ast.unparse(c.func) == wanted]
        blocks = [n for n in ast.walk(self.backward) if isinstance(n, ast.With) and any(c in again for c in ast.walk(n))]
        switched = [
            i.context_expr.func
            for b in blocks
            for i in b.items
            if isinstance(i.context_expr, ast.Call)
        ]
        named = {self.rewriter.resolve(c.func) for c in calls}
        return len(again) == 1 and "torch.enable_grad" in map(self.rewriter.resolve, switched) and "torch.autograd.grad" in named

    def _construct(self) -> list[Edit]:
        rewriter = self.rewriter
        for node in ast.walk(self.forward):
            if isinstance(node, ast.Attribute) and self._is_context(node):
                rewriter.replaced[id(node)] = node.attr  # a name of its own: nothing is kept for a backward pass
        edits = [*self._undecorated(self.forward), *self._renamed(self.forward, "construct"), *self._annotations(self.forward), self._first(self.forward)]
        with rewriter.inside(self.forward):
            for statement in self.forward.body:
                if isinstance(statement, ast.Assign) and ast.unparse(statement.value) == statement.targets[0].attr:  # type: ignore[attr-defined]
                    edits += rewriter._statement(statement, "")
                elif isinstance(statement, ast.With):
                    inner = statement.body[0]
                    edits += rewriter.replace(statement, rewriter.splice(*rewriter.span(inner), rewriter.visit(inner)))
                else:
                    edits += rewriter.visit(statement)
        return edits

    def _bprop(self) -> list[Edit]:
        """None: MindSpore's own gradient of the call is the same."""
        data = self.rewriter.module.data
        start = data[: self.rewriter._first_offset(self.backward)].rstrip()
        return [Edit(len(start), self.rewriter.span(self.backward)[1], "")]


def _without_docstring(method: ast.FunctionDef) -> list[ast.stmt]:
    return method.body[ast.get_docstring(method, clean=False) is not None :]


def context_place(method: ast.FunctionDef) -> int:
    """Where the context stands among the parameters: a class method has its class first."""
    return int(any(isinstance(d, ast.Name) and d.id == "classmethod" for d in method.decorator_list))


def _context(method: ast.FunctionDef) -> str:
    return method.args.args[context_place(method)].arg


def _flat(targets: list[ast.expr]) -> list[ast.expr]:
    return [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]


def _paired(node: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
    """Targets of an assignment with their values, where a tuple of one goes to a tuple of the other."""
    target = node.targets[0]
    if not isinstance(target, ast.Tuple | ast.List):
        return [(t, node.value) for t in node.targets]
    if len(node.targets) > 1 or not isinstance(node.value, ast.Tuple) or len(node.value.elts) != len(target.elts):
        raise Unportable(node, "unpacks a value into its context")
    return list(zip(target.elts, node.value.elts))


def _stored(method: ast.FunctionDef) -> set[str]:
    return {n.id for n in ast.walk(method) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _last_return(method: ast.FunctionDef) -> ast.expr | None:
    last = method.body[-1]
    return last.value if isinstance(last, ast.Return) else None


def _returned_name(method: ast.FunctionDef) -> str:
    """The one name that a function returns, or nothing."""
    returns = {ast.unparse(n.value) if n.value is not None else "" for n in ast.walk(method) if isinstance(n, ast.Return)}
    name = returns.pop() if len(returns) == 1 else ""
    return name if name.isidentifier() else ""


def _index(node: ast.Subscript, length: int) -> int | None:
    index = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return index if isinstance(index, int) and 0 <= index < length else None


def _unused(name: str, method: ast.FunctionDef) -> str:
    taken = {n.id for n in ast.walk(method) if isinstance(n, ast.Name)} | {a.arg for a in method.args.args}
    while name in taken:
        name += "_"
    return name
