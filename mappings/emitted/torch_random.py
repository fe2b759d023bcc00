"""Random numbers of torch.* from MindSpore's generator."""

import mindspore
import numpy as np
from mindspore import Tensor, ops


class Generator:
    """torch.Generator, whose numbers numpy draws."""

    def __init__(self, device=None):
        self.device = device
        self.manual_seed(67280421310721)  # torch's own

    def manual_seed(self, seed):
        """torch.Generator.manual_seed: its numbers begin anew."""
        self.first = seed
        self.numbers = np.random.RandomState(seed % 2**32)
        return self

    def initial_seed(self):
        """torch.Generator.initial_seed."""
        return self.first

    def seed(self):
        """torch.Generator.seed: a fresh seed, which it returns."""
        self.manual_seed(int(np.random.SeedSequence().entropy % 2**31))
        return self.first

    def get_state(self):
        """torch.Generator.get_state, as uint8[2516]."""
        _, words, place, kept, value = self.numbers.get_state()
        parts = [words.astype(np.uint32), np.array([place, kept], np.uint32), np.array([value]).view(np.uint32), [0]]
        return Tensor(np.concatenate(parts).astype(np.uint32).view(np.uint8))

    def set_state(self, new_state):
        """torch.Generator.set_state: its numbers go on as they would have."""
        words = np.ascontiguousarray(new_state.asnumpy()).view(np.uint32)
        value = words[626:628].copy().view(np.float64)[0]
        self.numbers.set_state(("MT19937", words[:624], int(words[624]), int(words[625]), value))
        return self


def random_numbers(generator=None):
    """numpy's random numbers: those that mindspore.set_seed seeds, or a stream of a generator's own seed."""
    if generator is None:
        return np.random.mtrand._rand
    return generator.numbers


def seed():
    """torch.seed: a fresh seed, which it returns."""
    value = int(np.random.SeedSequence().entropy % 2**31)
    mindspore.set_seed(value)
    return value


def rand(*size, generator=None, dtype=None):
    """torch.rand: uniform numbers from 0 to below 1."""
    if generator is None:
        return ops.rand(*size, dtype=dtype)
    numbers = random_numbers(generator).random_sample(sizes_of(size))
    numbers = np.floor(numbers * 2**24) / 2**24  # 1 is not among them in float32
    return Tensor(numbers, mindspore.float32 if dtype is None else dtype)


def randn(*size, generator=None, dtype=None):
    """torch.randn: numbers of the standard normal distribution."""
    if generator is None:
        return ops.randn(*size, dtype=dtype)
    numbers = random_numbers(generator).standard_normal(sizes_of(size))
    return Tensor(numbers, mindspore.float32 if dtype is None else dtype)


def sizes_of(size):
    """The sizes of a tensor, given one by one or as one sequence."""
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (list, tuple)) else size


def randint(low, high, size, *, generator=None, dtype=None):
    """torch.randint with both bounds."""
    dtype = mindspore.int64 if dtype is None else dtype
    if generator is not None:
        return Tensor(random_numbers(generator).randint(low, high, tuple(size)), dtype)
    drawn = ops.floor(ops.rand(*size) * (high - low)) + low
    return ops.clamp(drawn, max=high - 1).astype(dtype)


def randint_any(*bounds, low=None, high=None, size=None, generator=None, out=None, dtype=None, layout=None,
                device=None, pin_memory=False, requires_grad=False):
    """torch.randint with one bound or two."""
    if size is None:
        bounds, size = bounds[:-1], bounds[-1]
    values = [b for b in (*bounds, low, high) if b is not None]
    return randint(values[0] if len(values) == 2 else 0, values[-1], size, generator=generator, dtype=dtype)


def randint_like(input, low, high=None, *, dtype=None, layout=None, device=None, requires_grad=False,
                 memory_format=None):
    """torch.randint_like with one bound or two."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.shape, dtype=input.dtype if dtype is None else dtype)


def randperm(n, *, generator=None, out=None, dtype=None, layout=None, device=None, pin_memory=False,
             requires_grad=False):
    """torch.randperm: the order of random numbers, since ops.randperm repeats itself."""
    return ops.argsort(rand(n, generator=generator)).astype(mindspore.int64 if dtype is None else dtype)


def normal(mean, std=1.0, size=None, *, generator=None, out=None, dtype=None, layout=None, device=None,
           pin_memory=False, requires_grad=False):
    """torch.normal in its four forms."""
    if size is not None:
        return randn(*size, generator=generator, dtype=dtype) * std + mean
    shape = mean * std + 0
    return randn(*shape.shape, generator=generator, dtype=shape.dtype) * std + mean


def poisson(input):
    """torch.poisson, drawn by numpy: MindSpore has no kernel for it on CPU."""
    return Tensor(np.random.poisson(input.asnumpy()), input.dtype)


def binomial(count, prob):
    """torch.binomial, drawn by numpy: MindSpore has no kernel for it on CPU."""
    return Tensor(np.random.binomial(count.asnumpy().astype(np.int64), prob.asnumpy()), count.dtype)


def bernoulli(input, p=None, *, generator=None, out=None):
    """torch.bernoulli."""
    return (rand(*input.shape, generator=generator) < (input if p is None else p)).astype(input.dtype)
