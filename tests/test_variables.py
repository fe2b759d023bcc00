"""`Variable(x)` cuts x from its graph: a gradient function stops the gradient there, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from test_training import ported_module, torch_module

SOURCE = """
import torch
from torch import nn
from torch.autograd import Variable


def again(h):
    return Variable(h) * 2


first, second = nn.Linear(3, 3), nn.Linear(3, 1)
with torch.no_grad():
    for p in list(first.parameters()) + list(second.parameters()):
        p.fill_(0.25)
optimizer = torch.optim.SGD(list(first.parameters()) + list(second.parameters()), lr=0.1)
data = torch.arange(12.0).reshape(4, 3) / 12
losses = []
for i in range(4):
    x = Variable(data)
    h = first(x)
    if i % 2:
        h = Variable(h)
    else:
        h = h + again(h)
    loss = (second(h) - Variable(torch.ones(4, 1))).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
"""


def test_a_variable_cuts_the_graph(tmp_path: Path) -> None:
    ported = ported_module(SOURCE, tmp_path, "variables")
    np.testing.assert_allclose(ported.losses, torch_module(SOURCE, "variables").losses, rtol=1e-5)
    text = (tmp_path / "variables.py").read_text("utf-8")
    assert text.count("stop_gradient") == 2 and "x = data" in text
