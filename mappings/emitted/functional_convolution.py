"""Convolutions of torch.nn.functional."""

import mindspore
from mindspore import ops

from mappings.emitted.functional_vision import pad
from porter.pure import spread


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """torch.nn.functional.conv1d; the weight may be that of mindspore.nn.Conv1d, which has four axes."""
    if weight.ndim == 3:
        weight = weight.expand_dims(2)
    if not isinstance(padding, str):
        padding = (0, spread(padding, 1)[0])
    stride, dilation = (1, spread(stride, 1)[0]), (1, spread(dilation, 1)[0])
    return conv2d(input.expand_dims(-2), weight, bias, stride, padding, dilation, groups).squeeze(-2)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """torch.nn.functional.conv2d; the input may lack the axis of the batch."""
    if input.ndim == 3:
        return conv2d(input.expand_dims(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    stride, dilation = spread(stride, 2), spread(dilation, 2)
    if isinstance(padding, str):
        return ops.conv2d(input, weight, bias, stride, padding, 0, dilation, groups)
    return ops.conv2d(input, weight, bias, stride, 'pad', spread(padding, 2), dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """torch.nn.functional.conv3d; CPU has no groups, so they are convolved one by one."""
    stride, dilation, pad_mode = spread(stride, 3), spread(dilation, 3), 'pad'
    if isinstance(padding, str):
        pad_mode, padding = padding, 0
    padding = spread(padding, 3)
    if groups == 1:
        return ops.conv3d(input, weight, bias, stride, pad_mode, padding, dilation)
    pairs = zip(ops.chunk(input, groups, 1), ops.chunk(weight, groups, 0))
    result = ops.cat([ops.conv3d(x, w, None, stride, pad_mode, padding, dilation) for x, w in pairs], axis=1)
    return result if bias is None else result + bias.reshape((-1, 1, 1, 1))


def conv_tbc(input, weight, bias, pad=0):
    """torch.nn.functional.conv_tbc; padding below 0 cuts both ends."""
    if pad < 0:
        input, pad = input[-pad : input.shape[0] + pad], 0
    bias = bias if bias.dtype == input.dtype else bias.astype(input.dtype)
    result = conv1d(input.transpose((1, 2, 0)), weight.transpose((2, 1, 0)), bias, padding=pad)
    return result.transpose((2, 0, 1))


def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """torch.nn.functional.conv_transpose1d."""
    if weight.ndim == 3:
        weight = weight.expand_dims(2)
    result = conv_transpose2d(input.expand_dims(-2), weight, bias, (1, spread(stride, 1)[0]),
                              (0, spread(padding, 1)[0]), (0, spread(output_padding, 1)[0]), groups,
                              (1, spread(dilation, 1)[0]))
    return result.squeeze(-2)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """torch.nn.functional.conv_transpose2d: the whole result first, then what padding leaves of it."""
    if input.ndim == 3:
        return conv_transpose2d(input.expand_dims(0), weight, bias, stride, padding, output_padding, groups,
                                dilation).squeeze(0)
    stride, dilation = spread(stride, 2), spread(dilation, 2)
    kernel, channels = tuple(weight.shape[2:]), weight.shape[1] * groups
    whole = tuple([(input.shape[i + 2] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1 for i in range(2)])
    transpose = ops.Conv2DTranspose(out_channel=input.shape[1], kernel_size=kernel, pad_mode='pad', pad=0, mode=1,
                                    stride=stride, dilation=dilation, group=groups)
    result = transpose(input, weight, (input.shape[0], channels, *whole))
    return _cropped(result, bias, padding, output_padding)


def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """torch.nn.functional.conv_transpose3d."""
    stride, dtype = spread(stride, 3), input.dtype
    if dtype == mindspore.float16:  # of a float16 weight the kernel makes a float32 gradient
        input, weight = input.astype(mindspore.float32), weight.astype(mindspore.float32)
    weight = _dilated(weight, spread(dilation, 3))
    if weight.shape[2] * weight.shape[3] * weight.shape[4] > 343:
        raise ValueError('torch.conv_transpose3d: a kernel of MindSpore has at most 343 places, those between dilated ones included')
    inputs, weights = ops.chunk(input, groups, 1), ops.chunk(weight, groups, 0)
    transpose = ops.Conv3DTranspose(in_channel=input.shape[1] // groups, out_channel=weight.shape[1],
                                    kernel_size=tuple(weight.shape[2:]), pad_mode='pad', pad=0, stride=stride)
    result = ops.cat([transpose(x, w) for x, w in zip(inputs, weights)], axis=1).astype(dtype)
    return _cropped(result, bias, padding, output_padding)


def _cropped(whole, bias, padding, output_padding):
    """A transposed convolution without padding, cut by `padding` at both ends and longer by `output_padding`."""
    count = whole.ndim - 2
    padding, extra = spread(padding, count), spread(output_padding, count)
    cut = ()
    for axis in range(count):
        cut = (-padding[axis], extra[axis] - padding[axis]) + cut
    if cut != (0,) * (2 * count):
        whole = pad(whole, cut)
    return whole if bias is None else whole + bias.reshape((-1,) + (1,) * count)


def _dilated(weight, dilation):
    """A kernel with zeros between its entries, which is what dilation means."""
    for axis, step in enumerate(dilation):
        if step > 1:
            size = weight.shape[axis + 2]
            spaced = ops.stack([weight] + [ops.zeros_like(weight)] * (step - 1), axis + 3)
            spaced = spaced.reshape(weight.shape[: axis + 2] + (size * step,) + weight.shape[axis + 3 :])
            weight = ops.split(spaced, size * step - step + 1, axis + 2)[0]
    return weight
