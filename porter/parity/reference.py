"""The PyTorch side: builds an example's module, gives it telling weights, and observes one run of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from porter.parity.cases import Example
from porter.parity.compare import Tensor
from porter.parity.leaves import Observation, flatten, leaf, outputs, weighting
from porter.parity.samples import Array, InputSpec, perturb


@dataclass(frozen=True)
class Reference:
    """A torch run: the weights it started from, by state-dict name, and what was observed."""

    state: Mapping[str, Tensor]
    observation: Observation


def to_torch(array: Array, spec: InputSpec) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.to(torch.bfloat16) if spec.dtype == "bfloat16" else tensor


def observe(
    build: Callable[..., torch.nn.Module],
    example: Example,
    constructed: Sequence[str],
    arrays: Sequence[Array],
    seed: int = 0,
    weights: Mapping[str, Tensor] | None = None,
) -> Reference:
    """Runs one example, with weights of an earlier run if they are given; whatever torch raises is passed on."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed seeds devices too, and takes 2 ms
    given = {name: to_torch(a, s) for name, a, s in zip(example.names, arrays, example.inputs, strict=False)}
    module = build(*(given[name] for name in constructed))
    if example.parameter:
        return Reference({}, Observation({"": leaf(module.get_parameter(f"m.{example.parameter}"))}))
    if weights is None:
        _make_telling(module)
    else:
        module.load_state_dict({name: torch.from_numpy(np.array(w.array)) for name, w in weights.items()})
    module.train(example.train)
    state = {
        name: leaf(value) for name, value in module.state_dict().items() if isinstance(value, torch.Tensor)
    }
    inputs = {name: tensor for name, tensor in given.items() if name not in constructed}
    return Reference(state, _run(module, example, inputs, seed))


def _make_telling(module: torch.nn.Module) -> None:
    """Noise on constant parameters and on running statistics, so that no two weights can be confused."""
    perturb(module)
    rng = np.random.RandomState(1)
    for name, buffer in module.named_buffers():
        if buffer is None or not buffer.is_floating_point() or "running_" not in name:
            continue
        noise = rng.rand(*buffer.shape) + 0.5 if name.endswith("var") else rng.randn(*buffer.shape) * 0.3
        buffer.copy_(torch.from_numpy(np.asarray(noise)).to(buffer.dtype))


def _run(
    module: torch.nn.Module, example: Example, inputs: Mapping[str, torch.Tensor], seed: int
) -> Observation:
    wanted = "grad" in example.checks
    if wanted:
        for tensor in inputs.values():
            tensor.requires_grad_(tensor.is_floating_point())
    torch.default_generator.manual_seed(seed)
    value = module(*(tensor.clone() for tensor in inputs.values()))
    observed = outputs(value)
    gradients = differentiate(module, inputs, value) if wanted else {}
    buffers = {}
    if "buffers" in example.checks:
        buffers = {
            name: leaf(b) for name, b in module.named_buffers() if b is not None and b.is_floating_point()
        }
    return Observation(observed, gradients, buffers)


def differentiate(
    module: torch.nn.Module, inputs: Mapping[str, torch.Tensor], value: Any
) -> dict[str, Tensor]:
    """Gradients of the fixed weighting of all float outputs, by input and parameter name; zeros where unused."""
    total = torch.zeros((), dtype=torch.float64)
    for _, output in flatten(value):
        if isinstance(output, torch.Tensor) and output.is_floating_point() and output.requires_grad:
            weights = torch.from_numpy(weighting(tuple(output.shape))).to(output.dtype)
            total = total + (output * weights).sum().double()
    targets = {name: tensor for name, tensor in inputs.items() if tensor.requires_grad}
    targets |= {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not targets or not total.requires_grad:
        return {}
    found = torch.autograd.grad(total, list(targets.values()), allow_unused=True)
    return {
        name: leaf(torch.zeros_like(target) if gradient is None else gradient)
        for (name, target), gradient in zip(targets.items(), found, strict=False)
    }
