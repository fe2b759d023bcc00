"""Convolution layers of torch.nn whose arguments mindspore.nn does not take as they are."""

import mindspore
import mindspore.common.initializer as initializers
from mindspore import Parameter, nn, ops

from mappings.emitted.init import _calculate_fan_in_and_fan_out, kaiming_uniform_, uniform_
from porter.pure import conv_pads, reversed_pads, spread


class Conv1d(nn.Conv1d):
    """torch.nn.Conv1d."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode='zeros',
        device=None,
        dtype=None,
    ):
        pads = conv_pads(padding, kernel_size, dilation, 1)
        super().__init__(
            in_channels,
            out_channels,
            spread(kernel_size, 1)[0],
            stride=spread(stride, 1)[0],
            pad_mode='pad',
            dilation=spread(dilation, 1)[0],
            group=groups,
            has_bias=bool(bias),
            dtype=dtype or mindspore.float32,
        )
        self.pads = reversed_pads(pads, 1)
        self.padding = (0, 0, *self.pads)
        self.mode = 'constant' if padding_mode == 'zeros' else padding_mode
        self.groups = groups
        self.padding_mode = padding_mode

    def construct(self, x):
        if self.pads != (0, 0):
            x = ops.pad(x, self.pads, mode=self.mode)
        return super(Conv1d, self).construct(x)


class Conv2d(nn.Conv2d):
    """torch.nn.Conv2d."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode='zeros',
        device=None,
        dtype=None,
    ):
        pads = conv_pads(padding, kernel_size, dilation, 2)
        super().__init__(
            in_channels,
            out_channels,
            spread(kernel_size, 2),
            stride=spread(stride, 2),
            pad_mode='pad',
            padding=pads if padding_mode == 'zeros' else 0,
            dilation=spread(dilation, 2),
            group=groups,
            has_bias=bool(bias),
            dtype=dtype or mindspore.float32,
        )
        self.pads = reversed_pads(pads, 2)
        self.padding = padding if isinstance(padding, str) else spread(padding, 2)
        self.groups = groups
        self.padding_mode = padding_mode

    def reset_parameters(self):
        """Weight and bias drawn anew, as they were when the layer was built."""
        kaiming_uniform_(self.weight, a=5**0.5)
        if self.bias is not None:
            bound = _calculate_fan_in_and_fan_out(self.weight)[0] ** -0.5
            uniform_(self.bias, -bound, bound)

    def construct(self, x):
        if self.padding_mode != 'zeros':
            x = ops.pad(x, self.pads, mode=self.padding_mode)
        return super(Conv2d, self).construct(x)


class Conv3d(nn.Conv3d):
    """torch.nn.Conv3d."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode='zeros',
        device=None,
        dtype=None,
    ):
        pads = conv_pads(padding, kernel_size, dilation, 3)
        super().__init__(
            in_channels,
            out_channels,
            spread(kernel_size, 3),
            stride=spread(stride, 3),
            pad_mode='pad',
            padding=pads if padding_mode == 'zeros' else 0,
            dilation=spread(dilation, 3),
            group=groups,
            has_bias=bool(bias),
            dtype=dtype or mindspore.float32,
        )
        self.pads = reversed_pads(pads, 3)
        self.padding = padding if isinstance(padding, str) else spread(padding, 3)
        self.groups = groups
        self.padding_mode = padding_mode

    def construct(self, x):
        if self.padding_mode != 'zeros':
            x = ops.pad(x, self.pads, mode=self.padding_mode)
        return super(Conv3d, self).construct(x)


def missing_output(cell, x, output_size):
    """The output padding by which a transposed convolution reaches torch's output_size."""
    if output_size is None:
        return cell.output_padding
    spatial = len(cell.output_padding)
    extra = ()
    for i in range(spatial):
        length = (x.shape[i - spatial] - 1) * cell.strides[i] - 2 * cell.pads[i]
        extra = extra + (output_size[i - spatial] - length - cell.dilations[i] * (cell.kernels[i] - 1) - 1,)
    return extra


def cut_transposed(whole, pads, extra):
    """A transposed convolution without padding: longer by `extra` at the end, then shorter by `pads` at both."""
    spatial = len(pads)
    after = ()
    for i in range(spatial):
        after = (0, max(extra[i] - pads[i], 0)) + after
    if max(after) > 0:
        whole = ops.pad(whole, after)
    for i in range(spatial):
        axis = whole.ndim - spatial + i
        tail = max(pads[i] - extra[i], 0)
        length = whole.shape[axis] - pads[i] - tail
        if length != whole.shape[axis]:
            whole = ops.narrow(whole, axis, pads[i], length)
    return whole


