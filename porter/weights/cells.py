"""Walks a ported Cell: each parameter with all the paths, in torch's terms, under which it is reached."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from porter.diagnostics import InputError
from porter.members import torch_name
from porter.weights.ckpt import BY_NAME
from porter.weights.names import CellWeights, Plan, Slot

MAP_NAME = "porter-map.json"
DEEPEST = 100
COUNTER = "num_batches_tracked"  # MindSpore's norms do not count batches


@dataclass(frozen=True)
class Fusion:
    """Children of a class that were fused: torch's child name to the path it has now."""

    cls: str
    renames: Mapping[str, str]


@dataclass(eq=False)
class Found:
    """A parameter object, the torch names found for it, inserted axes and allowed filling."""

    parameter: Any
    torch: dict[str, None] = field(default_factory=dict)
    axes: tuple[int, ...] = ()
    fill: str | None = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(sys.stderr):
        yield


def build_cell(spec: str) -> tuple[Any, ModuleType]:
    """The Cell that MODULE:EXPR describes, and its module; InputError when it cannot be built."""
    module_name, _, expression = spec.partition(":")
    if not module_name or not expression:
        raise InputError(f"--cell {spec!r} is not MODULE:EXPR", "for example --cell genet.model:Net()")
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    os.environ.setdefault("GLOG_v", "3")
    with _quiet():
        try:
            module = import_module(module_name)
        except InputError:
            raise
        except BaseException as error:
            _reraise(error)
            raise InputError(
                f"cannot import {module_name}: {type(error).__name__}: {_first_line(error)}",
                "run from the folder of the ported package, or put it on PYTHONPATH",
            ) from error
        try:
            cell = eval(expression, vars(module))
        except BaseException as error:
            _reraise(error)
            raise InputError(
                f"cannot build {expression} of {module_name}: {type(error).__name__}: {_first_line(error)}",
                "give an expression that builds the ported Cell",
            ) from error
        import mindspore
    if not isinstance(cell, mindspore.nn.Cell):
        raise InputError(
            f"{spec} is a {type(cell).__name__}, not a mindspore.nn.Cell",
            "give the ported network, not the torch one",
        )
    return cell, module


def _reraise(error: BaseException) -> None:
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        raise error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "(no message)"


def import_module(name: str) -> ModuleType:
    """The module of an import path, or of a .py file (within its package, if it is in one)."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = Path(name).resolve()
    if not path.is_file():
        raise InputError(f"there is no file {name}", "give an import path or a .py file before the colon")
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[-1] == "__init__":
        parts.pop()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(".".join(parts))


def read_fusions(module: ModuleType) -> tuple[Fusion, ...]:
    """The fusions that `porter convert` recorded beside the ported source."""
    file = getattr(module, "__file__", None)
    if not file:
        return ()
    for folder in list(Path(file).resolve().parents)[:20]:
        path = folder / MAP_NAME
        if path.is_file():
            return parse_fusions(path)
    return ()


def parse_fusions(path: Path) -> tuple[Fusion, ...]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fusions = content.get("fusions", [])
        return tuple(Fusion(str(item["class"]), dict(item["renames"])) for item in fusions)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read as a name map ({error})", "convert the source again"
        ) from None


def plan_of(cell: Any, rows: Iterable[CellWeights], fusions: Iterable[Fusion] = ()) -> Plan:
    """The names of all parameters of a Cell, on both sides."""
    walk = _Walk(_by_class(rows), tuple(fusions))
    walk.visit(cell)
    slots = []
    names: dict[str, Found] = {}
    order = {id(parameter): place for place, (_, parameter) in enumerate(cell.parameters_and_names())}
    for found in sorted(walk.found.values(), key=lambda found: order.get(id(found.parameter), len(order))):
        parameter = found.parameter
        name = str(parameter.name)
        if name in names:
            raise InputError(
                f"two parameters of the Cell are both called {name}",
                "give each Parameter its own name, or none",
            )
        names[name] = found
        kind = str(parameter.dtype)
        if kind not in BY_NAME:
            raise InputError(
                f"the parameter {name} has the element type {kind}", "use a type a checkpoint can hold"
            )
        shape = tuple(int(size) for size in parameter.shape)
        slots.append(Slot(name, tuple(found.torch), shape, BY_NAME[kind].name, found.axes, found.fill))
    return Plan(tuple(slots), frozenset(walk.dropped))


def _by_class(rows: Iterable[CellWeights]) -> dict[Any, CellWeights]:
    """Rows by class object, or by bare name for the classes of a ported package's ms_extras."""
    import mindspore

    found: dict[Any, CellWeights] = {}
    for row in rows:
        root, _, rest = row.cell.partition(".")
        if root != "mindspore":
            found.setdefault(row.cell.rpartition(".")[2], row)
            continue
        value: Any = mindspore
        for part in rest.split("."):
            value = getattr(value, part, None)
        if isinstance(value, type):
            found.setdefault(value, row)
    return found


def target_of(target: str) -> tuple[str, tuple[int, ...]]:
    """'weight[:, :, None]' as the parameter's name and the axes that are inserted."""
    name, bracket, indices = target.partition("[")
    items = indices.rstrip("]").split(",") if bracket else []
    return name, tuple(axis for axis, item in enumerate(items) if item.strip() == "None")


