"""Losses and distances of torch.nn.functional."""

import math

import mindspore
import numpy as np
from mindspore import nn, ops

from mappings.emitted.functional_activation import softplus
from mappings.emitted.functional_normalization import narrowed, widened


def reduced(loss, reduction):
    """The loss of each element, or its mean or sum."""
    if reduction == 'none':
        return loss
    return ops.mean(loss) if reduction == 'mean' else ops.sum(loss)


def legacy_reduction(size_average, reduce, reduction):
    """The reduction that torch's deprecated size_average and reduce mean, where one of them is given."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        return 'none'
    return 'mean' if size_average is None or size_average else 'sum'


def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean',
                  label_smoothing=0.0):
    """torch.nn.functional.cross_entropy; class indices may be int64."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not ops.is_floating_point(target):
        target = target.astype(mindspore.int32)
    return ops.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean'):
    """torch.nn.functional.nll_loss; class indices may be int64."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    target = target.astype(mindspore.int32)
    if input.dtype != mindspore.float16:
        return ops.nll_loss(input, target, weight, ignore_index, reduction)
    weight = None if weight is None else weight.astype(mindspore.float32)  # sums leave float16
    return ops.nll_loss(input.astype(mindspore.float32), target, weight, ignore_index, reduction).astype(input.dtype)


class BinaryCrossEntropy(nn.Cell):
    """Each term of torch.nn.functional.binary_cross_entropy: logarithms stop at -100, and the gradient at 1e12."""

    def construct(self, input, target):
        return -(target * ops.maximum(ops.log(input), -100.0) + (1 - target) * ops.maximum(ops.log(1 - input), -100.0))

    def bprop(self, input, target, out, dout):
        slope = (input - target) / ops.maximum(input * (1 - input), 1e-12)
        odds = ops.maximum(ops.log(1 - input), -100.0) - ops.maximum(ops.log(input), -100.0)
        return dout * slope, dout * odds


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.binary_cross_entropy."""
    loss = BinaryCrossEntropy()(input, target)
    loss = loss if weight is None else (loss * weight).astype(loss.dtype)
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction='mean',
                                     pos_weight=None):
    """torch.nn.functional.binary_cross_entropy_with_logits: the loss has the dtype of the target."""
    factor = 1.0 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input + factor * softplus(-input)
    loss = loss if weight is None else loss * weight
    return reduced(loss.astype(target.dtype), legacy_reduction(size_average, reduce, reduction))


def weighted(loss, weight, reduction):
    """The reduced loss; with weights the mean divides by their sum, as torch's element-wise losses do."""
    if weight is None:
        return reduced(loss, reduction)
    loss = loss * weight
    if reduction == 'mean':
        return ops.sum(loss) / ops.sum(ops.broadcast_to(weight, loss.shape))
    return reduced(loss, reduction)


def l1_loss(input, target, size_average=None, reduce=None, reduction='mean', weight=None):
    """torch.nn.functional.l1_loss."""
    return weighted(ops.abs(input - target), weight, legacy_reduction(size_average, reduce, reduction))


def mse_loss(input, target, size_average=None, reduce=None, reduction='mean', weight=None):
    """torch.nn.functional.mse_loss."""
    return weighted(ops.square(input - target), weight, legacy_reduction(size_average, reduce, reduction))


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction='mean', beta=1.0):
    """torch.nn.functional.smooth_l1_loss."""
    distance = ops.abs(input - target)
    if beta > 0:
        distance = ops.where(distance < beta, distance * distance * (0.5 / beta), distance - 0.5 * beta)
    return reduced(distance, legacy_reduction(size_average, reduce, reduction))


def huber_loss(input, target, reduction='mean', delta=1.0, weight=None):
    """torch.nn.functional.huber_loss: the loss has the dtype of the input."""
    distance = ops.abs(input - target)
    loss = ops.where(distance < delta, 0.5 * distance * distance, delta * (distance - 0.5 * delta))
    loss = loss.astype(input.dtype)
    return reduced(loss if weight is None else loss * weight, reduction)


