"""Input specs such as `float32[2,3,8,9]>0` or `int64[2,16]<1000`, the arrays drawn for them, and perturbed weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from porter.diagnostics import InputError

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, np.dtype[Any]]

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8")
COMPLEX = ("complex64", "complex128")
DTYPES = (*FLOATS, *INTEGERS, *COMPLEX, "bool")
DEFAULT_HIGH = 10
STATISTICS_NOISE = 0.1  # relative: one more batch must move them, whatever the momentum
BATCH_NORM_FLOOR = 0.05  # of the mean variance: a channel of almost none would amplify rounding

_SPEC = re.compile(r"(?P<dtype>[a-z]+\d*)\[(?P<shape>[^\]]*)\](?P<rest>.*)")
_CONSTRAINT = re.compile(r"@distinct|(?P<sign>[<>=])(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)")
_FORMS = "forms: float32[1,3,224,224]  int64[2,16]<1000  float32[3]>0  float32[8]@distinct  float32[2]=0.5  bool[4]"


@dataclass(frozen=True)
class InputSpec:
    """What one input looks like; floats lie in (low, high), integers in [low, high)."""

    dtype: str
    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    value: float | None = None
    distinct: bool = False

    @property
    def differentiable(self) -> bool:
        return self.dtype in FLOATS

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype of the drawn array: numpy has no bfloat16, so those values are held as float32."""
        return np.dtype("float32" if self.dtype == "bfloat16" else self.dtype)

    def __str__(self) -> str:
        marks = [f"={self.value:g}" if self.value is not None else "", "@distinct" if self.distinct else ""]
        marks += [
            f">{self.low:g}" if self.low is not None else "",
            f"<{self.high:g}" if self.high is not None else "",
        ]
        return f"{self.dtype}[{','.join(map(str, self.shape))}]{''.join(marks)}"


def parse_spec(text: str) -> InputSpec:
    """Reads one input spec. Raises InputError, naming the part that is wrong, for a malformed one."""
    match = _SPEC.fullmatch(text.replace(" ", ""))
    if match is None:
        raise InputError(f"input {text!r} is not of the form DTYPE[SIZE,...]", _FORMS)
    dtype = match["dtype"]
    if dtype not in DTYPES:
        raise InputError(f"input {text!r}: {dtype!r} is not a dtype", f"dtypes: {' '.join(DTYPES)}")
    constraints = _constraints(text, match["rest"])
    spec = InputSpec(dtype, _shape(text, match["shape"]), **constraints)
    _check_range(text, spec)
    return spec


def _shape(text: str, inside: str) -> tuple[int, ...]:
    if not inside:
        return ()
    sizes = inside.removesuffix(",").split(",")
    if not all(size.isdecimal() for size in sizes):
        raise InputError(
            f"input {text!r}: [{inside}] is not a list of sizes", "write whole numbers: [1,3,224,224]"
        )
    return tuple(map(int, sizes))


