"""`getattr(nn, name)` with computed names: short dictionaries in the line, long ones once a file; both frameworks build the same nets."""

from __future__ import annotations

from pathlib import Path

import mindspore
import numpy as np
import pytest
import torch

from porter.convert import convert_source
from porter.masks import is_mask
from porter.parity.models import compare_models
from porter.parity.ported import load_source

SOURCE = '''import torch
from torch import nn

KINDS = ("ReLU", "LeakyReLU", "Tanh", "Sigmoid")


# A convolution and what follows it.
class Block(nn.Module):
    def __init__(self, axes, norm, activation):
        super().__init__()
        name = "Conv{}d".format(axes)
        conv_class = getattr(nn, name)
        self.conv = conv_class(3, 4, 3)
        self.norm = getattr(nn, f"{norm}Norm{axes}d")(4)
        self.activation = getattr(nn, activation)()
        self.pool = getattr(nn, "MaxPool%dd" % axes, None)(2)

    def forward(self, x):
        return self.pool(self.activation(self.norm(self.conv(x))))
'''


def test_names_are_looked_up_in_dictionaries() -> None:
    converted = convert_source(SOURCE)
    assert converted.diagnostics == ()
    text = converted.text
    assert "conv_class = {'Conv1d': ms_extras.Conv1d, 'Conv2d': ms_extras.Conv2d, 'Conv3d': ms_extras.Conv3d}[name]" in text
    assert "self.pool = {'MaxPool1d': ms_extras.MaxPool1d, 'MaxPool2d': ms_extras.MaxPool2d, 'MaxPool3d': ms_extras.MaxPool3d}.get(" in text
    assert 'self.norm = LAYERS[f"{norm}Norm{axes}d"](4)' in text and "LAYERS[activation]()" in text
    assert text.count("LAYERS = {") == 1
    before, _, after = text.partition("LAYERS = {")
    assert before.rstrip().endswith('"Sigmoid")') and after.partition("}\n")[2].lstrip().startswith("# A convolution")
    assert "'InstanceNorm2d': ms_extras.InstanceNorm2d,\n" in after


@pytest.mark.parametrize(("norm", "activation"), [("Batch", "LeakyReLU"), ("Instance", "Sigmoid")])
def test_nets_built_by_name_are_equal(norm: str, activation: str, tmp_path: Path) -> None:
    reference: dict[str, object] = {"__name__": "reference"}
    exec(SOURCE, reference)
    converted = convert_source(SOURCE)
    ported = load_source(tmp_path, "built_by_name", converted.text, converted.extras)
    torch.manual_seed(0)
    nets = [space["Block"](2, norm, activation) for space in (reference, vars(ported))]  # type: ignore[operator]
    image = np.random.RandomState(0).randn(2, 3, 12, 12).astype("float32")
    [result] = compare_models(*nets, [image])
    assert result.passed, result.verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > 0", True), ("(x > 0) & ~y.isnan()", True), ("(x > 0)[0].long()", True), ("torch.isfinite(x)", True),
        ("x", False), ("m", True), ("n", False), ("k", False), ("x in y", False), ("x & y", False), ("x.long()", False),
    ],
)  # fmt: skip
def test_masks(text: str, expected: bool) -> None:
    import ast

    function = ast.parse(f"def f(x, y, k):\n    m = x > 0\n    n = y == 1\n    n = y * 2\n    k = x < 0\n    return {text}").body[0]
    value = function.body[-1].value  # type: ignore[attr-defined]
    assert is_mask(value, function) is expected


def test_tiny_numbers_are_not_zero() -> None:
    source = "import torch\n\n\ndef places(x: torch.Tensor):\n    return torch.nonzero(x), torch.nonzero(x > 0), x.argwhere()\n"
    text = convert_source(source).text
    assert "ms_extras.nonzero(x), ops.nonzero(x > 0), ms_extras.nonzero(x)" in text
    tiny = np.array([0, 1e-8, 1, 0, -1e-30], "float32")
    assert mindspore.ops.nonzero(mindspore.Tensor(tiny)).size == 1  # what MindSpore's own says: the control
    assert torch.nonzero(torch.from_numpy(tiny)).numel() == mindspore.ops.nonzero(mindspore.Tensor(tiny) != 0).size == 3
