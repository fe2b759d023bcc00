"""Worker of sweep.py on MindSpore's side: builds ported networks, ports their weights and compares their outputs.

Reads one JSON record a line from stdin and answers each with one line of JSON. While ported code is imported, built or
run, neither torch nor porter can be imported.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mindspore
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4  # of the largest magnitude; ten times torch's own rounding where that is more


@contextmanager
def alone() -> Iterator[None]:
    """No torch and no porter inside."""
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "porter"}
    sys.modules["porter"] = sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop("porter")
        sys.modules.update(hidden)


def tensors_of(value: Any) -> Iterator[Any]:
    """The tensors of a result in their order."""
    if isinstance(value, mindspore.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(tensors_of, value.values()))
    elif isinstance(value, (list, tuple)):
        yield from itertools.chain.from_iterable(map(tensors_of, value))


def inputs_of(shapes: list[Any], arrays: Iterator[Any]) -> list[Any]:
    """The stored inputs in the layout of `shapes`, where a list is one argument."""
    return [
        inputs_of(shape, arrays) if shape and isinstance(shape[0], list) else mindspore.Tensor(next(arrays)) for shape in shapes
    ]


def port_weights(network: Any, module: Any, source: Path, rows: Any) -> Path:
    """The checkpoint of a ported network, by porter's own names; a name too many or too few raises."""
    from porter.weights import cells
    from porter.weights.convert import convert_weights

    plan = cells.plan_of(network, rows, cells.read_fusions(module))
    target = source.with_suffix(".ckpt")
    convert_weights(source, target, plan=plan, rows=rows, verify=False)
    return target


def worst_of(expected: list[Any], actual: list[Any]) -> float:
    """The largest difference as a part of the largest magnitude; raises where numbers or shapes of outputs differ."""
    if [e.shape for e in expected] != [a.shape for a in actual]:
        raise AssertionError(f"shapes {[a.shape for a in actual]} in place of {[e.shape for e in expected]}"[:300])
    worst = 0.0
    for e, a in zip(expected, actual):
        if e.size:
            difference = float(np.abs(e.astype("float64") - a.astype("float64")).max())
            worst = max(worst, difference / max(float(np.abs(e).max()), 1e-3) if np.isfinite(difference) else np.inf)
    return worst


def one(record: dict[str, Any], root: Path, store: Path, rows: Any) -> dict[str, Any]:
    """How far a ported network gets: import, build, weights, load, forward, values."""
    base = store / (record["file"].removesuffix(".py").replace("/", ".") + ".x")
    result: dict[str, Any] = {"file": record["file"], "equal": False, "stage": "import"}
    try:
        with alone():
            module = importlib.import_module(record["module"])
            result["stage"] = "build"
            network = eval(record["builder"], vars(module))
        result["stage"] = "weights"
        checkpoint = port_weights(network, module, base.with_suffix(".pth"), rows)
        with alone():
            result["stage"] = "load"
            left = mindspore.load_param_into_net(network, mindspore.load_checkpoint(str(checkpoint)), strict_load=True)
            checkpoint.unlink()
            if any(left):
                raise AssertionError(f"missing or unexpected: {left}"[:300])
            result["stage"] = "forward"
            network.set_train(False)
            stored = np.load(base.with_suffix(".npz"))
            inputs = inputs_of(record["shapes"], iter([stored[k] for k in stored.files if k.startswith("in")]))
            started = time.monotonic()
            outputs = [value.asnumpy() for value in tensors_of(network(*inputs))]
            result["seconds"] = round(time.monotonic() - started, 2)
        result["stage"] = "values"
        result["worst"] = worst_of([stored[k] for k in stored.files if k.startswith("out")], outputs)
        result["tolerance"] = max(TOLERANCE, 10 * record["rounding"])
        result["equal"] = result["worst"] <= result["tolerance"]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        result["why"] = first_lines(error)
        result["place"] = place_of(error, root)
    return result


def first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip().strip("-")]
    return f"{type(error).__name__}: {' '.join(lines[:3])}"[:400]


def place_of(error: BaseException, root: Path) -> str:
    """The last lines of ported code that the error passed through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(f"{root}/")]
    return " < ".join(f"{f.filename.removeprefix(f'{root}/')}:{f.lineno} {f.line}"[:160] for f in reversed(frames[-3:]))


def main() -> None:
    root, store = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    answers = sys.stdout
    sys.stdout = sys.stderr
    sys.path[0] = str(ROOT)
    from porter.weights.convert import table_rows

    rows = table_rows()
    sys.path.insert(0, str(root))
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    mindspore.runtime.launch_blocking()  # else an operator's error is raised by a later, unrelated call
    for line in sys.stdin:
        record = json.loads(line)
        print(json.dumps(one(record, root, store, rows)), file=answers, flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
