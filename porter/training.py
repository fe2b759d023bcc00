"""Training steps: what torch records and `loss.backward()` walks becomes a function that mindspore.value_and_grad transforms.

The statements that compute a loss move into a `forward_fn` before the loop; the loop calls its gradient function. A plain
step then hands the gradients to the optimizer. Any other order of backward, step and zero_grad (accumulation, two networks,
closures) keeps torch's own statements: gradients are added to `parameter.grad`, where the emitted optimizers find them.
"""

from __future__ import annotations

import ast
import builtins
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY, Kind, Kinds, join, one
from porter.modes import needs_training_mode
from porter.pipeline import numpy_edits
from porter.rewrite.edits import Edit, dedent

if TYPE_CHECKING:
    from porter.infer import Inference
    from porter.rewrite.rewriter import Rewriter

LOADER = "torch.utils.data.DataLoader"
SCALER = "torch.amp.GradScaler"
OPTIMIZER = "torch.optim."
SCHEDULERS = ("torch.optim.lr_scheduler.", "torch.optim.swa_utils.")
PARALLEL = "torch.nn.parallel.DistributedDataParallel"
BATCH = join(K.TENSOR, K.list_of(K.TENSOR))
CLIP_NORM = "torch.nn.utils.clip_grad_norm_"
CLIP_VALUE = "torch.nn.utils.clip_grad_value_"
GROWING = frozenset(["append", "extend", "insert", "add", "update"])

# --- what loaders give ------------------------------------------------------------------------------------------------


def annotated_object(inference: Inference, name: str | None) -> Kinds:
    """What an annotation with the name of a row that returns an object promises: a loader, an optimizer, a schedule."""
    rows = inference.table.get(name or "")
    if not rows or not rows[0].returns.startswith("object[") or rows[0].kind != "function":
        return K.NOTHING
    kinds = K.returned(rows[0].returns)
    return one("object", LOADER, (BATCH,)) if any(k.of == LOADER for k in kinds) else kinds


def loader_object(inference: Inference, positional: list[Kinds], keywords: dict[str, Kinds]) -> Kinds:
    """A DataLoader with what its batches are: samples of its data set, collated."""
    collate = keywords.get("collate_fn", K.NOTHING)
    if collate and collate != K.NONE:
        functions = [inference.program.functions[k.of] for k in collate if k.name == "function" and k.of in inference.program.functions]
        found = join(*(inference._returns(f) for f in functions))
        return one("object", LOADER, (found or ANY,))
    dataset = positional[0] if positional else keywords.get("dataset", ANY)
    samples = join(*(_sample(inference, k) for k in dataset)) or ANY
    batches = _collated(samples)
    return one("object", LOADER, (BATCH if batches & ANY else batches,))


def _sample(inference: Inference, dataset: Kind) -> Kinds:
    found = inference.program.method(dataset.of, "__getitem__") if dataset.of in inference.program.classes else None
    if found is not None:
        return inference._returns(found[1])
    if dataset.of.startswith("torchvision.datasets.") and dataset.of.rpartition(".")[2] in _LABELLED:
        return K.tuple_of(K.TENSOR, K.INT)
    return ANY


def _collated(sample: Kinds) -> Kinds:
    """What torch.utils.data.default_collate makes of samples."""
    found = []
    for kind in sample:
        if kind.name in ("tuple", "list"):
            items = tuple(join(*(_leaf(k) for k in i)) or K.TENSOR for i in kind.items)
            found.append(one(kind.name, items=items))
        else:
            found.append(_leaf(kind))
    return join(*found)


def _leaf(kind: Kind) -> Kinds:
    if kind.name == "str":
        return K.list_of(K.STR)
    if kind.name in ("tuple", "list"):
        return _collated(frozenset({kind}))
    if kind.name == "dict":
        return one("dict", items=(join(*(_leaf(k) for k in (kind.items[0] if kind.items else ANY))),))
    return ANY if kind.name == "any" else K.TENSOR


_LABELLED = frozenset(["MNIST", "FashionMNIST", "KMNIST", "EMNIST", "CIFAR10", "CIFAR100", "ImageFolder", "ImageNet", "SVHN", "STL10", "FakeData"])

# --- places -------------------------------------------------------------------------------------------------------------

Block = list[ast.stmt]


@dataclass(frozen=True)
class Place:
    """A statement with its block and the statements around it, outermost first, inside one function or module."""

    block: Block
    index: int
    around: tuple[Place, ...] = ()

    @property
    def node(self) -> ast.stmt:
        return self.block[self.index]


@dataclass
class Backward:
    """One `loss.backward()`: the loss, the statements that compute it, and what becomes of them."""

    place: Place
    loss: ast.expr
    scaler: ast.expr | None
    region: list[ast.stmt] = field(default_factory=list)
    again: list[ast.stmt] = field(default_factory=list)
    optimizers: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    simple: bool = False
    anchor: ast.stmt | None = None
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    names: tuple[str, str, str] = ("forward_fn", "grad_fn", "grads")
    unset: list[str] = field(default_factory=list)