class _Walk:
    """Collects the torch names of every parameter over all its paths."""

    def __init__(self, rows: Mapping[Any, CellWeights], fusions: tuple[Fusion, ...]) -> None:
        self.rows = rows
        self.fusions = fusions
        self.found: dict[int, Found] = {}
        self.dropped: dict[str, None] = {}

    def row(self, cell: Any) -> CellWeights | None:
        for cls in type(cell).__mro__:
            if cls in self.rows:
                return self.rows[cls]
            if "ms_extras" in cls.__module__.rpartition(".")[2] and cls.__name__ in self.rows:
                return self.rows[cls.__name__]
        return None

    def visit(
        self,
        cell: Any,
        prefix: str = "",
        above: tuple[Any, ...] = (),
        claimed: frozenset[int] = frozenset(),
        moved: Mapping[str, str] | None = None,
    ) -> None:
        """`prefix` is the torch path with its dot; `claimed` are parameters that a row further up has named;
        `moved` maps paths below this Cell to torch paths that differ."""
        if any(item is cell for item in above) or len(above) > DEEPEST:
            return
        row = self.row(cell)
        own = set(claimed)
        if row is not None:
            own |= self._apply(cell, row, prefix, claimed)
        for name, parameter in _parameters(cell):
            if id(parameter) not in own:
                self._name(parameter, prefix + torch_name(name))
        moved = {**(moved or {}), **{path: prefix + torch for path, torch in self._fused(cell).items()}}
        for name, child in _children(cell):
            path = moved.get(name, prefix + torch_name(name))
            below = {
                key[len(name) + 1 :]: torch for key, torch in moved.items() if key.startswith(name + ".")
            }
            self.visit(child, path + ".", (*above, cell), frozenset(own), below)

    def _name(self, parameter: Any, torch: str, axes: tuple[int, ...] = (), fill: str | None = None) -> None:
        found = self.found.setdefault(id(parameter), Found(parameter))
        found.torch[torch] = None
        found.axes = axes or found.axes
        found.fill = fill or found.fill

    def _apply(self, cell: Any, row: CellWeights, prefix: str, claimed: frozenset[int]) -> set[int]:
        named: set[int] = set()
        for torch, target in row.weights.items():
            if target is None:
                if torch != COUNTER or _keeps_statistics(cell, row, claimed):
                    self.dropped[prefix + torch] = None
                continue
            path, axes = target_of(target)
            owner, parameter = _at(cell, path)
            if parameter is None or id(parameter) in claimed:
                continue
            fill = row.fill.get(path)
            self._name(parameter, prefix + torch, axes, fill if _may_lack(owner, path, parameter) else None)
            named.add(id(parameter))
        for path, fill in row.fill.items():
            _, parameter = _at(cell, path)
            if parameter is not None and id(parameter) not in named | claimed:
                self.found.setdefault(id(parameter), Found(parameter, fill=fill))
                named.add(id(parameter))
        return named

    def _fused(self, cell: Any) -> dict[str, str]:
        """Paths below this Cell that fusion moved, each with its path in torch."""
        import mindspore

        for cls in type(cell).__mro__:
            for fusion in self.fusions:
                if _is_class(cls, fusion.cls):
                    return {now: torch for torch, now in fusion.renames.items()}
        return _sequential_names(cell) if isinstance(cell, mindspore.nn.SequentialCell) else {}


def _is_class(cls: type, name: str) -> bool:
    full = f"{cls.__module__}.{cls.__qualname__}"
    return full == name or name.endswith("." + full) or full.endswith("." + name)


def _fused_width(cell: Any) -> int:
    """How many torch modules a Conv2dBnAct or DenseBnAct stands for; 0 for any other Cell."""
    import mindspore

    if not isinstance(cell, (mindspore.nn.Conv2dBnAct, mindspore.nn.DenseBnAct)):
        return 0
    return 1 + bool(getattr(cell, "has_bn", False)) + (getattr(cell, "activation", None) is not None)


def _sequential_names(cell: Any) -> dict[str, str]:
    """'2' -> '6' and '0.conv' -> '0', '0.batchnorm' -> '1' where fused children shift torch's numbers."""
    children = list(_children(cell))
    if not any(_fused_width(child) for _, child in children):
        return {}
    if not all(name.isdigit() for name, _ in children):
        return {}
    renames: dict[str, str] = {}
    index = 0
    for name, child in children:
        width = _fused_width(child)
        renames[name] = str(index)
        if width:
            renames[f"{name}.conv"] = renames[f"{name}.dense"] = str(index)
            renames[f"{name}.batchnorm"] = str(index + 1)
            renames[f"{name}.activation"] = str(index + width - 1)
        index += width or 1
    return renames


def _may_lack(owner: Any, path: str, parameter: Any) -> bool:
    """Whether torch may lack these values: a frozen parameter, and for running statistics a norm that keeps none."""
    if parameter.requires_grad:
        return False
    if path.rpartition(".")[2].startswith("moving_"):
        return getattr(owner, "use_batch_statistics", None) is True
    return True


def _keeps_statistics(cell: Any, row: CellWeights, claimed: frozenset[int]) -> bool:
    """Whether a norm has running statistics of its own, as in torch the one that counts its batches has."""
    for path in {target_of(t)[0] for t in row.weights.values() if t is not None} | {"running_mean"}:
        owner, parameter = _at(cell, path)
        is_mean = path.rpartition(".")[2] in ("moving_mean", "running_mean")
        if is_mean and parameter is not None and id(parameter) not in claimed:
            return not _may_lack(owner, path.replace("running_", "moving_"), parameter)
    return False


def _parameters(cell: Any) -> list[tuple[str, Any]]:
    return [(name, parameter) for name, parameter in cell._params.items() if parameter is not None]


def _children(cell: Any) -> list[tuple[str, Any]]:
    return [(name, child) for name, child in cell._cells.items() if child is not None]


def _at(cell: Any, path: str) -> tuple[Any, Any]:
    """The Cell that owns the parameter at a dotted path, and the parameter; None when there is none."""
    *parents, last = path.split(".")
    for name in parents:
        cell = cell._cells.get(name)
        if cell is None:
            return None, None
    return cell, cell._params.get(last)
