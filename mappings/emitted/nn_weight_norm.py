"""Layers of torch.nn.utils whose weight is computed from other parameters at each call."""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mappings.emitted.module import register_buffer


class ComputedConv1d(nn.Conv1d):
    """A Conv1d whose weight is computed at each call."""

    def construct(self, x):
        y = self.conv2d(self.expand_dims(x, 2), self.computed_weight())
        if self.has_bias:
            y = self.bias_add(y, self.bias)
        return self.squeeze(y)


class ComputedConv2d(nn.Conv2d):
    """A Conv2d whose weight is computed at each call."""

    def construct(self, x):
        y = self.conv2d(x, self.computed_weight())
        return self.bias_add(y, self.bias) if self.has_bias else y


class ComputedConv3d(nn.Conv3d):
    """A Conv3d whose weight is computed at each call."""

    def construct(self, x):
        weight = self.computed_weight()
        if self.group == 1:
            y = self.conv3d(x, weight)
        else:
            pairs = zip(self.split_1(x), self.split_0(weight))
            y = ops.cat([self.conv3d(part, kernel) for part, kernel in pairs], 1)
        return y + self.bias.reshape(-1, 1, 1, 1) if self.has_bias else y


class ComputedConv2dTranspose(nn.Conv2dTranspose):
    """A Conv2dTranspose, without output padding, whose weight is computed at each call."""

    def construct(self, x):
        pads = (self.padding_top + self.padding_bottom, self.padding_left + self.padding_right)
        height, width = (
            (x.shape[i + 2] - 1) * self.stride[i] + self.dilation[i] * (self.kernel_size[i] - 1) + 1 - pads[i]
            for i in (0, 1)
        )
        y = self.conv2d_transpose(x, self.computed_weight(), (x.shape[0], self.out_channels, height, width))
        return self.bias_add(y, self.bias) if self.has_bias else y


class ComputedDense(nn.Dense):
    """A Dense whose weight is computed at each call."""

    def construct(self, x):
        y = self.matmul(x.reshape(-1, x.shape[-1]), self.computed_weight())
        if self.has_bias:
            y = self.bias_add(y, self.bias)
        return y.reshape(x.shape[:-1] + (self.out_channels,))


class ComputedEmbedding(nn.Embedding):
    """An Embedding whose table is computed at each call."""

    def construct(self, ids):
        return ops.gather(self.computed_weight(), ids, 0)

    def extend_repr(self):
        return f'vocab_size={self.vocab_size}, embedding_size={self.embedding_size}'


class ComputedConvTranspose(nn.Cell):
    """A ConvTranspose1d, 2d or 3d whose weight is computed at each call."""

    def construct(self, x, output_size=None):
        return self.convolve(x, self.computed_weight(), output_size)


def weight_of_norm(magnitude, direction, dim):
    """The weight of a magnitude and a direction: torch._weight_norm, over all axes where `dim` is None."""
    return direction * (magnitude / norm_except(direction, dim))


def norm_except(weight, dim):
    """torch.norm_except_dim: the norm over all axes but `dim`, over all where it is None."""
    if dim is None:
        return ops.sqrt(ops.square(weight).sum())
    axes = tuple(axis for axis in range(weight.ndim) if axis != dim)
    return ops.sqrt(ops.square(weight).sum(axes, keepdims=True))


def as_matrix(weight, dim):
    """A weight with the axis `dim` in front and the other axes flattened."""
    return weight.moveaxis(dim, 0).reshape(weight.shape[dim], -1)


def unit_vector(vector, eps):
    """torch.nn.functional.normalize of a vector."""
    return vector / ops.maximum(ops.sqrt(ops.square(vector).sum()), eps)


def random_unit_vector(like, axis, eps):
    """A random direction, as long as an axis of a matrix."""
    values = np.random.standard_normal(like.shape[axis])
    return unit_vector(Tensor(values, like.dtype), eps)


def singular_value(matrix, u, v):
    """u · W v, where u and v are constants."""
    return (ops.stop_gradient(u) * ops.matmul(matrix, ops.stop_gradient(v))).sum()


class Computing:
    """A layer whose attribute weight is computed anew, as in torch, where what is written into it is lost."""

    @property
    def weight(self):
        computed = self.computed_weight()
        computed.set_data = lambda *_: computed
        return computed


class WeightNorm(Computing):
    """What torch.nn.utils.weight_norm adds to a layer: weight_g and weight_v."""

    def computed_weight(self):
        return weight_of_norm(self.weight_g, self.weight_v, self.norm_dim).reshape(self.weight_shape)


class SpectralNorm(Computing):
    """What torch.nn.utils.spectral_norm adds to a layer: weight_orig, weight_u and weight_v."""

    def computed_weight(self):
        matrix = as_matrix(self.weight_orig, self.norm_dim)
        u, v = self.weight_u, self.weight_v
        if self.training:
            constant = ops.stop_gradient(matrix)
            for _ in range(self.power_iterations):
                v = unit_vector(ops.matmul(constant.T, u), self.norm_eps)
                u = unit_vector(ops.matmul(constant, v), self.norm_eps)
            ops.assign(self.weight_u, u)
            ops.assign(self.weight_v, v)
        return (self.weight_orig / singular_value(matrix, u, v)).reshape(self.weight_shape)


