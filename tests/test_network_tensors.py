"""Tensors that a network makes on its way: integers divide to float32, a flag for gradients of their own counts for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def test_integers_divide_to_float32_in_a_graph(sides: Callable[[str], Any]) -> None:
    import torch

    original, ported, text = sides(SOURCE)
    assert "places.astype(mindspore.float32) / (n - 1)" in text
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    expected = original.Net()(torch.tensor(x)).detach().numpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        got = ported.Net()(ms.Tensor(x))
        assert got.dtype == ms.float32
        np.testing.assert_allclose(got.asnumpy(), expected, rtol=1e-5)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


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
