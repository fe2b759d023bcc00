"""Pointwise functions of torch.* that no single MindSpore operator reproduces on all dtypes."""

import mindspore
import numpy as np
from mindspore import Tensor, ops

from mappings.emitted.torch_dtypes import result_type
from mappings.emitted.torch_indexing import broadcast_tensors


def promoted(input, other):
    """Two tensors or numbers in the dtype that torch promotes them to, and that dtype; float16 and bfloat16 become float32."""
    dtype = result_type(input, other)
    return _rounded(input, dtype), _rounded(other, dtype), dtype


def promoted_floats(input, other):
    """As `promoted`, of whole numbers in float32."""
    dtype = result_type(input, other)
    if dtype not in (mindspore.float16, mindspore.bfloat16, mindspore.float64):
        dtype = mindspore.float32
    return _rounded(input, dtype), _rounded(other, dtype), dtype


def _rounded(value, dtype):
    """A tensor or number as a tensor of a dtype; what float16 and bfloat16 hold as float32, in which kernels compute."""
    value = (value if isinstance(value, Tensor) else Tensor(value)).astype(dtype)
    return value.astype(mindspore.float32) if dtype in (mindspore.float16, mindspore.bfloat16) else value


def tanh(input):
    """torch.tanh: MindSpore's own is off by up to 1e-4 near 1 on CPU, and above it."""
    rest = ops.exp(-2 * ops.abs(input))
    return ops.where(ops.abs(input) < 1, ops.tanh(input), ops.sign(input) * (1 - rest) / (1 + rest))


def log1p(input):
    """torch.log1p: MindSpore's own computes log(1 + x) on CPU, in which the digits of a small x are lost."""
    wide = input if input.dtype == mindspore.float64 else input.astype(mindspore.float32)
    small = ops.clamp(wide, -0.5, 0.5)
    result = ops.where(ops.abs(wide) < 0.5, 2 * ops.atanh(small / (2 + small)), ops.log1p(wide))
    return result.astype(input.dtype) if input.is_floating_point() else result


def expm1(input):
    """torch.expm1: MindSpore's own computes exp(x) - 1 on CPU, in which the digits of a small x are lost."""
    wide = input if input.dtype == mindspore.float64 else input.astype(mindspore.float32)
    half = ops.tanh(ops.clamp(wide, -1.0, 1.0) / 2)
    result = ops.where(ops.abs(wide) < 1, 2 * half / (1 - half), ops.expm1(wide))
    return result.astype(input.dtype) if input.is_floating_point() else result


def bitwise_not(input):
    """torch.bitwise_not."""
    return ops.logical_not(input) if input.dtype == mindspore.bool_ else -1 - input


def entr(input):
    """torch.special.entr: -x log x, 0 at 0 and -inf below."""
    return ops.where(input < 0, float('-inf'), -xlogy(input, input))


def logit(input, eps=None):
    """torch.logit: the inverse of the sigmoid, of values kept eps away from 0 and 1; of bounds that cross the lower one wins."""
    input = input if input.is_floating_point() else input.astype(mindspore.float32)
    if eps is not None:
        input = ops.clamp(input, eps, 1 - eps) if eps <= 0.5 else ops.where(input < eps, eps, 1 - eps).astype(input.dtype)
    return ops.log(input / (1 - input))


def exp2(input):
    """torch.exp2: of bfloat16 MindSpore's own is float32."""
    result = ops.exp2(input)
    return result.astype(input.dtype) if input.is_floating_point() else result


def sinc(input):
    """torch.sinc: of booleans MindSpore's own is NaN."""
    return ops.sinc(input.astype(mindspore.float32) if input.dtype == mindspore.bool_ else input)


def copysign(input, other):
    """torch.copysign: MindSpore's own has the dtype of its first argument, and takes no bfloat16."""
    size, sign, dtype = promoted_floats(input, other)
    return ops.where(ops.signbit(sign), -ops.abs(size), ops.abs(size)).astype(dtype)


def fmod(input, other):
    """torch.fmod: of floating numbers in float64, for a quotient just below a whole number is rounded to it."""
    input, other, dtype = promoted(input, other)
    if not input.is_floating_point():
        return ops.fmod(input, other)
    input, other = input.astype(mindspore.float64), other.astype(mindspore.float64)
    rest = ops.remainder(ops.abs(input), ops.abs(other))  # in a graph fmod itself computes in float32
    return ops.where(input < 0, -rest, rest).astype(dtype)


def remainder(input, other):
    """torch.remainder: of floating numbers in float64, for a quotient just below a whole number is rounded to it."""
    input, other, dtype = promoted(input, other)
    if not input.is_floating_point():
        return ops.remainder(input, other)
    return ops.remainder(input.astype(mindspore.float64), other.astype(mindspore.float64)).astype(dtype)


