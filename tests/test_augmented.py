"""`x += y` on tensors that outlive the call: the second call is the test, a graph adds in place to what the first one left."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from porter.convert import convert_source

SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def forward(self, x):
        x += 1
        loss = torch.tensor([0.0]).to(x.device)
        for i in range(2):
            loss += x.sum() * i
        loss /= 2
        own = x * 2
        own += 1
        return loss + own
"""


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_the_second_call_gives_what_the_first_gave(tmp_path: Path, mode: int) -> None:
    text = convert_source(SOURCE, path="added.py").text
    assert "x = x + 1" in text and "loss = loss + x.sum() * i" not in text and "loss = loss / 2" in text
    assert "loss = loss + (x.sum() * i)" in text and "        own += 1\n" in text
    (tmp_path / "added.py").write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(f"ported_added_{mode}", tmp_path / "added.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ms.set_context(mode=mode)
    try:
        net, x = module.Net(), ms.Tensor(np.float32([1, 2]))
        for _ in range(2):
            np.testing.assert_allclose(net(x).asnumpy(), np.float32([2.5 + 5, 2.5 + 7]))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


def test_numbers_results_and_scripts_stay() -> None:
    body = "        n = 0\n        n += 1\n        x = x * 2\n        x += n\n        return x\n"
    network = f"from torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x):\n{body}"
    assert body in convert_source(network).text
    script = "import torch\n\n\ndef main():\n    total = torch.tensor(0.0)\n    total += 1\n    return total\n"
    assert "    total += 1\n" in convert_source(script).text
