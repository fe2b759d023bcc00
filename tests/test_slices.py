"""Stepped slices: values and gradients of the ported forms, PYNATIVE and GRAPH."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

FORMS = {
    "x[:, 1::2]": "ms_extras.stepped(x[:, 1:], 1, 2)",
    "x[..., 0::2, ::2, :]": "ms_extras.stepped(x, (-3, -2), (2, 2))",
    "x[:, :, ::3, 1:7:2]": "ms_extras.stepped(x[:, :, :, 1:7], (2, 3), (3, 2))",
    "x[0, :, None, ::2]": "ms_extras.stepped(x[0, :, None, :], 2, 2)",
    "x[:, 1, 2::n]": "ms_extras.stepped(x[:, 1, 2:], 1, n)",
    "x[::2]": "x[::2]",
    "x[..., 1::2]": "x[..., 1::2]",
}
SOURCE = "from torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x, n: int = 2):\n        return {}\n"


class Squares(ms.nn.Cell):
    def __init__(self, net: ms.nn.Cell) -> None:
        super().__init__()
        self.net = net

    def construct(self, x: ms.Tensor) -> ms.Tensor:
        return ms.ops.square(self.net(x)).sum()


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SOURCE.format(form)
    ported = convert_source(text, path="net.py")
    assert not ported.diagnostics
    assert f"return {FORMS[form]}\n" in ported.text
    (tmp_path / "original.py").write_text(text, "utf-8")
    (tmp_path / "ported.py").write_text(ported.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("ms_extras", None)
    net, cell = _load(tmp_path / "original.py", "original_slices").Net(), _load(tmp_path / "ported.py", "ported_slices").Net()
    x = np.random.default_rng(1).normal(size=(3, 6, 7, 8)).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    expected = net(leaf)
    (expected * expected).sum().backward()
    try:
        for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
            ms.set_context(mode=mode)
            np.testing.assert_array_equal(cell(ms.Tensor(x)).asnumpy(), expected.detach().numpy())
            gradient = ms.grad(Squares(cell))(ms.Tensor(x))
            np.testing.assert_allclose(gradient.asnumpy(), leaf.grad.numpy(), rtol=1e-6)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        sys.modules.pop("ms_extras", None)
