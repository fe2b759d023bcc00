"""Items that one name gets and another shows: where MindSpore keeps the two apart it is said, and left alone where it does not."""

from __future__ import annotations

import mindspore
import numpy as np
import pytest
import torch

from porter.convert import convert_source

SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def grow(self, found, x):
        found.append(x * 3)
        return x

    def put(self, found, x):
        found['k'] = x * 3

    def zero(self, t):
        t[:, 0] = 0

    def forward(self, x):
        BODY
"""
GRAPH = {  # the values of a compiled graph differ
    "two names": "a = [x, x * 2]\nb = a\nb.append(x * 3)\nreturn a[-1] * a[0]",
    "an item of two names": "a = [x, x * 2]\nb = a\nb[0] = x * 5\nreturn a[0]",
    "a list in a list": "a = [[x], [x * 2]]\nb = a[0]\nb.append(x * 3)\nreturn a[0][-1] * b[0]",
    "a list in a dictionary": "a = {'k': [x]}\nfor v in a.values():\n    v.append(x * 3)\nreturn a['k'][-1]",
    "a list put away": "a = [x]\nc = {'l': a}\na.append(x * 3)\nreturn c['l'][-1]",
    "a list in a tuple": "a = [x]\nc = (a, x)\nc[0].append(x * 3)\nreturn a[-1]",
    "a longer list": "a = [x, x * 2]\nb = a\na += [x * 3]\nreturn b[-1] + a[-1]",
    "a list handed on": "a = [x]\ny = self.grow(a, x)\nreturn a[-1] * y",
    "a list of the function around": "a = [x]\ndef add(t):\n    a.append(t * 3)\nadd(x)\nreturn a[-1]",
    "a tensor of two names": "y = x * 2\nz = y\nz[:, 0] = 5\nreturn y * 3",
    "a tensor handed on": "y = x * 2\nself.zero(y)\nreturn y * x",
}
BOTH = {  # those of PYNATIVE mode differ as well, where a gradient is taken
    "a view that gets items": "y = x * 2\nz = y.view(-1)\nz[0] = 7\nreturn y * 3",
    "a view of what gets items": "y = x * 2\nz = y.t()\ny[0] = 7\nreturn z * 3",
    "a part that is added to": "y = x * 2\nz = y.unsqueeze(0)\nz[0, 0] += 7\nreturn y * 3",
}
PLAIN = {
    "one name": "a = [x]\na.append(x * 2)\na[0] = x * 3\nreturn a[0] * a[1]",
    "the first of a longer list": "a = [x]\ny = self.grow(a, x)\nreturn a[0] * y",
    "a copy": "a = [x]\nb = list(a)\nb.append(x * 2)\nreturn a[-1] * b[-1]",
    "a list of each round": "a = []\nfor i in range(3):\n    b = []\n    for j in range(2):\n        b.append(x * (i + j))\n    a.append(b)\nreturn a[1][1] + a[2][0]",
    "a list that is named again": "a = [x]\nb = a\nb.append(x * 2)\na = b\nreturn a[-1]",
    "a view that is named again": "y = x * 2\nz = y.view(-1)\ny[0] = 7\nz = y.view(-1)\nreturn z * 3",
    "items of a list": "y = [x, x * 2]\ny[0] = y[0] * 2\ny[1] += x\nreturn y[0] * y[1]",
    "items of a tensor": "y = torch.zeros(2, 4)\ny[0] = x[1]\ny[1] += x[0] * 2\nreturn y * x",
}


def written(body: str) -> str:
    return SOURCE.replace("BODY", body.replace("\n", "\n        "))


@pytest.mark.parametrize("case", GRAPH)
def test_what_a_graph_keeps_apart_is_named(case: str, sides) -> None:
    source = written(GRAPH[case])
    assert {d.code for d in convert_source(source).diagnostics} == {"MSP617"}
    assert _modes(sides(source, "MSP617")) == [True, False]


@pytest.mark.parametrize("case", BOTH)
def test_items_of_views_are_named(case: str, sides) -> None:
    source = written(BOTH[case])
    assert {d.code for d in convert_source(source).diagnostics} == {"MSP204"}
    assert _modes(sides(source, "MSP204")) == [False, False]


@pytest.mark.parametrize("case", PLAIN)
def test_one_name_is_enough(case: str, sides) -> None:
    source = written(PLAIN[case])
    assert convert_source(source).diagnostics == ()
    assert _modes(sides(source)) == [True, True]


def _modes(loaded) -> list[bool]:
    """Whether values and gradients are torch's in PYNATIVE and in GRAPH mode."""
    array = np.random.default_rng(5).normal(size=(2, 4)).astype(np.float32)
    x = torch.from_numpy(array).requires_grad_()
    y = loaded.original.Net()(x).square().sum()
    y.backward()
    cell = loaded.ported.Net()

    def loss(z):
        return (cell(z) ** 2).sum()

    found = []
    for mode in (mindspore.PYNATIVE_MODE, mindspore.GRAPH_MODE):
        mindspore.set_context(mode=mode)
        value, gradient = mindspore.value_and_grad(loss)(mindspore.Tensor(array))
        same = np.isclose(float(value), y.item(), rtol=1e-5) and np.allclose(gradient.asnumpy(), x.grad.numpy(), rtol=1e-4, atol=1e-5)
        found.append(bool(same))
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    return found


MASKS = {
    "a mask that is read twice": "m = x > 0\nreturn x * m.float() + m.float().mean()",
    "masks of masks": "m = x > 0\nn = m & (x < 1)\nreturn x * n + x * x * n + m.sum()",
    "a function's mask": "m = torch.isnan(x)\nreturn x * m + m.sum() + x",
}


@pytest.mark.parametrize("case", MASKS)
def test_masks_end_the_gradient(case: str, sides) -> None:
    loaded = sides(written(MASKS[case]))
    assert "m = ops.stop_gradient(" in loaded.text or "n = ops.stop_gradient(" in loaded.text
    assert _modes(loaded) == [True, True]


def test_a_mask_that_is_read_once_stays() -> None:
    text = convert_source(written("m = x > 0\nreturn x * m + torch.where(m, x, x * 2) + x[m].sum()")).text
    assert "m = x > 0\n" in text
