"""Which parameter of a ported Cell holds which entry of a torch state dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from porter.diagnostics import InputError
from porter.parity import compare
from porter.parity.samples import Array
from porter.table import Table
from porter.weights.cells import Fusion, plan_of


@dataclass(frozen=True)
class Place:
    """A parameter of a Cell, and the axes of length 1 that it has and torch's entry has not."""

    parameter: Parameter
    axes: tuple[int, ...] = ()

    def put(self, name: str, array: Array) -> None:
        """Writes torch's values. Raises InputError where the shapes differ."""
        array = np.expand_dims(array, self.axes) if self.axes else array
        if tuple(self.parameter.shape) != array.shape:
            raise InputError(
                f"{name} is {list(array.shape)} in torch, {self.parameter.name} is {list(self.parameter.shape)}",
                "build both sides with the same arguments",
            )
        shaped = np.ascontiguousarray(array).reshape(array.shape)  # a 0-d array would become 1-d
        self.parameter.set_data(Tensor(shaped).astype(self.parameter.dtype))

    def take(self, tensor: compare.Tensor) -> compare.Tensor:
        """A tensor of the parameter's shape in the shape that torch knows."""
        return compare.Tensor(np.squeeze(tensor.array, self.axes), tensor.dtype) if self.axes else tensor


Places = Mapping[str, Place]


def places_in(
    cell: nn.Cell, state: Mapping[str, Any], table: Table, fusions: Iterable[Fusion] = ()
) -> dict[str, Place]:
    """The place of each torch name in the Cell; names without one are left out.

    Raises InputError where a parameter of the Cell would get no value.
    """
    parameters = {p.name: p for _, p in cell.parameters_and_names()}
    found: dict[str, Place] = {}
    left = []
    for slot in plan_of(cell, table.cell_weights(), fusions).slots:
        names = [name for name in slot.torch if name in state]
        if not names and slot.fill is None:
            left.append(slot.name)
        for name in names:
            found[name] = Place(parameters[slot.name], slot.axes)
    if left:
        raise InputError(
            f"the Cell's parameter {left[0]} has no counterpart in the torch module ({len(left)} such)",
            "is the Cell the port of this module, built with the same arguments?",
        )
    return found