@dataclass
class Step:
    """`optimizer.step()`, `optimizer.zero_grad()`, a clipping call or another statement of the step."""

    place: Place
    role: str
    optimizer: str
    call: ast.Call


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
        self.rendering = False
        self.parallel = False
        if b".backward(" not in rewriter.module.data:
            return
        self.parallel = PARALLEL in _used_names(rewriter)
        for scope in _scopes(rewriter.module.tree):
            if _mentions_backward(scope):
                _Scope(self, scope).plan()

    def edits(self, node: ast.stmt) -> list[Edit] | None:
        """The edits for a statement that training has a say in, or None."""
        if isinstance(node, ast.FunctionDef):
            return numpy_edits(self.rewriter, node)
        if isinstance(node, ast.ClassDef):
            return self._without_base(node)
        if self.rendering:
            return _vanishing(self.rewriter, node) if isinstance(node, ast.Assign) else None
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
        return self._assignment(node) if isinstance(node, ast.Assign) else None

    def _assignment(self, node: ast.Assign) -> list[Edit] | None:
        edits = _vanishing(self.rewriter, node)
        if not needs_training_mode(self.rewriter, node):
            return edits
        end = self.rewriter.span(node)[1]
        return [*(self.rewriter.visit_Assign(node) if edits is None else edits), Edit(end, end, ".set_train()")]

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
        if _needs_blank_line(rewriter.module.data, start):
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
        body = "".join(self._moved(nodes, column + self.step) for nodes in (step.again, step.region) if nodes)
        loss = self._loss_text(step)
        returned = ", ".join([loss, *step.outputs])
        spell = self.rewriter.spell
        weights = self._weights(step)
        aux = ", has_aux=True" if step.outputs else ""
        unset = "".join(f"{pad}{name} = None\n" for name in step.unset)
        return (
            f"{unset}{pad}def {forward}({', '.join(step.inputs)}):\n{body}{inner}return {returned}\n\n"
            f"{pad}{grad} = {spell('mindspore.value_and_grad')}({forward}, None, {weights}{aux})\n\n"
        )

    def _loss_text(self, step: Backward) -> str:
        loss = self._rendered(step.loss)
        if step.scaler is None:
            return loss
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
            edits += [e for n in nodes for child in ast.walk(n) if child is not n and id(child) in self.removed
                      for e in (rewriter._statement(child, "") if isinstance(child, ast.stmt) else [])]  # fmt: skip
        finally:
            self.rendering = before
        start = data.rfind(b"\n", 0, rewriter._first_offset(nodes[0])) + 1
        end = self._end_with_comment(nodes[-1])
        text = rewriter.splice(start, end, edits)
        return _shifted(text, column - nodes[0].col_offset, self.char).rstrip() + "\n"

    def _end_with_comment(self, node: ast.stmt) -> int:
        """The end of a statement, a comment behind it included."""
        data = self.rewriter.module.data
        end = self.rewriter.span(node)[1]
        line_end = data.find(b"\n", end)
        line_end = len(data) if line_end < 0 else line_end
        return line_end if data[end:line_end].strip().startswith(b"#") else end

    def _weights(self, step: Backward) -> str:
        if not step.optimizers and step.watched:
            several = []
        elif not step.optimizers:
            networks = sorted(_networks(self.rewriter, [*step.again, *step.region]))
            several = [f"{n}.trainable_params()" for n in networks]
        else:
            several = [f"{o}.parameters" for o in step.optimizers]
        if step.watched:
            several += [f"{n}.trainable_params()" for n in step.watched]
            return several[0] if len(several) == 1 else f"{self.rewriter.spell('emitted.all_parameters')}({', '.join(several)})"
        return several[0] if len(several) == 1 else "(" + ", ".join(f"*{s}" for s in several) + ")"

    def _replacement(self, node: ast.stmt, role: str, step: Backward) -> list[Edit]:
        rewriter = self.rewriter
        if role == "region":
            start, end = rewriter.span(step.region[0])[0], self._end_with_comment(step.region[-1])
            return [Edit(start, end, self._call(step, node.col_offset))]
        text = self._after(step) if role == "backward" else self._step_text(node, role, step)
        between = "; " if rewriter.shares_line(node) else "\n" + self.char * node.col_offset
        return rewriter._statement(node, text.replace("\n", between))

    def _call(self, step: Backward, column: int) -> str:
        _, grad, grads = step.names
        loss = self.rewriter.module.source(step.loss) if _target_like(step.loss) and step.scaler is None else "_"
        if step.scaler is not None and not step.outputs and not step.simple:
            loss = "_"
        target = f"({', '.join([loss, *step.outputs])})" if step.outputs else loss
        call = f"{target}, {grads} = {grad}({', '.join(step.inputs)})"
        networks = sorted(_networks(self.rewriter, step.again))
        if not networks:
            return call
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
        call = _call_of(node)
        assert call is not None
        if role == "network.zero_grad":
            assert isinstance(call.func, ast.Attribute)
            return f"{self.rewriter.spell('emitted.zero_grad')}({self._rendered(call.func.value)}.trainable_params())"
        if role == "step":
            return f"{step.optimizers[0]}({grads})"
        if role == "scaler.step":
            assert isinstance(call.func, ast.Attribute)
            return f"{self._rendered(call.func.value)}.step({step.optimizers[0]}, {grads})"
        limit = self._rendered(_argument(call, 1, "max_norm" if role == "clip_norm" else "clip_value"))
        if role == "clip_value":
            clamp = self.rewriter.spell("mindspore.ops.clamp")
            return f"{grads} = tuple({clamp}(g, -{limit}, {limit}) for g in {grads})"
        kind = next((k.value for k in call.keywords if k.arg == "norm_type"), call.args[2] if len(call.args) > 2 else None)
        if isinstance(node, ast.Expr) and kind is None:
            return f"{grads} = {self.rewriter.spell('mindspore.ops.clip_by_global_norm')}({grads}, {limit})"
        norm = self.rewriter.module.source(node.targets[0]) if isinstance(node, ast.Assign) else "_"
        more = f", {self._rendered(kind)}" if kind is not None else ""
        return f"{grads}, {norm} = {self.rewriter.spell('emitted.clip_gradients_by_norm')}({grads}, {limit}{more})"


