"""What both recorders of train_scripts.py share: random numbers that depend on what is asked for, and the losses so far."""

from __future__ import annotations

import json
import random
import runpy
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Streams:
    """Numbers by kind, count and number of the call: frameworks that ask for the same get the same, whatever else they draw."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, int]] = Counter()

    def restart(self) -> None:
        """Begins anew when the networks are made: MindSpore's initializers draw from numpy's generator too."""
        self.calls.clear()
        np.random.seed(0)
        random.seed(0)

    def _numbers(self, kind: str, size: int) -> np.random.Generator:
        self.calls[kind, size] += 1
        return np.random.default_rng([zlib.crc32(kind.encode()), size, self.calls[kind, size]])

    def uniform(self, shape: Iterable[int], kind: str = "uniform") -> Array:
        shape = tuple(int(n) for n in shape)
        return self._numbers(kind, int(np.prod(shape))).random(shape, np.float32)

    def normal(self, shape: Iterable[int]) -> Array:
        shape = tuple(int(n) for n in shape)
        return self._numbers("normal", int(np.prod(shape))).standard_normal(shape, np.float32)

    def permutation(self, count: int) -> Array:
        return np.argsort(self.uniform((count,), "permutation"), kind="stable")

    def kept(self, shape: Iterable[int], p: float) -> Array:
        """A dropout mask, scaled."""
        mask = self.uniform(shape, "dropout") >= p
        return mask.astype(np.float32) / np.float32(1 - p) if p < 1 else mask.astype(np.float32) * 0

    def chosen(self, weights: Array, count: int, replacement: bool) -> Array:
        """Indices by weight, for one row or for each row of a matrix."""
        rows = np.atleast_2d(weights).astype(np.float64)
        numbers = self.uniform((len(rows), count), "multinomial")
        picked = np.zeros((len(rows), count), np.int64)
        for i, row in enumerate(rows):
            row = row.copy()
            for j in range(count):
                edges = np.cumsum(row) / row.sum()
                picked[i, j] = min(int(np.searchsorted(edges, numbers[i, j], side="right")), len(row) - 1)
                if not replacement:
                    row[picked[i, j]] = 0
        return picked[0] if weights.ndim == 1 else picked


class Done(SystemExit):
    """Enough losses are recorded."""


class Record:
    """Losses of a script, written to a file when the script ends or `steps` are recorded."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps = path, steps
        self.losses: list[float] = []
        self.notes: list[str] = []
        self.parameters: dict[str, float] = {}

    def before_loss(self) -> None:
        self.write("stopped early")
        if len(self.losses) >= self.steps:
            raise Done(0)

    def write(self, error: str = "") -> None:
        record = {"losses": self.losses, "notes": self.notes, "parameters": self.parameters, "error": error}
        self.path.write_text(json.dumps(record))


def run_script(script: str, arguments: list[str], record: Record, finish: Callable[[], None]) -> None:
    """Runs a script as its own program until it ends, with folders in one order; `finish` looks at the networks before they go."""
    import os
    import traceback

    listed = os.listdir
    os.listdir = lambda *folder: sorted(listed(*folder))  # type: ignore[assignment]

    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    np.random.seed(0)
    random.seed(0)
    error = ""
    try:
        runpy.run_path(script, run_name="__main__")
    except Done as done:
        # the networks live in the frames that are left here
        finish()
        del done
    except SystemExit as problem:
        error = f"SystemExit: {problem}" if problem.code else ""
    except BaseException:
        error = traceback.format_exc()
    record.write(error)
