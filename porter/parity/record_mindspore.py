"""Records a ported Cell as its torch original is recorded, in PYNATIVE or GRAPH mode, under torch's names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from porter.parity.ported import differentiate, float_paths, set_mode

# ruff: isort: split
import mindspore
from mindspore import nn

from porter.parity.compare import Tensor
from porter.parity.leaves import flatten, leaf, outputs
from porter.parity.models import LayerCall, Mode, Plan, Recording
from porter.parity.naming import Places
from porter.parity.samples import Array
from porter.parity.training import train_mindspore

_FUSED = ("Conv2dBnAct", "DenseBnAct")


class Recorder:
    """Forward hooks on every cell; which of them stand for a torch layer is decided by path when comparing."""

    def __init__(self, cell: nn.Cell) -> None:
        self.calls: list[LayerCall] = []
        self._handles: list[Any] = []
        for path, layer in cell.cells_and_names():
            if path:
                self._handles.append(layer.register_forward_hook(self._leave(path)))

    def _leave(self, path: str) -> Any:
        def hook(layer: nn.Cell, inputs: Any, output: Any) -> None:
            self.calls.append(
                LayerCall(path, type(layer).__name__, float_leaves(output), fused_layers(layer))
            )

        return hook

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()


def fused_layers(layer: nn.Cell) -> int:
    """How many further torch layers a fused cell computes: its normalisation and its activation."""
    if not any(c.__name__ in _FUSED for c in type(layer).__mro__):
        return 0
    activation = getattr(layer, "activation", None)
    return int(bool(getattr(layer, "has_bn", False))) + int(activation is not None)


def float_leaves(value: Any) -> tuple[Tensor, ...]:
    found = (leaf(item) for _, item in flatten(value) if isinstance(item, mindspore.Tensor))
    return tuple(t for t in found if t.dtype.startswith(("float", "bfloat", "complex")))


def put_weights(places: Places, state: Mapping[str, Tensor]) -> None:
    """Writes torch's weights into the Cell. Raises InputError for one of another shape."""
    for name, place in places.items():
        place.put(name, state[name].array)


@dataclass(frozen=True)
class Subject:
    """What is observed: a Cell, the arrays it is given, the batches it is trained on, and its weights' torch names."""

    cell: nn.Cell
    inputs: Sequence[Array]
    batches: Sequence[Sequence[Array]]
    places: Places


def record(subject: Subject, plan: Plan, mode: Mode) -> Recording:
    """Observes a Cell; training steps come last, and its weights are put back afterwards.

    Layers are recorded in PYNATIVE mode only: a compiled graph has no layers to hook.
    """
    cell = subject.cell
    saved = {name: p.asnumpy().copy() for name, p in cell.parameters_and_names()}
    set_mode(mode)
    try:
        cell.set_train(plan.train_mode)
        value, layers, seconds = _forward(subject, plan.layers and mode == "PYNATIVE")
        gradients: dict[str, Tensor] = {}
        if plan.gradients:
            _restore(cell, saved)
            gradients = _gradients(subject, value)
        losses: tuple[float, ...] = ()
        trained: dict[str, Tensor] = {}
        if subject.batches:
            _restore(cell, saved)
            losses = train_mindspore(cell, subject.batches, plan)
            trained = {name: place.take(leaf(place.parameter)) for name, place in subject.places.items()}
        return Recording(outputs(value), layers, gradients, losses, trained, seconds=seconds)
    finally:
        _restore(cell, saved)
        cell.set_train(plan.train_mode)
        set_mode("PYNATIVE")


def _restore(cell: nn.Cell, saved: Mapping[str, Array]) -> None:
    for name, parameter in cell.parameters_and_names():
        parameter.set_data(mindspore.Tensor(saved[name]).astype(parameter.dtype))


def _forward(subject: Subject, layers: bool) -> tuple[Any, tuple[LayerCall, ...], float]:
    recorder = Recorder(subject.cell) if layers else None
    started = time.perf_counter()
    value = subject.cell(*(mindspore.Tensor(np.array(a)) for a in subject.inputs))
    outputs(value)  # waits for the values
    seconds = time.perf_counter() - started
    if recorder:
        recorder.close()
    return value, tuple(recorder.calls) if recorder else (), seconds


def _gradients(subject: Subject, value: Any) -> dict[str, Tensor]:
    given = {f"x{i}": mindspore.Tensor(np.array(a)) for i, a in enumerate(subject.inputs)}
    return differentiate(subject.cell, given, float_paths(value), subject.places)[1]
