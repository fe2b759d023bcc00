"""Names of parameters on both sides: which torch entry becomes which MindSpore parameter, strictly."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from porter.diagnostics import Diagnostic, Location
from porter.weights.entries import DTYPES, Entry

WRAPPERS = ("module.", "_orig_mod.", "model.")
MOST_CANDIDATES = 50


@dataclass(frozen=True)
class CellWeights:
    """How the parameters of one Cell class are called in torch: a row's `weights` and `fill`."""

    cell: str
    weights: Mapping[str, str | None] = field(default_factory=dict)
    fill: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Slot:
    """A MindSpore parameter: its name in a checkpoint, and the names that torch knows it by.

    `axes` are axes of length 1 that torch does not have; `fill` (ones, zeros) allows torch to lack the values.
    """

    name: str
    torch: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[int, ...] = ()
    fill: str | None = None

    @property
    def torch_shape(self) -> tuple[int, ...]:
        return tuple(size for axis, size in enumerate(self.shape) if axis not in self.axes)


@dataclass(frozen=True)
class Plan:
    """All parameters of a ported network, and the torch names that have no counterpart."""

    slots: tuple[Slot, ...]
    dropped: frozenset[str] = frozenset()

    @property
    def torch_names(self) -> frozenset[str]:
        return frozenset(name for slot in self.slots for name in slot.torch) | self.dropped


@dataclass
class Matched:
    """Entries under their names on the other side, what was left out and what is wrong."""

    entries: dict[str, Entry] = field(default_factory=dict)
    origin: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    filled: list[str] = field(default_factory=list)
    missing_allowed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)

    def problem(self, place: str, code: str, message: str, help: str = "", symbol: str = "") -> None:
        self.problems.append(Diagnostic(Location(place), code, message, help, symbol=symbol))


def match(
    plan: Plan,
    entries: Mapping[str, Entry],
    place: str,
    allow_missing: Sequence[str] = (),
    strip: bool = True,
) -> Matched:
    """torch entries under MindSpore names; every difference is a problem."""
    result = Matched()
    if strip:
        entries = _unwrapped(entries, plan.torch_names, result)
    used: set[str] = set()
    for slot in plan.slots:
        present = [name for name in slot.torch if name in entries]
        used.update(present)
        allowed = _matches(allow_missing, (slot.name, *slot.torch))
        if not present:
            _missing(slot, result, place, allowed)
            continue
        entry = entries[present[0]]
        fits = _fits(slot, entry, present[0], result, place, allowed)
        if fits and _equal(present, entries, slot, result, place):
            result.entries[slot.name] = entry.reshaped(slot.shape) if slot.axes else entry
            result.origin[slot.name] = tuple(present)
    for name in entries:
        if name in plan.dropped and name not in used:
            result.dropped.append(name)
        elif name not in used:
            message = f"{name} {_described(entries[name])} has no parameter in the Cell"
            result.problem(place, "MSP402", message, symbol=name)
    _advise(result, plan, entries, used)
    return result


def _missing(slot: Slot, result: Matched, place: str, allowed: bool) -> None:
    if slot.fill is not None:
        result.filled.append(slot.name)
        result.entries[slot.name] = constant(slot)
        result.origin[slot.name] = ()
    elif allowed:
        result.missing_allowed.append(slot.name)
    else:
        shown = " or ".join(slot.torch) or "a torch name"
        message = (
            f"{slot.name} {slot.dtype}{list(slot.shape)} of the Cell is missing: no {shown} in the checkpoint"
        )
        result.problem(place, "MSP401", message, symbol=slot.name)


def _fits(slot: Slot, entry: Entry, name: str, result: Matched, place: str, allowed: bool) -> bool:
    if entry.shape != slot.torch_shape:
        if allowed:
            result.missing_allowed.append(slot.name)
        else:
            message = f"{name} has shape {list(entry.shape)}, {slot.name} of the Cell wants {list(slot.torch_shape)}"
            help = "build the Cell with the sizes of the checkpoint, or leave it out with --allow-missing"
            result.problem(place, "MSP403", message, help, symbol=slot.name)
        return False
    if entry.dtype.name != slot.dtype:
        message = f"{name} is {entry.dtype.name}, {slot.name} of the Cell is {slot.dtype}: values would change silently"
        help = f"give the parameter the dtype {entry.dtype.name}, or save the checkpoint as {slot.dtype}"
        result.problem(place, "MSP404", message, help, symbol=slot.name)
        return False
    return True


