"""Names from a state dict alone: the entries beside each other tell which layer they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from porter.weights.entries import Entry
from porter.weights.names import CellWeights, Matched, unwrap

NORM = "mindspore.nn.BatchNorm2d"
LAYER_NORM = "mindspore.nn.LayerNorm"

HELP = "give --cell MODULE:EXPR of the ported Cell, or --map FILE, or name it with --rename"


def name_entries(
    entries: Mapping[str, Entry],
    side: str,
    place: str,
    rows: Iterable[CellWeights],
    certain: frozenset[str] = frozenset(),
) -> Matched:
    """Entries under the names of `side`; what stays ambiguous is a problem, what --rename named is `certain`."""
    table = {row.cell: row for row in rows}
    result = Matched()
    if side == "mindspore":
        entries = _without_wrappers(entries, result)
    groups: dict[str, dict[str, Entry]] = {}
    for name, entry in entries.items():
        prefix, _, leaf = name.rpartition(".")
        groups.setdefault(prefix, {})[leaf] = entry
    named = {
        prefix: (_forward if side == "mindspore" else _back)(group, table) for prefix, group in groups.items()
    }
    for name, entry in entries.items():
        prefix, dot, leaf = name.rpartition(".")
        decision: Decision = (leaf, entry.shape, "")
        target, shape, doubt = decision if name in certain else named[prefix].get(leaf, decision)
        if doubt:
            message = f"{name} {entry.dtype.name}{list(entry.shape)} {doubt}"
            result.problem(place, "MSP406", message, HELP, symbol=name)
        elif target is None:
            result.dropped.append(name)
        else:
            other = prefix + dot + target
            if other in result.entries:
                result.problem(place, "MSP408", f"two entries would be called {other}", HELP, symbol=name)
            result.entries[other] = entry if shape == entry.shape else entry.reshaped(shape)
            result.origin[other] = (name,)
    return result


Decision = tuple[str | None, tuple[int, ...], str]


def _without_wrappers(entries: Mapping[str, Entry], result: Matched) -> Mapping[str, Entry]:
    for wrapper in ("_orig_mod.", "module."):
        stripped = {
            unwrap(name, ("_orig_mod.",)).removeprefix(wrapper): entry for name, entry in entries.items()
        }
        if all(name.startswith(wrapper) for name in entries) and len(stripped) == len(entries):
            result.notes.append(f"took the prefix {wrapper!r} off every name")
            entries = stripped
    return entries


def _renamed(cell: str, table: Mapping[str, CellWeights], group: Mapping[str, Entry]) -> dict[str, Decision]:
    weights = table[cell].weights if cell in table else {}
    return {leaf: (weights.get(leaf, leaf), entry.shape, "") for leaf, entry in group.items()}


def _forward(group: Mapping[str, Entry], table: Mapping[str, CellWeights]) -> dict[str, Decision]:
    """torch leaf names of one module to MindSpore's."""
    if "running_mean" in group or "running_var" in group:
        return _renamed(NORM, table, group)
    weight = group.get("weight")
    if weight is None:
        return {}
    rank, bias = len(weight.shape), "bias" in group
    others = set(group) - {"weight", "bias"}
    if rank == 1 and bias and not others:
        return _renamed(LAYER_NORM, table, group)
    if rank == 1:
        return _doubt(group, "is the weight of a norm, a PReLU or something else")
    if rank == 2 and not bias:
        return _doubt(group, "is the weight of a Linear without bias or of an Embedding")
    if rank == 3 and not others:
        shape = weight.shape
        return {"weight": ("weight", (shape[0], shape[1], 1, shape[2]), "")}
    return {}


def _doubt(group: Mapping[str, Entry], doubt: str) -> dict[str, Decision]:
    return {"weight": ("weight", group["weight"].shape, doubt)}


def _back(group: Mapping[str, Entry], table: Mapping[str, CellWeights]) -> dict[str, Decision]:
    """MindSpore leaf names of one Cell to torch's."""
    if {"moving_mean", "moving_variance"} & set(group):
        back = {now: torch for torch, now in (table[NORM].weights if NORM in table else {}).items() if now}
        return {leaf: (back.get(leaf, leaf), entry.shape, "") for leaf, entry in group.items()}
    own = {"gamma", "beta"} & set(group)
    if own:
        doubt = "belongs to a norm of MindSpore, or has this name in torch too"
        return {leaf: (leaf, group[leaf].shape, doubt) for leaf in own}
    if "embedding_table" in group:
        return {"embedding_table": ("weight", group["embedding_table"].shape, "")}
    weight = group.get("weight")
    if weight is not None and len(weight.shape) == 4 and weight.shape[2] == 1:
        return _doubt(group, "is the weight of a Conv1d or of a Conv2d with a kernel of height 1")
    if "w" in group and len(group) == 1 and len(group["w"].shape) == 1:
        return {"w": ("w", group["w"].shape, "is the weight of a PReLU or a parameter called w")}
    return {}
