"""A program's class with the name of the layer that it extends: a compiled graph must not call it in place of that layer."""

from __future__ import annotations

import numpy as np

from porter.convert import convert_source

SOURCE = """import torch
from torch import nn


class Conv1d(nn.Conv1d):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class Conv2d(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = Conv1d(3, 4, 3, padding=1)
        self.plane = Conv2d(4, 2, 3, padding="same", padding_mode="reflect")
        self.normed = nn.utils.parametrizations.weight_norm(Conv1d(2, 3, 1))

    def forward(self, x):
        x = self.plane(self.line(x)[:, :, None].repeat(1, 1, 4, 1))
        return self.normed(x[:, :, 0])
"""


def test_only_a_name_that_is_taken_changes() -> None:
    extras = convert_source(SOURCE, path="net.py").extras
    assert "class TorchConv1d(nn.Conv1d)" in extras and "super(TorchConv1d, self)" in extras and "\nConv1d = TorchConv1d\n" in extras
    other = convert_source(SOURCE.replace("Conv1d(nn", "Line(nn").replace("Conv2d(nn", "Plane(nn"), path="net.py").extras
    assert "class Conv1d(nn.Conv1d)" in other and "class Torch" not in other


def test_values_are_equal(sides, compare) -> None:
    both = sides(SOURCE)
    x = np.random.default_rng(6).normal(size=(2, 3, 7)).astype(np.float32)
    compare(both.ported.Net(), both.original.Net(), x, rtol=1e-4, atol=1e-5)
