"""The weight of a one-dimensional convolution is read with torch's three axes, and set with them; what cannot be followed is named."""

from __future__ import annotations

import numpy as np
import pytest

from porter.convert import convert_source

SOURCE = """\
import torch
import torch.nn as nn
import torch.nn.functional as F
from einops import rearrange


class Standardized(nn.Conv1d):
    def forward(self, x):
        w = self.weight
        mean, std = w.mean(dim=(1, 2), keepdim=True), self.weight.std(dim=[1, 2], keepdim=True)
        return F.conv1d(x, (w - mean) / (std + 1e-5), self.bias, padding=1)


class Net(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.first = Standardized(c, c, 3, padding=1)
        self.turn = nn.Conv1d(c, c, 1, bias=False)
        self.deep = nn.Conv1d(c, c, 4, groups=c, bias=False)
        self.up = nn.ConvTranspose1d(c, c, 2, bias=False)
        self.turn.weight.data = torch.eye(c).view(c, c, 1) + 0.5
        self.deep.weight.data = self.deep.weight.data.clone().fill_(0.3)
        self.up.weight.data *= 0.5
        nn.init.constant_(self.up.weight, 0.1)
        for p in self.first.parameters():
            nn.init.uniform_(p, -0.5, 0.5)

    def forward(self, x):
        x = self.first(x)
        y = torch.einsum('oi,bil->bol', self.turn.weight.squeeze(-1), x) + self.turn(x)
        y = y[:, :, :4] * rearrange(self.deep.weight, 'd 1 w -> d w') + self.deep.weight.flatten().sum()
        z = F.conv_transpose1d(y, self.up.weight) + self.up.weight[:, :, 0].sum() * self.up.weight.size(2)
        return self.up(y) + z + self.deep.weight.norm() + torch.linalg.norm(self.turn.weight, dim=2).sum() * self.deep.weight.shape[-1]
"""


@pytest.mark.parametrize("graph", [False, True])
def test_values_and_gradients_are_those_of_torch(sides, graph):
    import mindspore
    import torch

    original, ported, text = sides(SOURCE)
    x = np.sin(np.arange(36, dtype=np.float32)).reshape(2, 3, 6)
    net = original.Net(3)
    leaf = torch.tensor(x, requires_grad=True)
    expected = net(leaf)
    (expected * expected).sum().backward()
    mindspore.set_context(mode=mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)
    try:
        cell = ported.Net(3)
        for parameter in cell.trainable_params():
            value = dict(net.named_parameters())[parameter.name].detach().numpy()
            parameter.set_data(mindspore.Tensor(value.reshape(parameter.shape)))

        def loss(value):
            found = cell(value)
            return (found * found).sum()

        found = cell(mindspore.Tensor(x)).asnumpy()
        by_input, by_weights = mindspore.grad(loss, 0, mindspore.ParameterTuple(cell.trainable_params()))(mindspore.Tensor(x))
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(by_input.asnumpy(), leaf.grad.numpy(), rtol=1e-3, atol=1e-2)
    for parameter, got in zip(cell.trainable_params(), by_weights, strict=True):
        wanted = dict(net.named_parameters())[parameter.name].grad.numpy()
        np.testing.assert_allclose(got.asnumpy().reshape(wanted.shape), wanted, rtol=1e-3, atol=1e-2)
    assert tuple(ported.Net(3).turn.weight.shape) == (3, 3, 1, 1)
    np.testing.assert_array_equal(ported.Net(3).turn.weight.asnumpy()[:, :, 0, 0], np.eye(3) + 0.5)


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("self.conv.weight.data[:, :, 1:] = 0", ["MSP208"]),
        ("self.conv.weight.data *= mask", ["MSP208"]),
        ("self.conv.weight.data.copy_(mask)", ["MSP208"]),
        ("self.conv.weight = nn.Parameter(mask)", ["MSP208"]),
        ("with torch.no_grad():\n            self.conv.weight.copy_(mask)", ["MSP208"]),
        ("with torch.no_grad():\n            self.conv.weight[:, :, 0] = 1", ["MSP208"]),
        ("self.conv.weight.data *= 2", []),
        ("self.conv.weight.data.mul_(0.5)", []),
        ("self.conv.weight.requires_grad = False", []),
        ("self.flat.weight.data[:, :, 1:] = 0", []),
        ("self.flat.weight.data *= mask", []),
    ],
)
def test_what_changes_the_weight_by_its_axes_is_named(line, codes):
    source = (
        "import torch\nimport torch.nn as nn\n\n\nclass Net(nn.Module):\n    def __init__(self, mask: torch.Tensor):\n        super().__init__()\n"
        f"        self.conv, self.flat = nn.Conv1d(2, 2, 3), nn.Conv2d(2, 2, 3)\n        {line}\n"
    )
    ported = convert_source(source)
    assert [d.code for d in ported.diagnostics] == codes
    assert "squeeze" not in ported.text
