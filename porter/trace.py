"""One real run of the reference model, from which each source span learns what kind of value it had.

The run happens in a process of its own (porter.tracing), so that what the user's code does there stays there.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter import kinds as K
from porter.diagnostics import InputError
from porter.kinds import ANY, Kind, Kinds, join

Span = tuple[str, int, int, int, int]

MAX_SHAPES = 4  # distinct shapes that a run keeps of one expression


def span_of(path: str, node: ast.expr) -> Span:
    """The key under which a run keeps an expression of a file."""
    return path, node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


@dataclass(frozen=True)
class Facts:
    """What a run saw, by source span (path, first line, column, last line, column).

    `shapes` holds the shapes of tensors, `entering` those that a layer built at a span was given;
    at the spans of `whole` every tensor held integers or truth values; `inplace_matters` says that the outputs change where nothing is changed in place.
    """

    kinds: Mapping[Span, Kinds] = field(default_factory=dict)
    shapes: Mapping[Span, frozenset[tuple[int, ...]]] = field(default_factory=dict)
    entering: Mapping[Span, frozenset[tuple[int, ...]]] = field(default_factory=dict)
    whole: frozenset[Span] = frozenset()
    inplace_matters: bool = False


def trace(spec: str, inputs: tuple[str, ...], sources: tuple[Path, ...], *, timeout: float = 600) -> Facts:
    """Runs `MODULE:EXPR` once on sample inputs. Raises InputError where the model cannot be built or run."""
    module, separator, expression = spec.partition(":")
    if not separator or not module or not expression.strip():
        raise InputError(f"--trace {spec}: not MODULE:EXPR", "write it as package.module:Model(num_classes=10)")
    if not inputs:
        raise InputError("--trace without --input", "give one --input SPEC for each argument of forward")
    from porter.parity.samples import parse_spec

    for text in inputs:
        parse_spec(text)
    roots = [str((s if s.is_dir() else s.parent).resolve()) for s in sources]
    with tempfile.TemporaryDirectory(prefix="porter-trace-") as folder:
        result = Path(folder) / "facts.json"
        job = {"module": module, "expression": expression, "inputs": list(inputs), "roots": roots, "result": str(result)}
        command = [sys.executable, "-m", "porter.tracing"]
        try:
            run = subprocess.run(command, input=json.dumps(job), text=True, capture_output=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise InputError(f"--trace {spec}: still running after {timeout:.0f} s", "trace a smaller variant") from None
        if not result.exists():
            last = [line for line in run.stderr.strip().splitlines() if line.strip()]
            why = last[-1].removeprefix("porter.tracing: ") if last else f"exit status {run.returncode}"
            raise InputError(f"--trace {spec}: {why}", "check the module, the expression and the input specs")
        return _facts(json.loads(result.read_text("utf-8")))


def _facts(found: dict[str, Any]) -> Facts:
    return Facts(
        kinds={_span(k): join(*(_kinds(v) for v in vs)) for k, vs in found["kinds"].items()},
        shapes={_span(k): frozenset(tuple(s) for s in v) for k, v in found["shapes"].items()},
        entering={_span(k): frozenset(tuple(s) for s in v) for k, v in found["entering"].items()},
        whole=frozenset(_span(k) for k in found.get("whole", ())),
        inplace_matters=bool(found.get("inplace_matters")),
    )


def _span(key: str) -> Span:
    path, a, b, c, d = key.rsplit("|", 4)
    return path, int(a), int(b), int(c), int(d)


def _kinds(value: list[Any]) -> Kinds:
    """[name, of, items, fields] as tracing writes it."""
    name, of, items, fields = value
    if name == "any":
        return ANY
    return frozenset({Kind(name, of, tuple(join(*(_kinds(i) for i in item)) for item in items), tuple(fields))})


__all__ = ["Facts", "K", "span_of", "trace"]
