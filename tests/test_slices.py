"""Stepped slices: values and gradients of the ported forms, PYNATIVE and GRAPH."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch

FORMS = {
    "x[:, 1::2]": "ms_extras.stepped(x[:, 1:], 1, 2)",
    "x[..., 0::2, ::2, :]": "ms_extras.stepped(x, (-3, -2), (2, 2))",
    "x[:, :, ::3, 1:7:2]": "ms_extras.stepped(x[:, :, :, 1:7], (2, 3), (3, 2))",
    "x[0, :, None, ::2]": "ms_extras.stepped(x[0, :, None, :], 2, 2)",
    "x[:, 1, 2::n]": "ms_extras.stepped(x[:, 1, 2:], 1, n)",
    "x[::2]": "x[::2]",
    "x[..., 1::2]": "x[..., 1::2]",
}
SOURCE = "from torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x, n: int = 2):\n        return {}\n"


class Squares(ms.nn.Cell):
    def __init__(self, net: ms.nn.Cell) -> None:
        super().__init__()
        self.net = net

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        return ms.ops.square(self.net(x)).sum()


@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients(form: str, sides: Callable[[str], Any]) -> None:
    original, ported, text = sides(SOURCE.format(form))
    assert f"return {FORMS[form]}\n" in text
    net, cell = original.Net(), ported.Net()
    x = np.random.default_rng(1).normal(size=(3, 6, 7, 8)).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    expected = net(leaf)
    (expected * expected).sum().backward()
    try:
        for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
            ms.set_context(mode=mode)
            np.testing.assert_array_equal(cell(ms.Tensor(x)).asnumpy(), expected.detach().numpy())
            gradient = ms.grad(Squares(cell))(ms.Tensor(x))
            np.testing.assert_allclose(gradient.asnumpy(), leaf.grad.numpy(), rtol=1e-6)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


UNKNOWN = """\
import numpy as np
import torch
from torch import nn


class Merge(nn.Module):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, x):
        return torch.cat([x[:, i::self.step, :] for i in range(self.step)], -1), None


class Net(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x, rows=()):
        for layer in self.layers:
            x, rest = layer(x)
        return x, rows[0::2], rest


def read(table):
    return np.asarray(table)[:, 0::2, :], table[:, 0::2, :]
"""


def test_slices_of_several_axes_are_of_tensors_in_a_network(sides: Callable[[str], Any]) -> None:
    text = sides(UNKNOWN).text
    assert "ms_extras.stepped(x[:, i:, :], 1, self.step)" in text
    assert "rows[0::2]" in text and "np.asarray(table)[:, 0::2, :], table[:, 0::2, :]" in text
