"""Compares a PyTorch model with its port, layer by layer: outputs, gradients, and what training does to both."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from porter.parity.compare import (
    Comparison,
    Tensor,
    compare,
    first_failure,
    largest_difference,
    missing,
    tolerance_for,
)
from porter.parity.leaves import compare_named
from porter.parity.samples import Array, InputSpec

if TYPE_CHECKING:
    import mindspore.nn
    import torch

Mode = Literal["PYNATIVE", "GRAPH"]
Optimizer = Literal["sgd", "adam"]


@dataclass(frozen=True)
class Tolerances:
    """Relative differences that rounding explains in float32; coarser dtypes get their own threshold."""

    output: float = 1e-4
    gradient: float = 1e-3
    loss: float = 1e-3
    trained: float = 1e-2

    def of(self, wanted: float, *tensors: Tensor) -> float:
        return max(wanted, tolerance_for(*(t.dtype for t in tensors if t.dtype != "float64")))


@dataclass(frozen=True)
class Plan:
    """What to observe of a model: each layer's output, gradients, `steps` training steps."""

    layers: bool = True
    gradients: bool = False
    steps: int = 0
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.01
    train_mode: bool = False


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: its path, the name of its class, and its float outputs; `takes` further layers stand in it."""

    path: str
    kind: str
    tensors: tuple[Tensor, ...]
    takes: int = 0


@dataclass(frozen=True)
class Recording:
    """All that was observed on one side; gradients and weights have torch's names."""

    outputs: Mapping[str, Tensor]
    layers: tuple[LayerCall, ...] = ()
    gradients: Mapping[str, Tensor] = field(default_factory=dict)
    losses: tuple[float, ...] = ()
    trained: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True)
class LayerDifference:
    """A layer's outputs on both sides; `comparison` is None where the port has no layer at that path."""

    path: str
    kind: str
    comparison: Comparison | None
    fused_with: str = ""

    @property
    def passed(self) -> bool:
        return self.comparison is None or self.comparison.passed


@dataclass(frozen=True)
class ModelParity:
    """The verdict on one model in one mode."""

    mode: Mode
    outputs: tuple[Comparison, ...]
    layers: tuple[LayerDifference, ...] = ()
    gradients: tuple[Comparison, ...] = ()
    losses: tuple[Comparison, ...] = ()
    trained: tuple[Comparison, ...] = ()
    seconds: tuple[float, float] = (0.0, 0.0)

    @property
    def passed(self) -> bool:
        """Whether outputs, gradients, losses and trained weights agree; layers only tell where they part."""
        return first_failure([*self.outputs, *self.gradients, *self.losses, *self.trained]) is None

    @property
    def first_difference(self) -> LayerDifference | None:
        """The first layer, in the order of the calls, that differs by more than the tolerance."""
        return next((layer for layer in self.layers if not layer.passed), None)

    @property
    def largest(self) -> float:
        return largest_difference(self.outputs)

    @property
    def verdict(self) -> str:
        """One sentence: equal, or what differs and where it starts."""
        if self.passed:
            parts = [f"outputs equal within {self.largest:.1e}"]
            if self.gradients:
                parts.append(f"gradients within {largest_difference(self.gradients):.1e}")
            if self.losses:
                parts.append(f"{len(self.losses)} losses within {largest_difference(self.losses):.1e}")
                parts.append(f"trained weights within {largest_difference(self.trained):.1e}")
            return f"{self.mode}: {', '.join(parts)}"
        bad = first_failure([*self.outputs, *self.gradients, *self.losses, *self.trained])
        layer = self.first_difference
        where = f"differs first at {layer.path} ({layer.kind}); " if layer else ""
        return f"{self.mode}: {where}{bad}"


def compare_recordings(
    reference: Recording, ported: Recording, mode: Mode = "PYNATIVE", tolerances: Tolerances | None = None
) -> ModelParity:
    """The verdict on two recordings of the same inputs, weights and plan."""
    limits = tolerances or Tolerances()
    return ModelParity(
        mode=mode,
        outputs=_compare_outputs(reference.outputs, ported.outputs, limits),
        layers=compare_layers(reference.layers, ported.layers, limits) if ported.layers else (),
        gradients=_compare_all("gradient of", reference.gradients, ported.gradients, limits.gradient),
        losses=_compare_losses(reference.losses, ported.losses, limits.loss),
        trained=_compare_all("trained", reference.trained, ported.trained, limits.trained),
        seconds=(reference.seconds, ported.seconds),
    )


def _compare_outputs(
    reference: Mapping[str, Tensor], ported: Mapping[str, Tensor], limits: Tolerances
) -> tuple[Comparison, ...]:
    found = []
    for path, tensor in reference.items():
        name = f"output {path}".strip()
        other = ported.get(path)
        if other is None:
            found.append(missing(name))
        else:
            rtol = limits.of(limits.output, tensor, other)
            found.append(compare(tensor, other, name=name, rtol=rtol, loose_dtype=_integers(tensor, other)))
    return tuple(found)


