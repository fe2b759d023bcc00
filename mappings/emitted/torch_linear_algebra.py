"""Products and factorisations of torch.* and torch.linalg that MindSpore lacks or has with other conventions."""

import mindspore
import numpy as np
from mindspore import Tensor, ops
from mindspore.scipy import linalg

from mappings.emitted.functional_normalization import narrowed, widened
from mappings.emitted.torch_dtypes import finfo, promote_types
from mappings.emitted.torch_indexing import broadcast_tensors
from mappings.emitted.torch_reduction import norm


def added_product(input, product, beta, alpha):
    """beta * input + alpha * product as torch.addmm and its kind add them: whole numbers stay whole, and beta=0 leaves the input out."""
    if not product.is_floating_point() and not product.is_complex():
        beta, alpha = int(beta), int(alpha)
    result = alpha * product if alpha != 1 else product
    if beta != 0:
        result = (beta * input if beta != 1 else input) + result
    return result.astype(product.dtype)


def addmm(input, mat1, mat2, *, beta=1, alpha=1):
    """torch.addmm."""
    return added_product(input, ops.matmul(mat1, mat2), beta, alpha)


def addmv(input, mat, vec, *, beta=1, alpha=1):
    """torch.addmv."""
    return added_product(input, ops.matmul(mat, vec), beta, alpha)


def addbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """torch.addbmm."""
    return added_product(input, ops.sum(ops.bmm(batch1, batch2), 0).astype(batch1.dtype), beta, alpha)


def baddbmm(input, batch1, batch2, *, beta=1, alpha=1):
    """torch.baddbmm."""
    return added_product(input, ops.bmm(batch1, batch2), beta, alpha)


def addr(input, vec1, vec2, *, beta=1, alpha=1):
    """torch.addr, in the dtype that all three have together."""
    dtype = promote_types(promote_types(input.dtype, vec1.dtype), vec2.dtype)
    if dtype == mindspore.bool_:  # whatever is not 0 is True
        beta, alpha = int(beta != 0), int(alpha != 0)
    wide = {mindspore.bool_: mindspore.int32, mindspore.bfloat16: mindspore.float32}.get(dtype, dtype)
    product = ops.outer(vec1.astype(wide), vec2.astype(wide))
    return added_product(input.astype(wide), product, beta, alpha).astype(dtype)


def cross(input, other, dim=None):
    """torch.cross: along the first axis of length 3 of the input where no axis is given."""
    axis = [i for i, size in enumerate(input.shape) if size == 3][0] if dim is None else dim
    if input.shape != other.shape:
        product = input * other
        input, other = ops.broadcast_to(input, product.shape), ops.broadcast_to(other, product.shape)
    a, b = ops.unbind(input, axis), ops.unbind(other, axis)
    return ops.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]], axis)


def cdist(x1, x2, p=2.0, compute_mode='use_mm_for_euclid_dist_if_necessary'):
    """torch.cdist: MindSpore takes one batch axis and does not broadcast it."""
    if len(x1.shape) <= 3 and x1.shape[:-2] == x2.shape[:-2]:
        return ops.cdist(x1, x2, float(p))
    batch = tuple(np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]))
    left = ops.broadcast_to(x1, batch + x1.shape[-2:]).reshape((-1,) + x1.shape[-2:])
    right = ops.broadcast_to(x2, batch + x2.shape[-2:]).reshape((-1,) + x2.shape[-2:])
    return ops.cdist(left, right, float(p)).reshape(batch + (x1.shape[-2], x2.shape[-2]))


def vander(x, N=None, increasing=False):
    """torch.vander and, with rising powers, torch.linalg.vander, which makes one row of a number."""
    x = x.reshape(1) if x.ndim == 0 else x
    count = x.shape[-1] if N is None else N
    x = x if x.is_floating_point() or x.is_complex() else x.astype(mindspore.int64)
    columns = [ops.ones_like(x)]
    for _ in range(count - 1):  # MindSpore raises whole numbers to a power as fractions
        columns.append(columns[-1] * x)
    columns = columns[:count]
    return ops.stack(columns if increasing else columns[::-1], axis=-1)


