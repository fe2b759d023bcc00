"""A value with a first axis of size 1 too many is stored as torch stores it."""

from __future__ import annotations

import numpy as np
import torch
from mindspore import Tensor

SOURCE = """\
import torch


def advantages(values: torch.Tensor, last: torch.Tensor):
    found = torch.zeros_like(values)
    running = 0
    following = last.reshape(1, -1)
    for t in reversed(range(3)):
        if t < 2:
            following = values[t + 1]
        delta = 0.9 * following - values[t]
        found[t] = running = delta + 0.5 * running
    return found, running


def rows(values: torch.Tensor, row: torch.Tensor):
    values[1:] = row.unsqueeze(0)
    values[0] = row[None]
    return values


def plain(values: torch.Tensor, row: torch.Tensor):
    values[0] = row
    return values
"""


def test_a_leading_axis_is_dropped_by_the_store(sides) -> None:
    both = sides(SOURCE)
    x, y = np.arange(12, dtype=np.float32).reshape(3, 4), np.ones(4, np.float32)
    for own, expected in zip(both.ported.advantages(Tensor(x), Tensor(y)), both.original.advantages(torch.from_numpy(x), torch.from_numpy(y))):
        assert own.shape == tuple(expected.shape)
        np.testing.assert_allclose(own.asnumpy(), expected.numpy(), rtol=1e-6)
    for name in ("rows", "plain"):
        own = getattr(both.ported, name)(Tensor(x.copy()), Tensor(y))
        np.testing.assert_array_equal(own.asnumpy(), getattr(both.original, name)(torch.from_numpy(x.copy()), torch.from_numpy(y)).numpy())
