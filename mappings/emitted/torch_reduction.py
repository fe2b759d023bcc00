"""Reductions and cumulative functions of torch.*."""

import math

import mindspore
from mindspore import Tensor, ops

from mappings.emitted.functional_normalization import narrowed, widened
from mappings.emitted.torch_dtypes import result_type
from mappings.emitted.torch_spectral import magnitude


def _moment(input, dim, unbiased, keepdim, correction):
    """The variance and the mean, in all of torch's forms of the arguments of std, var and their pairs with the mean."""
    dim = tuple(dim) if isinstance(dim, list) else dim
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    axes = tuple(range(input.ndim)) if dim is None else dim
    mean = ops.mean(input, axes, keep_dims=keepdim)
    return variance(input, dim, keepdim, correction if unbiased is None else int(unbiased)), mean


def std(input, dim=None, unbiased=None, keepdim=False, *, correction=1, out=None):
    """torch.std."""
    return narrowed(_root(_moment(widened(input), dim, unbiased, keepdim, correction)[0]), input)


def var(input, dim=None, unbiased=None, keepdim=False, *, correction=1, out=None):
    """torch.var."""
    return _moment(input, dim, unbiased, keepdim, correction)[0]


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=1, out=None):
    """torch.std_mean."""
    spread, mean = _moment(widened(input), dim, unbiased, keepdim, correction)
    return narrowed(_root(spread), input), narrowed(mean, input)


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=1, out=None):
    """torch.var_mean."""
    spread, mean = _moment(widened(input), dim, unbiased, keepdim, correction)
    return narrowed(spread, input), narrowed(mean, input)


def variance(input, dim=None, keepdim=False, correction=1):
    """torch.var: infinite or NaN where there are no more values than the correction, and 0 in mindspore.ops.var."""
    axes = tuple(range(input.ndim)) if dim is None else (dim,) if isinstance(dim, int) else dim
    count = math.prod([input.shape[axis] for axis in axes])
    wide = widened(input)
    distance = wide - ops.mean(wide, axes, keep_dims=True)
    return narrowed(ops.sum(distance * distance, axes, keepdim) / max(count - correction, 0), input)


def deviation(input, dim=None, keepdim=False, correction=1):
    """torch.std, as the root of `variance`."""
    return narrowed(_root(variance(widened(input), dim, keepdim, correction)), input)


def _root(variance):
    """The square root of a variance, whose gradient is zero where all values are equal."""
    positive = ops.where(variance > 0, variance, ops.ones_like(variance))
    return ops.where(variance > 0, ops.sqrt(positive), variance)


def population_variance(input, dim=None, keepdim=False):
    """torch.var of all values and not of a sample: over a single one its gradient is zero, and NaN in mindspore.ops.var."""
    axes = tuple(range(input.ndim)) if dim is None else dim
    wide = widened(input)
    distance = wide - ops.mean(wide, axes, keep_dims=True)
    return narrowed(ops.mean(distance * distance, axes, keep_dims=keepdim), input)


def population_deviation(input, dim=None, keepdim=False):
    """torch.std of all values and not of a sample; its gradient is zero where all are equal."""
    return narrowed(_root(population_variance(widened(input), dim, keepdim)), input)


def norm(input, p='fro', dim=None, keepdim=False, out=None, dtype=None):
    """torch.norm: the vector norm over the given axes; its gradient at zero is zero."""
    if dtype is not None:
        input = input.astype(dtype)
    return narrowed(vector_norm(widened(input), p, dim, keepdim), input)


def vector_norm(input, p, dim, keepdim):
    """The vector norm in the dtype of its input."""
    input = magnitude(input) if input.is_complex() else input
    axes = tuple(range(input.ndim)) if dim is None else dim
    size = ops.abs(input)
    if p == math.inf:
        return ops.amax(size, axes, keepdim)
    if p == -math.inf:
        return ops.amin(size, axes, keepdim)
    if p == 0:
        return ops.sum((size != 0).astype(size.dtype), axes, keepdim)
    if p == 1:
        return ops.sum(size, axes, keepdim)
    power = 2 if p is None or p == 'fro' else p
    if power < 0:  # a single zero makes the norm 0, without a gradient
        total = ops.sum(ops.where(size == 0, ops.ones_like(size), size) ** power, axes, keepdim) ** (1 / power)
        return ops.where(ops.amin(size, axes, keepdim) == 0, ops.zeros_like(total), total)
    total = ops.sum(input * input if power == 2 else size**power, axes, keepdim)
    positive = ops.where(total > 0, total, ops.ones_like(total))
    return ops.where(total > 0, ops.sqrt(positive) if power == 2 else positive**(1 / power), total)


