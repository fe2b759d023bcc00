"""What is known of a value without running the program: a set of kinds; a set with ANY in it proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from zlib import crc32


@dataclass(frozen=True)
class Kind:
    """One possibility. `name` says which sort, `of` the qualified name of a class, function, or Python module,
    `items` the kinds of elements (list: one entry; tuple: one entry each) and `fields` names of a named tuple."""

    name: str
    of: str = ""
    items: tuple[frozenset[Kind], ...] = ()
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # the hash of a text changes from process to process, and with it the order of sets, and the outcome where joins widen
        object.__setattr__(self, "_hash", hash((crc32("\0".join((self.name, self.of, *self.fields)).encode()), self.items)))
        named = self.name == "tuple" and bool(self.of)  # a program's own named tuple, which is no deeper than what it holds
        object.__setattr__(self, "depth", (not named) + max(map(depth, self.items), default=0))

    def __hash__(self) -> int:
        return self._hash  # type: ignore[attr-defined, no-any-return]


Kinds: TypeAlias = frozenset[Kind]


def depth(kinds: Kinds) -> int:
    """How deep the containers nest."""
    return max((k.depth for k in kinds), default=0)  # type: ignore[attr-defined]


NOTHING: Kinds = frozenset()
ANY: Kinds = frozenset({Kind("any")})


@lru_cache(maxsize=1 << 16)  # a program has few different ones, made over and over
def one(name: str, of: str = "", items: tuple[Kinds, ...] = (), fields: tuple[str, ...] = ()) -> Kinds:
    return frozenset({Kind(name, of, items, fields)})


TENSOR = one("Tensor")
PARAMETER = one("Parameter")
INT = one("int")
FLOAT = one("float")
BOOL = one("bool")
STR = one("str")
NONE = one("None")
DTYPE = one("dtype")
DEVICE = one("device")
NDARRAY = one("ndarray")
SIZE = one("Size")
NUMBERS = frozenset({"int", "float", "bool"})
TENSORS = frozenset({"Tensor", "Parameter"})
SEQUENCES = frozenset({"list", "tuple", "Size"})


def list_of(items: Kinds) -> Kinds:
    return one("list", items=(items,))


def tuple_of(*items: Kinds) -> Kinds:
    return one("tuple", items=items)


@lru_cache(maxsize=1 << 16)
def join(*several: Kinds) -> Kinds:
    """All possibilities of several, kept small: nested containers deeper than four, or wider than twelve, become ANY."""
    merged: Kinds = NOTHING
    for kinds in several:
        if kinds is merged or not kinds:
            continue
        merged = kinds if not merged else merged | kinds
    if len(merged) > 1:
        merged = _merge_lists(merged)
    if len(merged) > 12 or (any(k.items for k in merged) and depth(merged) > 4):
        return ANY
    return merged


def _merge_lists(kinds: Kinds) -> Kinds:
    """Lists are joined by element; tuples of equal length elementwise."""
    groups: dict[tuple[str, str, int], list[Kind]] = {}
    rest = []
    for kind in kinds:
        if kind.items:
            groups.setdefault((kind.name, kind.of, len(kind.items)), []).append(kind)
        else:
            rest.append(kind)
    if all(len(g) == 1 for g in groups.values()):
        return kinds
    for (name, of, _), group in groups.items():
        items = tuple(join(*(k.items[i] for k in group)) for i in range(len(group[0].items)))
        rest.append(Kind(name, of, items, group[0].fields))
    return frozenset(rest)


def names(kinds: Kinds) -> frozenset[str]:
    return frozenset(k.name for k in kinds)


def without_none(kinds: Kinds) -> Kinds:
    return kinds - NONE if kinds >= NONE and len(kinds) > 1 else kinds


def proven(kinds: Kinds, allowed: frozenset[str]) -> bool:
    """Whether every possibility (None aside) is one of the allowed sorts, and there is at least one."""
    rest = without_none(kinds)
    return bool(rest) and all(k.name in allowed for k in rest)


def is_unknown(kinds: Kinds) -> bool:
    """Whether nothing proves what a value is."""
    return not kinds or bool(kinds & ANY)


def is_tensor(kinds: Kinds) -> bool:
    return proven(kinds, TENSORS)


def elements(kinds: Kinds) -> Kinds:
    """What iterating over a value gives."""
    found = []
    for kind in kinds:
        if kind.name in ("list", "tuple", "dict_values", "iterator", "set"):
            found.append(join(*kind.items) if kind.items else NOTHING)
        elif kind.name in TENSORS:
            found.append(TENSOR)
        elif kind.name == "Size":
            found.append(INT)
        elif kind.name in ("str", "dict"):
            found.append(STR)
        elif kind.name == "object" and kind.items:
            found.append(kind.items[0])
        elif kind.name == "None":
            continue
        else:
            found.append(ANY)
    return join(*found)


def item(kinds: Kinds, index: int | None) -> Kinds:
    """What indexing with an integer gives; `index` is None where it is not a literal."""
    found = []
    for kind in kinds:
        if kind.name == "tuple" and index is not None and -len(kind.items) <= index < len(kind.items):
            found.append(kind.items[index])
        elif kind.name == "dict":
            found.append(kind.items[0] if kind.items else ANY)
        elif kind.name == "None":
            continue
        else:
            found.append(elements(frozenset({kind})))
    return join(*found)


def returned(text: str, fields: tuple[str, ...] = ()) -> Kinds:
    """The kinds that a row's `returns` names."""
    text = text.strip()
    if "|" in text and "[" not in text:
        return join(*(returned(part) for part in text.split("|")))
    simple = {
        "Tensor": TENSOR, "Parameter": PARAMETER, "int": INT, "float": FLOAT, "bool": BOOL, "str": STR, "None": NONE,
        "Size": SIZE, "dtype": DTYPE, "device": DEVICE, "ndarray": NDARRAY, "number": INT | FLOAT,
    }  # fmt: skip
    if text in simple:
        return simple[text]
    if text.endswith("]"):
        outer, _, inner = text[:-1].partition("[")
        parts = [returned(p) for p in _split(inner)]
        if outer == "list":
            return list_of(parts[0])
        if outer == "tuple":
            return list_of(parts[0]) if len(parts) == 1 else one("tuple", items=tuple(parts), fields=fields)
        if outer == "dict":
            return one("dict", items=(parts[0],))
        if outer == "object":
            return one("object", inner)
    return ANY


def _split(text: str) -> list[str]:
    parts, level, start = [], 0, 0
    for i, c in enumerate(text):
        level += {"[": 1, "]": -1}.get(c, 0)
        if c == "," and not level:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]
