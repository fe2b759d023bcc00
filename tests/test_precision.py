"""Networks in float64 and float16: the dtype of parameters and results, and digits that float32 does not have."""

from __future__ import annotations

import importlib
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
import torch
from mindspore import Tensor

from porter.convert import convert_source
from tests.test_training import copy_weights

SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 6)
        self.rnn = nn.LSTM(6, 4, num_layers=2, bidirectional=True)
        self.norm = nn.LayerNorm(8)
        self.own = nn.LayerNorm([2, 8], elementwise_affine=True)

    def forward(self, x):
        y = self.rnn(torch.tanh(self.first(x)))[0]
        return self.own(self.norm(y)) + nn.functional.layer_norm(y, (8,))


def make():
    net = Net()
    net.CAST
    return net
"""


def both(cast: str, folder: Path, name: str) -> tuple[torch.nn.Module, Any, list[str]]:
    source = textwrap.dedent(SOURCE).replace("CAST", cast)
    result = convert_source(source, path=f"{name}.py")
    (folder / f"{name}.py").write_text(result.text, "utf-8")
    (folder / "ms_extras.py").write_text(result.extras, "utf-8")
    sys.path.insert(0, str(folder))
    try:
        sys.modules.pop("ms_extras", None)
        ported = importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
    reference = types.ModuleType(name)
    exec(compile(source, name, "exec"), reference.__dict__)
    torch.manual_seed(0)
    net, cell = reference.make(), ported.make()
    copy_weights(net, cell)
    return net, cell, [d.code for d in result.diagnostics]


@pytest.mark.parametrize(
    ("cast", "dtype", "tolerance", "mode"),
    [
        ("double()", "float64", 1e-12, "pynative"), ("double()", "float64", 1e-12, "graph"),
        ("to(torch.float64)", "float64", 1e-12, "pynative"), ("to(dtype=torch.double)", "float64", 1e-12, "pynative"),
        ("half()", "float16", 1e-2, "pynative"), ("to('cpu')", "float32", 1e-5, "pynative"),
    ],
)  # fmt: skip
def test_networks_compute_in_the_dtype_that_they_are_cast_to(
    cast: str, dtype: str, tolerance: float, mode: str, tmp_path: Path
) -> None:
    """1e-12 is what float32 misses by four digits; float16 gradients of an LSTM are those of the plain operations."""
    name = f"cast_{abs(hash((cast, mode)))}"
    net, cell, codes = both(cast, tmp_path, name)
    assert codes == (["MSP603"] if dtype == "float64" else [])
    assert {str(p.dtype) for p in cell.get_parameters()} == {dtype.capitalize()}
    x = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(dtype)
    weight = np.random.default_rng(1).normal(size=(3, 2, 8)).astype(dtype)
    mindspore.set_context(mode=mindspore.GRAPH_MODE if mode == "graph" else mindspore.PYNATIVE_MODE)

    def weighted(x: Tensor) -> Tensor:
        return (cell(x) * w).sum()

    w = Tensor(weight)
    try:
        got = cell(Tensor(x))
        ported_grad = mindspore.grad(weighted)(Tensor(x)).asnumpy()
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    given = torch.tensor(x, requires_grad=True)
    want = net(given)
    (want * torch.tensor(weight)).sum().backward()
    assert given.grad is not None
    assert got.asnumpy().dtype == np.dtype(dtype) == ported_grad.dtype
    scale = float(given.grad.abs().max())
    assert np.abs(got.asnumpy() - want.detach().numpy()).max() < tolerance * 4
    assert np.abs(ported_grad - given.grad.numpy()).max() < tolerance * max(scale, 1.0) * 4


def test_layers_that_would_compute_in_float32_are_refused_by_name(tmp_path: Path) -> None:
    source = "import torch\n\nnet = torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Linear(4, 3))\nnet.double()\n"
    result = convert_source(source, path="refused_double.py")
    assert [d.code for d in result.diagnostics] == ["MSP603"]
    (tmp_path / "ms_extras.py").write_text(result.extras, "utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        sys.modules.pop("ms_extras", None)
        with pytest.raises(TypeError, match=r"^0 \(AvgPool2d\) has no float64 kernel in MindSpore"):
            exec(compile(result.text, "refused_double.py", "exec"), {})
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("ms_extras", None)