def _equal(present: list[str], entries: Mapping[str, Entry], slot: Slot, result: Matched, place: str) -> bool:
    first = entries[present[0]]
    for other in present[1:]:
        if not same_values(first, entries[other]):
            message = f"{present[0]} and {other} differ, but are one parameter of the Cell, {slot.name}"
            help = "the Cell shares what the torch model does not: give it two parameters"
            result.problem(place, "MSP405", message, help, symbol=slot.name)
            return False
    return True


def same_values(a: Entry, b: Entry) -> bool:
    """Whether two entries hold the same bits under the same dtype and shape."""
    if (a.dtype, a.shape) != (b.dtype, b.shape):
        return False
    if a.constant is None and b.constant is None and (a.strides, a.start) == (b.strides, b.start):
        places = [tuple((id(s.file), s.offset, s.length) for s in entry.spans) for entry in (a, b)]
        if places[0] == places[1]:
            return True
    return equal_chunks(a, b)


def equal_chunks(a: Entry, b: Entry, tell: Callable[[int], None] = lambda _: None) -> bool:
    """Compares values piece by piece, whatever the size of the pieces."""
    left, right = a.chunks(), b.chunks()
    x = y = b""
    while True:
        x = x or next(left, b"")
        y = y or next(right, b"")
        if not x or not y:
            return not x and not y
        length = min(len(x), len(y))
        if len(x) == len(y):
            same, x, y = x == y, b"", b""
        else:
            same, x, y = x[:length] == y[:length], x[length:], y[length:]
        if not same:
            return False
        tell(length)


def constant(slot: Slot) -> Entry:
    """An entry of ones or zeros for a parameter that only MindSpore has."""
    dtype = DTYPES[slot.dtype]
    one = {"float16": "003c", "bfloat16": "803f", "float32": "0000803f", "float64": "000000000000f03f"}
    raw = bytes.fromhex(one.get(dtype.name, "01" + "00" * (dtype.itemsize - 1)))
    return Entry(dtype, slot.shape, constant=raw if slot.fill == "ones" else bytes(dtype.itemsize))


def reverse(
    plan: Plan, entries: Mapping[str, Entry], place: str, allow_missing: Sequence[str] = ()
) -> Matched:
    """MindSpore entries under torch names: the way back of `match`."""
    result = Matched()
    used: set[str] = set()
    for slot in plan.slots:
        used.add(slot.name)
        entry = entries.get(slot.name)
        if entry is None and 0 in slot.shape:
            entry = Entry(DTYPES[slot.dtype], slot.shape)
        if entry is None:
            if not _matches(allow_missing, (slot.name, *slot.torch)):
                message = (
                    f"{slot.name} {slot.dtype}{list(slot.shape)} of the Cell is missing in the checkpoint"
                )
                result.problem(place, "MSP401", message, symbol=slot.name)
            continue
        if slot.fill is not None:
            result.dropped.append(slot.name)
            continue
        if entry.shape != slot.shape:
            message = f"{slot.name} has shape {list(entry.shape)}, the Cell wants {list(slot.shape)}"
            result.problem(place, "MSP403", message, symbol=slot.name)
            continue
        for name in slot.torch:
            result.entries[name] = entry.reshaped(slot.torch_shape) if slot.axes else entry
            result.origin[name] = (slot.name,)
    for name in sorted(plan.dropped):
        if name.rpartition(".")[2] == "num_batches_tracked":
            result.entries[name] = Entry(DTYPES["int64"], (), constant=bytes(8))
            result.origin[name] = ()
            result.filled.append(name)
        else:
            result.notes.append(f"{name} has no counterpart in MindSpore and is not written")
    for name in entries:
        if name not in used:
            message = f"{name} {_described(entries[name])} is no parameter of the Cell"
            result.problem(place, "MSP402", message, symbol=name)
    return result


