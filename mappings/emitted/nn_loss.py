"""Losses of torch.nn that mindspore.nn lacks, or whose arguments it does not take as they are."""

import math

import mindspore
from mindspore import Parameter, nn, ops

from mappings.emitted.functional_loss import (
    BinaryCrossEntropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    ctc_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    poisson_nll_loss,
    reduced,
    soft_margin_loss,
)
from mappings.emitted.nn_vision import PairwiseDistance


class SmoothL1Loss(nn.Cell):
    """torch.nn.SmoothL1Loss."""

    def __init__(self, size_average=None, reduce=None, reduction='mean', beta=1.0):
        super().__init__()
        self.reduction = reduction
        self.beta = beta

    def construct(self, input, target):
        distance = ops.abs(input - target)
        if self.beta == 0:
            return reduced(distance, self.reduction)
        near = 0.5 * ops.square(distance) / self.beta
        return reduced(ops.where(distance < self.beta, near, distance - 0.5 * self.beta), self.reduction)


class BCELoss(nn.Cell):
    """torch.nn.BCELoss: logarithms are at least -100, and the weight is broadcast."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.weight = None if weight is None else Parameter(weight, name='weight', requires_grad=False)
        self.reduction = reduction
        self.terms = BinaryCrossEntropy()

    def construct(self, input, target):
        loss = self.terms(input, target)
        loss = loss if self.weight is None else (loss * self.weight).astype(loss.dtype)
        return reduced(loss, self.reduction)


class BCEWithLogitsLoss(nn.Cell):
    """torch.nn.BCEWithLogitsLoss: the loss has the dtype of the target."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction='mean', pos_weight=None):
        super().__init__()
        self.weight = None if weight is None else Parameter(weight, name='weight', requires_grad=False)
        self.pos_weight = None
        if pos_weight is not None:
            self.pos_weight = Parameter(pos_weight, name='pos_weight', requires_grad=False)
        self.reduction = reduction

    def construct(self, input, target):
        return binary_cross_entropy_with_logits(input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight)


