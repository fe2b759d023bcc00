"""A loop that trains and validates: the gradient is taken in the turns that use it, and only there."""

from __future__ import annotations

from collections.abc import Callable

import mindspore
import numpy as np
import pytest
import torch
from conftest import Sides, same_weights

SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x)


def run(net, data, phases, late=False):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for phase in phases:
        for x, y in data:
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                out = net(x)
                loss = ((out - y) ** 2).mean()
                if phase == "train" and not late:
                    loss.backward()
                    optimizer.step()
            losses.append(loss.item() + out.sum().item())
    return losses
"""


def test_the_gradient_is_taken_where_it_is_used(sides: Callable[[str], Sides]) -> None:
    both = sides(SOURCE)
    assert """            if phase == "train" and not late:
                (loss, out), grads = grad_fn(x, y)
            else:
                loss, out = forward_fn(x, y)
""" in both.text
    numbers = np.random.default_rng(0)
    data = [tuple(numbers.normal(size=(6, size)).astype(np.float32) for size in (4, 3)) for _ in range(2)]
    reference, own = both.original.Net(), both.ported.Net()
    same_weights(own, reference)
    phases = ["val", "train", "val", "train"]
    wanted = both.original.run(reference, [tuple(map(torch.tensor, pair)) for pair in data], phases)
    found = both.ported.run(own, [tuple(map(mindspore.Tensor, pair)) for pair in data], phases)
    assert found == pytest.approx(wanted, rel=1e-5)


def test_a_condition_that_may_change_in_between_is_asked_where_it_stood(sides: Callable[[str], Sides]) -> None:
    changed = SOURCE.replace("                if phase", "                late = out.sum().item() > 0\n                if phase")
    text = sides(changed).text
    assert "grads = grad_fn(x, y)" in text and "forward_fn(x, y)\n" not in text
