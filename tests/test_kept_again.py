"""A list that one function fills from its forward pass and another makes its loss of holds functions in the port."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mindspore import Tensor
from test_training import copy_weights, ported_module, torch_module

from porter.convert import convert_source

SOURCE = """from collections import namedtuple

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.distributions import Categorical

Kept = namedtuple("Kept", ["score", "value"])


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)
        self.value = nn.Linear(4, 1)
        self.kept = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.body(x))
        return F.softmax(self.head(x), dim=-1), self.value(x)


policy = Policy()
optimizer = optim.Adam(policy.parameters(), lr=0.05)


def act(state, action):
    probs, value = policy(state)
    chances = Categorical(probs)  # over the actions
    drawn = chances.sample()
    policy.kept.append(Kept(chances.log_prob(action), value))
    return drawn.item()


def learn():
    total = 0
    losses = []
    for (score, value), r in zip(policy.kept, policy.rewards):
        total = total + r
        losses.append(-score * (total - value.item()) + (value - total).pow(2).sum())
    optimizer.zero_grad()
    loss = torch.stack(losses).sum()
    loss.backward()
    optimizer.step()
    del policy.kept[:]
    del policy.rewards[:]
    return loss.item()


def episodes(states, actions):
    losses = []
    for some, chosen in zip(states, actions):
        for state, action in zip(some, chosen):
            act(state, action)
            policy.rewards.append(0.5)
        losses.append(learn())
    return losses
"""


def test_an_entry_is_computed_again_where_the_loss_is_differentiated(tmp_path: Path) -> None:
    reference, ported = torch_module(SOURCE, "kept_reference"), ported_module(SOURCE, tmp_path, "kept_ported")
    copy_weights(reference.policy, ported.policy)
    numbers = np.random.default_rng(0)
    states, actions = numbers.normal(size=(3, 4, 5)).astype(np.float32), numbers.integers(0, 3, (3, 4))
    expected = reference.episodes(torch.tensor(states), torch.tensor(actions))
    found = ported.episodes(Tensor(states), Tensor(actions))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_entry_that_calls_the_network_itself(tmp_path: Path) -> None:
    source = SOURCE.replace("Kept(chances.log_prob(action), value)", "Kept(Categorical(policy(state)[0]).log_prob(action), policy(state)[1])")
    reference, ported = torch_module(source, "direct_reference"), ported_module(source, tmp_path, "direct_ported")
    copy_weights(reference.policy, ported.policy)
    states, actions = np.random.default_rng(1).normal(size=(2, 3, 5)).astype(np.float32), np.array([[0, 2, 1], [1, 1, 0]])
    expected = reference.episodes(torch.tensor(states), torch.tensor(actions))
    np.testing.assert_allclose(ported.episodes(Tensor(states), Tensor(actions)), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = F.relu(self.body(x))", "x = F.dropout(F.relu(self.body(x)), 0.5, self.training)"),
        ("        self.kept = []\n", "        self.kept = []\n        self.norm = nn.BatchNorm1d(4)\n"),
        ("x = F.relu(self.body(x))", "self.last = x = F.relu(self.body(x))"),
        ("    return drawn.item()", "    action = drawn\n    return action.item()"),
        ("probs, value = policy(state)", "probs, value = policy(state + torch.randn(5))"),
        ("    return loss.item()", "    return loss.item() + len(list(policy.kept))"),
        ("def episodes(", "def last():\n    return policy.kept[-1].value\n\n\ndef episodes("),
        ("    drawn = chances.sample()\n", "    drawn = chances.sample()\n    if drawn > 1:\n        chances = Categorical(probs)\n"),
        ("def episodes(", "def copy(other):\n    policy.load_state_dict(other)\n\n\ndef episodes("),
    ],
)
def test_an_entry_that_may_come_out_otherwise_is_refused(old: str, new: str) -> None:
    assert old in SOURCE
    assert "MSP210" in [d.code for d in convert_source(SOURCE.replace(old, new, 1)).diagnostics]