def heaviside(input, values):
    """torch.heaviside: MindSpore's takes numbers below 1e-15 for zero on CPU."""
    return ops.where(input == 0, values, (input > 0).astype(values.dtype))


def hypot(input, other):
    """torch.hypot: MindSpore's own takes no float16 and no bfloat16."""
    input, other, dtype = promoted_floats(input, other)
    return ops.hypot(input, other).astype(dtype)


def logaddexp(input, other):
    """torch.logaddexp: MindSpore's own takes no bfloat16 and no whole numbers."""
    input, other, dtype = promoted_floats(input, other)
    return ops.logaddexp(input, other).astype(dtype)


def logaddexp2(input, other):
    """torch.logaddexp2: MindSpore's own takes no bfloat16 and no whole numbers."""
    input, other, dtype = promoted_floats(input, other)
    return ops.logaddexp2(input, other).astype(dtype)


def xlogy(input, other):
    """torch.xlogy: 0 where the first is 0, where MindSpore's own is NaN beside a 0."""
    input, other, dtype = promoted_floats(input, other)
    return (input * ops.log(_bounded(input, other, 0))).astype(dtype)


def xlog1py(input, other):
    """torch.special.xlog1py: 0 where the first is 0, whatever log1p of the second is."""
    input, other, dtype = promoted_floats(input, other)
    return (input * log1p(_bounded(input, other, -1))).astype(dtype)


def _bounded(input, other, least):
    """The second number, or one of logarithm 0 where the first is 0 and the logarithm above `least` is no finite number."""
    unbounded = ops.logical_or(other <= least, other == float('inf'))
    return ops.where(ops.logical_and(input == 0, unbounded), ops.ones_like(other) + least, other)


def ldexp(input, other):
    """torch.ldexp: of float16 and bfloat16 MindSpore's own is float32, or nothing."""
    input, other, dtype = promoted_floats(input, other)
    return (input * ops.pow(2.0, other)).astype(dtype)


def igamma(input, other):
    """torch.igamma: of large numbers in float64, for the series of MindSpore ends early in float32."""
    input, other, dtype = promoted_floats(input, other)
    return ops.igamma(input.astype(mindspore.float64), other.astype(mindspore.float64)).astype(dtype)


def igammac(input, other):
    """torch.igammac: in float64, for the series of MindSpore ends early in float32, and by a series of its own where the result is small.

    The series and where it is taken are those of torch: x**n / n! of x up to 1.1, whose 20th term is below 1e-17.
    """
    input, other, dtype = promoted_floats(input, other)
    near = ops.clamp(other, 1e-30, 1.1)
    log = ops.log(near)
    term, total = ops.ones_like(near), 0
    for n in range(1, 21):
        term = term * -near / n
        total = total + term / (input + n)
    first = -expm1(input * log - ops.lgamma((1 + input).astype(mindspore.float64)).astype(input.dtype))
    series = first - ops.exp(input * log - ops.lgamma(input)) * total
    small = ops.where(other <= 0.5, input * log >= -0.4, input <= other * 1.1)
    taken = ops.logical_and(ops.logical_and(other > 0, other <= 1.1), ops.logical_and(input > 0, small))
    found = ops.igammac(input.astype(mindspore.float64), other.astype(mindspore.float64))
    return ops.where(taken, series, found.astype(input.dtype)).astype(dtype)


def nextafter(input, other):
    """torch.nextafter: the next floating number from `input` towards `other`."""
    start, target, dtype = promoted_floats(input, other)
    if dtype == mindspore.bfloat16:
        return Tensor(_next_bfloat16(start.asnumpy(), target.asnumpy())).astype(dtype)
    start, target = start.astype(dtype).asnumpy(), target.astype(dtype).asnumpy()
    return Tensor(np.nextafter(start, target))


def _next_bfloat16(start, target):
    """Steps float32 arrays with values of bfloat16, whose upper 16 bits are those of a bfloat16."""
    start, target = np.broadcast_arrays(start, target)
    away = np.where((target > start) == (start > 0), 1 << 16, -(1 << 16)).astype(np.int32)
    stepped = (start.astype(np.float32).view(np.int32) + away).view(np.float32)
    stepped = np.where(start == 0, np.copysign(np.float32(2.0**-133), target), stepped)
    return np.where(np.isnan(start) | np.isnan(target), np.float32('nan'), np.where(start == target, target, stepped))


def zeta(input, other, *, out=None):
    """torch.special.zeta: tensors broadcast, which MindSpore's do not, and it is infinite at the poles."""
    input, other, dtype = promoted_floats(input, other)
    input, other = broadcast_tensors(input, other)
    pole = ops.logical_and(input > 1, ops.logical_and(other <= 0, other == ops.floor(other)))
    found = ops.zeta(input.reshape(-1), other.reshape(-1)).reshape(input.shape)
    return ops.where(pole, float('inf'), found).astype(dtype)
