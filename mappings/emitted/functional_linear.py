"""Linear maps, embeddings and dropout of torch.nn.functional."""

from mindspore import ops


def bilinear(input1, input2, weight, bias=None):
    """torch.nn.functional.bilinear."""
    outputs, left, right = weight.shape
    flat = ops.matmul(input1.reshape((-1, left)), weight.transpose((1, 0, 2)).reshape((left, -1)))
    products = flat.reshape((-1, outputs, right)) * input2.reshape((-1, 1, right))
    result = ops.sum(products, -1, dtype=products.dtype).reshape(input1.shape[:-1] + (outputs,))
    return result if bias is None else result + bias


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    """torch.nn.functional.embedding; the row of padding_idx gets no gradient."""
    rows = ops.gather(weight, input, 0)
    if padding_idx is None:
        return rows
    padding = (input == padding_idx % weight.shape[0]).expand_dims(-1)
    return ops.where(padding, ops.stop_gradient(rows), rows)


def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2, scale_grad_by_freq=False, mode='mean',
                  sparse=False, per_sample_weights=None, include_last_offset=False, padding_idx=None):
    """torch.nn.functional.embedding_bag for bags of equal size, the rows of `input`."""
    rows = ops.gather(weight, input, 0)
    kept = ops.ones_like(input).expand_dims(-1).astype(weight.dtype)
    if padding_idx is not None:
        kept = (input != padding_idx % weight.shape[0]).expand_dims(-1).astype(weight.dtype)
    if mode == 'max':
        highest = ops.amax(ops.where(kept > 0, rows, ops.full_like(rows, float('-inf'))), 1)
        return ops.where(ops.amax(kept, 1) > 0, highest, ops.zeros_like(highest))
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.expand_dims(-1)
    total = ops.sum(rows * kept, 1)
    return total if mode == 'sum' else total / ops.maximum(ops.sum(kept, 1), 1.0)


def dropped_channels(input, p, training, spatial):
    """The input without a random share `p` of its channels, the rest scaled up; `spatial` axes lie in a channel."""
    if not training or p == 0:
        return input
    kept = ops.ones(input.shape[:-spatial] + (1,) * spatial, input.dtype)
    return input * ops.dropout(kept, p=p)


def dropout1d(input, p=0.5, training=True, inplace=False):
    """torch.nn.functional.dropout1d."""
    return dropped_channels(input, p, training, 1)


def dropout2d(input, p=0.5, training=True, inplace=False):
    """torch.nn.functional.dropout2d; of three axes the last one only lies in a channel, as in torch."""
    return dropped_channels(input, p, training, input.ndim - 2)


def dropout3d(input, p=0.5, training=True, inplace=False):
    """torch.nn.functional.dropout3d."""
    return dropped_channels(input, p, training, 3)


def alpha_dropout(input, p=0.5, training=False, inplace=False):
    """torch.nn.functional.alpha_dropout."""
    return alpha_dropped(input, p, ops.ones_like(input)) if training and p > 0 else input


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False):
    """torch.nn.functional.feature_alpha_dropout."""
    if not training or p == 0:
        return input
    return alpha_dropped(input, p, ops.ones(input.shape[:2] + (1,) * (input.ndim - 2), input.dtype))


def alpha_dropped(input, p, ones):
    """The input with a random share `p` at SELU's lower limit, rescaled to keep mean and variance."""
    limit = -1.7580993408473766
    scale = ((1 - p) * (1 + p * limit**2)) ** -0.5
    kept = (ops.dropout(ones, p=p) > 0).astype(input.dtype)
    return (input * kept + limit * (1 - kept)) * scale - scale * p * limit
