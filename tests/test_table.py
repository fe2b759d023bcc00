"""The loader's laws, one broken at a time, and what must hold of the rows that ship."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from porter import table as loader
from porter.diagnostics import InputError
from porter.expression import record_signatures
from porter.report.table import pages, schema_of_table
from porter.signature import Signature, parse_signature
from porter.signatures import used_names
from porter.table import Row, load_table, read_rows

GOOD = "- torch: torch.nn.Thing(size, bias=True)\n  kind: module\n  mindspore: mindspore.nn.Thing(size, bias)\n"


def read(tmp_path: Path, text: str) -> tuple[list[Row], list[str]]:
    path = tmp_path / "rows.yaml"
    path.write_text(text, "utf-8")
    rows, problems = read_rows(path)
    return rows, [str(p) for p in problems]


def test_a_row_that_keeps_every_law(tmp_path: Path) -> None:
    rows, problems = read(tmp_path, GOOD)
    assert problems == []
    assert [(r.name, r.kind, r.alternatives[0].to) for r in rows] == [
        ("torch.nn.Thing", "module", "mindspore.nn.Thing(size, bias)")
    ]


BROKEN = {
    "unknown key": (GOOD + "  mindspor: x\n", "MSP002 unknown key 'mindspor'"),
    "unused parameter": (GOOD.replace(", bias)", ")"), "MSP009 torch.nn.Thing: parameter 'bias' is neither used"),
    "free name": (GOOD.replace("(size, bias)", "(size, biased)"), "MSP007 torch.nn.Thing: to reads 'biased'"),
    "free name in a guard": (
        GOOD + "  require: [{that: padding == 0, else: no}]\n",
        "MSP007 torch.nn.Thing: require reads 'padding'",
    ),
    "free name in a condition": (
        GOOD.replace("mindspore.nn.Thing(size, bias)", "[{when: wide, to: 'mindspore.nn.Thing(size, bias)'}]"),
        "MSP007 torch.nn.Thing: when reads 'wide'",
    ),
    "a question that a ported program cannot answer": (
        GOOD + "  require: [{that: is_size(size), else: no}]\n",
        "MSP007 torch.nn.Thing: require asks is_size",
    ),
    "no such emitted definition": (
        GOOD.replace("mindspore.nn.Thing", "emitted.NoSuchThing"),
        "MSP008 torch.nn.Thing: emitted.NoSuchThing is not defined",
    ),
    "no torch": ("- kind: module\n  mindspore: mindspore.nn.Thing()\n", "MSP003 a row without 'torch'"),
    "bad signature": (GOOD.replace("bias=True)", "bias=True"), "MSP003 signature without closing parenthesis"),
    "bad kind": (GOOD.replace("module", "layer"), "MSP004 kind 'layer' of torch.nn.Thing"),
    "no outcome": ("- torch: torch.nn.Thing()\n  kind: module\n", "MSP005 torch.nn.Thing needs exactly one of"),
    "two outcomes": (GOOD + "  drop: true\n", "MSP005 torch.nn.Thing needs exactly one of"),
    "refused without reason": (
        "- torch: torch.nn.Thing()\n  kind: module\n  refused: {help: no}\n",
        "MSP005 torch.nn.Thing: refused needs a reason",
    ),
    "a comma ends the sentence": (
        "- torch: torch.nn.Thing()\n  kind: module\n  refused: {reason: one, or two}\n",
        "MSP002 torch.nn.Thing: refused has the key 'or two'",
    ),
    "guard without else": (GOOD + "  require: [{that: bias}]\n", "MSP002 torch.nn.Thing: require is not"),
    "limit without what": (GOOD + "  limits: [{when: bias}]\n", "MSP002 torch.nn.Thing: limits is not"),
    "free name in a limit": (
        GOOD + "  limits: [{when: 'integral(inputs[0]) and wide', what: no}]\n",
        "MSP007 torch.nn.Thing: limits reads 'wide'",
    ),
    "a limit uses no parameter": (
        GOOD.replace(", bias)", ")") + "  limits: [{when: bias, what: no}]\n",
        "MSP009 torch.nn.Thing: parameter 'bias' is neither used",
    ),
    "alternative without to": (
        GOOD.replace("mindspore.nn.Thing(size, bias)", "[{when: bias}]"),
        "MSP002 torch.nn.Thing: alternative with no to",
    ),
    "expression that does not parse": (
        GOOD.replace("(size, bias)", "(size, bias"),
        "MSP006 torch.nn.Thing: to does not parse",
    ),
    "examples not a list": (GOOD + "  examples: {call: x}\n", "MSP004 examples is not a list"),
    "not a list": ("torch: torch.nn.Thing\n", "MSP001 a table file is a list of rows"),
    "not YAML": ("- torch: [\n", "MSP001 not valid YAML"),
    "key twice": (GOOD + "  kind: function\n", "key 'kind' stands twice"),
}


@pytest.mark.parametrize("law", BROKEN)
def test_a_broken_law_is_named_with_its_place(tmp_path: Path, law: str) -> None:
    text, said = BROKEN[law]
    rows, problems = read(tmp_path, text)
    assert rows == []
    assert any(said in p for p in problems), problems
    assert all("rows.yaml:" in p and "help: " in p for p in problems)


def test_the_line_of_a_broken_row_is_its_own(tmp_path: Path) -> None:
    rows, problems = read(tmp_path, GOOD + "\n# a comment\n" + GOOD.replace("size, bias)\n", "size)\n"))
    assert len(rows) == 1
    assert "rows.yaml:6:1 MSP009" in problems[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [("on", "on"), ("no", "no"), ("1e-5", 1e-5), ("1.e-3", 1e-3), ("true", True), ("12", 12), ("2026-01-01", "2026-01-01")],
)  # fmt: skip
def test_yaml_is_read_as_its_second_edition_says(tmp_path: Path, written: str, value: object) -> None:
    example = f"  examples: [{{call: 'torch.nn.Thing(3)', reason: {written}}}]\n"
    rows, problems = read(tmp_path, GOOD + example)
    assert problems == []
    assert rows[0].examples[0]["reason"] == value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty table of its own."""
    (tmp_path / "mappings" / "nn").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PORTER_TABLE", raising=False)
    monkeypatch.setattr(loader, "mappings_directory", lambda: tmp_path / "mappings")
    return tmp_path / "mappings" / "nn"


