"""Numbers of numpy's left of a tensor: torch's values and gradients, where numpy would make an array without a gradient."""

from __future__ import annotations

import numpy as np
import pytest

SOURCE = """\
import math
import numpy as np
import torch
import torch.nn as nn

HALF = np.sqrt(0.25)


class Net(nn.Module):
    def __init__(self, d, e: int = 4):
        super().__init__()
        self.d = d
        self.scale = 1 / np.sqrt(d)
        self.plain = math.sqrt(d)
        self.layers = nn.ModuleList([nn.Tanh()])

    def forward(self, x: torch.Tensor):
        s = np.power(self.d, 0.5)
        a = np.log(2) - x
        b = np.sqrt(x.shape[-1]) * x / np.sqrt(2)
        c = self.scale * x + HALF * x + s * x
        d = np.prod(x.shape) / (x + 5)
        e = np.mean([1, 2]) * x + np.float64(self.d) / (x + 4)
        f = -np.log(2) * 3 + x + np.pi * x + self.plain * x
        for layer in self.layers:
            g, h = [layer(x), x]
        return a, b, c, d, e, f, np.exp(0.5) * g, np.float32(2) ** x, np.prod(x.shape[:1]) * x.long()
"""


@pytest.mark.parametrize("graph", [False, True])
def test_values_and_gradients_are_those_of_torch(sides, graph):
    import mindspore
    import torch

    original, ported, text = sides(SOURCE)
    x = np.linspace(-1, 1.2, 6, dtype=np.float32).reshape(2, 3)
    leaf = torch.tensor(x, requires_grad=True)
    expected = original.Net(4)(leaf)
    sum((o * o).sum() for o in expected if o.dtype == torch.float32).backward()
    net = ported.Net(4)

    def loss(value):
        total = 0
        for o in net(value)[:-1]:
            total = total + (o * o).sum()
        return total

    mindspore.set_context(mode=mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)
    try:
        found, gradient = net(mindspore.Tensor(x)), mindspore.grad(loss)(mindspore.Tensor(x))
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    for wanted, got in zip(expected, found, strict=True):
        assert isinstance(got, mindspore.Tensor)
        assert str(got.asnumpy().dtype) == str(wanted.dtype).removeprefix("torch.")
        np.testing.assert_allclose(got.asnumpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient.asnumpy(), leaf.grad.numpy(), rtol=1e-4, atol=1e-4)
    assert "float(np.log(2)) - x" in text and "np.pi * x + self.plain * x" in text and "x / np.sqrt(2)" in text


def test_arithmetic_without_tensors_stays(sides):
    source = (
        "import numpy as np\nimport torch\n\n\ndef f(x: np.ndarray, y, n: int):\n"
        "    return np.sqrt(2) * x, np.log(n) * y, np.sqrt(n) * 3, np.ones(3) * n\n\n\ndef g(t: torch.Tensor, scale):\n    return scale * t, 2 * t\n"
    )
    text = sides(source).text
    assert "np.sqrt(2) * x, np.log(n) * y, np.sqrt(n) * 3, np.ones(3) * n" in text and "scale * t, 2 * t" in text
