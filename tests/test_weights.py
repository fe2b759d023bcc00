"""Checkpoints that torch and safetensors wrote, read and written again without them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from porter.diagnostics import InputError
from porter.weights import maps
from porter.weights.command import weights
from porter.weights.convert import WeightsError, convert_weights
from porter.weights.entries import Checkpoint
from porter.weights.names import CellWeights, Plan, Slot
from porter.weights.read import open_checkpoint

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
ROWS = (
    CellWeights("mindspore.nn.BatchNorm2d", {**NORM, "num_batches_tracked": None}),
    CellWeights("mindspore.nn.LayerNorm", {"weight": "gamma", "bias": "beta"}),
)
TYPES = [
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
]
TYPES += ["uint64", "bool"]


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests ask what porter does with rows, not what the table says."""
    monkeypatch.setattr("porter.weights.convert.table_rows", lambda: ROWS)


def sample(dtype: str, *shape: int) -> torch.Tensor:
    kind = getattr(torch, dtype)
    if kind.is_floating_point:
        return torch.randn(*shape).to(kind)
    return torch.randint(0, 2 if dtype == "bool" else 100, shape).to(kind)


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    values = {f"t.{dtype}": sample(dtype, 3, 5) for dtype in TYPES}
    base = torch.randn(7, 9, 4)
    values |= {
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "transposed": torch.randn(4, 6).t(),
        "permuted": base.permute(2, 0, 1),
        "sliced": base[1:5, ::2, 1],
        "expanded": torch.arange(5).expand(3, 5),
        "shared_a": base,
        "shared_b": base,
        "row": base[3],
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
        "größe": torch.ones(2),
    }
    return values


def raw(value: torch.Tensor) -> bytes:
    return bytes(value.contiguous().reshape(-1).view(torch.uint8).numpy()) if value.numel() else b""


def assert_holds(checkpoint: Checkpoint, values: Mapping[str, torch.Tensor]) -> None:
    assert list(checkpoint.entries) == list(values)
    for name, value in values.items():
        entry = checkpoint.entries[name]
        assert (entry.dtype.name, entry.shape) == (str(value.dtype)[6:], tuple(value.shape)), name
        assert b"".join(entry.chunks(16)) == raw(value), name
        assert b"".join(entry.chunks()) == raw(value), name


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_what_torch_saves(tmp_path: Path, legacy: bool, protocol: int) -> None:
    values = state()
    if legacy:
        values = {
            name: value
            for name, value in values.items()
            if value.dtype.is_floating_point or "uint" not in name
        }
    path = tmp_path / "model.pth"
    torch.save(values, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    with open_checkpoint(path) as checkpoint:
        assert_holds(checkpoint, values)
        assert checkpoint.entries["shared_a"].storage == checkpoint.entries["shared_b"].storage


def test_reads_state_dicts_of_modules(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(net.state_dict(), tmp_path / "model.pth")
    torch.save(OrderedDict(net.named_parameters()), tmp_path / "parameters.pth")
    with open_checkpoint(tmp_path / "model.pth") as checkpoint:
        assert_holds(checkpoint, net.state_dict())
    with open_checkpoint(tmp_path / "parameters.pth") as checkpoint:
        assert_holds(checkpoint, {name: value.detach() for name, value in net.named_parameters()})


def test_complex_is_read_and_refused_by_name(tmp_path: Path) -> None:
    torch.save({"a.c": torch.ones(2, dtype=torch.complex64)}, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=r"a\.c is complex64"):
        convert_weights(tmp_path / "model.pth", tmp_path / "out.ckpt", rows=ROWS)


def nested() -> dict[str, Any]:
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best": 0.5,
        "args": None,
    }


def test_state_dict_within_a_training_checkpoint(tmp_path: Path) -> None:
    content = nested()
    torch.save(content, tmp_path / "model.pth")
    with open_checkpoint(tmp_path / "model.pth") as checkpoint:
        assert_holds(checkpoint, content["model"])
    content["ema"] = {name: value + 1 for name, value in content["model"].items()}
    torch.save(content, tmp_path / "both.pth")
    with open_checkpoint(tmp_path / "both.pth") as checkpoint:
        assert_holds(checkpoint, content["model"])
        assert any("not 'optimizer', 'ema'" in note for note in checkpoint.notes)
    with open_checkpoint(tmp_path / "both.pth", key="ema") as checkpoint:
        assert_holds(checkpoint, content["ema"])
    content["net"] = content["model"]
    torch.save(content, tmp_path / "several.pth")
    with pytest.raises(InputError, match="several state dicts: model, ema, net"):
        open_checkpoint(tmp_path / "several.pth")


def test_torchscript_parameters(tmp_path: Path) -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Sequential(torch.nn.Linear(2, 2))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(net).save(str(tmp_path / "script.pt"))
    with open_checkpoint(tmp_path / "script.pt") as checkpoint:
        assert {name: b"".join(e.chunks()) for name, e in checkpoint.entries.items()} == {
            name: raw(value) for name, value in net.state_dict().items()
        }
        assert any("its code was not" in note for note in checkpoint.notes)


def test_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"torch\.nn\.modules\.linear\.Linear") as caught:
        open_checkpoint(tmp_path / "model.pth")
    assert "state_dict()" in caught.value.help


