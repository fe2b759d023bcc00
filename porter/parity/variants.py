"""Random variations of a row's examples: other shapes, dtypes, axes, flags and scalars, drawn from its signature."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from porter.diagnostics import InputError
from porter.parity.cases import Example, bound_arguments, own_call
from porter.parity.compare import RTOL
from porter.parity.samples import FLOATS, INTEGERS, InputSpec, parse_spec
from porter.table import Row

SIZES = (1, 2, 3, 4, 5, 6, 7, 9)
INTEGERS_TRIED = (-3, -2, -1, 0, 1, 2, 3)
FLOATS_TRIED = (-1.0, 0.0, 0.1, 0.5, 1.0, 2.0)
SCALARS_TRIED = ("2", "-3", "0.5", "-1.5", "True")
AXES_TRIED = ("0", "1", "-1", "-2", "(0,)", "(0, -1)", "(-2, -1)", "(1, 0)")
DTYPES_TRIED = ("float64", "float64", "int32", "int64", "int64", "uint8", "bool", "float16", "bfloat16")
DTYPES_GIVEN = ("torch.float64", "torch.float32", "torch.int64", "torch.int32", "torch.float16", "torch.bool")
AXIS_NAMES = ("dim", "axis")
ONE_AXIS_NAMES = (*AXIS_NAMES, "dim0", "dim1", "axis0", "axis1", "start_dim", "end_dim")
LOWEST_INTEGER = -6

STRENGTHS = (0.2, 0.5, 1.0)  # how much of a call is changed: where much is, torch refuses most
CHANGE_DTYPE = 0.3
MIX_DTYPES = 0.4  # of the changes: each input for itself, so that types are promoted
CHANGE_RANK = 0.15
SCALAR_INPUT = 0.04
BROADCAST = 0.15
EMPTY = 0.05
LARGE = 0.06  # values up to 150 that an exponential does not bear
LARGEST = 150.0
SMALL = 0.04  # values of which log1p and expm1 keep the digits, and 1 + x does not
SMALLEST = 1e-4
NARROW_INDEX = 0.1
LINK_SIZES = 0.5
CHANGE_ARGUMENT = 0.5
CHANGE_AXIS = 0.4
BORROW_ARGUMENT = 0.2
ADD_ARGUMENT = 0.3
DROP_ARGUMENT = 0.1
SCALAR_ARGUMENT = 0.1
SEVERAL_AXES = 0.1
EVALUATE = 0.2
HALF_RTOL = {"float16": 1e-2, "bfloat16": 8e-2}  # a few roundings: sums are kept in another precision


def variants(row: Row, examples: Sequence[Example], seed: int = 0) -> Iterator[Example]:
    """Endless variations; many are calls that torch itself refuses. The same ones for the same seed."""
    rng = random.Random(f"{row.name}{seed}")
    usable = [e for e in examples if not (e.refused or e.random)]
    others = [given for e in usable if (given := bound_arguments(row, e.call))]
    while usable:
        example = rng.choice(usable)
        strength = rng.choice(STRENGTHS)
        sizes = _sizes(example.inputs, rng)
        inputs = _vary_inputs(example.inputs, sizes, rng, strength)
        linked = sizes if rng.random() < LINK_SIZES else {}
        call = _vary_call(row, example, others, Draw(rng, strength, linked))
        yield replace(
            example,
            call=call,
            inputs=inputs,
            ported=None,
            forms=False,
            train=example.train and rng.random() > EVALUATE,
            rtol=_rtol(example, call, inputs),
        )


@dataclass(frozen=True)
class Draw:
    """The random numbers of one variation, how strong it is, and the sizes that it changes in inputs and call alike."""

    rng: random.Random
    strength: float
    sizes: Mapping[int, int]

    def change(self, share: float) -> bool:
        return self.rng.random() < share * self.strength


def _rtol(example: Example, call: str, inputs: Sequence[InputSpec]) -> float | None:
    """float32's threshold for float64 too: kernels that compute in float32 are no wrong values."""
    text = call + " ".join(spec.dtype for spec in inputs)
    half = max((rtol for dtype, rtol in HALF_RTOL.items() if dtype in text), default=0.0)
    return max(example.rtol or RTOL["float32"], half)


# --- inputs --------------------------------------------------------------------------------------------------------


