"""Python that GRAPH mode cannot compile: its other form computes the same in both modes, and code that no network runs stays as it was."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

HEAD = """\
import torch
from torch import nn


class Flow(ValueError):
    pass


class Scale(nn.Module):
    def forward(self, x, context=None):
        return x if context is None else x + context


{helper}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = False
        self.layers = nn.ModuleList([nn.Tanh(), nn.Sigmoid()])
        self.scale = Scale()

    def forward(self, x):
{body}
"""
HELPER = """\
def helper(x, n):
    for i in range(n):
        y = x * (i + 2)
    return y - x
"""
FORMS = {
    "return helper(x, 3)": "y = None\n    for i in range(n):",
    "y = x + 1\nz = y * 2\ndel y\nreturn z": "z = y * 2\n        return z",
    "for f, n in zip(self.layers, (2, 3), strict=True):\n    x = f(x) * n\nreturn x": "zip(self.layers, (2, 3))",
    "for i, f in zip(reversed(range(2)), self.layers):\n    x = f(x) + 2 ** i\nreturn x": "zip(list(range(2))[::-1], self.layers)",
    "for f in reversed(self.layers):\n    x = f(x)\nreturn x": "in list(self.layers)[::-1]",
    "extra = {'context': x}\nextra.update(context=x * 2)\nreturn self.scale(x, **extra)": "extra.update({'context': x * 2})",
    "parts = torch.stack([x * i + j for i in range(2) for j in range(3)])\nreturn parts.sum(0)": "listed.append(x * i + j)",
    "if x.shape[0] > 100:\n    raise Flow('too long')\nreturn x * 2": "raise ValueError('too long')",
    "if x.shape[-1] in {4, 5}:\n    x = x * 2\nreturn x": "in (4, 5)",
}
KEPT = {
    "if self.last:\n    scale = x + 1\ny = x * 3\nif self.last:\n    y = y * scale\nreturn y": "x):\n        if self.last:",
    "if self.last:\n    scale = x + 1\nelse:\n    scale = x - 1\nreturn x * scale": "if self.last:\n            scale = x + 1\n",
    "for i in range(3):\n    y = x * i\n    x = x + y\nreturn x": "for i in range(3):\n            y = x * i\n",
    "rows = [x * i for i in range(2)]\nreturn rows[1]": "[x * i for i in range(2)]",
    "for i in reversed(range(3)):\n    x = x * (i + 1)\nreturn x": "in reversed(range(3))",
}


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("body", [*FORMS, *KEPT])
def test_values_in_both_modes(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD.format(helper=HELPER, body=textwrap.indent(body, " " * 8))
    ported = convert_source(text, path="net.py")
    assert not ported.diagnostics
    assert {**FORMS, **KEPT}[body] in ported.text
    (tmp_path / "original.py").write_text(text, "utf-8")
    (tmp_path / "ported.py").write_text(ported.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("ms_extras", None)
    net, cell = _load(tmp_path / "original.py", "original_forms").Net(), _load(tmp_path / "ported.py", "ported_forms").Net()
    x = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    expected = net(torch.tensor(x)).numpy()
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        try:
            np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), expected, rtol=1e-5, atol=1e-6)
        finally:
            ms.set_context(mode=ms.PYNATIVE_MODE)


def test_code_that_no_network_runs_stays() -> None:
    body = "def tool(paths, n):\n    for path in paths:\n        last = path\n    del n\n    return [a for b in last for a in zip(b, b, strict=True)]\n"
    assert body in convert_source(f"import torch\nx = torch.ones(2)\n\n\n{body}").text


def test_an_exception_that_is_caught_keeps_its_class() -> None:
    helper = "def run(net, x):\n    try:\n        return net(x)\n    except Flow:\n        return x\n"
    text = HEAD.format(helper=helper, body="        if x.shape[0] > 100:\n            raise Flow('too long')\n        return x * 2")
    assert "raise Flow('too long')" in convert_source(text).text


ASKED = """\
from typing import cast
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.ModuleDict({"a": nn.Linear(3, 3), "norm": nn.LayerNorm(3)})])

    def forward(self, x, y: torch.Tensor):
        B, D = x.shape
        states = (x, y)
        if len(states) != 2 or any(s.shape != (B, D) for s in states):
            raise ValueError("shapes differ")
        if not all(s.ndim == 2 for s in states) or not any(s is not None for s in states):
            raise ValueError("rank")
        for block in self.blocks:
            block = cast(nn.ModuleDict, block)
            x = cast(torch.Tensor, block["norm"](block["a"](x))) + y
        return x