def rename(
    entries: Mapping[str, Entry], renames: Iterable[tuple[str, str]], place: str
) -> tuple[dict[str, Entry], Matched]:
    """Entries after `--rename A=B`: a whole name, a dotted prefix, or a pattern ending in `*`; an empty B leaves out."""
    result = Matched()
    current = dict(entries)
    for old, new in renames:
        renamed: dict[str, Entry] = {}
        hits = 0
        for name, entry in current.items():
            other = _renamed(name, old, new)
            hits += other is not None
            if other == "":
                result.dropped.append(name)
                continue
            target = name if other is None else other
            if target in renamed:
                result.problem(
                    place, "MSP408", f"two entries are called {target} after the renaming {old}={new}"
                )
            renamed[target] = entry
            if name == old:
                result.origin[target] = (old,)
        if not hits:
            help = candidates(old, current)
            result.problem(
                place, "MSP401", f"nothing in the checkpoint is called {old} (--rename {old}={new})", help
            )
        current = renamed
    return current, result


def _renamed(name: str, old: str, new: str) -> str | None:
    if name == old:
        return new
    prefix = old.removesuffix("*")
    if old.endswith("*") and name.startswith(prefix):
        return new.removesuffix("*") + name[len(prefix) :] if new else ""
    if name.startswith(old.removesuffix(".") + "."):
        rest = name[len(old.removesuffix(".")) + 1 :]
        return f"{new.removesuffix('.')}.{rest}" if new else ""
    return None


def unwrap(name: str, wrappers: Sequence[str] = WRAPPERS) -> str:
    return name.replace("._orig_mod.", ".") if "_orig_mod." in wrappers else name


def _unwrapped(
    entries: Mapping[str, Entry], expected: frozenset[str], result: Matched
) -> Mapping[str, Entry]:
    """Entries without the prefixes of DataParallel, torch.compile or a wrapper, when that makes more names fit."""
    best, best_hits, best_prefix = dict(entries), sum(name in expected for name in entries), ""
    current = {unwrap(name): entry for name, entry in entries.items()}
    prefix = ""
    for _ in range(4):
        if len(current) != len(entries):
            break
        hits = sum(name in expected for name in current)
        if hits > best_hits:
            best, best_hits, best_prefix = current, hits, prefix or "_orig_mod."
        wrapper = next((w for w in WRAPPERS if current and all(name.startswith(w) for name in current)), None)
        if wrapper is None:
            break
        prefix += wrapper
        current = {name[len(wrapper) :]: entry for name, entry in current.items()}
    if best_prefix:
        result.notes.append(f"took the prefix {best_prefix!r} off every name")
    return best


def _matches(patterns: Sequence[str], names: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _described(entry: Entry) -> str:
    return f"{entry.dtype.name}{list(entry.shape)}"


def candidates(name: str, known: Iterable[str]) -> str:
    """A help line with the names most like `name`."""
    close = difflib.get_close_matches(name, list(known)[:5000], 3, 0.5)
    return f"the nearest names are {', '.join(close)}" if close else ""


def _advise(result: Matched, plan: Plan, entries: Mapping[str, Entry], used: set[str]) -> None:
    """Adds the nearest candidates: free torch names for what is missing, unmet ones for what is unexpected."""
    free = [name for name in entries if name not in used and name not in plan.dropped]
    unmet = {name: slot for slot in plan.slots if slot.name not in result.entries for name in slot.torch}
    torch_of = {slot.name: slot.torch for slot in plan.slots}
    helped = 0
    for index, problem in enumerate(result.problems):
        if problem.help or problem.code not in ("MSP401", "MSP402"):
            continue
        helped += 1
        if helped > MOST_CANDIDATES:
            break
        if problem.code == "MSP401":
            wanted = torch_of[problem.symbol]
            found = candidates(wanted[0] if wanted else problem.symbol, free)
            help = f"{found}; map one with --rename" if found else "leave it out with --allow-missing"
        else:
            found = candidates(problem.symbol, unmet)
            help = f"{found}; map it with --rename" if found else "leave it out with --rename NAME="
        result.problems[index] = Diagnostic(
            problem.location, problem.code, problem.message, help, symbol=problem.symbol
        )