class KLDivLoss(nn.Cell):
    """torch.nn.KLDivLoss."""

    def __init__(self, size_average=None, reduce=None, reduction='mean', log_target=False):
        super().__init__()
        self.reduction = reduction
        self.log_target = log_target

    def construct(self, input, target):
        return kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class CrossEntropyLoss(nn.Cell):
    """torch.nn.CrossEntropyLoss: labels of any whole type, or probabilities of the classes."""

    def __init__(
        self,
        weight=None,
        size_average=None,
        ignore_index=-100,
        reduce=None,
        reduction='mean',
        label_smoothing=0.0,
    ):
        super().__init__()
        self.weight = None if weight is None else Parameter(weight, name='weight', requires_grad=False)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def construct(self, input, target):
        if target.dtype == mindspore.int64:
            target = target.astype(mindspore.int32)
        return ops.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class NLLLoss(nn.Cell):
    """torch.nn.NLLLoss: labels of any whole type."""

    def __init__(self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean'):
        super().__init__()
        self.weight = None if weight is None else Parameter(weight, name='weight', requires_grad=False)
        self.ignore_index = ignore_index
        self.reduction = reduction

    def construct(self, input, target):
        return nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class HingeEmbeddingLoss(nn.Cell):
    """torch.nn.HingeEmbeddingLoss."""

    def __init__(self, margin=1.0, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.margin = margin
        self.reduction = reduction

    def construct(self, input, target):
        return hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class HuberLoss(nn.Cell):
    """torch.nn.HuberLoss: the loss has the dtype of the input."""

    def __init__(self, reduction='mean', delta=1.0):
        super().__init__()
        self.reduction = reduction
        self.delta = delta

    def construct(self, input, target):
        return huber_loss(input, target, self.reduction, self.delta)


class CosineEmbeddingLoss(nn.Cell):
    """torch.nn.CosineEmbeddingLoss."""

    def __init__(self, margin=0.0, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.margin = margin
        self.reduction = reduction

    def construct(self, input1, input2, target):
        return cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(nn.Cell):
    """torch.nn.MarginRankingLoss."""

    def __init__(self, margin=0.0, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.margin = margin
        self.reduction = reduction

    def construct(self, input1, input2, target):
        return margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(nn.Cell):
    """torch.nn.SoftMarginLoss."""

    def __init__(self, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.reduction = reduction

    def construct(self, input, target):
        return soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(nn.Cell):
    """torch.nn.MultiLabelSoftMarginLoss."""

    def __init__(self, weight=None, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.weight = None if weight is None else Parameter(weight, name='weight', requires_grad=False)
        self.reduction = reduction

    def construct(self, input, target):
        return multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(nn.Cell):
    """torch.nn.MultiLabelMarginLoss: the labels of a row end at its first -1."""

    def __init__(self, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.reduction = reduction

    def construct(self, input, target):
        return multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(nn.Cell):
    """torch.nn.MultiMarginLoss."""

    def __init__(self, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        self.p = p
        self.margin = margin
        self.weight = None if weight is None else Parameter(weight, name='weight', requires_grad=False)
        self.reduction = reduction

    def construct(self, input, target):
        return multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class PoissonNLLLoss(nn.Cell):
    """torch.nn.PoissonNLLLoss."""

    def __init__(
        self, log_input=True, full=False, size_average=None, eps=1e-08, reduce=None, reduction='mean'
    ):
        super().__init__()
        self.log_input = log_input
        self.full = full
        self.eps = eps
        self.reduction = reduction

    def construct(self, log_input, target):
        return poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(nn.Cell):
    """torch.nn.GaussianNLLLoss: the variance is at least eps, and keeps its gradient there."""

    def __init__(self, *, full=False, eps=1e-06, reduction='mean'):
        super().__init__()
        self.full = full
        self.eps = eps
        self.reduction = reduction

    def construct(self, input, target, var):
        if var.ndim == input.ndim - 1:
            var = var.expand_dims(-1)
        var = var + ops.stop_gradient(ops.maximum(var, self.eps) - var)
        loss = 0.5 * (ops.log(var) + ops.square(input - target) / var)
        if self.full:
            loss = loss + 0.5 * math.log(2 * math.pi)
        return reduced(loss, self.reduction)


class TripletMarginWithDistanceLoss(nn.Cell):
    """torch.nn.TripletMarginWithDistanceLoss."""

    def __init__(self, *, distance_function=None, margin=1.0, swap=False, reduction='mean'):
        super().__init__()
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap
        self.reduction = reduction

    def construct(self, anchor, positive, negative):
        near = self.distance_function(anchor, positive)
        far = self.distance_function(anchor, negative)
        if self.swap:
            far = ops.minimum(far, self.distance_function(positive, negative))
        return reduced(ops.relu(near - far + self.margin), self.reduction)


class TripletMarginLoss(TripletMarginWithDistanceLoss):
    """torch.nn.TripletMarginLoss."""

    def __init__(
        self, margin=1.0, p=2.0, eps=1e-06, swap=False, size_average=None, reduce=None, reduction='mean'
    ):
        super().__init__(
            distance_function=PairwiseDistance(p, eps), margin=margin, swap=swap, reduction=reduction
        )


class CTCLoss(nn.Cell):
    """torch.nn.CTCLoss."""

    def __init__(self, blank=0, reduction='mean', zero_infinity=False):
        super().__init__()
        self.blank = blank
        self.reduction = reduction
        self.zero_infinity = zero_infinity

    def construct(self, log_probs, targets, input_lengths, target_lengths):
        return ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )


class Loss(nn.Cell):
    """torch.nn.modules.loss._Loss: a base that keeps how its losses are reduced."""

    def __init__(self, size_average=None, reduce=None, reduction='mean'):
        super().__init__()
        if size_average is not None or reduce is not None:
            raise ValueError("size_average and reduce are old names: write reduction='mean', 'sum' or 'none'")
        self.reduction = reduction
