"""Sizes that a traced run saw are those of its inputs: the port asks its own tensors."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import mindspore as ms
import numpy as np

from porter.convert import convert_source
from porter.trace import trace

SOURCE = """
import torch
from torch import nn


def positions(x, dim=0):
    view = [1] * x.dim()
    view[dim] = -1
    return torch.arange(x.size(dim)).view(view)


class Net(nn.Module):
    def forward(self, x):
        shape = x.size()[:-1] + (2, x.size(-1) // 2)
        return x.view(shape).sum(-1) * x.size(0) + positions(x, -1).sum() + positions(x).sum()
"""


def test_another_batch_than_the_traced_one(tmp_path: Path) -> None:
    import torch

    (tmp_path / "sized.py").write_text(SOURCE, "utf-8")
    facts = trace("sized:Net()", ("float32[4,8]",), (tmp_path / "sized.py",))
    text = convert_source(SOURCE, facts=facts, path="sized.py").text
    assert "(2, x.shape[-1] // 2)" in text
    (tmp_path / "ported_sized.py").write_text(text, "utf-8")
    modules = []
    for name in ("sized", "ported_sized"):
        spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
        assert spec is not None and spec.loader is not None
        modules.append(importlib.util.module_from_spec(spec))
        sys.modules[name] = modules[-1]
        spec.loader.exec_module(modules[-1])
    for rows, columns in ((4, 8), (3, 6)):
        x = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
        expected = modules[0].Net()(torch.tensor(x)).numpy()
        np.testing.assert_allclose(modules[1].Net()(ms.Tensor(x)).asnumpy(), expected)
