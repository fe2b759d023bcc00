"""Normalization layers of torch.nn whose arguments mindspore.nn does not take as they are."""

import mindspore
from mindspore import Parameter, nn, ops

from mappings.emitted.functional_normalization import rms_norm, widened
from mappings.emitted.module import layer_norm_by_steps


def bn_momentum(momentum, track_running_stats):
    """torch's BatchNorm momentum as MindSpore's, the weight of the old running value."""
    if momentum is None and track_running_stats:
        raise ValueError('BatchNorm with momentum=None (a cumulative average) has no MindSpore form')
    return 0.9 if momentum is None else 1 - momentum


class BatchNorm1d(nn.BatchNorm1d):
    """torch.nn.BatchNorm1d."""

    def __init__(
        self,
        num_features,
        eps=1e-05,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(
            num_features,
            eps=eps,
            momentum=bn_momentum(momentum, track_running_stats),
            affine=affine,
            use_batch_statistics=None if track_running_stats else True,
            dtype=dtype or mindspore.float32,
        )
        self.beta.requires_grad = affine and bias
        self.affine = affine
        self.track_running_stats = track_running_stats


class BatchNorm2d(nn.BatchNorm2d):
    """torch.nn.BatchNorm2d."""

    def __init__(
        self,
        num_features,
        eps=1e-05,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(
            num_features,
            eps=eps,
            momentum=bn_momentum(momentum, track_running_stats),
            affine=affine,
            use_batch_statistics=None if track_running_stats else True,
            dtype=dtype or mindspore.float32,
        )
        self.beta.requires_grad = affine and bias
        self.affine = affine
        self.track_running_stats = track_running_stats


class BatchNorm3d(nn.BatchNorm3d):
    """torch.nn.BatchNorm3d."""

    def __init__(
        self,
        num_features,
        eps=1e-05,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(
            num_features,
            eps=eps,
            momentum=bn_momentum(momentum, track_running_stats),
            affine=affine,
            use_batch_statistics=None if track_running_stats else True,
            dtype=dtype or mindspore.float32,
        )
        self.bn2d.beta.requires_grad = affine and bias
        self.affine = affine
        self.track_running_stats = track_running_stats


def set_batch_norm(layer, eps=None, momentum=None):
    """Sets eps or momentum of a torch.nn.BatchNorm after it was built, momentum as torch counts it."""
    norm = layer.bn2d if isinstance(layer, nn.BatchNorm3d) else layer
    norm.eps = norm.eps if eps is None else eps
    norm.momentum = norm.momentum if momentum is None else momentum  # 1 minus what its constructor takes
    norm.bn_train = ops.BatchNorm(is_training=True, epsilon=norm.eps, momentum=norm.momentum)
    norm.bn_infer = ops.BatchNorm(is_training=False, epsilon=norm.eps)


def without_parameter(layer, name):
    """`layer.weight = None` or `layer.bias = None`: a normalization keeps ones or zeros that are no parameter."""
    own = {'weight': 'gamma', 'bias': 'beta'}[name] if hasattr(layer, 'gamma') else name
    parameter = getattr(layer, own)
    if parameter is None:
        return
    del layer._params[own]
    if own != name:
        constant = ops.ones if name == 'weight' else ops.zeros
        setattr(layer, own, constant(parameter.shape, parameter.dtype))
    elif name == 'bias':
        layer.has_bias = False
    setattr(layer, name, None)


class SyncBatchNorm(nn.BatchNorm2d):
    """torch.nn.SyncBatchNorm on one device, for inputs of two to five axes."""

    def __init__(
        self,
        num_features,
        eps=1e-05,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        process_group=None,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__(
            num_features,
            eps=eps,
            momentum=bn_momentum(momentum, track_running_stats),
            affine=affine,
            use_batch_statistics=None if track_running_stats else True,
            dtype=dtype or mindspore.float32,
        )
        self.beta.requires_grad = affine and bias
        self.affine = affine
        self.track_running_stats = track_running_stats

    def construct(self, x):
        flat = x.reshape(x.shape[0], x.shape[1], -1, 1)
        return super(SyncBatchNorm, self).construct(flat).reshape(x.shape)


class GroupNorm(nn.GroupNorm):
    """torch.nn.GroupNorm."""

    def __init__(
        self, num_groups, num_channels, eps=1e-05, affine=True, device=None, dtype=None, *, bias=True
    ):
        super().__init__(num_groups, num_channels, eps=eps, affine=affine, dtype=dtype or mindspore.float32)
        self.beta.requires_grad = affine and bias


class InstanceNorm(nn.Cell):
    """The instance normalization of torch.nn, over the last `spatial` axes of (N, C, ...) or (C, ...)."""

    spatial = 1

    def __init__(
        self,
        num_features,
        eps=1e-05,
        momentum=0.1,
        affine=False,
        track_running_stats=False,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__()
        if momentum is None and track_running_stats:
            raise ValueError('InstanceNorm with momentum=None (a cumulative average) has no MindSpore form')
        dtype = dtype or mindspore.float32
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.weight = Parameter(ops.ones(num_features, dtype), name='weight') if affine else None
        self.bias = Parameter(ops.zeros(num_features, dtype), name='bias') if affine and bias else None
        if track_running_stats:
            self.running_mean = Parameter(
                ops.zeros(num_features, dtype), name='running_mean', requires_grad=False
            )
            self.running_var = Parameter(
                ops.ones(num_features, dtype), name='running_var', requires_grad=False
            )

    def construct(self, x):
        axes = tuple(range(-self.spatial, 0))
        channels = (self.num_features,) + (1,) * self.spatial
        if self.training or not self.track_running_stats:
            wide = widened(x)
            mean = wide.mean(axes, keep_dims=True)
            var = ops.square(wide - mean).mean(axes, keep_dims=True)
            if self.track_running_stats:
                self.update_running(x, mean, var)
        else:
            mean = self.running_mean.reshape(channels)
            var = self.running_var.reshape(channels)
        y = (x - mean) * ops.rsqrt(var + self.eps)
        if self.weight is not None:
            y = y * self.weight.reshape(channels)
        if self.bias is not None:
            y = y + self.bias.reshape(channels)
        return y.astype(x.dtype)

    def update_running(self, x, mean, var):
        """Moves the running values toward this batch's; the running variance is the unbiased one."""
        count = 1
        for axis in range(1, self.spatial + 1):
            count = count * x.shape[-axis]
        mean = ops.stop_gradient(mean).reshape(-1, self.num_features).mean(0)
        var = ops.stop_gradient(var).reshape(-1, self.num_features).mean(0) * (count / (count - 1))
        keep = 1 - self.momentum
        moved = self.running_mean * keep + mean * self.momentum
        ops.assign(self.running_mean, moved.astype(self.running_mean.dtype))
        ops.assign(self.running_var, (self.running_var * keep + var * self.momentum).astype(self.running_var.dtype))


class InstanceNorm1d(InstanceNorm):
    """torch.nn.InstanceNorm1d."""

    spatial = 1


class InstanceNorm2d(InstanceNorm):
    """torch.nn.InstanceNorm2d."""

    spatial = 2


class InstanceNorm3d(InstanceNorm):
    """torch.nn.InstanceNorm3d."""

    spatial = 3


class LayerNorm(nn.LayerNorm):
    """torch.nn.LayerNorm."""

    def __init__(
        self, normalized_shape, eps=1e-05, elementwise_affine=True, bias=True, device=None, dtype=None
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        super().__init__(shape, epsilon=eps, dtype=dtype or mindspore.float32)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.gamma.requires_grad = elementwise_affine
        self.beta.requires_grad = elementwise_affine and bias

    def construct(self, x):
        begin = x.ndim - len(self.normalized_shape)
        if x.dtype == mindspore.float64:
            return layer_norm_by_steps(x, self.gamma, self.beta, begin, self.eps)
        layer_norm = ops.LayerNorm(begin, begin, self.eps)
        return layer_norm(x, self.gamma.astype(x.dtype), self.beta.astype(x.dtype))[0]


class RMSNorm(nn.Cell):
    """torch.nn.RMSNorm."""

    def __init__(self, normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None):
        super().__init__()
        self.normalized_shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = None
        if elementwise_affine:
            self.weight = Parameter(
                ops.ones(self.normalized_shape, dtype or mindspore.float32), name='weight'
            )

    def construct(self, x):
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)


class LocalResponseNorm(nn.Cell):
    """torch.nn.LocalResponseNorm."""

    def __init__(self, size, alpha=0.0001, beta=0.75, k=1.0):
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def construct(self, x):
        squares = ops.square(x).reshape(x.shape[0], 1, x.shape[1], -1)
        squares = ops.pad(squares, (0, 0, self.size // 2, (self.size - 1) // 2))
        mean = ops.avg_pool2d(squares, (self.size, 1), stride=1).reshape(x.shape)
        return x / ops.pow(mean * self.alpha + self.k, self.beta)