def outside(states, target: torch.Tensor):
    states = cast(list, states)
    return any(s.shape != target.shape for s in states)


def of_tensors(x: torch.Tensor, y: torch.Tensor):
    return any(t.eq(0) for t in (x, y))
"""


@pytest.mark.parametrize("graph", [False, True])
def test_any_and_all_of_what_a_graph_knows_and_casts_that_only_a_reader_needs(sides, graph: bool) -> None:
    original, ported, text = sides(ASKED)
    assert "if len(states) != 2 or (True in [s.shape != (B, D) for s in states]):" in text
    assert "if (False in [s.ndim == 2 for s in states]) or (True not in [s is not None for s in states]):" in text
    assert "block = block" not in text and "            x = block['norm']" in text.replace('"', "'")
    assert "states = cast(list, states)\n    return any(s.shape != target.shape for s in states)" in text  # no network reaches it
    assert "any(t.eq(0) for t in (x, y))" in text
    x, y = (np.random.default_rng(n).normal(size=(2, 3)).astype(np.float32) for n in (1, 2))
    net, cell = original.Net(), ported.Net()
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(torch.linspace(-1, 1, p.numel()).reshape(p.shape) if "a." in name else p)
    for p in cell.get_parameters():
        if ".a." in p.name:
            p.set_data(ms.Tensor(np.linspace(-1, 1, p.size, dtype=np.float32).reshape(p.shape)))
    ms.set_context(mode=ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE)
    try:
        found = cell(ms.Tensor(x), ms.Tensor(y)).asnumpy()
        with pytest.raises(ValueError, match="shapes differ"):
            cell(ms.Tensor(x), ms.Tensor(y[:1]))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(found, net(torch.tensor(x), torch.tensor(y)).detach().numpy(), rtol=1e-5, atol=1e-5)


PARAMETERS = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.acts = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.scales = nn.ParameterList([nn.Parameter(torch.full((3,), 1.5 + i)) for i in range(2)])

    def forward(self, x):
        for act, scale in zip(self.acts, self.scales):
            x = act(x) + 1 / scale
        for scale in self.scales:
            x = x * scale
        return x


def names(net: Net):
    return len(list(zip("ab", net.scales)))
"""


@pytest.mark.parametrize("graph", [False, True])
def test_parameters_beside_cells_in_a_graph(sides, graph: bool) -> None:
    original, ported, text = sides(PARAMETERS)
    assert "in zip(self.acts, list(self.scales)):" in text
    assert "for scale in self.scales:" in text and 'zip("ab", net.scales)' in text
    x = np.random.default_rng(3).normal(size=(2, 3)).astype(np.float32)
    ms.set_context(mode=ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE)
    try:
        found = ported.Net()(ms.Tensor(x)).asnumpy()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(found, original.Net()(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)


GROWN = """\
import torch
import torch.nn as nn


class Net(nn.Module):
    def forward(self, x):
        first, second = [], []
        found = [x]
        pair = (x, x + 1)
        found.extend([x * 2, x * 3])
        for part in range(2):
            found.extend(pair)
        second.extend([x])
        return found + second


def outside(x: torch.Tensor, found):
    more = []
    more.extend([x])
    found.extend(more)
    return found
"""


@pytest.mark.parametrize("graph", [False, True])
def test_a_list_that_a_network_extends_is_as_long_at_each_call(sides, graph: bool) -> None:
    _, ported, text = sides(GROWN)
    assert "found += [x * 2, x * 3]" in text and "found += list(pair)" in text
    assert "more.extend([x])\n    found.extend(more)" in text  # no network reaches it
    ms.set_context(mode=ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE)
    try:
        net = ported.Net()
        sums = [[float(t.asnumpy().sum()) for t in net(ms.Tensor(np.full((2,), n, np.float32)))] for n in (1, 2, 2)]
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert sums[0] == [2, 4, 6, 2, 4, 2, 4, 2] and sums[1] == sums[2] == [4, 8, 12, 4, 6, 4, 6, 4]


@pytest.mark.parametrize(("written", "ported"), [("cast(torch.Tensor, y) + x", "y + x"), ("cast(torch.Tensor, *ys) + x", "cast(Tensor, *ys) + x")])
def test_a_cast_of_what_a_star_gives_stays(written: str, ported: str) -> None:
    source = "import torch\nfrom torch import nn\nfrom typing import cast\n\n\nclass Net(nn.Module):\n    def forward(self, x, y, *ys):\n        return "
    result = convert_source(source + written + "\n", path="net.py")
    assert not result.diagnostics
    assert result.text.endswith(f"return {ported}\n")