def test_rows_of_one_name_stand_in_one_file(folder: Path) -> None:
    (folder / "first.yaml").write_text(GOOD + GOOD)
    assert len(load_table.__wrapped__().get("torch.nn.Thing")) == 2
    (folder / "second.yaml").write_text(GOOD)
    with pytest.raises(InputError, match=r"second\.yaml:1:1 MSP010 torch\.nn\.Thing has rows in mappings/nn/first\.yaml too"):
        load_table.__wrapped__()


def test_one_broken_row_refuses_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "first.yaml").write_text(GOOD + GOOD.replace("Thing", "Other").replace(", bias)", ")"))
    with pytest.raises(InputError, match="MSP009"):
        load_table.__wrapped__()


def test_the_compiled_table_follows_its_files(folder: Path) -> None:
    (folder / "first.yaml").write_text(GOOD)
    assert list(load_table.__wrapped__().rows) == ["torch.nn.Thing"]
    assert list(load_table.__wrapped__().rows) == ["torch.nn.Thing"]  # from the cache
    (folder / "first.yaml").write_text(GOOD.replace("Thing", "Another"))
    assert list(load_table.__wrapped__().rows) == ["torch.nn.Another"]


def test_two_versions_of_a_table_keep_their_compiled_forms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        (folder / "first.yaml").write_text(GOOD.replace("Thing", f"Thing{number}"))
        assert list(load_table.__wrapped__().rows) == [f"torch.nn.Thing{number}"]
    compiled = list((folder.parent.parent / "cache" / "porter").glob("table-*.json"))
    assert len(compiled) == loader.KEPT_TABLES
    monkeypatch.setattr(loader, "read_entries", lambda _: pytest.fail("read again"))
    assert list(load_table.__wrapped__().rows) == ["torch.nn.Thing11"]


