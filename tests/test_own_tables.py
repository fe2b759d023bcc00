"""A project's own rows: from --mappings and [tool.porter], checked by the loader's laws, proven, and told of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from porter.cli import main
from porter.diagnostics import InputError
from porter.settings import own_tables

OWN = """\
- torch: torch.nn.ReLU(inplace=False)
  kind: module
  mindspore: mindspore.nn.LeakyReLU(0.0)
  ignore: [inplace]
  examples: [{call: torch.nn.ReLU(), inputs: ['float32[3,4]'], check: [output, grad]}]
- torch: torch.house_norm(input, eps=0.5)
  kind: function
  mindspore: mindspore.ops.rsqrt(mindspore.ops.square(input).mean() + eps)
"""


def porter(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table, a pyproject.toml that names it, and a source file; it is the current one."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "own.yaml").write_text(OWN)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.porter]\nmappings = ["tables/own.yaml"]\n')
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "net.py").write_text(
        "import torch\n\nact = torch.nn.ReLU()\n\n\ndef f(x: torch.Tensor):\n    return torch.house_norm(x, eps=0.1)\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_of_the_project_add_and_override(project: Path) -> None:
    result = porter("convert", "source", "-o", "out")
    assert result.exit_code == 0, result.output
    text = (project / "out" / "net.py").read_text()
    assert "nn.LeakyReLU(0.0)" in text
    assert "ops.rsqrt(ops.square(x).mean() + 0.1)" in text


def test_a_row_that_contradicts_a_proven_one_wins_with_a_notice(project: Path) -> None:
    said = porter("convert", "source", "--check").stderr
    assert said.count("note:") == 1
    assert "own.yaml:1" in said
    assert "note: stands in place of the proven row of torch.nn.ReLU (mappings/nn/activation.yaml:" in said


def test_a_row_that_says_the_same_needs_no_notice(project: Path) -> None:
    same = "- {torch: torch.nn.ReLU(inplace=False), kind: module, mindspore: mindspore.nn.ReLU(), ignore: [inplace]}\n"
    (project / "tables" / "own.yaml").write_text(same)
    (project / "source" / "net.py").write_text("import torch\n\nact = torch.nn.ReLU()\n")
    result = porter("convert", "source", "--check")
    assert result.exit_code == 0
    assert "note:" not in result.stderr


def test_given_tables_win_over_those_of_the_project(project: Path) -> None:
    given = project / "given.yaml"
    given.write_text("- {torch: torch.nn.ReLU(inplace=False), kind: module, refused: {reason: not in this house}}\n")
    result = porter("convert", "source", "-o", "out", "--mappings", str(given))
    assert "torch.nn.ReLU: not in this house" in result.output
    assert "ops.rsqrt" in (project / "out" / "net.py").read_text()
    assert [p.name for p in own_tables((given,), project)] == ["own.yaml", "given.yaml"]
    assert own_tables((project / "tables" / "own.yaml",), project) == (project / "tables" / "own.yaml",)


def test_explain_shows_the_projects_row(project: Path) -> None:
    text = porter("explain", "torch.house_norm").stdout
    assert "own.yaml:6" in text
    assert "mindspore.ops.rsqrt" in text


def test_the_projects_rows_are_proven_like_all_others(project: Path) -> None:
    pytest.importorskip("mindspore")
    result = porter("prove", "torch.nn.ReLU", "--jobs", "1", "--fuzz", "5", "--format", "json")
    (row,) = json.loads(result.stdout)["rows"]
    assert row["state"] == "proven", row
    assert row["fuzz"] == {"equal": 5, "equal gradient": 5}
    (project / "tables" / "own.yaml").write_text(OWN.replace("LeakyReLU(0.0)", "LeakyReLU(0.1)"))
    result = porter("prove", "torch.nn.ReLU", "--jobs", "1")
    assert result.exit_code == 1
    assert "torch.nn.ReLU: failed" in result.stdout


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('[tool.porter]\nmapings = ["x"]\n', "unknown key 'mapings'"),
        ('[tool.porter]\nmappings = "x"\n', "is not a list of paths"),
        ('[tool.porter]\nmappings = ["absent.yaml"]\n', "names absent.yaml, which is no file"),
        ("[tool.porter\n", "not valid TOML"),
        ('[tool]\nporter = "tool.porter"\n', "tool.porter is not a table"),
    ],
)
def test_a_section_that_is_wrong(project: Path, section: str, said: str) -> None:
    (project / "pyproject.toml").write_text(section)
    with pytest.raises(InputError, match=r"pyproject\.toml"):
        own_tables((), project)
    result = porter("convert", "source", "--check")
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_broken_row_of_the_project_is_named_with_file_and_line(project: Path) -> None:
    (project / "tables" / "own.yaml").write_text(OWN + "- {torch: torch.f(x), kind: function, mindspore: emitted.absent(x)}\n")
    result = porter("convert", "source", "--check")
    assert result.exit_code == 2
    assert "own.yaml:9:1 MSP008 torch.f: emitted.absent is not defined" in result.stderr


def test_a_project_without_a_section(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert own_tables((), tmp_path) == ()


def test_what_models_demand_is_counted(tmp_path: Path) -> None:
    names = tmp_path / "names.csv"
    names.write_text("api,models_executing\ntorch.nn.Conv2d,160\nTensor.view,121\ntorch.no_such_name,3\ntorch.cat,0\n")
    text = porter("table", "--demand", str(names)).stdout
    assert text.splitlines() == [
        "3 names that models execute: 2 proven (66.7 %)",
        "  torch.no_such_name (3 models): no row",
    ]
    names.write_text("name\ntorch.cat\n")
    assert porter("table", "--demand", str(names)).exit_code == 2
