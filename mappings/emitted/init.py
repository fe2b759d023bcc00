"""Initialization as in torch.nn.init: fills a parameter, or a tensor, and returns it."""

import math

import mindspore
import numpy as np
from mindspore import Parameter, Tensor
from mindspore.common.initializer import Constant, TruncatedNormal, initializer


def _filled(tensor, values):
    """The tensor after `values` were written into it; a slice of a parameter changes the parameter."""
    if isinstance(tensor, Parameter):
        tensor.set_data(values)
    else:
        tensor[...] = values
    return tensor


def _drawn(tensor, distribution):
    """Values of an initializer in the shape and dtype of a tensor."""
    values = initializer(distribution, tensor.shape, mindspore.float32).init_data()
    return values.astype(tensor.dtype)


def _calculate_fan_in_and_fan_out(tensor):
    """torch.nn.init._calculate_fan_in_and_fan_out."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    receptive_field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive_field, tensor.shape[0] * receptive_field


def _calculate_correct_fan(tensor, mode):
    """torch.nn.init._calculate_correct_fan."""
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def calculate_gain(nonlinearity, param=None):
    """torch.nn.init.calculate_gain."""
    fixed = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    linear = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    if nonlinearity in linear or nonlinearity == "sigmoid":
        return 1
    if nonlinearity in fixed:
        return fixed[nonlinearity]
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """torch.nn.init.uniform_."""
    return _filled(tensor, (_drawn(tensor, mindspore.common.initializer.Uniform((b - a) / 2)) + (a + b) / 2).astype(tensor.dtype))


def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """torch.nn.init.normal_."""
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Normal(std, mean)))


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """torch.nn.init.trunc_normal_: a and b are values, not numbers of deviations."""
    return _filled(tensor, _drawn(tensor, TruncatedNormal(std, mean, a, b)))


def constant_(tensor, val):
    """torch.nn.init.constant_."""
    return _filled(tensor, _drawn(tensor, Constant(val)))


def ones_(tensor):
    """torch.nn.init.ones_."""
    return constant_(tensor, 1.0)


def zeros_(tensor):
    """torch.nn.init.zeros_."""
    return constant_(tensor, 0.0)


def eye_(tensor):
    """torch.nn.init.eye_."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _filled(tensor, Tensor(np.eye(*tensor.shape), tensor.dtype))


def dirac_(tensor, groups=1):
    """torch.nn.init.dirac_."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(tensor.shape, np.float32)
    out_channels = tensor.shape[0] // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(out_channels, tensor.shape[1])):
            values[(group * out_channels + channel, channel, *centre)] = 1
    return _filled(tensor, Tensor(values, tensor.dtype))


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """torch.nn.init.xavier_uniform_."""
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Uniform(bound)))


def xavier_normal_(tensor, gain=1.0, generator=None):
    """torch.nn.init.xavier_normal_."""
    std = gain * math.sqrt(2.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Normal(std)))


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """torch.nn.init.kaiming_uniform_."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Uniform(math.sqrt(3.0) * std)))


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """torch.nn.init.kaiming_normal_."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Normal(std)))


def orthogonal_(tensor, gain=1, generator=None):
    """torch.nn.init.orthogonal_."""
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if 0 in tensor.shape:
        return tensor
    flat = initializer(mindspore.common.initializer.Normal(1.0), tensor.shape, mindspore.float32).init_data().asnumpy()
    flat = flat.reshape(tensor.shape[0], -1)
    q, r = np.linalg.qr(flat if flat.shape[0] >= flat.shape[1] else flat.T)
    q = q * np.sign(np.diag(r))
    values = q if flat.shape[0] >= flat.shape[1] else q.T
    return _filled(tensor, Tensor(gain * values.reshape(tensor.shape), tensor.dtype))


def sparse_(tensor, sparsity, std=0.01, generator=None):
    """torch.nn.init.sparse_."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    values = initializer(mindspore.common.initializer.Normal(std), tensor.shape, mindspore.float32).init_data().asnumpy()
    order = initializer(mindspore.common.initializer.Uniform(1.0), tensor.shape, mindspore.float32).init_data().asnumpy().argsort(axis=0)
    zeros = math.ceil(sparsity * tensor.shape[0])
    np.put_along_axis(values, order[:zeros], 0.0, axis=0)
    return _filled(tensor, Tensor(values, tensor.dtype))


def reset_parameters(layer):
    """reset_parameters of the layers of torch.nn: parameters drawn anew, or ones and zeros of a normalization."""
    layer = layer.bn2d if hasattr(layer, 'bn2d') else layer
    own = dict(layer.parameters_and_names(expand=False))
    if hasattr(layer, 'hidden_size'):
        bound = layer.hidden_size**-0.5
        for parameter in layer.trainable_params():
            uniform_(parameter, -bound, bound)
    elif hasattr(layer, 'embedding_table'):
        normal_(layer.embedding_table)
        if layer.padding_idx is not None:
            layer.embedding_table[layer.padding_idx] = 0.0
    elif 'weight' in own and own['weight'].ndim > 1:
        kaiming_uniform_(layer.weight, a=5**0.5)
        if 'bias' in own:
            bound = _calculate_fan_in_and_fan_out(layer.weight)[0] ** -0.5
            uniform_(layer.bias, -bound, bound)
    else:
        for name, parameter in own.items():
            constant_(parameter, 1.0 if name in ('gamma', 'weight', 'moving_variance', 'running_var') else 0.0)
