"""Binary cross entropy where probabilities are 0 or 1: values and gradients stay finite, and are torch's."""

from __future__ import annotations

import itertools
import runpy
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source

SOURCE = """import torch
from torch import nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.loss = nn.BCELoss(reduction="sum")

    def forward(self, x, y):
        return self.loss(x, y) + 2 * F.binary_cross_entropy(x, y, reduction="sum")
"""
PAIRS = np.array(list(itertools.product([0, 1e-20, 1e-7, 0.3, 1 - 1e-7, 1], [0, 0.25, 1])), np.float32)


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def test_saturated_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    ported = convert_source(SOURCE, path="net.py")
    assert not ported.diagnostics
    (tmp_path / "original.py").write_text(SOURCE, "utf-8")
    (tmp_path / "net.py").write_text(ported.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("ms_extras", "net"):
        sys.modules.pop(name, None)
    net = runpy.run_path(str(tmp_path / "original.py"))["Net"]()
    import net as port  # type: ignore[import-not-found]

    ms.set_context(mode=mode)
    try:
        for probability, target in PAIRS:
            x = torch.tensor([probability], requires_grad=True)
            expected = net(x, torch.tensor([target]))
            expected.backward()
            cell = port.Net()
            arguments = ms.Tensor([probability], ms.float32), ms.Tensor([target], ms.float32)
            np.testing.assert_allclose(cell(*arguments).asnumpy(), expected.item(), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(ms.grad(cell)(*arguments).asnumpy(), x.grad.numpy(), rtol=1e-5)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
        for name in ("ms_extras", "net"):
            sys.modules.pop(name, None)
