"""GRAPH mode's grammar: ported statements compile and mean what they meant; the rest is named as PYNATIVE only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest

from porter.convert import convert_source

SOURCE = '''import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.doubled = None
        self._last = None
        self.calls = 0

    def forward(self, x, kind=2):
        self.doubled = x * 2  # kept for the reader
        y = self.doubled + torch.relu(self.doubled)
        z = y * 3
        self._last = z
        self.calls += 1
        names = ["n"]
        names.extend(["a", "b"])
        row, col = [], []
        for i in range(2):
            row.append(i), col.append(i + 1)
        if (n := x.shape[0]) > 2 and kind in {2, 3}:
            return self._last * n + len(names) * x[row].sum() - x[col].sum()
        return self._last
'''


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_statements_compile_and_every_call_sees_its_own_values(sides: Callable[[str], Any], mode: int) -> None:
    """The second call is the test: a graph that reads self.doubled after setting it gives the first call's tensor again."""
    import torch

    original, port, _ = sides(SOURCE)
    net = original.Net()
    ms.set_context(mode=mode)
    try:
        cell = port.Net()
        for factor in (1.0, -3.0, 5.0):
            x = np.arange(1, 7, dtype=np.float32).reshape(3, 2) * factor
            expected = net(torch.tensor(x)).numpy()
            np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), expected, rtol=1e-6)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def _codes(body: str, more: str = "") -> list[str]:
    text = f"import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n{body}\n{more}"
    return [d.code for d in convert_source(text).diagnostics]


def test_what_only_pynative_runs_is_named() -> None:
    assert _codes("        try:\n            return x + 1\n        except ValueError:\n            return x") == ["MSP611"]
    assert _codes("        y = {1: x}\n        del y[1]\n        return x") == ["MSP611"]
    assert _codes("        return [n := x.shape[0], n]") == ["MSP611"]
    assert _codes("        for layer in self.children():\n            x = layer(x)\n        return x") == ["MSP611"]
    assert _codes("        device = next(self.parameters()).device\n        return x.to(device)") == []
    assert _codes("        self.p = x * 2\n        return self.tail()", "    def tail(self):\n        return self.p\n") == ["MSP612"]
    assert _codes("        if x.shape[0] > 1:\n            self.p = x * 2\n        return self.p") == ["MSP612"]


def test_what_runs_in_both_modes_is_not_named() -> None:
    assert _codes("        self.p = x * 2\n        return x") == []
    assert _codes("        self.n = x.shape[0]\n        return x * self.n") == []
    assert _codes("        y = x + self.h\n        self.h = y\n        return y") == []


INHERITED = '''import torch
from torch import nn


class First(nn.Module):
    def forward(self, x):
        return x + 1


class Second(First):
    def forward(self, x):
        return super().forward(x) * 2


class Third(Second):
    def forward(self, x):
        return super().forward(x) - 3


class Last(Second):
    pass


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.third, self.last = Third(), Last()

    def forward(self, x):
        return self.third(x) * self.last(x)
'''


def test_super_two_levels_up_in_graph_mode(sides: Callable[[str], Any]) -> None:
    """Plain super() there goes on for ever."""
    _, ported, text = sides(INHERITED)
    assert "super(Second, self).construct(x) * 2" in text and "super().construct(x) - 3" in text
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        cell = ported.Net()
        x = np.array([2.0, 5.0], np.float32)
        np.testing.assert_array_equal(cell(ms.Tensor(x)).asnumpy(), ((x + 1) * 2 - 3) * (x + 1) * 2)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_a_tensor_that_is_only_cast_is_read_under_a_local_name() -> None:
    head = "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.mean = torch.ones(3)\n\n"
    cast = convert_source(head + "    def forward(self, x):\n        self.mean = self.mean.type_as(x)\n        return x - self.mean\n")
    assert "        mean = self.mean.type_as(x)\n        return x - mean\n" in cast.text and cast.diagnostics == ()
    body = "    def forward(self, x):\n        self.mean = self.mean.type_as(x)\n        return x - self.mean\n"
    asked = convert_source(head + body + "\n    def centre(self):\n        return self.mean\n")
    assert "        self.mean = mean\n        return x - mean\n" in asked.text
    grown = convert_source(head + "    def forward(self, x):\n        self.mean = self.mean + x\n        return x - self.mean\n")
    assert [d.code for d in grown.diagnostics] == ["MSP612"]