class Parametrized(Computing):
    """What torch.nn.utils.parametrizations adds to a layer: the Cell that computes its weight."""

    def computed_weight(self):
        return self.parametrizations.weight().reshape(self.weight_shape)


class WeightNormParametrization(nn.Cell):
    """torch.nn.utils.parametrizations.weight_norm: computes a weight of original0 and original1."""

    def __init__(self, weight, dim):
        super().__init__()
        self.dim = norm_axis(dim, weight.ndim)
        self.original0 = Parameter(norm_except(weight, self.dim), name='original0')
        self.original1 = Parameter(weight, name='original1')

    def construct(self):
        return weight_of_norm(self.original0, self.original1, self.dim)


class SpectralNormParametrization(nn.Cell):
    """torch.nn.utils.parametrizations.spectral_norm: computes a weight of original, 0._u and 0._v."""

    def __init__(self, weight, power_iterations, eps, dim):
        super().__init__()
        self.original = Parameter(weight, name='original')
        self.insert_child_to_cell('0', SpectralDivision(weight, power_iterations, eps, dim))

    def construct(self):
        return getattr(self, '0')(self.original)


class SpectralDivision(nn.Cell):
    """Divides a weight by its greatest singular value, to whose vectors _u and _v come nearer in training."""

    def __init__(self, weight, power_iterations, eps, dim):
        super().__init__()
        self.dim = dim
        self.eps = eps
        self.power_iterations = power_iterations
        matrix = as_matrix(weight, dim)
        start = (random_unit_vector(matrix, 0, eps), random_unit_vector(matrix, 1, eps))
        u, v = self.iterate(matrix, *start, 15)
        register_buffer(self, '_u', u)
        register_buffer(self, '_v', v)

    def iterate(self, matrix, u, v, count):
        for _ in range(count):
            u = unit_vector(ops.matmul(matrix, v), self.eps)
            v = unit_vector(ops.matmul(matrix.T, u), self.eps)
        return u, v

    def construct(self, weight):
        matrix = as_matrix(weight, self.dim)
        u, v = self._u, self._v
        if self.training:
            u, v = self.iterate(ops.stop_gradient(matrix), u, v, self.power_iterations)
            ops.assign(self._u, u)
            ops.assign(self._v, v)
        return weight / singular_value(matrix, u, v)


def weight_name(layer):
    """What MindSpore calls the weight of a layer."""
    return 'embedding_table' if isinstance(layer, nn.Embedding) else 'weight'


def torch_shape(layer, shape):
    """The shape of a weight in torch: that of a one-dimensional convolution has no height there."""
    if isinstance(layer, (nn.Conv1d, nn.Conv1dTranspose)):
        return shape[:2] + shape[3:]
    return shape


def computing_bases(layer, name):
    """The classes that make a layer compute its weight."""
    cls = type(layer)
    if name != 'weight' or weight_name(layer) not in layer._params:
        raise ValueError(f'{cls.__name__} has no parameter {name} that can be computed: only the weight of a layer')
    if hasattr(cls, 'convolve'):
        return (ComputedConvTranspose, cls)
    computed = (
        ComputedConv1d,
        ComputedConv2d,
        ComputedConv3d,
        ComputedConv2dTranspose,
        ComputedDense,
        ComputedEmbedding,
    )
    for candidate in computed:
        plain = candidate.__bases__[0]
        if cls is plain:
            return (candidate,)
        if issubclass(cls, plain) and getattr(layer, 'padding_idx', None) is None:
            # before `plain` in the order of classes: what cls computes around a call of its super stays
            return (cls, candidate)
    raise ValueError(f'the weight of {cls.__name__} cannot be computed: write a Cell that computes it in construct')


def take_weight(layer):
    """Takes the weight out of a layer: its values in torch's shape, and what its name begins with."""
    weight = layer._params.pop(weight_name(layer))
    layer.weight_shape = weight.shape
    prefix = weight.name[: -len(weight_name(layer))]
    return Tensor(weight.asnumpy().reshape(torch_shape(layer, weight.shape))), prefix


def put_weight(layer, weight, prefix):
    """Makes a layer an ordinary one again, with a weight of its own."""
    name = weight_name(layer)
    layer.__class__ = layer.plain_class
    setattr(layer, name, Parameter(Tensor(weight.asnumpy()), name=prefix + name))
    return layer


def compute_weight_by(layer, kind, bases):
    """Makes a layer one whose weight is computed by the method computed_weight of `kind`."""
    layer.plain_class = type(layer)
    layer.__class__ = type(f'{kind.__name__}{type(layer).__name__}', (kind, *bases), {})


def norm_axis(dim, ndim):
    """The axis that a norm keeps, None where torch takes the norm of everything."""
    return None if dim is None or dim == -1 else dim % ndim


