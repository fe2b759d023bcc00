"""The MindSpore side: loads converted source, gives it torch's weights, and observes one run in either mode."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # without it convolutions fall back to a reference kernel
os.environ.setdefault("GLOG_v", "3")
os.environ.setdefault(
    "MS_OM_PATH", tempfile.gettempdir()
)  # else a failed compilation leaves rank_0/ in the folder

import mindspore
import numpy as np
from mindspore import nn
from mindspore.common.api import _pynative_executor

from porter.parity.cases import Example
from porter.parity.compare import Tensor
from porter.parity.leaves import Observation, leaf, outputs, weighting
from porter.parity.naming import Place, Places, places_in
from porter.parity.samples import Array, InputSpec
from porter.table import Row, Table
from porter.weights.cells import target_of

Mode = Literal["PYNATIVE", "GRAPH"]
Output = tuple[tuple[Any, ...], mindspore.Tensor]
Outputs = tuple[Output, ...]


@dataclass(frozen=True)
class Observed(Observation):
    """A run of a ported example, with the path and weights of each float output that was differentiated."""

    weighed: Outputs = ()


def prepare_process() -> None:
    """Once in a process: errors appear where they happen, and compiling a graph does not sweep all of memory."""
    mindspore.runtime.launch_blocking()
    gc.collect()
    gc.freeze()  # Cell's destructor collects garbage for each compiled graph: 0.15 s instead of 0.015 s


def settle_memory() -> None:
    """Between two rows: what is in memory now is no longer looked through for each graph that is compiled."""
    gc.freeze()


def set_mode(mode: Mode) -> None:
    mindspore.set_context(mode=mindspore.GRAPH_MODE if mode == "GRAPH" else mindspore.PYNATIVE_MODE)


def load_source(folder: Path, name: str, text: str, extras: str) -> ModuleType:
    """Imports converted source from real files (graph compilation reads them), with its emitted module beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    sys.modules.pop("ms_extras", None)
    if extras:
        _load(folder / f"{name}_extras.py", extras, "ms_extras")
    return _load(folder / f"{name}.py", text, name)


def _load(path: Path, text: str, name: str) -> ModuleType:
    path.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def to_mindspore(array: Array, spec: InputSpec) -> mindspore.Tensor:
    tensor = mindspore.Tensor(np.array(array))
    return tensor.astype(mindspore.bfloat16) if spec.dtype == "bfloat16" else tensor


# --- weights -------------------------------------------------------------------------------------------------------


def place_weights(cell: nn.Cell, row: Row, table: Table, state: Mapping[str, Tensor]) -> dict[str, Place]:
    """Puts a torch state dict into an example's Cell; returns the place of each torch name.

    A module row says itself where its weights go; what it leaves open is read off the Cell and the whole table.
    """
    places = _places_by_row(cell, row, state) if row.kind == "module" else {}
    if not places:
        places = places_in(cell, state, table)
    for name, place in places.items():
        place.put(name, state[name].array)
    return places


def _places_by_row(cell: nn.Cell, row: Row, state: Mapping[str, Tensor]) -> dict[str, Place]:
    """The places that the row names, if they and `fill` account for every parameter of the Cell; else none."""
    parameters = dict(cell.parameters_and_names())
    places: dict[str, Place] = {}
    for name in state:
        target = row.weights.get(name.removeprefix("m."), name.removeprefix("m."))
        if target is None:
            continue
        path, axes = target_of(target) if "[" in target else (target, ())
        parameter = parameters.get(f"m.{path}")
        if parameter is None:
            return {}
        places[name] = Place(parameter, axes)
    placed = {id(place.parameter) for place in places.values()}
    left = {name.removeprefix("m."): p for name, p in parameters.items() if id(p) not in placed}
    complete = all(name in row.fill and not p.requires_grad for name, p in left.items())
    return places if complete else {}


# --- runs ----------------------------------------------------------------------------------------------------------


class Weighed(nn.Cell):  # type: ignore[misc]
    """The fixed weighting of a Cell's float outputs, summed, and the outputs themselves."""

    def __init__(
        self, cell: nn.Cell, paths: tuple[tuple[Any, ...], ...], weights: tuple[mindspore.Tensor, ...]
    ):
        super().__init__(auto_prefix=False)
        self.cell = cell
        self.paths = paths
        self.weights = weights

    def construct(self, *inputs: Any) -> Any:
        value = self.cell(*inputs)
        total = 0.0
        for i in range(len(self.paths)):
            output = value
            for key in self.paths[i]:
                output = output[key]
            total = total + (output * self.weights[i]).sum()
        return total, value


