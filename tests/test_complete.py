"""No public name of torch's main namespaces, and none that real models use, is missing from the table."""

from __future__ import annotations

import csv
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from porter.program import Program
from porter.table import Row, load_table

torch = pytest.importorskip("torch")

COMPLETE = (
    "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.optim", "torch.optim.lr_scheduler",
    "torch.linalg", "torch.fft", "torch.special", "torch.amp", "torch.utils.data", "torch.cuda",
)  # fmt: skip
PORTED_BY_THE_ENGINE = {"torch.nn.Module", "torch.autograd.Function", "torch.compiler"}
IMPORTED = {"Tensor", "TYPE_CHECKING", "inf", "annotations", "classproperty", "Optimizer"}  # from elsewhere
DOCUMENTATION = ("_notes", "common_args", "multi_dim_common", "EPOCH_DEPRECATION_WARNING", "PYTORCH_RELEASES_CODE_CC")


def public_names(module: str) -> list[str]:
    """What `module` exports or defines itself: no submodule, nothing it imported, no text of its documentation."""
    found = importlib.import_module(module)
    exported = set(getattr(found, "__all__", ()))
    names = []
    for name in sorted(exported | {n for n in dir(found) if not n.startswith("_")}):
        value: Any = getattr(found, name)
        owner = getattr(value, "__module__", None)
        foreign = isinstance(owner, str) and not owner.startswith(("torch", "builtins"))
        if inspect.ismodule(value) or name in IMPORTED or name.endswith(DOCUMENTATION) or (foreign and name not in exported):
            continue
        names.append(f"{module}.{name}")
    return names


class Names:
    """Names as the engine looks them up: torch.nn.modules.conv.Conv2d is the row of torch.nn.Conv2d."""

    table = load_table()

    def row(self, name: str) -> Row | None:
        known = Program.canonical(self, name)  # type: ignore[arg-type]
        return self.table.get(known)[0] if known is not None else None


def without_row(names: list[str]) -> list[str]:
    table = Names()
    return [name for name in names if name not in PORTED_BY_THE_ENGINE and table.row(name) is None]


@pytest.mark.parametrize("module", COMPLETE)
def test_every_public_name_has_a_row(module: str) -> None:
    names = public_names(module)
    assert len(names) >= 5
    assert without_row(names) == []


def test_every_method_and_attribute_of_a_tensor_has_a_row() -> None:
    names = [f"torch.Tensor.{name}" for name in dir(torch.Tensor) if not name.startswith("_")]
    assert len(names) > 500
    assert without_row(names) == []


def test_a_name_that_torch_does_not_have_is_missing() -> None:
    assert without_row(["torch.nn.Conv2d", "torch.nn.Conv5d"]) == ["torch.nn.Conv5d"]


# what the survey of models wrote down that is no name of torch: a method of a string, or a module's private name
NO_NAMES = {
    "torch.__version__.split", "torch.version.cuda.split", "torch.serialization",
    "torch.nn._BatchNorm", "torch.nn._InstanceNorm", "torch.nn._pair", "torch.ops.torchvision._cuda_version",
}  # fmt: skip


def test_every_name_that_models_use_has_a_row() -> None:
    with (Path(__file__).parent / "demand.csv").open(encoding="utf-8") as file:
        used = [row["api"] for row in csv.DictReader(file)]
    names = [f"torch.{name}" if name.startswith("Tensor.") else name for name in used]
    assert len(names) > 400
    assert [name for name in without_row(names) if name not in NO_NAMES] == []


def test_a_refused_name_says_why_and_what_to_do() -> None:
    silent = [row.name for row in load_table() if row.refused and not all(row.refused)]
    assert silent == []
