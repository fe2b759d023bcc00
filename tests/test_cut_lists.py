"""Lists that a forward pass pops from keep their gradients in a compiled graph; what a graph hands to Python is named."""

from __future__ import annotations

import mindspore
import numpy as np
import pytest
import torch

from porter.convert import convert_source

SOURCE = """import functools
from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class State:
    x: torch.Tensor
    count: int


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)])
        self.up = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        BODY

    def first(self, tensors):
        return tensors[0] * 3 + tensors[-1]

    def last(self, tensors):
        return tensors.pop()
"""

CUT = {
    "pops of a loop": (
        "skips = []\nfor layer in self.down:\n    x = layer(x)\n    skips.append(x)\nfor layer in self.up:\n    x = layer(x * skips.pop())  # joined\nreturn x",
        "x = layer(x * skips[-1])\n            skips = skips[:-1]  # joined",
    ),
    "two pops of a statement": ("a = [x, x * 2, x * 3]\ny = a.pop() - 5 * a.pop(-1)\nreturn y * a[0]", "y = a[-1] - 5 * a[-2]\n        a = a[:-2]"),
    "the first": ("a = [x, x * 2, x * 3]\ny = a.pop(0)\nreturn y + a[0] * 7", "y = a[0]\n        a = a[1:]"),
    "a pop of nothing": ("a = [x, x * 2]\na.pop()\nreturn a[-1] * 3", "a = a[:-1]\n"),
    "a list that is handed on": (
        "a = []\nfor layer in self.down:\n    a.insert(0, layer(x))\na, b = self.first(a), 1\nreturn a", "a = [layer(x)] + a\n        a, b = self.first(a), 1",
    ),
    "ordered dictionaries": (
        "a = [x, x * 2]\nb = OrderedDict([(str(i), t) for i, t in enumerate(a)])\nc = OrderedDict([('k', x * 5)])\nreturn b['1'] + c['k']",
        "b = {str(i): t for i, t in enumerate(a)}\n        c = {'k': x * 5}",
    ),
    "turned": ("a = [x, x * 2, x * 3]\nfor t in reversed(a):\n    x = x * 2 + t\nreturn x", "for t in a[::-1]:"),
    "turned beside cells": (
        "skips = []\nfor layer in self.down:\n    x = layer(x)\n    skips.append(x)\nfor skip, layer in zip(reversed(skips), self.up):\n    x = layer(x * skip)\nreturn x",
        "in zip(skips[::-1], self.up):",
    ),
    "turned and counted": ("a = (x, x * 2, x * 3)\nfor i, t in enumerate(reversed(a)):\n    x = x * 2 + t * i\nreturn x", "in enumerate(a[::-1]):"),
    "turned cells": ("for i, layer in reversed(list(enumerate(self.down))):\n    x = layer(x) * (i + 1)\nreturn x", "in list(enumerate(self.down))[::-1]:"),
    "merged dictionaries": (
        "a = {'p': x, 'q': x * 2}\nb = {**a, 'r': x * 5}\nc = a.copy()\nd = dict(a, s=x)\nreturn b['q'] + b['r'] * 3 + c['q'] + d['s'] * 7 + d['p']",
        "b = ms_extras.merged(a, {'r': x * 5})\n        c = {key: value for key, value in a.items()}\n        d = ms_extras.merged(a, {'s': x})",
    ),
    "a copied list": ("a = [x, x * 2]\nb = a.copy()\nb.append(x * 3)\nreturn b[1] + b[2] + len(a)", "b = a[:]"),
    "a pop that is returned": ("a = [x, x * 2]\nreturn a.pop() * 3", "return a[-1] * 3"),
    "in front and between": (
        "a = [x]\na.insert(0, x * 2)\na.insert(1, x * 3)\na.reverse()\nreturn a[0] + 5 * a[1] + 7 * a[2]",
        "a = [x * 2] + a\n        a = a[:1] + [x * 3] + a[1:]\n        a = a[::-1]",
    ),
    "dictionaries": (
        "a = dict(one=x, two=x * 2)\nb = dict(zip(['one'], [x]))\nc = dict(a)\nreturn a['two'] + b['one'] + c['two'] + dict([('k', x * 3)])['k']",
        "a = {'one': x, 'two': x * 2}",
    ),
}  # fmt: skip
NAMED = {
    "a parameter": "a = [x, x * 2]\nreturn self.last(a)",
    "an alias": "a = [x, x * 2]\nb = a\ny = a.pop()\nreturn y + len(a) if b else y",
    "an instance": "return State(x * 2, 1).x",
    "a reduction": "return functools.reduce(torch.add, [x, x])",
    "an ordered dictionary": "a = OrderedDict([('a', x), ('b', x * 2)])\na.move_to_end('a')\nreturn a['a'] * len(a)",
    "a sorted list": "return sorted([(2, x), (1, x * 2)], key=len)[0][1]",
}
PLAIN = {
    "sizes": "a = [x.shape[0], 4]\nreturn x * sorted(a)[0]",
    "an empty dictionary": "a = OrderedDict()\na['x'] = x\nreturn a['x']",
    "a pop of sizes": "a = [1, 2]\nb = a\nreturn x * a.pop() * len(b)",
}


def written(body: str) -> str:
    return SOURCE.replace("BODY", body.replace("\n", "\n        "))


@pytest.mark.parametrize("case", CUT)
def test_lists_keep_their_gradients_in_graphs(case: str, sides) -> None:
    body, expected = CUT[case]
    loaded = sides(written(body))
    assert expected in loaded.text
    check(loaded, equal=True)


@pytest.mark.parametrize("case", NAMED)
def test_what_a_graph_hands_to_python_is_named(case: str, sides) -> None:
    codes = [d.code for d in convert_source(written(NAMED[case])).diagnostics]
    assert codes == (["MSP616", "MSP617"] if case == "an alias" else ["MSP616"])
    if case != "a parameter":  # which a graph refuses
        check(sides(written(NAMED[case]), *codes), equal=False)


@pytest.mark.parametrize("case", PLAIN)
def test_what_holds_no_tensor_is_not_named(case: str) -> None:
    assert not convert_source(written(PLAIN[case])).diagnostics


def check(loaded, equal: bool) -> None:
    """The value in both modes is torch's; the gradient in PYNATIVE mode, and in GRAPH mode where it is to be equal there."""
    torch.manual_seed(3)
    net, cell = loaded.original.Net(), loaded.ported.Net()
    for layers, ported in ((net.down, cell.down), (net.up, cell.up)):
        for layer, dense in zip(layers, ported):
            dense.weight.set_data(mindspore.Tensor(layer.weight.detach().numpy()))
            dense.bias.set_data(mindspore.Tensor(layer.bias.detach().numpy()))
    array = np.random.default_rng(5).normal(size=(2, 4)).astype(np.float32)
    x = torch.from_numpy(array).requires_grad_()
    y = net(x)
    y.square().sum().backward()

    def loss(z):
        return (cell(z) ** 2).sum()

    for mode in (mindspore.PYNATIVE_MODE, mindspore.GRAPH_MODE):
        mindspore.set_context(mode=mode)
        value, gradient = mindspore.value_and_grad(loss)(mindspore.Tensor(array))
        assert np.isclose(float(value), y.square().sum().item(), rtol=1e-5)
        same = np.allclose(gradient.asnumpy(), x.grad.numpy(), rtol=1e-4, atol=1e-5)
        assert same is (equal or mode == mindspore.PYNATIVE_MODE)
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
