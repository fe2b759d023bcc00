"""Embeddings of torch.nn whose arguments mindspore.nn does not take as they are."""

import mindspore
import mindspore.common.initializer as initializers
from mindspore import Parameter, nn, ops


class Embedding(nn.Embedding):
    """torch.nn.Embedding: the row padding_idx starts at zero and gets no gradient."""

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        padding_idx=None,
        max_norm=None,
        norm_type=2.0,
        scale_grad_by_freq=False,
        sparse=False,
        _weight=None,
        _freeze=False,
        device=None,
        dtype=None,
    ):
        if max_norm is not None or scale_grad_by_freq:
            raise ValueError('Embedding with max_norm or scale_grad_by_freq has no MindSpore form')
        if padding_idx is not None and padding_idx < 0:
            padding_idx += num_embeddings
        super().__init__(
            num_embeddings, embedding_dim, embedding_table=initializers.Normal(1.0), padding_idx=padding_idx
        )
        if _weight is not None:
            self.embedding_table = Parameter(_weight, name='embedding_table')
        elif dtype is not None:
            self.embedding_table.set_dtype(dtype)
        self.embedding_table.requires_grad = not _freeze

    def construct(self, ids):
        if self.padding_idx is None:
            return super(Embedding, self).construct(ids)
        rows = ops.gather(self.embedding_table, ids, 0)
        return ops.where((ids == self.padding_idx).expand_dims(-1), ops.stop_gradient(rows), rows)


class EmbeddingBag(nn.Cell):
    """torch.nn.EmbeddingBag over the rows of a matrix of indices, or over bags that begin at `offsets`."""

    def __init__(
        self,
        num_embeddings,
        embedding_dim,
        max_norm=None,
        norm_type=2.0,
        scale_grad_by_freq=False,
        mode='mean',
        sparse=False,
        _weight=None,
        include_last_offset=False,
        padding_idx=None,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if max_norm is not None or scale_grad_by_freq:
            raise ValueError('EmbeddingBag with max_norm or scale_grad_by_freq has no MindSpore form')
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.mode = mode
        self.include_last_offset = include_last_offset
        self.padding_idx = padding_idx
        if padding_idx is not None and padding_idx < 0:
            self.padding_idx = padding_idx + num_embeddings
        table = initializers.initializer(
            initializers.Normal(1.0), (num_embeddings, embedding_dim), dtype or mindspore.float32
        )
        self.weight = Parameter(table if _weight is None else _weight, name='weight')

    def construct(self, input, offsets=None, per_sample_weights=None):
        if offsets is None:
            bags = ops.ones(input.shape, self.weight.dtype).expand_dims(1)
            bags = bags * ops.eye(input.shape[0], input.shape[0], self.weight.dtype).expand_dims(2)
            bags = bags.reshape(input.shape[0], -1)
        else:
            bags = self.bags_of(input.shape[0], offsets)
        ids = input.reshape(-1)
        if self.padding_idx is not None:
            bags = bags * (ids != self.padding_idx).astype(bags.dtype)
        rows = ops.gather(self.weight, ids, 0)
        if self.mode == 'max':
            inside = bags.expand_dims(-1) > 0
            top = ops.where(inside, rows, ops.full_like(rows, -3.0e38)).max(axis=1)
            return ops.where(inside.any(1), top, ops.zeros_like(top))
        count = ops.maximum(bags.sum(1, keepdims=True), 1)
        if per_sample_weights is not None:
            rows = rows * per_sample_weights.reshape(-1, 1)
        total = ops.matmul(bags, rows)
        return total / count if self.mode == 'mean' else total

    def bags_of(self, count, offsets):
        """Which of `count` indices lies in which bag, as ones and zeros."""
        place = ops.arange(count)
        if self.include_last_offset:
            begin = offsets[:-1]
            end = offsets[1:]
        else:
            begin = offsets
            end = ops.cat((offsets[1:], ops.full((1,), count, dtype=offsets.dtype)))
        inside = ops.logical_and(place >= begin.expand_dims(1), place < end.expand_dims(1))
        return inside.astype(self.weight.dtype)
