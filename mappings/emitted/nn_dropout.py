"""Dropout layers of torch.nn whose arguments mindspore.nn does not take as they are."""

from mindspore import nn, ops


class Dropout(nn.Dropout):
    """torch.nn.Dropout: p is the probability to drop, 1 included."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__(p=0.0 if p == 1 else p)
        self.drops_all = p == 1

    def construct(self, x):
        if self.drops_all and self.training:
            return x * 0
        return super(Dropout, self).construct(x)


class Dropout1d(nn.Cell):
    """torch.nn.Dropout1d: drops whole channels of (N, C, L) or (C, L)."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        self.p = p

    def construct(self, x):
        if not self.training or self.p == 0:
            return x
        return x * ops.dropout(ops.ones(x.shape[:-1] + (1,), x.dtype), p=self.p)


class Dropout2d(nn.Dropout2d):
    """torch.nn.Dropout2d: drops whole channels."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__(p)


class Dropout3d(nn.Dropout3d):
    """torch.nn.Dropout3d: drops whole channels."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__(p)


class AlphaDropout(nn.Cell):
    """torch.nn.AlphaDropout: dropped entries take SELU's negative limit, then mean and variance are restored."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        self.p = p

    def noise_shape(self, x):
        return x.shape

    def construct(self, x):
        if not self.training or self.p == 0:
            return x
        limit = -1.7580993408473766
        a = ((1 - self.p) * (1 + self.p * limit * limit)) ** -0.5
        b = -a * self.p * limit
        keep = ops.dropout(ops.ones(self.noise_shape(x), x.dtype), p=self.p) > 0
        return ops.where(keep, x, limit) * a + b


class FeatureAlphaDropout(AlphaDropout):
    """torch.nn.FeatureAlphaDropout: AlphaDropout over whole channels."""

    def noise_shape(self, x):
        return x.shape[:2] + (1,) * (x.ndim - 2)
