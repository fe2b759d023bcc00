"""Products and quotients of complex tensors: torch's values and gradients; those of real tensors stay as short as they were."""

from __future__ import annotations

import numpy as np
import pytest

SOURCE = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def forward(self, x, y):
        z, w = torch.fft.rfft(x, dim=-1), torch.view_as_complex(y.reshape(2, 5, 2))
        scale = torch.arange(5.0) + 1
        product = z * torch.conj(w)
        first = torch.fft.irfft(product * scale + scale * z, n=8)
        quotient = z / (w + 3) / scale
        halves = (z * 0.5 + 2 * w) / 4.0 - 1 / (w * w + 5)
        turned = 1j * x[:, :5] + z * 1j
        called = torch.mul(z, scale) + z.div(w + 4) + torch.multiply(product, w)
        return first, torch.view_as_real(quotient), torch.view_as_real(halves), torch.view_as_real(turned), called.real, called.imag
"""


@pytest.mark.parametrize("graph", [False, True])
def test_complex_tensors_have_the_values_and_gradients_of_torch(sides, graph):
    import mindspore
    import torch

    original, ported, text = sides(SOURCE)
    x, y = np.linspace(-1, 2, 16, dtype=np.float32).reshape(2, 8), np.sin(np.arange(20, dtype=np.float32)).reshape(2, 10)
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, y)]
    expected = original.Net()(*inputs)
    sum((o * torch.cos(torch.arange(o.numel()).reshape(o.shape).float())).sum() for o in expected).backward()

    net = ported.Net()

    def weighed(*given):
        total = 0
        for o in net(*given):
            total = total + (o * mindspore.Tensor(np.cos(np.arange(o.size, dtype=np.float32)).reshape(o.shape))).sum()
        return total

    mindspore.set_context(mode=mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)
    try:
        given = [mindspore.Tensor(a) for a in (x, y)]
        found = net(*given)
        gradients = mindspore.grad(weighed, grad_position=(0, 1))(*given)
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    for wanted, got in zip(expected, found, strict=True):
        np.testing.assert_allclose(got.asnumpy(), wanted.detach().numpy(), rtol=1e-5, atol=1e-5)
    for leaf, got in zip(inputs, gradients, strict=True):
        np.testing.assert_allclose(got.asnumpy(), leaf.grad.numpy(), rtol=1e-4, atol=1e-4)
    assert "z * 0.5" in text and "2 * w" in text


def test_real_tensors_stay_plain(sides):
    text = sides(
        "import torch\n\n\ndef f(x, y, z):\n    s = torch.fft.rfft(x)\n    a, p = s.abs(), torch.angle(s)\n"
        "    r = torch.fft.irfft(s) * y\n    return a * p / r, x * y, torch.mul(x, y), z / x, s.real * s.imag\n"
    ).text
    assert "complex_product" not in text and "complex_quotient" not in text