def kthvalue(input, k, dim=-1, keepdim=False):
    """torch.kthvalue: the k-th smallest element along an axis and its place."""
    values, indices = ops.sort(input, axis=dim)
    values = ops.narrow(values, dim, k - 1, 1)
    indices = ops.narrow(indices, dim, k - 1, 1).astype(mindspore.int64)
    return (values, indices) if keepdim else (ops.squeeze(values, dim), ops.squeeze(indices, dim))


def median(input, dim=None, keepdim=False, *, out=None):
    """torch.median: the lower of the two middle elements where their number is even."""
    if dim is None:
        return kthvalue(input.reshape(-1), (input.size + 1) // 2)[0]
    return kthvalue(input, (input.shape[dim] + 1) // 2, dim, keepdim)


def quantile(input, q, dim=None, keepdim=False, *, interpolation='linear', out=None):
    """torch.quantile."""
    shape = (1,) * input.ndim
    if dim is None:
        values, dim = ops.sort(input.reshape(-1))[0], 0
    else:
        values, shape = ops.sort(input, axis=dim)[0], None
    if not isinstance(q, Tensor):
        result = _quantile(values, q, dim, interpolation)
        return result if not keepdim else result.expand_dims(dim) if shape is None else result.reshape(shape)
    values = ops.movedim(values, dim, 0)
    place = q.reshape((-1,) + (1,) * (values.ndim - 1)) * (values.shape[0] - 1)
    if interpolation == 'nearest':
        place = ops.round(place)
    low = ops.floor(place)
    lower = ops.gather(values, low.reshape(-1).astype(mindspore.int32), 0)
    upper = ops.gather(values, ops.ceil(place).reshape(-1).astype(mindspore.int32), 0)
    weight = {'linear': place - low, 'nearest': 0 * place, 'lower': 0 * place, 'higher': 0 * place + 1, 'midpoint': 0 * place + 0.5}
    result = lower + (upper - lower) * weight[interpolation]
    if q.ndim == 0:
        result = result[0]
        return result if not keepdim else result.expand_dims(dim) if shape is None else result.reshape(shape)
    if not keepdim:
        return result
    return result.expand_dims(dim % input.ndim + 1) if shape is None else result.reshape((q.shape[0],) + shape)


def _quantile(values, q, dim, interpolation):
    """The quantile of sorted values along an axis, for a Python number q."""
    place = q * (values.shape[dim] - 1)
    low, high = math.floor(place), math.ceil(place)
    weight = {'linear': place - low, 'lower': 0.0, 'higher': 1.0, 'midpoint': 0.5, 'nearest': round(place) - low}
    lower = ops.squeeze(ops.narrow(values, dim, low, 1), dim)
    upper = ops.squeeze(ops.narrow(values, dim, high, 1), dim)
    return lower + (upper - lower) * weight[interpolation]


def _widened(input):
    """Small integers and booleans as int64, as torch's cumulative functions do."""
    small = (mindspore.bool_, mindspore.uint8, mindspore.int8, mindspore.int16, mindspore.int32)
    return input.astype(mindspore.int64) if input.dtype in small else input


def cumsum(input, dim, *, dtype=None, out=None):
    """torch.cumsum; without elements MindSpore's kernel ends the process."""
    input = _widened(input) if dtype is None else input.astype(dtype)
    return input if 0 in input.shape else ops.cumsum(input, dim)


def cumprod(input, dim, *, dtype=None, out=None):
    """torch.cumprod."""
    if dtype is not None:
        return ops.cumprod(input.astype(dtype), dim).astype(dtype)  # of int32 it makes int64
    return ops.cumprod(_widened(input), dim)


def cummax(input, dim):
    """torch.cummax."""
    values, indices = ops.cummax(input, dim)
    return values, indices.astype(mindspore.int64)


def cummin(input, dim):
    """torch.cummin."""
    values, indices = ops.cummin(input, dim)
    return values, indices.astype(mindspore.int64)


def bincount(input, weights=None, minlength=0):
    """torch.bincount."""
    length = max(int(ops.amax(input)) + 1, minlength) if input.size else minlength
    if weights is None:
        weights = ops.ones(input.shape, mindspore.int64)
    elif weights.dtype != mindspore.float32:
        weights = weights.astype(mindspore.float64)
    return ops.unsorted_segment_sum(weights, input.astype(mindspore.int32), length)


def _strips(y, x, dx, dim):
    """Areas of the trapezia between neighbouring samples."""
    size = y.shape[dim]
    left, right = ops.narrow(y, dim, 0, size - 1), ops.narrow(y, dim, 1, size - 1)
    if x is None:
        return (left + right) * (0.5 * dx)
    if x.ndim == 1:
        shape = [1] * y.ndim
        shape[dim] = size
        x = x.reshape(tuple(shape))
    width = ops.narrow(x, dim, 1, size - 1) - ops.narrow(x, dim, 0, size - 1)
    return (left + right) * width * 0.5


def trapezoid(y, x=None, *, dx=1, dim=-1):
    """torch.trapezoid."""
    return ops.sum(_strips(y, x, dx, dim), dim)


def cumulative_trapezoid(y, x=None, *, dx=1, dim=-1):
    """torch.cumulative_trapezoid."""
    return ops.cumsum(_strips(y, x, dx, dim), dim)


def diff(input, n=1, dim=-1, prepend=None, append=None):
    """torch.diff."""
    if n == 0:
        return input
    parts = [part for part in (prepend, input, append) if part is not None]
    result = ops.cat(parts, axis=dim) if len(parts) > 1 else input
    for _ in range(n):
        size = result.shape[dim]
        result = ops.narrow(result, dim, 1, size - 1) - ops.narrow(result, dim, 0, size - 1)
    return result


def cov(input, *, correction=1, fweights=None, aweights=None):
    """torch.cov: of float16 and bfloat16 MindSpore's own is float32, and 0 where no degree of freedom is left."""
    rows = _rows(input)
    count, left, dtype = rows.shape[1], rows.shape[1] - correction, input.dtype if input.is_floating_point() else rows.dtype
    weights = aweights if fweights is None else fweights if aweights is None else fweights * aweights
    if weights is None:
        centred = rows - ops.mean(rows, axis=-1, keep_dims=True)
        weighted, left = centred, max(left, 0)
    else:
        weights = weights.astype(rows.dtype)
        count = ops.sum(weights)
        left = count - (correction if aweights is None else correction * ops.sum(weights * aweights) / count)
        left = ops.maximum(left, ops.zeros_like(left))
        centred = rows - (ops.sum(rows * weights, -1, True) / count if rows.shape[1] > 1 else rows)
        weighted = centred * weights
    if aweights is not None and aweights.is_floating_point():
        dtype = result_type(input.reshape(1, -1), aweights)
    found = ops.matmul(centred, ops.swapaxes(weighted, 0, 1)) / left
    return (found if found.shape[0] > 1 else found.reshape(())).astype(dtype)


def _rows(input):
    """The rows of a matrix of variables in float32 or float64; a vector is one."""
    if input.is_complex():
        raise ValueError('torch.cov: complex numbers are not taken here; use numpy.cov or numpy.corrcoef')
    wide = input if input.dtype == mindspore.float64 else input.astype(mindspore.float32)
    return wide.reshape(1, -1) if wide.ndim < 2 else wide


def corrcoef(input):
    """torch.corrcoef: NaN beside a row of equal numbers."""
    rows = _rows(input)
    level = ops.amax(rows, -1, True) == ops.amin(rows, -1, True)
    centred = rows - ops.mean(rows, axis=-1, keep_dims=True)
    centred = ops.where(level, ops.zeros_like(centred), centred)
    product = ops.matmul(centred, ops.swapaxes(centred, 0, 1))
    if rows.shape[0] == 1:
        found = (product / product).reshape(())
    else:
        scale = ops.sqrt(ops.diagonal(product))
        found = product / (scale.expand_dims(0) * scale.expand_dims(1))
    return found.astype(input.dtype) if input.is_floating_point() else found


def histc(input, bins=100, min=0, max=0):
    """torch.histc: of float16 MindSpore's own is float32, and it takes no bfloat16."""
    half = input.dtype in (mindspore.float16, mindspore.bfloat16)
    return ops.histc(input.astype(mindspore.float32) if half else input, bins, float(min), float(max)).astype(input.dtype)


def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """torch.nansum: NaN counts as zero before the dtype is changed, and a sum of integers is int64."""
    if input.is_floating_point():
        input = ops.where(ops.isnan(input), ops.zeros_like(input), input)
    return ops.sum(input, dim, keepdim, dtype=dtype)


def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """torch.nanmean: the gradient of MindSpore's own is wrong for axes that are counted from the end."""
    input = input if dtype is None else input.astype(dtype)
    count = ops.sum(ops.logical_not(ops.isnan(input)), dim, keepdim)
    return nansum(input, dim, keepdim) / count.astype(input.dtype)
