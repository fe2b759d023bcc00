"""Random numbers of torch.* from MindSpore's generator."""

import mindspore
import numpy as np
from mindspore import Tensor, ops


def seed():
    """torch.seed: a fresh seed, which it returns."""
    value = int(np.random.SeedSequence().entropy % 2**31)
    mindspore.set_seed(value)
    return value


def randint(low, high, size, *, dtype=None):
    """torch.randint with both bounds."""
    drawn = ops.floor(ops.rand(*size) * (high - low)) + low
    return ops.clamp(drawn, max=high - 1).astype(mindspore.int64 if dtype is None else dtype)


def randint_any(*bounds, low=None, high=None, size=None, generator=None, out=None, dtype=None, layout=None,
                device=None, pin_memory=False, requires_grad=False):
    """torch.randint with one bound or two."""
    if size is None:
        bounds, size = bounds[:-1], bounds[-1]
    values = [b for b in (*bounds, low, high) if b is not None]
    return randint(values[0] if len(values) == 2 else 0, values[-1], size, dtype=dtype)


def randint_like(input, low, high=None, *, dtype=None, layout=None, device=None, requires_grad=False,
                 memory_format=None):
    """torch.randint_like with one bound or two."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.shape, dtype=input.dtype if dtype is None else dtype)


def randperm(n, *, generator=None, out=None, dtype=None, layout=None, device=None, pin_memory=False,
             requires_grad=False):
    """torch.randperm: the order of random numbers, since ops.randperm repeats itself."""
    return ops.argsort(ops.rand(n)).astype(mindspore.int64 if dtype is None else dtype)


def normal(mean, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None,
           pin_memory=False, requires_grad=False):
    """torch.normal in its four forms."""
    if size is not None:
        return ops.randn(*size, dtype=dtype) * std + mean
    shape = mean * std + 0
    return ops.randn(*shape.shape, dtype=shape.dtype) * std + mean


def poisson(input):
    """torch.poisson, drawn by numpy: MindSpore has no kernel for it on CPU."""
    return Tensor(np.random.poisson(input.asnumpy()), input.dtype)


def binomial(count, prob):
    """torch.binomial, drawn by numpy: MindSpore has no kernel for it on CPU."""
    return Tensor(np.random.binomial(count.asnumpy().astype(np.int64), prob.asnumpy()), count.dtype)


def bernoulli(input, p=None, *, generator=None, out=None):
    """torch.bernoulli."""
    return (ops.rand(*input.shape) < (input if p is None else p)).astype(input.dtype)
