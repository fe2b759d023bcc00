"""Utilities of torch.nn.utils: gradients, vectors of parameters, padded sequences, fused normalization."""

import mindspore
from mindspore import Parameter, ops


def parameters_to_vector(parameters):
    """torch.nn.utils.parameters_to_vector."""
    return ops.cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec, parameters):
    """torch.nn.utils.vector_to_parameters."""
    start = 0
    for parameter in parameters:
        parameter.set_data(vec[start : start + parameter.size].reshape(parameter.shape))
        start += parameter.size


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side='right'):
    """torch.nn.utils.rnn.pad_sequence: the first sequence gives the dtype and the sizes of all."""
    length = max([sequence.shape[0] for sequence in sequences])
    sizes, dtype = sequences[0].shape[1:], sequences[0].dtype
    padded = []
    for sequence in sequences:
        missing = length - sequence.shape[0]
        if sequence.dtype != dtype:
            sequence = sequence.astype(dtype)
        if sequence.shape[1:] != sizes:
            sequence = ops.broadcast_to(sequence, sequence.shape[:1] + sizes)
        if missing:
            filler = ops.full((missing,) + sizes, padding_value, dtype=dtype)
            sequence = ops.cat([sequence, filler] if padding_side == 'right' else [filler, sequence])
        padded.append(sequence)
    return ops.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """torch.nn.utils.rnn.unpad_sequence."""
    rows = padded_sequences if batch_first else padded_sequences.swapaxes(0, 1)
    return [rows[i, : int(lengths[i])] for i in range(rows.shape[0])]


def invert_permutation(permutation):
    """torch.nn.utils.rnn.invert_permutation."""
    return None if permutation is None else ops.argsort(permutation.astype(mindspore.int32)).astype(permutation.dtype)


def fuse_conv_bn_weights(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, transpose=False):
    """torch.nn.utils.fuse_conv_bn_weights."""
    bias = ops.zeros_like(bn_rm) if conv_b is None else conv_b
    scale = ops.rsqrt(bn_rv + bn_eps)
    scale = scale if bn_w is None else scale * bn_w
    shift = ops.zeros_like(bn_rm) if bn_b is None else bn_b
    shape = (1, -1) if transpose else (-1, 1)
    weight = conv_w * scale.reshape(shape + (1,) * (conv_w.ndim - 2))
    fused = (bias - bn_rm) * scale + shift
    return Parameter(weight.astype(conv_w.dtype), name='weight'), Parameter(fused, name='bias')


def fuse_linear_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b):
    """torch.nn.utils.fuse_linear_bn_weights."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)
