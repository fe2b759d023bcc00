"""Gradients that a helper clears are cleared in the port, and those that nothing clears add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mindspore import Tensor
from test_training import HEAD, batches, copy_weights, ported_module, torch_module

TWO = """
def train(first: Net, second: Net, loader):
    losses = []
    of_first = optim.SGD(first.parameters(), lr=0.1)
    of_second = optim.SGD(second.parameters(), lr=0.1)

    def clear():
        first.zero_grad()
        HELPER

    for x, y in loader:
        loss = nn.functional.cross_entropy(second(first(x).repeat(1, 2)[:, :5]), y)
        loss.backward()
        of_first.step()
        clear()
        loss = nn.functional.cross_entropy(second(x), y)
        loss.backward()
        of_second.step()
        clear()
        losses.append(loss.item())
    return losses
"""


@pytest.mark.parametrize("helper", ["second.zero_grad()", "pass"])
def test_a_helper_clears_the_gradients(helper: str, tmp_path: Path) -> None:
    """Without the second clearing both frameworks add the gradients of the first loss to the second's."""
    source = HEAD + TWO.replace("HELPER", helper)
    reference, ported = torch_module(source, f"clears_{len(helper)}"), ported_module(source, tmp_path, f"clears_{len(helper)}")
    torch.manual_seed(0)
    nets = [reference.Net() for _ in range(2)]
    cells = [ported.Net() for _ in range(2)]
    for net, cell in zip(nets, cells):
        copy_weights(net, cell)
        cell.set_train()
    data = batches(6, (4, 5), classes=3)
    expected = reference.train(*nets, [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in data])
    losses = ported.train(*cells, [(Tensor(x), Tensor(y)) for x, y in data])
    np.testing.assert_allclose(losses, expected, rtol=2e-4)
