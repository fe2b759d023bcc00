"""Tensors that a network makes on its way: integers divide to float32, a flag for gradients of their own counts for nothing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import mindspore as ms
import numpy as np

from porter.convert import convert_source

SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        n = x.shape[-1]
        places = torch.arange(n).view(1, -1)
        phase = 10 ** (places / (n - 1))
        loss = torch.zeros(1, requires_grad=True)
        options = {"dtype": x.dtype}
        extra = torch.tensor(2.0, requires_grad=True, **options)
        return torch.matmul(x, phase.t()) + 3 / (places + 1) + loss + extra
"""


def test_integers_divide_to_float32_in_a_graph(tmp_path: Path) -> None:
    import torch

    result = convert_source(SOURCE, path="divided.py")
    assert not result.diagnostics
    assert "places.astype(mindspore.float32) / (n - 1)" in result.text
    (tmp_path / "divided.py").write_text(SOURCE, "utf-8")
    (tmp_path / "ported_divided.py").write_text(result.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(result.extras, "utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        modules = []
        for name in ("divided", "ported_divided"):
            spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
            assert spec is not None and spec.loader is not None
            modules.append(importlib.util.module_from_spec(spec))
            sys.modules[name] = modules[-1]
            spec.loader.exec_module(modules[-1])
        x = np.arange(8, dtype=np.float32).reshape(2, 4)
        expected = modules[0].Net()(torch.tensor(x)).detach().numpy()
        ms.set_context(mode=ms.GRAPH_MODE)
        got = modules[1].Net()(ms.Tensor(x))
        assert got.dtype == ms.float32
        np.testing.assert_allclose(got.asnumpy(), expected, rtol=1e-5)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        sys.path.remove(str(tmp_path))
        sys.modules.pop("ms_extras", None)


def test_floats_and_scripts_divide_as_they_are_written() -> None:
    network = "from torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n        n = x.shape[0]\n        return x / n + n / 2\n"
    assert "return x / n + n / 2" in convert_source(network).text
    script = "import torch\n\n\ndef main():\n    print(torch.arange(3) / 2)\n"
    assert "astype" not in convert_source(script).text
    outside = "import torch\n\n\ndef main():\n    x = torch.tensor(2.0, requires_grad=True)\n    return x\n"
    assert [d.code for d in convert_source(outside).diagnostics] == ["MSP201"]


def test_a_layer_that_is_freed_in_forward_is_not_frozen() -> None:
    text = "import torch\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.head = torch.nn.Linear(2, 3)\n\n"
    text += "    def forward(self, x):\n        self.head.requires_grad_()\n        return self.head(x)\n"
    assert "module_requires_grad_(self.head)" in convert_source(text).text
