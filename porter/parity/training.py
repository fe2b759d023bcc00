"""Trains both sides from the same start on the same data, with one objective written in either framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from porter.parity.leaves import flatten
from porter.parity.models import Plan
from porter.parity.samples import Array

MOMENTUM = 0.9
TARGET_SEED = 7


def target_for(shape: tuple[int, ...], step: int) -> Array:
    """What the first float output should be: labels for an output of [batch, classes], else values to come close to."""
    rng = np.random.RandomState(TARGET_SEED + step)
    if len(shape) == 2 and shape[1] > 1:
        return rng.randint(0, shape[1], shape[0]).astype(np.int32)
    return rng.randn(*shape).astype(np.float32)


def train_torch(module: Any, batches: Sequence[Sequence[Array]], plan: Plan) -> tuple[float, ...]:
    """Trains a torch module in place, in training mode; returns the loss of each step."""
    import torch

    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer
    if plan.optimizer == "adam":
        optimizer = torch.optim.Adam(parameters, lr=plan.learning_rate)
    else:
        optimizer = torch.optim.SGD(parameters, lr=plan.learning_rate, momentum=MOMENTUM)
    module.train()
    losses = []
    for step, arrays in enumerate(batches):
        output = _first_float(module(*(torch.from_numpy(np.array(a)) for a in arrays)))
        target = torch.from_numpy(target_for(tuple(output.shape), step))
        if target.dtype == torch.int32:
            loss = torch.nn.functional.cross_entropy(output, target.long())
        else:
            loss = ((output - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return tuple(losses)


def train_mindspore(cell: Any, batches: Sequence[Sequence[Array]], plan: Plan) -> tuple[float, ...]:
    """Trains a Cell in place, in training mode and in the mode that is set; returns the loss of each step."""
    import mindspore
    from mindspore import nn, ops

    parameters = cell.trainable_params()
    optimizer: Callable[[Any], Any]
    if plan.optimizer == "adam":
        optimizer = nn.Adam(parameters, learning_rate=plan.learning_rate)
    else:
        optimizer = nn.SGD(parameters, learning_rate=plan.learning_rate, momentum=MOMENTUM)
    path, shape = _first_output(cell, batches[0]) if batches else ((), ())
    cell.set_train(True)

    def loss_of(target: Any, *inputs: Any) -> Any:
        output = cell(*inputs)
        for key in path:
            output = output[key]
        if target.dtype == mindspore.int32:
            return ops.cross_entropy(output, target)
        return ((output - target) ** 2).mean()

    differentiate = mindspore.value_and_grad(loss_of, None, mindspore.ParameterTuple(parameters))
    losses = []
    for step, arrays in enumerate(batches):
        inputs = [mindspore.Tensor(np.array(a)) for a in arrays]
        loss, gradients = differentiate(mindspore.Tensor(target_for(shape, step)), *inputs)
        optimizer(gradients)
        losses.append(float(loss.asnumpy()))
    return tuple(losses)


def _first_float(value: Any) -> Any:
    """The first float tensor of a torch module's value."""
    return next(item for _, item in flatten(value) if hasattr(item, "dtype") and item.is_floating_point())


def _first_output(cell: Any, arrays: Sequence[Array]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Path and shape of the first float output, from a run in evaluation mode, which changes nothing."""
    import mindspore

    from porter.parity.ported import float_paths

    cell.set_train(False)
    path, weights = float_paths(cell(*(mindspore.Tensor(np.array(a)) for a in arrays)))[0]
    return path, tuple(weights.shape)