def test_safetensors_and_shards(tmp_path: Path) -> None:
    values = {name: value.contiguous() for name, value in state().items() if "shared" not in name}
    save_file(values, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path / "model.safetensors") as checkpoint:
        assert_holds(checkpoint, {name: values[name] for name in checkpoint.entries})
        assert len(checkpoint.entries) == len(values)
    names = list(values)
    shards = {"a.safetensors": names[:5], "b.bin": names[5:]}
    save_file({name: values[name] for name in names[:5]}, tmp_path / "a.safetensors")
    torch.save({name: values[name] for name in names[5:]}, tmp_path / "b.bin")
    index = {"metadata": {}, "weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with open_checkpoint(tmp_path / "model.safetensors.index.json") as checkpoint:
        assert_holds(checkpoint, values)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torch_side_round_trip_by_torch_itself(tmp_path: Path, suffix: str) -> None:
    values = state()
    torch.save(values, tmp_path / "in.pth")
    convert_weights(tmp_path / "in.pth", tmp_path / f"out{suffix}", side="torch")
    loaded = torch.load(tmp_path / "out.pth") if suffix == ".pth" else load_file(tmp_path / "out.safetensors")
    assert set(loaded) == set(values)
    for name, value in values.items():
        assert loaded[name].dtype == value.dtype and loaded[name].shape == value.shape
        assert raw(loaded[name]) == raw(value)
    if suffix == ".pth":
        assert loaded["shared_a"].data_ptr() == loaded["shared_b"].data_ptr()


PLAN = Plan(
    (
        Slot("bn.gamma", ("bn.weight",), (4,), "float32"),
        Slot("bn.beta", ("bn.bias",), (4,), "float32"),
        Slot("conv.weight", ("conv.weight",), (2, 3, 1, 5), "float32", (2,)),
        Slot("emb.embedding_table", ("emb.weight", "head.weight"), (7, 3), "float32"),
        Slot("free.gamma", ("free.weight",), (3,), "float32", fill="ones"),
    ),
    frozenset({"bn.num_batches_tracked"}),
)


def planned() -> dict[str, torch.Tensor]:
    table = torch.randn(7, 3)
    return {
        "bn.weight": torch.randn(4),
        "bn.bias": torch.randn(4),
        "bn.num_batches_tracked": torch.tensor(0),
        "conv.weight": torch.randn(2, 3, 5),
        "emb.weight": table,
        "head.weight": table,
    }


def convert(tmp_path: Path, values: Mapping[str, Any], plan: Plan | None = PLAN, **options: Any) -> Any:
    torch.save(values, tmp_path / "in.pth")
    return convert_weights(tmp_path / "in.pth", tmp_path / "out.ckpt", plan=plan, rows=ROWS, **options)


def test_there_and_back_by_a_plan(tmp_path: Path) -> None:
    values = planned()
    report = convert(tmp_path, values)
    assert (
        report.filled == ["free.gamma"] and report.dropped == ["bn.num_batches_tracked"] and report.verified
    )
    maps.write_map(PLAN, str(tmp_path / "names.json"))
    plan = maps.read_map(str(tmp_path / "names.json"))
    assert plan == PLAN
    convert_weights(tmp_path / "out.ckpt", tmp_path / "back.pth", plan=plan)
    loaded = torch.load(tmp_path / "back.pth")
    assert set(loaded) == set(values)
    assert all(torch.equal(loaded[name], values[name]) for name in values)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "_orig_mod.model."]
)
def test_wrapper_prefixes_come_off(tmp_path: Path, prefix: str) -> None:
    report = convert(tmp_path, {prefix + name: value for name, value in planned().items()})
    assert len(report.entries) == 5 and any("prefix" in note for note in report.notes)


def codes(error: pytest.ExceptionInfo[WeightsError]) -> list[str]:
    return [diagnostic.code for diagnostic in error.value.diagnostics]