class ConvTranspose2d(nn.Conv2dTranspose):
    """torch.nn.ConvTranspose2d."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode='zeros',
        device=None,
        dtype=None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            spread(kernel_size, 2),
            stride=spread(stride, 2),
            pad_mode='pad',
            dilation=spread(dilation, 2),
            group=groups,
            has_bias=bool(bias),
            dtype=dtype or mindspore.float32,
        )
        self.kernels = spread(kernel_size, 2)
        self.strides = spread(stride, 2)
        self.dilations = spread(dilation, 2)
        self.pads = spread(padding, 2)
        self.padding = self.pads
        self.output_padding = spread(output_padding, 2)
        self.groups = groups

    def construct(self, x, output_size=None):
        return self.convolve(x, self.weight, output_size)

    def convolve(self, x, weight, output_size):
        batch = x if x.ndim == 4 else x.expand_dims(0)
        height, width = (
            (batch.shape[i + 2] - 1) * self.strides[i] + self.dilations[i] * (self.kernels[i] - 1) + 1
            for i in (0, 1)
        )
        whole = self.conv2d_transpose(batch, weight, (batch.shape[0], self.out_channels, height, width))
        y = cut_transposed(whole, self.pads, missing_output(self, x, output_size))
        if self.has_bias:
            y = self.bias_add(y, self.bias)
        return y if x.ndim == 4 else y.squeeze(0)


class ConvTranspose1d(nn.Conv1dTranspose):
    """torch.nn.ConvTranspose1d."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode='zeros',
        device=None,
        dtype=None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            spread(kernel_size, 1)[0],
            stride=spread(stride, 1)[0],
            pad_mode='pad',
            dilation=spread(dilation, 1)[0],
            group=groups,
            has_bias=bool(bias),
            dtype=dtype or mindspore.float32,
        )
        self.kernels = spread(kernel_size, 1)
        self.strides = spread(stride, 1)
        self.dilations = spread(dilation, 1)
        self.pads = spread(padding, 1)
        self.output_padding = spread(output_padding, 1)
        self.groups = groups

    def construct(self, x, output_size=None):
        return self.convolve(x, self.weight, output_size)

    def convolve(self, x, weight, output_size):
        batch = (x if x.ndim == 3 else x.expand_dims(0)).expand_dims(2)
        length = (batch.shape[3] - 1) * self.strides[0] + self.dilations[0] * (self.kernels[0] - 1) + 1
        whole = self.conv2d_transpose(batch, weight, (batch.shape[0], self.out_channels, 1, length))
        y = cut_transposed(whole.squeeze(2), self.pads, missing_output(self, x, output_size))
        if self.has_bias:
            y = y + self.bias.expand_dims(-1)
        return y if x.ndim == 3 else y.squeeze(0)


class ConvTranspose3d(nn.Cell):
    """torch.nn.ConvTranspose3d: a convolution of the input with zeros between its entries, kernel reversed."""

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode='zeros',
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernels = spread(kernel_size, 3)
        self.strides = spread(stride, 3)
        self.dilations = spread(dilation, 3)
        self.pads = spread(padding, 3)
        self.output_padding = spread(output_padding, 3)
        self.groups = groups
        dtype = dtype or mindspore.float32
        shape = (in_channels, out_channels // groups) + self.kernels
        fan_in = shape[1] * self.kernels[0] * self.kernels[1] * self.kernels[2]
        self.weight = Parameter(
            initializers.initializer(initializers.HeUniform(5**0.5), shape, dtype), name='weight'
        )
        self.bias = None
        if bias:
            self.bias = Parameter(
                initializers.initializer(initializers.Uniform(fan_in**-0.5), (out_channels,), dtype),
                name='bias',
            )

    def construct(self, x, output_size=None):
        return self.convolve(x, self.weight, output_size)

    def convolve(self, x, weight, output_size):
        batch = x if x.ndim == 5 else x.expand_dims(0)
        outputs = []
        channels = self.in_channels // self.groups
        for g in range(self.groups):
            spaced = ops.narrow(batch, 1, g * channels, channels)
            kernel = ops.flip(ops.narrow(weight, 0, g * channels, channels), (2, 3, 4)).swapaxes(0, 1)
            for i in range(3):
                spaced = zeros_between(spaced, i + 2, self.strides[i])
                kernel = zeros_between(kernel, i + 2, self.dilations[i])
            edges = tuple(self.dilations[i] * (self.kernels[i] - 1) for i in (2, 2, 1, 1, 0, 0))
            outputs.append(ops.conv3d(ops.pad(spaced, edges), kernel, pad_mode='valid'))
        y = cut_transposed(ops.cat(outputs, 1), self.pads, missing_output(self, x, output_size))
        if self.bias is not None:
            y = y + self.bias.reshape(1, -1, 1, 1, 1)
        return y if x.ndim == 5 else y.squeeze(0)


def zeros_between(x, axis, step):
    """Puts step - 1 zeros between neighbours of an axis."""
    if step == 1:
        return x
    length = x.shape[axis]
    spaced = ops.stack([x] + [ops.zeros_like(x)] * (step - 1), axis + 1)
    spaced = spaced.reshape(x.shape[:axis] + (length * step,) + x.shape[axis + 1 :])
    return ops.narrow(spaced, axis, 0, (length - 1) * step + 1)
