"""Runs either side of a model comparison in its own process, so that both may use the same module names."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from porter.diagnostics import InputError
from porter.parity.models import Mode, ModelParity, Plan, Recording, Tolerances, compare_recordings

TIMEOUT_SECONDS = 3600.0
INPUT_ERROR = 2


@dataclass(frozen=True)
class Side:
    """One side: `MODULE:EXPR`, folders to find it in, and a checkpoint to load (or none)."""

    spec: str
    paths: tuple[str, ...] = ()
    weights: str | None = None


@dataclass(frozen=True)
class Request:
    """What a child process is to do; it writes its recordings into `folder`."""

    which: Literal["torch", "mindspore"]
    side: Side
    specs: tuple[str, ...]
    folder: str
    plan: Plan = field(default_factory=Plan)
    seed: int = 0
    modes: tuple[Mode, ...] = ("PYNATIVE",)


def compare_sides(
    torch_side: Side,
    cell_side: Side,
    specs: Sequence[str],
    *,
    plan: Plan | None = None,
    modes: Sequence[Mode] = ("PYNATIVE",),
    seed: int = 0,
    tolerances: Tolerances | None = None,
) -> tuple[ModelParity, ...]:
    """Runs both sides, one after the other, each in its own process, and compares what they recorded.

    Raises InputError where a side cannot be built or fails.
    """
    plan = plan or Plan()
    with tempfile.TemporaryDirectory(prefix="porter-parity-") as folder:
        run_child(Request("torch", torch_side, tuple(specs), folder, plan, seed))
        reference = load_recording(folder, "torch")
        run_child(Request("mindspore", cell_side, tuple(specs), folder, plan, seed, tuple(modes)))
        return tuple(compare_recordings(reference, load_recording(folder, m), m, tolerances) for m in modes)


def run_child(request: Request) -> None:
    """Runs one request in a new interpreter. Raises InputError with the child's own line where it fails."""
    path = Path(request.folder) / f"{request.which}.json"
    path.write_text(json.dumps(asdict(request)), "utf-8")
    environment = dict(os.environ, ONEDNN_MAX_CPU_ISA=os.environ.get("ONEDNN_MAX_CPU_ISA", "AVX2"))
    environment.setdefault("GLOG_v", "3")
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environment.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "porter.parity.sides", str(path)]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{request.side.spec}: no result in {TIMEOUT_SECONDS:.0f} s", "try smaller inputs"
        ) from None
    if done.returncode:
        raise InputError(*_child_error(request, done))


