"""Export: what torch.onnx.export and torch.jit.trace become writes files that, read again, compute what torch computes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import mindspore
import numpy as np
import onnxruntime
import pytest
import torch
from mindspore import Tensor, nn

from porter.convert import convert_source
from tests.test_training import copy_weights, ported_module, torch_module

SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(8 * 4 * 5, 5)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.conv(x))))
        return torch.softmax(self.head(torch.flatten(x, 1)), dim=1)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.LayerNorm(6)

    def forward(self, a, b):
        return self.norm(self.first(a)) @ b.transpose(-1, -2), a.mean(-1)


def to_onnx(model: nn.Module, path):
    torch.onnx.export(model, torch.randn(2, 3, 16, 20), path, export_params=True, opset_version=11, input_names=["picture"], output_names=["scores"])


def to_script(model: nn.Module, inputs, path):
    model.eval()
    traced = torch.jit.trace(model, inputs)
    traced.save(path)
    torch.jit.save(traced, path + ".again")
    return traced(*inputs)


def to_script_as_it_is(model: nn.Module, inputs, path):
    torch.jit.save(torch.jit.trace(model, inputs), path)


def from_script(path):
    loaded = torch.jit.load(path)
    loaded.eval()
    return loaded
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, ModuleType]:
    return torch_module(SOURCE, "reference_export"), ported_module(SOURCE, tmp_path_factory.mktemp("export"), "ported_export")


def both(modules: tuple[ModuleType, ModuleType], name: str) -> tuple[Any, Any]:
    """The network on both sides, with weights and statistics that are not those of its start."""
    torch.manual_seed(3)
    reference, cell = getattr(modules[0], name)(), getattr(modules[1], name)()
    for value in reference.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.1)
    copy_weights(reference, cell)
    return reference.eval(), cell


def test_onnx_computes_what_torch_computes(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    reference, cell = both(modules, "Net")
    cell.set_train()
    modules[1].to_onnx(cell, tmp_path / "net.onnx")
    assert cell.training
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(2, 3, 16, 20)).astype(np.float32)
    (given,) = session.get_inputs()
    assert (given.name, given.shape) == ("picture", [2, 3, 16, 20])
    (actual,) = session.run(["scores"], {"picture": x})
    expected = reference(torch.from_numpy(x)).detach().numpy()
    assert actual.shape == expected.shape and np.abs(actual - expected).max() <= 1e-6


def test_a_name_that_a_value_inside_has_is_given_to_the_input(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    from mappings.emitted.serialization import onnx_with_names, protobuf_fields

    _, cell = both(modules, "Net")
    modules[1].to_onnx(cell, tmp_path / "net.onnx")
    data = (tmp_path / "net.onnx").read_bytes()
    graph = next(v for n, v in protobuf_fields(data) if n == 7)
    nodes = [list(protobuf_fields(v)) for n, v in protobuf_fields(graph) if n == 1]
    inner = next(v for n, v in nodes[0] if n == 2).decode()
    weight = next(next(f for k, f in protobuf_fields(v) if k == 8) for n, v in protobuf_fields(graph) if n == 5).decode()
    x = np.random.default_rng(0).normal(size=(2, 3, 16, 20)).astype(np.float32)
    results = []
    for names in (("picture", "scores"), (inner, weight)):
        session = onnxruntime.InferenceSession(onnx_with_names(data, names[:1], names[1:]), providers=["CPUExecutionProvider"])
        results += session.run([names[1]], {names[0]: x})
    assert np.abs(results[0] - results[1]).max() == 0


def test_mindir_computes_what_torch_computes(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    reference, cell = both(modules, "Pair")
    numbers = np.random.default_rng(1)
    a, b = (numbers.normal(size=s).astype(np.float32) for s in ((3, 4), (5, 6)))
    called = modules[1].to_script(cell, (Tensor(a), Tensor(b)), str(tmp_path / "pair.pt"))
    (tmp_path / "pair.mindir").write_bytes((tmp_path / "pair.pt.again").read_bytes())
    loaded = [modules[1].from_script(str(tmp_path / "pair.pt")), nn.GraphCell(mindspore.load(str(tmp_path / "pair.mindir")))]
    for values in (called, *(network(Tensor(a), Tensor(b)) for network in loaded)):
        for actual, expected in zip(values, reference(torch.from_numpy(a), torch.from_numpy(b)), strict=True):
            assert np.abs(actual.asnumpy() - expected.detach().numpy()).max() <= 1e-5
    # the file holds the weights of its time
    cell.first.weight.set_data(cell.first.weight * 0)
    assert np.abs(loaded[0](Tensor(a), Tensor(b))[0].asnumpy() - called[0].asnumpy()).max() <= 1e-6


def test_a_network_without_inputs_is_not_exported(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    source = "import torch\nfrom torch import nn\n\n\ndef save(net: nn.Module, path):\n    torch.jit.save(torch.jit.script(net), path)\n"
    ported = ported_module(source, tmp_path, "ported_scripted")
    with pytest.raises(TypeError, match="needs a traced network"):
        ported.save(both(modules, "Net")[1], tmp_path / "net.pt")
    assert not (tmp_path / "net.pt").exists()


def test_a_network_traced_in_training_mode_is_not_exported(modules: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    cell = both(modules, "Pair")[1]
    cell.set_train()
    inputs = (Tensor(np.ones((3, 4), np.float32)), Tensor(np.ones((5, 6), np.float32)))
    with pytest.raises(ValueError, match="before it is traced"):
        modules[1].to_script_as_it_is(cell, inputs, str(tmp_path / "pair.pt"))
    assert not (tmp_path / "pair.pt").exists()


def test_what_mindspore_cannot_export_is_said() -> None:
    head = "import torch\nfrom torch import nn\n\n\ndef export(net: nn.Module, x: torch.Tensor):\n    "
    for call in (
        'torch.onnx.export(net, x, "n.onnx", dynamic_axes={"x": {0: "batch"}})',
        'torch.onnx.export(net, x, "n.onnx", kwargs={"mask": x})',
        'torch.onnx.export(net, x, "n.onnx", export_params=False)',
        "torch.jit.trace(net, example_kwarg_inputs={'x': x})",
    ):
        result = convert_source(head + call + "\n")
        assert [d.code for d in result.diagnostics] == ["MSP201"], call
        assert call in result.text, call
