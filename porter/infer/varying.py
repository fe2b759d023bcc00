"""Results that follow what a call is given: flags that add outputs, what is handed through, functions called for the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from porter import kinds as K
from porter.infer.state import Call
from porter.kinds import ANY, Kinds

if TYPE_CHECKING:
    from porter.program import Program

POOLS_WITH_INDICES = frozenset({"torch.nn.MaxPool1d", "torch.nn.MaxPool2d", "torch.nn.MaxPool3d"})
UNIQUE = frozenset({"torch.unique", "torch.unique_consecutive", "torch.Tensor.unique", "torch.Tensor.unique_consecutive"})
CHECKPOINT = "torch.utils.checkpoint.checkpoint"


def layer_result(program: Program, layer: str, call: Call) -> Kinds | None:
    """What a layer of torch.nn gives for this input, or None where its row says all."""
    if layer == "torch.nn.Identity":
        return call.positional[0] if call.positional and call.starred is None else None
    if layer in POOLS_WITH_INDICES:
        return ANY if program.names_return_indices else K.TENSOR
    return None


def function_result(name: str, call: Call) -> Kinds | None:
    """What a function or method of torch gives for these arguments, or None where its row says all."""
    if name in UNIQUE and not call.spread and call.starred is None:
        flags = {k for k in call.keywords if k.startswith("return_")}
        own = 1 if name.startswith("torch.unique") else 0
        return K.TENSOR if not flags and len(call.positional) <= own + 1 else None
    return None


def checkpointed(call: Call) -> Call | None:
    """The call that torch.utils.checkpoint.checkpoint makes for its caller, None where it is not written out."""
    if not call.positional or call.starred == 0:
        return None
    own = {"use_reentrant", "context_fn", "determinism_check", "debug", "early_stop", "preserve_rng_state"}
    keywords = {name: kinds for name, kinds in call.keywords.items() if name not in own}
    starred = call.starred - 1 if call.starred is not None else None
    return Call(call.node, call.positional[1:], keywords, starred, call.spread)