# --- one function or module ---------------------------------------------------------------------------------------------


class _Scope:
    """Finds the steps of one function, or of the module's own statements, and decides their form."""

    def __init__(self, training: Training, node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.training = training
        self.rewriter = training.rewriter
        self.node = node
        self.places = list(_places(node.body, ()))
        self.steps = [s for p in self.places for s in self._step_at(p)]

    def plan(self) -> None:
        found = [b for p in self.places for b in self._backward_at(p)]
        for backward in found:
            self._find_region(backward, found)
        found = [b for b in found if b.region]
        for backward in found:
            backward.optimizers = self._consumers(backward)
            backward.watched = self._watched(backward)
            backward.simple = not backward.watched and self._is_simple(backward, found)
        if any(not b.simple for b in found):
            # gradients that wait on the parameters are seen by every step of the scope
            for backward in found:
                backward.simple = False
        for number, backward in enumerate(found):
            self._name(backward, found, number)
            self._find_names(backward)
            self._register(backward)

    # --- what statements are --------------------------------------------------------------------------------------------

    def _kinds(self, node: ast.expr) -> Kinds:
        return K.without_none(self.rewriter.kinds(node))

    def _is_optimizer(self, node: ast.expr) -> bool:
        known = self._kinds(node)
        if known and not known & ANY:
            return all(k.name == "object" and k.of.startswith(OPTIMIZER) and not k.of.startswith(SCHEDULERS) for k in known)
        text = ast.unparse(node)
        zeroed = f"{text}.zero_grad("
        source = ast.unparse(self.node)
        return "opt" in text.rpartition(".")[2].lower() or (zeroed in source and "model" not in text and "net" not in text.lower())

    def _is_scaler(self, node: ast.expr) -> bool:
        known = self._kinds(node)
        return any(k.of == SCALER for k in known) or ((not known or bool(known & ANY)) and "scaler" in ast.unparse(node).lower())

    def _step_at(self, place: Place) -> Iterator[Step]:
        call = _call_of(place.node)
        if call is None:
            return
        name = self._torch_name(call.func)
        if name in (CLIP_NORM, CLIP_VALUE, "torch.nn.utils.clip_grad_norm"):
            yield Step(place, "clip_value" if name == CLIP_VALUE else "clip_norm", ast.unparse(_argument(call, 0, "parameters")), call)
        if not isinstance(call.func, ast.Attribute):
            return
        subject, method = call.func.value, call.func.attr
        if method in ("step", "zero_grad") and self._is_optimizer(subject):
            role = "closure" if method == "step" and (call.args or call.keywords) else method
            yield Step(place, role, ast.unparse(subject), call)
        elif method == "zero_grad" and self._is_network(subject):
            yield Step(place, "network.zero_grad", ast.unparse(subject), call)
        elif method in ("step", "unscale_") and call.args and self._is_scaler(subject):
            yield Step(place, f"scaler.{method}", ast.unparse(call.args[0]), call)

    def _torch_name(self, node: ast.expr) -> str | None:
        return self.rewriter.program.dotted(self.rewriter.module, node)

    def _is_network(self, node: ast.expr) -> bool:
        known = self._kinds(node)
        if not known or known & ANY:
            return True
        return all(k.name == "object" and self.rewriter._is_cell(k.of) for k in known)

    def _backward_at(self, place: Place) -> Iterator[Backward]:
        call = _call_of(place.node)
        if call is None or not isinstance(place.node, ast.Expr) or not isinstance(call.func, ast.Attribute):
            return
        if call.func.attr != "backward" or call.args or any(k.arg != "retain_graph" for k in call.keywords):
            return
        subject = call.func.value
        known = self._kinds(subject)
        if known and not known & ANY and not K.is_tensor(known) and not K.names(known) & K.TENSORS:
            return
        scaled = isinstance(subject, ast.Call) and isinstance(subject.func, ast.Attribute) and subject.func.attr == "scale"
        if isinstance(subject, ast.Call) and isinstance(subject.func, ast.Attribute) and scaled and self._is_scaler(subject.func.value):
            yield Backward(place, subject.args[0], subject.func.value)
        else:
            yield Backward(place, subject, None)

    # --- the statements that compute the loss ------------------------------------------------------------------------------

    def _find_region(self, step: Backward, found: list[Backward]) -> None:
        """The statements from the first that can carry a gradient to the last that the loss needs."""
        chain = [*step.place.around, step.place]
        needed = _reads(step.loss)
        whole = not _target_like(step.loss)
        chosen: Place | None = None
        slices: list[int] = []
        nearest: tuple[Place, list[int]] | None = None
        for level in range(len(chain) - 1, -1, -1):
            place = chain[level]
            own = self._slice(place, needed)
            direct = whole and level == len(chain) - 1 and self._carries_expression(step.loss)
            if direct or any(self._carries(place.block[i]) for i in own):
                chosen, slices = place, own
                break
            if own and nearest is None:
                nearest = (place, own)
        if chosen is None:
            return
        if nearest is not None:
            self._nested_region(step, chain, chosen, slices, nearest)
            return
        barrier = max((self._last_index(chosen, b.place) for b in found if b is not step and self._before(b.place, chosen)), default=-1)
        barrier = max([barrier, *(self._last_index(chosen, s.place) for s in self.steps
                                  if s.role in ("step", "scaler.step") and self._before(s.place, chosen))])  # fmt: skip
        own = [i for i in slices if i > barrier]
        carrying = [i for i in own if self._carries(chosen.block[i])]
        if not carrying and not whole:
            self._refuse(step, "its forward pass lies before another step")
            return
        again = [chosen.block[i] for i in slices if i <= barrier and self._depends_on_carrying(chosen, slices, i)]
        first = carrying[0] if carrying else chosen.index
        last = chosen.index - 1 if whole and chosen is step.place else max(own, default=first)
        region = chosen.block[first : last + 1]
        if whole and not region:
            self._refuse(step, "its loss is computed in the call itself")
            return
        problem = self._problem(region, again) or self._outer_problem(chain, chosen, needed, region)
        if problem:
            self._refuse(step, problem)
            return
        step.region, step.again = region, again

    def _nested_region(
        self, step: Backward, chain: list[Place], chosen: Place, slices: list[int], nearest: tuple[Place, list[int]]
    ) -> None:
        """The loss is computed in a branch, from what its network gave before it: the network runs once more with it."""
        inner, own = nearest
        between = chain[chain.index(chosen) : chain.index(inner)]
        if any(not isinstance(p.node, ast.If | ast.With | ast.Try) for p in between):
            self._refuse(step, "its network runs outside of the loop that computes the loss")
            return
        region = inner.block[own[0] : own[-1] + 1]
        again = [chosen.block[i] for i in slices if self._depends_on_carrying(chosen, slices, i)]
        problem = self._problem(region, again)
        if problem:
            self._refuse(step, problem)
            return
        step.region, step.again = region, again

    def _refuse(self, step: Backward, why: str) -> None:
        self.rewriter.report(
            step.place.node, "MSP210", f"this backward pass cannot become a gradient function: {why}",
            "write the forward pass as a function of the batch and call mindspore.value_and_grad(forward_fn, None, optimizer.parameters)",
        )  # fmt: skip

    def _slice(self, place: Place, needed: set[str]) -> list[int]:
        """Indices of the statements before a place, in its block, that compute what is needed; `needed` grows."""
        chosen = []
        for index in range(place.index - 1, -1, -1):
            statement = place.block[index]
            if _binds(statement) & needed or _grows(statement) & needed:
                chosen.append(index)
                if not isinstance(statement, ast.AugAssign):
                    simple = _binds(statement) if isinstance(statement, ast.Assign) else set()
                    needed -= simple - _reads(statement)
                needed |= _reads(statement)
        return sorted(chosen)

    def _depends_on_carrying(self, place: Place, slices: list[int], index: int) -> bool:
        carried: set[str] = set()
        for i in slices:
            statement = place.block[i]
            carries = self._carries(statement) or bool(_reads(statement) & carried)
            if carries:
                carried |= _binds(statement) | _grows(statement)
            if i == index:
                return carries
        return False

    def _before(self, place: Place, chosen: Place) -> bool:
        index = self._last_index(chosen, place)
        return 0 <= index < chosen.index

    def _last_index(self, chosen: Place, place: Place) -> int:
        """The index in the chosen block of the statement that holds a place, or -1."""
        return next((p.index for p in (*place.around, place) if p.block is chosen.block), -1)

    def _problem(self, region: list[ast.stmt], again: list[ast.stmt]) -> str:
        for statement in [*again, *region]:
            for node in ast.walk(statement):
                if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom | ast.Await | ast.Global | ast.Nonlocal | ast.Delete):
                    return "a statement between leaves it or changes names outside"
                if isinstance(node, ast.Break | ast.Continue) and not any(
                    isinstance(n, ast.For | ast.While) and node in ast.walk(n) for n in ast.walk(statement)
                ):
                    return "a statement between leaves the loop"
        return ""

    def _outer_problem(self, chain: list[Place], chosen: Place, needed: set[str], region: list[ast.stmt]) -> str:
        """A tensor that carries a gradient into the region from somewhere else would silently lose it."""
        for place in reversed(chain[: chain.index(chosen)]):
            for i in self._slice(place, needed):
                statement = place.block[i]
                if self._carries(statement) and any(K.is_tensor(self._kinds(t)) for t in _targets(statement)):
                    return f"{', '.join(sorted(_binds(statement)))} carries a gradient into the loop from outside"
        for statement in region:
            for node in ast.walk(statement):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                    if isinstance(node.ctx, ast.Load) and K.is_tensor(self._kinds(node)) and self._assigned_elsewhere(node, region):
                        return f"self.{node.attr} carries a gradient from another method"
        return ""

    def _assigned_elsewhere(self, node: ast.Attribute, region: list[ast.stmt]) -> bool:
        own = {id(n) for s in region for n in ast.walk(s)}
        if any(isinstance(n, ast.Attribute) and n.attr == node.attr and isinstance(n.ctx, ast.Store) for s in region for n in ast.walk(s)):
            return False
        for statement in ast.walk(self.rewriter.module.tree):
            if isinstance(statement, ast.Assign) and id(statement) not in own:
                for target in statement.targets:
                    if ast.unparse(target) == f"self.{node.attr}" and self._carries(statement):
                        return True
        return False

    # --- gradients ------------------------------------------------------------------------------------------------------------

    def _carries(self, statement: ast.stmt) -> bool:
        """Whether a statement may compute something that depends on parameters of a network."""
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return False
        return any(self._carrying_call(n) for n in ast.walk(statement) if isinstance(n, ast.Call))

    def _carries_expression(self, node: ast.expr) -> bool:
        return any(self._carrying_call(n) for n in ast.walk(node) if isinstance(n, ast.Call))

    def _carrying_call(self, call: ast.Call) -> bool:
        return carrying_call(self.rewriter, call, set())

    # --- optimizers ------------------------------------------------------------------------------------------------------------

    def _consumers(self, step: Backward) -> list[str]:
        """Optimizers whose next step, before their gradients are cleared, uses this backward pass."""
        order = sorted(self.steps, key=lambda s: (s.place.node.lineno, s.place.node.col_offset))
        line = step.place.node.lineno
        cyclic = [s for s in order if s.place.node.lineno > line] + [s for s in order if s.place.node.lineno < line]
        decided: dict[str, bool] = {}
        for event in cyclic:
            if event.role in ("step", "scaler.step", "closure"):
                decided.setdefault(event.optimizer, True)
            elif event.role == "zero_grad":
                decided.setdefault(event.optimizer, False)
            elif event.role == "network.zero_grad":
                for optimizer in self._optimizers_of(event.optimizer):
                    decided.setdefault(optimizer, False)
        found = [o for o, used in decided.items() if used]
        return found or self._closure_optimizers()

    def _closure_optimizers(self) -> list[str]:
        """In a closure, optimizer.step(closure) stands outside; the optimizer is what the closure clears."""
        return sorted({s.optimizer for s in self.steps if s.role == "zero_grad"})

    def _optimizers_of(self, network: str) -> list[str]:
        """Optimizers that were made from the parameters of just this network."""
        found = []
        for node in ast.walk(self.rewriter.module.tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
                if ast.unparse(node.value.args[0]) == f"{network}.parameters()":
                    found += [ast.unparse(t) for t in node.targets]
        return found

    def _watched(self, step: Backward) -> list[str]:
        """Networks whose gradients are clipped or read, beside those parameters that the optimizers hold."""
        networks = {s.optimizer.removesuffix(".parameters()") for s in self.steps if s.role.startswith("clip")}
        if _reads_gradients(self.node):
            networks |= _networks(self.rewriter, [*step.again, *step.region])
        if _reads_gradients(self.node):
            # a step by hand reads the gradients, whether or not there is an optimizer
            step.optimizers = [o for o in step.optimizers if not any(o in self._optimizers_of(n) for n in networks)]
            return sorted(n for n in networks if n.replace(".", "").replace("_", "").isalnum() and self._called(n, step))
        held = {n for n in networks if any(o in self._optimizers_of(n) for o in step.optimizers)}
        return sorted(n for n in networks - held if step.optimizers and n.replace(".", "").replace("_", "").isalnum() and self._called(n, step))

    def _called(self, network: str, step: Backward) -> bool:
        return network in _networks(self.rewriter, [*step.again, *step.region])

    def _is_simple(self, step: Backward, found: list[Backward]) -> bool:
        """One backward, then one step, in one block, with nothing kept from one step to the next."""
        if len(step.optimizers) != 1 or len(found) != 1 or _reads_gradients(self.node):
            return False
        optimizer, block = step.optimizers[0], step.place.block
        steps = [s for s in self.steps if s.role in ("step", "scaler.step", "closure") and s.optimizer == optimizer]
        if len(steps) != 1 or steps[0].role == "closure" or steps[0].place.block is not block or steps[0].place.index < step.place.index:
            return False
        if (steps[0].role == "scaler.step") != (step.scaler is not None) or not isinstance(steps[0].place.node, ast.Expr):
            return False
        cleared = [s for s in self.steps if s.role in ("zero_grad", "network.zero_grad") and self._clears(s, optimizer)]
        if not any(self._always_runs_with(s.place, step.place) for s in cleared):
            return False
        for clip in self.steps:
            if clip.role.startswith("clip"):
                inside = clip.place.block is block and step.place.index < clip.place.index < steps[0].place.index
                network = clip.optimizer.removesuffix(".parameters()")
                if not inside or optimizer not in self._optimizers_of(network):
                    return False
        return True

    def _clears(self, event: Step, optimizer: str) -> bool:
        if event.role == "zero_grad":
            return event.optimizer == optimizer
        return optimizer in self._optimizers_of(event.optimizer)

    def _always_runs_with(self, place: Place, other: Place) -> bool:
        """Whether one statement runs whenever the other does: it is in the same block, or in one around it in the same loop."""
        if place.block is other.block:
            return True
        for outer in reversed(other.around):
            if isinstance(outer.node, ast.For | ast.While):
                return False
            if outer.block is place.block:
                return True
        return False

    # --- names -----------------------------------------------------------------------------------------------------------------

    def _name(self, step: Backward, found: list[Backward], number: int) -> None:
        taken = self.rewriter.taken
        suffix = ""
        if len(found) > 1:
            suffix = "_" + ast.unparse(step.loss).replace("self.", "") if _target_like(step.loss) else f"_{number + 1}"
            suffix = "".join(c if c.isidentifier() or c.isdigit() else "_" for c in suffix)
            if any(b.names[0] == f"forward{suffix}" for b in found if b is not step):
                suffix += f"_{number + 1}"
        names = ("forward_fn", "grad_fn", "grads") if not suffix else (f"forward{suffix}", f"grad{suffix}", f"grads{suffix}")
        step.names = tuple(_fresh(n, taken) for n in names)  # type: ignore[assignment]

    def _find_names(self, step: Backward) -> None:
        step.anchor = self._anchor(step)
        statements = [*step.again, *step.region]
        bound = set().union(*(_plain_binds(s) for s in statements))
        free = _free_first(statements)
        inner = _plain_binds_of(step.anchor) if isinstance(step.anchor, ast.For | ast.While) else set()
        local = inner | (_parameters(self.node) if step.anchor is None else set())
        nested = bound & _names_in_scope(self.node, statements)
        step.inputs = sorted((n for n in free if n in local or n in nested), key=free.index)
        if not isinstance(step.anchor, ast.For | ast.While):
            step.inputs = [n for n in step.inputs if n in bound]
        kept = _plain_binds_in_order(step.region)
        loss = ast.unparse(step.loss)
        last = step.region[-1]
        carried = set(_free_first(step.region)) if any(isinstance(p.node, ast.For | ast.While) for p in step.place.around) else set()
        outputs = [n for n in kept if n != loss and (n in carried or _read_later(self.node, n, step.region, last))]
        if step.scaler is not None and _target_like(step.loss) and loss in bound and _read_later(
            self.node, loss, [*step.region, step.place.node], last
        ):  # fmt: skip
            outputs.insert(0, loss)
        step.outputs = outputs
        self._find_unset(step)

    def _find_unset(self, step: Backward) -> None:
        """Inputs that some ways leave unbound: torch's statements read them on the other ways only, a call reads them always."""
        anchor = step.anchor if step.anchor is not None else step.region[0]
        chain = [*step.place.around, step.place]
        bound = _parameters(self.node)
        conditional: dict[str, ast.stmt] = {}
        for place in chain:
            before = place.block[: place.index] if place.node is not step.place.node else [s for s in place.block if s.lineno < step.region[0].lineno]
            for statement in before:
                for name in _plain_binds(statement) - _surely_bound(statement) - _loop_targets(statement):
                    conditional.setdefault(name, statement)
                bound |= _surely_bound(statement) | _loop_targets(statement)
            bound |= _loop_targets(place.node)
        for name in step.inputs:
            if name in bound:
                continue
            first = conditional.get(name)
            if first is not None and first.lineno < anchor.lineno:
                self.training.unset.setdefault(id(first), []).append(name)
            elif first is None and name not in _names_in_scope(self.node, [*step.region, *step.again]):
                step.unset.append(name)

    def _anchor(self, step: Backward) -> ast.stmt | None:
        """The outermost loop around the step in which its optimizers are not made anew."""
        loops = [p.node for p in step.place.around if isinstance(p.node, ast.For | ast.While)]
        roots = {o.partition(".")[0] for o in step.optimizers}
        for loop in loops:
            if not roots & _plain_binds_of(loop):
                return loop
        return None

    def _register(self, step: Backward) -> None:
        training = self.training
        training.starts.setdefault(id(step.anchor if step.anchor is not None else step.region[0]), []).append(step)
        training.replaced[id(step.region[0])] = ("region", step)
        training.covered |= {id(s) for s in step.region[1:]}
        training.replaced[id(step.place.node)] = ("backward", step)
        for event in self.steps:
            if step.simple and event.role in ("zero_grad", "network.zero_grad", "scaler.unscale_"):
                training.removed.add(id(event.place.node))
            elif (step.simple and event.role in ("step", "scaler.step", "clip_norm", "clip_value")) or (not step.simple and event.role == "network.zero_grad"):
                training.replaced[id(event.place.node)] = (event.role, step)


# --- reading code -------------------------------------------------------------------------------------------------------------


def carrying_call(rewriter: Rewriter, call: ast.Call, seen: set[str]) -> bool:
    """Whether a call may go through a network: a Cell, or a function of the program that calls one."""
    func = call.func
    if isinstance(func, ast.Name) and hasattr(builtins, func.id) and func.id not in rewriter.taken:
        return False
    known = K.without_none(rewriter.kinds(func))
    if known and not known & ANY:
        return any(_carrying_kind(rewriter, k, seen) for k in known)
    if isinstance(func, ast.Attribute):
        owner = K.without_none(rewriter.kinds(func.value))
        if owner and not owner & ANY:
            return any(k.name == "object" and rewriter._is_cell(k.of) for k in owner) and not rewriter.table.get(f"torch.nn.Module.{func.attr}")
        return isinstance(func.value, ast.Name) and func.value.id == "self" and bool(call.args)
    return isinstance(func, ast.Name) and bool(call.args)


def _carrying_kind(rewriter: Rewriter, kind: Kind, seen: set[str]) -> bool:
    if kind.name == "object":
        return rewriter._is_cell(kind.of)
    if kind.name in ("function", "bound") and kind.of in rewriter.program.functions and kind.of not in seen:
        seen.add(kind.of)
        body = rewriter.program.functions[kind.of].node
        return any(carrying_call(rewriter, n, seen) for n in ast.walk(body) if isinstance(n, ast.Call))
    if kind.name == "module_method":
        return kind.of == "forward"
    return kind.name in ("lambda", "partial")


def _networks(rewriter: Rewriter, statements: list[ast.stmt]) -> set[str]:
    """Names of the networks that statements call."""
    found = set()
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                known = K.without_none(rewriter.kinds(node.func)) - ANY
                if known and all(k.name == "object" and rewriter._is_cell(k.of) for k in known) and _has_parameters(rewriter, known):
                    found.add(ast.unparse(node.func))
    return found


def _has_parameters(rewriter: Rewriter, networks: Kinds) -> bool:
    """Whether modules may hold parameters: losses and activations of torch.nn do not."""
    for kind in networks:
        rows = rewriter.table.get(kind.of)
        page = Path(rows[0].location.path).stem if rows and kind.of.startswith("torch.nn.") else ""
        if page not in _WITHOUT_PARAMETERS or rows[0].weights:
            return True
    return False


_WITHOUT_PARAMETERS = frozenset({"loss", "distance", "dropout", "padding", "pooling", "shape"})


def _scopes(tree: ast.Module) -> Iterator[ast.Module | ast.FunctionDef | ast.AsyncFunctionDef]:
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _mentions_backward(scope: ast.AST) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(scope))


