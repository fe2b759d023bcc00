"""Activations of torch.nn.functional that mindspore.ops lacks or gets wrong."""

import mindspore
from mindspore import ops

from mappings.emitted.torch_pointwise import expm1, tanh


def elu(input, alpha=1.0, inplace=False):
    """torch.nn.functional.elu; mindspore.ops.elu knows no alpha but 1, and loses the digits of small numbers."""
    return ops.where(input > 0, input, alpha * expm1(ops.minimum(input, 0)))


def mish(input, inplace=False):
    """torch.nn.functional.mish with tanh(softplus(x)) as a quotient: the tanh of MindSpore is coarse on CPU."""
    power = ops.exp(-ops.abs(input))
    top = ops.where(input >= 0, 2 * power + 1, power * (power + 2))
    return input * top / (top + ops.where(input >= 0, 2 * power * power, 2.0))


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False):
    """torch.nn.functional.rrelu."""
    if training:
        slope = ops.rand_like(input) * (upper - lower) + lower
        return ops.where(input >= 0, input, input * slope)
    return ops.leaky_relu(input, (lower + upper) / 2)


def selu(input, inplace=False):
    """torch.nn.functional.selu; mindspore.ops.selu has a wrong gradient for negative input on CPU."""
    return 1.0507009873554805 * elu(input, 1.6732632423543772)


def softplus(input, beta=1, threshold=20):
    """torch.nn.functional.softplus: linear above the threshold, and of a negative number with all of its digits."""
    scaled = input * beta
    if input.dtype == mindspore.float16:
        scaled = scaled.astype(mindspore.float32)  # the exponential of 12 is more than float16 holds
    rest = ops.exp(-ops.relu(-scaled))
    curve = ops.where(scaled < 0, 2 * ops.atanh(rest / (2 + rest)), ops.softplus(scaled))
    return ops.where(scaled > threshold, input, (curve / beta).astype(input.dtype))


def tanhshrink(input):
    """torch.nn.functional.tanhshrink, of integers in float32, with an exact tanh."""
    wide = input if input.is_floating_point() else input.astype(mindspore.float32)
    return input - tanh(wide)


def softmax_dim(ndim):
    """The axis that torch takes where softmax is called without one."""
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input, dim, dtype=None):
    """torch.softmax: NaN where all along an axis is minus infinity; there ops.softmax on CPU spoils other rows too."""
    if dtype is not None:
        input = input.astype(dtype)
    if 0 in input.shape or input.ndim == 0:
        return finite_softmax(input, dim)
    hidden = ops.amax(input, dim, True) == float('-inf')
    return ops.where(hidden, float('nan'), finite_softmax(ops.where(hidden, 0.0, input), dim))


def finite_softmax(input, dim):
    """The softmax of scores of which some are more than minus infinity along every axis.

    Once ops.softmax was differentiated over a single entry, its next gradients on CPU are wrong in PYNATIVE mode, and so
    they are once it was given a tensor without elements.
    """
    if 0 in input.shape:
        return input
    if input.ndim == 0:
        return ops.exp(input - input)
    if input.shape[dim] == 1:
        return ops.exp(ops.log_softmax(input, dim))
    return ops.softmax(input, axis=dim)


def functional_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """torch.nn.functional.softmax."""
    return softmax(input, softmax_dim(input.ndim) if dim is None else dim, dtype)


def softmin(input, dim=None, _stacklevel=3, dtype=None):
    """torch.nn.functional.softmin."""
    return functional_softmax(-input, dim, _stacklevel, dtype)


def log_softmax(input, dim=None, _stacklevel=3, dtype=None):
    """torch.nn.functional.log_softmax."""
    if dtype is not None:
        input = input.astype(dtype)
    return ops.log_softmax(input, softmax_dim(input.ndim) if dim is None else dim)


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1):
    """torch.nn.functional.gumbel_softmax."""
    uniform = ops.clamp(ops.rand_like(logits), 1e-20, 1.0)
    soft = softmax((logits - ops.log(-ops.log(uniform) + 1e-20)) / tau, dim)
    if not hard:
        return soft
    top = (soft == ops.amax(soft, axis=dim, keepdims=True)).astype(soft.dtype)
    return ops.stop_gradient(top - soft) + soft
