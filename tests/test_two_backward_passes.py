"""Two losses of one forward pass, each with its own backward pass, before the steps of their optimizers."""

from __future__ import annotations

from collections.abc import Callable

import mindspore
import numpy as np
import pytest
import torch
from conftest import Sides, same_weights

SOURCE = """import torch
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.code = nn.Linear(4, 3)
        self.back = nn.Linear(3, 4)
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.code(x)


def run(net, data):
    first = torch.optim.SGD([*net.code.parameters(), *net.back.parameters()], lr=0.1)
    second = torch.optim.SGD([*net.code.parameters(), *net.head.parameters()], lr=0.05)
    losses = []
    for x, y in data:
        z = net(x)
        kept = F.mse_loss(net.back(z), x)
        told = F.mse_loss(net.head(z), y)
        first.zero_grad()
        second.zero_grad()
        kept.backward(retain_graph=True)
        told.backward()
        first.step()
        second.step()
        losses += [kept.item(), told.item()]
    return losses
"""


def test_both_add_to_the_gradients(sides: Callable[[str], Sides]) -> None:
    both = sides(SOURCE)
    numbers = np.random.default_rng(0)
    data = [tuple(numbers.normal(size=(6, size)).astype(np.float32) for size in (4, 2)) for _ in range(4)]
    reference, own = both.original.Net(), both.ported.Net()
    same_weights(own, reference)
    wanted = both.original.run(reference, [tuple(map(torch.tensor, pair)) for pair in data])
    found = both.ported.run(own, [tuple(map(mindspore.Tensor, pair)) for pair in data])
    assert found == pytest.approx(wanted, rel=1e-5)
