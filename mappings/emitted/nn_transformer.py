"""Attention and transformer layers of torch.nn, composed of plain operators."""

import copy

import mindspore
import mindspore.common.initializer as initializers
from mindspore import Parameter, nn, ops

from mappings.emitted.functional_activation import finite_softmax, softmax
from mappings.emitted.functional_attention import masked_softmax
from mappings.emitted.nn_containers import ModuleList
from mappings.emitted.nn_normalization import LayerNorm


def additive_mask(mask, dtype):
    """A boolean mask (true: not to be seen) as numbers to add to the scores; other masks unchanged."""
    if mask.dtype != mindspore.bool_:
        return mask.astype(dtype)
    return ops.zeros(mask.shape, dtype).masked_fill(mask, float('-inf'))


class MultiheadAttention(nn.Cell):
    """torch.nn.MultiheadAttention."""

    def __init__(
        self,
        embed_dim,
        num_heads,
        dropout=0.0,
        bias=True,
        add_bias_kv=False,
        add_zero_attn=False,
        kdim=None,
        vdim=None,
        batch_first=False,
        device=None,
        dtype=None,
    ):
        super().__init__()
        dtype = dtype or mindspore.float32
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.in_proj_weight = None
        if self._qkv_same_embed_dim:
            self.in_proj_weight = self.new_weight('in_proj_weight', (3 * embed_dim, embed_dim), dtype)
        else:
            self.q_proj_weight = self.new_weight('q_proj_weight', (embed_dim, embed_dim), dtype)
            self.k_proj_weight = self.new_weight('k_proj_weight', (embed_dim, self.kdim), dtype)
            self.v_proj_weight = self.new_weight('v_proj_weight', (embed_dim, self.vdim), dtype)
        self.in_proj_bias = Parameter(ops.zeros(3 * embed_dim, dtype), name='in_proj_bias') if bias else None
        self.out_proj = nn.Dense(
            embed_dim, embed_dim, has_bias=bool(bias), bias_init='zeros' if bias else None, dtype=dtype
        )
        self.bias_k = None
        self.bias_v = None
        if add_bias_kv:
            self.bias_k = Parameter(
                initializers.initializer(initializers.XavierNormal(), (1, 1, embed_dim), dtype), name='bias_k'
            )
            self.bias_v = Parameter(
                initializers.initializer(initializers.XavierNormal(), (1, 1, embed_dim), dtype), name='bias_v'
            )

    def new_weight(self, name, shape, dtype):
        return Parameter(initializers.initializer(initializers.XavierUniform(), shape, dtype), name=name)

    def project(self, query, key, value):
        """Queries, keys and values (N, L, E) through their weights."""
        size = self.embed_dim
        if self._qkv_same_embed_dim:
            weights = (
                self.in_proj_weight[:size],
                self.in_proj_weight[size : 2 * size],
                self.in_proj_weight[2 * size :],
            )
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        q = ops.matmul(query, weights[0].swapaxes(0, 1))
        k = ops.matmul(key, weights[1].swapaxes(0, 1))
        v = ops.matmul(value, weights[2].swapaxes(0, 1))
        if self.in_proj_bias is not None:
            q = q + self.in_proj_bias[:size]
            k = k + self.in_proj_bias[size : 2 * size]
            v = v + self.in_proj_bias[2 * size :]
        return q, k, v

    def heads(self, x):
        """(N, L, E) as (N, heads, L, E / heads)."""
        return x.reshape(x.shape[0], x.shape[1], self.num_heads, self.head_dim).swapaxes(1, 2)

    def mask(self, key_padding_mask, attn_mask, batch, target, added, dtype):
        """The sum of both masks, broadcastable to (N, heads, L, S); `added` keys at the end are always seen."""
        total = None
        if attn_mask is not None:
            total = additive_mask(attn_mask, dtype)
            if total.ndim == 3:
                total = total.reshape(batch, self.num_heads, target, -1)
        if key_padding_mask is not None:
            padding = additive_mask(key_padding_mask, dtype).reshape(batch, 1, 1, -1)
            total = padding if total is None else total + padding
        if total is not None and added > 0:
            total = ops.pad(total, (0, added))
        return total

    def construct(
        self,
        query,
        key,
        value,
        key_padding_mask=None,
        need_weights=True,
        attn_mask=None,
        average_attn_weights=True,
        is_causal=False,
    ):
        batched = query.ndim == 3
        if not batched:
            query, key, value = query.expand_dims(0), key.expand_dims(0), value.expand_dims(0)
        elif not self.batch_first:
            query, key, value = query.swapaxes(0, 1), key.swapaxes(0, 1), value.swapaxes(0, 1)
        batch, target = query.shape[0], query.shape[1]
        q, k, v = self.project(query, key, value)
        added = 0
        if self.bias_k is not None:
            k = ops.cat((k, ops.tile(self.bias_k, (batch, 1, 1))), 1)
            v = ops.cat((v, ops.tile(self.bias_v, (batch, 1, 1))), 1)
            added = added + 1
        if self.add_zero_attn:
            zeros = ops.zeros((batch, 1, self.embed_dim), k.dtype)
            k = ops.cat((k, zeros), 1)
            v = ops.cat((v, zeros), 1)
            added = added + 1
        scores = ops.matmul(self.heads(q) * self.head_dim**-0.5, self.heads(k).swapaxes(-2, -1))
        mask = self.mask(key_padding_mask, attn_mask, batch, target, added, scores.dtype)
        if mask is None:
            weights = finite_softmax(scores, -1)
        elif need_weights:
            weights = softmax(scores + mask, -1)
        else:  # torch then gives zeros where all is masked
            weights = masked_softmax(scores + mask)
        if self.training and self.dropout > 0:
            weights = ops.dropout(weights, p=self.dropout)
        out = ops.matmul(weights, self.heads(v)).swapaxes(1, 2).reshape(batch, target, self.embed_dim)
        out = self.out_proj(out)
        if not batched:
            out = out.squeeze(0)
        elif not self.batch_first:
            out = out.swapaxes(0, 1)
        if not need_weights:
            return out, None
        if average_attn_weights:
            weights = weights.mean(1)
        return out, weights if batched else weights.squeeze(0)


