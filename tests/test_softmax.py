"""The gradient of a softmax after one over a single entry: wrong in MindSpore's own (the control), right in what is ported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from porter.convert import convert_source
from porter.trace import trace

SOURCE = """
import torch
from torch import nn
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x):
        short = F.softmax(x[..., :1], dim=-1)
        return (short * x).sum() + (self.softmax(x) * x).sum() + (x.softmax(1) * x).sum()
"""

RUN = """
import json
import sys

import mindspore as ms
import numpy as np
from mindspore import ops

x = ms.Tensor(np.array(json.loads(sys.argv[1]), np.float32))
if sys.argv[2] == "control":
    function = lambda x: (ops.softmax(x[..., :1], -1) * x).sum() + (ops.softmax(x, -1) * x).sum() + (ops.softmax(x, 1) * x).sum()
else:
    from ported import Net

    function = Net()
# the last gradient that is computed comes first in the backward pass: the short one is run before on its own
ms.grad(lambda x: ops.exp(x[..., :1]).sum() if sys.argv[2] != "control" else (ops.softmax(x[..., :1], -1) * x[..., :1]).sum())(x)
print(json.dumps(ms.grad(function)(x).asnumpy().tolist()))
"""

X = np.random.default_rng(5).normal(size=(2, 3, 4)).astype(np.float32)


def gradient(folder: Path, what: str) -> np.ndarray:
    (folder / "run.py").write_text(RUN)
    command = [sys.executable, "run.py", json.dumps(X.tolist()), what]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return np.array(json.loads(run.stdout.splitlines()[-1]), np.float32)


def expected() -> np.ndarray:
    space: dict[str, type[torch.nn.Module]] = {}
    exec(SOURCE, space)
    x = torch.tensor(X, requires_grad=True)
    space["Net"]()(x).backward()
    assert x.grad is not None
    return x.grad.numpy()


def ported(folder: Path, *, traced: bool) -> str:
    (folder / "net.py").write_text(SOURCE)
    facts = trace("net:Net()", ("float32[2,3,4]",), (folder / "net.py",)) if traced else None
    result = convert_source(SOURCE, path="net.py", facts=facts)
    assert not result.diagnostics
    (folder / "ported.py").write_text(result.text)
    (folder / "ms_extras.py").write_text(result.extras)
    return result.text


@pytest.mark.parametrize("traced", [False, True])
def test_a_single_entry_does_not_spoil_later_gradients(tmp_path: Path, traced: bool) -> None:
    text = ported(tmp_path, traced=traced)
    if traced:
        assert text.count("ms_extras.softmax(x[..., :1], dim=-1)") == text.count("ms_extras") - 1 == 1
    else:
        assert text.count("ms_extras.softmax(") == 2 and "ms_extras.Softmax(dim=-1)" in text
    np.testing.assert_allclose(gradient(tmp_path, "ported"), expected(), rtol=1e-4, atol=1e-5)


def test_mindspore_s_own_softmax_is_spoiled(tmp_path: Path) -> None:
    assert np.abs(gradient(tmp_path, "control") - expected()).max() > 0.05


MASKED = """
import torch
from torch import nn
import torch.nn.functional as F


class Net(nn.Module):
    def forward(self, x):
        return F.softmax(x.masked_fill(x > 5, float("-inf")), dim=-1)
"""

RUN_MASKED = """
import json
import sys

import mindspore as ms
import numpy as np
from mindspore import ops

x = ms.Tensor(np.array(json.loads(sys.argv[1]), np.float32))
if sys.argv[2] == "control":
    result = ops.softmax(x.masked_fill(x > 5, float("-inf")), -1)
else:
    from ported import Net

    result = Net()(x)
print(json.dumps(result.asnumpy().tolist()))
"""


def shares(folder: Path, what: str, x: np.ndarray) -> np.ndarray:
    (folder / "run.py").write_text(RUN_MASKED)
    command = [sys.executable, "run.py", json.dumps(x.tolist()), what]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return np.array(json.loads(run.stdout.splitlines()[-1]), np.float32)


@pytest.mark.parametrize("traced", [False, True])
def test_a_row_that_is_masked_as_a_whole_leaves_the_others_alone(tmp_path: Path, traced: bool) -> None:
    x = np.random.default_rng(5).normal(size=(4, 5)).astype(np.float32)
    x[1] = 9
    space: dict[str, type[torch.nn.Module]] = {}
    exec(MASKED, space)
    wanted = space["Net"]()(torch.tensor(x)).numpy()
    (tmp_path / "net.py").write_text(MASKED)
    facts = trace("net:Net()", ("float32[4,5]",), (tmp_path / "net.py",)) if traced else None
    result = convert_source(MASKED, path="net.py", facts=facts)
    (tmp_path / "ported.py").write_text(result.text)
    (tmp_path / "ms_extras.py").write_text(result.extras)
    np.testing.assert_allclose(shares(tmp_path, "ported", x), wanted, rtol=1e-5, atol=1e-6)
    assert np.nanmax(np.abs(shares(tmp_path, "control", x) - wanted)) > 0.1  # MindSpore's own gives zeros for later rows
