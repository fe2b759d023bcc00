"""A method of a base class called through the class: `nn.Conv2d.__init__(self, ...)` and `Base.forward(self, x)`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from conftest import Sides

SOURCE = """import torch
from torch import nn


class Scaled(nn.Conv2d):
    def __init__(self, channels, out, scale=2):
        nn.Conv2d.__init__(self, channels, out, 3, padding=1, bias=False)
        self.scale = scale

    def forward(self, x):
        return nn.Conv2d.forward(self, x) * self.scale


class Twice(Scaled):
    def forward(self, x, shift=0.5):
        return Scaled.forward(self, x + shift) + super().forward(x)


class Net(nn.Module):
    def __init__(self):
        nn.Module.__init__(self)
        self.c = Twice(3, 4)

    def forward(self, x):
        return self.c(x)
"""


def test_what_the_class_would_find_by_super(sides: Callable[[str], Sides], compare: Callable[..., None]) -> None:
    both = sides(SOURCE)
    assert "return super(Scaled, self).construct(x) * self.scale" in both.text
    assert "return super().construct(x + shift) + super().construct(x)" in both.text
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 5)).astype(np.float32)
    compare(both.ported.Net(), both.original.Net(), x, atol=1e-5)
