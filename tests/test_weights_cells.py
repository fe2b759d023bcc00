"""Names by the ported Cell: what porter writes is what MindSpore itself writes and loads."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from porter.diagnostics import InputError
from porter.weights import convert
from porter.weights.convert import WeightsError, convert_weights
from porter.weights.names import CellWeights

PORTED = str(Path(__file__).parent / "weights" / "ported_net.py")
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
FILL = {"gamma": "ones", "beta": "zeros", "moving_mean": "zeros", "moving_variance": "ones"}
ROWS = (
    CellWeights("mindspore.nn.BatchNorm2d", {**NORM, "num_batches_tracked": None}, FILL),
    CellWeights("mindspore.nn.LayerNorm", {"weight": "gamma", "bias": "beta"}),
    CellWeights("mindspore.nn.Conv1d", {"weight": "weight[:, :, None]"}),
    CellWeights("mindspore.nn.Embedding", {"weight": "embedding_table"}),
    CellWeights("mindspore.nn.PReLU", {"weight": "w"}),
)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        plain = [nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)]
        self.down = nn.Sequential(*plain, nn.ReLU(), nn.Linear(4, 5))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.bn = nn.BatchNorm2d(4, affine=False)
        self.ln = nn.LayerNorm(5)
        self.conv = nn.Conv1d(4, 6, 3)
        self.emb = nn.Embedding(7, 8)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.emb.weight
        self.lstm = nn.LSTM(3, 4, 2)
        self.attention = nn.MultiheadAttention(8, 2)
        self.a = nn.Linear(2, 2)
        self.b = self.a
        self.register_buffer("index", torch.arange(6).reshape(2, 3))
        self.parts = nn.ModuleList([nn.Linear(2, 3), nn.PReLU()])


@pytest.fixture(scope="module")
def ms() -> Iterator[ModuleType]:
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    os.environ.setdefault("GLOG_v", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mindspore

        path = list(sys.path)
        yield mindspore
        sys.path[:] = path


@pytest.fixture
def state(tmp_path: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    net = Net()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    for buffer in net.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
    values = dict(net.state_dict())
    torch.save(values, tmp_path / "in.pth")
    return values


def run(
    folder: Path, values: dict[str, torch.Tensor] | None = None, expression: str = "Net()", **options: Any
) -> Any:
    if values is not None:
        torch.save(values, folder / "in.pth")
    cell = f"{PORTED}:{expression}"
    return convert_weights(folder / "in.pth", folder / "out.ckpt", cell=cell, rows=ROWS, **options)


def test_written_file_equals_mindspores_own(
    ms: ModuleType, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    report = run(tmp_path)
    import ported_net

    net = ported_net.Net()
    assert ms.load_param_into_net(net, ms.load_checkpoint(str(tmp_path / "out.ckpt"))) == ([], [])
    ms.save_checkpoint(net, str(tmp_path / "again.ckpt"))
    assert (tmp_path / "again.ckpt").read_bytes() == (tmp_path / "out.ckpt").read_bytes()
    expected = {
        "block.conv1.conv.weight": state["block.conv1.weight"],
        "block.conv1.batchnorm.gamma": state["block.bn1.weight"],
        "block.down.1.batchnorm.moving_variance": state["block.down.3.running_var"],
        "block.down.2.bias": state["block.down.5.bias"],
        "emb.embedding_table": state["head.weight"],
        "conv.weight": state["conv.weight"][:, :, None],
        "parts.1.w": state["parts.1.weight"],
        "b.weight": state["a.weight"],
        "index": state["index"],
    }
    own = {parameter.name: parameter for _, parameter in net.parameters_and_names()}
    for name, value in expected.items():
        assert (own[name].asnumpy() == value.numpy()).all(), name
    assert report.filled == ["bn.gamma", "bn.beta"] and len(report.dropped) == 4


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_there_and_back(ms: ModuleType, tmp_path: Path, state: dict[str, torch.Tensor], suffix: str) -> None:
    plan = convert.plan_for(f"{PORTED}:Net()", ROWS)
    convert_weights(tmp_path / "in.pth", tmp_path / f"out{suffix}", plan=plan)
    values = ms.load_checkpoint(str(tmp_path / f"out{suffix}"), format=suffix[1:])
    ms.save_checkpoint(
        [{"name": name, "data": value} for name, value in values.items()],
        str(tmp_path / f"ms{suffix}"),
        format=suffix[1:],
    )
    convert_weights(tmp_path / f"ms{suffix}", tmp_path / "back.pth", plan=plan)
    back = torch.load(tmp_path / "back.pth")
    assert set(back) == set(state)
    for name, value in state.items():
        assert back[name].dtype == value.dtype and torch.equal(back[name], value), name
    Net().load_state_dict(back, strict=True)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "uint16", "bool", "int64"])
def test_types_as_mindspore_loads_them(ms: ModuleType, tmp_path: Path, dtype: str) -> None:
    value = torch.arange(12).reshape(3, 4).to(getattr(torch, dtype))
    torch.save({"p.x": value, "p.s": value[0, 1].clone()}, tmp_path / "in.pth")
    convert_weights(tmp_path / "in.pth", tmp_path / "out.ckpt", rows=ROWS)
    loaded = ms.load_checkpoint(str(tmp_path / "out.ckpt"))
    assert (
        loaded["p.x"].dtype == getattr(ms, dtype if dtype != "bool" else "bool_")
        and loaded["p.s"].shape == ()
    )
    assert loaded["p.x"].astype(ms.float32).asnumpy().tolist() == value.float().tolist()


def test_strictness(ms: ModuleType, tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    broken = {
        name: value
        for name, value in state.items()
        if "bn.running" not in name and "down.1.weight" not in name
    }
    broken["ln.wieght"] = broken.pop("ln.weight")
    broken["conv.bias"] = broken["conv.bias"].double()
    broken["a.bias"] = broken["a.bias"] + 1
    with pytest.raises(WeightsError) as caught:
        run(tmp_path, broken)
    found = [(diagnostic.code, diagnostic.symbol) for diagnostic in caught.value.diagnostics]
    assert sorted(found) == [
        ("MSP401", "block.down.0.batchnorm.gamma"),
        ("MSP401", "bn.moving_mean"),
        ("MSP401", "bn.moving_variance"),
        ("MSP401", "ln.gamma"),
        ("MSP402", "ln.wieght"),
        ("MSP404", "conv.bias"),
        ("MSP405", "b.bias"),
    ]
    assert not (tmp_path / "out.ckpt").exists()


def test_new_head(ms: ModuleType, tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(WeightsError, match="MSP403"):
        run(tmp_path, expression="Net(classes=3)")
    report = run(tmp_path, expression="Net(classes=3)", allow_missing=["emb.*"])
    assert report.missing == ["emb.embedding_table"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("Net()", "is not MODULE:EXPR"),
        ("nowhere.net:Net()", "cannot import nowhere.net: ModuleNotFoundError"),
        ("nowhere/net.py:Net()", "there is no file"),
        (PORTED + ":Nett()", "NameError"),
        (PORTED + ":Net", "is a type, not a mindspore.nn.Cell"),
        (PORTED + ":broken()", "RuntimeError: no such size"),
        (PORTED + ":exit(0)", "SystemExit"),
        (PORTED + ":(", "SyntaxError"),
        (PORTED + ":TwoNames()", "both called same"),
    ],
)
def test_bad_cells_are_one_clear_line(ms: ModuleType, tmp_path: Path, cell: str, message: str) -> None:
    torch.save({"a.b": torch.ones(1)}, tmp_path / "in.pth")
    with pytest.raises(InputError, match=None) as caught:
        convert_weights(tmp_path / "in.pth", tmp_path / "out.ckpt", cell=cell, rows=ROWS)
    assert message in caught.value.args[0] and "\n" not in caught.value.args[0] and caught.value.help
