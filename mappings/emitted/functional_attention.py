"""Attention of torch.nn.functional."""

import math

import mindspore
from mindspore import ops

from mappings.emitted.functional_activation import finite_softmax, softmax


def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                                 enable_gqa=False):
    """torch.nn.functional.scaled_dot_product_attention."""
    if enable_gqa:
        key = repeated_heads(key, query.shape[-3] // key.shape[-3])
        value = repeated_heads(value, query.shape[-3] // value.shape[-3])
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = ops.matmul(query * factor, key.swapaxes(-2, -1))
    if attn_mask is not None:
        scores = masked_scores(scores, attn_mask)
    if is_causal:
        past = ops.ones((query.shape[-2], key.shape[-2]), mindspore.int32).tril().astype(mindspore.bool_)
        scores = masked_scores(scores, past)
    weights = finite_softmax(scores, -1) if attn_mask is None and not is_causal else masked_softmax(scores)
    if dropout_p > 0:
        weights = ops.dropout(weights, p=dropout_p) if dropout_p < 1 else ops.zeros_like(weights)
    return ops.matmul(weights, value)


def masked_scores(scores, mask):
    """Scores plus a floating mask, or minus infinity where a boolean mask is false."""
    if mask.dtype == mindspore.bool_:
        return ops.where(mask, scores, float('-inf'))
    return scores + mask


def masked_softmax(scores):
    """The softmax of scores; zeros where all of a row are minus infinity, as in torch's attention."""
    hidden = ops.amax(scores, -1, True) == float('-inf')
    return ops.where(hidden, 0.0, finite_softmax(ops.where(hidden, 0.0, scores), -1))


def repeated_heads(tensor, count):
    """Each entry of the third axis from the end `count` times, as grouped queries read keys and values."""
    heads = ops.stack([tensor] * count, axis=-3)
    return heads.reshape(tensor.shape[:-3] + (tensor.shape[-3] * count,) + tensor.shape[-2:])


def multi_head_attention_forward(query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias,
                                 bias_k, bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias,
                                 training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
                                 use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None,
                                 v_proj_weight=None, static_k=None, static_v=None, average_attn_weights=True,
                                 is_causal=False):
    """torch.nn.functional.multi_head_attention_forward."""
    batched = query.ndim == 3
    if not batched:
        query, key, value = query.expand_dims(1), key.expand_dims(1), value.expand_dims(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.expand_dims(0)
    length, batch, width = query.shape
    head_width = width // num_heads
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        weights = ops.chunk(in_proj_weight, 3, 0)
    biases = (None, None, None) if in_proj_bias is None else ops.chunk(in_proj_bias, 3, 0)
    q = ops.dense(query, weights[0], biases[0])
    k = ops.dense(key, weights[1], biases[1])
    v = ops.dense(value, weights[2], biases[2])
    extra = 0
    if bias_k is not None:
        k = ops.cat([k, ops.tile(bias_k, (1, batch, 1))])
        v = ops.cat([v, ops.tile(bias_v, (1, batch, 1))])
        extra += 1
    q = q.reshape((length, batch * num_heads, head_width)).swapaxes(0, 1)
    k = k.reshape((-1, batch * num_heads, head_width)).swapaxes(0, 1) if static_k is None else static_k
    v = v.reshape((-1, batch * num_heads, head_width)).swapaxes(0, 1) if static_v is None else static_v
    if add_zero_attn:
        nothing = ops.zeros((batch * num_heads, 1, head_width), k.dtype)
        k, v = ops.cat([k, nothing], 1), ops.cat([v, nothing], 1)
        extra += 1
    scores = ops.matmul(q * (1 / math.sqrt(head_width)), k.swapaxes(1, 2))
    if is_causal and key_padding_mask is None and not need_weights:  # torch then reads no other mask
        future = ops.triu(ops.ones((length, k.shape[1]), mindspore.int32), 1).astype(mindspore.bool_)
        scores = scores + floating_mask(future, q.dtype)
    elif attn_mask is not None:
        scores = scores + ops.pad(floating_mask(attn_mask, q.dtype), (0, extra))
    if key_padding_mask is not None:
        padding = ops.pad(floating_mask(key_padding_mask, q.dtype), (0, extra))
        scores = scores.reshape((batch, num_heads, length, -1)) + padding.reshape((batch, 1, 1, -1))
        scores = scores.reshape((batch * num_heads, length, -1))
    attention = softmax(scores, -1) if need_weights else masked_softmax(scores)
    if training and dropout_p > 0:
        attention = ops.dropout(attention, p=dropout_p) if dropout_p < 1 else ops.zeros_like(attention)
    result = ops.matmul(attention, v).swapaxes(0, 1).reshape((length * batch, width))
    result = ops.dense(result, out_proj_weight, out_proj_bias).reshape((length, batch, -1))
    shown = None
    if need_weights:
        shown = attention.reshape((batch, num_heads, length, -1))
        shown = ops.mean(shown, 1) if average_attn_weights else shown
        shown = shown if batched else shown.squeeze(0)
    return (result if batched else result.squeeze(1)), shown


def floating_mask(mask, dtype):
    """torch.nn.functional._canonical_mask: minus infinity where a boolean mask is true."""
    if mask.dtype != mindspore.bool_:
        return mask
    return ops.where(mask, float('-inf'), 0.0).astype(dtype)
