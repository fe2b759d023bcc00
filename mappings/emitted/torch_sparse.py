"""Sparse tensors of torch, held dense: MindSpore's COOTensor and CSRTensor take part in few operators."""

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops


class _Held(nn.Cell):
    """The same values; torch gives the zeros of a tensor made sparse a gradient in some products and none in others."""

    def construct(self, x):
        return x

    def bprop(self, x, out, dout):
        raise RuntimeError('no gradient through to_sparse(): take the product with the dense tensor')


def to_sparse(x):
    """torch.Tensor.to_sparse, held dense."""
    return _Held()(x)


def sparse_coo_tensor(indices, values, size=None, dtype=None):
    """torch.sparse_coo_tensor, held dense: values of one place are added, as torch adds them when it reads the tensor."""
    indices = indices if isinstance(indices, Tensor) else mindspore.tensor(np.asarray(indices))
    values = values if isinstance(values, Tensor) else mindspore.tensor(values)
    values = values if dtype is None else values.astype(dtype)
    if values.dtype == mindspore.bool_:  # MindSpore adds no truth values
        return sparse_coo_tensor(indices, values.astype(mindspore.int32), size).astype(mindspore.bool_)
    values = values.reshape(1) if values.ndim == 0 else values
    if size is None:
        size = tuple(int(n) + 1 for n in indices.asnumpy().max(1)) + tuple(values.shape[1:])
    zeros = ops.zeros(tuple(size), values.dtype)
    return ops.tensor_scatter_add(zeros, indices.astype(mindspore.int64).T, values) if values.size else zeros


def sparse_csr_tensor(crow_indices, col_indices, values, size=None, dtype=None):
    """torch.sparse_csr_tensor of a matrix, held dense."""
    starts, columns = (n.asnumpy() if isinstance(n, Tensor) else np.asarray(n) for n in (crow_indices, col_indices))
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    size = (len(starts) - 1, int(columns.max()) + 1) if size is None else size
    return sparse_coo_tensor(np.stack([rows, columns]), values, size, dtype)


def sparse_sum(input, dim=None):
    """torch.sparse.sum: a sum of integers over some of the axes, which stays sparse, stays as wide."""
    axes = () if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    return ops.sum(input, axes, dtype=input.dtype) if 0 < len(axes) < input.ndim else ops.sum(input)
