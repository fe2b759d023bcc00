"""The weights of every layer of the table, in every form that its examples give it, go to MindSpore and come back."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from porter.convert import convert_source
from porter.table import load_table
from porter.weights import cells
from porter.weights.convert import convert_weights, table_rows

HEAD = "import torch\nfrom torch import nn\n\n\n"


def layers() -> Iterator[str]:
    """The calls of the examples that build a layer."""
    for rows in load_table().rows.values():
        for row in rows:
            if row.kind == "module" and row.refused is None:
                yield from (e["call"] for e in row.examples if not e.get("refused") and e["call"].startswith("torch.nn."))


def built() -> Iterator[tuple[str, torch.nn.Module]]:
    """Those that stand alone and have something to store, with values that tell every entry from every other."""
    generator = torch.Generator().manual_seed(3)
    for call in dict.fromkeys(layers()):
        try:
            layer = eval(call, {"torch": torch, "nn": torch.nn})
        except Exception:
            continue  # it takes names that only its example defines, or is refused by torch itself
        state = layer.state_dict() if isinstance(layer, torch.nn.Module) else {}
        if not state or any(torch.nn.parameter.is_lazy(value) for value in state.values()):
            continue
        for value in state.values():
            if value.is_floating_point() and value.numel():
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        yield call, layer


def source(calls: list[str]) -> str:
    return HEAD + "\n\n".join(
        f"class Net{i}(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.layer = {call}\n"
        for i, call in enumerate(calls)
    )


@pytest.fixture(scope="module")
def ported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModuleType, list[tuple[str, torch.nn.Module]]]]:
    folder = tmp_path_factory.mktemp("layers")
    pairs = list(built())
    result = convert_source(source([call for call, _ in pairs]), path="row_layers.py")
    (folder / "row_layers.py").write_text(result.text, "utf-8")
    (folder / "ms_extras.py").write_text(result.extras, "utf-8")
    sys.modules.pop("ms_extras", None)
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("row_layers"), pairs
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("ms_extras", None)


def test_every_layer_comes_back(ported: tuple[ModuleType, list[tuple[str, torch.nn.Module]]], tmp_path: Path) -> None:
    module, pairs = ported
    rows, wrong = table_rows(), []
    for index, (call, layer) in enumerate(pairs):
        state = {f"layer.{name}": value for name, value in layer.state_dict().items()}
        torch.save(state, tmp_path / "in.pth")
        try:
            plan = cells.plan_of(getattr(module, f"Net{index}")(), rows)
            convert_weights(tmp_path / "in.pth", tmp_path / "there.ckpt", plan=plan, rows=rows)
            convert_weights(tmp_path / "there.ckpt", tmp_path / "back.pth", plan=plan, rows=rows)
        except Exception as error:
            wrong.append(f"{call}: {type(error).__name__} {str(error).splitlines()[0]}")
            continue
        back = torch.load(tmp_path / "back.pth")
        if list(back.keys() ^ state.keys()):
            wrong.append(f"{call}: {sorted(back.keys() ^ state.keys())} on one side only")
        wrong += [f"{call}: {n}" for n in back.keys() & state.keys() if not torch.equal(back[n], state[n])]
    assert len(pairs) > 150
    assert not wrong, "\n".join(wrong)
