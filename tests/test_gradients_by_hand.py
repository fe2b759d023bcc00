"""Gradients that a script changes between the backward pass and the step, and the state of an LSTM as a list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Sides
from mindspore import Tensor
from test_training import HEAD, batches, copy_weights, ported_module, torch_module

TRAIN = """
def train(model: Net, loader):
    losses = []
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        for p in model.parameters():
            CHANGE
        optimizer.step()
        losses.append(loss.item())
    return losses
"""
CHANGES = {
    "assigned": "p.grad.data = 0.5 * p.grad.data",
    "clamped": "p.grad.data.clamp_(-0.05, 0.05)",
    "multiplied": "p.grad.data *= 0.25",
    "noise": "p.grad.data.add_(p.data, alpha=0.1)",
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_gradients_are_what_the_step_uses(name: str, tmp_path: Path) -> None:
    source = HEAD + TRAIN.replace("CHANGE", CHANGES[name])
    reference, ported = torch_module(source, f"by_hand_{name}"), ported_module(source, tmp_path, f"by_hand_{name}")
    torch.manual_seed(0)
    net, cell = reference.Net(), ported.Net()
    copy_weights(net, cell)
    cell.set_train()
    data = batches(5, (6, 5), classes=3)
    expected = reference.train(net, [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in data])
    losses = ported.train(cell, [(Tensor(x), Tensor(y)) for x, y in data])
    np.testing.assert_allclose(losses, expected, rtol=2e-4)


LISTED = """
import torch
import torch.nn as nn


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x, state):
        return self.lstm(x, state)


def detach(states):
    return [state.detach() for state in states]


def run(net: Words, x: torch.Tensor):
    states = (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))
    for _ in range(3):
        states = detach(states)
        out, states = net(x, states)
    return out
"""


def test_a_list_is_a_state(sides: Callable[[str], Sides]) -> None:
    found = sides(LISTED)
    assert "self.lstm(x, tuple(state))" in found.text
    values = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    assert found.ported.run(found.ported.Words(), Tensor(values)).shape == (5, 2, 4)


def test_a_tuple_stays_one(sides: Callable[[str], Sides]) -> None:
    text = sides(LISTED.replace("        states = detach(states)\n", "")).text
    assert "self.lstm(x, state)" in text
