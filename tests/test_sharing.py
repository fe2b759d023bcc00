"""Changes in place that another name of the same tensor would show: named where they are seen, and not where they are not."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter.convert import convert_source
from porter.parity.ported import load_source, to_mindspore
from porter.parity.samples import parse_spec

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nfrom torch import Tensor\n\n\n"
NET = """
class Pre(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(True)
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(self.act(x))


def block():
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.LeakyReLU(0.2, True), nn.Conv2d(3, 3, 1)]
        others = []
        others.append(nn.Conv2d(3, 3, 1))
        others += [nn.ReLU(inplace=True)]
        self.other = nn.Sequential(*others)
        self.pre = Pre()
        self.down = nn.Sequential(*layers)
        self.first = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1))
        self.late = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True))
        self.made = block()
        self.conv = nn.Conv2d(3, 3, 1)
        self.act = nn.ReLU(True)
        self.pure = nn.ReLU(False)
        self.several = nn.ModuleList([nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)])
        self.added = nn.Sequential()
        self.added.add_module("0", nn.ReLU(inplace=True))
        self.convolved = nn.Sequential()
        self.convolved.add_module("0", nn.Conv2d(3, 3, 1))
        self.convolved.add_module("1", nn.ReLU(inplace=True))
        self.elsewhere = nn.Sequential()
        for i in range(2):
            self.elsewhere.add_module(str(i), self.first[i])

    def forward(self, x: Tensor):
        x = x * 2
"""

SEEN = {
    "a list that holds it": "feats = [x]\nx = self.act(x)\nreturn feats[0] + x",
    "a list that grew by it": "feats = []\nfeats.append(x)\nx += 1\nreturn feats[0] + x",
    "a dictionary": "d = {'a': x}\nx.mul_(2)\nreturn d['a'] + x",
    "an attribute": "self.saved = x\nx.add_(1)\nreturn self.saved + x",
    "a part of it": "a, b = x.chunk(2, dim=1)\na += 1\nreturn x + 1",
    "elements of a list": "xs = [x * 1, x * 2]\nfor s in xs:\n    s += 1\nreturn xs[0] + xs[1]",
    "the other operand": "return x + self.first(x)",
    "a network of its own": "return torch.cat([x, self.pre(x)], 1)",
    "layers from a list": "return torch.cat([x, self.down(x)], 1)",
    "a layer added later": "return torch.cat([x, self.added(x)], 1)",
    "a layer added that was made elsewhere": "return torch.cat([x, self.elsewhere(x)], 1)",
    "by position": "y = F.leaky_relu(x, 0.1, True) + 1\nreturn y + x",
    "layers in turn": "r = x\nfor layer in self.several:\n    x = layer(x)\nreturn x + r",
    "the same value under a second name": "r = x\nx = self.act(x)\nreturn x + r",
    "a view": "r = x.view(-1)\nx = self.act(x)\nreturn x.sum() + r",
    "slices that overlap": "a, b = x[:, :2], x[:, 1:]\na /= 2\nreturn a.sum() + b.sum()",
}

UNSEEN = {
    "the name is bound anew": "r = x\nx = self.conv(x)\nx = self.act(x)\nx += r\nreturn x",
    "the activation comes second": "return x + self.late(x)",
    "the activation is second in a list": "y = self.other(x)\nreturn x + y",
    "the activation is added second": "return x + self.convolved(x)",
    "made by a function, the activation second": "return x + self.made(x)",
    "asked not to": "y = self.pure(x)\nreturn x + y",
    "only the shape is read": "r = x\nx = self.act(x)\nreturn x.reshape(r.shape[0], -1, *r.size()[2:])",
    "parts that do not overlap": "a, b = x.chunk(2, dim=1)\na += 1\nreturn a.sum() + b.sum()",
    "slices that do not overlap": "n = 1\na, b, c = x[:, :n], x[:, n:2 * n], x[:, 2 * n:]\na /= 2\nreturn a + b + c",
    "each turn makes a new one": "feats = []\nfor _ in range(2):\n    x = self.conv(x)\n    x += 1\n    feats.append(x)\nreturn feats[0] + feats[1]",
    "a copy": "r = x.clone()\nx = self.act(x)\nreturn x + r",
}


def ported(body: str) -> Any:
    return convert_source(HEAD + NET.strip("\n") + "\n" + textwrap.indent(body, " " * 8) + "\n")


@pytest.mark.parametrize("body", SEEN.values(), ids=SEEN.keys())
def test_a_change_that_another_name_shows_is_named(body: str) -> None:
    assert {d.code for d in ported(body).diagnostics} == {"MSP204"}


@pytest.mark.parametrize("body", UNSEEN.values(), ids=UNSEEN.keys())
def test_a_change_that_nobody_sees_is_not(body: str) -> None:
    assert ported(body).diagnostics == ()


BATCHES = """
def run(net: Net, images: Tensor):
    loader = torch.utils.data.DataLoader(images, 4)
    for i, batch in enumerate(loader):
        out = net.pre(batch)
        print(i, len(loader), out)
"""


def test_batches_are_new_tensors_and_numbers_are_none() -> None:
    assert convert_source(HEAD + NET.strip("\n") + "\n        return x\n\n" + BATCHES).diagnostics == ()
    listed = BATCHES.replace("torch.utils.data.DataLoader(images, 4)", "[images, images * 2]").replace("len(loader)", "loader[0]")
    found = convert_source(HEAD + NET.strip("\n") + "\n        return x\n\n" + listed).diagnostics
    assert [(d.code, d.message.split()[0]) for d in found] == [("MSP204", "loader")]


KEPT = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.SiLU(True)

    def forward(self, x: Tensor):
        x = x * 2
        y = self.act(x)
        z = x * 3
        z.mul_(2).add_(y)
        w = z.sub_(1).div_(4)
        return x, y, z, w
"""


def test_results_take_the_place_of_what_was_changed(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    mindspore = pytest.importorskip("mindspore")
    result = convert_source(HEAD + KEPT)
    assert result.diagnostics == ()
    reference: dict[str, Any] = {"__name__": "reference"}
    exec(compile(HEAD + KEPT, "reference.py", "exec"), reference)
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    image = np.random.RandomState(0).randn(2, 3, 4, 4).astype(np.float32)
    try:
        net = load_source(tmp_path, "ported_sharing", result.text, result.extras).Net()
        found = net(to_mindspore(image, parse_spec("float32[1]")))
    finally:
        for name in ("ported_sharing", "ms_extras"):
            sys.modules.pop(name, None)
    wanted = reference["Net"]()(torch.from_numpy(image))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.numpy(), rtol=1e-5, atol=1e-5)
    assert not np.allclose(wanted[0].numpy(), image * 2)  # as a port that leaves x alone would have it