def test_all_differences_at_once(tmp_path: Path) -> None:
    values = planned()
    values["bn.weigth"] = values.pop("bn.weight")
    values["bn.bias"] = values["bn.bias"].half()
    values["conv.weight"] = values["conv.weight"][:, :2].clone()
    values["head.weight"] = values["head.weight"] + 1
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path, values)
    assert sorted(codes(caught)) == ["MSP401", "MSP402", "MSP403", "MSP404", "MSP405"]
    text = str(caught.value)
    assert "the nearest names are bn.weigth" in text and "the nearest names are bn.weight" in text
    assert not (tmp_path / "out.ckpt").exists()


def test_missing_and_rename_options(tmp_path: Path) -> None:
    values = planned()
    values["norm.weight"] = values.pop("bn.weight")
    values["norm.bias"] = values.pop("bn.bias")
    values["aux.weight"] = torch.ones(3)
    values["conv.weight"] = torch.randn(9, 3, 5)
    with pytest.raises(WeightsError):
        convert(tmp_path, values)
    report = convert(
        tmp_path, values, renames=[("norm", "bn"), ("aux.*", "")], allow_missing=["conv.*"], verify=True
    )
    assert report.missing == ["conv.weight"] and "aux.weight" in report.dropped
    with pytest.raises(WeightsError, match="nothing in the checkpoint is called nrom"):
        convert(tmp_path, values, renames={"nrom": "bn"})


def test_tied_entry_that_is_stored_once(tmp_path: Path) -> None:
    values = planned()
    del values["head.weight"]
    assert len(convert(tmp_path, values).entries) == 5


def test_siblings_name_what_is_certain(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    net.append(torch.nn.LayerNorm(2)).append(torch.nn.Conv1d(2, 3, 5)).append(torch.nn.LSTM(3, 4))
    values = net.state_dict()
    convert(tmp_path, values, plan=None)
    with open_checkpoint(tmp_path / "out.ckpt") as checkpoint:
        shapes = {name: entry.shape for name, entry in checkpoint.entries.items()}
    assert shapes["0.weight"] == (4, 3, 3, 3) and shapes["4.weight"] == (3, 2, 1, 5)
    assert {"1.gamma", "1.beta", "1.moving_mean", "1.moving_variance", "3.gamma", "5.weight_ih_l0"} <= set(
        shapes
    )
    assert "1.num_batches_tracked" not in shapes


@pytest.mark.parametrize(
    "layer", [torch.nn.Embedding(3, 4), torch.nn.Linear(3, 4, bias=False), torch.nn.PReLU()]
)
def test_siblings_refuse_what_is_ambiguous(tmp_path: Path, layer: torch.nn.Module) -> None:
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path, torch.nn.Sequential(layer).state_dict(), plan=None)
    assert codes(caught) == ["MSP406"]
    report = convert(
        tmp_path, torch.nn.Sequential(layer).state_dict(), plan=None, renames={"0.weight": "0.weight"}
    )
    assert [entry.name for entry in report.entries] == ["0.weight"]


def test_slices_of_large_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("porter.weights.ckpt.SLICE", 1000)
    values = {"a.w": torch.randn(40, 30), "b.w": torch.randn(30, 40).t(), "c.w": torch.ones(1)}
    convert(tmp_path, values, plan=None)
    with open_checkpoint(tmp_path / "out.ckpt") as checkpoint:
        assert_holds(checkpoint, values)
        assert len(checkpoint.entries["a.w"].spans) == 5


def test_command_prints_and_exits(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.ones(3, 2), "a.bias": torch.ones(3)}, tmp_path / "a.pth")
    torch.save({"a.weight": torch.zeros(3, 2), "b": torch.ones(1)}, tmp_path / "b.pth")
    run = CliRunner().invoke
    a, b, out = (str(tmp_path / name) for name in ("a.pth", "b.pth", "a.ckpt"))
    result = run(weights, [a, "-o", out, "--format", "json"])
    assert result.exit_code == 0 and json.loads(result.stdout)["verified"]
    assert run(weights, [a, "--list"]).stdout.count("float32") == 2
    difference = run(weights, ["--diff", a, b])
    assert difference.exit_code == 1 and "in 6 of 6 values, at most by 1" in difference.stdout
    assert run(weights, ["--diff", a, out]).exit_code == 0
    assert run(weights, [a, "-o", out, "--rename", "x=y"]).exit_code == 1
    assert run(weights, [a, "-o", str(tmp_path / "no" / "x.ckpt")]).exit_code == 2
    assert run(weights, []).exit_code == 2 and run(weights, [a]).exit_code == 2


