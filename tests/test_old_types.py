"""torch's old tensor types as names of dtypes, and numpy's integers as sizes of layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from conftest import Sides
from mindspore import Tensor

from porter.convert import convert_source

SOURCE = """
import numpy as np
import torch
import torch.nn as nn

FloatKind = torch.cuda.FloatTensor if torch.cuda.is_available() else torch.FloatTensor
whole = torch.cuda.LongTensor if torch.cuda.is_available() else torch.LongTensor


def both(x):
    return x.type(FloatKind), x.type(whole), x.type(torch.DoubleTensor), x.type("torch.IntTensor")


class Space:
    n = np.int64(7)


class Net(nn.Module):
    action_space = Space()

    def __init__(self, shape):
        super().__init__()
        width = np.prod(shape)
        self.first = nn.Linear(np.array(shape).prod() + np.prod(shape), 2)
        self.second = nn.Linear(width, out_features=np.prod(shape))
        self.count = self.action_space.n
        self.third = nn.Linear(self.count, self.action_space.n + 1)
        self.drop = nn.Dropout(np.max([0.25, 0.5]))

    def forward(self, x: torch.Tensor):
        return x * x.type(whole)
"""


def test_old_constructors_name_dtypes(sides: Callable[[str], Sides]) -> None:
    found = sides(SOURCE)
    values = np.array([[1.5, -2.5], [0.0, 3.0]], np.float32)
    for one, other in zip(found.original.both(torch.from_numpy(values)), found.ported.both(Tensor(values))):
        assert str(one.dtype).removeprefix("torch.") == str(other.dtype).lower().removeprefix("mindspore.")
        np.testing.assert_array_equal(one.numpy(), other.asnumpy())


def test_numpy_integers_are_sizes(sides: Callable[[str], Sides]) -> None:
    net = sides(SOURCE).ported.Net((2, 3))
    assert net.first.weight.shape == (2, 12)
    assert net.second.weight.shape == (6, 6)
    assert net.third.weight.shape == (8, 7)
    assert net.drop.p == 0.5


def test_a_cast_to_integers_ends_the_gradient(sides: Callable[[str], Sides]) -> None:
    import mindspore

    found = sides(SOURCE)
    values = np.array([1.5, -2.5], np.float32)
    x = torch.from_numpy(values).requires_grad_()
    found.original.Net((2, 3))(x).sum().backward()
    own = mindspore.grad(lambda v: found.ported.Net((2, 3))(v).sum())(Tensor(values))
    assert x.grad is not None
    np.testing.assert_allclose(own.asnumpy(), x.grad.numpy())


def test_what_is_no_size_stays() -> None:
    text = convert_source("import numpy as np\nimport torch.nn as nn\nd = nn.Dropout(np.max([0.5]))\nsize = np.prod((2, 3))\n", path="a.py").text
    assert "int(" not in text


NEW = """
import torch


def mask(x: torch.Tensor, other: torch.Tensor):
    first = x.data.new().resize_((x.size(0), 1)).fill_(0.5).expand_as(x)
    second = x.new(1, x.size(1), 2).zero_() + x.new(2).fill_(3)
    return first, second, x.new().resize_(2, 3).zero_(), x.new(other.size()).fill_(1)
"""


def test_new_tensors_of_old_code_have_the_sizes_that_they_are_given(sides) -> None:
    both = sides(NEW)
    x, y = np.ones((2, 3), np.float32), np.ones((4, 5), np.float32)
    for own, expected in zip(both.ported.mask(Tensor(x), Tensor(y)), both.original.mask(torch.from_numpy(x), torch.from_numpy(y))):
        np.testing.assert_array_equal(own.asnumpy(), expected.numpy())
