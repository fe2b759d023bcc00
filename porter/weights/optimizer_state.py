"""Optimizer state of a torch training checkpoint, under the names of a MindSpore optimizer."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from porter.diagnostics import InputError
from porter.weights.entries import DTYPES, Checkpoint, Entry
from porter.weights.names import Matched
from porter.weights.unpickle import TensorReference

# torch's state of a parameter, and the prefix of its MindSpore name, by optimizer class of mindspore.nn
STATES: Mapping[str, Mapping[str, str]] = {
    "Momentum": {"momentum_buffer": "moments"},
    "SGD": {"momentum_buffer": "accum"},
    "Adam": {"exp_avg": "moment1", "exp_avg_sq": "moment2"},
    "AdamWeightDecay": {"exp_avg": "adam_m", "exp_avg_sq": "adam_v"},
    "experimental.SGD": {"momentum_buffer": "accum"},
    "experimental.Adam": {
        "exp_avg": "exp_avg",
        "exp_avg_sq": "exp_avg_sq",
        "max_exp_avg_sq": "max_exp_avg_sq",
    },
    "experimental.AdamW": {
        "exp_avg": "exp_avg",
        "exp_avg_sq": "exp_avg_sq",
        "max_exp_avg_sq": "max_exp_avg_sq",
    },
}
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def add(matched: Matched, checkpoint: Checkpoint, optimizer: str) -> None:
    """Adds the state entries to `matched`; InputError where parameters cannot be told apart."""
    if optimizer not in STATES:
        raise InputError(f"--optimizer {optimizer} is not known", f"give one of {', '.join(STATES)}")
    saved = checkpoint.extra.optimizer() if checkpoint.extra is not None else None
    if saved is None:
        raise InputError(f"{checkpoint.path} holds no optimizer state", "leave --optimizer out")
    origin = {torch: name for name, known in matched.origin.items() for torch in known}
    targets = {name: matched.entries[origin[name]] for name in origin}
    steps: set[int] = set()
    for index, name in _parameters(saved, targets, checkpoint):
        values = saved["state"].get(index) or {}
        if not isinstance(values, dict):
            raise InputError(f"{checkpoint.path}: the optimizer state of {name} is damaged", "save it again")
        steps |= {step for step in [_step(values, checkpoint)] if step is not None}
        unknown = [k for k, v in values.items() if isinstance(v, TensorReference) and k != "step"]
        unknown = [key for key in unknown if key not in STATES[optimizer]]
        if unknown:
            raise InputError(
                f"{checkpoint.path}: {optimizer} has no state {unknown[0]!r}", "give the ported optimizer"
            )
        for key, prefix in STATES[optimizer].items():
            if isinstance(values.get(key), TensorReference):
                _carry(matched, checkpoint, values[key], f"{prefix}.{origin[name]}", targets[name], name)
                if prefix == "accum":
                    moved = f"stat.{origin[name]}"
                    matched.entries[moved] = Entry(DTYPES["float32"], targets[name].shape, constant=bytes(4))
    if len(steps) > 1:
        raise InputError(
            f"{checkpoint.path}: its parameters took different numbers of steps", "leave --optimizer out"
        )
    for step in steps:
        _add_step(matched, saved, optimizer, step)


def _carry(
    matched: Matched, checkpoint: Checkpoint, value: TensorReference, name: str, target: Entry, torch: str
) -> None:
    entry: Entry = checkpoint.extra.entry(f"the optimizer state of {torch}", value)
    if entry.count != target.count or [n for n in entry.shape if n != 1] != [
        n for n in target.shape if n != 1
    ]:
        raise InputError(
            f"{checkpoint.path}: the optimizer state of {torch} has shape {list(entry.shape)}, not its own",
            "save the optimizer with named parameters: torch.optim.SGD(model.named_parameters(), ...)",
        )
    matched.entries[name] = entry.reshaped(target.shape)
    matched.origin[name] = (torch,)


def _parameters(
    saved: Mapping[str, Any], targets: Mapping[str, Entry], checkpoint: Checkpoint
) -> Iterator[tuple[int, str]]:
    """(index in the optimizer, torch name): by the names that it holds, or by the order of model.parameters()."""
    groups = saved["param_groups"]
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise InputError(f"{checkpoint.path}: its optimizer state is damaged", "save it again")
    indices = [index for group in groups for index in group.get("params", ())]
    names = [name for group in groups for name in group.get("param_names", ())]
    if not names:
        names = [name for name in targets if name.rpartition(".")[2] not in BUFFERS]
        names.sort(
            key=list(checkpoint.entries).index if set(names) <= set(checkpoint.entries) else lambda name: 0
        )
        if len(groups) > 1:
            raise InputError(
                f"{checkpoint.path}: its optimizer has {len(groups)} groups and does not name its parameters",
                "save it from torch.optim.SGD over named_parameters(), or leave --optimizer out",
            )
        names = _first_of_shared(names, targets)
    if len(names) != len(indices) or any(name not in targets for name in names):
        raise InputError(
            f"{checkpoint.path}: its optimizer has {len(indices)} parameters, the network {len(names)}",
            "save it from torch.optim.SGD over named_parameters(), or leave --optimizer out",
        )
    yield from zip(indices, names, strict=True)


def _first_of_shared(names: list[str], targets: Mapping[str, Entry]) -> list[str]:
    """Names without those that share a parameter with an earlier one, as model.parameters() has them."""
    first: dict[int, str] = {}
    for name in names:
        first.setdefault(id(targets[name]), name)
    return list(first.values())


def _step(values: Mapping[str, Any], checkpoint: Checkpoint) -> int | None:
    step = values.get("step")
    if isinstance(step, TensorReference):
        entry: Entry = checkpoint.extra.entry("step", step)
        raw = b"".join(entry.chunks())
        return int(struct.unpack("<f", raw)[0]) if entry.dtype.name == "float32" else None
    return step if isinstance(step, int) else None


def _add_step(matched: Matched, saved: Mapping[str, Any], optimizer: str, step: int) -> None:
    name, shape = ("state_step", ()) if optimizer.startswith("experimental.") else ("global_step", (1,))
    matched.entries[name] = Entry(DTYPES["int32"], shape, constant=struct.pack("<i", step))
    betas = saved["param_groups"][0].get("betas")
    if optimizer == "Adam" and isinstance(betas, (tuple, list)) and len(betas) == 2:
        for place, beta in enumerate(betas, 1):
            power = struct.pack("<f", float(beta) ** step)
            matched.entries[f"beta{place}_power"] = Entry(DTYPES["float32"], (), constant=power)
