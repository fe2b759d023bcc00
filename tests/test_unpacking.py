"""A device among unpacked values: a graph loses the types of all of them, so it gets a statement of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from porter.convert import convert_source
from porter.parity.ported import load_source, to_mindspore
from porter.parity.samples import parse_spec

HEAD = "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def forward(self, x: torch.Tensor):\n        "


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("b, n, device = *x.shape, x.device", "b, n = x.shape\n        device = x.device"),
        ("device, dtype = x.device, x.dtype", "dtype = x.dtype\n        device = x.device"),
        ("b, *axis, device, dtype = *x.shape, x.device, x.dtype", "b, *axis, dtype = *x.shape, x.dtype\n        device = x.device"),
        # what stays: the device of the new x, counts that are not known, nothing left to unpack, a device alone
        ("x, device = x * 2, x.device", "x, device = x * 2, x.device"),
        ("*axis, device = *x.shape, x.device", "*axis, device = *x.shape, x.device"),
        ("n, device = *x.shape, x.device", "n, device = *x.shape, x.device"),
        ("device = x.device", "device = x.device"),
        ("b, n = x.shape", "b, n = x.shape"),
    ],
)
def test_text(before: str, after: str) -> None:
    result = convert_source(HEAD + before + "\n        return x\n")
    assert result.diagnostics == ()
    assert f"        {after}\n        return x" in result.text


def test_runs_in_a_graph(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    mindspore = pytest.importorskip("mindspore")
    source = HEAD + "b, *axis, device, dtype = *x.shape, x.device, x.dtype\n        return torch.arange(axis[0], device=device).to(dtype) + x\n"
    result = convert_source(source)
    reference: dict[str, object] = {"__name__": "reference"}
    exec(compile(source, "reference.py", "exec"), reference)
    image = np.random.RandomState(0).randn(3, 5).astype(np.float32)
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        net = load_source(tmp_path, "ported_unpacking", result.text, result.extras).Net()
        found = net(to_mindspore(image, parse_spec("float32[1]")))
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
        for name in ("ported_unpacking", "ms_extras"):
            sys.modules.pop(name, None)
    wanted = reference["Net"]()(torch.from_numpy(image))  # type: ignore[operator]
    np.testing.assert_allclose(found.asnumpy(), wanted.numpy(), rtol=1e-6)


XOR = """import torch


def exists(value):
    return value is not None


def run(x: torch.Tensor, a=None, b=None):
    assert exists(a) ^ exists(b), "one of them"
    odd = not (a is None) ^ exists(b)
    return (x > 0) ^ (x < 1), 6 ^ 3, odd
"""


def test_exclusive_or_of_truth_values_is_a_comparison() -> None:
    text = convert_source(XOR).text
    assert 'assert (exists(a) != exists(b)), "one of them"' in text
    assert "6 ^ 3" in text and "(x > 0) ^ (x < 1)" in text  # tensors and numbers stay
    outcomes: dict[str, object] = {}
    exec("def exists(value):\n    return value is not None\na, b = 1, None\n" + next(line.strip() for line in text.splitlines() if "odd =" in line), outcomes)
    assert outcomes["odd"] is (not (False ^ False))
