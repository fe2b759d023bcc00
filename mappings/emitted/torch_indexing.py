"""Functions of torch.* that move, pick or scatter elements."""

import itertools

import mindspore
import numpy as np
from mindspore import Tensor, ops


def where(condition, input=None, other=None, *, out=None):
    """torch.where."""
    return nonzero(condition, as_tuple=True) if input is None else ops.where(condition.bool(), input, other)


def nonzero(input, *, as_tuple=False):
    """torch.nonzero: MindSpore's takes numbers below 1.2e-7 for zero on CPU."""
    places = ops.nonzero(input != 0)
    return tuple([places[:, axis] for axis in range(input.ndim)]) if as_tuple else places


def without_leading_axes(value, shape):
    """A value as `x[...] = value` stores it in torch: first axes of size 1 that the place does not have are dropped."""
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = value.squeeze(0)
    return value


def take_along_dim(input, indices, dim):
    """torch.take_along_dim: sizes of the other axes broadcast."""
    dim = dim % input.ndim
    shape = list(np.broadcast_shapes(*[tuple(s[:dim]) + (1,) + tuple(s[dim + 1:]) for s in (input.shape, indices.shape)]))
    shape[dim] = input.shape[dim]
    input = ops.broadcast_to(input, tuple(shape))
    shape[dim] = indices.shape[dim]
    return ops.gather_elements(input, dim, ops.broadcast_to(indices, tuple(shape)))


def index_copy(input, dim, index, source):
    """torch.index_copy."""
    dim = dim % input.ndim
    shape = [1] * input.ndim
    shape[dim] = index.shape[0]
    index = ops.broadcast_to(index.reshape(tuple(shape)), source.shape)
    return ops.tensor_scatter_elements(input, index, source, axis=dim)


def index_add(input, dim, index, source, *, alpha=1):
    """torch.index_add; mindspore.ops.index_add would change its input."""
    dim = dim % input.ndim
    shape = [1] * input.ndim
    shape[dim] = index.shape[0]
    index = ops.broadcast_to(index.reshape(tuple(shape)), source.shape)
    return ops.tensor_scatter_elements(input, index, source * alpha, axis=dim, reduction='add')


def masked_scatter(input, mask, source):
    """torch.masked_scatter: the places of the mask take the first elements of source in order."""
    mask = ops.broadcast_to(mask, input.shape)
    order = ops.cumsum(mask.reshape(-1).astype(mindspore.int32), 0) - 1
    picked = ops.gather(source.reshape(-1), ops.clamp(order, min=0), 0)
    return ops.where(mask, picked.reshape(input.shape), input)


def scatter(input, dim, index, src=None, *, value=None, reduce='none'):
    """torch.scatter with a tensor or a number, and torch.scatter_add as reduce='add'."""
    src = value if src is None else src
    if isinstance(src, Tensor):
        src = src[tuple([slice(0, size) for size in index.shape])]
    else:
        src = ops.full(index.shape, src, dtype=input.dtype)
    return ops.tensor_scatter_elements(input, index, src, axis=dim, reduction=reduce)


def scatter_reduce(input, dim, index, src, reduce, *, include_self=True):
    """torch.scatter_reduce with include_self=True, for 'sum' and 'mean'."""
    total = scatter(input, dim, index, src, reduce='add')
    if reduce == 'sum':
        return total
    counts = scatter(ops.ones_like(input), dim, index, ops.ones_like(src), reduce='add')
    return total / counts if input.is_floating_point() else ops.floor_divide(total, counts)


def _each(function, tensors):
    """The function on one tensor, or on each of several, as torch's atleast functions do."""
    if len(tensors) == 1 and not isinstance(tensors[0], (list, tuple)):
        return function(tensors[0])
    tensors = tensors[0] if len(tensors) == 1 else tensors
    return tuple([function(t) for t in tensors])


def atleast_1d(*tensors):
    """torch.atleast_1d."""
    return _each(ops.atleast_1d, tensors)


def atleast_2d(*tensors):
    """torch.atleast_2d."""
    return _each(ops.atleast_2d, tensors)


def atleast_3d(*tensors):
    """torch.atleast_3d."""
    return _each(ops.atleast_3d, tensors)


def select(input, dim, index):
    """torch.select."""
    return input[(slice(None),) * (dim % input.ndim) + (index,)]


def squeeze(input, dim):
    """torch.squeeze over given axes: axes longer than 1 stay."""
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    if input.ndim == 0:
        return input
    axes = tuple([d % input.ndim for d in dims if input.shape[d] == 1])
    return ops.squeeze(input, axes) if axes else input


def unflatten(input, dim, sizes):
    """torch.unflatten."""
    dim = dim % input.ndim
    return input.reshape(input.shape[:dim] + tuple(sizes) + input.shape[dim + 1:])


def tile(input, dims):
    """torch.tile: missing leading repetitions are 1."""
    dims = tuple(dims)
    return ops.tile(input, (1,) * (input.ndim - len(dims)) + dims)


def broadcast_shapes(*shapes):
    """torch.broadcast_shapes."""
    return np.broadcast_shapes(*shapes)