def _sizes(specs: Sequence[InputSpec], rng: random.Random) -> dict[int, int]:
    """Another size for some of the sizes: the same one wherever the same stood."""
    sizes = sorted({size for spec in specs for size in spec.shape})
    changed = {size: rng.choice(SIZES) if rng.random() < 0.5 else size for size in sizes}
    if sizes and rng.random() < EMPTY:
        changed[rng.choice(sizes)] = 0
    return changed


def _vary_inputs(
    specs: Sequence[InputSpec], sizes: Mapping[int, int], rng: random.Random, strength: float
) -> tuple[InputSpec, ...]:
    """Other sizes, and now and then another dtype or rank."""
    rank = rng.choice((-2, -1, 1)) if rng.random() < CHANGE_RANK * strength else 0
    varied = [replace(spec, shape=_shape(spec.shape, sizes, rank)) for spec in specs]
    if rng.random() < BROADCAST * strength and varied:
        at = rng.randrange(len(varied))
        varied[at] = _broadcast(varied[at], rng)
    if rng.random() < SCALAR_INPUT and varied:
        at = rng.randrange(len(varied))
        varied[at] = replace(varied[at], shape=())
    if rng.random() < LARGE:
        varied = [_within(spec, LARGEST) for spec in varied]
    elif rng.random() < SMALL:
        varied = [_within(spec, SMALLEST) for spec in varied]
    return tuple(_vary_dtypes(varied, rng))


def _within(spec: InputSpec, bound: float) -> InputSpec:
    """A float input with values up to a bound on either side of zero, within its own bounds."""
    if spec.dtype not in FLOATS or spec.value is not None or spec.high is not None or spec.distinct:
        return spec
    low = -bound if spec.low is None else spec.low
    return replace(spec, low=low, high=bound) if low < bound else spec


def _shape(shape: tuple[int, ...], sizes: Mapping[int, int], rank: int) -> tuple[int, ...]:
    found = tuple(sizes[size] for size in shape)
    return (2, *found) if rank > 0 else found[-rank:]


def _broadcast(spec: InputSpec, rng: random.Random) -> InputSpec:
    """One axis of size 1, or none of the leading axes."""
    if not spec.shape:
        return spec
    if rng.random() < 0.5:
        return replace(spec, shape=spec.shape[rng.randrange(len(spec.shape)) :])
    at = rng.randrange(len(spec.shape))
    return replace(spec, shape=(*spec.shape[:at], 1, *spec.shape[at + 1 :]))


def _vary_dtypes(specs: list[InputSpec], rng: random.Random) -> Iterator[InputSpec]:
    change, mix = rng.random() < CHANGE_DTYPE, rng.random() < MIX_DTYPES
    common = rng.choice(DTYPES_TRIED)
    narrow = rng.random() < NARROW_INDEX
    for spec in specs:
        if narrow and spec.dtype == "int64":
            spec = replace(spec, dtype="int32")
        if change and spec.dtype in FLOATS and not (mix and rng.random() < 0.5):
            spec = _with_dtype(spec, rng.choice(DTYPES_TRIED) if mix else common)
        yield spec


def _with_dtype(spec: InputSpec, dtype: str) -> InputSpec:
    """The spec in another dtype, or as it was where its range has no value of that dtype."""
    free = spec.low is None and spec.high is None and spec.value is None
    low = LOWEST_INTEGER if free and dtype in INTEGERS and dtype != "uint8" else spec.low
    changed = replace(spec, dtype=dtype, low=low, distinct=spec.distinct and dtype != "bool")
    if dtype == "bool" and not free:
        return spec
    try:
        return parse_spec(str(changed))
    except InputError:
        return spec


# --- arguments -----------------------------------------------------------------------------------------------------


def _vary_call(row: Row, example: Example, others: Sequence[dict[str, ast.expr]], draw: Draw) -> str:
    tree = deepcopy(ast.parse(example.call, mode="eval"))
    call = own_call(row, tree)
    if call is None:
        return example.call
    names = _positional_names(row)
    for at, value in enumerate(call.args):
        axis = _axis(names[at] if at < len(names) else None, value, example, draw)
        call.args[at] = axis or _vary_value(_scalar(value, example, draw), draw)
    for keyword in call.keywords:
        borrowed = _borrowed(keyword.arg, others, draw.rng) if draw.change(BORROW_ARGUMENT) else None
        axis = _axis(keyword.arg, keyword.value, example, draw)
        keyword.value = axis or _vary_value(borrowed or _scalar(keyword.value, example, draw), draw)
    call.keywords = [k for k in call.keywords if k.arg is None or not draw.change(DROP_ARGUMENT)]
    call.keywords += _further_keywords(row, call, others, draw)
    return ast.unparse(tree)


