"""A folder that is itself a package: its own name, leading dots up to it, and where its emitted module is imported from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from porter.cli import main

FILES = {
    "__init__.py": "from .net import Net\n",
    "layer.py": "import torch\n\n\nclass Block(torch.nn.Module):\n    def forward(self, x):\n        return torch.softmax(x, 1).transpose(0, 1)\n",
    "net.py": "import torch\nfrom mine.layer import Block\n\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.block = Block()\n        self.head = torch.nn.Linear(3, 4)\n\n    def forward(self, x):\n"
    "        return self.head(self.block(x).transpose(0, 1))\n",
    "parts/__init__.py": "",
    "parts/other.py": "import torch\nfrom ..layer import Block\n\n\ndef run(x: torch.Tensor):\n    return torch.softmax(Block()(x).transpose(0, 1), 0)\n",
}


def converted(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    output = folder / "ported" / "mine"
    result = CliRunner().invoke(main, ["convert", str(folder / "mine"), "-o", str(output)])
    assert result.exit_code == 0, result.output
    return output


def test_a_package_is_ported_as_one(tmp_path: Path) -> None:
    output = converted(tmp_path, FILES)
    assert "self.block(x).swapaxes(0, 1)" in (output / "net.py").read_text("utf-8")  # known through its absolute import
    assert "from . import ms_extras\n" in (output / "layer.py").read_text("utf-8")
    assert "from .. import ms_extras\n" in (output / "parts" / "other.py").read_text("utf-8")
    assert [p.parent.name for p in output.rglob("ms_extras.py")] == ["mine"]
    code = "import mindspore as ms, mine, mine.parts.other as other\nx = ms.ops.ones((2, 3))\nprint(mine.Net()(x).shape, other.run(x).shape)"
    run = subprocess.run([sys.executable, "-c", code], cwd=output.parent, capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == "(2, 4) (2, 3)", run.stderr


@pytest.mark.parametrize("init", ["", "import os\n"])
def test_scripts_beside_an_empty_init_stay_scripts(tmp_path: Path, init: str) -> None:
    files = {"__init__.py": init, "layer.py": FILES["layer.py"], "run.py": "import torch\nfrom layer import Block\n\n\ndef run(x):\n    return torch.softmax(Block()(x), 0)\n"}
    output = converted(tmp_path, files)
    assert "\nimport ms_extras\n" in "\n" + (output / "layer.py").read_text("utf-8")
    run = subprocess.run([sys.executable, "-c", "import run"], cwd=output, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


def test_a_script_of_a_package_is_run_as_a_program(tmp_path: Path) -> None:
    script = "import torch\nfrom mine.layer import Block\n\nfor _ in range(1):\n    print(torch.softmax(Block()(torch.ones(2, 3)), 0).shape)\n"
    output = converted(tmp_path, {**FILES, "tools/__init__.py": "", "tools/run.py": script})
    assert "from mine import ms_extras\n" in (output / "tools" / "run.py").read_text("utf-8")
    assert "from .. import ms_extras\n" in (output / "parts" / "other.py").read_text("utf-8")
    run = subprocess.run([sys.executable, "mine/tools/run.py"], cwd=output.parent, env={**os.environ, "PYTHONPATH": "."}, capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == "(3, 2)", run.stderr


LATE = {
    "train.py": "def network(name):\n    if name == 'a':\n        from nets.a import make\n        return make\n\n\nprint(network('a')())\n",
    "nets/a.py": "import torch\n\n\ndef make():\n    return tuple(torch.softmax(torch.ones(3), 0).view(3, 1).transpose(0, 1).shape)\n",
}


def test_a_folder_that_a_function_imports_from_has_its_emitted_module(tmp_path: Path) -> None:
    for name, text in LATE.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(text.replace("torch.ones(3)", "torch.nn.functional.hardtanh(torch.ones(3), 0.5, 1)"), "utf-8")
    result = CliRunner().invoke(main, ["convert", str(tmp_path / "source"), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "import ms_extras" not in (tmp_path / "out" / "nets" / "a.py").read_text("utf-8").splitlines()
    run = subprocess.run([sys.executable, "train.py"], cwd=tmp_path / "out", capture_output=True, text=True, env={**os.environ, "GLOG_v": "3"})
    assert run.stdout.strip() == "(1, 3)", run.stderr
