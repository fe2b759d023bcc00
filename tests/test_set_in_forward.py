"""Parameters that a forward pass sets by their data: values and gradients of torch in PYNATIVE and GRAPH mode; tuples of modules."""

from __future__ import annotations

import numpy as np
import pytest

SOURCE = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(1, n))
        self.scale = nn.Parameter(torch.ones(1, n))
        self.layers = nn.ModuleList((
            nn.Tanh(),  # first
            nn.Sigmoid(),
        ))
        self.others = nn.ModuleList((nn.Tanh(),))
        self.loc.data.fill_(0.5)
        self.scale.data *= 2

    def initialize(self, x):
        with torch.no_grad():
            self.loc.data.copy_(-x.mean(0, keepdim=True))
            self.scale.data /= x.std(0, keepdim=True) + 1e-6

    def forward(self, x):
        self.initialize(x)
        y = self.scale * (x + self.loc)
        for layer in self.layers:
            y = layer(y)
        return self.others[0](y)
"""


@pytest.mark.parametrize("graph", [False, True])
def test_a_forward_pass_sets_parameters(sides, graph):
    import mindspore
    import torch

    original, ported, text = sides(SOURCE)
    x = np.linspace(-1, 2, 8, dtype=np.float32).reshape(4, 2) ** 2
    net = original.Net(2)
    leaf = torch.tensor(x, requires_grad=True)
    expected = net(leaf)
    weights = torch.arange(8.0).reshape(4, 2)
    (expected * weights).sum().backward()
    mindspore.set_context(mode=mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)
    try:
        cell = ported.Net(2)
        found = cell(mindspore.Tensor(x))
        again = ported.Net(2)
        factors = mindspore.Tensor(weights.numpy())

        def loss(value):
            return (again(value) * factors).sum()

        by_input, by_weights = mindspore.grad(loss, 0, mindspore.ParameterTuple(again.trainable_params()))(mindspore.Tensor(x))
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    np.testing.assert_allclose(found.asnumpy(), expected.detach().numpy(), rtol=1e-5)
    for parameter, wanted in zip(cell.trainable_params(), net.parameters(), strict=True):
        np.testing.assert_allclose(parameter.asnumpy(), wanted.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(by_input.asnumpy(), leaf.grad.numpy(), rtol=1e-4, atol=1e-6)
    for got, wanted in zip(by_weights, net.parameters(), strict=True):
        np.testing.assert_allclose(got.asnumpy(), wanted.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert "nn.CellList([\n" in text and "nn.CellList([nn.Tanh()])" in text
    assert text.count("set_data") == 2  # what __init__ sets