def _positional_names(row: Row) -> list[str]:
    """The names of the parameters that a call's arguments stand for, in their order."""
    parameters = [p.name for p in row.torch.parameters or () if p.kind == "positional"]
    return parameters[1:] if row.kind == "method" and parameters[:1] == ["self"] else parameters


def _axis(name: str | None, value: ast.expr, example: Example, draw: Draw) -> ast.expr | None:
    """Another axis of the first input in place of an integer that is one, counted from either end, or several axes."""
    if name not in ONE_AXIS_NAMES or not example.inputs:
        return None
    if name in AXIS_NAMES and draw.change(SEVERAL_AXES):
        return _expression(draw.rng.choice(AXES_TRIED))
    rank = len(example.inputs[0].shape)
    if type(_number(value)) is not int or not rank or draw.rng.random() >= CHANGE_AXIS:
        return None
    return _expression(repr(draw.rng.randrange(-rank, rank)))


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _scalar(value: ast.expr, example: Example, draw: Draw) -> ast.expr:
    """Now and then a Python number in place of an input."""
    if isinstance(value, ast.Name) and value.id in example.names and draw.change(SCALAR_ARGUMENT):
        return _expression(draw.rng.choice(SCALARS_TRIED))
    return value


def _borrowed(name: str | None, others: Sequence[dict[str, ast.expr]], rng: random.Random) -> ast.expr | None:
    """What another example of the row gives for a parameter, if that is a literal."""
    values = [given[name] for given in others if name in given and _literal(given[name])]
    return deepcopy(rng.choice(values)) if values else None


def _literal(value: ast.expr) -> bool:
    return not any(isinstance(n, ast.Name) and n.id != "torch" for n in ast.walk(value))


def _vary_value(value: ast.expr, draw: Draw) -> ast.expr:
    if isinstance(value, ast.Tuple | ast.List):
        value.elts = [_vary_value(item, draw) for item in value.elts]
        return value
    number = _number(value)
    if number is None:
        return value
    if type(number) is int and draw.sizes.get(number, number) != number:
        return _expression(repr(draw.sizes[number]))
    if not draw.change(CHANGE_ARGUMENT):
        return value
    return _expression(repr(_other(number, draw.rng)))


def _number(value: ast.expr) -> bool | int | float | None:
    try:
        found = ast.literal_eval(value)
    except ValueError:
        return None
    return found if isinstance(found, bool | int | float) else None


def _other(value: bool | int | float, rng: random.Random) -> bool | int | float:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((*INTEGERS_TRIED, value + 1, value - 1))
    return rng.choice(FLOATS_TRIED)


def _further_keywords(
    row: Row, call: ast.Call, others: Sequence[dict[str, ast.expr]], draw: Draw
) -> list[ast.keyword]:
    """Parameters that the example leaves at their defaults, given another value."""
    parameters = [
        p for p in row.torch.parameters or () if p.kind in ("positional", "keyword") and p.name != "self"
    ]
    taken = {k.arg for k in call.keywords} | {p.name for p in parameters[: len(call.args)]}
    found = []
    for p in parameters:
        if p.name in taken or p.default is None or not draw.change(ADD_ARGUMENT):
            continue
        value = _given(p.name, p.default, others, draw.rng)
        if value is not None:
            found.append(ast.keyword(p.name, value))
    return found


def _given(
    name: str, default: str, others: Sequence[dict[str, ast.expr]], rng: random.Random
) -> ast.expr | None:
    """A value for a parameter: another than the default, or what its name means where the default is None."""
    number = _number(ast.parse(default, mode="eval").body)
    if number is not None:
        return _expression(repr(_other(number, rng)))
    if default == "None" and rng.random() < 0.5:
        if name in AXIS_NAMES:
            return _expression(rng.choice(AXES_TRIED))
        if name == "dtype":
            return _expression(rng.choice(DTYPES_GIVEN))
    return _borrowed(name, others, rng)
