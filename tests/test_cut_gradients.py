"""Where torch ends a gradient the port ends it too: values and gradients of both frameworks, PYNATIVE and GRAPH."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

X = np.random.default_rng(3).normal(0, 2, (3, 4)).astype(np.float32)
Sides = Callable[[str], Any]


def network(body: str, before: str = "") -> str:
    body = textwrap.indent(textwrap.dedent(body), " " * 8)
    return f"import torch\n\n\n{before}\nclass Net(torch.nn.Module):\n    def forward(self, x: torch.Tensor):\n{body}\n"


def check(source: str, sides: Sides) -> str:
    """Compares the sum of the output and its gradient; returns the ported text."""
    original, ported, text = sides(source)
    x = torch.tensor(X, requires_grad=True)
    value = original.Net()(x)
    value.backward()
    cell = ported.Net()
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        try:
            found, gradient = ms.value_and_grad(cell)(ms.Tensor(X))
            np.testing.assert_allclose(found.asnumpy(), value.detach().numpy(), rtol=1e-5)
            np.testing.assert_allclose(gradient.asnumpy(), x.grad.numpy(), rtol=1e-5, atol=1e-6)
        finally:
            ms.set_context(mode=ms.PYNATIVE_MODE)
    return text


@pytest.mark.parametrize(
    "cast",
    ["x.bool().to(x)", "x.long()", "x.int().float() * x", "x.to(torch.int64)", "x.to(dtype=torch.int32) + x", "x.type(torch.int16)", "(x * 2).byte()"],
)
def test_a_cast_to_whole_numbers_ends_the_gradient(cast: str, sides: Sides) -> None:
    cast = cast.replace("(x * 2).byte()", "(x.abs() * 2).byte()")
    text = check(network(f"y = {cast}\nreturn (y.float() * 3).sum() + x.sum()"), sides)
    assert text.count("stop_gradient") == 1


def test_a_cast_in_a_function_and_of_an_unknown_value(sides: Sides) -> None:
    helper = "def steps(value):\n    return value.long().float()\n\n"
    assert "stop_gradient(value.long())" in check(network("return (steps(x) * x).sum()", helper), sides)


@pytest.mark.parametrize(
    "body",
    [
        "return (x * (x > 0).long()).sum()",
        "i = x[0].abs().long() % 3\nreturn x[i].sum()",
        "return x.masked_fill(x.bool(), 0.5).sum() + x.mean()",
        "i = x.argmax(dim=1)\nm = torch.nn.functional.one_hot(i.long(), 4)\nreturn (x * m).sum()",
        "return (x.double().float() * 2).sum()",
        "n = torch.arange(4)\nreturn (x * n.long()).sum()",
    ],
)
def test_a_cast_through_which_no_gradient_comes_stays(body: str, sides: Sides) -> None:
    assert "stop_gradient" not in check(network(body), sides)


@pytest.mark.parametrize(
    "body",
    [
        "with torch.no_grad():\n    y = self.helper(x)\nreturn (y * x).sum()",
        "with torch.no_grad():\n    ys = [x * 2, x * 3]\nreturn ys[0].sum()",
        "kept = {}\nwith torch.no_grad():\n    kept['y'] = x * 2\nreturn kept['y'].sum()",
        "kept = []\nwith torch.no_grad():\n    kept.append(x * 2)\nreturn kept[0].sum()",
        "with torch.no_grad():\n    self.last = x * 2\nreturn self.last.sum()",
        "with torch.no_grad():\n    y = x * 2\n    return unknown(y)",
    ],
)
def test_what_no_grad_makes_and_cannot_be_stopped_by_name_is_named(body: str) -> None:
    source = network(body).replace("    def forward", "    def helper(self, z):\n        return unknown(z)\n\n    def forward")
    assert "MSP205" in [d.code for d in convert_source(source, path="net.py").diagnostics]


@pytest.mark.parametrize(
    "body",
    [
        "with torch.no_grad():\n    y = x * 2\n    n = x.shape[0]\nreturn (y * n).sum() + x.sum()",
        "with torch.no_grad():\n    ys = [x * 2]\n    y = ys[0] * 3\nreturn (y * x).sum()",
        "with torch.no_grad():\n    names = ['a', 'b']\n    y = x + len(names)\nreturn (y * x).sum() * len(names)",
    ],
)
def test_what_no_grad_makes_carries_no_gradient(body: str, sides: Sides) -> None:
    assert "y = ops.stop_gradient(y)" in check(network(body), sides)