def broadcast_tensors(*tensors):
    """torch.broadcast_tensors."""
    shape = broadcast_shapes(*[t.shape for t in tensors])
    return tuple([ops.broadcast_to(t, shape) for t in tensors])


def meshgrid(*tensors, indexing=None):
    """torch.meshgrid: 'ij' unless told otherwise, and one list of tensors is allowed."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if len(tensors) == 1:
        return (tensors[0].reshape(-1),)
    return ops.meshgrid(*tensors, indexing=indexing or 'ij')


def diag(input, diagonal=0):
    """torch.diag: a vector becomes a matrix, a matrix gives its diagonal."""
    return ops.diag_embed(input, diagonal) if input.ndim == 1 else ops.diagonal(input, diagonal)


def roll(input, shifts, dims=None):
    """torch.roll: axes are cut at the shift and joined the other way round."""
    rolled = input.reshape(-1) if dims is None else input
    dims = 0 if dims is None else dims
    shifts = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
    dims = dims if isinstance(dims, (tuple, list)) else (dims,)
    for shift, dim in zip(shifts, dims):
        size = rolled.shape[dim]
        cut = -shift % size if size else 0
        if cut:
            rolled = ops.cat(ops.split(rolled, [cut, size - cut], axis=dim)[::-1], axis=dim)
    return rolled.reshape(input.shape)


def cartesian_prod(*tensors):
    """torch.cartesian_prod."""
    if len(tensors) == 1:
        return tensors[0]
    return ops.stack([grid.reshape(-1) for grid in ops.meshgrid(*tensors, indexing='ij')], axis=-1)


def unravel_index(indices, shape):
    """torch.unravel_index."""
    found = []
    indices = indices.astype(mindspore.int64)
    for size in reversed(tuple(shape)):
        found.append(indices % size)
        indices = indices // size
    return tuple(found[::-1])


def select_scatter(input, src, dim, index):
    """torch.select_scatter."""
    dim, size = dim % input.ndim, input.shape[dim]
    shape = [1] * input.ndim
    shape[dim] = size
    here = Tensor(np.arange(size) == index % size).reshape(tuple(shape))
    return ops.where(here, src.expand_dims(dim).astype(input.dtype), input)


def slice_scatter(input, src, dim=0, start=None, end=None, step=1):
    """torch.slice_scatter."""
    dim, size = dim % input.ndim, input.shape[dim]
    index = Tensor(np.arange(size)[start:end:step], mindspore.int64)
    return index_copy(input, dim, index, src.astype(input.dtype))


def as_strided(input, size, stride, storage_offset=None):
    """torch.as_strided of a contiguous tensor, as a gather of its elements."""
    place = np.full(tuple(size), storage_offset or 0)
    for axis, (length, step) in enumerate(zip(size, stride)):
        shape = [1] * len(size)
        shape[axis] = length
        place = place + (np.arange(length) * step).reshape(shape)
    return ops.gather(input.reshape(-1), Tensor(place, mindspore.int64), 0)


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """torch.unique of all elements, in rising order."""
    if dim is not None:
        raise ValueError('torch.unique: dim has no MindSpore form')
    values, inverse = ops.unique(input.reshape(-1))
    order = ops.argsort(values.astype(mindspore.float64))
    values = ops.gather(values, order, 0)
    inverse = ops.gather(ops.argsort(order.astype(mindspore.float64)), inverse, 0).astype(mindspore.int64)
    found = [values]
    if return_inverse:
        found.append(inverse.reshape(input.shape))
    if return_counts:
        found.append((inverse.expand_dims(0) == ops.arange(values.shape[0]).expand_dims(1)).astype(mindspore.int64).sum(1))
    return values if len(found) == 1 else tuple(found)


def stepped(x, axes, steps):
    """x with every step-th element along an axis, or along several: on CPU a stepped slice of MindSpore 2.10 has no gradient."""
    if isinstance(axes, int):
        axes, steps = (axes,), (steps,)
    for axis, step in zip(axes, steps):
        x = ops.gather(x, ops.arange(0, x.shape[axis], step), axis)
    return x


def cat(tensors, dim=0, *, out=None):
    """torch.cat: tensors of the shape (0,) are skipped."""
    kept = [tensor for tensor in tensors if tensor.shape != (0,)]
    if len(kept) == 0:
        return tensors[0]
    for tensor in tensors:
        if tensor.shape == (0,) and tensor.dtype != kept[0].dtype:
            raise ValueError(f'an empty tensor of {tensor.dtype} is joined to one of {kept[0].dtype}: convert it first')
    return ops.cat(kept, dim)


def narrow(input, dim, start, length):
    """torch.narrow, also from a start that is counted from the end, and to a length of 0."""
    dim, size = dim % input.ndim, input.shape[dim]
    start = start + size if start < 0 else start
    index = (slice(None),) * dim + (slice(start, start + length),)
    return input[index]


def combinations(input, r=2, with_replacement=False):
    """torch.combinations of the elements of a vector, r at a time."""
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r) if r else np.zeros((0,), np.int64)
    if places.size == 0:
        return ops.zeros(places.shape, input.dtype)
    return ops.gather(input, Tensor(places), 0)
