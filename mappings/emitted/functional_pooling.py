"""Pooling of torch.nn.functional where mindspore.ops has no counterpart of the same arguments."""

import mindspore
from mindspore import ops

from porter.pure import spread


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """torch.nn.functional.adaptive_max_pool1d."""
    size = (1, spread(output_size, 1)[0])
    result, indices = ops.adaptive_max_pool2d(input.expand_dims(-2), size, True)
    return (result.squeeze(-2), indices.squeeze(-2)) if return_indices else result.squeeze(-2)


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """torch.nn.functional.adaptive_max_pool2d."""
    return ops.adaptive_max_pool2d(input, output_size, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """torch.nn.functional.adaptive_max_pool3d."""
    wanted, present = spread(output_size, 3), input.shape[-3:]
    size = tuple([present[i] if wanted[i] is None else wanted[i] for i in range(3)])
    result, indices = ops.adaptive_max_pool3d(input, size, True)
    return (result, indices.astype(mindspore.int64)) if return_indices else result


def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=None):
    """torch.nn.functional.avg_pool2d."""
    kernel_size, (top, left) = spread(kernel_size, 2), spread(padding, 2)
    stride = spread(stride, 2) if stride else kernel_size
    if divisor_override is not None:
        count_include_pad = True  # nothing is counted then, and the gradient would ignore the divisor
    return ops.avg_pool2d(input, kernel_size, stride, (top, top, left, left), ceil_mode, count_include_pad,
                          divisor_override or 0)


def avg_pool3d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
               divisor_override=None):
    """torch.nn.functional.avg_pool3d."""
    kernel_size, (front, top, left) = spread(kernel_size, 3), spread(padding, 3)
    stride = spread(stride, 3) if stride else kernel_size
    if divisor_override is not None:
        count_include_pad = True  # nothing is counted then, and the gradient would ignore the divisor
    return ops.avg_pool3d(input, kernel_size, stride, (front, front, top, top, left, left), ceil_mode,
                          count_include_pad, divisor_override or 0)


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """torch.nn.functional.lp_pool1d."""
    size = (1, spread(kernel_size, 1)[0])
    step = (1, spread(stride, 1)[0]) if stride else size
    return lp_pool2d(input.expand_dims(-2), norm_type, size, step, ceil_mode).squeeze(-2)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """torch.nn.functional.lp_pool2d."""
    height, width = spread(kernel_size, 2)
    mean = avg_pool2d(ops.pow(input, norm_type), kernel_size, stride, 0, ceil_mode)
    return ops.pow(ops.sign(mean) * ops.relu(ops.abs(mean)) * (height * width), 1.0 / norm_type)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False):
    """torch.nn.functional.lp_pool3d."""
    depth, height, width = spread(kernel_size, 3)
    mean = avg_pool3d(ops.pow(input, norm_type), kernel_size, stride, 0, ceil_mode)
    return ops.pow(ops.sign(mean) * ops.relu(ops.abs(mean)) * (depth * height * width), 1.0 / norm_type)


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """torch.nn.functional.max_pool1d."""
    size, step = spread(kernel_size, 1), spread(stride if stride else kernel_size, 1)
    rows = input.reshape((1, -1, 1, input.shape[-1]))
    result, indices = max_pool2d(rows, (1, size[0]), (1, step[0]), (0, spread(padding, 1)[0]), (1, spread(dilation, 1)[0]),
                                 ceil_mode, True)
    shape = input.shape[:-1] + result.shape[-1:]
    return (result.reshape(shape), indices.reshape(shape)) if return_indices else result.reshape(shape)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """torch.nn.functional.max_pool2d."""
    size, step = spread(kernel_size, 2), spread(stride if stride else kernel_size, 2)
    padding, dilation = spread(padding, 2), spread(dilation, 2)
    images = input if input.ndim == 4 else input.expand_dims(0)
    result, indices = ops.max_pool2d(images, size, step, padding, dilation, True, ceil_mode)
    refuse_empty_windows(images.shape[2:], result.shape[2:], size, step, padding, dilation)
    if input.ndim == 3:
        result, indices = result.squeeze(0), indices.squeeze(0)
    return (result, indices) if return_indices else result


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """torch.nn.functional.max_pool3d."""
    size, step = spread(kernel_size, 3), spread(stride if stride else kernel_size, 3)
    padding, dilation = spread(padding, 3), spread(dilation, 3)
    volumes = input if input.ndim == 5 else input.expand_dims(0)
    # MindSpore takes no integer below 0 for the largest
    floor = 0 if input.is_floating_point() or input.dtype == mindspore.uint8 else volumes.min() - 1
    result, indices = ops.max_pool3d(volumes - floor, size, step, padding, dilation, ceil_mode, True)
    result = result + floor
    refuse_empty_windows(volumes.shape[2:], result.shape[2:], size, step, padding, dilation)
    if input.ndim == 4:
        result, indices = result.squeeze(0), indices.squeeze(0)
    return (result, indices) if return_indices else result


@ops.constexpr
def refuse_empty_windows(lengths, counts, size, step, padding, dilation):
    """Raises ValueError where a window holds nothing but padding: its place, and so its gradient, are not torch's."""
    for i in range(len(lengths)):
        for start in range(-padding[i], counts[i] * step[i] - padding[i], step[i]):
            if not any(0 <= start + k * dilation[i] < lengths[i] for k in range(size[i])):
                raise ValueError('torch.nn.functional.max_pool: a window holds nothing but padding: use a smaller dilation')
    return True


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """torch.nn.functional.max_unpool1d."""
    return _unpooled(input, indices, 1, kernel_size, stride, padding, output_size)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """torch.nn.functional.max_unpool2d."""
    return _unpooled(input, indices, 2, kernel_size, stride, padding, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None):
    """torch.nn.functional.max_unpool3d."""
    return _unpooled(input, indices, 3, kernel_size, stride, padding, output_size)


def _unpooled(input, indices, count, kernel_size, stride, padding, output_size):
    """Zeros in which the values of `input` stand at `indices` of the last `count` axes taken together."""
    size, padding = spread(kernel_size, count), spread(padding, count)
    step = size if stride is None else spread(stride, count)
    small, outer = input.shape[-count:], input.shape[:-count]
    if output_size is None:
        output_size = [(small[i] - 1) * step[i] - 2 * padding[i] + size[i] for i in range(count)]
    big = tuple(output_size)[-count:]
    area = 1
    for n in big:
        area *= n
    canvas = ops.zeros(outer + (area,), input.dtype)
    values, places = input.reshape(outer + (-1,)), indices.reshape(outer + (-1,))
    return ops.tensor_scatter_elements(canvas, places, values, axis=len(outer)).reshape(outer + big)
