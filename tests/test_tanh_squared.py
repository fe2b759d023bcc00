"""What is computed from 1 - tanh(x) ** 2 follows torch where tanh(x) is nearly 1."""

from __future__ import annotations

import mindspore
import numpy as np
import pytest
import torch
from mindspore import Tensor, ops

SOURCE = """\
import torch
import torch.nn.functional as F


def density(x: torch.Tensor):
    y = torch.tanh(x)
    return torch.log(1 - y.pow(2) + 1e-6)


def method(x: torch.Tensor):
    return torch.log(1 - x.tanh() ** 2 + 1e-6)


def product(x: torch.Tensor):
    y = F.tanh(x)
    return (1 - y * y + 1e-6).log()


def bounded(x: torch.Tensor):
    return 2 * torch.tanh(x)
"""


@pytest.mark.parametrize("name", ["density", "method", "product"])
def test_a_squared_tanh_is_exact(sides, name: str) -> None:
    both = sides(SOURCE)
    x = np.linspace(-6, 6, 1201, dtype=np.float32)
    function = getattr(both.ported, name)
    given = torch.from_numpy(x).requires_grad_()
    expected = getattr(both.original, name)(given)
    np.testing.assert_allclose(function(Tensor(x)).asnumpy(), expected.detach().numpy(), rtol=2e-2, atol=1e-5)
    expected.sum().backward()
    grad = mindspore.grad(lambda t: function(t).sum())(Tensor(x)).asnumpy()
    np.testing.assert_allclose(grad, given.grad.numpy(), rtol=2e-2, atol=1e-4)
    assert ops.tanh(Tensor(5.0)).asnumpy() > 1  # MindSpore 2.10.0: once this fails, the emitted function may go


def test_another_tanh_is_mindspores(sides) -> None:
    text = sides(SOURCE).text
    assert "2 * ops.tanh(x)" in text and text.count("ms_extras.tanh(") == 3
