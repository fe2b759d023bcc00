"""`porter port`: the whole job on a small network, and one clear line for each kind of bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NET = """
import torch.nn as nn
from torch import Tensor


class Net(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        return self.fc(x.mean((2, 3)))


class Broken(Net):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("no such luck")
"""


def porter(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(ROOT), ONEDNN_MAX_CPU_ISA="AVX2", GLOG_v="3")
    command = [sys.executable, "-m", "porter.cli", "port", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def test_the_whole_job(folder: Path) -> None:
    run = porter("net.py:Net(6)", "--input", "float32[2,3,8,9]", "-o", "out", "--fuse", "--grad", cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    written = {p.relative_to(folder / "out").as_posix() for p in (folder / "out").rglob("*") if p.is_file()}
    assert {"net.py", "model.pth", "model.ckpt", "report.html", "porter-map.json"} <= written
    assert "PYNATIVE: outputs equal" in run.stdout
    assert "GRAPH: outputs equal" in run.stdout
    assert "fused, see" in run.stdout
    assert "[5/5]" in run.stderr
    again = porter(
        "net.py:Net(6)", "--input", "float32[2,3,8,9]", "-o", "out", "--weights", "out/model.pth", cwd=folder
    )
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize(
    ("spec", "inputs", "said"),
    [
        ("net.py", ["float32[2,3,8,9]"], "not MODULE:EXPR"),
        ("nowhere.py:Net()", ["float32[2,3,8,9]"], "nowhere.py: no such file"),
        ("nowhere.model:Net()", ["float32[2,3,8,9]"], "nowhere.model: no such module"),
        ("net.py:Net(", ["float32[2,3,8,9]"], "is not an expression"),
        ("net.py:Absent()", ["float32[2,3,8,9]"], "NameError"),
        ("net.py:Net", ["float32[2,3,8,9]"], "net"),
        ("net.py:Net()", ["float32[2,3,8"], "is not of the form"),
        ("net.py:Net()", ["float32[2,5,8,9]"], "raised RuntimeError"),
        ("net.py:Net()", ["float32[2,3,8,9]", "float32[1]"], "raised TypeError"),
        ("net.py:Broken()", ["float32[2,3,8,9]"], "no such luck"),
    ],
)
def test_bad_input(folder: Path, spec: str, inputs: list[str], said: str) -> None:
    options = [part for text in inputs for part in ("--input", text)]
    run = porter(spec, *options, "-o", "out", cwd=folder)
    assert run.returncode == 2, run.stdout + run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert not (folder / "out").exists()


def test_a_checkpoint_that_is_none(folder: Path) -> None:
    (folder / "bad.pth").write_bytes(b"not a checkpoint")
    run = porter(
        "net.py:Net()", "--input", "float32[2,3,8,9]", "-o", "out", "--weights", "bad.pth", cwd=folder
    )
    assert run.returncode == 2
    assert "bad.pth" in run.stderr
    assert not (folder / "out").exists()


def test_an_occupied_output_folder(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("years of work")
    run = porter("net.py:Net()", "--input", "float32[2,3,8,9]", "-o", "out", cwd=folder)
    assert run.returncode == 2
    assert "holds other work" in run.stderr
    assert [p.name for p in (folder / "out").iterdir()] == ["thesis.tex"]


def test_without_input(folder: Path) -> None:
    run = porter("net.py:Net()", "-o", "out", cwd=folder)
    assert run.returncode == 2
    assert "--input" in run.stderr


def test_a_port_that_differs(folder: Path) -> None:
    """Weights of another network do not fit: named, exit 1, and the converted source is there to look at."""
    porter("net.py:Net(8)", "--input", "float32[2,3,8,9]", "-o", "wide", cwd=folder)
    run = porter(
        "net.py:Net(6)", "--input", "float32[2,3,8,9]", "-o", "out", "--weights", "wide/model.pth", cwd=folder
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "MSP403" in run.stdout
    assert (folder / "out" / "net.py").exists()
    assert not (folder / "out" / "model.ckpt").exists()