def test_failed_writes_leave_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a.w": torch.ones(3, 2)}, tmp_path / "in.pth")
    out = tmp_path / "out.ckpt"
    out.write_bytes(b"old")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("porter.weights.write.os.write", full)
        with pytest.raises(InputError, match="No space left"):
            convert_weights(tmp_path / "in.pth", out)
    with monkeypatch.context() as patch:
        patch.setattr("porter.weights.write.os.access", lambda *_: False)
        with pytest.raises(InputError, match="read-only"):
            convert_weights(tmp_path / "in.pth", out)
    assert out.read_bytes() == b"old" and sorted(os.listdir(tmp_path)) == ["in.pth", "out.ckpt"]
    convert_weights(tmp_path / "in.pth", out)
    assert out.read_bytes() != b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_device_as_target_is_refused(tmp_path: Path) -> None:
    torch.save({"a.w": torch.ones(3, 2)}, tmp_path / "in.pth")
    (tmp_path / "x.ckpt").symlink_to("/dev/full")
    with pytest.raises(InputError, match="no regular file"):
        convert_weights(tmp_path / "in.pth", tmp_path / "x.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
def test_killed_at_any_moment(tmp_path: Path, old: bool) -> None:
    torch.save({f"l.{i}.w": torch.randn(1 << 20) for i in range(24)}, tmp_path / "in.pth")
    out = tmp_path / "out.ckpt"
    code = f"from porter.weights.convert import convert_weights as c; c({str(tmp_path / 'in.pth')!r}, {str(out)!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    length, good = time.monotonic() - started, out.read_bytes()
    for index in range(25):
        out.unlink(missing_ok=True)
        if old:
            out.write_bytes(b"old")
        process = subprocess.Popen([sys.executable, "-c", code], env=environment)
        time.sleep(length * (0.1 + index / 25))
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = out.read_bytes() if out.exists() else b"old"
        assert content in (b"old", good)
        assert {"in.pth"} <= set(os.listdir(tmp_path)) <= {"in.pth", "out.ckpt"}


def test_reading_imports_neither_framework() -> None:
    code = "import sys, porter.weights.command, porter.weights.convert; assert not {'torch', 'mindspore'} & set(sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


@pytest.mark.parametrize(
    ("kind", "target", "expected"),
    [
        ("SGD", "Momentum", {"moments": "momentum_buffer"}),
        ("SGD", "SGD", {"accum": "momentum_buffer"}),
        ("Adam", "Adam", {"moment1": "exp_avg", "moment2": "exp_avg_sq"}),
        ("AdamW", "experimental.AdamW", {"exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_optimizer_state_is_carried_over(
    tmp_path: Path, kind: str, target: str, expected: dict[str, str], named: bool
) -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv1d(2, 3, 3), torch.nn.BatchNorm1d(3), torch.nn.Conv1d(3, 3, 1, bias=True)
    )
    extra = {"momentum": 0.9} if kind == "SGD" else {}
    parameters = net.named_parameters() if named else net.parameters()
    optimizer = getattr(torch.optim, kind)(parameters, lr=0.1, **extra)
    for _ in range(3):
        net(torch.randn(4, 2, 9)).square().sum().backward()
        optimizer.step()
    convert(
        tmp_path,
        {"model": net.state_dict(), "optimizer": optimizer.state_dict()},
        plan=None,
        optimizer=target,
    )
    own = {name: optimizer.state[value] for name, value in net.named_parameters()}
    names = {"0.weight": "0.weight", "1.weight": "1.gamma", "1.bias": "1.beta", "2.bias": "2.bias"}
    with open_checkpoint(tmp_path / "out.ckpt") as checkpoint:
        for prefix, key in expected.items():
            for name, now in names.items():
                assert b"".join(checkpoint.entries[f"{prefix}.{now}"].chunks()) == raw(own[name][key])
        if kind != "SGD":
            step = "state_step" if "." in target else "global_step"
            assert b"".join(checkpoint.entries[step].chunks()) == b"\x03\0\0\0"
        if target == "Adam":
            assert b"".join(checkpoint.entries["beta1_power"].chunks()) == raw(torch.tensor(0.9**3))


def test_optimizer_of_another_kind_is_refused(tmp_path: Path) -> None:
    content = nested()
    with pytest.raises(InputError, match="Adam has no state 'momentum_buffer'"):
        convert(tmp_path, content, plan=None, optimizer="Adam")
    with pytest.raises(InputError, match="Adagrad is not known"):
        convert(tmp_path, content, plan=None, optimizer="Adagrad")
    with pytest.raises(InputError, match="holds no optimizer state"):
        convert(tmp_path, content["model"], plan=None, optimizer="SGD")
