"""`nn.Module()`: a module without a forward that only holds others."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

TEXT = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.mid = nn.Module()
        self.mid.first = nn.Linear(4, 4)
        self.mid.add_module("second", nn.Tanh())
        self.mid.register_buffer("shift", torch.arange(4.0))

    def forward(self, x):
        return self.mid.second(self.mid.first(x)) + self.mid.shift
"""


def test_it_holds_layers_and_buffers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ported = convert_source(TEXT, path="bare.py")
    assert ported.diagnostics == () and "self.mid = ms_extras.Module()" in ported.text
    (tmp_path / "bare.py").write_text(ported.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("ms_extras", None)
    spec = importlib.util.spec_from_file_location("bare", tmp_path / "bare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bare", module)
    spec.loader.exec_module(module)
    space: dict[str, object] = {}
    exec(TEXT, space)
    net, cell = space["Net"](), module.Net()  # type: ignore[operator]
    own = {p.name: p for p in cell.get_parameters()}
    assert set(own) - {"mid.shift", "shift"} == {"mid.first.weight", "mid.first.bias"}
    for name in ("weight", "bias"):
        own[f"mid.first.{name}"].set_data(ms.Tensor(getattr(net.mid.first, name).detach().numpy()))
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    expected = net(torch.tensor(x)).detach().numpy()
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        try:
            np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), expected, rtol=1e-5, atol=1e-6)
        finally:
            ms.set_context(mode=ms.PYNATIVE_MODE)
