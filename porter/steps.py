"""Finds the training steps of a function or module and decides their form: what is differentiated, and what uses the gradients."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from porter import kinds as K
from porter import no_grad
from porter.again import check_again
from porter.carrying import apart_from, carrying_call, has_parameters, networks_in, reached
from porter.dataflow import (
    all_bound,
    containers_grown,
    free_first,
    loop_targets,
    names_bound,
    names_in_scope,
    names_read,
    own_nodes,
    parameter_names,
    plain_binds,
    plain_binds_in_order,
    plain_binds_of,
    read_later,
    reads_gradients,
    surely_bound,
)
from porter.inflow import Inflow
from porter.kept import kept_lists
from porter.kinds import ANY, Kinds
from porter.leaves import leaves_of
from porter.nodes import dotted_text, walk
from porter.optimized import leaves_by_optimizer
from porter.places import Backward, Place, Step, argument, call_of, places_in, target_like

if TYPE_CHECKING:
    from porter.training import Training

SCALER = "torch.amp.GradScaler"
OPTIMIZER = "torch.optim."
SCHEDULERS = ("torch.optim.lr_scheduler.", "torch.optim.swa_utils.")
CLIP_NORM = "torch.nn.utils.clip_grad_norm_"
CLIP_VALUE = "torch.nn.utils.clip_grad_value_"

FORWARD_HELP = "write the forward pass as a function of the batch and call mindspore.value_and_grad(forward_fn, None, optimizer.parameters)"
SAVED_HELP = (
    "keep what the network was given instead (states, actions), compute the loss from that once more in a function, "
    "and call mindspore.value_and_grad(function, None, optimizer.parameters); a network with dropout draws its masks again"
)


class StepFinder:
    """Finds the steps of one function, or of the module's own statements, and decides their form."""

    def __init__(self, training: Training, node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.training = training
        self.rewriter = training.rewriter
        self.node = node
        self.held: set[str] = set()
        self.kept = kept_lists(self.rewriter, node) if isinstance(node, ast.FunctionDef) else []
        self.kept_reads = {id(n) for kept in self.kept for n in kept.reads}
        self.leaves = leaves_of(self.rewriter.program, self.rewriter.module)
        self.places = list(places_in(node.body, ()))
        self.steps = [s for p in self.places for s in self._step_at(p)]

    def plan(self) -> None:
        found = [b for p in self.places for b in self._backward_at(p)]
        for backward in found:
            self._find_region(backward, found)
        found = [b for b in found if b.found]
        for backward in found:
            backward.optimizers = self._consumers(backward)
            backward.watched = self._watched(backward)
            part = [] if backward.watched else self._reached_part(backward)
            if part:
                backward.optimizers, backward.watched = [], part
            backward.leaves = self._own_leaves(backward)
            backward.overlapping = self._may_overlap(backward.optimizers)
            known = backward.optimizers or backward.watched or backward.leaves
            if not known and not any(reached(self.rewriter, backward.computing)):
                self._refuse(backward, "it is not known whose parameters it is for")
                backward.found = False
            backward.simple = not backward.watched and self._is_simple(backward, found)
        found = [b for b in found if b.found]
        if any(not b.simple for b in found):
            # gradients that wait on the parameters are seen by every step of the scope
            for backward in found:
                backward.simple = False
        if len(found) == 1 and self.kept:
            self.training.keep(self.kept)
        for number, backward in enumerate(found):
            check_again(self.rewriter, backward)
            self._name(backward, found, number)
            self._find_names(backward)
            self._register(backward)

    # --- what statements are --------------------------------------------------------------------------------------------

    def _kinds(self, node: ast.expr) -> Kinds:
        return K.without_none(self.rewriter.kinds(node))

    def _is_optimizer(self, node: ast.expr) -> bool:
        known = self._kinds(node)
        if known and not known & ANY:
            families = [self.rewriter._family(k.of) if k.name == "object" else [] for k in known]
            return all(any(n.startswith(OPTIMIZER) and not n.startswith(SCHEDULERS) for n in names) for names in families)
        text = ast.unparse(node)
        zeroed = f"{text}.zero_grad("
        source = ast.unparse(self.node)
        return "opt" in text.rpartition(".")[2].lower() or (zeroed in source and "model" not in text and "net" not in text.lower())

    def _is_scaler(self, node: ast.expr) -> bool:
        known = self._kinds(node)
        return any(k.of == SCALER for k in known) or (K.is_unknown(known) and "scaler" in ast.unparse(node).lower())

    def _step_at(self, place: Place) -> Iterator[Step]:
        call = call_of(place.node)
        if call is None:
            return
        name = self._torch_name(call.func)
        if name in (CLIP_NORM, CLIP_VALUE, "torch.nn.utils.clip_grad_norm"):
            yield Step(place, "clip_value" if name == CLIP_VALUE else "clip_norm", ast.unparse(argument(call, 0, "parameters")), call)
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
        if K.is_unknown(known):
            return True
        return all(k.name == "object" and self.rewriter._is_cell(k.of) for k in known)

    def _backward_at(self, place: Place) -> Iterator[Backward]:
        call = call_of(place.node)
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
        held = leaves_by_optimizer(self.rewriter.program, self.rewriter.module)
        self.held = set().union(*(held.get(o, ()) for o in self._consumers(step))) if held else set()
        chain = [*step.place.around, step.place]
        needed = names_read(step.loss)
        whole = not target_like(step.loss)
        chosen: Place | None = None
        slices: list[int] = []
        nearest: tuple[Place, list[int]] | None = None
        read: list[ast.AST] = [step.loss]
        for level in range(len(chain) - 1, -1, -1):
            place = chain[level]
            _enter(place, needed)
            own = self._slice(place, needed)
            read += [place.node.iter] if isinstance(place.node, ast.For) else []
            read += [place.block[i] for i in own]
            direct = whole and level == len(chain) - 1 and self._carries_expression(step.loss)
            if direct or any(self._carries(place.block[i]) for i in own):
                chosen, slices = place, own
                break
            if own and nearest is None:
                nearest = (place, own)
        if chosen is None:
            self._name_saved(step, read)
            return
        if nearest is not None:
            self._nested_region(step, chain, chosen, slices, nearest)
            return
        barrier = max((self._last_index(chosen, b.place) for b in found if b is not step and self._before(b.place, chosen)), default=-1)
        barrier = max([barrier, *(self._last_index(chosen, s.place) for s in self.steps
                                  if s.role in ("step", "scaler.step") and self._before(s.place, chosen))])  # fmt: skip
        own = [i for i in slices if i > barrier]
        carrying = [i for i in own if self._carries(chosen.block[i])]
        again = [chosen.block[i] for i in slices if i <= barrier and self._depends_on_carrying(chosen, slices, i)]
        if not carrying and not whole and chosen.block is not step.place.block:
            self._refuse(step, "its forward pass lies before another step")
            return
        first = carrying[0] if carrying else chosen.index
        region = chosen.block[first : max(own, default=first - 1) + 1] if carrying or whole else []
        problem = self._problem(region, again) or self._kept_problem(region, again) or self._outer_problem(step, chain, chosen, needed, region)
        if problem:
            self._refuse(step, problem)
            return
        step.region, step.again, step.found = region, again, True

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
        step.region, step.again, step.found = region, again, True

    def _refuse(self, step: Backward, why: str, help: str = FORWARD_HELP) -> None:
        self.rewriter.report(step.place.node, "MSP210", f"this backward pass cannot become a gradient function: {why}", help)

    def _name_saved(self, step: Backward, read: list[ast.AST]) -> None:
        """Names the list that the loss is made of where another function fills it, as the episodes of policy gradients do."""
        saved = {n.attr: ast.unparse(n) for root in read for n in walk(root) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)}
        filled: dict[str, str] = {}
        for function in self.rewriter.program.functions.values():
            if isinstance(function.node, ast.FunctionDef) and function.node is not self.node:
                grown = {key.rpartition(".")[2] for key in containers_grown(function.node)}
                filled |= {saved[attribute]: function.node.name for attribute in sorted(grown & saved.keys())}
        if filled:
            told = " and ".join(f"{name} ({by})" for name, by in filled.items())
            self._refuse(step, f"the loss is made of what other functions keep: {told}", SAVED_HELP)

    def _slice(self, place: Place, needed: set[str]) -> list[int]:
        """Indices of the statements before a place, in its block, that compute what is needed; `needed` grows."""
        chosen = []
        for index in range(place.index - 1, -1, -1):
            statement = place.block[index]
            if names_bound(statement) & needed or containers_grown(statement) & needed:
                chosen.append(index)
                if isinstance(statement, ast.With) and no_grad.is_block(self.rewriter.program, self.rewriter.module, statement):
                    needed -= surely_bound(statement)  # constants, whatever they come from
                    continue
                if not isinstance(statement, ast.AugAssign):
                    simple = names_bound(statement) if isinstance(statement, ast.Assign) else set()
                    needed -= simple - names_read(statement)
                needed |= names_read(statement)
        return sorted(chosen)

    def _depends_on_carrying(self, place: Place, slices: list[int], index: int) -> bool:
        carried: set[str] = set()
        for i in slices:
            statement = place.block[i]
            carries = self._carries(statement) or bool(names_read(statement) & carried)
            if carries:
                carried |= names_bound(statement) | containers_grown(statement)
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
            for node in walk(statement):
                if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom | ast.Await | ast.Global | ast.Nonlocal | ast.Delete):
                    return "a statement between leaves it or changes names outside"
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in self.leaves.made:
                    return f"{node.id} is made or changed in it"
                if isinstance(node, ast.Break | ast.Continue) and not any(
                    isinstance(n, ast.For | ast.While) and node in walk(n) for n in walk(statement)
                ):
                    return "a statement between leaves the loop"
        return ""

    def _kept_problem(self, region: list[ast.stmt], again: list[ast.stmt]) -> str:
        """What another function keeps is computed again in the gradient function, so it must be read there only."""
        inside = {id(n) for s in region for n in walk(s)}
        return "a list that another function fills is read outside of it" if self.kept_reads and (again or self.kept_reads - inside) else ""

    def _outer_problem(self, step: Backward, chain: list[Place], chosen: Place, needed: set[str], region: list[ast.stmt]) -> str:
        """A tensor that carries a gradient into the region from somewhere else would silently lose it."""
        program, module = self.rewriter.program, self.rewriter.module
        held = set() if reads_gradients(self.node) else self._held_by(self._consumers(step))

        def carries(statement: ast.stmt) -> bool:
            return self._carries(statement) and not (held and apart_from(self.rewriter, self.node, statement, held))

        inflow = Inflow(carries, lambda node: no_grad.is_block(program, module, node), self._may_hold, self._is_bare)
        for place in reversed(chain[: chain.index(chosen)]):
            _enter(place, needed)
            inflow.follow(place.block[: place.index], needed)
        if inflow.found:
            return f"{', '.join(sorted(inflow.found))} carries a gradient into the loop from outside"
        for statement in region:
            for node in walk(statement):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                    if isinstance(node.ctx, ast.Load) and K.is_tensor(self._kinds(node)) and self._assigned_elsewhere(node, region):
                        return f"self.{node.attr} carries a gradient from another method"
        return ""

    def _may_hold(self, target: ast.expr) -> bool:
        known = self._kinds(target)
        return K.is_tensor(known) or any(k.name in ("list", "dict", "tuple") and any(map(K.is_tensor, k.items)) for k in known)

    def _is_bare(self, target: ast.expr) -> bool:
        return K.proven(self._kinds(target), frozenset({"int", "float", "bool", "str", "ndarray", "dtype", "device", "Size"}))

    def _assigned_elsewhere(self, node: ast.Attribute, region: list[ast.stmt]) -> bool:
        own = {id(n) for s in region for n in walk(s)}
        if any(isinstance(n, ast.Attribute) and n.attr == node.attr and isinstance(n.ctx, ast.Store) for s in region for n in walk(s)):
            return False
        for statement in walk(self.rewriter.module.tree):
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
        if self.kept_reads and any(id(n) in self.kept_reads for n in walk(statement)):
            return True
        apart = no_grad.outside(self.rewriter.program, self.rewriter.module, statement)
        if self.held & names_read(statement) and any(id(n) not in apart for n in walk(statement) if dotted_text(n) in self.held):
            return True
        if any(self._carrying_call(n) for n in walk(statement) if isinstance(n, ast.Call) and id(n) not in apart):
            return True
        return bool(self.leaves.made) and not apart and self._is_computed(statement) and bool(self._leaves_in([statement]))

    def _is_computed(self, statement: ast.stmt) -> bool:
        """Whether a statement may compute from a leaf; what makes or lists the leaves does not."""
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            return self.leaves.made.get(name) is not statement and name not in self.leaves.held
        return not isinstance(statement, ast.Import | ast.ImportFrom)

    def _carries_expression(self, node: ast.expr) -> bool:
        if any(self._carrying_call(n) for n in walk(node) if isinstance(n, ast.Call)):
            return True
        return bool(self.held & names_read(node)) or bool(self.leaves.made and self._leaves_in([node]))

    def _leaves_in(self, nodes: Iterable[ast.AST]) -> set[str]:
        """The leaves that statements compute from, in functions of this module that they call too."""
        found: set[str] = set()
        pending: list[tuple[ast.AST, set[str]]] = [(n, parameter_names(self.node)) for n in nodes]
        seen = set[str]()
        while pending:
            node, given = pending.pop()
            found |= self.leaves.read(n for n in names_read(node) if n.partition(".")[0] not in given)
            for called in (n.func for n in walk(node) if isinstance(n, ast.Call)):
                for kind in self._kinds(called) if isinstance(called, ast.Name | ast.Attribute) else ():
                    function = self.rewriter.program.functions.get(kind.of) if kind.name in ("function", "bound") else None
                    if function is not None and kind.of not in seen and function.module is self.rewriter.module:
                        seen.add(kind.of)
                        body = function.node.body if isinstance(function.node.body, list) else [function.node.body]
                        pending += [(n, parameter_names(function.node)) for n in body]
        return found

    def _own_leaves(self, step: Backward) -> list[str]:
        """The leaves that the loss reaches and that take their gradients from no optimizer: they are changed by hand, or looked at."""
        if not self.leaves.made or (step.optimizers and not reads_gradients(self.rewriter.module.tree)):
            return []
        held: set[str] = set()
        for optimizer in step.optimizers:
            made = [n.value for n in walk(self.rewriter.module.tree)
                    if isinstance(n, ast.Assign) and optimizer in [ast.unparse(t) for t in n.targets]]  # fmt: skip
            held |= self.leaves.read(n.id for m in made for n in walk(m) if isinstance(n, ast.Name))
        return sorted(self._leaves_in(step.computing) - held, key=list(self.leaves.made).index)

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
        for node in walk(self.rewriter.module.tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
                if ast.unparse(node.value.args[0]) == f"{network}.parameters()":
                    found += [ast.unparse(t) for t in node.targets]
        return found

    def _watched(self, step: Backward) -> list[str]:
        """Networks whose gradients are clipped or read, beside those parameters that the optimizers hold."""
        networks = {s.optimizer.removesuffix(".parameters()") for s in self.steps if s.role.startswith("clip")}
        if reads_gradients(self.node):
            networks |= networks_in(self.rewriter, step.computing)
        if reads_gradients(self.node):
            # a step by hand reads the gradients, whether or not there is an optimizer
            step.optimizers = [o for o in step.optimizers if not any(o in self._optimizers_of(n) for n in networks)]
            return sorted(n for n in networks if n.replace(".", "").replace("_", "").isalnum() and self._called(n, step))
        held = {n for n in networks if any(o in self._optimizers_of(n) for o in step.optimizers)}
        return sorted(n for n in networks - held if step.optimizers and n.replace(".", "").replace("_", "").isalnum() and self._called(n, step))

    def _reached_part(self, step: Backward) -> list[str]:
        """The networks that the loss runs through, where its optimizers hold others as well: theirs keep no gradient, as in torch."""
        held = self._held_by(step.optimizers)
        statements = step.computing
        called = networks_in(self.rewriter, statements)
        own = {c for c in called if any(c == h or c.startswith(f"{h}.") for h in held)}
        bound = {name for p in step.place.around if isinstance(p.node, ast.For | ast.While) for name in plain_binds(p.node)}
        if not own or held <= own or called - own or {c.partition(".")[0] for c in own} & bound:
            return []  # a network under another name may be one of those held
        ran = [n.func for s in statements for n in ast.walk(s) if isinstance(n, ast.Call) and ast.unparse(n.func) in called]
        inside = {id(n) for func in ran for n in ast.walk(func)}
        roots = {h.partition(".")[0] for h in held}
        if any(isinstance(n, ast.Name) and n.id in roots and id(n) not in inside for s in statements for n in ast.walk(s)):
            return []  # parameters are read outside of the calls
        calls = [n for s in statements for n in ast.walk(s) if isinstance(n, ast.Call) and self._carrying_call(n)]
        direct = all(ast.unparse(c.func) in called or not self._may_hold_parameters(c.func) for c in calls)
        return sorted(own) if direct else []

    def _may_hold_parameters(self, node: ast.expr) -> bool:
        known = self._kinds(node)
        return K.is_unknown(known) or has_parameters(self.rewriter, known)

    def _held_by(self, optimizers: list[str]) -> set[str]:
        """Networks whose `parameters()` the optimizers were made from; nothing where one is made in another way."""
        found: set[str] = set()
        for optimizer in optimizers:
            made = [n.value for n in ast.walk(self.rewriter.module.tree)
                    if isinstance(n, ast.Assign) and optimizer in [ast.unparse(t) for t in n.targets]]  # fmt: skip
            if len(made) != 1 or not isinstance(made[0], ast.Call):
                return set()
            for node in ast.walk(made[0]):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "parameters":
                    found.add(ast.unparse(node.func.value))
        return found

    def _may_overlap(self, optimizers: list[str]) -> bool:
        """Whether several optimizers may hold the same parameters, which then still take one gradient."""
        held = [self._held_by([o]) for o in optimizers]
        together = [network for networks in held for network in networks]
        nested = any(a != b and a.startswith(f"{b}.") for a in together for b in together)
        return len(optimizers) > 1 and (not all(held) or len(set(together)) < len(together) or nested)

    def _called(self, network: str, step: Backward) -> bool:
        return network in networks_in(self.rewriter, step.computing)

    def _is_simple(self, step: Backward, found: list[Backward]) -> bool:
        """One backward, then one step, in one block, with nothing kept from one step to the next."""
        if len(step.optimizers) != 1 or len(found) != 1 or reads_gradients(self.node):
            return False
        optimizer, block = step.optimizers[0], step.place.block
        steps = [s for s in self.steps if s.role in ("step", "scaler.step", "closure") and s.optimizer == optimizer]
        if len(steps) != 1 or steps[0].role == "closure" or steps[0].place.block is not block or steps[0].place.index < step.place.index:
            return False
        if self._is_own(steps[0]):
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

    def _is_own(self, step: Step) -> bool:
        """Whether a step is that of a class of the program, which reads the gradients from the parameters."""
        holder = step.call.func.value if step.role == "step" and isinstance(step.call.func, ast.Attribute) else None
        return holder is not None and any(k.of in self.rewriter.program.classes for k in self._kinds(holder))

    def _is_of_another(self, event: Step, optimizer: str) -> bool:
        """Whether a statement steps or clears another optimizer, whose backward pass was refused."""
        if event.role in ("zero_grad", "step", "scaler.step", "scaler.unscale_"):
            return event.optimizer != optimizer
        return event.role == "network.zero_grad" and bool(others := self._optimizers_of(event.optimizer)) and optimizer not in others

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
            suffix = "_" + ast.unparse(step.loss).replace("self.", "") if target_like(step.loss) else f"_{number + 1}"
            suffix = "".join(c if c.isidentifier() or c.isdigit() else "_" for c in suffix)
            if any(b.names[0] == f"forward{suffix}" for b in found if b is not step):
                suffix += f"_{number + 1}"
        names = ("forward_fn", "grad_fn", "grads") if not suffix else (f"forward{suffix}", f"grad{suffix}", f"grads{suffix}")
        step.names = tuple(fresh_name(n, taken) for n in names)  # type: ignore[assignment]

    def _find_names(self, step: Backward) -> None:
        step.anchor = self._anchor(step)
        statements = [*step.again, *step.region]
        bound = set().union(*(plain_binds(s) for s in statements))
        apart = [*step.region, *([step.place.node] if step.expression else [])]
        last = step.region[-1] if step.region else step.place.node

        def later(name: str) -> bool:
            return read_later(self.node, name, apart, last)

        free = free_first(step.computing, later)
        inner = plain_binds_of(step.anchor) if isinstance(step.anchor, ast.For | ast.While) else set()
        local = inner | (parameter_names(self.node) if step.anchor is None else set())
        nested = bound & names_in_scope(self.node, statements)
        # what only some ways bind and is read behind has a value on the others too
        sometimes = {n for n in free if n in bound and later(n)}
        step.inputs = sorted((n for n in free if n in local | nested | sometimes and n not in self.leaves.made), key=free.index)
        if not isinstance(step.anchor, ast.For | ast.While):
            step.inputs = [n for n in step.inputs if n in bound]
        kept = plain_binds_in_order(step.region)
        loss = ast.unparse(step.loss)
        carried = set(free_first(step.region, later)) if any(isinstance(p.node, ast.For | ast.While) for p in step.place.around) else set()
        outputs = [n for n in kept if n != loss and (n in carried or later(n))]
        if step.scaler is not None and target_like(step.loss) and loss in bound and read_later(
            self.node, loss, [*step.region, step.place.node], last
        ):  # fmt: skip
            outputs.insert(0, loss)
        step.outputs = outputs
        self._close_over_grown(step)
        # beside the loss value_and_grad takes at least one tensor or container: None and numbers alone go in a tuple
        step.bundled = bool(step.outputs) and not any(self._is_surely_tensor(n, step) for n in step.outputs)
        self._find_unset(step)

    def _close_over_grown(self, step: Backward) -> None:
        """A list that the region adds to is no argument: MindSpore finds no gradient where one changes, and its name means the same."""
        nodes = [n for s in [*step.again, *step.region] for n in own_nodes(s)]
        extended = [n for n in nodes if isinstance(n, ast.AugAssign) and isinstance(n.op, ast.Add) and isinstance(n.target, ast.Name)
                    and K.proven(self._kinds(n.target), frozenset({"list"}))]  # fmt: skip
        targets = {id(n.target) for n in extended}
        bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and id(n) not in targets}
        grown = {n.target.id for n in extended if isinstance(n.target, ast.Name)}
        grown = (grown | set().union(*(containers_grown(s) for s in [*step.again, *step.region]))) - bound
        step.inputs = [n for n in step.inputs if n not in grown]
        step.outputs = [n for n in step.outputs if n not in grown]
        self.training.extended |= {id(n) for n in extended if isinstance(n.target, ast.Name) and n.target.id in grown}

    def _is_surely_tensor(self, name: str, step: Backward) -> bool:
        """Whether a name holds a tensor behind the region, whichever way the region takes."""
        if name == ast.unparse(step.loss):
            return True
        if name not in all_bound(step.region):
            return False
        bindings = [s for s in step.region if name in plain_binds(s)]
        uses = [n for n in walk(self.node) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
        known = [found for n in uses if (found := self.rewriter.kinds(n))]
        if known and all(K.is_tensor(k) for k in known):
            return True
        # a network may give an array or a number beside its tensors
        bare = any(K.proven(k, frozenset({"int", "float", "bool", "str", "ndarray"})) for k in known)
        return not bare and any(isinstance(s, ast.Assign) and self._carries(s) for s in bindings)

    def _find_unset(self, step: Backward) -> None:
        """Inputs that some ways leave unbound: torch's statements read them on the other ways only, a call reads them always."""
        anchor = step.anchor if step.anchor is not None else step.first
        chain = [*step.place.around, step.place]
        bound = parameter_names(self.node)
        conditional: dict[str, ast.stmt] = {}
        for place in chain:
            before = place.block[: place.index] if place.node is not step.place.node else [s for s in place.block if s.lineno < step.first.lineno]
            for statement in before:
                for name in plain_binds(statement) - surely_bound(statement) - loop_targets(statement):
                    conditional.setdefault(name, statement)
                bound |= surely_bound(statement) | loop_targets(statement)
            bound |= loop_targets(place.node)
        for name in step.inputs:
            if name in bound:
                continue
            first = conditional.get(name)
            if first is not None and first.lineno < anchor.lineno:
                self.training.unset.setdefault(id(first), []).append(name)
            elif first is None and name not in names_in_scope(self.node, [*step.region, *step.again]):
                step.unset.append(name)

    def _anchor(self, step: Backward) -> ast.stmt | None:
        """The outermost loop around the step in which its optimizers are not made anew."""
        loops = [p.node for p in step.place.around if isinstance(p.node, ast.For | ast.While)]
        roots = {o.partition(".")[0] for o in step.optimizers}
        made = [self.leaves.made[n] for n in step.leaves]
        for loop in loops:
            if not roots & plain_binds_of(loop) and not any(m in walk(loop) for m in made):
                chosen = any(isinstance(p.node, ast.If) and p.node.lineno > loop.lineno for p in step.place.around)
                return None if chosen and self._may_be_unbound(roots, loop) else loop
        return None

    def _may_be_unbound(self, names: set[str], loop: ast.stmt) -> bool:
        """Whether only some ways to a loop make an optimizer: its gradient function stands where it is needed then."""
        before = [s for s in self.node.body if s.lineno < loop.lineno]
        while before and loop.lineno <= (before[-1].end_lineno or 0):
            around = before.pop()
            inside = [s for block in ("body", "orelse") for s in getattr(around, block, []) if s.lineno < loop.lineno]
            if not inside:
                break
            before += inside
        some = set().union(*(plain_binds(s) for s in before if not isinstance(s, ast.FunctionDef | ast.ClassDef)))
        return bool(names & (some - all_bound(before)))

    def _register(self, step: Backward) -> None:
        training = self.training
        training.starts.setdefault(id(step.anchor if step.anchor is not None else step.first), []).append(step)
        if step.region:
            training.replaced[id(step.region[0])] = ("region", step)
        training.covered |= {id(s) for s in step.region[1:]}
        training.replaced[id(step.place.node)] = ("backward", step)
        for event in self.steps:
            if step.simple and self._is_of_another(event, step.optimizers[0]):
                continue
            if step.simple and event.role in ("zero_grad", "network.zero_grad", "scaler.unscale_"):
                training.removed.add(id(event.place.node))
            elif (step.simple and event.role in ("step", "scaler.step", "clip_norm", "clip_value")) or (not step.simple and event.role == "network.zero_grad"):
                training.replaced[id(event.place.node)] = (event.role, step)


def _enter(place: Place, needed: set[str]) -> None:
    """What the head of a loop binds for the statements inside it, and reads itself."""
    if isinstance(place.node, ast.For):
        needed -= loop_targets(place.node)
        needed |= names_read(place.node.iter)


def fresh_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