def _child_error(request: Request, done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    marked = [line for line in done.stderr.splitlines() if line.startswith(_MARK)]
    if marked:
        message, help = json.loads(marked[-1].removeprefix(_MARK))
        return str(message), str(help)
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no output")
    return f"{request.side.spec}: the process ended with status {done.returncode}: {last[:300]}", ""


_MARK = "porter-parity-error:"


def load_recording(folder: str, name: str) -> Recording:
    """A recording that a child of this process wrote."""
    with open(Path(folder) / f"{name}.pickle", "rb") as stream:
        recording = pickle.load(stream)  # written by our own child into a private folder
    assert isinstance(recording, Recording)
    return recording


def _save_recording(folder: str, name: str, recording: Recording) -> None:
    with open(Path(folder) / f"{name}.pickle", "wb") as stream:
        pickle.dump(recording, stream, protocol=5)


# --- in the child --------------------------------------------------------------------------------------------------


def main(path: str) -> int:
    """Carries out the request in a file; an InputError is passed to the parent through stderr."""
    raw = json.loads(Path(path).read_text("utf-8"))
    request = Request(
        which=raw["which"],
        side=Side(raw["side"]["spec"], tuple(raw["side"]["paths"]), raw["side"]["weights"]),
        specs=tuple(raw["specs"]),
        folder=raw["folder"],
        plan=Plan(**raw["plan"]),
        seed=raw["seed"],
        modes=tuple(raw["modes"]),
    )
    try:
        sys.path[:0] = request.side.paths
        (record_torch_side if request.which == "torch" else record_mindspore_side)(request)
    except InputError as error:
        message, help = Exception.__str__(error), error.help
        print(_MARK + json.dumps([message, help]), file=sys.stderr)
        return INPUT_ERROR
    return 0


def _arrays(request: Request) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
    from porter.parity.samples import draw_all, parse_spec

    specs = [parse_spec(text) for text in request.specs]
    batches = [draw_all(specs, request.seed + 1 + step) for step in range(request.plan.steps)]
    return draw_all(specs, request.seed), batches


@contextmanager
def _user_code(request: Request, doing: str) -> Iterator[None]:
    """What the user's model raises becomes one line that names the model."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise InputError(
            f"{request.side.spec}: {doing}: {type(error).__name__}: {text}",
            "check the expression and --input",
        ) from error


def build(spec: str) -> Any:
    """The object that MODULE:EXPR describes; EXPR is evaluated in the module. Raises InputError where it has none."""
    from porter.weights.cells import import_module

    module_name, colon, expression = spec.partition(":")
    if not colon or not module_name or not expression:
        raise InputError(
            f"{spec!r} is not MODULE:EXPR", "for example genet.model:resnet50() or net.py:Net(10)"
        )
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise InputError(
            f"{spec}: {module_name} cannot be imported: {error}",
            "give its folder with --torch-path or --cell-path",
        ) from error
    return eval(expression, vars(module))


def record_torch_side(request: Request) -> None:
    """Builds and observes the torch side of a request; its recording goes into the folder."""
    import torch

    from porter.parity.record_torch import record
    from porter.parity.samples import perturb

    torch.manual_seed(request.seed)
    inputs, batches = _arrays(request)
    with _user_code(request, "cannot be built"):
        module = build(request.side.spec)
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{request.side.spec} is a {type(module).__name__}, not a torch.nn.Module")
    with _user_code(request, "fails on the inputs"):
        if request.side.weights:
            _load_torch(module, request.side.weights)
        else:
            perturb(module, request.seed, [torch.from_numpy(a) for a in inputs])
        recording = record(module, inputs, request.plan, batches)
    _save_recording(request.folder, "torch", recording)


def _load_torch(module: Any, path: str) -> None:
    """Loads a checkpoint strictly, whatever wrapper its state dict lies in."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file", "give the checkpoint that `porter weights` converted"
        ) from None
    except Exception as error:
        raise InputError(f"{path}: cannot be read as torch weights: {str(error).splitlines()[0]}") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    expected = set(module.state_dict())
    state = {k if k in expected else k.removeprefix("module."): v for k, v in content.items()}
    missing, unexpected = module.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise InputError(
            f"{path} does not fit the module: missing {missing[:3]}, unexpected {unexpected[:3]}",
            "build the module with the arguments that the checkpoint was saved with",
        )


def record_mindspore_side(request: Request) -> None:
    """Builds and observes the ported side in each mode, after the torch side has been recorded."""
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    import mindspore

    from porter.parity import record_mindspore
    from porter.parity.naming import places_in
    from porter.parity.ported import prepare_process
    from porter.table import load_table
    from porter.weights.cells import import_module, read_fusions

    prepare_process()
    reference = load_recording(request.folder, "torch")
    inputs, batches = _arrays(request)
    mindspore.set_seed(request.seed)
    with _user_code(request, "cannot be built"):
        cell = build(request.side.spec)
    if not isinstance(cell, mindspore.nn.Cell):
        raise InputError(f"{request.side.spec} is a {type(cell).__name__}, not a mindspore.nn.Cell")
    fusions = read_fusions(import_module(request.side.spec.partition(":")[0]))
    places = places_in(cell, reference.state, load_table(), fusions)
    if request.side.weights:
        _load_cell(cell, request.side.weights)
    else:
        record_mindspore.put_weights(places, reference.state)
    subject = record_mindspore.Subject(cell, inputs, batches, places)
    for mode in request.modes:
        with _user_code(request, f"fails in {mode} mode"):
            recording = record_mindspore.record(subject, request.plan, mode)
        _save_recording(request.folder, mode, recording)


def _load_cell(cell: Any, path: str) -> None:
    """Loads a checkpoint strictly: MindSpore itself never raises for missing or unexpected names."""
    import mindspore

    form = "safetensors" if path.endswith(".safetensors") else "ckpt"
    try:
        content = mindspore.load_checkpoint(path, format=form)
    except Exception as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())[:200]}") from error
    missing, unexpected = mindspore.load_param_into_net(cell, content, strict_load=True)
    if missing or unexpected:
        raise InputError(
            f"{path} does not fit the Cell: missing {missing[:3]}, unexpected {unexpected[:3]}",
            "convert the weights again with `porter weights` and this Cell",
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
