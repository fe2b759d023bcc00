"""Resizing, padding and rearranging of torch.nn.functional."""

import mindspore
import numpy as np
from mindspore import Tensor, ops

from mappings.emitted.nn_padding import crop
from porter.pure import spread


def interpolate(input, size=None, scale_factor=None, mode='nearest', align_corners=None, recompute_scale_factor=None,
                antialias=False):
    """torch.nn.functional.interpolate, one axis after the other."""
    count = input.ndim - 2
    before = input.shape[2:]
    scales = (None,) * count
    if size is None:
        factors = spread(scale_factor, count)
        size = tuple([int(before[i] * factors[i]) for i in range(count)])
        if not recompute_scale_factor:
            scales = tuple([1.0 / factors[i] for i in range(count)])
    size = spread(size, count)
    if mode == 'area':
        pools = {1: adaptive_avg_pool1d, 2: ops.adaptive_avg_pool2d, 3: ops.adaptive_avg_pool3d}
        return pools[count](input, size)
    if mode not in ('nearest', 'nearest-exact') and not input.is_floating_point():
        raise ValueError('torch.nn.functional.interpolate of integers: interpolate float32 and round')
    result = input
    for i in range(count):
        if mode in ('nearest', 'nearest-exact'):
            indices = nearest_indices(before[i], size[i], scales[i], mode, count == 2)
            result = ops.gather(result, indices, i + 2)
        else:
            weights = resize_weights(before[i], size[i], scales[i], mode, bool(align_corners), antialias)
            last = result.swapaxes(i + 2, -1)
            result = ops.matmul(last, weights.astype(input.dtype)).swapaxes(i + 2, -1)
    return result


def adaptive_avg_pool1d(input, output_size):
    """torch.nn.functional.adaptive_avg_pool1d."""
    size = (1, spread(output_size, 1)[0])
    return ops.adaptive_avg_pool2d(input.expand_dims(-2), size).squeeze(-2)


@ops.constexpr
def nearest_indices(before, after, scale, mode, images):
    """The places that torch's nearest interpolation of one axis reads, computed in float32 as torch does."""
    if images and mode == 'nearest' and after in (before, 2 * before):  # whatever the scale, which torch reads elsewhere
        return Tensor((np.arange(after) * before // after).astype(np.int32))
    scale = np.float32(before / after if scale is None else scale)
    places = np.arange(after, dtype=np.float32) + np.float32(0.5 if mode == 'nearest-exact' else 0)
    return Tensor(np.minimum(np.floor(places * scale), before - 1).astype(np.int32))


@ops.constexpr
def resize_weights(before, after, scale, mode, align_corners, antialias):
    """The matrix (before, after) of torch's linear or cubic interpolation of one axis."""
    if align_corners:
        scale = (before - 1) / (after - 1) if after > 1 else 0.0
    elif scale is None:
        scale = before / after
    cubic = mode == 'bicubic'
    if before == after and (antialias or not cubic):  # whatever the scale
        scale = 1.0
    if antialias:
        weights = antialiased_weights(before, after, scale, cubic)
    else:
        places = np.arange(after, dtype=np.float64)
        places = places * scale if align_corners else (places + 0.5) * scale - 0.5
        if not cubic:
            places = np.maximum(places, 0)
        low = np.floor(places)
        weights = np.zeros((before, after))
        for step in range(-1, 3) if cubic else range(2):
            near = np.clip(low + step, 0, before - 1).astype(int)
            distance = np.abs(places - low - step)
            share = cubic_kernel(distance, -0.75) if cubic else np.maximum(1 - distance, 0)
            np.add.at(weights, (near, np.arange(after)), share)
    return Tensor(weights, mindspore.float32)


def antialiased_weights(before, after, scale, cubic):
    """The matrix of torch's antialiased interpolation of one axis: the kernel widens as the image shrinks."""
    widening = max(scale, 1.0)
    support = (2.0 if cubic else 1.0) * widening
    centre = scale * (np.arange(after) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(int), 0)
    last = np.minimum((centre + support + 0.5).astype(int), before)
    pixel = np.arange(before)[:, None]
    distance = np.abs((pixel - centre + 0.5) / widening)
    share = cubic_kernel(distance, -0.5) if cubic else np.maximum(1 - distance, 0)
    share = np.where((pixel >= first) & (pixel < last), share, 0)
    return share / share.sum(0)


def cubic_kernel(distance, a):
    """Keys' cubic convolution kernel."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def pad(input, pad, mode='constant', value=None):
    """torch.nn.functional.pad; mindspore.ops.pad reads the wrong places on CPU where a number is negative."""
    if min(pad) < 0:
        input = crop(input, pad)
        pad = tuple([max(size, 0) for size in pad])
    if max(pad) == 0:
        return input
    return ops.pad(input, pad, mode=mode, value=value) if mode == 'constant' else ops.pad(input, pad, mode=mode)


def constant_pad_nd(input, pad, value=0):
    """torch.constant_pad_nd."""
    if min(pad) < 0:
        input = crop(input, pad)
        pad = tuple([max(size, 0) for size in pad])
    return ops.pad(input, pad, value=value) if max(pad) > 0 else input


def upsample(input, size=None, scale_factor=None, mode='nearest', align_corners=None):
    """torch.nn.functional.upsample."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """torch.nn.functional.upsample_nearest."""
    return interpolate(input, size, scale_factor, 'nearest')


def upsample_bilinear(input, size=None, scale_factor=None):
    """torch.nn.functional.upsample_bilinear."""
    return interpolate(input, size, scale_factor, 'bilinear', True)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """torch.nn.functional.fold."""
    size = Tensor(spread(output_size, 2), mindspore.int32)
    height, width = spread(kernel_size, 2)
    columns = input if input.ndim == 3 else input.expand_dims(0)
    columns = columns.reshape((columns.shape[0], -1, height * width, columns.shape[-1]))
    result = ops.fold(columns, size, (height, width), spread(dilation, 2), spread(padding, 2), spread(stride, 2))
    return result if input.ndim == 3 else result.squeeze(0)


def channel_shuffle(input, groups):
    """torch.nn.functional.channel_shuffle."""
    batch, channels = input.shape[:2]
    grouped = input.reshape((batch, groups, channels // groups) + input.shape[2:])
    return grouped.swapaxes(1, 2).reshape(input.shape)
