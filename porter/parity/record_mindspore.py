"""Records a ported Cell as its torch original is recorded, in PYNATIVE or GRAPH mode, under torch's names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from porter.parity.ported import differentiate, float_paths, set_mode

# ruff: isort: split
import mindspore
from mindspore import nn

from porter.diagnostics import InputError
from porter.parity.compare import Tensor
from porter.parity.leaves import flatten, leaf, outputs
from porter.parity.models import LayerCall, Mode, Plan, Recording
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
            self.calls.append(LayerCall(path, type(layer).__name__, float_leaves(output), fused_layers(layer)))

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


# --- weights -------------------------------------------------------------------------------------------------------

Names = Mapping[str, tuple[str, str]]


def weight_names(cell: nn.Cell, state: Mapping[str, Tensor]) -> dict[str, tuple[str, str]]:
    """MindSpore's parameter name, and an index such as `[:, :, None]`, of each torch name that has a place in the Cell."""
    from porter.parity.naming import rename

    return rename(cell, state)


def put_weights(cell: nn.Cell, state: Mapping[str, Tensor], names: Names) -> None:
    """Writes torch's weights into the Cell. Raises InputError for one of another shape."""
    parameters = dict(cell.parameters_and_names())
    for name, (ported, index) in names.items():
        array = indexed(state[name].array, index)
        parameter = parameters[ported]
        if tuple(parameter.shape) != array.shape:
            raise InputError(
                f"{name} has shape {list(array.shape)} in torch, {ported} has {list(parameter.shape)} in the Cell",
                "build both sides with the same arguments",
            )
        parameter.set_data(mindspore.Tensor(np.ascontiguousarray(array).reshape(array.shape)).astype(parameter.dtype))


def indexed(array: Array, index: str) -> Array:
    """The array with an axis inserted (or taken) as a row's weight says."""
    return eval(f"array{index}", {"array": array}) if index else array  # type: ignore[no-any-return]


def _back(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor of the Cell in the shape that torch gives it: inserted axes have length 1."""
    return Tensor(tensor.array.reshape(shape), tensor.dtype) if tensor.shape != shape else tensor


# --- runs ----------------------------------------------------------------------------------------------------------


def record(
    cell: nn.Cell,
    inputs: Sequence[Array],
    plan: Plan,
    batches: Sequence[Sequence[Array]],
    mode: Mode,
    names: Names,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Recording:
    """Observes a Cell; training steps come last, and its weights are put back afterwards.

    Layers are recorded in PYNATIVE mode only: a compiled graph has no layers to hook.
    """
    saved = {name: p.asnumpy().copy() for name, p in cell.parameters_and_names()}
    set_mode(mode)
    try:
        return _record(cell, inputs, plan, batches, mode, names, shapes or {}, saved)
    finally:
        _restore(cell, saved)
        cell.set_train(plan.train_mode)
        set_mode("PYNATIVE")


def _restore(cell: nn.Cell, saved: Mapping[str, Array]) -> None:
    for name, parameter in cell.parameters_and_names():
        parameter.set_data(mindspore.Tensor(saved[name]))


def _record(
    cell: nn.Cell,
    inputs: Sequence[Array],
    plan: Plan,
    batches: Sequence[Sequence[Array]],
    mode: Mode,
    names: Names,
    shapes: Mapping[str, tuple[int, ...]],
    saved: Mapping[str, Array],
) -> Recording:
    cell.set_train(plan.train_mode)
    recorder = Recorder(cell) if plan.layers and mode == "PYNATIVE" else None
    started = time.perf_counter()
    value = cell(*(mindspore.Tensor(np.array(a)) for a in inputs))
    observed = outputs(value)
    seconds = time.perf_counter() - started
    if recorder:
        recorder.close()
    gradients: dict[str, Tensor] = {}
    if plan.gradients:
        _restore(cell, saved)
        placed = {name: ported for name, (ported, _) in names.items()}
        given = {f"x{i}": mindspore.Tensor(np.array(a)) for i, a in enumerate(inputs)}
        _, gradients = differentiate(cell, given, float_paths(value), placed)
    losses: tuple[float, ...] = ()
    trained: dict[str, Tensor] = {}
    if batches:
        _restore(cell, saved)
        losses = train_mindspore(cell, batches, plan)
        parameters = dict(cell.parameters_and_names())
        trained = {name: leaf(parameters[ported]) for name, (ported, _) in names.items()}
    return Recording(
        observed,
        tuple(recorder.calls) if recorder else (),
        _in_torch_shapes(gradients, shapes),
        losses,
        _in_torch_shapes(trained, shapes),
        seconds=seconds,
    )


def _in_torch_shapes(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: _back(t, shapes[name]) if name in shapes else t for name, t in tensors.items()}
