"""What a network outside of the optimizer computes before the loop carries no gradient that the step uses."""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
import pytest
import torch
from test_training import copy_weights, ported_module, torch_module

from porter.convert import convert_source

SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x):
        return self.a(x).tanh()


def make():
    return Net()


def copied(net):
    return net


def train(fill, batches, style):
    device = torch.device("cpu")
    net = Net().to(device)
    judge = Net().to(device)
    for p in judge.parameters():
        p.requires_grad = False
    fill(net, judge)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    wanted = [judge(style)]
    losses = []
    for x in batches:
        optimizer.zero_grad()
        loss = (judge(net(x)) - wanted[0]).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
"""


def test_targets_of_a_frozen_network_are_computed_once(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    data = [numbers.normal(size=(3, 4)).astype(np.float32) for _ in range(4)]
    reference, ported = torch_module(SOURCE, "apart_reference"), ported_module(SOURCE, tmp_path, "apart_ported")
    nets: list[torch.nn.Module] = [reference.make(), reference.make()]

    def fill(*own: torch.nn.Module) -> None:
        for one, other in zip(own, nets):
            one.load_state_dict(other.state_dict())

    def fill_cells(*own: mindspore.nn.Cell) -> None:
        for one, other in zip(own, nets):
            copy_weights(other, one)

    expected = reference.train(fill, [torch.tensor(d) for d in data[1:]], torch.tensor(data[0]))
    found = ported.train(fill_cells, [mindspore.Tensor(d) for d in data[1:]], mindspore.Tensor(data[0]))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("judge(style)", "net(style)"),
        ("judge = Net().to(device)", "judge = nn.Sequential(net)"),
        ("    fill(net, judge)\n", "    fill(net, judge)\n    judge.a = net.a\n"),
        ("judge = Net().to(device)", "judge = copied(net)"),
    ],
)
def test_a_network_that_may_share_with_the_trained_one_is_refused(old: str, new: str) -> None:
    assert "MSP210" in [d.code for d in convert_source(SOURCE.replace(old, new, 1)).diagnostics]


def test_a_lambda_that_gives_data_carries_nothing() -> None:
    batch = "    draw = lambda: (style, style)\n    y, _ = draw()\n    losses = []\n"
    source = SOURCE.replace("    losses = []\n", batch).replace("judge(net(x))", "judge(net(x)) * y")
    assert convert_source(source).diagnostics == ()


RECURRENT = """import torch
from torch import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 4)

    def forward(self, x, hidden):
        return self.rnn(x, hidden)

    def start(self, batch):
        return BODY


model = Net() if torch.rand(1) > 2 else torch.load("net.pt")


def train(loader):
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    hidden = model.start(3)
    for x in loader:
        optimizer.zero_grad()
        y, hidden = model(x, hidden)
        hidden = hidden.detach()
        loss = y.sum()
        loss.backward()
        optimizer.step()
"""


@pytest.mark.parametrize(
    ("body", "codes"),
    [("next(self.parameters()).new_zeros(1, batch, 4)", []), ("self(torch.zeros(2, batch, 4), None)[1]", ["MSP210"])],
)
def test_a_method_of_a_network_that_may_be_another_is_found_by_its_name(body: str, codes: list[str]) -> None:
    assert [d.code for d in convert_source(RECURRENT.replace("BODY", body)).diagnostics if d.code == "MSP210"] == codes