def activation_named(activation):
    """The function that a transformer layer's activation means: 'relu', 'gelu' or a callable."""
    if activation == 'relu':
        return ops.relu
    return ops.gelu if activation == 'gelu' else activation


class TransformerEncoderLayer(nn.Cell):
    """torch.nn.TransformerEncoderLayer."""

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation='relu',
        layer_norm_eps=1e-05,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        dtype = dtype or mindspore.float32
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, dtype=dtype
        )
        self.linear1 = nn.Dense(d_model, dim_feedforward, has_bias=bias, dtype=dtype)
        self.dropout = nn.Dropout(p=dropout)
        self.linear2 = nn.Dense(dim_feedforward, d_model, has_bias=bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = nn.Dropout(p=dropout)
        self.dropout2 = nn.Dropout(p=dropout)
        self.activation = activation_named(activation)

    def construct(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        x = src
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), src_mask, src_key_padding_mask, is_causal)
            return x + self._ff_block(self.norm2(x))
        x = self.norm1(x + self._sa_block(x, src_mask, src_key_padding_mask, is_causal))
        return self.norm2(x + self._ff_block(x))

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        x = self.self_attn(x, x, x, key_padding_mask, False, attn_mask)[0]
        return self.dropout1(x)

    def _ff_block(self, x):
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoderLayer(nn.Cell):
    """torch.nn.TransformerDecoderLayer."""

    def __init__(
        self,
        d_model,
        nhead,
        dim_feedforward=2048,
        dropout=0.1,
        activation='relu',
        layer_norm_eps=1e-05,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        dtype = dtype or mindspore.float32
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, dtype=dtype
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, dtype=dtype
        )
        self.linear1 = nn.Dense(d_model, dim_feedforward, has_bias=bias, dtype=dtype)
        self.dropout = nn.Dropout(p=dropout)
        self.linear2 = nn.Dense(dim_feedforward, d_model, has_bias=bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = nn.Dropout(p=dropout)
        self.dropout2 = nn.Dropout(p=dropout)
        self.dropout3 = nn.Dropout(p=dropout)
        self.activation = activation_named(activation)

    def construct(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=False,
        memory_is_causal=False,
    ):
        x = tgt
        if self.norm_first:
            x = x + self._sa_block(self.norm1(x), tgt_mask, tgt_key_padding_mask)
            x = x + self._mha_block(self.norm2(x), memory, memory_mask, memory_key_padding_mask)
            return x + self._ff_block(self.norm3(x))
        x = self.norm1(x + self._sa_block(x, tgt_mask, tgt_key_padding_mask))
        x = self.norm2(x + self._mha_block(x, memory, memory_mask, memory_key_padding_mask))
        return self.norm3(x + self._ff_block(x))

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        return self.dropout1(self.self_attn(x, x, x, key_padding_mask, False, attn_mask)[0])

    def _mha_block(self, x, mem, attn_mask, key_padding_mask, is_causal=False):
        return self.dropout2(self.multihead_attn(x, mem, mem, key_padding_mask, False, attn_mask)[0])

    def _ff_block(self, x):
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(nn.Cell):
    """torch.nn.TransformerEncoder: copies of one layer, one after the other."""

    def __init__(self, encoder_layer, num_layers, norm=None, enable_nested_tensor=True, mask_check=True):
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def construct(self, src, mask=None, src_key_padding_mask=None, is_causal=None):
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(nn.Cell):
    """torch.nn.TransformerDecoder: copies of one layer, one after the other."""

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(decoder_layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def construct(
        self,
        tgt,
        memory,
        tgt_mask=None,
        memory_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        tgt_is_causal=None,
        memory_is_causal=False,
    ):
        for layer in self.layers:
            tgt = layer(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        return tgt if self.norm is None else self.norm(tgt)


def generate_square_subsequent_mask(sz, device=None, dtype=None):
    """torch.nn.Transformer.generate_square_subsequent_mask: minus infinity above the diagonal."""
    above = ops.arange(sz).expand_dims(0) > ops.arange(sz).expand_dims(1)
    return ops.zeros((sz, sz), dtype or mindspore.float32).masked_fill(above, float('-inf'))


class Transformer(nn.Cell):
    """torch.nn.Transformer."""

    def __init__(
        self,
        d_model=512,
        nhead=8,
        num_encoder_layers=6,
        num_decoder_layers=6,
        dim_feedforward=2048,
        dropout=0.1,
        activation='relu',
        custom_encoder=None,
        custom_decoder=None,
        layer_norm_eps=1e-05,
        batch_first=False,
        norm_first=False,
        bias=True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        options = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            layer_norm_eps,
            batch_first,
            norm_first,
            bias,
            device,
            dtype,
        )
        if custom_encoder is None:
            custom_encoder = TransformerEncoder(
                TransformerEncoderLayer(*options),
                num_encoder_layers,
                LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype),
            )
        if custom_decoder is None:
            custom_decoder = TransformerDecoder(
                TransformerDecoderLayer(*options),
                num_decoder_layers,
                LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype),
            )
        self.encoder = custom_encoder
        self.decoder = custom_decoder
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        for parameter in self.get_parameters():
            if parameter.ndim > 1:
                parameter.set_data(
                    initializers.initializer(initializers.XavierUniform(), parameter.shape, parameter.dtype)
                )

    @staticmethod
    def generate_square_subsequent_mask(sz, device=None, dtype=None):
        """torch.nn.Transformer.generate_square_subsequent_mask."""
        return generate_square_subsequent_mask(sz, device, dtype)

    def construct(
        self,
        src,
        tgt,
        src_mask=None,
        tgt_mask=None,
        memory_mask=None,
        src_key_padding_mask=None,
        tgt_key_padding_mask=None,
        memory_key_padding_mask=None,
        src_is_causal=None,
        tgt_is_causal=None,
        memory_is_causal=False,
    ):
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        return self.decoder(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
