"""`size_average` and `reduce`, as losses said what `reduction` says now."""

from __future__ import annotations

from porter import kinds as K
from porter.expression import Written
from porter.guards import UNKNOWN, Argument

OLD = ("size_average", "reduce")
_BEHIND = 1 << 16  # where no argument of the call stands


def modern(
    bound: dict[str, Argument], written: dict[str, tuple[Written, ...]], quote: str
) -> tuple[dict[str, Argument], dict[str, tuple[Written, ...]]]:
    """The arguments of a loss with `reduction` alone; as they are where the old ones are not given, or not as constants."""
    given = [name for name in OLD if name in written]
    if not given or "reduction" not in bound or any(bound[n].constant is UNKNOWN for n in given):
        return bound, written
    average, reduce = (bound[name].constant for name in OLD)
    if average is None and reduce is None:
        meant = None
    elif reduce is not None and not reduce:
        meant = "none"
    else:
        meant = "mean" if average is None or average else "sum"
    rest = {name: marks for name, marks in written.items() if name not in OLD}
    if meant is not None:
        rest["reduction"] = (Written(f"{quote}{meant}{quote}", "reduction", "", _BEHIND),)
    nothing = {name: Argument(K.NONE, None, False) for name in OLD}
    reduction = {} if meant is None else {"reduction": Argument(K.STR, meant, True, None, f"{quote}{meant}{quote}")}
    return {**bound, **nothing, **reduction}, rest
