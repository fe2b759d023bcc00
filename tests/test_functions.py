"""Custom gradients: torch.autograd.Function on both frameworks, PYNATIVE and GRAPH."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source
from porter.parity.ported import load_source

SOURCE = (Path(__file__).parent / "cases" / "custom_gradients.py").read_text("utf-8")


@pytest.fixture(scope="module")
def ported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("ported")
    result = convert_source(SOURCE, path="custom_gradients.py")
    assert not result.diagnostics, result.diagnostics
    yield load_source(folder, "ported_custom_gradients", result.text, result.extras)
    sys.modules.pop("ms_extras", None)


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_gradients_are_those_that_backward_gives(ported: ModuleType, tmp_path: Path, mode: int) -> None:
    """The gradients are not those of forward (each backward bends them), so a bprop that is not called is noticed."""
    original = load_source(tmp_path, "original_custom_gradients", SOURCE, "")
    x = np.random.default_rng(3).normal(0, 0.5, (3, 4)).astype(np.float32)
    net = original.Net()
    leaf = torch.tensor(x, requires_grad=True)
    expected = net(leaf)
    expected.sum().backward()
    true = torch.tensor(x, requires_grad=True)
    original.Net().plain(true).sum().backward()
    assert abs(true.grad - leaf.grad).max() > 0.5  # the control: the gradient of forward itself is far away

    ms.set_context(mode=mode)
    try:
        cell = ported.Net()
        out = cell(ms.Tensor(x))
        by_input, by_weight = ms.grad(cell, 0, cell.trainable_params())(ms.Tensor(x))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(out.asnumpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(by_input.asnumpy(), leaf.grad.numpy(), rtol=2e-5, atol=5e-4)
    np.testing.assert_allclose(by_weight[0].asnumpy(), net.w.grad.numpy(), rtol=2e-5, atol=1e-4)


def _refusal(forward: str, backward: str) -> str:
    text = (
        "import torch\n\n\nclass F(torch.autograd.Function):\n"
        f"    @staticmethod\n    def forward(ctx, x, *rest):\n        {forward}\n\n".replace(", *rest", "")
        + f"    @staticmethod\n    def backward(ctx, g):\n        {backward}\n"
    )
    result = convert_source(text)
    assert "bprop" not in result.text
    (found,) = [d for d in result.diagnostics if d.code == "MSP211"]
    return found.message


def test_what_cannot_be_certain_is_refused_with_its_place() -> None:
    noisy = "mask = torch.rand_like(x) > 0.5; ctx.save_for_backward(mask); y = x * mask\n        return y"
    assert "random numbers" in _refusal(noisy, "return g * ctx.saved_tensors[0]")
    assert "forward does not set" in _refusal("return x * 1", "return g * ctx.alpha")
    assert "mark_dirty" in _refusal("ctx.mark_dirty(x)\n        return x", "return g")
    assert "hands its context on" in _refusal("keep(ctx, x)\n        return x", "return g")


def test_text_is_that_of_a_cell() -> None:
    text = convert_source(SOURCE).text
    assert "    def bprop(self, x, out, grad_output):\n        s = ops.sigmoid(x)\n" in text
    assert "    def bprop(self, x, y, g):\n        return (g * y * 3,)\n" in text
    assert "scale = Scale()\n" in text and "Scale()(x, 2.0)" in text
    assert "staticmethod" not in text and "ctx.save" not in text and "ctx)" not in text