def kl_div(input, target, size_average=None, reduce=None, reduction='mean', log_target=False):
    """torch.nn.functional.kl_div."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if log_target:
        loss = ops.exp(target) * (target - input)
    else:
        loss = ops.xlogy(target, target) - target * input
    if reduction == 'batchmean':
        return ops.sum(loss) / (input.shape[0] if input.ndim else 1)
    return reduced(loss, reduction)


def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None,
                     reduction='mean'):
    """torch.nn.functional.poisson_nll_loss."""
    loss = ops.exp(input) - target * input if log_input else input - target * ops.log(input + eps)
    if full:
        above = ops.maximum(target, 1.0)
        stirling = above * ops.log(above) - above + 0.5 * ops.log(2 * math.pi * above)
        loss = loss + ops.where(target > 1, stirling, 0.0)
    loss = loss if target.is_floating_point() or not input.is_floating_point() else loss.astype(input.dtype)
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction='mean'):
    """torch.nn.functional.gaussian_nll_loss."""
    if isinstance(var, (int, float)):
        var = ops.full_like(input, var)
    if var.ndim == input.ndim - 1:
        var = var.expand_dims(-1)
    var = var + ops.stop_gradient(ops.maximum(var, eps) - var)
    loss = 0.5 * (ops.log(var) + ops.square(input - target) / var)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.hinge_embedding_loss: the loss has the dtype of the input."""
    margin = margin if input.is_floating_point() else int(margin)
    gap = ops.relu((margin - input).astype(input.dtype))
    loss = ops.where(target == 1, 0, gap) + ops.where(target == -1, 0, input)
    return reduced(loss.astype(input.dtype), legacy_reduction(size_average, reduce, reduction))


