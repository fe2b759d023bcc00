"""Training loops as mindspore.train.Model: one network, one optimizer and one loss in a plain loop over epochs and batches.

The loop becomes `Model.train` with LossMonitor, TimeMonitor and ModelCheckpoint; what it logs is what LossMonitor says.
A loop that does more keeps its form, behind a diagnostic that names the first statement that does not fit.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from porter import kinds as K
from porter.dataflow import read_later
from porter.kinds import ANY
from porter.loaders import LOADER
from porter.places import scopes_of
from porter.steps import OPTIMIZER, SCHEDULERS

if TYPE_CHECKING:
    from porter.rewrite.edits import Edit
    from porter.rewrite.rewriter import Rewriter

HELP = (
    "mindspore.train.Model takes one network, one optimizer, one loss(output, label) and a plain loop over epochs and batches;"
    " the loop stays as it is"
)
LOGGING = frozenset({"print", "len", "float", "int", "round", "str", "format", "item", "size", "argmax", "max", "sum", "mean", "eq", "detach", "cpu", "numpy", "join"})


class Unfit(Exception):
    """Why a loop is not a plain one: the statement and a sentence."""

    def __init__(self, node: ast.AST, why: str) -> None:
        super().__init__(why)
        self.node = node


@dataclass
class Plain:
    """The parts of a plain training loop."""

    epochs: ast.expr | None = None
    first: ast.expr | None = None
    loader: ast.expr | None = None
    batch: list[str] = field(default_factory=list)
    network: ast.expr | None = None
    forward: ast.Call | None = None
    output: str = "output"
    loss: ast.expr | None = None
    loss_name: str = ""
    optimizer: ast.expr | None = None
    schedules: list[tuple[str, bool]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    interval: int | None = None


def plan_models(rewriter: Rewriter) -> None:
    """Replaces every plain training loop of a module; says of the others why they stay."""
    for scope in scopes_of(rewriter.module.tree):
        for loop in _outer_loops(scope.body):
            if not any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(loop)):
                continue
            try:
                plain = _Reader(rewriter).read(loop, scope)
            except Unfit as problem:
                rewriter.report(problem.node, "MSP212", f"this training loop does not become mindspore.train.Model: {problem}", HELP)
                continue
            rewriter.training.models[id(loop)] = plain


def _outer_loops(body: list[ast.stmt]) -> Iterator[ast.For | ast.While]:
    """Loops of one function, not those inside of other loops."""
    for node in body:
        if isinstance(node, ast.For | ast.While):
            yield node
        elif isinstance(node, ast.If | ast.With | ast.Try):
            for name in ("body", "orelse", "finalbody"):
                yield from _outer_loops(getattr(node, name, []))


class _Reader:
    """Reads a loop statement by statement."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        self.plain = Plain()

    def read(self, loop: ast.For | ast.While, scope: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> Plain:
        plain, training = self.plain, self.rewriter.training
        if id(loop) not in training.starts:
            raise Unfit(loop, "its steps have no plain form")
        if training.parallel:
            raise Unfit(loop, "gradients are averaged over several processes")
        batches = self._epochs(loop)
        for statement in loop.body:
            if statement is not batches:
                self._beside(statement)
            else:
                self._batches(batches)
        required = ["zero_grad", "forward", "loss", "backward", "step"]
        order = [s for s in plain.seen if s not in ("zero_grad", "train")]
        missing = [s for s in required if s not in plain.seen]
        if missing or order != required[1:] or plain.seen.index("zero_grad") > plain.seen.index("backward"):
            raise Unfit(loop, f"a step is not zero_grad, forward, loss, backward, step{f': no {missing[0]}' if missing else ''}")
        bound = {n.id for n in ast.walk(loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for name in sorted(bound):
            if read_later(scope, name, [loop], loop):
                raise Unfit(loop, f"{name} is read after it")
        if "train" not in plain.seen and b".eval()" in self.rewriter.module.data:
            raise Unfit(loop, "it does not set the network to training, which Model does")
        return plain

    def _epochs(self, loop: ast.For | ast.While) -> ast.For:
        inner = [s for s in loop.body if isinstance(s, ast.For) and any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(s))]
        counted = isinstance(loop, ast.For) and isinstance(loop.iter, ast.Call) and isinstance(loop.iter.func, ast.Name)
        if not counted or len(inner) != 1 or loop.orelse or inner[0].orelse:
            raise Unfit(loop, "it is no loop over epochs around one loop over batches")
        assert isinstance(loop, ast.For) and isinstance(loop.iter, ast.Call) and isinstance(loop.iter.func, ast.Name)
        arguments = loop.iter.args
        if loop.iter.func.id != "range" or not 1 <= len(arguments) <= 2 or loop.iter.keywords:
            raise Unfit(loop, "its epochs are not counted by range(epochs)")
        self.plain.epochs, self.plain.first = arguments[-1], arguments[0] if len(arguments) == 2 else None
        return inner[0]

    def _beside(self, statement: ast.stmt) -> None:
        """A statement of an epoch outside of the loop over batches."""
        call = _method_call(statement)
        if call is not None and call[1] == "train" and not call[2].args and self._is_network(call[0]):
            self.plain.seen.append("train")
        elif call is not None and call[1] == "step" and not call[2].args and self._is_schedule(call[0]):
            if "backward" not in self.plain.seen:
                raise Unfit(statement, "the schedule is stepped before the batches")
            self.plain.schedules.append((ast.unparse(call[0]), False))
        else:
            self._logging(statement)

    def _batches(self, loop: ast.For) -> None:
        source, target = loop.iter, loop.target
        if isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id == "enumerate" and isinstance(target, ast.Tuple):
            source, target = source.args[0], target.elts[-1]
        if isinstance(source, ast.Call) and ast.unparse(source.func).rpartition(".")[2] == "tqdm" and source.args:
            source = source.args[0]
        if not any(k.of == LOADER for k in K.without_none(self.rewriter.kinds(source))):
            raise Unfit(loop, "its batches are not known to come from a DataLoader")
        names = [e.id for e in target.elts if isinstance(e, ast.Name)] if isinstance(target, ast.Tuple) else []
        if len(names) != 2:
            raise Unfit(loop, "a batch is not an input and a label")
        self.plain.loader, self.plain.batch = source, names
        for statement in loop.body:
            self._in_step(statement)

    def _in_step(self, statement: ast.stmt) -> None:
        plain = self.plain
        call = _method_call(statement)
        if self._moves_batch(statement):
            return
        if call is not None and call[1] in ("zero_grad", "step", "backward", "train"):
            self._part(statement, *call)
        elif isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
            self._assignment(statement, statement.targets[0].id)
        else:
            self._logging(statement)
            if plain.interval is None and any(isinstance(n, ast.Name) and n.id == "print" for n in ast.walk(statement)):
                plain.interval = _interval(statement)

    def _part(self, statement: ast.stmt, subject: ast.expr, method: str, call: ast.Call) -> None:
        plain = self.plain
        if method == "backward" and isinstance(subject, ast.Name) and subject.id == plain.loss_name and not call.args and not call.keywords:
            plain.seen.append("backward")
        elif method == "train" and self._is_network(subject) and not call.args:
            plain.seen.append("train")
        elif method == "step" and self._is_schedule(subject) and not call.args and "step" in plain.seen:
            plain.schedules.append((ast.unparse(subject), True))
        elif method in ("step", "zero_grad") and not call.args and (self._is_optimizer(subject) or (method == "zero_grad" and self._is_network(subject))):
            if self._is_optimizer(subject):
                if plain.optimizer is not None and ast.unparse(plain.optimizer) != ast.unparse(subject):
                    raise Unfit(statement, "there are several optimizers")
                plain.optimizer = subject
            plain.seen.append(method)
        else:
            raise Unfit(statement, f"{ast.unparse(call)} is no part of a plain step")

    def _assignment(self, statement: ast.Assign, name: str) -> None:
        plain, value = self.plain, statement.value
        if isinstance(value, ast.Call) and self._is_forward(value):
            plain.forward, plain.network, plain.output = value, value.func, name
            plain.seen.append("forward")
        elif "loss" not in plain.seen and (found := self._loss(value)):
            plain.loss, plain.loss_name = value, name
            plain.seen += found
        else:
            self._logging(statement)

    def _loss(self, value: ast.expr) -> list[str]:
        """What a statement that computes the loss is, where it reads the output, or makes it, and the label alone."""
        calls = [n for n in ast.walk(value) if isinstance(n, ast.Call)]
        forward = [n for n in calls if self._is_forward(n)]
        local = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
        if "forward" in self.plain.seen and not forward:
            return ["loss"] if {self.plain.output, self.plain.batch[1]} <= local and self.plain.batch[0] not in local else []
        if "forward" not in self.plain.seen and len(forward) == 1 and self.plain.batch[1] in local:
            self.plain.forward, self.plain.network = forward[0], forward[0].func
            return ["forward", "loss"]
        return []

    def _is_forward(self, call: ast.Call) -> bool:
        given = len(call.args) == 1 and not call.keywords and isinstance(call.args[0], ast.Name) and call.args[0].id == self.plain.batch[0]
        return given and self._is_network(call.func)

    def _moves_batch(self, statement: ast.stmt) -> bool:
        """`x = x.to(device)`, `x, y = x.to(device), y.to(device)`."""
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            return False
        pairs = [(statement.targets[0], statement.value)]
        if isinstance(statement.targets[0], ast.Tuple) and isinstance(statement.value, ast.Tuple):
            pairs = list(zip(statement.targets[0].elts, statement.value.elts))
        return all(self._moves(target, value) for target, value in pairs)

    def _moves(self, target: ast.expr, value: ast.expr) -> bool:
        moved = isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr in ("to", "cuda")
        if not moved or not isinstance(target, ast.Name) or target.id not in self.plain.batch:
            return False
        assert isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute)
        devices = all("float" not in ast.unparse(a) and "long" not in ast.unparse(a) for a in value.args)
        return devices and isinstance(value.func.value, ast.Name) and value.func.value.id == target.id

    def _logging(self, statement: ast.stmt) -> None:
        """What only says how training goes: names of its own, and print."""
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] not in LOGGING:
                raise Unfit(statement, f"{ast.unparse(node.func)}(...) is more than a log")
            stored = isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store)
            if stored or not isinstance(node, ast.stmt | ast.expr | ast.expr_context | ast.operator | ast.boolop | ast.cmpop | ast.unaryop | ast.keyword):
                raise Unfit(statement, "it changes what others see")
            if isinstance(node, ast.stmt) and not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.If | ast.Pass):
                raise Unfit(statement, "it is more than a log")
            own = {*self.plain.batch, self.plain.output, self.plain.loss_name} - {""}
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in own and "step" not in self.plain.seen:
                raise Unfit(statement, f"it changes {node.id}")

    def _known(self, node: ast.expr) -> K.Kinds:
        known = K.without_none(self.rewriter.kinds(node))
        return K.NOTHING if known & ANY else known

    def _is_network(self, node: ast.expr) -> bool:
        known = self._known(node)
        return bool(known) and all(k.name == "object" and self.rewriter._is_cell(k.of) for k in known) and not self._is_loss(known)

    def _is_loss(self, known: K.Kinds) -> bool:
        return all(k.of.startswith("torch.nn.") and k.of.endswith("Loss") for k in known)

    def _is_optimizer(self, node: ast.expr) -> bool:
        known = self._known(node)
        return bool(known) and all(k.of.startswith(OPTIMIZER) and not k.of.startswith(SCHEDULERS) for k in known)

    def _is_schedule(self, node: ast.expr) -> bool:
        known = self._known(node)
        return bool(known) and all(k.of.startswith(SCHEDULERS) and "Plateau" not in k.of for k in known)


