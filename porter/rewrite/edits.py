"""What a rewritten file is made of: edits of its bytes, and the names that it needs."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Callable
from dataclasses import dataclass, field

from porter.table import Row

_DICTIONARIES = {"torch.nn": "LAYERS", "torch.nn.functional": "FUNCTIONS", "torch.optim": "OPTIMIZERS"}


@dataclass(frozen=True)
class Edit:
    """Bytes [start, end) of the encoded source become `text`."""

    start: int
    end: int
    text: str


@dataclass
class Dictionary:
    """Members of a torch namespace by their names, as a file's top level has them."""

    name: str
    entries: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        return [f"{self.name} = {{", *(f"    {n!r}: {entry}," for n, entry in sorted(self.entries.items())), "}"]


@dataclass
class Needs:
    """What the rewritten file uses beside what it already had."""

    names: set[str] = field(default_factory=set)
    emitted: set[str] = field(default_factory=set)
    adapters: dict[str, Row] = field(default_factory=dict)
    left: dict[str, None] = field(default_factory=dict)
    dictionaries: dict[str, Dictionary] = field(default_factory=dict)

    def dictionary(self, space: str, entries: dict[str, str], unused: Callable[[str], str]) -> str:
        """The name of the file's dictionary of members of a torch namespace, which gains these entries."""
        if space not in self.dictionaries:
            self.dictionaries[space] = Dictionary(unused(_DICTIONARIES.get(space, "MEMBERS")))
        self.dictionaries[space].entries.update(entries)
        return self.dictionaries[space].name


def dedent(text: str, by: int) -> str:
    """Moves lines to the left, lines inside multi-line strings excepted."""
    lines = io.StringIO(text).readlines()
    inside: set[int] = set()
    try:
        wrapped = "if True:\n" + text + "\n"
        for token in tokenize.generate_tokens(io.StringIO(wrapped).readline):
            if token.type == tokenize.STRING and token.start[0] != token.end[0]:
                inside |= set(range(token.start[0] - 1, token.end[0] - 1))  # from its second line on; rows count from 1, and `if` is one
    except (tokenize.TokenError, IndentationError, SyntaxError):
        pass
    result = []
    for index, line in enumerate(lines):
        if index in inside or line[:by].strip():
            result.append(line)
        else:
            result.append(line[by:] if len(line) > by else line.lstrip(" \t"))
    return "".join(result)
