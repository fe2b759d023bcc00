"""Which parameter of a ported Cell holds which entry of a torch state dict, read off the Cell and the table's rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mindspore import nn

from porter.diagnostics import InputError
from porter.parity.compare import Tensor

_INDEXED = re.compile(r"(?P<name>[^\[]+)(?P<index>\[.*\])?")
Renaming = Mapping[str, str | None]


def rename(cell: nn.Cell, state: Mapping[str, Tensor]) -> dict[str, tuple[str, str]]:
    """MindSpore's name, and an index such as `[:, :, None]`, of each torch name that the Cell has a parameter for.

    Raises InputError where a parameter of the Cell would get no value.
    """
    parameters = {name for name, _ in cell.parameters_and_names()}
    known = _renamings_by_path(cell)
    found: dict[str, tuple[str, str]] = {}
    for name in state:
        target = _target(name, known)
        if target is not None and target[0] in parameters:
            found[name] = target
    left = sorted(parameters - {ported for ported, _ in found.values()} - _filled(cell))
    if left:
        raise InputError(
            f"the Cell's parameter {left[0]} has no counterpart in the torch module ({len(left)} such)",
            "is the Cell the port of this module, built with the same arguments?",
        )
    return found


def _target(name: str, known: Mapping[str, Renaming]) -> tuple[str, str] | None:
    """The ported name by the innermost cell that has a renaming; the same name where there is none."""
    parts = name.split(".")
    for length in range(len(parts) - 1, -1, -1):
        path, inner = ".".join(parts[:length]), ".".join(parts[length:])
        if path in known and inner in known[path]:
            text = known[path][inner]
            if text is None:
                return None
            match = _INDEXED.fullmatch(text)
            assert match is not None
            return f"{path}.{match['name']}".lstrip("."), match["index"] or ""
    return name, ""


def _renamings_by_path(cell: nn.Cell) -> dict[str, Renaming]:
    found: dict[str, Renaming] = {}
    for path, part in cell.cells_and_names():
        entry = _entry(part)
        if entry is not None:
            found[path] = entry.weights
    return found


def _filled(cell: nn.Cell) -> set[str]:
    """Parameters that torch does not have at all, with the constant that MindSpore gives them."""
    names = set()
    for path, part in cell.cells_and_names():
        entry = _entry(part)
        for name in entry.fill if entry is not None else ():
            names.add(f"{path}.{name}".lstrip("."))
    return names


def _entry(cell: nn.Cell) -> Any | None:
    """The table's weights of a cell's class, or of the nearest class that it extends."""
    own, emitted = _entries()
    for base in type(cell).__mro__:
        if base in own:
            return own[base]
        if base.__module__.rpartition(".")[2] == "ms_extras" and base.__name__ in emitted:
            return emitted[base.__name__]
    return None


@lru_cache(maxsize=1)
def _entries() -> tuple[dict[type, Any], dict[str, Any]]:
    from porter.table import load_table

    own: dict[type, Any] = {}
    emitted: dict[str, Any] = {}
    for entry in load_table().cell_weights():
        if entry.cell.startswith("emitted."):
            emitted[entry.cell.rpartition(".")[2]] = entry
        else:
            found = _resolve(entry.cell)
            if isinstance(found, type):
                own[found] = entry
    return own, emitted


def _resolve(qualified: str) -> Any:
    import mindspore

    value: Any = mindspore
    for part in qualified.split(".")[1:]:
        value = getattr(value, part, None)
    return value
