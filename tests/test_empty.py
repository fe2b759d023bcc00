"""torch.cat skips tensors of the shape (0,); where none can occur the call stays ops.cat."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch

from porter.convert import convert_source
from porter.trace import Facts

SOURCE = """import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.dim = 1

    def forward(self, x: torch.Tensor, y: torch.Tensor):
        nothing = {empty}
        return torch.cat([x, nothing, y], self.dim) * 2
"""


def _port(text: str) -> str:
    result = convert_source(text)
    assert not result.diagnostics, result.diagnostics
    return result.text


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
@pytest.mark.parametrize("empty", ["torch.empty(0)", "torch.zeros((0,))", "torch.tensor([])"])
def test_empty_tensors_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, empty: str
) -> None:
    result = convert_source(SOURCE.format(empty=empty))
    assert "ms_extras.cat(" in result.text and not result.diagnostics
    (tmp_path / "ported_empty.py").write_text(result.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(result.extras, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("ported_empty", "ms_extras"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import ported_empty  # type: ignore[import-not-found]

    module: ModuleType = ported_empty
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 4), np.float32)
    ms.set_context(mode=mode)
    try:
        cell = module.Net()
        out = cell(ms.Tensor(x), ms.Tensor(y)).asnumpy()
        by_input = ms.grad(cell)(ms.Tensor(x), ms.Tensor(y)).asnumpy()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    wanted = torch.cat([torch.tensor(x), torch.empty(0), torch.tensor(y)], 1) * 2
    np.testing.assert_array_equal(out, wanted.numpy())
    np.testing.assert_array_equal(by_input, np.full((2, 3), 2.0))


@pytest.mark.parametrize("other", ["torch.empty(2, 0)", "torch.zeros(0, 3)", "torch.zeros(3)", "torch.zeros(2, 0, 3)"])
def test_other_programs_keep_the_plain_call(other: str) -> None:
    assert "return ops.cat([x, nothing, y], self.dim) * 2" in _port(SOURCE.format(empty=other))


SLICED = """import torch


def ends(x: torch.Tensor, y: torch.Tensor):
    return x[:-1], x[:, -2:], x[1:], y[:-1]
"""


def test_the_end_of_an_axis_that_a_trace_saw_empty() -> None:
    """PYNATIVE mode cannot count from the end of an empty axis; other slices stay as they are."""
    spans = [("example.py", 5, column, 5, column + 1) for column in (11, 19, 29, 36)]
    shapes = [(0, 3), (0, 3), (0, 3), (2, 3)]
    facts = Facts(shapes={s: frozenset([shape]) for s, shape in zip(spans, shapes, strict=True)})
    text = convert_source(SLICED, path="example.py", facts=facts).text
    assert "return x[:max(x.shape[0] - 1, 0)], x[:, -2:], x[1:], y[:-1]" in text
    space: dict[str, Any] = {}
    exec(text, space)
    x, y = np.zeros((0, 3), np.float32), np.ones((2, 3), np.float32)
    shapes = [part.shape for part in space["ends"](ms.Tensor(x), ms.Tensor(y))]
    assert shapes == [(0, 3), (0, 2), (0, 3), (1, 3)]
