"""`y.type()` handed on as a dtype, and `x.type(y.dtype)` of a value that nothing else is known of."""

from __future__ import annotations

import numpy as np
import pytest

from porter.convert import convert_source

SOURCE = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Tanh()])
        for p in self.parameters():
            nn.init.constant_(p, 0.25)

    def steps(self, xs, k, dtype):
        return torch.arange(3).type(dtype) * k

    def forward(self, xs, y: torch.Tensor):
        h = xs[0]
        for layer in self.layers:
            h = layer(h)
        h = h.type(y.dtype)
        inside = (y < h).type(y.type()).prod(dim=1)
        same = inside.type() == y.type()
        return self.steps(xs, 2.0, xs[0].type()) + self.steps(xs, 1.0, dtype=y.type()), inside if same else h
"""


@pytest.mark.parametrize("graph", [False, True])
def test_the_type_of_one_tensor_is_given_to_another(sides, graph):
    import mindspore
    import torch

    original, ported, text = sides(SOURCE)
    assert ".type(" not in text.replace("ms_extras.typed", "")
    xs, y = np.full((2, 3), 0.5, np.float32), np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    expected = original.Net()([torch.tensor(xs)], torch.tensor(y))
    mindspore.set_context(mode=mindspore.GRAPH_MODE if graph else mindspore.PYNATIVE_MODE)
    try:
        found = ported.Net()([mindspore.Tensor(xs)], mindspore.Tensor(y))
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    for wanted, got in zip(expected, found, strict=True):
        assert got.asnumpy().dtype == wanted.numpy().dtype
        np.testing.assert_allclose(got.asnumpy(), wanted.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("return x.type() == 'torch.FloatTensor'", ["MSP201"]),
        ("print(x.type())", ["MSP201"]),
        ("name = x.type()\n    return name", ["MSP201"]),
        ("return thing.type()", []),
        ("return thing.type(thing.kind)", ["MSP301"]),
        ("return Box().type()", []),
    ],
)
def test_the_name_of_a_type_stays_refused(line, codes):
    source = f"import torch\n\n\nclass Box:\n    def type(self):\n        return 1\n\n\ndef f(x: torch.Tensor, thing):\n    {line}\n"
    ported = convert_source(source)
    assert [d.code for d in ported.diagnostics if d.code != "MSP301" or "MSP301" in codes] == codes
    assert ".dtype" not in ported.text
