"""Facts about dtypes and devices: torch.finfo, torch.iinfo, torch.device, dtype promotion."""

import collections

import mindspore
import numpy as np
from mindspore import Tensor, ops

FloatLimits = collections.namedtuple('FloatLimits', 'dtype bits eps min max tiny smallest_normal resolution')
IntegerLimits = collections.namedtuple('IntegerLimits', 'dtype bits min max')


@ops.constexpr
def finfo(dtype=None):
    """torch.finfo: known when a graph is compiled, so that what it fills or divides keeps its shape there."""
    names = {'Float16': 'float16', 'Float64': 'float64', 'BFloat16': 'bfloat16'}
    name = names.get(str(mindspore.float32 if dtype is None else dtype), 'float32')
    if name == 'bfloat16':
        largest, tiny = 3.3895313892515355e38, 1.1754943508222875e-38
        return FloatLimits(name, 16, 0.0078125, -largest, largest, tiny, tiny, 0.01)
    limits = np.finfo(name)
    largest, tiny = float(limits.max), float(limits.tiny)
    return FloatLimits(name, int(limits.bits), float(limits.eps), -largest, largest, tiny, tiny, float(limits.resolution))


@ops.constexpr
def iinfo(dtype):
    """torch.iinfo: known when a graph is compiled."""
    limits = np.iinfo(str(dtype).lower())
    return IntegerLimits(str(dtype).lower(), int(limits.bits), int(limits.min), int(limits.max))


class device:
    """torch.device: a name only, since MindSpore places tensors by context."""

    def __init__(self, type, index=None):
        kind, _, number = str(type).partition(':')
        self.type = kind
        self.index = int(number) if number else index

    def __str__(self):
        return self.type if self.index is None else f'{self.type}:{self.index}'

    def __repr__(self):
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __eq__(self, other):
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self):
        return hash(str(self))


def promote_types(type1, type2):
    """torch.promote_types."""
    if type1 == type2:
        return type1
    order = (mindspore.bool_, mindspore.uint8, mindspore.int8, mindspore.int16, mindspore.int32, mindspore.int64,
             mindspore.float16, mindspore.bfloat16, mindspore.float32, mindspore.float64,
             mindspore.complex64, mindspore.complex128)
    low, high = sorted((order.index(type1), order.index(type2)))
    if (low, high) == (1, 2):
        return mindspore.int16
    if (low, high) == (6, 7):
        return mindspore.float32
    if low == 9 and high == 10:
        return mindspore.complex128
    return order[high]


def result_type(tensor1, tensor2):
    """torch.result_type: a Python number or a tensor without axes widens the sort of a dtype, never its size."""
    return _common_type(*_standing(tensor1), *_standing(tensor2))


def _standing(value):
    """The dtype of a tensor or number, and what it counts: 1 with axes, 0 without, -1 as a number."""
    if isinstance(value, Tensor):
        return value.dtype, min(value.ndim, 1)
    if isinstance(value, bool):
        return mindspore.bool_, -1
    return mindspore.int64 if isinstance(value, int) else mindspore.complex64 if isinstance(value, complex) else mindspore.float32, -1


@ops.constexpr
def _common_type(type1, rank1, type2, rank2):
    """The dtype of two of which the higher rank decides, unless the other is of a wider sort; known when a graph is compiled."""
    if rank1 != rank2:
        low, high = (type1, type2) if rank1 < rank2 else (type2, type1)
        if _sort(low) <= _sort(high):
            return high  # the lower one has its say by its sort alone
    return promote_types(type1, type2)


def can_cast(from_, to):
    """torch.can_cast: no cast from complex to real, from real to integer, or from number to bool."""
    return _sort(from_) <= _sort(to)


def _sort(dtype):
    """0 for truth values, 1 for whole, 2 for floating and 3 for complex numbers."""
    name = str(dtype).lower()
    return 0 if name == 'bool' else 3 if 'complex' in name else 2 if 'float' in name else 1


def current_accelerator():
    """torch.accelerator.current_accelerator: None where the processor itself computes."""
    target = mindspore.get_context('device_target')
    return None if target == 'CPU' else device(target.lower())
