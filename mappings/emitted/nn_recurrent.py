"""Recurrent layers of torch.nn: their signatures, inputs without a batch axis, and packed sequences."""

import mindspore
from mindspore import Tensor, nn, ops

from mappings.emitted.nn_utils import pad_sequence, unpad_sequence
from mappings.emitted.torch_pointwise import tanh


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """torch.nn.utils.rnn.pack_padded_sequence: the padded batch, time first and zero behind each end, and its lengths."""
    sequences = packed_axes(input, batch_first)
    lengths = lengths.astype(mindspore.int64) if isinstance(lengths, Tensor) else Tensor(lengths, mindspore.int64)
    if lengths.shape[0] != sequences.shape[1]:
        raise ValueError(f'torch.nn.utils.rnn.pack_padded_sequence: {lengths.shape[0]} lengths for a batch of {sequences.shape[1]} sequences')
    if ops.logical_or(lengths < 1, lengths > sequences.shape[0]).any():
        raise ValueError(f'each length must be 1 to {sequences.shape[0]}, the length of the padded batch')
    if enforce_sorted and lengths.shape[0] > 1:
        if (lengths[1:] > lengths[:-1]).any():
            raise ValueError('lengths must be in decreasing order where enforce_sorted is True')
    return fill_behind(sequences, lengths, 0), lengths


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """torch.nn.utils.rnn.pad_packed_sequence."""
    sequences, lengths = sequence
    if total_length is None:
        sequences = sequences[: int(lengths.max())]
    else:
        if (lengths > total_length).any():
            raise ValueError(f'total_length {total_length} is less than the longest sequence')
        missing = total_length - sequences.shape[0]
        if missing > 0:
            filler = ops.zeros((missing,) + sequences.shape[1:], sequences.dtype)
            sequences = ops.cat([sequences, filler])
        else:
            sequences = sequences[:total_length]
    if padding_value != 0:
        sequences = fill_behind(sequences, lengths, padding_value)
    return packed_axes(sequences, batch_first), lengths


def pack_sequence(sequences, enforce_sorted=True):
    """torch.nn.utils.rnn.pack_sequence."""
    lengths = [sequence.shape[0] for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, False, enforce_sorted)


def unpack_sequence(packed_sequences):
    """torch.nn.utils.rnn.unpack_sequence."""
    sequences, lengths = packed_sequences
    return unpad_sequence(sequences, lengths)


def packed_axes(x, batch_first):
    """A batch of sequences as packed sequences hold it, time first, or back again."""
    return x.swapaxes(0, 1) if batch_first else x


def fill_behind(sequences, lengths, value):
    """A value where a sequence, time first, has ended."""
    within = ops.arange(sequences.shape[0]).expand_dims(1) < lengths
    within = within.reshape(within.shape + (1,) * (sequences.ndim - 2))
    return ops.where(within, sequences, Tensor(value, sequences.dtype))


def cell_projection(x, weight, bias):
    """What a recurrent cell computes of its input, or of its state, before the gates."""
    y = ops.matmul(x, weight.swapaxes(0, 1))
    return y if bias is None else y + bias


def gru_step(x, hidden, w_ih, w_hh, b_ih, b_hh):
    """The next state of a GRU, with an exact tanh, which MindSpore's is not on CPU."""
    r, z, n = ops.split(cell_projection(x, w_ih, b_ih), hidden.shape[-1], 1)
    r_hidden, z_hidden, n_hidden = ops.split(cell_projection(hidden, w_hh, b_hh), hidden.shape[-1], 1)
    z = ops.sigmoid(z + z_hidden)
    return (1 - z) * tanh(n + ops.sigmoid(r + r_hidden) * n_hidden) + z * hidden


def rnn_step(x, hidden, w_ih, w_hh, b_ih, b_hh):
    """The next state of an RNN before its nonlinearity."""
    return cell_projection(x, w_ih, b_ih) + cell_projection(hidden, w_hh, b_hh)


