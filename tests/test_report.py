"""Reports: one self-contained page, SARIF that validates in shape, and text that names the first difference."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from porter.diagnostics import Diagnostic, Location
from porter.parity.compare import Tensor, compare
from porter.parity.models import LayerDifference, ModelParity
from porter.report.html import PortedText, PortReport, bar_length, render, side_by_side, write_report
from porter.report.sarif import sarif
from porter.report.text import parity_json, parity_text

REFUSED = Diagnostic(
    Location("unet/model.py", 41, 20),
    "MSP201",
    "Conv2d with padding_mode='reflect' has no MindSpore form here",
    "pad first",
    "mappings/nn/convolution.yaml:3",
    symbol="torch.nn.Conv2d",
)
BROKEN = Diagnostic(Location("a b.py"), "MSP900", "not Python that this version parses")


def layer(path: str, difference: float) -> LayerDifference:
    one, other = np.ones(3, np.float32), np.full(3, 1 + difference, np.float32)
    comparison = compare(Tensor(one, "float32"), Tensor(other, "float32"), name=path, rtol=1e-4)
    return LayerDifference(path, "Conv2d", comparison)


def parity(difference: float = 0.0) -> ModelParity:
    found = layer("output", difference).comparison
    assert found is not None
    layers = (
        layer("stem", 0.0),
        LayerDifference("bn", "BatchNorm2d", None, "relu"),
        layer("layer1.0.conv1", difference),
    )
    return ModelParity("PYNATIVE", (found,), layers, gradients=(found,), losses=(found,), trained=(found,))


class Strict(HTMLParser):
    """Fails on tags that do not nest."""

    VOID = frozenset({"meta", "br", "hr", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(**fields: object) -> str:
    text = render(PortReport("GENet", **fields))  # type: ignore[arg-type]
    parser = Strict()
    parser.feed(text)
    assert not parser.open
    return text


def test_page_is_self_contained() -> None:
    text = page(parity=(parity(),), diagnostics=(REFUSED,), files=(PortedText("m.py", "a\n", "b\n"),))
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(|https?://", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_page_names_the_first_layer_that_differs() -> None:
    text = page(parity=(parity(0.5),))
    assert "differs first at layer1.0.conv1" in text
    assert text.count("first to differ") == 1
    assert 'class="verdict bad"' in text


def test_page_of_an_equal_model() -> None:
    text = page(parity=(parity(),))
    assert 'class="verdict good"' in text
    assert "fused, see relu" in text
    assert "differs first" not in text


def test_source_is_escaped() -> None:
    text = page(files=(PortedText("m.py", "x = 1\n", "x = '<script>alert(1)</script>' & 2\n"),))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_diagnostics_make_the_verdict_bad_and_are_counted() -> None:
    text = page(diagnostics=(REFUSED, REFUSED, BROKEN), files=(PortedText("m.py", "a", "b"),))
    assert "MSP201: 2" in text
    assert "3 diagnostics" in text
    assert 'class="verdict bad"' in text


def test_side_by_side_pairs_changed_lines_and_leaves_out_what_is_far() -> None:
    before = [f"line {i}" for i in range(40)]
    after = [*before[:20], "changed", *before[21:], "added"]
    lines = list(side_by_side("\n".join(before), "\n".join(after)))
    changed = [line for line in lines if line.kind == "change"]
    assert [(c.left_number, c.left, c.right_number, c.right) for c in changed] == [
        (21, "line 20", 21, "changed")
    ]
    assert [line.right for line in lines if line.kind == "right"] == ["added"]
    assert [line.left for line in lines if line.kind == "gap"] == ["17 unchanged lines", "13 unchanged lines"]
    assert len(lines) < 20


def test_unchanged_text_has_no_diff() -> None:
    assert not list(side_by_side("a\nb\n", "a\nb\n"))


@pytest.mark.parametrize(
    ("difference", "length"), [(0.0, 0), (1e-9, 0), (1.0, 100), (50.0, 100), (float("inf"), 100)]
)
def test_bar_ends(difference: float, length: int) -> None:
    assert bar_length(difference) == length


def test_bar_is_monotone() -> None:
    lengths = [bar_length(10.0**e) for e in range(-9, 1)]
    assert lengths == sorted(set(lengths))


def test_write_report_shows_only_files_that_changed(tmp_path: Path) -> None:
    class Tree:
        files = {"a.py": "import mindspore\n", "same.py": "x = 1\n", "ms_extras.py": "def f(): ...\n"}
        diagnostics = (REFUSED,)

    path = tmp_path / "out" / "report.html"
    write_report(path, texts={"a.py": "import torch\n", "same.py": "x = 1\n"}, tree=Tree())
    text = path.read_text("utf-8")
    assert "a.py" in text
    assert "ms_extras.py" in text
    assert "same.py" not in text
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_sarif() -> None:
    log = sarif([REFUSED, BROKEN, REFUSED])
    json.dumps(log)
    run = log["runs"][0]
    assert log["version"] == "2.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["MSP201", "MSP900"]
    first, second, third = run["results"]
    assert first == third
    assert first["ruleIndex"] == 0
    place = first["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "unet/model.py"},
        "region": {"startLine": 41, "startColumn": 20},
    }
    assert "help: pad first" in first["message"]["text"]
    assert second["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "a%20b.py"}}


def test_sarif_without_findings_has_a_run() -> None:
    assert sarif([])["runs"][0]["results"] == []


def test_text_marks_the_first_difference_once() -> None:
    text = parity_text([parity(0.5)])
    assert re.search(r"layer1.0.conv1 +Conv2d +5.0e-01  <- differs first", text)
    assert "PYNATIVE: differs first at layer1.0.conv1 (Conv2d); output: differs by" in text
    assert "gradients          1 of 1 differ" in text


def test_json_has_no_infinity() -> None:
    missing = ModelParity("GRAPH", (compare(Tensor(np.zeros(2), "float32"), Tensor(np.zeros(3), "float32")),))
    found = parity_json([parity(), missing])
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text)[1]["outputs"][0]["difference"] is None
    assert found[0]["passed"]
    assert found[0]["layers"][1]["fused_with"] == "relu"
