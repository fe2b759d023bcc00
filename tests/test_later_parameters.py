"""Layers that are thawed, frozen or given to the optimizer while the loop runs: the gradients are those of the parameters of each step."""

from __future__ import annotations

from collections.abc import Callable

import mindspore
import numpy as np
import pytest
import torch
from conftest import Sides, same_weights

from porter.convert import convert_source

SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.second = nn.Linear(5, 3)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def freeze(layer, frozen):
    for p in layer.parameters():
        p.requires_grad = not frozen


def train(net, data):
    freeze(net.first, True)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for epoch in range(4):
        if epoch == 1:
            freeze(net.first, False)
            optimizer.add_param_group({"params": net.first.parameters(), "lr": 0.01})
        for x, y in data:
            net.zero_grad()
            loss = ((net(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def by_hand(net, data):
    losses = []
    for step, (x, y) in enumerate(data + data):
        freeze(net.second, step == 1)
        freeze(net.first, step == 2)
        loss = ((net(x) - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for p in net.parameters():
                if p.grad is not None:
                    p -= 0.1 * p.grad
        net.zero_grad()
        losses.append(loss.item())
    return losses
"""


@pytest.mark.parametrize("name", ["train", "by_hand"])
def test_the_parameters_of_each_step(sides: Callable[[str], Sides], name: str) -> None:
    both = sides(SOURCE)
    numbers = np.random.default_rng(0)
    data = [tuple(numbers.normal(size=(6, size)).astype(np.float32) for size in (4, 3)) for _ in range(2)]
    reference, own = both.original.Net(), both.ported.Net()
    same_weights(own, reference)
    wanted = getattr(both.original, name)(reference, [tuple(map(torch.tensor, pair)) for pair in data])
    found = getattr(both.ported, name)(own, [tuple(map(mindspore.Tensor, pair)) for pair in data])
    assert found == pytest.approx(wanted, rel=1e-5)
    for parameter in own.get_parameters():
        np.testing.assert_allclose(parameter.asnumpy(), reference.state_dict()[parameter.name].numpy(), rtol=1e-4, atol=1e-6)


def test_where_nothing_changes_the_gradient_function_is_mindspores(sides: Callable[[str], Sides]) -> None:
    before = SOURCE.replace("            freeze(net.first, False)\n", "            pass\n").replace("            optimizer.add_param", "            optimizer.no_")
    assert "ms_extras.value_and_grad" in sides(SOURCE).text
    plain = before[: before.index("def by_hand")].replace('optimizer.no__group({"params": net.first.parameters(), "lr": 0.01})', "pass")
    assert "grad_fn = mindspore.value_and_grad(forward_fn, None, optimizer.parameters)" in sides(plain).text


def test_an_input_whose_gradient_is_read_is_named() -> None:
    source = (
        "import torch\n\n\ndef attack(net, x: torch.Tensor, y):\n    x.requires_grad = True\n    loss = ((net(x) - y) ** 2).mean()\n"
        "    loss.backward()\n    return x + 0.1 * x.grad.sign()\n"
    )
    assert ("MSP201", 5) in [(d.code, d.location.line) for d in convert_source(source, path="net.py").diagnostics]
    unread = source.replace("x.grad", "x")
    assert not [d for d in convert_source(unread, path="net.py").diagnostics if d.code == "MSP201"]
