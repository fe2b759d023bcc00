"""The name map as a file: a plan in JSON, so that a conversion needs no framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from porter.diagnostics import InputError
from porter.weights.entries import DTYPES
from porter.weights.names import Plan, Slot

VERSION = 1


def plan_to_json(plan: Plan) -> dict[str, Any]:
    parameters = []
    for slot in plan.slots:
        fields: dict[str, Any] = {"name": slot.name, "torch": list(slot.torch)}
        fields |= {"shape": list(slot.shape), "dtype": slot.dtype}
        if slot.axes:
            fields["axes"] = list(slot.axes)
        if slot.fill:
            fields["fill"] = slot.fill
        parameters.append(fields)
    return {"version": VERSION, "parameters": parameters, "dropped": sorted(plan.dropped)}


def plan_from_json(content: Any, path: str) -> Plan:
    """The plan that `plan_to_json` wrote; InputError when it is something else."""
    try:
        slots = tuple(
            Slot(
                str(item["name"]),
                tuple(map(str, item["torch"])),
                tuple(map(int, item["shape"])),
                DTYPES[item["dtype"]].name,
                tuple(map(int, item.get("axes", ()))),
                item.get("fill"),
            )
            for item in content["parameters"]
        )
        return Plan(slots, frozenset(map(str, content.get("dropped", ()))))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{path} holds no names of parameters", "write it with --cell ... --write-map FILE"
        ) from None


def read_map(path: str) -> Plan:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", "give a file that --write-map wrote"
        ) from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is no JSON", "give a file that --write-map wrote") from None
    return plan_from_json(content, path)


def write_map(plan: Plan, path: str) -> None:
    try:
        Path(path).write_text(json.dumps(plan_to_json(plan), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}", "choose a folder that you may write"
        ) from None
