"""What rounding explains of a difference: torch's own error, measured on its run in float64."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from porter.parity import reference
from porter.parity.cases import Case, Example, constructor_inputs, torch_source
from porter.parity.compare import Tensor, compare
from porter.parity.leaves import Observation
from porter.parity.proofs import Failure
from porter.parity.reference import Reference
from porter.parity.rows import Bench, compare_case

OWN_ERRORS = 10.0  # times torch's own error is rounding
# inputs as near as that are the same to a dtype; float32 is enough for float64 too
ROUNDED = {"float64": 2.0**-24, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
NARROW = re.compile(r"torch\.(float32|float16|bfloat16|float|half)\b")
ROUNDINGS = 4  # random ones; a single one may miss the value that is most sensitive to them
SHARING = frozenset({  # results that share memory with an argument, or are read from it
    "view", "reshape", "transpose", "permute", "t", "expand", "unsqueeze", "squeeze", "select", "narrow", "flatten", "detach", "chunk",
    "split", "unbind", "diagonal", "swapaxes", "movedim", "view_as", "expand_as", "contiguous", "to", "type", "clone", "__get__",
    "__getitem__", "requires_grad_", "uniform", "normal", "rand", "randn", "from_numpy", "tensor",
})  # fmt: skip
EXACT = 1024  # numbers that are this many times an integer take no rounding
VALUES = re.compile(r"of the largest magnitude|at \[[\d, ]*\] \S+ became")


def compare_rounded(bench: Bench, case: Case, module: types.ModuleType) -> Failure | None:
    """Why a call is not equal, where that is neither within ten times torch's own error nor nearer to float64 than torch is."""
    failure = compare_case(bench, case, module, bench.mode)
    if failure is None or not VALUES.search(failure.message):
        return failure
    example = bench.examples[case.example]
    own = bench.runs[case.example]
    if not any(d in ROUNDED for d in _dtypes(example, own)):
        return failure
    try:
        wide = _run_in(bench, case, own, "float64")
        near = [_run_in(bench, case, own, "float64", seed) for seed in range(ROUNDINGS)]
        single = _run_in(bench, case, own, "float32") if any(s.dtype == "float64" for s in example.inputs) else own
    except torch.linalg.LinAlgError:  # singular, as far as the dtype can tell
        return None if "of the largest magnitude" in failure.message else failure
    except Exception:  # a kernel of one dtype alone
        return failure
    apart = [_largest(wide.observation, run.observation) for run in near]
    rtol = max(example.rtol or 0.0, OWN_ERRORS * max(_largest(single.observation, wide.observation), *apart))
    exact = replace(own, observation=_narrowed(wide.observation, own.observation))
    examples = tuple(replace(e, rtol=rtol) if e is example else e for e in bench.examples)
    for run in (own, exact):
        weighed = replace(bench, examples=examples, runs={case.example: run})
        if compare_case(weighed, case, module, bench.mode) is None:
            return None
    return failure


def _run_in(bench: Bench, case: Case, own: Reference, dtype: str, seed: int | None = None) -> Reference:
    """The call in another dtype, with torch's weights, on inputs that are apart by a random rounding where a seed is given."""
    example = bench.examples[case.example]
    specs = tuple(replace(s, dtype=dtype) if s.dtype in ROUNDED else s for s in example.inputs)
    call = replace(example, inputs=specs, call=NARROW.sub(f"torch.{dtype}", example.call))
    rng = np.random.RandomState(seed or 0)
    arrays = []
    for array, spec in zip(bench.arrays[case.example], example.inputs, strict=True):
        if spec.dtype in ROUNDED:
            apart = ROUNDED[spec.dtype] if seed is not None else 0.0
            array = (array.astype("float64") * (1 + apart * rng.choice([-1.0, 1.0], array.shape))).astype(dtype)
        arrays.append(array)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with _Roundings(max(ROUNDED.get(d, 0.0) for d in _dtypes(example, own)), seed):
            return reference.observe(torch_class(bench, call), call, constructor_inputs(bench.row, call), arrays, weights=own.state)
    finally:
        torch.set_default_dtype(before)


def _dtypes(example: Example, own: Reference) -> set[str]:
    return {s.dtype for s in example.inputs} | {value.dtype for value in own.observation.outputs.values()}


class _Roundings(TorchFunctionMode):  # type: ignore[misc]
    """A random rounding of whatever torch computes, where a seed is given: what a narrower dtype does in each step."""

    def __init__(self, size: float, seed: int | None) -> None:
        super().__init__()
        self.size = size
        self.random = None if seed is None else np.random.RandomState(seed + 1)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if self.random is None or name in SHARING or name.endswith("_") or not isinstance(result, torch.Tensor):
            return result
        if not result.is_floating_point() or any(result is a for a in args):
            return result
        inexact = (result.detach() * EXACT).frac() != 0
        if not inexact.any():
            return result
        signs = torch.from_numpy(np.asarray(self.random.choice([-1.0, 1.0], tuple(result.shape)))).to(result.dtype)
        return result * (1 + self.size * signs * inexact)


def torch_class(bench: Bench, example: Example) -> type[torch.nn.Module]:
    """The module whose forward is the call of an example."""
    module = types.ModuleType(bench.next_name("fuzz"))
    exec(torch_source(bench.row, [example], [Case("Example1", 0, "", example.call)]), vars(module))
    built: type[torch.nn.Module] = module.Example1
    return built


def _largest(one: Observation, other: Observation) -> float:
    return max(_differences(one, other), default=0.0)


def _differences(one: Observation, other: Observation) -> Iterator[float]:
    for single, double in ((one.outputs, other.outputs), (one.gradients, other.gradients)):
        for name in single.keys() & double.keys():
            found = compare(single[name], double[name], loose_dtype=True)
            if found.shapes[0] == found.shapes[1] and math.isfinite(found.difference):
                yield found.difference


def _narrowed(wide: Observation, own: Observation) -> Observation:
    """What a float64 run gave, in the dtypes of torch's own run."""
    pairs = ((wide.outputs, own.outputs), (wide.gradients, own.gradients), (wide.buffers, own.buffers))
    return Observation(*(_as(found, like) for found, like in pairs))


def _as(found: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            name: Tensor(value.array.astype(like[name].array.dtype), like[name].dtype) if name in like else value
            for name, value in found.items()
        }
