"""numpy's integers and arrays as indices of a tensor, which MindSpore refuses as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mindspore import Tensor

SOURCE = """\
import numpy as np
import torch


def element(x: torch.Tensor):
    np.random.seed(0)
    places = np.random.choice(5, size=2, replace=False)
    found = np.where(np.array([0, 1, 1]))[0]
    x[0, places[0]] = 7.0
    return x[found[-1], places[1]] + x[int(found[0])].sum()


def chosen(x: torch.Tensor):
    scores = np.array([1.0, 3.0, 2.0])
    best = np.argmax(scores)
    return x[best] + x[scores.argmin()]


def between(x: torch.Tensor):
    bounds = np.array((1, 4))
    first = np.argmax(np.array([0, 2, 1]))
    return x[:, bounds[0]:bounds[1]].sum() + x[first:, 1 : bounds[1] - 1].sum()


def other(bounds):
    for bounds in [bounds]:
        pass
    return bounds


def columns(x: torch.Tensor):
    pairs = np.array([[0, 1], [2, 3]])
    return x[pairs[:, 0], pairs[:, 1]]
"""


@pytest.mark.parametrize("name", ["element", "chosen", "between", "columns"])
def test_numpy_indexes_a_tensor(sides, name: str) -> None:
    both = sides(SOURCE)
    x = np.arange(15, dtype=np.float32).reshape(3, 5)
    own = getattr(both.ported, name)(Tensor(x.copy())).asnumpy()
    np.testing.assert_array_equal(own, getattr(both.original, name)(torch.from_numpy(x.copy())).numpy())


OPERANDS = """\
import numpy as np
import torch


def arithmetic(x: torch.Tensor, y: torch.Tensor):
    v = y.numpy()
    return x * y.numpy(), x[1:] - v[1:], x / np.sqrt(4) + np.array([1.0, 2.0, 3.0], dtype=np.float32), x * np.log(2.0)
"""


def test_an_array_is_an_operand_of_a_tensor(sides) -> None:
    both = sides(OPERANDS)
    x, y = np.arange(3, dtype=np.float32), np.ones(3, np.float32) * 2
    for own, expected in zip(both.ported.arithmetic(Tensor(x), Tensor(y)), both.original.arithmetic(torch.from_numpy(x), torch.from_numpy(y))):
        np.testing.assert_allclose(own.asnumpy(), expected.numpy(), rtol=1e-6)
        assert str(own.dtype).lower() == str(expected.dtype).removeprefix("torch.")


def test_bounds_of_what_is_no_tensor_stay(sides) -> None:
    source = "import numpy as np\n\n\ndef f(x: np.ndarray, y):\n    b = np.array([0, 1])\n    return x[:, b[0]:b[1]], y[b[0]:]\n"
    assert "x[:, b[0]:b[1]], y[b[0]:]" in sides(source).text
