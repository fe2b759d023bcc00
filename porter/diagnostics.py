"""What porter says about code, tables and checkpoints: a place, a code, a sentence and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file; `line` counts from 1 and `column` from 1, both 0 where there is no line."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True, order=True)
class Diagnostic:
    """One finding. Bands of `code`: MSP0 table, 1 name not in the table, 2 refused by a guard or target,
    3 receiver or fact unknown, 4 weights, 5 parity, 6 porting pitfall (61: outside of GRAPH mode), 9 internal."""

    location: Location
    code: str
    message: str
    help: str = ""
    rule: str = ""
    symbol: str = field(default="", compare=False)

    def __str__(self) -> str:
        lines = [f"{self.location} {self.code} {self.message}"]
        if self.help:
            lines.append(f"  help: {self.help}")
        if self.rule:
            lines.append(f"  rule: {self.rule}")
        return "\n".join(lines)


class InputError(Exception):
    """Bad input from the user: shown as one line (what, where, what to do), exit status 2."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  help: {self.help}" if self.help else message
