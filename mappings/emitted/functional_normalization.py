"""Normalization of torch.nn.functional."""

import mindspore
from mindspore import ops

from mappings.emitted.module import layer_norm_by_steps


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05):
    """torch.nn.functional.layer_norm; mindspore.ops.layer_norm has no CPU kernel, the primitive has."""
    shape = tuple(normalized_shape)
    axis = input.ndim - len(shape)
    weight = ops.ones(shape, input.dtype) if weight is None else weight
    bias = ops.zeros(shape, input.dtype) if bias is None else bias
    if input.dtype == mindspore.float64:
        return layer_norm_by_steps(input, weight, bias, axis, eps)
    return ops.LayerNorm(axis, axis, eps)(input, weight, bias)[0]


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """torch.nn.functional.rms_norm: of float16 and bfloat16 in float32, where squares do not overflow."""
    axes = tuple(range(-len(normalized_shape), 0))
    double = input.dtype == mindspore.float64
    if eps is None:
        eps = 2.0**-52 if double else 2.0**-23
    wide = input if double else input.astype(mindspore.float32)
    result = wide * ops.rsqrt(ops.mean(ops.square(wide), axes, True) + eps)
    return (result if weight is None else result * weight).astype(input.dtype)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-05):
    """torch.nn.functional.group_norm."""
    grouped = widened(input).reshape((input.shape[0], num_groups, -1))
    centred = grouped - ops.mean(grouped, -1, True)
    result = centred * ops.rsqrt(ops.mean(ops.square(centred), -1, True) + eps)
    return narrowed(per_channel(result.reshape(input.shape), weight, bias), input)


def widened(tensor):
    """A float16 tensor as float32, where squares do not overflow; another as it is."""
    return tensor.astype(mindspore.float32) if tensor.dtype == mindspore.float16 else tensor


def narrowed(result, tensor):
    """What was computed of a widened tensor in the dtype that it had."""
    return result.astype(mindspore.float16) if tensor.dtype == mindspore.float16 else result


def per_channel(input, weight, bias):
    """The input times `weight` plus `bias`, both None or one number for each channel."""
    shape = (-1,) + (1,) * (input.ndim - 2)
    if weight is not None:
        input = input * weight.reshape(shape)
    return input if bias is None else input + bias.reshape(shape)


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-05):
    """torch.nn.functional.batch_norm; in training the running statistics, which must be parameters, move."""
    shape = (1, -1) + (1,) * (input.ndim - 2)
    wide = widened(input)
    if not training:
        centred = wide - running_mean.reshape(shape)
        result = per_channel(centred * ops.rsqrt(widened(running_var).reshape(shape) + eps), weight, bias)
        return result.astype(input.dtype)
    axes = (0,) + tuple(range(2, input.ndim))
    mean = ops.mean(wide, axes, True)
    centred = wide - mean
    variance = ops.mean(ops.square(centred), axes, True)
    if running_mean is not None:
        update_statistics(running_mean, running_var, mean.reshape(-1), variance.reshape(-1), momentum,
                          input.size // input.shape[1])
    return narrowed(per_channel(centred * ops.rsqrt(variance + eps), weight, bias), input)


def update_statistics(running_mean, running_var, mean, variance, momentum, count):
    """Moves running statistics towards those of a batch, the variance as the unbiased one of `count` values."""
    unbiased = ops.stop_gradient(variance) * (count / max(count - 1, 1))
    moved = running_mean * (1 - momentum) + ops.stop_gradient(mean) * momentum
    ops.assign(running_mean, moved.astype(running_mean.dtype))
    ops.assign(running_var, (running_var * (1 - momentum) + unbiased * momentum).astype(running_var.dtype))


def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
                  momentum=0.1, eps=1e-05):
    """torch.nn.functional.instance_norm."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    axes = tuple(range(2, input.ndim))
    wide = widened(input)
    mean = ops.mean(wide, axes, True)
    centred = wide - mean
    variance = ops.mean(ops.square(centred), axes, True)
    if running_mean is not None:
        update_statistics(running_mean, running_var, ops.mean(mean, 0).reshape(-1), ops.mean(variance, 0).reshape(-1),
                          momentum, input.size // (input.shape[0] * input.shape[1]))
    return narrowed(per_channel(centred * ops.rsqrt(variance + eps), weight, bias), input)


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """torch.nn.functional.local_response_norm."""
    channels = input.shape[1]
    squares = ops.square(input).reshape((input.shape[0], 1, channels, -1))
    padded = ops.pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = ops.avg_pool2d(padded, (size, 1), 1).reshape(input.shape)
    return input / ops.pow(mean * alpha + k, beta)


def normalize(input, p=2.0, dim=1, eps=1e-12, out=None):
    """torch.nn.functional.normalize."""
    wide = widened(input)
    if input.dtype == mindspore.float16 and eps < 2.0**-25:
        eps = 0.0  # what float16 makes of it
    if p == 2:
        squares = ops.sum(ops.square(wide), dim, keepdim=True)
        return narrowed(wide * ops.rsqrt(ops.maximum(squares, max(eps, 0.0) ** 2)), input)
    if p == float('inf'):
        return input / ops.maximum(ops.amax(ops.abs(input), dim, keepdims=True), eps)
    if p == 0:
        return input / ops.maximum(ops.sum((input != 0).astype(input.dtype), dim, keepdim=True), eps)
    total = ops.sum(ops.pow(ops.abs(wide), p), dim, keepdim=True)
    return narrowed(wide / ops.maximum(ops.pow(total, 1.0 / p), eps), input)
