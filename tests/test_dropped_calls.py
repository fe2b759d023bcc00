"""A method that MindSpore has no need of goes with its line, and leaves `pass` only where a block would be empty."""

from __future__ import annotations

import pytest

from porter.convert import convert_source

SOURCE = '''\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 3)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        {body}
        return x
'''


@pytest.mark.parametrize(
    ("body", "ported"),
    [
        ("self.rnn.flatten_parameters()", "    def construct(self, x):\n        return x\n"),
        ("self.norm._check_input_dim(x)", "    def construct(self, x):\n        return x\n"),
        ("if x.ndim > 3:\n            self.rnn.flatten_parameters()", "        if x.ndim > 3:\n            pass\n        return x\n"),
        ("None", "        None\n        return x\n"),  # the author's own stays
    ],
)
def test_the_line_goes(body: str, ported: str) -> None:
    result = convert_source(SOURCE.format(body=body))
    assert not result.diagnostics
    assert result.text.endswith(ported)
