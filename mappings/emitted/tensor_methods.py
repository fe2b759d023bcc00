"""Tensor methods of torch that take more than one MindSpore expression."""

import math

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype


def tensor_unfold(self, dimension, size, step):
    """torch.Tensor.unfold: windows of one axis, which become a new last axis."""
    dimension = dimension % self.ndim
    count = (self.shape[dimension] - size) // step + 1
    index = ops.arange(count).reshape(count, 1) * step + ops.arange(size).reshape(1, size)
    windows = ops.gather(self, index.reshape(-1), dimension)
    windows = windows.reshape(self.shape[:dimension] + (count, size) + self.shape[dimension + 1 :])
    return ops.movedim(windows, dimension + 1, -1)


def tensor_max(self, dim=None, keepdim=False):
    """torch.Tensor.max: of all elements, along an axis with indices, or element by element with another tensor."""
    if dim is None:
        return self.max()
    if isinstance(dim, Tensor):
        return ops.maximum(self, dim)
    return ops.max(self, dim, keepdim)


def tensor_min(self, dim=None, keepdim=False):
    """torch.Tensor.min: of all elements, along an axis with indices, or element by element with another tensor."""
    if dim is None:
        return self.min()
    if isinstance(dim, Tensor):
        return ops.minimum(self, dim)
    return ops.min(self, dim, keepdim)


def tensor_to(self, device=None, dtype=None, non_blocking=False, copy=False, memory_format=None):
    """torch.Tensor.to: another dtype, or that of another tensor; devices mean nothing here."""
    if isinstance(device, Tensor):
        return self.astype(device.dtype)
    if dtype is not None:
        return self.astype(dtype)
    return self.astype(device) if isinstance(device, mstype.Type) else self


def tensor_repeat_interleave(self, repeats, dim=None):
    """torch.Tensor.repeat_interleave: each element repeated as often as `repeats` says for it."""
    x = self.reshape(-1) if dim is None else self
    axis = 0 if dim is None else dim
    if isinstance(repeats, Tensor):
        index = np.repeat(np.arange(x.shape[axis]), repeats.asnumpy()).astype(np.int64)
        return ops.gather(x, Tensor(index), axis)
    return x.repeat_interleave(repeats, axis)


def tensor_geometric(self, p):
    """torch.Tensor.geometric_: the number of the first success, in a tensor like self."""
    drawn = ops.ceil(ops.log(1 - ops.rand(self.shape)) / math.log1p(-p))
    return ops.maximum(drawn, ops.ones_like(drawn)).astype(self.dtype)


def tensor_fill_diagonal(self, fill_value):
    """torch.Tensor.fill_diagonal_: the main diagonal set to one value."""
    side = [ops.arange(size).reshape((-1,) + (1,) * (self.ndim - 1 - axis)) for axis, size in enumerate(self.shape)]
    on_diagonal = side[0] == side[1]
    for other in side[2:]:
        on_diagonal = ops.logical_and(on_diagonal, side[0] == other)
    return ops.masked_fill(self, on_diagonal, fill_value)


def swapped_or_ordered(value, first, second):
    """value.transpose(first, second): a tensor swaps two axes, an array takes all of them in their new order."""
    return value.swapaxes(first, second) if isinstance(value, Tensor) else value.transpose(first, second)


def number(value):
    """A tensor of one element as a Python number, for a text format; anything else as it is."""
    return value.item() if isinstance(value, Tensor) else value


def numbers(values):
    """A mapping for str.format whose tensors of one element are numbers."""
    return {name: number(value) if isinstance(value, Tensor) and value.size == 1 else value for name, value in values.items()}