def _used_names(rewriter: Rewriter) -> set[str]:
    return {q for m in rewriter.program.modules.values() for q in m.imports.values()} | {
        name
        for m in rewriter.program.modules.values()
        for n in ast.walk(m.tree)
        if isinstance(n, ast.Attribute) and n.attr == "DistributedDataParallel"
        for name in [rewriter.program.dotted(m, n) or ""]
    }


def _places(block: Block, around: tuple[Place, ...]) -> Iterator[Place]:
    for index, node in enumerate(block):
        place = Place(block, index, around)
        yield place
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for name in ("body", "orelse", "finalbody"):
            yield from _places(getattr(node, name, []), (*around, place))
        for handler in getattr(node, "handlers", []):
            yield from _places(handler.body, (*around, place))


def _call_of(node: ast.stmt) -> ast.Call | None:
    value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    return value if isinstance(value, ast.Call) else None


def _argument(call: ast.Call, index: int, name: str) -> ast.expr:
    given = next((k.value for k in call.keywords if k.arg == name), None)
    return given if given is not None else call.args[index] if index < len(call.args) else call


def _target_like(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _target_like(node.value))


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return f"{base}.{node.attr}" if base else None
    return None


def _reads(node: ast.AST) -> set[str]:
    """Names, and attributes of names, that a statement reads; what is detached carries nothing on and is left out."""
    found: set[str] = set()
    stack = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, ast.Call) and isinstance(current.func, ast.Attribute) and current.func.attr in ("detach", "item"):
            continue
        if isinstance(current, ast.Attribute) and current.attr == "data" and isinstance(current.ctx, ast.Load):
            continue
        key = _dotted(current) if isinstance(current, ast.Attribute) else None
        if key and isinstance(current.ctx, ast.Load):  # type: ignore[attr-defined]
            found.add(key)
        if isinstance(current, ast.Name) and isinstance(current.ctx, ast.Load):
            found.add(current.id)
        if isinstance(current, ast.AugAssign) and (target := _dotted(current.target)):
            found.add(target)
        stack.extend(ast.iter_child_nodes(current))
    return found