def _integers(*tensors: Tensor) -> bool:
    """MindSpore's indices are int32 where torch's are int64: the same numbers."""
    return all(t.array.dtype.kind in "iu" for t in tensors)


def _compare_all(
    what: str, reference: Mapping[str, Tensor], ported: Mapping[str, Tensor], rtol: float
) -> tuple[Comparison, ...]:
    return tuple(compare_named(what, reference, ported, rtol=rtol, loose_dtype=True)) if ported else ()


def _compare_losses(
    reference: Sequence[float], ported: Sequence[float], rtol: float
) -> tuple[Comparison, ...]:
    import numpy as np

    pairs = zip(reference, ported, strict=False)
    return tuple(
        compare(
            Tensor(np.asarray(a), "float"),
            Tensor(np.asarray(b), "float"),
            name=f"loss of step {i}",
            rtol=rtol,
        )
        for i, (a, b) in enumerate(pairs, start=1)
    )


# --- layers --------------------------------------------------------------------------------------------------------


def compare_layers(
    reference: Sequence[LayerCall], ported: Sequence[LayerCall], limits: Tolerances
) -> tuple[LayerDifference, ...]:
    """Every reference layer, in the order of its calls, with the ported layer at the same path.

    A fused cell stands at its convolution's path and its output is that of the last layer it takes in.
    """
    calls: dict[str, deque[LayerCall]] = {}
    for ported_call in ported:
        calls.setdefault(ported_call.path, deque()).append(ported_call)
    names = _numbered(reference)
    paths = list(names)
    inside: dict[int, tuple[str, LayerCall]] = {}
    found: list[LayerDifference] = []
    for at, (path, call) in enumerate(names.items()):
        waiting = calls.get(call.path)
        other = waiting.popleft() if waiting and at not in inside else None
        if other is not None and other.takes:
            last = min(at + other.takes, len(paths) - 1)
            inside |= {i: (paths[last], other) for i in range(at, last + 1)}
        fused_with, fused = inside.get(at, ("", None))
        if fused is not None and fused_with != path:
            found.append(LayerDifference(path, call.kind, None, fused_with))
            continue
        other = fused or other
        found.append(
            LayerDifference(path, call.kind, _compare_call(path, call, other, limits) if other else None)
        )
    return tuple(found)


def _numbered(calls: Sequence[LayerCall]) -> dict[str, LayerCall]:
    """Calls by path; the second call of a layer is `path#2`."""
    found: dict[str, LayerCall] = {}
    times: dict[str, int] = {}
    for call in calls:
        times[call.path] = times.get(call.path, 0) + 1
        found[call.path if times[call.path] == 1 else f"{call.path}#{times[call.path]}"] = call
    return found


def _compare_call(path: str, reference: LayerCall, ported: LayerCall, limits: Tolerances) -> Comparison:
    """The worst of the layer's tensors."""
    if len(reference.tensors) != len(ported.tensors):
        return missing(path)
    compared = [
        compare(a, b, name=path, rtol=limits.of(limits.output, a, b), loose_dtype=True)
        for a, b in zip(reference.tensors, ported.tensors, strict=False)
    ]
    worst = first_failure(compared) or max(compared, key=lambda c: c.difference, default=None)
    return worst or missing(path)


# --- both sides in one process -------------------------------------------------------------------------------------


def compare_models(
    reference: torch.nn.Module,
    cell: mindspore.nn.Cell,
    inputs: Sequence[Array],
    *,
    plan: Plan | None = None,
    batches: Sequence[Sequence[Array]] | None = None,
    modes: Sequence[Mode] = ("PYNATIVE",),
    tolerances: Tolerances | None = None,
    transfer: bool = True,
) -> tuple[ModelParity, ...]:
    """Runs a torch module and its ported Cell on the same arrays, once in each mode.

    `transfer` puts the module's weights into the Cell first; without it the Cell keeps what it has loaded.
    `batches` are the inputs of each training step (the given inputs, over and over, where they are absent).
    """
    from porter.parity import record_mindspore, record_torch
    from porter.parity.naming import places_in
    from porter.table import load_table

    plan = plan or Plan()
    steps = list(batches) if batches is not None else [inputs] * plan.steps
    recorded = record_torch.record(reference, inputs, plan, steps)
    places = places_in(cell, recorded.state, load_table())
    subject = record_mindspore.Subject(cell, inputs, steps, places)
    if transfer:
        record_mindspore.put_weights(places, recorded.state)
    return tuple(
        compare_recordings(recorded, record_mindspore.record(subject, plan, mode), mode, tolerances)
        for mode in modes
    )


def specs_shown(specs: Sequence[InputSpec]) -> str:
    return " ".join(str(spec) for spec in specs)
