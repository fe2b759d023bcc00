"""Buffers that a loop changes in place are those of the network: averages of statistics, and copies of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mindspore import Tensor
from test_training import HEAD, batches, copy_weights, ported_module, torch_module

AVERAGE = """
class Average:
    def __init__(self, own, other):
        self.own, self.other = own, other

    def update(self):
        CHANGE


def train(net: Net, slow: Net, loader):
    average = Average(slow, net)
    for x, in loader:
        net(x)
        average.update()
    slow.eval()
    return slow(loader[0][0])
"""

CHANGES = {
    "data": "for b, m in zip(self.own.buffers(), self.other.buffers()):\n            b.data.copy_(m.data)",
    "in place": "for b, m in zip(self.own.buffers(), self.other.buffers()):\n            b.copy_(m)",
    "named": "for (_, b), (_, m) in zip(self.own.named_buffers(), self.other.named_buffers()):\n"
    "            b.data = 0.5 * b.data.float() + 0.5 * m.data.float()",
    "dictionary": "other = dict(self.other.named_buffers())\n        for name, b in self.own.named_buffers():\n            b.mul_(0).add_(other[name])",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_statistics_are_averaged(change: str, tmp_path: Path) -> None:
    source = HEAD + AVERAGE.replace("CHANGE", change)
    name = f"average_{abs(hash(change))}"
    expected, ported = torch_module(source, name), ported_module(source, tmp_path, name)
    nets = [expected.Net(), expected.Net()]
    cells = [ported.Net().set_train(), ported.Net().set_train()]
    for net, cell in zip(nets, cells):
        copy_weights(net, cell)
    data = batches(3, (6, 5))
    theirs = expected.train(*nets, [(torch.from_numpy(x) * 3,) for (x,) in data]).detach().numpy()
    np.testing.assert_allclose(ported.train(*cells, [(Tensor(x) * 3,) for (x,) in data]).asnumpy(), theirs, rtol=1e-4, atol=1e-5)