def observe(
    build: type[nn.Cell],
    row: Row,
    table: Table,
    example: Example,
    constructed: Sequence[str],
    arrays: Sequence[Array],
    state: Mapping[str, Tensor],
    mode: Mode,
    gradients: bool,
    weighed: Outputs | None = None,
) -> Observed:
    """Runs one converted example with torch's weights; whatever MindSpore raises is passed on.

    `weighed` are the float outputs of an earlier run of it, where there was one.
    """
    set_mode(mode)
    try:
        mindspore.set_seed(0)
        given = {
            name: to_mindspore(a, s)
            for name, a, s in zip(example.names, arrays, example.inputs, strict=False)
        }
        cell = build(*(given[name] for name in constructed))
        if example.parameter:
            place = places_in(cell, {f"m.{example.parameter}": None}, table)[f"m.{example.parameter}"]
            return Observed({"": place.take(leaf(place.parameter))})
        places = place_weights(cell, row, table, state)
        cell.set_train(example.train)
        inputs = {name: tensor for name, tensor in given.items() if name not in constructed}
        with _forgotten_where_it_raises():
            return _run(cell, example, inputs, places, gradients, weighed)
    finally:
        set_mode("PYNATIVE")


def _run(
    cell: nn.Cell, example: Example, inputs: Mapping[str, Any], places: Places, gradients: bool, weighed: Outputs | None
) -> Observed:
    wanted = gradients and "grad" in example.checks
    shapes = (weighed or _float_outputs(cell, example, inputs)) if wanted else ()
    found: dict[str, Tensor] = {}
    if shapes:
        value, found = differentiate(cell, inputs, shapes, places)
    else:
        value = cell(*inputs.values())
    observed = outputs(value)
    buffers: dict[str, Tensor] = {}
    if "buffers" in example.checks:
        buffers = {name: place.take(leaf(place.parameter)) for name, place in places.items()}
    return Observed(observed, found, buffers, shapes)


def _float_outputs(cell: nn.Cell, example: Example, inputs: Mapping[str, Any]) -> Outputs:
    """Path and weights of each float output, from a first run that leaves parameters as they were."""
    saved = {name: p.asnumpy().copy() for name, p in cell.parameters_and_names()} if example.train else {}
    mode = mindspore.get_context("mode")
    set_mode("PYNATIVE")
    value = cell(
        *(mindspore.Tensor(x.asnumpy()) if x.dtype != mindspore.bfloat16 else x for x in inputs.values())
    )
    for name, parameter in cell.parameters_and_names():
        if name in saved:
            parameter.set_data(mindspore.Tensor(saved[name]))
    mindspore.set_context(mode=mode)
    return tuple(float_paths(value))


def float_paths(value: Any) -> list[Output]:
    """The path of each float tensor in a value, as keys, with the weights of its sum."""
    found: list[Output] = []
    for keys, item in _keyed(value):
        if isinstance(item, mindspore.Tensor) and item.dtype in _FLOATS:
            found.append((keys, mindspore.Tensor(weighting(tuple(item.shape))).astype(item.dtype)))
    return found


_FLOATS = (mindspore.float16, mindspore.bfloat16, mindspore.float32, mindspore.float64)


def _keyed(value: Any, keys: tuple[Any, ...] = ()) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            yield from _keyed(value[key], (*keys, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _keyed(item, (*keys, index))
    else:
        yield keys, value


def differentiate(
    cell: nn.Cell, inputs: Mapping[str, Any], outputs: Sequence[Output], places: Places
) -> tuple[Any, dict[str, Tensor]]:
    """The cell's value, and gradients under torch's names of the fixed weighting of its float outputs."""
    weighed = Weighed(cell, tuple(o[0] for o in outputs), tuple(o[1] for o in outputs))
    weighed.set_train(cell.training)
    names = list(inputs)
    at = tuple(i for i, name in enumerate(names) if inputs[name].dtype in _FLOATS)
    trained = {name: place for name, place in places.items() if place.parameter.requires_grad}
    if not at and not trained:
        return cell(*inputs.values()), {}
    weights = mindspore.ParameterTuple([place.parameter for place in trained.values()]) if trained else None
    function = mindspore.value_and_grad(weighed, at or None, weights, has_aux=True)
    with _forgotten_where_it_raises():
        (_, value), gradients = function(*inputs.values())
    of_inputs, of_weights = _split(gradients, bool(at), bool(trained))
    found = {names[i]: leaf(g) for i, g in zip(at, of_inputs, strict=False)}
    return value, found | {
        name: place.take(leaf(g)) for (name, place), g in zip(trained.items(), of_weights, strict=False)
    }


@contextmanager
def _forgotten_where_it_raises() -> Iterator[None]:
    """What raises leaves its traces in MindSpore: after a gradient no tensor could be indexed, after a value gradients were wrong."""
    try:
        yield
    except Exception:
        _pynative_executor.clear_res()
        raise


def _split(gradients: Any, inputs: bool, weights: bool) -> tuple[Sequence[Any], Sequence[Any]]:
    """MindSpore's gradient value as two sequences: of inputs and of weights."""
    if inputs and weights:
        first, second = gradients
        return first if isinstance(first, tuple) else (first,), second
    found = gradients if isinstance(gradients, tuple) else (gradients,)
    return (found, ()) if inputs else ((), found)
