"""Distributions of torch.distributions: samples, densities and entropies, without checks of the arguments."""

import math

import mindspore
import numpy as np
from mindspore import Tensor, ops


def _floating(value):
    """A number as a float32 tensor; a tensor stays."""
    return value if isinstance(value, Tensor) else mindspore.tensor(float(value), mindspore.float32)


class Normal:
    """torch.distributions.Normal."""

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = _floating(loc), _floating(scale)
        self.batch_shape = (self.loc + self.scale).shape

    @property
    def mean(self):
        return self.loc

    @property
    def stddev(self):
        return self.scale

    @property
    def variance(self):
        return self.scale * self.scale

    def rsample(self, sample_shape=()):
        noise = ops.standard_normal(tuple(sample_shape) + tuple(self.batch_shape))
        return self.loc + noise.astype(self.loc.dtype) * self.scale

    def sample(self, sample_shape=()):
        return ops.stop_gradient(self.rsample(sample_shape))

    def log_prob(self, value):
        distance = (value - self.loc) / self.scale
        return -0.5 * distance * distance - ops.log(self.scale) - 0.5 * math.log(2 * math.pi)

    def cdf(self, value):
        return 0.5 * (1 + ops.erf((value - self.loc) / (self.scale * math.sqrt(2))))

    def entropy(self):
        return ops.zeros_like(self.loc) + ops.log(self.scale) + 0.5 + 0.5 * math.log(2 * math.pi)


class Uniform:
    """torch.distributions.Uniform."""

    def __init__(self, low, high, validate_args=None):
        self.low, self.high = _floating(low), _floating(high)
        self.batch_shape = (self.low + self.high).shape

    @property
    def mean(self):
        return (self.low + self.high) / 2

    def rsample(self, sample_shape=()):
        drawn = ops.rand(*(tuple(sample_shape) + tuple(self.batch_shape)))
        return self.low + drawn.astype(self.low.dtype) * (self.high - self.low)

    def sample(self, sample_shape=()):
        return ops.stop_gradient(self.rsample(sample_shape))

    def log_prob(self, value):
        inside = ops.logical_and(value >= self.low, value < self.high)
        return ops.log(inside.astype(self.low.dtype)) - ops.log(self.high - self.low)

    def entropy(self):
        return ops.log(self.high - self.low)


class Bernoulli:
    """torch.distributions.Bernoulli."""

    def __init__(self, probs=None, logits=None, validate_args=None):
        logits = None if logits is None else _floating(logits)
        self.probs = ops.sigmoid(logits) if probs is None else _floating(probs)
        limit = 1.1920928955078125e-07
        clamped = ops.clamp(self.probs, limit, 1 - limit)
        self.logits = ops.log(clamped) - ops.log1p(-clamped) if logits is None else logits
        self.batch_shape = self.probs.shape

    @property
    def mean(self):
        return self.probs

    def sample(self, sample_shape=()):
        drawn = ops.rand(*(tuple(sample_shape) + tuple(self.batch_shape)))
        return ops.stop_gradient((drawn < self.probs).astype(self.probs.dtype))

    def log_prob(self, value):
        return value * self.logits - ops.relu(self.logits) - ops.log1p(ops.exp(-ops.abs(self.logits)))

    def entropy(self):
        return -self.probs * self.log_prob(1.0) - (1 - self.probs) * self.log_prob(0.0)


class Categorical:
    """torch.distributions.Categorical over the last axis."""

    def __init__(self, probs=None, logits=None, validate_args=None):
        if probs is None:
            self.logits = logits - ops.logsumexp(logits, -1, True)
            self.probs = ops.exp(self.logits)
        else:
            self.probs = probs / ops.sum(probs, -1, True)
            limit = 1.1920928955078125e-07
            self.logits = ops.log(ops.clamp(self.probs, limit, 1 - limit))
        self.batch_shape = self.probs.shape[:-1]

    def sample(self, sample_shape=()):
        shape = tuple(sample_shape) + tuple(self.probs.shape)
        noise = -ops.log(-ops.log(ops.clamp(ops.rand(*shape), min=1e-20)))
        return ops.stop_gradient(ops.argmax(self.logits + noise, -1))

    def log_prob(self, value):
        shape = tuple(np.broadcast_shapes(value.shape, self.batch_shape))
        index = ops.broadcast_to(value.astype(mindspore.int64), shape).expand_dims(-1)
        logits = ops.broadcast_to(self.logits, shape + (self.logits.shape[-1],))
        return ops.gather_elements(logits, logits.ndim - 1, index).squeeze(-1)

    def entropy(self):
        return -ops.sum(self.probs * self.logits, -1)