def chain_matmul(*matrices):
    """torch.chain_matmul."""
    matrices = matrices[0] if len(matrices) == 1 else matrices
    result = matrices[0]
    for matrix in matrices[1:]:
        result = ops.matmul(result, matrix)
    return result


def tensordot(a, b, dims=2, out=None):
    """torch.tensordot: where one of two contracted axes has size 1, the other is summed, which MindSpore does not do."""
    first = tuple(range(a.ndim - dims, a.ndim)) if isinstance(dims, int) else dims[0]
    second = tuple(range(dims)) if isinstance(dims, int) else dims[1]
    first = (first,) if isinstance(first, int) else tuple(first)
    second = (second,) if isinstance(second, int) else tuple(second)
    for one, other in zip(first, second):
        if a.shape[one] == 1 and b.shape[other] != 1:
            b = ops.sum(b, other, keepdim=True, dtype=b.dtype)
        elif b.shape[other] == 1 and a.shape[one] != 1:
            a = ops.sum(a, one, keepdim=True, dtype=a.dtype)
    return ops.tensor_dot(a, b, (first, second))


def matrix_power(input, n):
    """torch.matrix_power, negative powers through the inverse."""
    base = ops.inverse(input) if n < 0 else input
    if n == 0:
        return ops.broadcast_to(ops.eye(input.shape[-1], dtype=input.dtype), input.shape)
    result = base
    for _ in range(abs(n) - 1):
        result = ops.matmul(result, base)
    return result


def svd(input, some=True, compute_uv=True):
    """torch.svd: U, S, V with input = U diag(S) V^T."""
    s, u, v = ops.svd(input, not (some and compute_uv))
    return (u, s, v) if compute_uv else (ops.zeros_like(u), s, ops.zeros_like(v))


def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False):
    """torch.triangular_solve, in the dtype of the triangle; batches broadcast, which MindSpore's do not."""
    A, b = same_batches(A, b.astype(A.dtype))
    return linalg.solve_triangular(A, b, trans=int(transpose), lower=not upper, unit_diagonal=unitriangular), A


def same_batches(A, B):
    """Matrices whose leading axes are broadcast to those of both."""
    if A.shape[:-2] == B.shape[:-2]:
        return A, B
    batch = tuple(np.broadcast_shapes(A.shape[:-2], B.shape[:-2]))
    return ops.broadcast_to(A, batch + A.shape[-2:]), ops.broadcast_to(B, batch + B.shape[-2:])


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """torch.nn.functional.cosine_similarity: each length is at least eps."""
    x1, x2 = broadcast_tensors(x1, x2)
    if x1.dtype != x2.dtype:
        dtype = promote_types(x1.dtype, x2.dtype)
        x1, x2 = x1.astype(dtype), x2.astype(dtype)
    one, other = widened(x1), widened(x2)
    return narrowed(ops.sum(one / bounded_norm(one, dim, eps) * (other / bounded_norm(other, dim, eps)), dim), x1)


def bounded_norm(tensor, dim, eps):
    """The Euclidean norm along an axis, at least `eps`; its gradient, as in torch, knows nothing of the bound."""
    norm = ops.sqrt(ops.maximum(ops.sum(ops.square(tensor), dim, keepdim=True), 1e-30))
    return norm + ops.stop_gradient(ops.maximum(norm, eps) - norm)


