"""Records a PyTorch model: each layer's output in the order of the calls, gradients, and a short training."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from porter.parity.compare import Tensor
from porter.parity.leaves import flatten, leaf, outputs
from porter.parity.models import LayerCall, Plan, Recording
from porter.parity.reference import differentiate
from porter.parity.samples import Array
from porter.parity.training import train_torch


class Recorder:
    """Forward hooks that keep the outputs of leaves, and of modules none of whose parts was called."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.calls: list[LayerCall] = []
        self._open: list[int] = []
        self._handles: list[Any] = []
        for path, layer in module.named_modules():
            if path:
                self._handles.append(layer.register_forward_pre_hook(self._enter))
                self._handles.append(layer.register_forward_hook(self._leave(path)))

    def _enter(self, layer: torch.nn.Module, inputs: Any) -> None:
        self._open.append(len(self.calls))

    def _leave(self, path: str) -> Any:
        def hook(layer: torch.nn.Module, inputs: Any, output: Any) -> None:
            if self._open.pop() == len(self.calls):
                self.calls.append(LayerCall(path, type(layer).__name__, float_leaves(output)))

        return hook

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()


def float_leaves(value: Any) -> tuple[Tensor, ...]:
    return tuple(
        leaf(item)
        for _, item in flatten(value)
        if isinstance(item, torch.Tensor) and (item.is_floating_point() or item.is_complex())
    )


def state_of(module: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: leaf(value) for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)
    }


def record(
    module: torch.nn.Module, inputs: Sequence[Array], plan: Plan, batches: Sequence[Sequence[Array]] = ()
) -> Recording:
    """Observes a module; training steps come last, and its weights are put back afterwards."""
    module.train(plan.train_mode)
    saved = {name: value.clone() for name, value in module.state_dict().items()}
    state = state_of(module)
    torch.manual_seed(0)
    recorder = Recorder(module) if plan.layers else None
    started = time.perf_counter()
    with torch.no_grad():
        value = module(*(torch.from_numpy(np.array(a)) for a in inputs))
    seconds = time.perf_counter() - started
    if recorder:
        recorder.close()
    gradients = _gradients(module, inputs, saved) if plan.gradients else {}
    losses: tuple[float, ...] = ()
    trained: dict[str, Tensor] = {}
    if batches:
        module.load_state_dict(saved)
        losses = train_torch(module, batches, plan)
        trained = {name: t for name, t in state_of(module).items() if "float" in t.dtype}
    module.load_state_dict(saved)
    module.train(plan.train_mode)
    return Recording(
        outputs(value), tuple(recorder.calls) if recorder else (), gradients, losses, trained, state, seconds
    )


def _gradients(module: torch.nn.Module, inputs: Sequence[Array], saved: dict[str, Any]) -> dict[str, Tensor]:
    module.load_state_dict(saved)
    leaves = {f"x{i}": torch.from_numpy(np.array(a)) for i, a in enumerate(inputs)}
    for tensor in leaves.values():
        tensor.requires_grad_(tensor.is_floating_point())
    return differentiate(module, leaves, module(*(tensor.clone() for tensor in leaves.values())))
