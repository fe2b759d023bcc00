"""Operators on every pair of dtypes: the ported source keeps them as they are, so values and dtypes must be torch's."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
mindspore = pytest.importorskip("mindspore")

DTYPES = ("bool", "uint8", "int32", "int64", "float16", "float32", "float64")
NUMBERS = (2, -3, 0.5, True, 0)
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">=": operator.ge,
    "&": operator.and_, "|": operator.or_, "^": operator.xor,
}  # fmt: skip


def known(symbol: str, left: object, right: object) -> str:
    """Why MindSpore differs on a pair of operands, or "" where it must not."""
    if symbol == "**" and "float" not in f"{left}{right}" and (left == 0 or "bool" in (left, right) or left == -3):
        return "integer powers of zero, or of a negative number to an unsigned one, are undefined"
    if symbol in ("<", ">=") and right == -3 and left == "uint8":
        return "the number is converted to uint8"
    return ""


def draw(dtype: str, seed: int) -> np.ndarray[Any, np.dtype[Any]]:
    rng = np.random.RandomState(seed)
    if dtype == "bool":
        return np.asarray(rng.rand(2, 3) < 0.5)
    signs = rng.choice([-1, 1], (2, 3)) if dtype.startswith("int") else 1
    return np.asarray(rng.randn(2, 3) * 2 if "float" in dtype else rng.randint(1, 6, (2, 3)) * signs).astype(dtype)


def operands() -> Iterator[tuple[object, object]]:
    """Dtype names stand for tensors, numbers for themselves."""
    for left in DTYPES:
        yield from ((left, right) for right in DTYPES)
        for number in NUMBERS:
            yield left, number
            yield number, left


def value(framework: Any, operand: object, seed: int) -> Any:
    if not isinstance(operand, str):
        return operand
    array = draw(operand, seed)
    return torch.from_numpy(array) if framework is torch else mindspore.Tensor(array)


def difference(symbol: str, left: object, right: object) -> str:
    """What differs between both frameworks; "" too where either refuses the operation."""
    try:
        expected = OPERATORS[symbol](value(torch, left, 1), value(torch, right, 2))
        found = OPERATORS[symbol](value(mindspore, left, 1), value(mindspore, right, 2))
        array = found.asnumpy()
    except (TypeError, RuntimeError, ValueError):
        return ""
    wanted = expected.numpy()
    if array.dtype != wanted.dtype:
        return f"dtype {wanted.dtype} became {array.dtype}"
    rtol = 4e-3 if wanted.dtype == np.float16 else 1e-5
    equal = np.allclose(wanted.astype(float), array.astype(float), rtol=rtol, atol=1e-6, equal_nan=True)
    return "" if equal else f"{wanted.ravel()} became {array.ravel()}"


@pytest.mark.parametrize("symbol", OPERATORS)
def test_an_operator_has_torchs_values_and_dtypes(symbol: str) -> None:
    mindspore.runtime.launch_blocking()
    differ = {
        (left, right): said
        for left, right in operands()
        if not known(symbol, left, right) and (said := difference(symbol, left, right))
    }
    assert differ == {}


# the dtype of a result that torch's documentation states and MindSpore would choose otherwise
RESULTS = {
    "torch.arange(5)": "int64", "torch.arange(5.0)": "float32", "torch.full((2,), 3)": "int64",
    "torch.full((2,), 3.0)": "float32", "torch.full((2,), True)": "bool", "torch.tensor([1, 2])": "int64",
    "torch.tensor([1.0, 2])": "float32", "torch.tensor(True)": "bool", "torch.zeros(2)": "float32",
    "torch.ones(2, dtype=torch.int32)": "int32", "torch.eye(2)": "float32", "torch.linspace(0, 1, 3)": "float32",
    "torch.randint(0, 5, (3,))": "int64", "torch.randperm(4)": "int64", "i.sum()": "int64", "b.sum()": "int64",
    "i.sum(1)": "int64", "b.sum(0)": "int64", "torch.sum(i, 1)": "int64", "i.prod()": "int64", "torch.prod(b)": "int64",
    "i.cumsum(0)": "int64", "torch.cumsum(b, 0)": "int64", "torch.cumprod(i, 1)": "int64", "x.argmax()": "int64",
    "x.argmax(1)": "int64", "torch.argmin(x, 0)": "int64", "x.argsort(1)": "int64", "x.sort(1)[1]": "int64",
    "x.topk(2)[1]": "int64", "x.max(1)[1]": "int64", "x.min(0).indices": "int64", "x.nonzero()": "int64",
    "torch.where(x > 0)[0]": "int64", "i / i": "float32", "i / 2": "float32", "i // 2": "int32", "torch.div(i, 2)": "float32",
    "i * 1.5": "float32", "i + b": "int32", "i.float().mean()": "float32", "x > 0": "bool", "~b": "bool", "b & b": "bool",
    "torch.eq(i, i)": "bool", "torch.isnan(x)": "bool", "x.bool()": "bool", "x.long()": "int64", "x.int()": "int32",
    "x.double() + x": "float64", "x.half() + x": "float32", "torch.bincount(i.abs().flatten())": "int64",
    "torch.searchsorted(x[0].sort()[0], x[1])": "int64", "torch.bucketize(x, x[0].sort()[0])": "int64",
    "torch.unique(i)": "int32", "torch.where(b, i, 2)": "int32",
    "torch.where(b, x, 0)": "float32", "torch.clamp(i, min=0)": "int32", "torch.zeros_like(i)": "int32",
    "torch.full_like(x, 2)": "float32", "x.new_zeros(2)": "float32", "i.new_tensor([1.5])": "int32",
    "torch.nn.functional.one_hot(i.abs().long())": "int64", "torch.count_nonzero(x)": "int64", "torch.histc(x, 4)": "float32",
    "torch.round(x)": "float32", "torch.exp(x.double())": "float64", "b.any()": "bool", "torch.all(b, 0)": "bool",
}  # fmt: skip


def test_results_have_the_dtypes_that_torch_documents(tmp_path: Any) -> None:
    from porter.convert import convert_source
    from porter.parity.ported import load_source

    lines = "\n".join(f"    found[{call!r}] = {call}" for call in RESULTS)
    source = f"import torch\nfrom torch import Tensor\n\n\ndef results(x: Tensor, i: Tensor, b: Tensor):\n    found = {{}}\n{lines}\n    return found\n"
    converted = convert_source(source)
    assert [str(d) for d in converted.diagnostics] == []
    arrays = (draw("float32", 1), draw("int32", 2), draw("bool", 3))
    theirs: dict[str, Any] = {}
    exec(source, theirs)
    ours = load_source(tmp_path, "ported_dtypes", converted.text, converted.extras)
    expected = {k: str(v.dtype).removeprefix("torch.") for k, v in theirs["results"](*map(torch.from_numpy, arrays)).items()}
    found = {k: str(v.dtype).lower() for k, v in ours.results(*map(mindspore.Tensor, arrays)).items()}
    assert expected == RESULTS
    assert {k: v for k, v in found.items() if v != RESULTS[k]} == {}