class GRUSteps(nn.Cell):
    """One layer and direction of nn.GRU, step by step: the tanh of its own steps is off by up to 1e-4 on CPU."""

    def step(self, x, hidden, w_ih, w_hh, b_ih, b_hh):
        return gru_step(x, hidden, w_ih, w_hh, b_ih, b_hh)

    def construct(self, x, hidden, seq_length, w_ih, w_hh, b_ih, b_hh):
        w_ih, w_hh = w_ih.astype(x.dtype), w_hh.astype(x.dtype)
        if b_ih is not None:
            b_ih, b_hh = b_ih.astype(x.dtype), b_hh.astype(x.dtype)
        outputs = []
        for t in range(x.shape[0]):
            new = self.step(x[t], hidden, w_ih, w_hh, b_ih, b_hh)
            if seq_length is None:
                hidden = new
                outputs.append(new)
            else:
                runs = (seq_length > t).expand_dims(1)
                hidden = ops.where(runs, new, hidden)
                outputs.append(ops.where(runs, new, ops.zeros_like(new)))
        return ops.stack(outputs), hidden


class RNNSteps(GRUSteps):
    """One layer and direction of nn.RNN with tanh, step by step: the tanh of its own steps is off by up to 1e-4 on CPU."""

    def step(self, x, hidden, w_ih, w_hh, b_ih, b_hh):
        return tanh(rnn_step(x, hidden, w_ih, w_hh, b_ih, b_hh))


class LSTM(nn.LSTM):
    """torch.nn.LSTM without proj_size."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        proj_size=0,
        device=None,
        dtype=None,
    ):
        if proj_size:
            raise ValueError('LSTM with proj_size has no MindSpore form')
        super().__init__(
            input_size,
            hidden_size,
            num_layers=num_layers,
            has_bias=bool(bias),
            batch_first=batch_first,
            dropout=float(dropout),
            bidirectional=bidirectional,
            dtype=dtype or mindspore.float32,
        )
        self.batch_axis = 0 if batch_first else 1
        self.input_size = input_size
        self.dropout = dropout

    def flatten_parameters(self):
        """torch.nn.RNNBase.flatten_parameters: nothing to do."""

    def construct(self, x, hx=None, seq_length=None):
        if isinstance(x, tuple):
            sequences, lengths = x
            y, hn = super(LSTM, self).construct(packed_axes(sequences, self.batch_first), hx, lengths)
            return (packed_axes(y, self.batch_first), lengths), hn
        if x.ndim == 3:
            return super(LSTM, self).construct(x, hx, seq_length)
        if hx is not None:
            hx = (hx[0].expand_dims(1), hx[1].expand_dims(1))
        y, hn = super(LSTM, self).construct(x.expand_dims(self.batch_axis), hx)
        return y.squeeze(self.batch_axis), (hn[0].squeeze(1), hn[1].squeeze(1))


class GRU(nn.GRU):
    """torch.nn.GRU."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        device=None,
        dtype=None,
    ):
        super().__init__(
            input_size,
            hidden_size,
            num_layers=num_layers,
            has_bias=bool(bias),
            batch_first=batch_first,
            dropout=float(dropout),
            bidirectional=bidirectional,
            dtype=dtype or mindspore.float32,
        )
        if mindspore.get_context('device_target') == 'CPU':
            self.rnn = GRUSteps()
        self.batch_axis = 0 if batch_first else 1
        self.input_size = input_size
        self.dropout = dropout

    def flatten_parameters(self):
        """torch.nn.RNNBase.flatten_parameters: nothing to do."""

    def construct(self, x, hx=None, seq_length=None):
        if isinstance(x, tuple):
            sequences, lengths = x
            y, hn = super(GRU, self).construct(packed_axes(sequences, self.batch_first), hx, lengths)
            return (packed_axes(y, self.batch_first), lengths), hn
        if x.ndim == 3:
            return super(GRU, self).construct(x, hx, seq_length)
        if hx is not None:
            hx = hx.expand_dims(1)
        y, hn = super(GRU, self).construct(x.expand_dims(self.batch_axis), hx)
        return y.squeeze(self.batch_axis), hn.squeeze(1)