def test_rows_of_a_table_of_ones_own_win(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("- {torch: torch.nn.ReLU(inplace=False), kind: module, refused: {reason: not here}}\n")
    assert load_table((own,)).get("torch.nn.ReLU")[0].refused == ("not here", "")
    assert load_table().get("torch.nn.ReLU")[0].refused is None
    own.write_text(GOOD + "  colour: red\n")
    with pytest.raises(InputError, match="unknown key 'colour'"):
        load_table.__wrapped__((own,))


# --- the rows that ship ------------------------------------------------------------------------------------------------


def test_rows_are_in_alphabetical_order() -> None:
    """By torch name in each file; rows of one name stand in the order in which they are tried."""
    by_file: dict[str, list[str]] = {}
    for path in loader.table_files():
        for line in path.read_text("utf-8").splitlines():
            found = re.match(r"- (?:\{ ?)?torch: ?['\"]?([\w.]+)", line)
            if found:
                by_file.setdefault(f"{path.parent.name}/{path.name}", []).append(found[1])
    assert sum(map(len, by_file.values())) == len(load_table())
    wrong = {file: next((b for a, b in pairwise(names) if b < a), None) for file, names in by_file.items()}
    assert {file: name for file, name in wrong.items() if name} == {}


def test_a_mapped_row_has_an_example() -> None:
    """Or a note that says why no call on a few tensors can prove it: devices, processes, packages that are not here."""
    assert [row.name for row in load_table() if row.alternatives and not row.examples and not row.note] == []


def test_few_mapped_rows_have_a_note_in_place_of_an_example() -> None:
    assert sum(bool(row.note) for row in load_table() if row.alternatives and not row.examples) <= 36


def test_signatures_are_those_of_the_installed_torch() -> None:
    torch = pytest.importorskip("torch")
    if not torch.__version__.startswith("2.13."):
        pytest.skip("the rows state the signatures of torch 2.13")
    wrong = {}
    for name, rows in load_table().rows.items():
        if len(rows) > 1 or rows[0].kind not in ("module", "function") or rows[0].signature.parameters is None:
            continue  # overloads and values have no signature to compare with
        found = torch_signature(name)
        if found is not None and not same_signature(rows[0].signature, found):
            wrong[name] = f"{rows[0].location.path}:{rows[0].location.line}: torch has {found}"
    assert wrong == {}


def torch_signature(name: str) -> inspect.Signature | None:
    """None where torch has no signature to inspect: builtins, overload dispatchers, other packages."""
    parts = name.split(".")
    if parts[0] != "torch":
        return None
    found: Any = importlib.import_module("torch")
    for number, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            try:
                importlib.import_module(".".join(parts[:number]))
            except ModuleNotFoundError as error:
                if error.name is not None and not error.name.startswith("torch"):
                    return None
                raise
        found = getattr(found, part)
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return None
    return None if list(signature.parameters) == ["args", "kwargs"] else signature


def same_signature(ours: Signature, theirs: inspect.Signature) -> bool:
    kinds = {0: "positional", 1: "positional", 2: "star", 3: "keyword", 4: "double_star"}
    mine = [(p.name, p.kind) for p in ours.parameters or ()]
    if mine != [(p.name, kinds[int(p.kind)]) for p in theirs.parameters.values()]:
        return False
    return all(same_default(p.default, theirs.parameters[p.name].default) for p in ours.parameters or ())


def same_default(written: str | None, default: object) -> bool:
    if written is None or default is inspect.Parameter.empty:
        return written is None and default is inspect.Parameter.empty
    if repr(default).startswith("<"):  # an object that no literal can name
        return True
    import torch

    return bool(eval(written, {"torch": torch, "inf": float("inf")}) == default)


def test_signatures_survive_a_round_trip() -> None:
    for row in load_table():
        if row.signature.parameters is not None:
            assert parse_signature(f"{row.name}({row.signature.text()})") == row.signature


# --- generated files -----------------------------------------------------------------------------------------------------


def test_every_file_fits_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(schema_of_table())
    wrong = []
    for path in loader.table_files():
        rows = yaml.load(path.read_text("utf-8"), Loader=loader._strict_loader())
        wrong += [f"{path.name}: {e.json_path}: {e.message}" for e in validator.iter_errors(rows or [])]
    assert wrong == []


def test_generated_pages_are_current(tmp_path: Path) -> None:
    for path, text in pages(load_table(), readme=True, schema=True, html=None):
        assert path.read_text("utf-8") == text, f"{path.name}: run make pages"
    [(_, page)] = pages(load_table(), readme=False, schema=False, html=tmp_path / "table.html")
    assert Counter(line.startswith("<tr id=") for line in page.splitlines())[True] == len(load_table())
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)  # needs nothing else


def test_recorded_signatures_are_current() -> None:
    mindspore = pytest.importorskip("mindspore")
    kept = json.loads((loader.mappings_directory() / "signatures.json").read_text("utf-8"))
    if mindspore.__version__ != kept["mindspore"]:
        pytest.skip(f"recorded with MindSpore {kept['mindspore']}")
    assert kept["signatures"] == record_signatures(used_names(load_table())), "run make pages"
