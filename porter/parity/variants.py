"""Random variations of a row's examples: other shapes, dtypes, axes and flags, drawn from its signature."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

from porter.parity.cases import Example, own_call
from porter.parity.compare import RTOL
from porter.parity.samples import FLOATS, INTEGERS, InputSpec
from porter.table import Row

SIZES = (1, 2, 3, 4, 5, 6, 7, 9)
INTEGERS_TRIED = (-3, -2, -1, 0, 1, 2, 3)
FLOATS_TRIED = (-1.0, 0.0, 0.1, 0.5, 1.0, 2.0)
CHANGE_DTYPE = 0.15
CHANGE_ARGUMENT = 0.4
ADD_ARGUMENT = 0.2


def variants(row: Row, examples: Sequence[Example], seed: int = 0) -> Iterator[Example]:
    """Endless variations; many are calls that torch itself refuses."""
    rng = random.Random(f"{row.name}{seed}")
    usable = [e for e in examples if not (e.refused or e.random)]
    while usable:
        example = rng.choice(usable)
        yield replace(
            example,
            call=_vary_call(row, example.call, rng),
            inputs=_vary_inputs(example.inputs, rng),
            ported=None,
            forms=False,
            checks=example.checks - {"grad"},  # of random arguments they are often ill-conditioned
            rtol=_rtol(example),
        )


def _rtol(example: Example) -> float | None:
    """float32's threshold for float64 too: kernels that compute in float32 are no wrong values."""
    if example.rtol is not None or any(spec.dtype in ("float16", "bfloat16") for spec in example.inputs):
        return example.rtol
    return RTOL["float32"]


def _vary_inputs(specs: Sequence[InputSpec], rng: random.Random) -> tuple[InputSpec, ...]:
    """Other sizes, the same one wherever the same stood, and now and then another dtype or rank for all."""
    sizes = sorted({size for spec in specs for size in spec.shape})
    changed = {size: rng.choice(SIZES) if rng.random() < 0.5 else size for size in sizes}
    dtype = rng.choice(FLOATS[2:] + INTEGERS[2:4]) if rng.random() < CHANGE_DTYPE else None
    rank = rng.choice((-1, 1)) if rng.random() < 0.1 else 0
    return tuple(_vary_spec(spec, changed, dtype, rank) for spec in specs)


def _vary_spec(spec: InputSpec, sizes: dict[int, int], dtype: str | None, rank: int) -> InputSpec:
    shape = tuple(sizes[size] for size in spec.shape)
    if rank < 0:
        shape = shape[1:]
    elif rank > 0:
        shape = (2, *shape)
    if (
        dtype is not None
        and spec.dtype in FLOATS
        and spec.low is None
        and spec.high is None
        and spec.value is None
    ):
        spec = replace(spec, dtype=dtype, distinct=spec.distinct and dtype in FLOATS)
    return replace(spec, shape=shape)


def _vary_call(row: Row, text: str, rng: random.Random) -> str:
    tree = ast.parse(text, mode="eval")
    call = own_call(row, tree)
    if call is None:
        return text
    copy = deepcopy(tree)
    call = own_call(row, copy)
    assert call is not None
    call.args = [_vary_value(value, rng) for value in call.args]
    for keyword in call.keywords:
        keyword.value = _vary_value(keyword.value, rng)
    call.keywords = [k for k in call.keywords if k.arg is None or rng.random() > 0.1]
    call.keywords += _further_keywords(row, call, rng)
    return ast.unparse(copy)


def _vary_value(value: ast.expr, rng: random.Random) -> ast.expr:
    if isinstance(value, ast.Tuple | ast.List):
        value.elts = [_vary_value(item, rng) for item in value.elts]
        return value
    number = _number(value)
    if number is None or rng.random() > CHANGE_ARGUMENT:
        return value
    return ast.parse(repr(_other(number, rng)), mode="eval").body


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


def _further_keywords(row: Row, call: ast.Call, rng: random.Random) -> list[ast.keyword]:
    """Parameters that the example leaves at a plain default, given another value."""
    parameters = [
        p for p in row.torch.parameters or () if p.kind in ("positional", "keyword") and p.name != "self"
    ]
    taken = {k.arg for k in call.keywords} | {p.name for p in parameters[: len(call.args)]}
    found = []
    for p in parameters:
        default = None if p.default is None else _number(ast.parse(p.default, mode="eval").body)
        if p.name not in taken and default is not None and rng.random() < ADD_ARGUMENT:
            found.append(ast.keyword(p.name, ast.parse(repr(_other(default, rng)), mode="eval").body))
    return found
