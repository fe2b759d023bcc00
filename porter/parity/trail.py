"""What became of each random call of a row, written down as it runs: a process that dies costs one call, not the row."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Outcome = Literal["equal", "refused", "raised", "no kernel", "no elements", "limited", "stated", "empty", "wrong"]
Step = Literal["draw", "value", "gradient"]

CALL_SECONDS = 60  # a kernel that has not returned by then hangs: the process is ended


@dataclass(frozen=True)
class Found:
    """The outcome of one step of one call, with what it was where that is not equal."""

    outcome: Outcome
    call: str = ""
    message: str = ""


class Trail:
    """The steps of a row's calls that are done, kept in a file if there is one; a step begun and not ended crashed."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.drawing = path.with_suffix(".draw") if path is not None else None
        self.done: dict[tuple[int, str], Found] = {}
        self.crashes = 0
        for line in path.read_text("utf-8").splitlines() if path is not None and path.exists() else ():
            self._read(json.loads(line))
        if self.drawing is not None and self.drawing.exists():  # torch itself ended the process
            number = int(self.drawing.read_text("utf-8"))
            self.drawing.unlink()
            self._write({"number": number, "step": "draw"})
            self.done[number, "draw"] = CRASHED
        self.crashes = sum(found is CRASHED for found in self.done.values())

    def _read(self, entry: dict[str, str | int]) -> None:
        key = (int(entry["number"]), str(entry["step"]))
        ended = "outcome" in entry
        self.done[key] = Found(entry["outcome"], str(entry["call"]), str(entry["message"])) if ended else CRASHED  # type: ignore[arg-type]

    def take(self, number: int, step: Step) -> Found | None:
        return self.done.get((number, step))

    def keep(self, number: int, step: Step, found: Found) -> Found:
        self.done[number, step] = found
        self._write({"number": number, "step": step, **vars(found)})
        return found

    @contextmanager
    def trying(self, number: int) -> Iterator[bool]:
        """Notes that torch runs a drawn call; says whether it may: not where that has ended a process before."""
        if (number, "draw") in self.done:
            yield False
            return
        if self.drawing is None:
            yield True
            return
        self.drawing.write_text(str(number), "utf-8")
        with _alarm():
            yield True
        self.drawing.unlink(missing_ok=True)

    @contextmanager
    def running(self, number: int, step: Step) -> Iterator[None]:
        """Notes that a step begins; the process is ended, and so the step has crashed, where it hangs."""
        if self.path is None:
            yield
            return
        self._write({"number": number, "step": step})
        with _alarm():
            yield

    def _write(self, entry: dict[str, object]) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")


@contextmanager
def _alarm() -> Iterator[None]:
    """The process is ended where something hangs: kernels do not listen to Python."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(CALL_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


CRASHED = Found("raised", "", f"the process ended: a crash, or no result in {CALL_SECONDS} s")


def trail_file(folder: Path, key: str) -> Path:
    """Where the trail of a row lies."""
    return folder / f"{key}.jsonl"
