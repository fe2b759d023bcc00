"""What a class derived from a layer of torch.nn changes after its base was built, and reads of what the base was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

SOURCE = """import torch.nn as nn
import torch.nn.functional as F


class Group(nn.GroupNorm):
    def __init__(self, channels):
        super().__init__(1, channels)
        self.eps = 0.3
        self.bias = None

    def forward(self, x):
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Layer(nn.LayerNorm):
    def __init__(self, channels):
        super().__init__(channels)
        self.eps = 0.2
        self.bias = None


class Batch(nn.BatchNorm2d):
    def __init__(self, channels):
        super().__init__(channels)
        self.eps = 0.5


class Pool(nn.AvgPool2d):
    def forward(self, x):
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class Conv(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, 2 * self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.Sequential(Batch(6), Group(6), Layer(5))
        self.pools = nn.Sequential(Pool((3, 2), 1, (1, 1)), Conv(6, 4, 3, (2, 1), (0, 1), bias=False))
        self.head = nn.Linear(6, 2)
        self.head.bias = None

    def forward(self, x):
        return self.head(self.pools(self.norms(x)))
"""


def _fill(cell: ms.nn.Cell, net: torch.nn.Module) -> None:
    """Gives a network noise for parameters and the cell the same; both have the same ones in the same order."""
    generator = torch.Generator().manual_seed(1)
    ours = list(cell.trainable_params())
    theirs = list(net.named_parameters())
    assert len(ours) == len(theirs) == 6
    for (name, value), mine in zip(theirs, ours):
        value.data += torch.rand(value.shape, generator=generator)
        assert mine.shape == tuple(value.shape), name
        mine.set_data(ms.Tensor(value.detach().numpy()))


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_derived_layers_compute_what_they_were_set_to(sides: Callable[[str], Any], mode: int) -> None:
    original, ported, _ = sides(SOURCE)
    ms.set_context(mode=mode)
    try:
        net, cell = original.Net(), ported.Net()
        _fill(cell, net)
        x = np.random.default_rng(0).normal(1, 0.5, (2, 6, 7, 5)).astype(np.float32)
        net.eval()
        cell.set_train(False)
        expected = net(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_what_a_pool_was_given_is_not_its_default() -> None:
    text = "import torch.nn as nn\nimport torch.nn.functional as F\n\n\nclass P(nn.AvgPool2d):\n    def forward(self, x):\n        return F.avg_pool2d(x, 3, {})\n"
    assert "ms_extras.avg_pool2d(x, 3, self.stride)" in convert_source(text.format("self.stride")).text
    assert "ops.avg_pool2d(x, 3, 3)" in convert_source(text.format("None")).text


def test_a_bias_of_its_own_stays_an_attribute() -> None:
    text = "import torch.nn as nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.bias = None\n"
    assert "self.bias = None" in convert_source(text).text


def test_reset_parameters_of_layers_and_not_of_other_objects() -> None:
    text = (
        "import torch.nn as nn\n\n\nclass Own(nn.Linear):\n    def reset_parameters(self):\n        super().reset_parameters()\n\n\n"
        "def reset(a: nn.LayerNorm, b: Own, c):\n    a.reset_parameters()\n    b.reset_parameters()\n    c.reset_parameters()\n"
    )
    ported = convert_source(text).text
    assert "        ms_extras.reset_parameters(self)\n" in ported
    assert "    ms_extras.reset_parameters(a)\n    b.reset_parameters()\n    c.reset_parameters()\n" in ported


def test_code_outside_of_functions_knows_the_layers_of_its_networks() -> None:
    source = (
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(16, 9)\n\n\n"
        "net = Net()\nsize = net.fc.in_features\nnet.fc = nn.Linear(size, 3)\n"
    )
    result = convert_source(source, path="net.py")
    assert "\nsize = net.fc.in_channels\n" in result.text and not result.diagnostics
