"""Pooling layers of torch.nn whose arguments mindspore.nn does not take as they are."""

from mindspore import nn, ops

from mappings.emitted.functional_pooling import max_pool1d, max_pool2d, max_pool3d
from porter.pure import as_tuple, spread


class GlobalAvgPool2d(nn.Cell):
    """torch.nn.AdaptiveAvgPool2d(1): the mean over height and width, whose axes stay."""

    def __init__(self):
        super().__init__()
        self.output_size = 1
        self.mean = ops.ReduceMean(keep_dims=True)

    def construct(self, x):
        return self.mean(x, (-2, -1))


class AdaptiveAvgPool1d(nn.Cell):
    """torch.nn.AdaptiveAvgPool1d, for any size."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size
        self.pool = nn.AdaptiveAvgPool2d((1, spread(output_size, 1)[0]))

    def construct(self, x):
        return self.pool(x.expand_dims(-2)).squeeze(-2)


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """torch.nn.AdaptiveAvgPool2d."""

    def __init__(self, output_size):
        super().__init__(as_tuple(output_size))


class AdaptiveAvgPool3d(nn.AdaptiveAvgPool3d):
    """torch.nn.AdaptiveAvgPool3d."""

    def __init__(self, output_size):
        super().__init__(as_tuple(output_size))


class AdaptiveMaxPool(nn.Cell):
    """The adaptive max pooling of torch.nn: the maximum of each window, axis by axis."""

    spatial = 1

    def __init__(self, output_size, return_indices=False):
        super().__init__()
        if return_indices:
            raise ValueError('adaptive max pooling with return_indices=True has no MindSpore form')
        self.output_size = spread(output_size, self.spatial)

    def construct(self, x):
        for i in range(self.spatial):
            x = self.pool_axis(x, i - self.spatial, self.output_size[i])
        return x

    def pool_axis(self, x, axis, out):
        if out is None:
            return x
        size = x.shape[axis]
        windows = []
        for i in range(out):
            begin = i * size // out
            end = ((i + 1) * size + out - 1) // out
            windows.append(ops.narrow(x, axis % x.ndim, begin, end - begin).max(axis, keepdims=True))
        return ops.cat(windows, axis)


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """torch.nn.AdaptiveMaxPool1d."""

    spatial = 1


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """torch.nn.AdaptiveMaxPool2d."""

    spatial = 2


class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """torch.nn.AdaptiveMaxPool3d."""

    spatial = 3


class AvgPool1d(nn.AvgPool1d):
    """torch.nn.AvgPool1d: the stride is the kernel unless given."""

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
        stride = kernel_size if stride is None else stride
        super().__init__(
            spread(kernel_size, 1)[0],
            stride=spread(stride, 1)[0],
            pad_mode='pad',
            padding=spread(padding, 1)[0],
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
        )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad


class AvgPool2d(nn.AvgPool2d):
    """torch.nn.AvgPool2d: the stride is the kernel unless given."""

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        stride = kernel_size if stride is None else stride
        super().__init__(
            spread(kernel_size, 2),
            stride=spread(stride, 2),
            pad_mode='pad',
            padding=spread(padding, 2),
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad or divisor_override is not None,
            divisor_override=divisor_override,
        )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad


class AvgPool3d(nn.AvgPool3d):
    """torch.nn.AvgPool3d: the stride is the kernel unless given."""

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        stride = kernel_size if stride is None else stride
        super().__init__(
            spread(kernel_size, 3),
            stride=spread(stride, 3),
            pad_mode='pad',
            padding=spread(padding, 3),
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad or divisor_override is not None,
            divisor_override=divisor_override,
        )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad


class MaxPool1d(nn.MaxPool1d):
    """torch.nn.MaxPool1d: the stride is the kernel unless given."""

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
    ):
        stride = kernel_size if stride is None else stride
        super().__init__(
            spread(kernel_size, 1)[0],
            stride=spread(stride, 1)[0],
            pad_mode='pad',
            padding=spread(padding, 1)[0],
            dilation=spread(dilation, 1)[0],
            return_indices=return_indices,
            ceil_mode=ceil_mode,
        )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def construct(self, x):
        if x.is_floating_point() and max(spread(self.dilation, 1)) == 1:
            return super(MaxPool1d, self).construct(x)
        return max_pool1d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)


class MaxPool2d(nn.MaxPool2d):
    """torch.nn.MaxPool2d: the stride is the kernel unless given."""

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
    ):
        stride = kernel_size if stride is None else stride
        super().__init__(
            spread(kernel_size, 2),
            stride=spread(stride, 2),
            pad_mode='pad',
            padding=spread(padding, 2),
            dilation=spread(dilation, 2),
            return_indices=return_indices,
            ceil_mode=ceil_mode,
        )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def construct(self, x):
        if x.is_floating_point() and max(spread(self.dilation, 2)) == 1:
            return super(MaxPool2d, self).construct(x)
        return max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)


class MaxPool3d(nn.MaxPool3d):
    """torch.nn.MaxPool3d: the stride is the kernel unless given."""

    def __init__(
        self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
    ):
        stride = kernel_size if stride is None else stride
        super().__init__(
            spread(kernel_size, 3),
            stride=spread(stride, 3),
            pad_mode='pad',
            padding=spread(padding, 3),
            dilation=spread(dilation, 3),
            return_indices=return_indices,
            ceil_mode=ceil_mode,
        )
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def construct(self, x):
        if x.is_floating_point() and max(spread(self.dilation, 3)) == 1:
            return super(MaxPool3d, self).construct(x)
        return max_pool3d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)


class MaxUnpool(nn.Cell):
    """The max unpooling of torch.nn: each value goes back to the index that it came from."""

    spatial = 1

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size = spread(kernel_size, self.spatial)
        self.stride = self.kernel_size if stride is None else spread(stride, self.spatial)
        self.padding = spread(padding, self.spatial)

    def construct(self, input, indices, output_size=None):
        lead = input.shape[: -self.spatial]
        size = ()
        if output_size is not None:
            size = tuple(output_size)[-self.spatial :]
        else:
            for i in range(self.spatial):
                length = input.shape[i - self.spatial]
                size = size + ((length - 1) * self.stride[i] - 2 * self.padding[i] + self.kernel_size[i],)
        count = 1
        for length in size:
            count = count * length
        planes = 1
        for length in lead:
            planes = planes * length
        zeros = ops.zeros((planes, count), input.dtype)
        flat = ops.tensor_scatter_elements(zeros, indices.reshape(planes, -1), input.reshape(planes, -1), 1)
        return flat.reshape(lead + size)


class MaxUnpool1d(MaxUnpool):
    """torch.nn.MaxUnpool1d."""

    spatial = 1


class MaxUnpool2d(MaxUnpool):
    """torch.nn.MaxUnpool2d."""

    spatial = 2


class MaxUnpool3d(MaxUnpool):
    """torch.nn.MaxUnpool3d."""

    spatial = 3


class LPPool(nn.Cell):
    """The power-average pooling of torch.nn over an average pool."""

    def __init__(self, norm_type, kernel_size, pool, spatial):
        super().__init__()
        self.norm_type = float(norm_type)
        self.pool = pool
        self.count = 1
        for length in spread(kernel_size, spatial):
            self.count = self.count * length

    def construct(self, x):
        mean = self.pool(ops.pow(x, self.norm_type))
        return ops.pow(ops.relu(mean) * self.count, 1.0 / self.norm_type)


class LPPool1d(LPPool):
    """torch.nn.LPPool1d."""

    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__(norm_type, kernel_size, AvgPool1d(kernel_size, stride, 0, ceil_mode), 1)


class LPPool2d(LPPool):
    """torch.nn.LPPool2d."""

    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__(norm_type, kernel_size, AvgPool2d(kernel_size, stride, 0, ceil_mode), 2)


class LPPool3d(LPPool):
    """torch.nn.LPPool3d."""

    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__(norm_type, kernel_size, AvgPool3d(kernel_size, stride, 0, ceil_mode), 3)