def spectral_axis(layer, dim):
    """The axis of the outputs, which a transposed convolution has in second place."""
    if dim is None:
        dim = 1 if hasattr(layer, 'convolve') or isinstance(layer, nn.Conv2dTranspose) else 0
    return dim % len(torch_shape(layer, layer._params[weight_name(layer)].shape))


def weight_norm(module, name='weight', dim=0):
    """torch.nn.utils.weight_norm."""
    bases = computing_bases(module, name)
    direction, prefix = take_weight(module)
    module.norm_dim = norm_axis(dim, direction.ndim)
    compute_weight_by(module, WeightNorm, bases)
    module.weight_g = Parameter(norm_except(direction, module.norm_dim), name=prefix + 'weight_g')
    module.weight_v = Parameter(direction, name=prefix + 'weight_v')
    return module


def spectral_norm(module, name='weight', n_power_iterations=1, eps=1e-12, dim=None):
    """torch.nn.utils.spectral_norm."""
    if n_power_iterations <= 0:
        raise ValueError(f'n_power_iterations is {n_power_iterations}: it must be positive')
    bases = computing_bases(module, name)
    module.norm_dim = spectral_axis(module, dim)
    module.norm_eps = eps
    module.power_iterations = n_power_iterations
    weight, prefix = take_weight(module)
    compute_weight_by(module, SpectralNorm, bases)
    matrix = as_matrix(weight, module.norm_dim)
    module.weight_orig = Parameter(weight, name=prefix + 'weight_orig')
    register_buffer(module, 'weight_u', random_unit_vector(matrix, 0, eps))
    register_buffer(module, 'weight_v', random_unit_vector(matrix, 1, eps))
    module.weight_u.name, module.weight_v.name = prefix + 'weight_u', prefix + 'weight_v'
    return module


def parametrized(module, parametrization, prefix, bases):
    """A layer whose weight a Cell computes."""
    compute_weight_by(module, Parametrized, bases)
    module.parametrizations = nn.Cell()
    module.parametrizations.weight = parametrization
    parametrization.update_parameters_name(prefix + 'parametrizations.weight.')
    return module


def parametrized_weight_norm(module, name='weight', dim=0):
    """torch.nn.utils.parametrizations.weight_norm."""
    bases = computing_bases(module, name)
    weight, prefix = take_weight(module)
    return parametrized(module, WeightNormParametrization(weight, dim), prefix, bases)


def parametrized_spectral_norm(module, name='weight', n_power_iterations=1, eps=1e-12, dim=None):
    """torch.nn.utils.parametrizations.spectral_norm."""
    if n_power_iterations <= 0:
        raise ValueError(f'n_power_iterations is {n_power_iterations}: it must be positive')
    bases = computing_bases(module, name)
    axis = spectral_axis(module, dim)
    weight, prefix = take_weight(module)
    division = SpectralNormParametrization(weight, n_power_iterations, eps, axis)
    return parametrized(module, division, prefix, bases)


def remove_weight_norm(module, name='weight'):
    """torch.nn.utils.remove_weight_norm."""
    if name != 'weight' or not isinstance(module, WeightNorm):
        raise ValueError(f'weight_norm of {name} not found in {module}')
    weight = module.computed_weight()
    prefix = module._params.pop('weight_g').name[: -len('weight_g')]
    module._params.pop('weight_v')
    return put_weight(module, weight, prefix)


def remove_spectral_norm(module, name='weight'):
    """torch.nn.utils.remove_spectral_norm."""
    if name != 'weight' or not isinstance(module, SpectralNorm):
        raise ValueError(f'spectral_norm of {name} not found in {module}')
    matrix = as_matrix(module.weight_orig, module.norm_dim)
    weight = module.weight_orig / singular_value(matrix, module.weight_u, module.weight_v)
    prefix = module._params.pop('weight_orig').name[: -len('weight_orig')]
    module._params.pop('weight_u')
    module._params.pop('weight_v')
    module.buffer_names = tuple(n for n in module.buffer_names if n not in ('weight_u', 'weight_v'))
    return put_weight(module, weight.reshape(module.weight_shape), prefix)


def is_parametrized(module, tensor_name=None):
    """torch.nn.utils.parametrize.is_parametrized."""
    return isinstance(module, Parametrized) and tensor_name in (None, 'weight')


def remove_parametrizations(module, tensor_name, leave_parametrized=True):
    """torch.nn.utils.parametrize.remove_parametrizations."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f'{module} does not have a parametrization on {tensor_name}')
    list_of_one = module.parametrizations.weight
    if not leave_parametrized and not hasattr(list_of_one, 'original'):
        raise ValueError('a weight of several originals must be left parametrized (leave_parametrized=True)')
    weight = module.computed_weight() if leave_parametrized else list_of_one.original.reshape(module.weight_shape)
    first = next(iter(list_of_one._params.values()))
    module._cells.pop('parametrizations')
    return put_weight(module, weight, first.name.partition('parametrizations.')[0])
