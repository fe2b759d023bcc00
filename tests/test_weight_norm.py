"""Weight and spectral normalization on both frameworks, PYNATIVE and GRAPH, with torch's own weights."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mindspore as ms
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from porter.cli import main
from porter.convert import convert_source
from porter.parity.ported import load_source

CASE = Path(__file__).parent / "cases" / "weight_norm.py"
X = np.random.default_rng(5).normal(0, 1, (2, 4, 7)).astype(np.float32)


@pytest.fixture(scope="module")
def ported(original: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    assert original.__name__  # imported first: a source without extras of its own takes ms_extras away
    folder = tmp_path_factory.mktemp("ported")
    result = convert_source(CASE.read_text("utf-8"), path="weight_norm.py")
    assert not result.diagnostics, result.diagnostics
    yield load_source(folder, "ported_weight_norm", result.text, result.extras)
    sys.modules.pop("ms_extras", None)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return load_source(tmp_path_factory.mktemp("original"), "original_weight_norm", CASE.read_text("utf-8"), "")


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def mode(request: pytest.FixtureRequest) -> Iterator[int]:
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=ms.PYNATIVE_MODE)


def _net(original: ModuleType, name: str) -> Any:
    torch.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch deprecates its old style
        net = getattr(original, name)()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.3)  # a magnitude that is not the norm of its direction
            parameter.add_(0.05)
    return net


def _loaded(ported: ModuleType, name: str, net: Any, folder: Path) -> Any:
    """The ported network with the weights that `porter weights` wrote for it."""
    torch.save(net.state_dict(), folder / "state.pth")
    target = folder / "state.ckpt"
    spec = f"ported_weight_norm:{name}()"
    result = CliRunner().invoke(main, ["weights", str(folder / "state.pth"), "-o", str(target), "--cell", spec])
    assert result.exit_code == 0, result.output
    cell = getattr(ported, name)()
    assert ms.load_param_into_net(cell, ms.load_checkpoint(str(target))) == ([], [])
    assert {p.name for p in cell.get_parameters()} == set(net.state_dict())  # torch's names throughout
    return cell


@pytest.mark.parametrize("name", ["Old", "New"])
def test_values_gradients_and_buffers(
    ported: ModuleType, original: ModuleType, tmp_path: Path, mode: int, name: str
) -> None:
    """In training the vectors of the spectral norm move on by torch's iteration; then in eval they stay."""
    net = _net(original, name)
    cell = _loaded(ported, name, net, tmp_path)
    before = {k: v.numpy().copy() for k, v in net.state_dict().items() if k.endswith(("_u", "last.weight_v"))}
    for training in (True, False):
        net.train(training).zero_grad()
        cell.set_train(training)
        leaf = torch.tensor(X, requires_grad=True)
        expected = net(leaf)
        expected.square().sum().backward()

        def loss(x: ms.Tensor) -> Any:
            y = cell(x)
            return y.square().sum(), y

        trained = dict(net.named_parameters())
        weights = [p for p in cell.get_parameters() if p.name in trained]
        (_, out), (by_input, by_weights) = ms.value_and_grad(loss, 0, weights, has_aux=True)(ms.Tensor(X))
        np.testing.assert_allclose(out.asnumpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(by_input.asnumpy(), leaf.grad.numpy(), rtol=1e-4, atol=1e-4)
        assert len(weights) == len(trained) == len(by_weights)
        for parameter, gradient in zip(weights, by_weights, strict=True):
            wanted = trained[parameter.name].grad.numpy()
            np.testing.assert_allclose(gradient.asnumpy(), wanted, rtol=1e-3, atol=1e-3, err_msg=parameter.name)
        now = {p.name: p.asnumpy() for p in cell.get_parameters()}
        for key, value in net.state_dict().items():
            np.testing.assert_allclose(now[key], value.numpy(), rtol=1e-4, atol=1e-5, err_msg=key)
    assert before
    assert all(abs(now[key] - value).max() > 1e-3 for key, value in before.items())  # they did move


def test_the_weight_is_computed_at_each_call(ported: ModuleType, mode: int) -> None:
    """A parameter that changes after compilation changes the output: a weight kept in the graph is noticed."""
    cell = ported.Old().set_train(False)
    x = ms.Tensor(X)
    bias = cell.first.bias.reshape(1, -1, 1)
    first = (cell.first(x) - bias).asnumpy()
    cell.first.weight_g.set_data(cell.first.weight_g * 3)
    assert abs(first).max() > 0.1
    np.testing.assert_allclose((cell.first(x) - bias).asnumpy(), 3 * first, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["Old", "New"])
def test_removal_leaves_the_plain_layer(
    ported: ModuleType, original: ModuleType, tmp_path: Path, mode: int, name: str
) -> None:
    net = _net(original, name)
    cell = _loaded(ported, name, net, tmp_path)
    net.eval().remove()
    cell.set_train(False).remove()
    assert {p.name for p in cell.get_parameters()} == set(net.state_dict())
    np.testing.assert_allclose(
        cell(ms.Tensor(X)).asnumpy(), net(torch.tensor(X)).detach().numpy(), rtol=1e-5, atol=1e-5
    )


def test_what_cannot_be_computed_raises(ported: ModuleType) -> None:
    extras = sys.modules["ms_extras"]
    with pytest.raises(ValueError, match="LSTM has no parameter weight that can be computed"):
        extras.weight_norm(ms.nn.LSTM(3, 4))
    normed = extras.weight_norm(ms.nn.Dense(3, 4))
    with pytest.raises(ValueError, match="has no parameter weight"):
        extras.weight_norm(normed)
    with pytest.raises(ValueError, match="not found"):
        extras.remove_weight_norm(ms.nn.Dense(3, 4))
    (found,) = convert_source(
        "import torch\nm = torch.nn.utils.weight_norm(torch.nn.LSTM(3, 4), 'weight_hh_l0')\n"
    ).diagnostics
    assert "only the weight of a layer" in found.message


COMPUTED = '''import torch
from torch import nn
from torch.nn.utils import weight_norm


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = weight_norm(nn.Conv1d(3, 4, 2))
        self.other = torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 5))
        self.one.weight.data.normal_(0, 100.0)
        nn.init.constant_(self.other.weight, 100.0)

    def forward(self, x):
        return self.one(x), self.other.weight
'''


def test_the_computed_weight_is_an_attribute_that_keeps_nothing_written_into_it(tmp_path: Path) -> None:
    """In torch the magnitude and the direction stay as they were, whatever is written into the weight."""
    ported = convert_source(COMPUTED, path="computed.py")
    assert not ported.diagnostics
    (tmp_path / "computed.py").write_text(ported.text, "utf-8")
    (tmp_path / "ms_extras.py").write_text(ported.extras, "utf-8")
    code = (
        "import mindspore as ms, numpy as np, computed\nb = computed.Block()\n"
        "y, w = b(ms.Tensor(np.ones((1, 3, 6), np.float32)))\n"
        "assert np.abs(y.asnumpy()).max() < 5, y\nassert w.shape == (5, 4) and np.abs(w.asnumpy()).max() < 1, w\n"
        "assert np.allclose(w.asnumpy(), b.other.computed_weight().asnumpy())\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