def _constraints(text: str, rest: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    at = 0
    while at < len(rest):
        match = _CONSTRAINT.match(rest, at)
        if match is None:
            raise InputError(f"input {text!r}: {rest[at:]!r} is not a constraint", _FORMS)
        if match["sign"] is None:
            found["distinct"] = True
        else:
            found[{"<": "high", ">": "low", "=": "value"}[match["sign"]]] = float(match["number"])
        at = match.end()
    return found


def _check_range(text: str, spec: InputSpec) -> None:
    if spec.low is not None and spec.high is not None and spec.low >= spec.high:
        raise InputError(f"input {text!r}: nothing lies above {spec.low:g} and below {spec.high:g}")
    if spec.dtype in INTEGERS:
        info = np.iinfo(spec.dtype)
        for number in (spec.low, spec.high, spec.value):
            if number is not None and not (number.is_integer() and info.min <= number <= int(info.max) + 1):
                raise InputError(f"input {text!r}: {number:g} is not a value of {spec.dtype}")
        low, high = _integer_range(spec)
        if spec.value is None and low >= high:
            raise InputError(f"input {text!r}: no {spec.dtype} from {low} to below {high}")
        if spec.distinct and spec.value is None and high - low < prod(spec.shape):
            raise InputError(
                f"input {text!r}: {high - low} values cannot fill {prod(spec.shape)} distinct places"
            )


def _integer_range(spec: InputSpec) -> tuple[int, int]:
    low = 0 if spec.low is None else int(spec.low) + 1
    if spec.high is not None:
        return low, int(spec.high)
    room = prod(spec.shape) if spec.distinct else DEFAULT_HIGH
    return low, min(low + max(room, DEFAULT_HIGH), int(np.iinfo(spec.dtype).max) + 1)


def draw(spec: InputSpec, rng: np.random.RandomState) -> Array:
    """One array of the spec's shape and dtype (bfloat16: float32 that bfloat16 can hold)."""
    if spec.value is not None:
        return np.full(spec.shape, spec.value, spec.numpy_dtype)
    if spec.dtype == "bool":
        return np.asarray(rng.rand(*spec.shape) < 0.5)
    if spec.dtype in INTEGERS:
        return _draw_integers(spec, rng)
    values = _draw_floats(spec, rng)
    if spec.dtype in COMPLEX:
        return np.asarray(values + 1j * _draw_floats(spec, rng)).astype(spec.dtype)
    array = np.ascontiguousarray(values.astype(spec.numpy_dtype)).reshape(spec.shape)
    return round_to_bfloat16(array) if spec.dtype == "bfloat16" else array


def _draw_integers(spec: InputSpec, rng: np.random.RandomState) -> Array:
    low, high = _integer_range(spec)
    if spec.distinct:
        return (
            np.asarray(low + rng.permutation(high - low)[: prod(spec.shape)])
            .reshape(spec.shape)
            .astype(spec.dtype)
        )
    return np.asarray(rng.randint(low, high, spec.shape, dtype=np.int64)).astype(spec.dtype)


def _draw_floats(spec: InputSpec, rng: np.random.RandomState) -> Array:
    if spec.distinct:
        unit = (rng.permutation(prod(spec.shape)) + 0.5).reshape(spec.shape) / max(prod(spec.shape), 1)
        low = -2.0 if spec.low is None else spec.low
        high = low + 4.0 if spec.high is None else spec.high
        return np.asarray(low + (high - low) * unit)
    if spec.low is None and spec.high is None:
        return np.asarray(rng.randn(*spec.shape))
    if spec.low is not None and spec.high is not None:
        margin = 0.01 * (spec.high - spec.low)
        return np.asarray(rng.uniform(spec.low + margin, spec.high - margin, spec.shape))
    away = 0.05 + np.abs(rng.randn(*spec.shape))  # clear of the bound, where logarithms and roots blow up
    return np.asarray(spec.low + away if spec.low is not None else spec.high - away)


def round_to_bfloat16(array: Array) -> Array:
    """float32 values with the low 16 bits rounded away, to nearest even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32).reshape(array.shape)


def draw_all(specs: Sequence[InputSpec], seed: int = 0) -> tuple[Array, ...]:
    """One array for each spec, the same ones for the same seed."""
    rng = np.random.RandomState(seed)
    return tuple(draw(spec, rng) for spec in specs)


def perturb(module: torch.nn.Module, seed: int = 0, inputs: Sequence[torch.Tensor] | None = None) -> None:
    """Makes a fresh network's weights tell something: noise on constant parameters, BatchNorm statistics from `inputs`.

    Zero biases and unit statistics would pass whatever a port did with them. Training flags are left as they were.
    """
    import torch

    rng = np.random.RandomState(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and _constant(parameter):
                noise = np.asarray(rng.randn(*parameter.shape) * 0.1)
                parameter.add_(torch.from_numpy(noise).to(parameter.dtype))
    norms = [m for m in module.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    tracking = [m for m in norms if m.track_running_stats and m.running_mean is not None]
    if tracking and inputs is not None:
        _calibrate(module, tracking, inputs)
        for norm in tracking:
            _shift_statistics(norm, rng)


def _shift_statistics(norm: Any, rng: np.random.RandomState) -> None:
    """Moves calibrated statistics a little off those of the batch: a wrong momentum would not show otherwise."""
    import torch

    def noise() -> torch.Tensor:
        return torch.from_numpy(np.asarray(rng.randn(*norm.running_var.shape))).to(norm.running_var.dtype)

    norm.running_mean.add_(STATISTICS_NOISE * noise() * norm.running_var.sqrt())
    norm.running_var.mul_(torch.exp(STATISTICS_NOISE * noise()))


def _constant(parameter: torch.Tensor) -> bool:
    return parameter.numel() > 0 and bool((parameter == parameter.flatten()[0]).all())


def _calibrate(module: torch.nn.Module, norms: Sequence[Any], inputs: Sequence[torch.Tensor]) -> None:
    import torch

    flags = [(m, m.training) for m in module.modules()]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    try:
        with torch.no_grad():
            module(*(x.clone() for x in inputs))
    except ValueError as error:
        if "more than 1 value per channel" not in str(
            error
        ):  # one value a channel has no variance to measure
            raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=False):
            norm.momentum = momentum
            norm.running_mean.nan_to_num_(nan=0.0)
            norm.running_var.nan_to_num_(nan=1.0)
            norm.running_var.clamp_(min=max(1e-6, BATCH_NORM_FLOOR * float(norm.running_var.mean())))
        for submodule, training in flags:
            submodule.training = training
