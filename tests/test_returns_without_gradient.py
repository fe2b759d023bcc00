"""What returns under no_grad: numbers as they are, tensors without their gradient, and what is not known is named."""

from __future__ import annotations

import mindspore
import numpy as np
import torch
from mindspore import Tensor

from porter.convert import convert_source

SOURCE = """\
import torch
from torch import nn


class Agent:
    def __init__(self, net: nn.Linear):
        self.net = net

    def act(self, s: torch.Tensor):
        with torch.no_grad():
            return (self.net(s.unsqueeze(0)) * 2).sum(1).argmax().item()

    def whole(self, s: torch.Tensor):
        with torch.no_grad():
            return int(self.net(s).argmax(1)[0])

    def values(self, s: torch.Tensor):
        with torch.no_grad():
            return self.net(s), s.shape[0], self.net(s).cpu().numpy()


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        nn.init.constant_(self.a.weight, 0.5)
        nn.init.constant_(self.a.bias, 0.1)

    def forward(self, x):
        return self.a(x) * self.gate(x)

    def gate(self, x):
        with torch.no_grad():
            return torch.sigmoid(self.a(x))
"""


def test_a_return_under_no_grad_ends_the_gradient(sides) -> None:
    both = sides(SOURCE)
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    net, cell = both.original.Gated(), both.ported.Gated()
    given = torch.from_numpy(x).requires_grad_()
    net(given).sum().backward()
    np.testing.assert_allclose(mindspore.grad(lambda t: cell(t).sum())(Tensor(x)).asnumpy(), given.grad.numpy(), rtol=1e-5)
    theirs, own = both.original.Agent(net), both.ported.Agent(cell)
    assert own.whole(Tensor(x)) == theirs.whole(torch.from_numpy(x)) and own.act(Tensor(x)) == theirs.act(torch.from_numpy(x))
    values, count, array = own.values(Tensor(x))
    np.testing.assert_allclose(values.asnumpy(), array, rtol=1e-6)
    assert count == 2


def test_what_is_not_known_is_named() -> None:
    source = "import torch\n\n\nclass Agent:\n    def run(self, s, f):\n        with torch.no_grad():\n            return f(s)\n"
    assert [d.code for d in convert_source(source).diagnostics] == ["MSP205"]


def test_a_layer_that_is_made_changes_nothing_in_place() -> None:
    source = "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self, drop=0.5):\n        super().__init__()\n"
    source += "        self.drop = nn.Dropout(drop, inplace=True)\n        self.rnn = nn.GRU(3, 3, 2, dropout=drop)\n"
    assert not convert_source(source).diagnostics