def _method_call(statement: ast.stmt) -> tuple[ast.expr, str, ast.Call] | None:
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        return call.func.value, call.func.attr, call
    return None


def _interval(statement: ast.stmt) -> int:
    """The number of steps between two logs, from `if i % 100 == 99:`."""
    for node in ast.walk(statement.test if isinstance(statement, ast.If) else statement):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(node.right, ast.Constant) and isinstance(node.right.value, int):
            return node.right.value
    return 1


# --- text --------------------------------------------------------------------------------------------------------------


def model_edits(rewriter: Rewriter, node: ast.stmt, plain: Plain) -> list[Edit]:
    """The statements that stand in place of the loop."""
    assert plain.loader is not None and plain.network is not None and plain.optimizer is not None and plain.epochs is not None
    source, spell = rewriter.module.source, rewriter.spell
    rendered = rewriter.training._rendered
    loader, network = rendered(plain.loader), source(plain.network)
    criterion, definition = _criterion(rewriter, plain)
    step, trainer = rewriter._unused("train_step"), rewriter._unused("trainer")
    epochs = rendered(plain.epochs) if plain.first is None else f"{rendered(plain.epochs)} - {rendered(plain.first)}"
    train = spell("mindspore.train.Model").removesuffix(".Model")
    interval = f"len({loader})" if plain.interval is None else str(plain.interval) if plain.interval > 1 else ""
    prefix, quote = network.rpartition(".")[2], rewriter.quote
    callbacks = [
        f"{train}.LossMonitor({interval})", f"{train}.TimeMonitor()",
        f"{train}.ModelCheckpoint({quote}{prefix}{quote}, {quote}checkpoints{quote}, {train}.CheckpointConfig(len({loader})))",
        *(f"{spell('emitted.ScheduleStep')}({name}{', each_step=True' if each else ''})" for name, each in plain.schedules),
    ]  # fmt: skip
    columns = ", ".join(f"{quote}{name}{quote}" for name in plain.batch)
    data = spell("mindspore.dataset.GeneratorDataset")
    loss_cell, step_cell = spell("mindspore.nn.WithLossCell"), spell("mindspore.nn.TrainOneStepCell")
    lines = [
        *definition, f"{step} = {step_cell}({loss_cell}({network}, {criterion}), {source(plain.optimizer)})",
        f"{trainer} = {train}.Model({step})", f"{trainer}.train(",
        f"    {epochs}, {data}({loader}, [{columns}], shuffle=False),", "    callbacks=[",
        *(f"        {c}," for c in callbacks), "    ],", "    dataset_sink_mode=False,", ")",
    ]  # fmt: skip
    pad = rewriter.training.char * node.col_offset
    return rewriter._statement(node, ("\n" + pad).join(lines).replace(f"\n{pad}\n", "\n\n"))


def _criterion(rewriter: Rewriter, plain: Plain) -> tuple[str, list[str]]:
    """The loss of an output and a label, and its definition where the script has no module for it."""
    loss = plain.loss
    assert loss is not None
    label = plain.batch[1]
    if isinstance(loss, ast.Call) and len(loss.args) == 2 and not loss.keywords and isinstance(loss.args[1], ast.Name) and loss.args[1].id == label:
        known = K.without_none(rewriter.kinds(loss.func))
        first = loss.args[0] is plain.forward or (isinstance(loss.args[0], ast.Name) and loss.args[0].id == plain.output)
        if first and known and all(k.name == "object" and rewriter._is_cell(k.of) for k in known):
            return rewriter.module.source(loss.func), []
    assert plain.forward is not None
    rewriter.replaced[id(plain.forward)] = plain.output
    text = rewriter.training._rendered(loss)
    name = rewriter._unused("loss_fn")
    return name, [f"def {name}({plain.output}, {label}):", f"    return {text}", ""]
