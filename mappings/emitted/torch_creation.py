"""Constructors of torch.* whose dtype rules MindSpore does not share, and window functions."""

import mindspore
import numpy as np
from mindspore import Tensor, ops

from mappings.emitted.torch_indexing import broadcast_tensors


def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """torch.full."""
    if dtype is None:
        if isinstance(fill_value, bool):
            dtype = mindspore.bool_
        elif isinstance(fill_value, int):
            dtype = mindspore.int64
        elif isinstance(fill_value, Tensor):
            dtype = fill_value.dtype
        else:
            dtype = mindspore.float32
    return ops.full(tuple(size), fill_value, dtype=dtype)


def arange(start, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, pin_memory=False,
           requires_grad=False):
    """torch.arange with one bound or two: for int64 they are truncated before the elements are counted."""
    start, end = (0, start) if end is None else (start, end)
    if dtype == mindspore.int64:
        start, end, step = int(start), int(end), int(step)
    elif dtype in (mindspore.int8, mindspore.int16, mindspore.int32, mindspore.uint8) and (int(start) != start or int(step) != step):
        raise ValueError(f'torch.arange from {start} in steps of {step} has no integers: give integers')
    return ops.arange(start, end, step, dtype=dtype)


def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False):
    """torch.eye."""
    return ops.eye(n, n if m is None else m, dtype=mindspore.float32 if dtype is None else dtype)


def as_tensor(data, dtype=None, device=None):
    """torch.as_tensor."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.astype(dtype)
    if isinstance(data, (list, tuple, int, float, bool)):  # a graph knows no range to ask for
        return mindspore.tensor(data, dtype)
    return mindspore.tensor(list(data) if isinstance(data, range) else data, dtype)


def _legacy(data, dtype):
    """torch's old constructors: a sequence gives its values, numbers and a torch.Size give a shape, which is a tuple here."""
    if len(data) == 1 and isinstance(data[0], tuple) and data[0] and all(type(d) is int for d in data[0]):
        raise TypeError(f"{data[0]} is a shape or values: write ops.zeros(shape, dtype) or Tensor(list(values), dtype)")
    if len(data) == 1 and not isinstance(data[0], int):
        return as_tensor(data[0], dtype)
    if not data:
        return mindspore.tensor([], dtype)
    return ops.zeros(tuple(data), dtype)


def FloatTensor(*data, device=None):
    """torch.FloatTensor, and torch.Tensor(...)."""
    return _legacy(data, mindspore.float32)


def DoubleTensor(*data, device=None):
    """torch.DoubleTensor."""
    return _legacy(data, mindspore.float64)


def HalfTensor(*data, device=None):
    """torch.HalfTensor."""
    return _legacy(data, mindspore.float16)


def LongTensor(*data, device=None):
    """torch.LongTensor."""
    return _legacy(data, mindspore.int64)


def IntTensor(*data, device=None):
    """torch.IntTensor."""
    return _legacy(data, mindspore.int32)


def ShortTensor(*data, device=None):
    """torch.ShortTensor."""
    return _legacy(data, mindspore.int16)


def CharTensor(*data, device=None):
    """torch.CharTensor."""
    return _legacy(data, mindspore.int8)


def ByteTensor(*data, device=None):
    """torch.ByteTensor."""
    return _legacy(data, mindspore.uint8)


def BoolTensor(*data, device=None):
    """torch.BoolTensor."""
    return _legacy(data, mindspore.bool_)


_OLD_TYPES = {
    "FloatTensor": mindspore.float32, "DoubleTensor": mindspore.float64, "HalfTensor": mindspore.float16, "LongTensor": mindspore.int64,
    "IntTensor": mindspore.int32, "ShortTensor": mindspore.int16, "CharTensor": mindspore.int8, "ByteTensor": mindspore.uint8,
    "BoolTensor": mindspore.bool_,
}  # fmt: skip


def typed(input, dtype):
    """torch.Tensor.type with a dtype, or with one of the old constructors such as FloatTensor."""
    cast = input.astype(_OLD_TYPES.get(getattr(dtype, "__name__", None), dtype))
    return cast if cast.is_floating_point() else ops.stop_gradient(cast)


def _window(values, window_length, periodic, dtype):
    """Values of a window function: periodic windows are one longer and lose the last point."""
    values = np.ones(1) if window_length == 1 else values[:window_length]
    return mindspore.tensor(values.tolist(), dtype or mindspore.float32)


def hann_window(window_length, periodic=True, *, dtype=None):
    """torch.hann_window."""
    return _window(np.hanning(window_length + periodic), window_length, periodic, dtype)


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None):
    """torch.hamming_window."""
    turns = np.arange(window_length) / max(window_length + periodic - 1, 1)
    return _window(alpha - beta * np.cos(2 * np.pi * turns), window_length, periodic, dtype)


def blackman_window(window_length, periodic=True, *, dtype=None):
    """torch.blackman_window."""
    return _window(np.blackman(window_length + periodic), window_length, periodic, dtype)


def bartlett_window(window_length, periodic=True, *, dtype=None):
    """torch.bartlett_window."""
    return _window(np.bartlett(window_length + periodic), window_length, periodic, dtype)


def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None):
    """torch.kaiser_window."""
    return _window(np.kaiser(window_length + periodic, beta), window_length, periodic, dtype)


def numpy_operand(value):
    """A number of numpy's left of a tensor, as Python's: numpy's own operator would take the tensor for an array."""
    return value.item() if isinstance(value, (np.generic, np.ndarray)) else value


def complex_parts(real, imag, *, out=None):
    """torch.complex: MindSpore's parts have one shape."""
    if real.shape != imag.shape:
        real, imag = broadcast_tensors(real, imag)
    return ops.Complex()(real, imag)


def polar(abs, angle):
    """torch.polar: MindSpore's kernel leaves memory unwritten where it should broadcast."""
    return ops.polar(abs + ops.zeros_like(angle), angle + ops.zeros_like(abs))


def pairs(values):
    """itertools.combinations(values, 2) as a list, which a graph compiles."""
    values = list(values)
    found = []
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            found.append((values[i], values[j]))
    return found


def tree_flatten(tree, is_leaf=None):
    """torch.utils._pytree.tree_flatten: the leaves of nested lists, tuples and dictionaries, in order, and how they nest."""
    return _flattened(tree) if is_leaf is None else _flattened_until(tree, is_leaf)


def _flattened(tree):
    if not isinstance(tree, (list, tuple, dict)):
        return [tree], None
    return _joined(tree, [_flattened(part) for part in _parts(tree)])


def _flattened_until(tree, is_leaf):
    if is_leaf(tree) or not isinstance(tree, (list, tuple, dict)):
        return [tree], None
    return _joined(tree, [_flattened_until(part, is_leaf) for part in _parts(tree)])


def _parts(tree):
    return [tree[key] for key in tree] if isinstance(tree, dict) else tree


def _joined(tree, flattened):
    leaves, specs = [], []
    for found, spec in flattened:
        for leaf in found:
            leaves.append(leaf)
        specs.append((len(found), spec))
    return leaves, (isinstance(tree, tuple), list(tree) if isinstance(tree, dict) else None, specs)


def tree_unflatten(leaves, treespec):
    """torch.utils._pytree.tree_unflatten: leaves nested as they were."""
    leaves = list(leaves)
    if treespec is None:
        return leaves[0]
    is_tuple, keys, specs = treespec
    parts, at = [], 0
    for count, spec in specs:
        parts.append(tree_unflatten(leaves[at : at + count], spec))
        at = at + count
    if keys is not None:
        return dict(zip(keys, parts))
    return tuple(parts) if is_tuple else parts
