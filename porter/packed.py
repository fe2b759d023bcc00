"""Packed sequences of torch.nn.utils.rnn: a padded batch, time first, in a tuple with its lengths."""

from __future__ import annotations

from porter import kinds as K
from porter.kinds import Kind, Kinds

PACKED = "torch.nn.utils.rnn.PackedSequence"
RECURRENT = frozenset({"torch.nn.LSTM", "torch.nn.GRU", "torch.nn.RNN"})
NO_FIELDS = "a packed sequence is a padded batch with its lengths here, and has no fields of its own"
PAD_FIRST = "take the batch out with torch.nn.utils.rnn.pad_packed_sequence first"


def is_packed(kinds: Kinds) -> bool:
    """Whether a value may be a packed sequence."""
    return any(k.of == PACKED and k.name == "object" for k in kinds)


def recurrent_result(layer: str, given: Kinds, result: Kinds) -> Kinds:
    """What a layer gives back: packed sequences for packed sequences, and the state beside them."""
    packed = frozenset(k for k in given if k.of == PACKED)
    if layer not in RECURRENT or not packed:
        return result
    of_packed = frozenset(Kind(k.name, k.of, (packed, *k.items[1:]), k.fields) for k in result)
    return of_packed if packed == given else K.join(of_packed, result)


def tells_apart(subject: Kinds) -> bool:
    """Whether a value that is a tuple must be a packed sequence."""
    return bool(subject) and all(k.name in K.TENSORS or k.name == "None" or is_packed(frozenset({k})) for k in subject)