def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.margin_ranking_loss."""
    loss = ops.relu(float(margin) - target * (input1 - input2))
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.soft_margin_loss: infinite, as torch's, where the exponential is."""
    power = (-input * target).astype(input.dtype)
    largest = {mindspore.float64: 709.7827, mindspore.float16: 11.0898}.get(input.dtype, 88.72284)
    loss = ops.where(power > largest, float('inf'), softplus(power))
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.multilabel_soft_margin_loss."""
    loss = target * softplus(-input) + (1 - target) * softplus(input)
    loss = loss if weight is None else loss * weight
    return reduced(ops.sum(loss, input.ndim - 1) / input.shape[-1], legacy_reduction(size_average, reduce, reduction))


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.multi_margin_loss."""
    rows = input if input.ndim == 2 else input.reshape((1, -1))
    chosen = target.reshape((-1, 1)).astype(mindspore.int32)
    gap = ops.relu(margin - ops.gather_elements(rows, 1, chosen) + rows)
    gap = gap if p == 1 else ops.square(gap)
    if weight is not None:
        gap = gap * ops.gather(weight, chosen, 0)
    others = ops.arange(rows.shape[1]).reshape((1, -1)) != chosen
    loss = ops.sum(ops.where(others, gap, 0.0), 1) / rows.shape[1]
    loss = loss if input.ndim == 2 else loss.squeeze(0)
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.multilabel_margin_loss; the labels of a row end at its first negative one."""
    rows = input if input.ndim == 2 else input.reshape((1, -1))
    labels = target.reshape(rows.shape).astype(mindspore.int32)
    valid = ops.cumsum((labels < 0).astype(mindspore.float32), 1) == 0
    places = ops.arange(rows.shape[1]).reshape((1, 1, -1))
    marked = ops.logical_and(labels.expand_dims(-1) == places, valid.expand_dims(-1))
    is_label = ops.amax(marked.astype(rows.dtype), 1)
    chosen = ops.gather_elements(rows, 1, ops.maximum(labels, 0))
    gap = ops.relu(1 - chosen.expand_dims(-1) + rows.expand_dims(1))
    counted = valid.expand_dims(-1).astype(rows.dtype) * (1 - is_label).expand_dims(1)
    loss = ops.sum(gap * counted, (1, 2)) / rows.shape[1]
    loss = loss if input.ndim == 2 else loss.squeeze(0)
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """torch.nn.functional.pairwise_distance."""
    return difference_norm(x1 - x2 + eps, p, keepdim)


def difference_norm(difference, p, keepdim):
    """The p-norm along the last axis; of float16 in float32, where squares do not overflow."""
    size = ops.abs(widened(difference))
    if p == 0:
        result = ops.sum((size != 0).astype(size.dtype), -1, keepdim=keepdim)
    elif p == float('inf'):
        result = ops.amax(size, -1, keepdims=keepdim)
    elif p == 1:
        result = ops.sum(size, -1, keepdim=keepdim)
    elif p == 2:
        result = ops.sqrt(ops.sum(ops.square(size), -1, keepdim=keepdim))
    else:
        result = ops.pow(ops.sum(ops.pow(size, p), -1, keepdim=keepdim), 1.0 / p)
    return narrowed(result, difference)


@ops.constexpr
def pair_indices(count):
    """The first and the second place of every pair i < j < count, in order."""
    first, second = np.triu_indices(count, 1)
    return mindspore.Tensor(first, mindspore.int32), mindspore.Tensor(second, mindspore.int32)


def pdist(input, p=2.0):
    """torch.nn.functional.pdist."""
    first, second = pair_indices(input.shape[0])
    return difference_norm(ops.gather(input, first, 0) - ops.gather(input, second, 0), p, False)


def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction='mean'):
    """torch.nn.functional.cosine_embedding_loss."""
    product = ops.sum(input1 * input2, -1)
    norms = (ops.sum(ops.square(input1), -1) + 1e-12) * (ops.sum(ops.square(input2), -1) + 1e-12)
    cosine = product * ops.rsqrt(norms)
    loss = ops.where(target == 1, 1 - cosine, 0.0) + ops.where(target == -1, ops.relu(cosine - margin), 0.0)
    return reduced(loss, legacy_reduction(size_average, reduce, reduction))


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None,
                        reduce=None, reduction='mean'):
    """torch.nn.functional.triplet_margin_loss."""
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = ops.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(ops.relu(margin + near - far), legacy_reduction(size_average, reduce, reduction))


def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False,
                                      reduction='mean'):
    """torch.nn.functional.triplet_margin_with_distance_loss."""
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(ops.relu(margin + near - far), reduction)


def ctc_losses(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    """The connectionist loss of each sequence, infinite or zero where its labels do not fit into the input."""
    possible = target_lengths <= input_lengths  # the kernel does not run others
    lengths = ops.where(possible, target_lengths, ops.zeros_like(target_lengths))
    loss = ops.ctc_loss(log_probs, targets, input_lengths, lengths, blank, 'none', zero_infinity)[0]
    loss = ops.where(possible, loss, float('inf'))
    if zero_infinity:  # also of targets whose repetitions need more steps
        loss = ops.where(ops.isinf(loss), 0.0, loss)
    return loss


def lengths_of(lengths):
    """Lengths as MindSpore's kernel takes them, of a tensor or of numbers."""
    if isinstance(lengths, mindspore.Tensor):
        return lengths.astype(mindspore.int32)
    return mindspore.Tensor(lengths, mindspore.int32)


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction='mean', zero_infinity=False):
    """torch.nn.functional.ctc_loss."""
    steps = log_probs if log_probs.ndim == 3 else log_probs.expand_dims(1)
    batch = steps.shape[1]
    input_lengths = lengths_of(input_lengths).reshape((batch,))
    target_lengths = lengths_of(target_lengths).reshape((batch,))
    if targets.ndim == 1:  # one after the other
        starts = ops.cumsum(target_lengths, 0) - target_lengths
        places = starts.reshape((-1, 1)) + ops.arange(targets.shape[0])
        targets = ops.gather(targets, ops.minimum(places, targets.shape[0] - 1), 0)
    targets = targets.astype(mindspore.int32)
    loss = ctc_losses(steps, targets, input_lengths, target_lengths, blank, zero_infinity)
    if reduction == 'mean':
        return ops.mean(loss / ops.maximum(target_lengths, 1).astype(loss.dtype))
    loss = ops.sum(loss) if reduction == 'sum' else loss
    return loss if log_probs.ndim == 3 or reduction == 'sum' else loss.squeeze(0)


def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None, reduction='mean',
                         ignore_index=None, label_smoothing=0.0, options=None):
    """torch.nn.functional.linear_cross_entropy."""
    ignored = -100 if ignore_index is None else ignore_index
    logits = ops.dense(input, linear_weight, linear_bias)
    return cross_entropy(logits, target, weight, None, ignored, None, reduction, label_smoothing)
