"""Distributions of torch.distributions: samples, densities and entropies, without checks of the arguments."""

import math

import mindspore
import numpy as np
from mindspore import Tensor, ops

from mappings.emitted.functional_activation import softplus
from mappings.emitted.torch_pointwise import log1p


def _floating(value):
    """A number as a float32 tensor; a tensor stays."""
    return value if isinstance(value, Tensor) else mindspore.tensor(float(value), mindspore.float32)


def normal_noise(shape, dtype):
    """Numbers of the standard normal distribution; a shape without axes gives one number."""
    return ops.randn(*shape, dtype=dtype).reshape(shape)


def _both(one, other):
    """Two parameters as tensors; a number has the dtype of the floating tensor beside it."""
    first, second = _floating(one), _floating(other)
    if not isinstance(one, Tensor) and second.is_floating_point():
        first = first.astype(second.dtype)
    elif not isinstance(other, Tensor) and first.is_floating_point():
        second = second.astype(first.dtype)
    return first, second


def _smallest(dtype):
    """How near to 0 and 1 torch lets probabilities of a dtype come: its distance of 1 to the next number."""
    return {mindspore.float64: 2.0**-52, mindspore.float16: 2.0**-10}.get(dtype, 2.0**-23)


class Symmetric:
    """What distributions around `loc` share."""

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    def sample(self, sample_shape=()):
        return ops.stop_gradient(self.rsample(sample_shape))


class Normal(Symmetric):
    """torch.distributions.Normal."""

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = _both(loc, scale)
        self.batch_shape = (self.loc + self.scale).shape

    @property
    def stddev(self):
        return self.scale

    @property
    def variance(self):
        return self.scale * self.scale

    def rsample(self, sample_shape=()):
        return self.loc + normal_noise(tuple(sample_shape) + tuple(self.batch_shape), self.loc.dtype) * self.scale

    def log_prob(self, value):
        distance = (value - self.loc) / self.scale
        return -0.5 * distance * distance - ops.log(self.scale) - 0.5 * math.log(2 * math.pi)

    def cdf(self, value):
        return 0.5 * (1 + ops.erf((value - self.loc) / (self.scale * math.sqrt(2))))

    def entropy(self):
        return ops.broadcast_to(ops.log(self.scale) + 0.5 + 0.5 * math.log(2 * math.pi), tuple(self.batch_shape))


class Uniform:
    """torch.distributions.Uniform."""

    def __init__(self, low, high, validate_args=None):
        self.low, self.high = _both(low, high)
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
        limit = _smallest(self.probs.dtype)
        clamped = ops.clamp(self.probs, limit, 1 - limit)
        self.logits = ops.log(clamped) - log1p(-clamped) if logits is None else logits
        self.batch_shape = self.probs.shape

    @property
    def mean(self):
        return self.probs

    def sample(self, sample_shape=()):
        drawn = ops.rand(*(tuple(sample_shape) + tuple(self.batch_shape)))
        return ops.stop_gradient((drawn < self.probs).astype(self.probs.dtype))

    def log_prob(self, value):
        return value * self.logits - softplus(self.logits)

    def entropy(self):
        return (1 - self.probs) * self.logits - self.log_prob(1.0)


class Categorical:
    """torch.distributions.Categorical over the last axis."""

    def __init__(self, probs=None, logits=None, validate_args=None):
        if probs is None:
            self.logits = logits - ops.logsumexp(logits, -1, True)
            self.probs = ops.exp(self.logits)
        else:
            self.probs = probs / ops.sum(probs, -1, True)
            limit = _smallest(self.probs.dtype)
            self.logits = ops.log(ops.clamp(self.probs, limit, 1 - limit))
        self.batch_shape = self.probs.shape[:-1]

    @property
    def mode(self):
        return ops.argmax(self.probs, -1)

    def sample(self, sample_shape=()):
        shape = tuple(sample_shape)
        rows = ops.stop_gradient(self.probs).reshape(-1, self.probs.shape[-1])
        drawn = ops.multinomial(rows, math.prod(shape), True).astype(mindspore.int64)
        return drawn.swapaxes(0, 1).reshape(shape + tuple(self.batch_shape))

    def log_prob(self, value):
        shape = tuple(np.broadcast_shapes(value.shape, self.batch_shape))
        index = ops.broadcast_to(value.astype(mindspore.int64), shape).expand_dims(-1)
        logits = ops.broadcast_to(self.logits, shape + (self.logits.shape[-1],))
        return ops.gather_elements(logits, logits.ndim - 1, index).squeeze(-1)

    def entropy(self):
        return -ops.sum(self.probs * self.logits, -1)


class OneHotCategorical(Categorical):
    """torch.distributions.OneHotCategorical: samples and values are rows with a single one."""

    @property
    def mean(self):
        return self.probs

    @property
    def mode(self):
        return self._one_hot(ops.argmax(self.probs, -1))

    def _one_hot(self, index):
        return (ops.arange(self.probs.shape[-1]) == index.expand_dims(-1)).astype(self.probs.dtype)

    def sample(self, sample_shape=()):
        return self._one_hot(super().sample(sample_shape))

    def log_prob(self, value):
        return super().log_prob(ops.argmax(value, -1))


