"""A proof is kept, and taken only where nothing that its result depends on has changed."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porter.diagnostics import Location
from porter.parity.proofs import RowResult
from porter.parity.same import class_texts
from porter.table import Row, load_table, read_rows

pytest.importorskip("torch")
pytest.importorskip("mindspore")

SOFTSHRINK = """
- torch: torch.nn.functional.softshrink(input, lambd=0.5)
  kind: function
  mindspore: mindspore.ops.softshrink(input, lambd=lambd)
  examples:
    - {call: 'torch.nn.functional.softshrink(x0, 0.3)', inputs: ['float32[6,7]'], check: [output, grad], graph: false}
"""


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def read(text: str) -> Row:
        path = tmp_path / "rows.yaml"
        path.write_text(textwrap.dedent(text), "utf-8")
        rows, problems = read_rows(path)
        assert not problems
        return rows[0]

    return read


def prove(row: Row, **options: Any) -> RowResult:
    from porter.parity.rows import prove_row

    return prove_row(row.name, row, load_table().extended([row]), **options)


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From the call on, every run of a ported example fails."""

    def stop() -> None:
        def observe(*_: object, **__: object) -> None:
            raise RuntimeError("ran again")

        monkeypatch.setattr("porter.parity.ported.observe", observe)

    return stop


def test_a_kept_proof_is_taken_again(row: Any, nothing_runs: Any) -> None:
    first = prove(row(SOFTSHRINK))
    assert (first.proof.state, first.proof.mutants) == ("proven", (1, 1))
    nothing_runs()
    assert prove(row("\n\n" + SOFTSHRINK), fresh=False).proof == first.proof  # only its line has changed
    assert "ran again" in str(prove(row(SOFTSHRINK), fresh=True).failures[0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x0, 0.3", "x0, 0.4"),
        ("[6,7]", "[6,8]"),
        ("lambd=lambd)", "lambd=lambd + 0)"),
        ("[output, grad]", "[output]"),
        ("kind: function", "kind: function\n  mutants: {drop lambd=lambd: a default}"),
    ],
)
def test_a_changed_row_runs_again(row: Any, nothing_runs: Any, old: str, new: str) -> None:
    assert prove(row(SOFTSHRINK)).proof.state == "proven"
    nothing_runs()
    changed = prove(row(SOFTSHRINK.replace(old, new)), fresh=False)
    assert "ran again" in str(changed.failures[0])


def test_a_failure_is_not_kept(row: Any) -> None:
    wrong = row(SOFTSHRINK.replace("lambd=lambd)", "lambd=lambd + 1)"))
    assert prove(wrong).proof.state == prove(wrong, fresh=False).proof.state == "failed"
    assert prove(wrong, fresh=False).failures != ()


def test_everything_that_a_result_depends_on_is_in_its_key(row: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.parity import kept

    table = load_table()
    own = row(SOFTSHRINK)
    key = kept.proof_key(own, table, ("torch", "ported"))
    assert kept.proof_key(replace(own, location=Location("elsewhere", 7)), table, ("torch", "ported")) == key
    others = {
        kept.proof_key(own, table, ("torch", "ported otherwise")),
        kept.proof_key(own, table, ("torchported",)),
        kept.proof_key(replace(own, weights={"weight": "gamma"}), table, ("torch", "ported")),
    }
    monkeypatch.setattr(kept, "_surroundings", lambda: "another MindSpore")
    others.add(kept.proof_key(own, table, ("torch", "ported")))
    assert len(others) == 4
    assert key not in others


def test_the_surroundings_name_the_code_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.parity import kept

    kept._surroundings.cache_clear()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    one = kept._surroundings()
    kept._surroundings.cache_clear()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    assert kept._surroundings() != one
    kept._surroundings.cache_clear()


def test_classes_that_say_the_same() -> None:
    texts = class_texts(
        "class One:\n    x = f(1, a=2, b=3)  # here\n\n\nclass Other:\n    x = f(1,\n          b=3, a=2)\n\n\n"
        "class Third:\n    x = f(1, a=3, b=2)\n"
    )
    assert texts["One"] == texts["Other"] != texts["Third"]
    assert (
        class_texts("y = 1\nclass One:\n    pass\n")[""] != class_texts("y = 2\nclass One:\n    pass\n")[""]
    )