class RNN(nn.RNN):
    """torch.nn.RNN."""

    def __init__(
        self,
        input_size,
        hidden_size,
        num_layers=1,
        nonlinearity='tanh',
        bias=True,
        batch_first=False,
        dropout=0.0,
        bidirectional=False,
        device=None,
        dtype=None,
    ):
        super().__init__(
            input_size,
            hidden_size,
            num_layers=num_layers,
            nonlinearity=nonlinearity,
            has_bias=bool(bias),
            batch_first=batch_first,
            dropout=float(dropout),
            bidirectional=bidirectional,
            dtype=dtype or mindspore.float32,
        )
        if mindspore.get_context('device_target') == 'CPU' and nonlinearity == 'tanh':
            self.rnn = RNNSteps()
        self.batch_axis = 0 if batch_first else 1
        self.input_size = input_size
        self.dropout = dropout

    def flatten_parameters(self):
        """torch.nn.RNNBase.flatten_parameters: nothing to do."""

    def construct(self, x, hx=None, seq_length=None):
        if isinstance(x, tuple):
            sequences, lengths = x
            y, hn = super(RNN, self).construct(packed_axes(sequences, self.batch_first), hx, lengths)
            return (packed_axes(y, self.batch_first), lengths), hn
        if x.ndim == 3:
            return super(RNN, self).construct(x, hx, seq_length)
        if hx is not None:
            hx = hx.expand_dims(1)
        y, hn = super(RNN, self).construct(x.expand_dims(self.batch_axis), hx)
        return y.squeeze(self.batch_axis), hn.squeeze(1)


class LSTMCell(nn.LSTMCell):
    """torch.nn.LSTMCell with an exact tanh, which MindSpore's is not on CPU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bool(bias), dtype=dtype or mindspore.float32)

    def construct(self, x, hx=None):
        batch = x if x.ndim == 2 else x.expand_dims(0)
        if hx is None:
            zeros = ops.zeros((batch.shape[0], self.hidden_size), x.dtype)
            hx = (zeros, zeros)
        elif x.ndim == 1:
            hx = (hx[0].expand_dims(0), hx[1].expand_dims(0))
        gates = cell_projection(batch, self.weight_ih, self.bias_ih) + cell_projection(hx[0], self.weight_hh, self.bias_hh)
        i, f, g, o = ops.split(gates, self.hidden_size, 1)
        c = ops.sigmoid(f) * hx[1] + ops.sigmoid(i) * tanh(g)
        h = ops.sigmoid(o) * tanh(c)
        return (h, c) if x.ndim == 2 else (h.squeeze(0), c.squeeze(0))


class GRUCell(nn.GRUCell):
    """torch.nn.GRUCell with an exact tanh, which MindSpore's is not on CPU."""

    def __init__(self, input_size, hidden_size, bias=True, device=None, dtype=None):
        super().__init__(input_size, hidden_size, bool(bias), dtype=dtype or mindspore.float32)

    def construct(self, x, hx=None):
        batch = x if x.ndim == 2 else x.expand_dims(0)
        if hx is None:
            hx = ops.zeros((batch.shape[0], self.hidden_size), x.dtype)
        elif x.ndim == 1:
            hx = hx.expand_dims(0)
        h = gru_step(batch, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return h if x.ndim == 2 else h.squeeze(0)


class RNNCell(nn.RNNCell):
    """torch.nn.RNNCell with an exact tanh, which MindSpore's is not on CPU."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity='tanh', device=None, dtype=None):
        super().__init__(input_size, hidden_size, bool(bias), nonlinearity, dtype=dtype or mindspore.float32)

    def construct(self, x, hx=None):
        batch = x if x.ndim == 2 else x.expand_dims(0)
        if hx is None:
            hx = ops.zeros((batch.shape[0], self.hidden_size), x.dtype)
        elif x.ndim == 1:
            hx = hx.expand_dims(0)
        h = rnn_step(batch, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        h = tanh(h) if self.nonlinearity == 'tanh' else ops.relu(h)
        return h if x.ndim == 2 else h.squeeze(0)
