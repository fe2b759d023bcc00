"""torch's old constructors, for which a torch.Size is a shape and any other sequence is values: a port has tuples for both."""

import mindspore
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


VALUES = """\
import torch


def collated(batch):
    texts, labels = zip(*batch)
    return torch.FloatTensor(texts), torch.LongTensor(labels), torch.Tensor((2, 3))


def flags(batch):
    return map(torch.LongTensor, zip(*batch))


def read(space):
    return -torch.prod(torch.Tensor(space.shape).cpu()).item()


def filled(space):
    return torch.Tensor(space.shape).fill_(1)
"""


class Space:
    shape = (2, 3)


def test_a_tuple_that_is_no_size_is_values(sides):
    both = sides(VALUES)
    batch = [([1.0, 2.0], 3), ([4.0, 5.0], 6)]
    for own, expected in zip(both.ported.collated(batch), both.original.collated(batch)):
        assert own.asnumpy().tolist() == expected.tolist() and own.dtype == {torch.float32: mindspore.float32}.get(expected.dtype, mindspore.int64)
    flags = [([1, 2], True), ([3, 4], False)]
    assert [t.asnumpy().tolist() for t in both.ported.flags(flags)] == [t.tolist() for t in both.original.flags(flags)]


def test_what_is_read_at_once_is_values(sides):
    both = sides(VALUES)
    assert both.ported.read(Space()) == both.original.read(Space()) == -6.0
    with pytest.raises(TypeError, match="shape or values"):
        both.ported.filled(Space())
