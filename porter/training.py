"""Training steps: what torch records and `loss.backward()` walks becomes a function that mindspore.value_and_grad transforms.

The statements that compute a loss move into a `forward_fn` before the loop; the loop calls its gradient function. A plain
step then hands the gradients to the optimizer. Any other order of backward, step and zero_grad (accumulation, two networks,
closures) keeps torch's own statements: gradients are added to `parameter.grad`, where the emitted optimizers find them.
"""

from __future__ import annotations

import ast
import io
from typing import TYPE_CHECKING

from porter.carrying import reached
from porter.later_parameters import may_change
from porter.modes import hides_training_mode, needing_training_mode, needs_training_mode
from porter.nodes import walk
from porter.pipeline import numpy_edits
from porter.places import Backward, argument, call_of, condition, mentions_backward, scopes_of, target_like
from porter.rewrite.edits import Edit, dedent
from porter.steps import StepFinder, fresh_name

if TYPE_CHECKING:
    from porter.kept import Kept
    from porter.rewrite.rewriter import Rewriter
    from porter.style_model import Plain

PARALLEL = "torch.nn.parallel.DistributedDataParallel"


class Training:
    """The training steps of one module; `edits(statement)` gives what replaces a statement that belongs to one."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        tabs = rewriter.module.data.count(b"\n\t") > rewriter.module.data.count(b"\n    ")
        self.char, self.step = ("\t", 1) if tabs else (" ", 4)
        self.starts: dict[int, list[Backward]] = {}
        self.replaced: dict[int, tuple[str, Backward]] = {}
        self.removed: set[int] = set()
        self.covered: set[int] = set()
        self.unset: dict[int, list[str]] = {}
        self.models: dict[int, Plain] = {}
        self.switched: set[int] = set()
        self.fills: dict[int, Kept] = {}
        self.extended: set[int] = set()
        self.rendering = False
        self.parallel = False
        if not rewriter.module.has(b".backward("):
            return
        self.parallel = PARALLEL in used_names(rewriter)
        for scope in scopes_of(rewriter.module.tree):
            if mentions_backward(scope):
                StepFinder(self, scope).plan()

    def keep(self, several: list[Kept]) -> None:
        """Lists that another function fills are filled with functions, and called where the loss reads them."""
        for kept in several:
            name = fresh_name("again", self.rewriter.taken)
            self.fills[id(kept.fill)] = kept
            self.rewriter.kept |= {id(n): name for n in (kept.fill, *kept.reads)}

    def _filled(self, node: ast.Expr, kept: Kept) -> list[Edit]:
        """The function that computes an entry again, and the list that takes it."""
        inner = self.char * (node.col_offset + self.step)
        body = self._moved(list(kept.again), node.col_offset + self.step) if kept.again else ""
        name = self.rewriter.kept[id(node)]
        pad = self.char * node.col_offset
        text = f"def {name}():\n{body}{inner}return {self._rendered(kept.entry)}\n\n{pad}{kept.text}.append({name})"
        return [Edit(*self.rewriter.span(node), text)]

    def edits(self, node: ast.stmt) -> list[Edit] | None:
        """The edits for a statement that training has a say in, or None."""
        if isinstance(node, ast.FunctionDef):
            return numpy_edits(self.rewriter, node)
        if isinstance(node, ast.ClassDef):
            return self._without_base(node)
        if id(node) in self.fills and isinstance(node, ast.Expr):
            return self._filled(node, self.fills[id(node)])
        if isinstance(node, ast.AugAssign) and id(node) in self.extended:
            return self._extension(node)
        if self.rendering:
            return vanishing(self.rewriter, node) if isinstance(node, ast.Assign) else None
        if id(node) in self.models:
            self.starts.pop(id(node), None)
            from porter.style_model import model_edits

            return model_edits(self.rewriter, node, self.models[id(node)])
        if id(node) in self.unset:
            return self._with_unset(node, self.unset.pop(id(node)))
        if id(node) in self.starts:
            return self._with_definitions(node, self.starts.pop(id(node)))
        if id(node) in self.replaced:
            role, backward = self.replaced[id(node)]
            return self._replacement(node, role, backward)
        if id(node) in self.covered:
            return []
        if id(node) in self.removed:
            return self.rewriter._statement(node, "")
        if self.rewriter.program.goes_backward and isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr | ast.Return) and id(node) not in self.switched:
            made = needing_training_mode(self.rewriter, node)
            if made:
                return self._with_training_mode(node, made)
        return self._assignment(node) if isinstance(node, ast.Assign) else None

    def _extension(self, node: ast.AugAssign) -> list[Edit]:
        """`names += [value]` in a gradient function, which would take the name for its own: names.append(value)."""
        target = self.rewriter.module.source(node.target)
        single = isinstance(node.value, ast.List) and len(node.value.elts) == 1 and not isinstance(node.value.elts[0], ast.Starred)
        value = node.value.elts[0] if isinstance(node.value, ast.List) and single else node.value
        return self.rewriter.replace(node, f"{target}.{'append' if single else 'extend'}({self.rewriter.render(value)})")

    def _with_training_mode(self, node: ast.Assign | ast.AnnAssign | ast.Expr | ast.Return, made: list[ast.Call]) -> list[Edit]:
        """A statement in whose value networks are made, each of them set to training."""
        rewriter = self.rewriter
        self.switched.add(id(node))
        edits = rewriter.visit(node)
        for call in made:
            start, end = rewriter.span(call)
            own = [e for e in edits if start <= e.start and e.end <= end]
            text = rewriter.splice(start, end, own)
            hidden = hides_training_mode(rewriter, call)
            text = f"{rewriter.spell('mindspore.nn.Cell')}.set_train({text})" if hidden else f"{text}.set_train()"
            edits = [*(e for e in edits if e not in own), Edit(start, end, text)]
        return edits

    def _assignment(self, node: ast.Assign) -> list[Edit] | None:
        edits = vanishing(self.rewriter, node)
        if not self.rewriter.program.goes_backward or not needs_training_mode(self.rewriter, node):
            return edits
        end = self.rewriter.span(node)[1]
        text = ".set_train()"
        if hides_training_mode(self.rewriter, node.value):
            between = "; " if self.rewriter.shares_line(node) else "\n" + self.char * node.col_offset
            text = f"{between}{self.rewriter.spell('mindspore.nn.Cell')}.set_train({self.rewriter.module.source(node.targets[0])})"
        return [*(self.rewriter.visit_Assign(node) if edits is None else edits), Edit(end, end, text)]

    def _without_base(self, node: ast.ClassDef) -> list[Edit] | None:
        """A data set is a plain class with __getitem__ and __len__."""
        base = node.bases[0].value if node.bases and isinstance(node.bases[0], ast.Subscript) else None
        base = base or (node.bases[0] if node.bases else None)
        if len(node.bases) != 1 or node.keywords or base is None or self.rewriter.resolve(base) != "torch.utils.data.Dataset":
            return None
        data = self.rewriter.module.data
        start, end = self.rewriter.span(node.bases[0])
        bases, node.bases = node.bases, []
        try:
            edits = self.rewriter.visit_ClassDef(node)
        finally:
            node.bases = bases
        return [Edit(data.rindex(b"(", 0, start), data.index(b")", end) + 1, ""), *edits]

    # --- text ---------------------------------------------------------------------------------------------------------

    def _with_definitions(self, node: ast.stmt, steps: list[Backward]) -> list[Edit]:
        """The forward functions before a statement, then the statement itself."""
        rewriter = self.rewriter
        text = "".join(self._definition(b, node.col_offset) for b in steps)
        inner = rewriter.visit(node)
        start, _ = rewriter.span(node)
        line = rewriter.module.data.rfind(b"\n", 0, start) + 1
        if needs_blank_line(rewriter.module.data, start):
            text = f"\n{text}"
        here = [e for e in inner if e.start == line]
        if here:
            first = max(here, key=lambda e: e.end)
            return [type(first)(line, first.end, text + first.text), *(e for e in inner if e is not first)]
        return [Edit(line, line, text), *inner]

    def _with_unset(self, node: ast.stmt, names: list[str]) -> list[Edit]:
        """`name = None` before a statement that binds the name on some ways only."""
        start = self.rewriter.span(node)[0]
        lines = "".join(f"{name} = None\n{' ' * node.col_offset}" for name in dict.fromkeys(names))
        return [Edit(start, start, lines), *self.rewriter.visit(node)]

    def _definition(self, step: Backward, column: int) -> str:
        pad, inner = self.char * column, self.char * (column + self.step)
        forward, grad, _ = step.names
        parts = [*([s] for s in step.again), *([step.region] if step.region else [])]
        body = "".join(self._moved(nodes, column + self.step) for nodes in parts)
        loss = self._loss_text(step)
        returned = ", ".join([loss, *_aux(step)])
        rewriter, spell = self.rewriter, self.rewriter.spell
        weights = self._weights(step)
        aux = ", has_aux=True" if step.outputs else ""
        unset = "".join(f"{pad}{name} = None\n" for name in step.unset)
        if may_change(rewriter.program, step):
            differentiate = f"{spell('emitted.value_and_grad')}({forward}, lambda: {weights}{aux})"
        else:
            differentiate = f"{spell('mindspore.value_and_grad')}({forward}, None, {weights}{aux})"
        return (
            f"{unset}{pad}def {forward}({', '.join(step.inputs)}):\n{body}{inner}return {returned}\n\n"
            f"{pad}{grad} = {differentiate}\n\n"
        )

    def _loss_text(self, step: Backward) -> str:
        loss = self._rendered(step.loss)
        if step.scaler is None:
            return f"({loss})" if "\n" in loss else loss
        return f"{self._rendered(step.scaler)}.scale({loss})"

    def _rendered(self, node: ast.expr) -> str:
        self.rendering, before = True, self.rendering
        try:
            return self.rewriter.render(node)
        finally:
            self.rendering = before

    def _moved(self, nodes: list[ast.stmt], column: int) -> str:
        """Statements as they read in the port, at another indentation."""
        rewriter = self.rewriter
        data = rewriter.module.data
        self.rendering, before = True, self.rendering
        try:
            edits = [e for n in nodes for e in (rewriter._statement(n, "") if id(n) in self.removed else rewriter.visit(n))]
            edits += [e for n in nodes for child in walk(n) if child is not n and id(child) in self.removed
                      for e in (rewriter._statement(child, "") if isinstance(child, ast.stmt) else [])]  # fmt: skip
        finally:
            self.rendering = before
        start = data.rfind(b"\n", 0, rewriter._first_offset(nodes[0])) + 1
        end = self._end_with_comment(nodes[-1])
        text = rewriter.splice(start, end, edits)
        return shifted(text, column - nodes[0].col_offset, self.char).rstrip() + "\n"

    def _end_with_comment(self, node: ast.stmt) -> int:
        """The end of a statement, a comment behind it included."""
        data = self.rewriter.module.data
        end = self.rewriter.span(node)[1]
        line_end = data.find(b"\n", end)
        line_end = len(data) if line_end < 0 else line_end
        return line_end if data[end:line_end].strip().startswith(b"#") else end

    def _weights(self, step: Backward) -> str:
        if step.leaves:
            rest = self._weights_of_networks(step) if step.optimizers or step.watched or any(reached(self.rewriter, step.computing)) else ""
            leaves = f"[{', '.join(step.leaves)}]"
            return f"{self.rewriter.spell('emitted.all_parameters')}({leaves}, {rest})" if rest else leaves
        return self._weights_of_networks(step)

    def _weights_of_networks(self, step: Backward) -> str:
        if not step.optimizers and step.watched:
            several = []
        elif not step.optimizers:
            networks, unsure = reached(self.rewriter, step.computing)
            several = [f"{n}.trainable_params()" for n in sorted(networks)]
            if unsure:
                return f"{self.rewriter.spell('emitted.parameters_of')}({', '.join(sorted(networks | unsure))})"
            if len(several) > 1:
                return f"{self.rewriter.spell('emitted.all_parameters')}({', '.join(several)})"
        else:
            several = [f"{o}.parameters" for o in step.optimizers]
        if step.watched:
            several += [f"{n}.trainable_params()" for n in step.watched]
            return several[0] if len(several) == 1 else f"{self.rewriter.spell('emitted.all_parameters')}({', '.join(several)})"
        if step.overlapping:
            return f"{self.rewriter.spell('emitted.all_parameters')}({', '.join(several)})"
        return several[0] if len(several) == 1 else "(" + ", ".join(f"*{s}" for s in several) + ")"

    def _replacement(self, node: ast.stmt, role: str, step: Backward) -> list[Edit]:
        rewriter = self.rewriter
        if role == "region":
            start, end = rewriter.span(step.region[0])[0], self._end_with_comment(step.region[-1])
            return [Edit(start, end, self._call(step, node.col_offset))]
        text = self._after(step) if role == "backward" else self._step_text(node, role, step)
        if role == "backward" and not step.region:
            text = "\n".join(filter(None, [self._call(step, 0), text]))
        between = "; " if rewriter.shares_line(node) else "\n" + self.char * node.col_offset
        return rewriter._statement(node, text.replace("\n", between))

    def _call(self, step: Backward, column: int) -> str:
        _, grad, grads = step.names
        loss = self.rewriter.module.source(step.loss) if target_like(step.loss) and step.scaler is None else "_"
        if step.scaler is not None and not step.outputs and not step.simple:
            loss = "_"
        target = f"({', '.join([loss, *_aux(step)])})" if step.outputs else loss
        call = f"{target}, {grads} = {grad}({', '.join(step.inputs)})"
        networks = sorted(reached(self.rewriter, step.again)[0])
        if not networks:
            tests = condition(step)
            if not tests:
                return call
            pad, inner = self.char * column, self.char * (column + self.step)
            test = " and ".join(self._rendered(t) if len(tests) == 1 or not isinstance(t, ast.BoolOp) else f"({self._rendered(t)})" for t in tests)
            plain = f"{', '.join([loss, *_aux(step)])} = {step.names[0]}({', '.join(step.inputs)})"
            return f"if {test}:\n{inner}{call}\n{pad}else:\n{inner}{plain}"
        keep = self.rewriter.spell("emitted.statistics_kept")
        pad = self.char * (column + self.step)
        return f"with {keep}({', '.join(networks)}):\n{pad}{call}"

    def _after(self, step: Backward) -> str:
        """What stands where loss.backward() stood."""
        _, _, grads = step.names
        lines = []
        if self.parallel:
            lines.append(f"{grads} = {self.rewriter.spell('emitted.reduce_gradients')}({grads})")
        if step.simple:
            if step.scaler is not None:
                lines.append(f"{grads} = {self._rendered(step.scaler)}.unscale({grads})")
        else:
            held = self._weights(step)
            lines.append(f"{self.rewriter.spell('emitted.accumulate_gradients')}({held}, {grads})")
        return "\n".join(lines)

    def _step_text(self, node: ast.stmt, role: str, step: Backward) -> str:
        """The statements of a plain step that use the gradients."""
        grads = step.names[2]
        call = call_of(node)
        assert call is not None
        if role == "network.zero_grad":
            assert isinstance(call.func, ast.Attribute)
            network = self._rendered(call.func.value)
            if self.rewriter.program.has(b"requires_grad"):  # frozen ones may hold a gradient of before
                weights = f"{self.rewriter.spell('emitted.module_parameters')}({network})"
            else:
                weights = f"{network}.trainable_params()"
            return f"{self.rewriter.spell('emitted.zero_grad')}({weights})"
        if role == "step":
            return f"{step.optimizers[0]}({grads})"
        if role == "scaler.step":
            assert isinstance(call.func, ast.Attribute)
            return f"{self._rendered(call.func.value)}.step({step.optimizers[0]}, {grads})"
        limit = self._rendered(argument(call, 1, "max_norm" if role == "clip_norm" else "clip_value"))
        if role == "clip_value":
            clamp = self.rewriter.spell("mindspore.ops.clamp")
            return f"{grads} = tuple({clamp}(g, -{limit}, {limit}) for g in {grads})"
        kind = next((k.value for k in call.keywords if k.arg == "norm_type"), call.args[2] if len(call.args) > 2 else None)
        if isinstance(node, ast.Expr) and kind is None:
            return f"{grads} = {self.rewriter.spell('mindspore.ops.clip_by_global_norm')}({grads}, {limit})"
        norm = self.rewriter.module.source(node.targets[0]) if isinstance(node, ast.Assign) else "_"
        more = f", {self._rendered(kind)}" if kind is not None else ""
        return f"{grads}, {norm} = {self.rewriter.spell('emitted.clip_gradients_by_norm')}({grads}, {limit}{more})"


def _aux(step: Backward) -> list[str]:
    """What the forward function returns beside the loss."""
    return [f"({', '.join(step.outputs)}{',' * (len(step.outputs) == 1)})"] if step.bundled else step.outputs


def used_names(rewriter: Rewriter) -> set[str]:
    return {q for m in rewriter.program.modules.values() for q in m.imports.values()} | {
        name
        for m in rewriter.program.modules.values()
        if b"DistributedDataParallel" in m.data
        for n in walk(m.tree)
        if isinstance(n, ast.Attribute) and n.attr == "DistributedDataParallel"
        for name in [rewriter.program.dotted(m, n) or ""]
    }


def shifted(text: str, by: int, char: str = " ") -> str:
    """Lines moved to the right or left, those inside multi-line strings excepted."""
    if by <= 0:
        return dedent(text, -by)
    import tokenize

    inside: set[int] = set()
    try:
        wrapped = "if True:\n" + text + "\n"
        for token in tokenize.generate_tokens(io.StringIO(wrapped).readline):
            if token.type == tokenize.STRING and token.start[0] != token.end[0]:
                inside |= set(range(token.start[0], token.end[0]))
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass
    lines = io.StringIO(text).readlines()
    return "".join(line if i in inside or not line.strip() else char * by + line for i, line in enumerate(lines))


def needs_blank_line(data: bytes, start: int) -> bool:
    """Whether the line before a statement is neither blank nor the head of its block."""
    before = data[: data.rfind(b"\n", 0, start) + 1].rstrip(b"\r\n\t ")
    newlines = data[len(before) : start].count(b"\n")
    return newlines < 2 and bool(before) and not before.endswith(b":")


def vanishing(rewriter: Rewriter, node: ast.Assign) -> list[Edit] | None:
    """`x = x.to(device)` says nothing in the port: the statement goes, unless it does more."""
    source = rewriter.module.data[slice(*rewriter.span(node.value))]
    if len(node.targets) != 1 or not (b".to" in source or b".cuda" in source or b".cpu" in source):
        return None
    if not any(isinstance(n, ast.Attribute) and n.attr in ("to", "cuda", "cpu") for n in walk(node.value)):
        return None
    edits = rewriter.visit_Assign(node)
    value = rewriter.splice(*rewriter.span(node.value), [e for e in edits if e.start >= rewriter.span(node.value)[0]])
    target = rewriter.module.source(node.targets[0])
    return rewriter._statement(node, "") if value.strip("() ") == target.strip("() ") else edits
