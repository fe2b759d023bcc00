"""A tensor of its own that an optimizer holds becomes a parameter, and what is computed from it can be differentiated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mindspore import Tensor
from test_training import HEAD, batches, copy_weights, ported_module, torch_module

from porter.convert import convert_source

TEMPERATURE = """
class Agent:
    def __init__(self):
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.alpha = self.log_alpha.exp().item()
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=0.1)


def train(model: Net, loader):
    log_beta = torch.full((1,), 0.5, requires_grad=True, device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    beta_optimizer = torch.optim.SGD([{"params": [log_beta]}], lr=0.2)
    agent = Agent()
    seen = []
    for x, y in loader:
        for _ in range(2):
            out = model(x)
            loss = (agent.alpha * out + (out - y) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if agent.alpha > 0:
                with torch.no_grad():
                    out = model(x)
                beta_loss = (log_beta.exp() * (out + 0.3)).mean()
                beta_optimizer.zero_grad()
                beta_loss.backward()
                beta_optimizer.step()
                seen.append(beta_loss.item())
        seen += [loss.item(), adapt(agent, x)]
    return seen


def adapt(agent: Agent, x):
    alpha_loss = -(agent.log_alpha * (x + 0.7).detach()).mean()
    return alpha_loss.item()
"""


def test_a_temperature_is_learned_beside_a_network(tmp_path: Path) -> None:
    data = batches(3, (4, 5), (4, 3))
    expected = torch_module(HEAD + TEMPERATURE, "leaf")
    ported = ported_module(HEAD + TEMPERATURE, tmp_path, "leaf")
    model = expected.Net()
    cell = ported.Net()
    copy_weights(model, cell)
    cell.set_train()
    theirs = expected.train(model, [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in data])
    own = ported.train(cell, [(Tensor(x), Tensor(y)) for x, y in data])
    np.testing.assert_allclose(own, theirs, rtol=1e-4)


@pytest.mark.parametrize(
    "made",
    [
        "torch.zeros(1)",  # torch's optimizer refuses it too
        "torch.zeros(1, requires_grad=flag)",
    ],
)
def test_a_tensor_without_a_gradient_is_no_parameter(made: str) -> None:
    source = f"import torch\nflag = input()\nx = {made}\noptimizer = torch.optim.SGD([x], lr=0.1)\n"
    source += "loss = (x * 3).sum()\noptimizer.zero_grad()\nloss.backward()\noptimizer.step()\n"
    result = convert_source(source)
    assert "Parameter" not in result.text and result.diagnostics
