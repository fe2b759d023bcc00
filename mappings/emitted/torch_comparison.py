"""Extremes, sorting and comparison functions of torch.*."""

import mindspore
from mindspore import Tensor, ops


def torch_max(input, dim=None, keepdim=False, *, other=None, out=None):
    """torch.max in its three forms: of all elements, along an axis, of two tensors."""
    if isinstance(dim, Tensor) or other is not None:
        return ops.maximum(input, dim if other is None else other)
    return ops.amax(input) if dim is None else ops.max(input, axis=dim, keepdims=keepdim)


def torch_min(input, dim=None, keepdim=False, *, other=None, out=None):
    """torch.min in its three forms: of all elements, along an axis, of two tensors."""
    if isinstance(dim, Tensor) or other is not None:
        return ops.minimum(input, dim if other is None else other)
    return ops.amin(input) if dim is None else ops.min(input, axis=dim, keepdims=keepdim)


def amax(input, dim=(), keepdim=False, *, out=None):
    """torch.amax."""
    return ops.amax(input, None if dim == () else dim, keepdim)


def amin(input, dim=(), keepdim=False, *, out=None):
    """torch.amin."""
    return ops.amin(input, None if dim == () else dim, keepdim)


def argmin(input, dim=None, keepdim=False):
    """torch.argmin; integers are reversed by -1 - x, which no smallest number and no unsigned one overflows."""
    found = ops.argmax(-input if input.is_floating_point() else -1 - input, dim, keepdim)
    return found.reshape((1,) * input.ndim) if keepdim and dim is None else found


def aminmax(input, *, dim=None, keepdim=False):
    """torch.aminmax."""
    return ops.amin(input, dim, keepdim), ops.amax(input, dim, keepdim)


def fmax(input, other):
    """torch.fmax: nan only where both are nan."""
    both = ops.maximum(ops.where(ops.isnan(input), other, input), ops.where(ops.isnan(other), input, other))
    return both


def fmin(input, other):
    """torch.fmin: nan only where both are nan."""
    return ops.minimum(ops.where(ops.isnan(input), other, input), ops.where(ops.isnan(other), input, other))


def sort(input, dim=-1, descending=False, stable=False, *, out=None):
    """torch.sort, with int64 indices."""
    values, indices = ops.sort(input, axis=dim, descending=descending)
    return values, indices.astype(mindspore.int64)


def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """torch.topk, with int64 indices."""
    if input.ndim == 0:
        return input, ops.zeros((), mindspore.int64)
    if input.dtype == mindspore.uint8:  # of which MindSpore mixes up the order
        values, indices = ops.topk(input.astype(mindspore.int32), k, dim=dim, largest=largest, sorted=True)
        return values.astype(input.dtype), indices.astype(mindspore.int64)
    values, indices = ops.topk(input, k, dim=dim, largest=largest, sorted=True)
    return values, indices.astype(mindspore.int64)


def torch_all(input, dim=None, keepdim=False):
    """torch.all: of uint8 it is uint8."""
    found = ops.all(input.astype(mindspore.bool_), axis=dim, keep_dims=keepdim)
    return found.astype(input.dtype) if input.dtype == mindspore.uint8 else found


def torch_any(input, dim=None, keepdim=False):
    """torch.any: of uint8 it is uint8."""
    found = ops.any(input.astype(mindspore.bool_), axis=dim, keep_dims=keepdim)
    return found.astype(input.dtype) if input.dtype == mindspore.uint8 else found


def equal(input, other):
    """torch.equal: same shape and same elements."""
    return input.shape == other.shape and bool((input == other).all())


def isin(elements, test_elements, *, invert=False):
    """torch.isin."""
    if isinstance(test_elements, Tensor):
        test_elements = test_elements.reshape(-1)
        if isinstance(elements, Tensor):
            elements = elements.expand_dims(-1)
        found = (elements == test_elements).any(-1)
    else:
        found = elements == test_elements
    return ops.logical_not(found) if invert else found


def searchsorted(sorted_sequence, input, out_int32=False, right=False, side=None, sorter=None):
    """torch.searchsorted with a sorter or a number, which MindSpore does not take on CPU."""
    if sorter is not None:
        sorted_sequence = ops.gather_elements(sorted_sequence, sorted_sequence.ndim - 1, sorter)
    number = not isinstance(input, mindspore.Tensor)
    if number:
        dtype = mindspore.float32 if isinstance(input, float) else sorted_sequence.dtype
        dtype = sorted_sequence.dtype if sorted_sequence.is_floating_point() else dtype
        sorted_sequence, input = sorted_sequence.astype(dtype), mindspore.Tensor([input], dtype)
    places = ops.searchsorted(sorted_sequence, input, right=right, side=side)
    places = places.reshape(()) if number else places
    return places.astype(mindspore.int32) if out_int32 else places
