"""Settings of layers that change after the layers were built: carried over, or named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

SOURCE = """from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.two = nn.BatchNorm2d(3)
        self.three = nn.BatchNorm3d(3)
        for m in self.modules():
            if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d)):
                m.eps = 0.5
                m.momentum = 0.3

    def forward(self, x):
        return self.two(x) + self.three(x[:, :, None])[:, :, 0]
"""


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_eps_and_momentum_of_batch_normalization(sides: Callable[[str], Any], mode: int) -> None:
    """With eps at its default the outputs are far away, with momentum at its default the statistics are."""
    original, ported, _ = sides(SOURCE)
    net, x = original.Net(), np.random.default_rng(0).normal(2, 1, (4, 3, 5, 6)).astype(np.float32)
    ms.set_context(mode=mode)
    try:
        cell = ported.Net()
        for training in (True, False):
            net.train(training)
            cell.set_train(training)
            expected = net(torch.tensor(x)).detach().numpy()
            np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(cell.two.moving_mean.asnumpy(), net.two.running_mean.numpy(), rtol=1e-5)
        np.testing.assert_allclose(cell.three.bn2d.moving_mean.asnumpy(), net.three.running_mean.numpy(), rtol=1e-5)
        assert abs(net.two.running_mean.numpy() - 0.1 * x.mean((0, 2, 3))).max() > 0.1  # the control
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


@pytest.mark.parametrize(
    "line", ["m.padding = (1, 1)" , "m.stride = 2", "m.dilation = (2, 2)", "m.groups, m.x = 1, 2"], ids=["padding", "stride", "dilation", "tuple"]
)  # fmt: skip
def test_settings_that_a_built_layer_no_longer_reads_are_named(line: str) -> None:
    text = f"from torch import nn\n\n\ndef change(m: nn.Conv2d):\n    {line}\n"
    ported = convert_source(text)
    assert [d.code for d in ported.diagnostics] == ["MSP208"]
    assert line in ported.text
