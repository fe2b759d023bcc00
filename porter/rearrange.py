"""Calls of einops with a literal pattern as the tensor methods that they stand for: reshape, swapaxes, flatten, mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from porter.pure import axis_groups

METHODS = {"mean": "mean", "sum": "sum", "max": "amax", "min": "amin"}
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Rearrangement:
    """A call of einops: what its tensor is called, its pattern, and the source of the lengths that are given.

    `tensor` may be evaluated more than once only if it is `named`.
    """

    function: str
    tensor: str
    named: bool
    pattern: str
    lengths: Mapping[str, str]
    reduction: str = ""


def method_chain(call: Rearrangement) -> str | None:
    """The call as a chain of tensor methods; None where it has no short form."""
    left, arrow, right = call.pattern.partition("->")
    before, after = axis_groups(left), axis_groups(right)
    if not arrow or "..." in left + right or any(a.isdigit() for group in before + after for a in group):
        return None
    source = [axis for group in before for axis in group]
    wanted = [axis for group in after for axis in group]
    if len(set(source)) < len(source) or len(set(wanted)) < len(wanted) or not _balanced(call, source, wanted):
        return None
    steps = _split(call, before)
    if steps is None:
        return None
    if call.function == "reduce":
        dropped = [i for i, axis in enumerate(source) if axis not in wanted]
        steps += f".{METHODS[call.reduction]}({dropped[0] if len(dropped) == 1 else tuple(dropped)})" if dropped else ""
    kept = [axis for axis in source if axis in wanted]
    steps += _ordered(kept, [axis for axis in wanted if axis in kept])
    steps += _repeated(call, kept, wanted)
    return steps + _merged(after)


def _balanced(call: Rearrangement, source: list[str], wanted: list[str]) -> bool:
    """Whether the axes of both sides are those that the function allows."""
    new, gone = set(wanted) - set(source), set(source) - set(wanted)
    if call.function == "reduce":
        return not new and call.reduction in METHODS
    return not gone and (not new or (call.function == "repeat" and new <= set(call.lengths)))


def _split(call: Rearrangement, groups: list[list[str]]) -> str | None:
    """The tensor with an axis for each name: axes of length 1 go, grouped axes come apart."""
    ones = [i for i, group in enumerate(groups) if not group]
    if all(len(group) < 2 for group in groups):
        return call.tensor + "".join(f".squeeze({i})" for i in reversed(ones))
    if not call.named:
        return None
    unknown = [[axis for axis in group if axis not in call.lengths] for group in groups]
    if any(len(group) > 1 and len(names) > 1 for group, names in zip(groups, unknown)):
        return None
    open_groups = [i for i, group in enumerate(groups) if len(group) > 1 and unknown[i]]
    sizes = []
    for index, group in enumerate(groups):
        whole = f"{call.tensor}.shape[{index}]"
        for axis in group:
            if len(group) == 1:
                sizes.append(whole)
            elif axis in call.lengths:
                sizes.append(call.lengths[axis])
            else:
                sizes.append("-1" if open_groups == [index] else _quotient(whole, [call.lengths[a] for a in group if a != axis]))
    return f"{call.tensor}.reshape({', '.join(sizes)})"


def _quotient(whole: str, known: list[str]) -> str:
    factors = [k if k.replace(".", "").replace("_", "").isalnum() else f"({k})" for k in known]
    return f"{whole} // {factors[0]}" if len(factors) == 1 else f"{whole} // ({' * '.join(factors)})"


def _ordered(axes: list[str], wanted: list[str]) -> str:
    order = [axes.index(axis) for axis in wanted]
    moved = [i for i, axis in enumerate(order) if i != axis]
    if not moved:
        return ""
    if len(moved) == 2:
        return f".swapaxes({moved[0]}, {moved[1]})"
    return f".permute({', '.join(map(str, order))})"


def _repeated(call: Rearrangement, kept: list[str], wanted: list[str]) -> str:
    """New axes, each of length 1 first and then as long as it is to be."""
    new = [i for i, axis in enumerate(wanted) if axis not in kept]
    if not new:
        return ""
    sizes = [call.lengths[axis] if i in new else "-1" for i, axis in enumerate(wanted)]
    comma = "," if len(sizes) == 1 else ""
    return "".join(f".unsqueeze({i})" for i in new) + f".broadcast_to(({', '.join(sizes)}{comma}))"


def _merged(groups: list[list[str]]) -> str:
    """Grouped axes joined, the last group first so that places before it stay; then axes of length 1."""
    steps = ""
    count = sum(map(len, groups))
    end = count
    for group in reversed(groups):
        start = end - len(group)
        if len(group) > 1:
            steps += f".flatten({start})" if end == count else f".flatten({start}, {end - 1})"
            count -= len(group) - 1
        end = start
    return steps + "".join(f".unsqueeze({i})" for i, group in enumerate(groups) if not group)


def short_equation(pattern: str) -> str | None:
    """An einsum pattern whose axes have names of any length as one with a letter for each; None where there are too many."""
    names: list[str] = []
    text = ""
    words = pattern.replace("->", " -> ").replace(",", " , ").split()
    single = all(len(w) == 1 for w in words if w not in ("->", ",", "..."))
    for word in words:
        if word in ("->", ",", "..."):
            text += {",": ", ", "->": " -> "}.get(word, word)
            continue
        if word not in names:
            names.append(word)
        if len(names) > len(LETTERS):
            return None
        text += word if single else LETTERS[names.index(word)]
    return text