class MultivariateNormal(Symmetric):
    """torch.distributions.MultivariateNormal; densities come from the inverse of the covariance, as a gradient passes through it."""

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        if scale_tril is not None:
            covariance_matrix = ops.matmul(scale_tril, ops.swapaxes(scale_tril, -1, -2))
        elif precision_matrix is not None:
            covariance_matrix = _inverse(precision_matrix)
        count = loc.shape[-1]
        if covariance_matrix.shape[-1] != count:
            raise ValueError(f'torch.distributions.MultivariateNormal: {count} means beside a matrix of {covariance_matrix.shape[-1]} rows')
        self.batch_shape = tuple(np.broadcast_shapes(loc.shape[:-1], covariance_matrix.shape[:-2]))
        self.event_shape = (count,)
        self.loc = ops.broadcast_to(loc, self.batch_shape + (count,))
        self.covariance_matrix = ops.broadcast_to(covariance_matrix, self.batch_shape + (count, count))
        self._matrix, self._scale_tril, self._precision = covariance_matrix, scale_tril, precision_matrix

    @property
    def variance(self):
        return ops.diagonal(self.covariance_matrix, 0, -2, -1)

    @property
    def precision_matrix(self):
        return _inverse(self.covariance_matrix)

    @property
    def scale_tril(self):
        return ops.cholesky(self.covariance_matrix) if self._scale_tril is None else self._scale_tril

    def rsample(self, sample_shape=()):
        shape = tuple(sample_shape) + self.batch_shape + self.event_shape
        noise = normal_noise(shape, self.loc.dtype).expand_dims(-1)
        return self.loc + ops.matmul(self.scale_tril, noise).squeeze(-1)

    def log_prob(self, value):
        scaled = self._distance(value - self.loc)
        return -0.5 * (self.event_shape[0] * math.log(2 * math.pi) + scaled) - self._half_log_volume()

    def entropy(self):
        half = 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi)) + self._half_log_volume()
        return ops.broadcast_to(half, self.batch_shape)

    def _distance(self, apart):
        """The squared length of vectors, measured by the covariance."""
        apart = apart.astype(self._matrix.dtype).expand_dims(-1)
        precision = _inverse(self._matrix) if self._precision is None else self._precision
        return ops.sum(apart * ops.matmul(precision, apart), (-2, -1))

    def _half_log_volume(self):
        """Half the logarithm of the determinant, which itself leaves float32 where there are many axes."""
        if self._scale_tril is not None:
            return ops.sum(ops.log(ops.diagonal(self._scale_tril, 0, -2, -1)), -1)
        if self._precision is not None:
            return -_half_log_determinant(self._precision)
        return _half_log_determinant(self._matrix)


def _half_log_determinant(matrix):
    factor = ops.cholesky(ops.stop_gradient(matrix))
    traced = 0.5 * ops.sum(ops.stop_gradient(_inverse(matrix)) * matrix, (-2, -1))  # its gradient is the logarithm's
    return ops.stop_gradient(ops.sum(ops.log(ops.diagonal(factor, 0, -2, -1)), -1) - traced) + traced


def _inverse(matrix):
    """The inverse of square matrices; MindSpore's own takes none of a single row."""
    return 1 / matrix if matrix.shape[-1] == 1 else ops.inverse(matrix)


class Independent:
    """torch.distributions.Independent: the last axes of a distribution count as one event."""

    def __init__(self, base_distribution, reinterpreted_batch_ndims, validate_args=None):
        if not 0 <= reinterpreted_batch_ndims <= len(base_distribution.batch_shape):
            raise ValueError('torch.distributions.Independent: reinterpreted_batch_ndims must count batch axes')
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, reinterpreted_batch_ndims
        self.batch_shape = tuple(base_distribution.batch_shape)[: len(base_distribution.batch_shape) - reinterpreted_batch_ndims]

    def _summed(self, values):
        for _ in range(self.reinterpreted_batch_ndims):
            values = ops.sum(values, -1)
        return values

    @property
    def mean(self):
        return self.base_dist.mean

    @property
    def mode(self):
        return self.base_dist.mode

    @property
    def stddev(self):
        return self.base_dist.stddev

    @property
    def variance(self):
        return self.base_dist.variance

    def rsample(self, sample_shape=()):
        return self.base_dist.rsample(sample_shape)

    def sample(self, sample_shape=()):
        return self.base_dist.sample(sample_shape)

    def log_prob(self, value):
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self):
        return self._summed(self.base_dist.entropy())


def kl_divergence(p, q):
    """torch.distributions.kl_divergence of two distributions of one class."""
    if isinstance(p, Independent) and isinstance(q, Independent) and p.reinterpreted_batch_ndims == q.reinterpreted_batch_ndims:
        return p._summed(kl_divergence(p.base_dist, q.base_dist))
    if isinstance(p, Normal) and isinstance(q, Normal):
        ratio = ops.square(p.scale / q.scale)
        return 0.5 * (ratio + ops.square((p.loc - q.loc) / q.scale) - 1 - ops.log(ratio))
    if isinstance(p, Categorical) and isinstance(q, Categorical):
        terms = p.probs * (p.logits - q.logits)
        terms = ops.masked_fill(terms, q.probs == 0, math.inf)
        return ops.sum(ops.masked_fill(terms, p.probs == 0, 0.0), -1)
    if isinstance(p, Bernoulli) and isinstance(q, Bernoulli):
        ones = p.probs * (softplus(-q.logits) - softplus(-p.logits))
        ones = ops.masked_fill(ops.masked_fill(ones, q.probs == 0, math.inf), p.probs == 0, 0.0)
        zeros = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
        return ones + ops.masked_fill(ops.masked_fill(zeros, q.probs == 1, math.inf), p.probs == 1, 0.0)
    if isinstance(p, MultivariateNormal) and isinstance(q, MultivariateNormal):
        traced = ops.sum(_inverse(q._matrix) * p.covariance_matrix, (-2, -1))  # both are symmetric
        volumes = 2 * (q._half_log_volume() - p._half_log_volume())
        return 0.5 * (volumes + traced + q._distance(q.loc - p.loc) - p.event_shape[0])
    raise NotImplementedError(f"no divergence of {type(p).__name__} from {type(q).__name__} is written")