def _targets(node: ast.stmt) -> list[ast.expr]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Name | ast.Attribute) and isinstance(n.ctx, ast.Store)]


def _binds(node: ast.stmt) -> set[str]:
    """Names, attributes and containers that a statement, or one inside it, assigns."""
    found: set[str] = set()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    for child in ast.walk(node):
        if isinstance(child, ast.Name | ast.Attribute | ast.Subscript) and isinstance(child.ctx, ast.Store):
            base = child.value if isinstance(child, ast.Subscript) else child
            key = _dotted(base)
            if key:
                found.add(key)
    return found


def _grows(node: ast.stmt) -> set[str]:
    """Containers that a statement adds to: losses.append(...)."""
    found = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in GROWING:
            key = _dotted(child.func.value)
            if key:
                found.add(key)
    return found


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A statement's nodes in the order of evaluation, as far as order matters here; nested functions and comprehensions
    keep their own names."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        own = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        for child in ast.walk(node):
            if isinstance(child, ast.Name) and child.id not in own:
                yield child
        return
    if isinstance(node, ast.Assign):
        order: list[ast.AST] = [node.value, *node.targets]
    elif isinstance(node, ast.AugAssign):
        order = [node.value, node.target]
    elif isinstance(node, ast.For):
        order = [node.iter, node.target, *node.body, *node.orelse]
    else:
        order = list(ast.iter_child_nodes(node))
    yield node
    for child in order:
        yield from _own_nodes(child)


