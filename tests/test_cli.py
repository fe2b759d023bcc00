"""The command line: bad input is one clear line and exit status 2, nothing half-written; help comes at once."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from porter.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
NET = "import torch.nn as nn\n\nnet = nn.Conv2d(3, 4, 3)\n"


def porter(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(result: Result, said: str) -> None:
    """One line that says what and where, perhaps one that says what to do, and exit status 2."""
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert said in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("Usage:", "Try "))]
    assert len([line for line in lines if line.strip()]) <= 2, result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    return folder


# --- convert -----------------------------------------------------------------------------------------------------------


def test_convert_writes_and_is_clean(source: Path, tmp_path: Path) -> None:
    (source / "notes.txt").write_text("kept")
    result = porter("convert", str(source), "-o", str(tmp_path / "out"))
    assert result.exit_code == 0, result.stderr
    assert "from mindspore import nn" in (tmp_path / "out" / "net.py").read_text()
    assert (tmp_path / "out" / "notes.txt").read_text() == "kept"
    assert (source / "net.py").read_text() == NET


def test_a_file_that_does_not_parse_is_named_and_kept(source: Path, tmp_path: Path) -> None:
    (source / "broken.py").write_text("def f(:\n")
    result = porter("convert", str(source), "-o", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert "broken.py:1:7 MSP900 not Python" in result.stdout
    assert (tmp_path / "out" / "broken.py").read_text() == "def f(:\n"
    assert "from mindspore import nn" in (tmp_path / "out" / "net.py").read_text()


def test_convert_refuses_what_is_not_there(tmp_path: Path) -> None:
    refused(porter("convert", str(tmp_path / "absent.py"), "-o", str(tmp_path / "out")), "no such file or folder")
    (tmp_path / "empty").mkdir()
    refused(porter("convert", str(tmp_path / "empty"), "-o", str(tmp_path / "out")), "no Python file there")
    assert not (tmp_path / "out").exists()


def test_convert_refuses_bytes_that_are_not_text(source: Path, tmp_path: Path) -> None:
    (source / "net.py").write_bytes(b"x = '\xff\xfe'\n")
    refused(porter("convert", str(source), "-o", str(tmp_path / "out")), "net.py: cannot be read")
    assert not (tmp_path / "out").exists()


def test_convert_never_writes_into_the_source(source: Path) -> None:
    refused(porter("convert", str(source), "-o", str(source / "out")), "lies inside the source")
    assert [p.name for p in source.iterdir()] == ["net.py"]


def test_convert_leaves_other_work_alone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    refused(porter("convert", str(source), "-o", str(out)), "holds other work")
    assert [p.name for p in out.iterdir()] == ["thesis.tex"]
    assert porter("convert", str(source), "-o", str(out), "--force").exit_code == 0
    assert (out / "thesis.tex").read_text() == "years of work"


def test_convert_refuses_an_output_that_is_a_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    refused(porter("convert", str(source), "-o", str(tmp_path / "out")), "is a file")
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_convert_refuses_an_unwritable_output(source: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(porter("convert", str(source), "-o", str(tmp_path / "locked" / "out")), "cannot be written")


def test_an_output_that_cannot_be_a_folder(source: Path) -> None:
    refused(porter("convert", str(source), "-o", "/proc/porter-out"), "/proc/porter-out: cannot be written")


def test_convert_needs_somewhere_to_write(source: Path) -> None:
    refused(porter("convert", str(source)), "give -o OUT, --diff or --check")
    refused(porter("convert", str(source), "--check", "--input", "float32[1]"), "--input belongs to --trace")


@pytest.mark.parametrize(
    ("spec", "inputs", "said"),
    [
        ("net", ["float32[1,3,8,8]"], "not MODULE:EXPR"),
        ("net:net", [], "--trace without --input"),
        ("net:net", ["float32(1,3)"], "is not of the form"),
        ("net:net", ["floaty[1,3]"], "is not a dtype"),
        ("net:absent", ["float32[1,3,8,8]"], "absent"),
        ("absent:net", ["float32[1,3,8,8]"], "absent"),
        ("net:net", ["float32[1,5,8,8]"], "net:net"),
    ],
)
def test_a_trace_that_cannot_run(source: Path, tmp_path: Path, spec: str, inputs: list[str], said: str) -> None:
    pytest.importorskip("torch")
    given = [part for text in inputs for part in ("--input", text)]
    refused(porter("convert", str(source), "-o", str(tmp_path / "out"), "--trace", spec, *given), said)
    assert not (tmp_path / "out").exists()


def test_a_table_that_breaks_a_law(source: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("- {torch: torch.nn.Conv2d(x), kind: module, mindspore: mindspore.nn.Conv2d(y)}\n")
    result = porter("convert", str(source), "-o", str(tmp_path / "out"), "--mappings", str(own))
    assert result.exit_code == 2
    assert "own.yaml:1:1 MSP007" in result.stderr
    assert not (tmp_path / "out").exists()


def test_check_and_diff_write_nothing(source: Path, tmp_path: Path) -> None:
    before = sorted(p for p in tmp_path.rglob("*"))
    assert porter("convert", str(source), "--check").exit_code == 0
    result = porter("convert", str(source), "--diff")
    assert "+from mindspore import nn" in result.stdout
    assert sorted(p for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("style", ["json", "sarif"])
def test_diagnostics_for_machines(source: Path, style: str) -> None:
    (source / "net.py").write_text("import torch\n\nx = torch.no_such_function(1)\n")
    result = porter("convert", str(source), "--check", "--format", style)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    results = found["runs"][0]["results"] if style == "sarif" else found
    assert len(results) == 1
    assert "MSP1" in json.dumps(results)


# --- weights -----------------------------------------------------------------------------------------------------------


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pickle-was-run",)


def harmful(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"weight": _Harmful()}, protocol=2))
        archive.writestr("model/version", "3\n")


@pytest.mark.parametrize("kind", ["absent", "empty", "text", "truncated", "harmful"])
def test_a_checkpoint_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    harmful(path)
    whole = path.read_bytes()
    if kind == "absent":
        path.unlink()
    elif kind != "harmful":
        path.write_bytes({"empty": b"", "text": b"not a checkpoint", "truncated": whole[: len(whole) // 2]}[kind])
    refused(porter("weights", "model.pth", "-o", "model.ckpt"), "model.pth")
    assert not (tmp_path / "model.ckpt").exists()
    assert not (tmp_path / "pickle-was-run").exists()
    assert {p.name for p in tmp_path.iterdir()} <= {"model.pth"}


# --- explain, new, scan ------------------------------------------------------------------------------------------------


def test_explain_shows_the_row() -> None:
    text = porter("explain", "torch.nn.BatchNorm2d").stdout
    for part in ("mappings/nn/normalization.yaml:", "1 - momentum", "weight -> gamma", "requires", "before", "after"):
        assert part in text
    assert "momentum=0.7" in text  # the example, by the engine


def test_explain_of_a_refused_name() -> None:
    text = porter("explain", "torch.nn.FractionalMaxPool2d").stdout
    assert "refused   the random windows" in text
    assert "CPU       refused" in text


def test_explain_of_a_misspelt_name() -> None:
    refused(porter("explain", "torch.nn.Conv2D"), "the table has no row called torch.nn.Conv2D")
    assert "torch.nn.Conv2d" in porter("explain", "torch.nn.Conv2D").stderr
    assert "in full" in porter("explain", "xyzzy.plugh").stderr


def test_new_prints_a_row_with_torchs_signature() -> None:
    pytest.importorskip("torch")
    text = porter("new", "torch.nn.Hardtanh").stdout
    assert "- torch: torch.nn.Hardtanh(min_val=-1.0, max_val=1.0, inplace=False" in text
    assert "kind: module" in text
    assert "kind: method" in porter("new", "torch.Tensor.size").stdout
    refused(porter("new", "torch.nn.Conv2D"), "torch.nn has no 'Conv2D'")
    assert "Conv2d" in porter("new", "torch.nn.Conv2D").stderr
    refused(porter("new", "numpy.array"), "not a torch name")


def test_new_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    refused(porter("new", "torch.nn.Conv2d"), "torch, which is not installed")


def test_scan_writes_nothing(source: Path) -> None:
    (source / "more.py").write_text("import torch\n\nx = torch.no_such_function(1)\n")
    result = porter("scan", str(source), "--format", "json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["files"], found["clean"]) == (1, 2, 1)
    assert {p.name for p in source.iterdir()} == {"net.py", "more.py"}


def test_an_unknown_command_has_a_suggestion() -> None:
    result = porter("convret")
    assert result.exit_code == 2
    assert "convert" in result.stderr


# --- the start ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), ["explain", "torch.nn.Conv2d"]])
def test_no_framework_is_imported(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom porter.cli import main\n"
        f"try:\n    main({arguments!r}, prog_name='porter')\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "print('loaded:', [m for m in ('torch', 'mindspore') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.endswith("loaded: []\n"), run.stdout + run.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["explain", "torch.nn.Conv2d"]])
def test_the_start_takes_no_time(arguments: list[str]) -> None:
    """Processor time, which other work on the machine hardly changes; `make bench` measures by the clock."""
    command = [sys.executable, "-m", "porter.cli", *arguments]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)  # fills the caches
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.3


def test_a_folder_beside_a_single_file_takes_its_port(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("import torch\n\nx = torch.relu(torch.ones(2))\n")
    assert porter("convert", str(tmp_path / "net.py"), "-o", str(tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out" / "net.py").is_file()
    assert porter("convert", str(tmp_path / "net.py"), "-o", str(tmp_path)).exit_code == 2
