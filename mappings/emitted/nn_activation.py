"""Activation layers of torch.nn whose arguments mindspore.nn does not take as they are."""

from mindspore import nn, ops

from mappings.emitted.functional_activation import elu, mish, selu, softmax, softplus, tanhshrink


class ELU(nn.Cell):
    """torch.nn.ELU, for any alpha."""

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__()
        self.alpha = alpha

    def construct(self, x):
        return elu(x, self.alpha)


class GELU(nn.GELU):
    """torch.nn.GELU: exact unless approximate='tanh'."""

    def __init__(self, approximate='none'):
        super().__init__(approximate=approximate == 'tanh')


class LogSoftmax(nn.Cell):
    """torch.nn.LogSoftmax; without dim the axis is 0 for inputs of rank 0, 1 and 3, else 1."""

    def __init__(self, dim=None):
        super().__init__()
        self.dim = dim

    def construct(self, x):
        if self.dim is None:
            return ops.log_softmax(x, 0 if x.ndim in (0, 1, 3) else 1)
        return ops.log_softmax(x, self.dim)


class Mish(nn.Cell):
    """torch.nn.Mish: x * tanh(softplus(x)), without the approximate tanh of the CPU."""

    def __init__(self, inplace=False):
        super().__init__()

    def construct(self, x):
        return mish(x)


class PReLU(nn.PReLU):
    """torch.nn.PReLU."""

    def __init__(self, num_parameters=1, init=0.25, device=None, dtype=None):
        super().__init__(channel=num_parameters, w=float(init))
        if dtype is not None:
            self.w.set_dtype(dtype)


class RReLU(nn.Cell):
    """torch.nn.RReLU: random slopes while training, their mean afterwards."""

    def __init__(self, lower=0.125, upper=0.3333333333333333, inplace=False):
        super().__init__()
        self.lower = lower
        self.upper = upper

    def construct(self, x):
        if not self.training:
            return ops.leaky_relu(x, (self.lower + self.upper) / 2)
        slope = ops.rand_like(x) * (self.upper - self.lower) + self.lower
        return ops.where(x >= 0, x, x * slope)


class SELU(nn.Cell):
    """torch.nn.SELU."""

    def __init__(self, inplace=False):
        super().__init__()

    def construct(self, x):
        return selu(x)


class Softmax(nn.Cell):
    """torch.nn.Softmax; without dim the axis is 0 for inputs of rank 0, 1 and 3, else 1."""

    def __init__(self, dim=None):
        super().__init__()
        self.dim = dim

    def construct(self, x):
        if self.dim is None:
            return softmax(x, 0 if x.ndim in (0, 1, 3) else 1)
        return softmax(x, self.dim)


class Softmax2d(Softmax):
    """torch.nn.Softmax2d."""

    def __init__(self, *args, **kwargs):
        super().__init__(-3)


class Softmin(Softmax):
    """torch.nn.Softmin."""

    def construct(self, x):
        return super(Softmin, self).construct(-x)


class LogSigmoid(nn.Cell):
    """torch.nn.LogSigmoid, finite for any input."""

    def construct(self, x):
        return -softplus(-x)


class Softplus(nn.Cell):
    """torch.nn.Softplus."""

    def __init__(self, beta=1.0, threshold=20.0):
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def construct(self, x):
        return softplus(x, self.beta, self.threshold)


class Tanhshrink(nn.Cell):
    """torch.nn.Tanhshrink, with an exact tanh."""

    def construct(self, x):
        return tanhshrink(x)
