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
    if isinstance(tensor1, Tensor) and isinstance(tensor2, Tensor):
        low, high = sorted((tensor1, tensor2), key=lambda tensor: tensor.ndim)
        if low.ndim == 0 and high.ndim and _sort(low.dtype) <= _sort(high.dtype):
            return high.dtype  # one without axes has its say by its sort alone
        return promote_types(tensor1.dtype, tensor2.dtype)
    if not isinstance(tensor1, Tensor) and not isinstance(tensor2, Tensor):
        kinds = (type(tensor1), type(tensor2))
        return mindspore.float32 if float in kinds else mindspore.int64 if int in kinds else mindspore.bool_
    tensor, number = (tensor1, tensor2) if isinstance(tensor1, Tensor) else (tensor2, tensor1)
    whole = not tensor.is_floating_point() and not tensor.is_complex()
    if isinstance(number, float) and whole:
        return mindspore.float32
    if isinstance(number, int) and not isinstance(number, bool) and tensor.dtype == mindspore.bool_:
        return mindspore.int64
    return tensor.dtype


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