def _plain_binds(node: ast.stmt) -> set[str]:
    return {n.id for n in _own_nodes(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def _plain_binds_of(loop: ast.stmt) -> set[str]:
    return _plain_binds(loop)


def _plain_binds_in_order(statements: list[ast.stmt]) -> list[str]:
    found: dict[str, None] = {}
    for statement in statements:
        for node in _own_nodes(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found[node.id] = None
    return list(found)


def _free_first(statements: list[ast.stmt]) -> list[str]:
    """Names that are read before the statements bind them for sure, in order of appearance."""
    found: dict[str, None] = {}
    certain: set[str] = set()
    for statement in statements:
        nested = isinstance(statement, ast.If | ast.For | ast.While | ast.Try)
        inside: set[str] = set()
        for node in _own_nodes(statement):
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id not in certain | inside:
                found[node.target.id] = None
            if not isinstance(node, ast.Name):
                continue
            if isinstance(node.ctx, ast.Load) and node.id not in certain | inside:
                found[node.id] = None
            elif isinstance(node.ctx, ast.Store):
                inside.add(node.id)
        if nested:
            # bound on some ways only: where it was bound before, that value must come in
            always = _surely_bound(statement)
            for name in inside - certain - always:
                found.setdefault(name)
            certain |= always
        else:
            certain |= inside
    return list(found)


def _surely_bound(statement: ast.stmt) -> set[str]:
    """Names that a statement binds whichever way it takes."""
    if isinstance(statement, ast.If):
        return _all_bound(statement.body) & _all_bound(statement.orelse)
    if isinstance(statement, ast.With):
        return _all_bound(statement.body)
    return set() if isinstance(statement, ast.For | ast.While | ast.Try | ast.Match) else _plain_binds(statement)


def _loop_targets(statement: ast.stmt) -> set[str]:
    if not isinstance(statement, ast.For):
        return set()
    return {n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)}


def _all_bound(block: list[ast.stmt]) -> set[str]:
    return set().union(*(_surely_bound(s) for s in block))


def _parameters(scope: ast.AST) -> set[str]:
    arguments = getattr(scope, "args", None)
    if arguments is None:
        return set()
    return {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}


def _names_in_scope(scope: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef, apart: list[ast.stmt]) -> set[str]:
    """Names that the scope binds outside of some statements."""
    skipped = {id(n) for s in apart for n in ast.walk(s)}
    found = _parameters(scope)
    for statement in scope.body:
        for node in _own_nodes(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in skipped:
                found.add(node.id)
    return found


def _read_later(scope: ast.AST, name: str, apart: list[ast.stmt], last: ast.stmt) -> bool:
    """Whether a name is read after some statements, or in the next round of a loop around them, before it is bound anew."""
    skipped = {id(n) for s in apart for n in ast.walk(s)}
    end = (last.end_lineno or 0, last.end_col_offset or 0)
    events: list[tuple[int, int, str]] = []
    for node in ast.walk(scope):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Name) and node.id == name:
            stored = isinstance(node.ctx, ast.Store)
            events.append((node.lineno, node.col_offset, "bind" if stored else "read"))
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            events.append((node.lineno, node.col_offset - 1, "read"))
    # in an assignment the right side is read before the left is bound
    events = sorted(_after_value(scope, events, name))
    after = next((e for e in events if e[:2] > end and (e[2] == "read" or not _conditional(scope, e, last))), None)
    if after is not None and after[2] == "read":
        return True
    for loop in ast.walk(scope):
        if isinstance(loop, ast.For | ast.While) and loop.lineno <= last.lineno and end[0] <= (loop.end_lineno or 0):
            first = next((e for e in events if e[0] >= loop.lineno), None)
            if first is not None and first[2] == "read" and first[:2] < end:
                return True
    return False


def _after_value(scope: ast.AST, events: list[tuple[int, int, str]], name: str) -> list[tuple[int, int, str]]:
    moved = []
    targets = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for inner in ast.walk(target):
                    if isinstance(inner, ast.Name) and inner.id == name:
                        targets[(inner.lineno, inner.col_offset)] = (node.end_lineno or 0, (node.end_col_offset or 0) + 1)
    for line, column, what in events:
        place = targets.get((line, column)) if what == "bind" else None
        moved.append((*place, what) if place is not None else (line, column, what))
    return moved


def _conditional(scope: ast.AST, event: tuple[int, int, str], last: ast.stmt) -> bool:
    """Whether a binding stands in a branch or loop that does not also hold the statements it would replace."""
    return any(
        isinstance(n, ast.If | ast.For | ast.While | ast.Try) and n.lineno <= event[0] <= (n.end_lineno or 0) and not n.lineno <= last.lineno
        for n in ast.walk(scope)
    )


def _reads_gradients(scope: ast.AST) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "grad" for n in ast.walk(scope))


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _shifted(text: str, by: int, char: str = " ") -> str:
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


def _needs_blank_line(data: bytes, start: int) -> bool:
    """Whether the line before a statement is neither blank nor the head of its block."""
    before = data[: data.rfind(b"\n", 0, start) + 1].rstrip(b"\r\n\t ")
    newlines = data[len(before) : start].count(b"\n")
    return newlines < 2 and bool(before) and not before.endswith(b":")


def _vanishing(rewriter: Rewriter, node: ast.Assign) -> list[Edit] | None:
    """`x = x.to(device)` says nothing in the port: the statement goes, unless it does more."""
    source = rewriter.module.data[slice(*rewriter.span(node.value))]
    if len(node.targets) != 1 or not (b".to" in source or b".cuda" in source or b".cpu" in source):
        return None
    if not any(isinstance(n, ast.Attribute) and n.attr in ("to", "cuda", "cpu") for n in ast.walk(node.value)):
        return None
    edits = rewriter.visit_Assign(node)
    value = rewriter.splice(*rewriter.span(node.value), [e for e in edits if e.start >= rewriter.span(node.value)[0]])
    target = rewriter.module.source(node.targets[0])
    return rewriter._statement(node, "") if value.strip("() ") == target.strip("() ") else edits
