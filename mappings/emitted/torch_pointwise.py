"""Pointwise functions of torch.* that no single MindSpore operator reproduces on all dtypes."""

import mindspore
import numpy as np
from mindspore import Tensor, ops

from mappings.emitted.torch_indexing import broadcast_tensors


def tanh(input):
    """torch.tanh: MindSpore's own is off by up to 1e-4 near 1 on CPU, and above it."""
    rest = ops.exp(-2 * ops.abs(input))
    return ops.where(ops.abs(input) < 1, ops.tanh(input), ops.sign(input) * (1 - rest) / (1 + rest))


def log1p(input):
    """torch.log1p: MindSpore's own computes log(1 + x) on CPU, in which the digits of a small x are lost."""
    input = input if input.is_floating_point() else input.astype(mindspore.float32)
    small = ops.clamp(input, -0.5, 0.5)
    return ops.where(ops.abs(input) < 0.5, 2 * ops.atanh(small / (2 + small)), ops.log1p(input))


def expm1(input):
    """torch.expm1: MindSpore's own computes exp(x) - 1 on CPU, in which the digits of a small x are lost."""
    input = input if input.is_floating_point() else input.astype(mindspore.float32)
    half = ops.tanh(ops.clamp(input, -1.0, 1.0) / 2)
    return ops.where(ops.abs(input) < 1, 2 * half / (1 - half), ops.expm1(input))


def bitwise_not(input):
    """torch.bitwise_not."""
    return ops.logical_not(input) if input.dtype == mindspore.bool_ else -1 - input


def entr(input):
    """torch.special.entr: -x log x, 0 at 0 and -inf below."""
    return ops.where(input < 0, float('-inf'), -ops.xlogy(input, input))


def logit(input, eps=None):
    """torch.logit: the inverse of the sigmoid, of values kept eps away from 0 and 1."""
    if eps is not None:
        input = ops.clamp(input, eps, 1 - eps)
    return ops.log(input / (1 - input))


def nextafter(input, other):
    """torch.nextafter: the next floating number from `input` towards `other`, both of one dtype."""
    return Tensor(np.nextafter(input.asnumpy(), other.asnumpy()))


def zeta(input, other, *, out=None):
    """torch.special.zeta: tensors broadcast, which MindSpore's do not."""
    if isinstance(input, Tensor) and isinstance(other, Tensor) and input.shape != other.shape:
        input, other = broadcast_tensors(input, other)
    return ops.zeta(input, other)