def linalg_norm(A, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """torch.linalg.norm: a vector norm, or a matrix norm where an order and two axes are given."""
    axes = tuple(range(A.ndim)) if dim is None else dim
    if ord is None or isinstance(axes, int) or len(axes) == 1:
        return norm(A, 2 if ord is None else ord, dim, keepdim, dtype=dtype)
    return matrix_norm(A, ord, axes, keepdim, dtype=dtype)


def matrix_norm(A, ord='fro', dim=(-2, -1), keepdim=False, *, dtype=None):
    """torch.linalg.matrix_norm: the norms of singular values keep the dtype, which MindSpore's make float32."""
    if ord not in ('nuc', 2, -2):
        return ops.matrix_norm(A, ord, axis=dim, keepdims=keepdim, dtype=dtype)
    A = A if dtype is None else A.astype(dtype)
    values = ops.svd(ops.movedim(A, tuple(dim), (-2, -1)), compute_uv=False)
    result = ops.sum(values, -1) if ord == 'nuc' else ops.amax(values, -1) if ord == 2 else ops.amin(values, -1)
    if keepdim:
        first, second = dim[0] % A.ndim, dim[1] % A.ndim
        result = ops.expand_dims(ops.expand_dims(result, min(first, second)), max(first, second))
    return result


def pinv(A, atol=None, rtol=None, hermitian=False):
    """torch.linalg.pinv; of a Hermitian matrix the lower triangle counts."""
    if hermitian:
        A = ops.tril(A) + ops.swapaxes(ops.tril(A, -1), -1, -2)
    return ops.pinv(A, atol=atol, rtol=rtol)


def solve(A, B):
    """torch.linalg.solve: batches broadcast, which MindSpore's do not."""
    vector = B.ndim == 1 or B.shape == A.shape[:-1]
    A, B = same_batches(A, B.expand_dims(-1) if vector else B)
    solution = ops.matrix_solve(A, B)
    return solution.squeeze(-1) if vector else solution


def linalg_svd(A, full_matrices=True):
    """torch.linalg.svd: U, S, V^H."""
    s, u, v = ops.svd(A, full_matrices)
    return u, s, ops.swapaxes(v, -1, -2)


def matrix_rank(A, tol=None):
    """torch.linalg.matrix_rank."""
    values = ops.svd(A, compute_uv=False)
    if tol is None:
        tol = ops.amax(values, -1, True) * (finfo(A.dtype).eps * max(A.shape[-2:]))
    return ops.sum(values > tol, -1)


def cond(A):
    """torch.linalg.cond in the 2-norm."""
    values = ops.svd(A, compute_uv=False)
    return values[..., 0] / values[..., -1]


def lstsq(A, B):
    """torch.linalg.lstsq for a matrix of full rank: solution, and empty residuals, rank and singular values."""
    if A.shape[-2] < A.shape[-1]:  # the shortest of many solutions
        q, r = ops.qr(ops.swapaxes(A, -1, -2))
        solution = ops.matmul(q, solve(ops.swapaxes(r, -1, -2), B))
    else:
        q, r = ops.qr(A)
        solution = solve(r, ops.matmul(ops.swapaxes(q, -1, -2), B))
    empty = ops.zeros((0,), A.dtype)
    return solution, empty, empty, empty


def logdet(input):
    """torch.logdet: NaN where the determinant is negative."""
    sign, value = ops.slogdet(input)
    return ops.where(sign < 0, float('nan'), value)


def lu(A):
    """torch.linalg.lu of one matrix that is no taller than wide: (P, L, U) with A = P @ L @ U."""
    if A.ndim != 2 or A.shape[0] > A.shape[-1]:
        raise ValueError('torch.linalg.lu: MindSpore factors one matrix at a time, of no more rows than columns')
    permutation, lower, upper = linalg.lu(A)
    return permutation.astype(A.dtype), lower, upper


def lu_factor(A):
    """torch.linalg.lu_factor of one square matrix: L without its diagonal and U in one matrix, and the row, counted from 1,
    that each row was exchanged with."""
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError('torch.linalg.lu_factor: one square matrix at a time')
    permutation, lower, upper = linalg.lu(A)
    order = permutation.asnumpy().argmax(0)
    rows = list(range(len(order)))
    pivots = []
    for step, row in enumerate(order):
        place = rows.index(row)
        rows[step], rows[place] = rows[place], rows[step]
        pivots.append(place + 1)
    return ops.tril(lower, -1) + upper, Tensor(np.array(pivots, np.int32))


def lu_unpack(LU_data, LU_pivots):
    """torch.lu_unpack of one square matrix: (P, L, U)."""
    if LU_data.ndim != 2 or LU_data.shape[0] != LU_data.shape[1]:
        raise ValueError('torch.lu_unpack: one square matrix at a time')
    size = LU_data.shape[-1]
    rows = list(range(size))
    for step, place in enumerate(LU_pivots.asnumpy().tolist()):
        rows[step], rows[place - 1] = rows[place - 1], rows[step]
    identity = ops.eye(size, size, LU_data.dtype)
    permutation = Tensor(np.eye(size)[rows].T, LU_data.dtype)
    return permutation, ops.tril(LU_data, -1) + identity, ops.triu(LU_data)
