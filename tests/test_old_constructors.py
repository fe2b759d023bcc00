"""torch's old constructors, for which a torch.Size is a shape and any other sequence is values: a port has tuples for both."""

import pytest
import torch
from mindspore import Tensor

SOURCE = """\
import torch


def shaped(x):
    return torch.FloatTensor(x.size()).fill_(2)


def values():
    return torch.LongTensor([3, 1])


def unknown(size):
    return torch.Tensor(size)


def spread(size):
    return torch.Tensor(*size).fill_(1)
"""


def test_a_size_is_a_shape_and_a_list_is_values(sides):
    both = sides(SOURCE)
    x = torch.ones(2, 3)
    assert both.ported.shaped(Tensor(x.numpy())).asnumpy().tolist() == both.original.shaped(x).tolist() == [[2.0] * 3] * 2
    assert both.ported.values().asnumpy().tolist() == both.original.values().tolist() == [3, 1]
    assert both.ported.spread((1, 4)).asnumpy().tolist() == both.original.spread((1, 4)).tolist() == [[1.0] * 4]


def test_a_tuple_that_may_be_either_fails_loudly(sides):
    both = sides(SOURCE)
    assert both.original.unknown(torch.Size([2, 3])).shape == (2, 3)
    assert both.original.unknown((2, 3)).shape == (2,)
    with pytest.raises(TypeError, match="shape or values"):
        both.ported.unknown((2, 3))
    assert both.ported.unknown([2, 3]).asnumpy().tolist() == [2.0, 3.0]
