"""Upsampling, shuffling, folding and distance layers of torch.nn."""

import mindspore
from mindspore import Tensor, nn, ops

from mappings.emitted.functional_loss import pairwise_distance
from mappings.emitted.functional_vision import interpolate
from mappings.emitted.torch_linear_algebra import cosine_similarity
from porter.pure import spread


class ChannelShuffle(nn.Cell):
    """torch.nn.ChannelShuffle."""

    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def construct(self, x):
        shape = x.shape
        grouped = x.reshape(shape[0], self.groups, shape[1] // self.groups, -1)
        return grouped.swapaxes(1, 2).reshape(shape)


class CosineSimilarity(nn.Cell):
    """torch.nn.CosineSimilarity: each norm is at least eps."""

    def __init__(self, dim=1, eps=1e-08):
        super().__init__()
        self.dim = dim
        self.eps = eps

    def construct(self, x1, x2):
        return cosine_similarity(x1, x2, self.dim, self.eps)


class PairwiseDistance(nn.Cell):
    """torch.nn.PairwiseDistance: the p-norm of x1 - x2 + eps over the last axis."""

    def __init__(self, p=2.0, eps=1e-06, keepdim=False):
        super().__init__()
        self.p = p
        self.eps = eps
        self.keepdim = keepdim

    def construct(self, x1, x2):
        return pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)


class Unfold(nn.Cell):
    """torch.nn.Unfold: the patches of (N, C, H, W) as columns."""

    def __init__(self, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__()
        self.kernel_size = spread(kernel_size, 2)
        self.dilation = spread(dilation, 2)
        self.padding = spread(padding, 2)
        self.stride = spread(stride, 2)

    def construct(self, x):
        if x.ndim == 3:
            return ops.unfold(
                x.expand_dims(0), self.kernel_size, self.dilation, self.padding, self.stride
            ).squeeze(0)
        return ops.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(nn.Cell):
    """torch.nn.Fold: the sum of overlapping columns as (N, C, H, W)."""

    def __init__(self, output_size, kernel_size, dilation=1, padding=0, stride=1):
        super().__init__()
        self.output_size = spread(output_size, 2)
        self.kernel_size = spread(kernel_size, 2)
        self.dilation = spread(dilation, 2)
        self.padding = spread(padding, 2)
        self.stride = spread(stride, 2)

    def construct(self, x):
        columns = x if x.ndim == 3 else x.expand_dims(0)
        size = Tensor(self.output_size, mindspore.int32)
        y = ops.fold(columns, size, self.kernel_size, self.dilation, self.padding, self.stride)
        return y if x.ndim == 3 else y.squeeze(0)


class Unflatten(nn.Cell):
    """torch.nn.Unflatten."""

    def __init__(self, dim, unflattened_size):
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def construct(self, x):
        dim = self.dim % x.ndim
        return x.reshape(x.shape[:dim] + self.unflattened_size + x.shape[dim + 1 :])


class Upsample(nn.Cell):
    """torch.nn.Upsample."""

    def __init__(
        self, size=None, scale_factor=None, mode='nearest', align_corners=None, recompute_scale_factor=None
    ):
        super().__init__()
        self.size = size
        self.scale_factor = scale_factor
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def construct(self, x):
        return interpolate(
            x, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )


class UpsamplingBilinear2d(Upsample):
    """torch.nn.UpsamplingBilinear2d."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor, 'bilinear', True)


class UpsamplingNearest2d(Upsample):
    """torch.nn.UpsamplingNearest2d."""

    def __init__(self, size=None, scale_factor=None):
        super().__init__(size, scale_factor)
