"""The prover and the model comparison: right ones pass, and every deliberate mistake is found."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter.diagnostics import InputError, Location
from porter.parity import kept
from porter.parity.cases import Example, cases_of, read_example, torch_source
from porter.parity.kept import row_digest
from porter.parity.mutants import mutants_of
from porter.parity.proofs import NOT_INSTALLED, Proof, RowResult, keyed_rows, read_proofs, write_proofs
from porter.table import Row, Table, emitted_definitions, load_table, read_rows

torch = pytest.importorskip("torch")
pytest.importorskip("mindspore")


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    def read(text: str) -> list[Row]:
        path = tmp_path / "rows.yaml"
        path.write_text(textwrap.dedent(text), "utf-8")
        found, problems = read_rows(path)
        assert not problems
        return found

    return read


@pytest.fixture
def prove(rows: Any) -> Any:
    from porter.parity.rows import prove_row

    def run(text: str, **options: Any) -> RowResult:
        (row,) = rows(text)
        return prove_row(row.name, row, load_table().extended([row]), **options)

    return run


BATCH_NORM = """
- torch: torch.nn.BatchNorm2d(num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None)
  kind: module
  mindspore: mindspore.nn.BatchNorm2d(num_features, eps=eps, momentum=1 - momentum, affine=affine)
  require:
    - {that: track_running_stats, else: statistics are always kept}
  ignore: [device, dtype]
  weights: {weight: gamma, bias: beta, running_mean: moving_mean, running_var: moving_variance, num_batches_tracked: ~}
  fill: {gamma: ones, beta: zeros}
  examples:
    - {call: 'torch.nn.BatchNorm2d(5, eps=1e-2, momentum=0.3)', inputs: ['float32[4,5,6,7]'], mode: train, check: [output, grad, buffers]}
    - {call: 'torch.nn.BatchNorm2d(5, affine=False)', inputs: ['float32[4,5,6,7]']}
    - {call: 'torch.nn.BatchNorm2d(5, track_running_stats=False)', inputs: ['float32[4,5,6,7]'], refused: true}
"""


def test_a_right_row_is_proven_in_both_modes_and_kills_its_mutants(prove: Any) -> None:
    result = prove(BATCH_NORM)
    assert result.failures == ()
    assert result.proof.state == "proven"
    assert result.proof.modes == ("PYNATIVE", "GRAPH")
    assert result.survivors == ()
    killed, total = result.proof.mutants
    assert killed == total == 3 + 1 + 6  # keywords, one `1 - x`, pairs of four weights


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("momentum=1 - momentum", "momentum=momentum", "buffer m.running_mean"),
        ("eps=eps", "eps=eps + 0.5", "output: differs"),
        ("weight: gamma, bias: beta", "weight: beta, bias: gamma", "output: differs"),
        ("running_mean: moving_mean, running_var: moving_variance", "running_mean: moving_variance, running_var: moving_mean", "buffer m.running"),
        ("track_running_stats=False", "eps=1e-3", "should be refused, and is not"),
    ],
)  # fmt: skip
def test_a_wrong_row_fails(prove: Any, right: str, wrong: str, said: str) -> None:
    assert right in BATCH_NORM
    result = prove(BATCH_NORM.replace(right, wrong), mutants=False)
    assert result.proof.state == "failed"
    assert said in str(result.failures[0])


def test_weak_examples_let_a_mutant_survive(prove: Any) -> None:
    weak = BATCH_NORM.replace("eps=1e-2, momentum=0.3", "momentum=0.3")
    assert prove(weak).survivors == ("drop eps=eps",)


def test_an_explained_survivor_counts_as_killed(prove: Any) -> None:
    weak = BATCH_NORM.replace("eps=1e-2, momentum=0.3", "momentum=0.3")
    result = prove(weak + "  mutants: {drop eps=eps: a default}\n")
    assert result.survivors == ()
    assert result.proof.mutants == (10, 10)


ARGMAX = """
- torch: torch.argmax(input, dim=None, keepdim=False)
  kind: function
  mindspore: mindspore.ops.argmax(input, dim, keepdim)
  examples:
    - {call: 'torch.argmax(x0, dim=1)', inputs: ['float32[3,4]@distinct']}
"""


def test_another_dtype_is_a_difference_unless_loose(prove: Any) -> None:
    cumsum = ARGMAX.replace(
        "mindspore.ops.argmax(input, dim, keepdim)",
        "mindspore.ops.argmax(input, dim, keepdim).astype(mindspore.int32)",
    )
    assert "dtype int64 became int32" in str(prove(cumsum).failures[0])
    loose = cumsum.replace("@distinct']", "@distinct'], dtype: loose")
    assert prove(loose).proof.state == "proven"


def test_the_text_of_the_port_is_compared(prove: Any) -> None:
    good = ARGMAX.replace("dim=1)", "dim=1, keepdim=True)").replace(
        "@distinct']", "@distinct'], ported: 'mindspore.ops.argmax(x0, keepdim=True, dim=1)'"
    )
    good = good.replace("argmax(input, dim, keepdim)", "argmax(input, dim=dim, keepdim=keepdim)")
    assert prove(good).failures == ()  # names in full, order of keywords aside
    bad = prove(ARGMAX.replace("@distinct']", "@distinct'], ported: 'ops.argmin(x0)'"))
    assert "expected ops.argmin(x0)" in str(bad.failures[0])


def test_a_failure_carries_a_reproduction(prove: Any) -> None:
    result = prove(ARGMAX.replace("ops.argmax", "ops.argmin"))
    script = result.failures[0].reproduction
    ast.parse(script)
    assert "torch.argmax(x0, dim=1)" in script
    assert "argmin" in script
    assert "float32[3,4]@distinct" in script


def test_what_torch_refuses_is_the_examples_fault(prove: Any) -> None:
    result = prove(ARGMAX.replace("dim=1", "dim=7"))
    assert "example 1: torch: IndexError" in str(result.failures[0])


def test_random_outputs_are_compared_by_distribution(prove: Any) -> None:
    text = """
    - torch: torch.rand_like(input)
      kind: function
      mindspore: mindspore.ops.rand_like(input)
      examples:
        - {call: torch.rand_like(x0), inputs: ['float32[200,300]'], distribution: true}
    """
    assert prove(text).failures == ()
    assert "mean of the output" in str(
        prove(text.replace("ops.rand_like(input)", "ops.rand_like(input) + 0.05")).failures[0]
    )
    assert "std of the output" in str(
        prove(text.replace("ops.rand_like(input)", "ops.rand_like(input) * 0.9 + 0.05")).failures[0]
    )
    assert "shape" in str(prove(text.replace("ops.rand_like(input)", "ops.rand_like(input)[1:]")).failures[0])


def test_fuzz_finds_a_value_that_no_example_shows(prove: Any) -> None:
    right = """
    - torch: torch.sum(input, dim, keepdim=False)
      kind: function
      mindspore: mindspore.ops.sum(input, dim, keepdim)
      examples:
        - {call: 'torch.sum(x0, 1)', inputs: ['float32[3,4]'], dtype: loose}
        - {call: 'torch.sum(x0, 0, True)', inputs: ['float32[3,4]'], dtype: loose}
    """
    result = prove(right, fuzz=25)
    assert result.proof.state == "proven", result.failures
    assert sum(result.proof.fuzz.values()) == 25
    assert prove(right, fuzz=25).proof.fuzz == result.proof.fuzz
    assert set(result.proof.fuzz) <= {"equal", "empty", "raised", "no kernel"}
    wrong = prove(right.replace("ops.sum(input, dim, keepdim)", "ops.sum(input, abs(dim), keepdim)"), fuzz=25)
    assert wrong.proof.state == "failed" or wrong.raised
    assert "dim" not in wrong.proof.note or "random call" in wrong.proof.note


def test_what_a_limit_of_the_row_covers_is_not_wrong(prove: Any) -> None:
    rounded = """
    - torch: torch.mul(input, other)
      kind: function
      mindspore: mindspore.ops.mul(input.astype(mindspore.float32), other)
      examples: [{call: 'torch.mul(x0, 3)', inputs: ['float32[3,4]']}]
    """
    result = prove(rounded, fuzz=40)
    assert result.proof.state == "failed"
    assert "became float32" in result.proof.note
    limit = "limits: [{when: not is_tensor(input) or input.dtype != torch.float32, what: the product is float32}]"
    result = prove(rounded.replace("examples:", limit + "\n      examples:"), fuzz=40)
    assert result.proof.state == "proven", result.failures
    assert result.proof.fuzz["stated"] > 2
    assert result.proof.fuzz["equal"] > 10


def test_random_and_unwritten_values_are_not_compared(prove: Any) -> None:
    text = """
    - torch: torch.nn.functional.dropout(input, p=0.5, training=True, inplace=False)
      kind: function
      mindspore: mindspore.ops.dropout(input, p, training)
      ignore: [inplace]
      examples: [{call: 'torch.nn.functional.dropout(x0, 0.0)', inputs: ['float32[3,4]']}]
    """
    assert "wrong" not in prove(text, fuzz=20).proof.fuzz
    assert "wrong" not in prove(text.replace("dropout(x0, 0.0)", "dropout(torch.empty(3, 4), 1.0)"), fuzz=20).proof.fuzz


def test_variants_reach_what_examples_seldom_do(rows: Any) -> None:
    from porter.parity.variants import variants

    (row,) = rows(ARGMAX)
    drawn = list(islice(variants(row, [read_example(raw) for raw in row.examples]), 300))
    dtypes = {spec.dtype for e in drawn for spec in e.inputs}
    assert {"float32", "float64", "int32", "int64", "bool"} <= dtypes
    shapes = {spec.shape for e in drawn for spec in e.inputs}
    assert any(0 in shape for shape in shapes)
    assert {0, 1, 2, 3} <= {len(shape) for shape in shapes}
    calls = " ".join(e.call for e in drawn)
    assert "dim=-1" in calls
    assert "keepdim=True" in calls


def test_variants_are_seeded(rows: Any) -> None:
    from porter.parity.variants import variants

    (row,) = rows(ARGMAX)
    examples = [read_example(raw) for raw in row.examples]
    first, again = (list(islice(variants(row, examples), 20)) for _ in range(2))
    assert first == again
    assert len({(e.call, e.inputs) for e in first}) > 10


def test_rows_without_anything_to_run(prove: Any) -> None:
    assert (
        prove("- {torch: torch.foo(x), kind: function, refused: {reason: no such thing}}").proof.state
        == "refused"
    )
    ascend = (
        "- {torch: torch.foo(x), kind: function, mindspore: [{target: Ascend, to: mindspore.mint.foo(x)}]}"
    )
    assert prove(ascend).proof.state == "documented"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"inputs": []}, "without 'call'"),
        ({"call": "f(x0)", "input": []}, "unknown key 'input'"),
        ({"call": "f(x0)", "check": ["gradient"]}, "unknown check 'gradient'"),
        ({"call": "f(x0)", "inputs": ["float33[2]"]}, "not a dtype"),
    ],
)
def test_malformed_examples(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_example(raw)


# --- cases and mutants ---------------------------------------------------------------------------------------------


def forms(row: Row, call: str, inputs: int = 2) -> dict[str, str]:
    example = read_example({"call": call, "inputs": ["float32[2,3]"] * inputs})
    return {case.form: case.call for case in cases_of(row, [example])}


def test_argument_forms(rows: Any) -> None:
    (row,) = rows("""
    - torch: torch.add(input, other, *, alpha=1)
      kind: function
      mindspore: mindspore.ops.add(input, other * alpha)
      examples: []
    """)
    assert forms(row, "torch.add(x0, x1, alpha=2)") == {
        "": "torch.add(x0, x1, alpha=2)",
        "keyword": "torch.add(input=x0, other=x1, alpha=2)",
        "shuffled keywords": "torch.add(other=x1, alpha=2, input=x0)",
        "mixed": "torch.add(x0, alpha=2, other=x1)",
        "numpy names": "torch.add(x=x0, x2=x1, alpha=2)",
        "bare reference": "reference(x0, x1, alpha=2)",
    }


def test_positional_form_writes_defaults_in_between(rows: Any) -> None:
    (row,) = rows("""
    - torch: torch.nn.Conv2d(in_channels, out_channels, kernel_size, stride=1, padding=0)
      kind: module
      mindspore: mindspore.nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=padding)
      examples: []
    """)
    found = forms(row, "torch.nn.Conv2d(3, 4, 3, padding=1)", 1)
    assert found["positional"] == "torch.nn.Conv2d(3, 4, 3, 1, 1)"


def test_methods_keep_their_receiver(rows: Any) -> None:
    (row,) = rows("""
    - torch: torch.Tensor.sum(self, dim=None, keepdim=False)
      kind: method
      mindspore: self.sum(dim, keepdims=keepdim)
      examples: []
    """)
    found = forms(row, "(x0 * 2).sum(1, True)", 1)
    assert found["keyword"] == "(x0 * 2).sum(dim=1, keepdim=True)"
    assert "bare reference" not in found


def test_starred_arguments_have_no_other_form(rows: Any) -> None:
    (row,) = rows("""
    - torch: torch.Tensor.view(self, *shape)
      kind: method
      mindspore: self.view(*shape)
      examples: []
    """)
    assert list(forms(row, "x0.view(3, 2)", 1)) == [""]
    assert list(forms(row, "x0.view(*x0.shape)", 1)) == [""]


def test_source_of_cases_parses_and_keeps_the_call_as_written(rows: Any) -> None:
    (row, *_) = rows(BATCH_NORM)
    examples = [read_example(raw) for raw in row.examples]
    text = torch_source(row, examples, cases_of(row, examples))
    ast.parse(text)
    assert "self.m = torch.nn.BatchNorm2d(5, eps=1e-2, momentum=0.3)" in text
    assert "reference = torch.nn.BatchNorm2d" in text


def test_apply_reads_the_module_through_self(rows: Any) -> None:
    (row, *_) = rows(BATCH_NORM)
    example = read_example(
        {"call": "torch.nn.BatchNorm2d(3)", "apply": "m(x0 + m.eps)", "inputs": ["float32[2,3,4,4]"]}
    )
    assert "return self.m(x0 + self.m.eps)" in torch_source(row, [example], cases_of(row, [example])[:1])


def test_mutants_of_an_expression(rows: Any) -> None:
    (row,) = rows("""
    - torch: torch.f(a, b, c)
      kind: function
      mindspore: mindspore.ops.f(a, b=1 - b, c=mindspore.ops.g(c, x=1))
      examples: []
    """)
    found = {m.text: m.row.alternatives[0].to for m in mutants_of(row)}
    assert found == {
        "drop b=1 - b": "mindspore.ops.f(a, c=mindspore.ops.g(c, x=1))",
        "drop c=mindspore.ops.g(c, x=1)": "mindspore.ops.f(a, b=1 - b)",
        "drop x=1": "mindspore.ops.f(a, b=1 - b, c=mindspore.ops.g(c))",
        "strip 1 - b": "mindspore.ops.f(a, b=b, c=mindspore.ops.g(c, x=1))",
    }


# --- the file of proofs --------------------------------------------------------------------------------------------

VERSIONS = {"mindspore": "2.10.0", "torch": "2.13.0"}


def test_proofs_are_written_stably_and_merged(tmp_path: Path) -> None:
    path = tmp_path / "proofs.json"
    proofs = {"b": Proof("proven", ("PYNATIVE", "GRAPH"), (3, 3)), "a": Proof("refused", note="no")}
    assert write_proofs(proofs, VERSIONS, "2026-11-23", ["a", "b"], path)
    first = path.read_bytes()
    assert not write_proofs(dict(reversed(proofs.items())), VERSIONS, "2030-01-01", ["b", "a"], path)
    assert path.read_bytes() == first
    assert read_proofs(path) == proofs
    assert write_proofs({"c": Proof("documented")}, VERSIONS, "2026-11-24", ["a", "c"], path)
    assert list(read_proofs(path)) == ["a", "c"]  # b is no longer a row
    assert write_proofs(
        {"c": Proof("documented")}, {**VERSIONS, "mindspore": "2.8.0"}, "2026-11-25", ["a", "c"], path
    )
    assert list(read_proofs(path)) == ["c"]  # proofs of other versions do not mix
    assert [p.name for p in tmp_path.iterdir()] == ["proofs.json"]


def test_a_row_whose_package_is_not_here_keeps_its_proof(tmp_path: Path) -> None:
    path = tmp_path / "proofs.json"
    proven, absent = Proof("proven", ("PYNATIVE",)), Proof("documented", note=f"no_such_package {NOT_INSTALLED}")
    write_proofs({"a": proven, "b": Proof("failed", note="old")}, VERSIONS, "2026-11-23", ["a", "b"], path)
    write_proofs({"a": absent, "b": absent}, VERSIONS, "2026-11-24", ["a", "b"], path)
    assert read_proofs(path) == {"a": proven, "b": absent}


def test_such_a_proof_is_of_what_the_row_said_then(tmp_path: Path) -> None:
    path = tmp_path / "proofs.json"
    proven, absent = Proof("proven", ("PYNATIVE",)), Proof("documented", note=f"no_such_package {NOT_INSTALLED}")
    write_proofs({"a": proven}, VERSIONS, "2026-11-23", ["a"], path, {"a": "one"})
    write_proofs({"a": absent}, VERSIONS, "2026-11-24", ["a"], path, {"a": "one"})
    assert read_proofs(path) == {"a": proven}
    write_proofs({"a": absent}, VERSIONS, "2026-11-24", ["a"], path, {"a": "another"})
    assert read_proofs(path) == {"a": absent}


def test_the_digest_of_a_row_follows_what_it_emits(monkeypatch: pytest.MonkeyPatch) -> None:
    row = load_table().get("torchvision.transforms.CenterCrop")[0]
    before = row_digest(row)
    assert row_digest(replace(row, location=Location("elsewhere.yaml", 7))) == before
    assert row_digest(replace(row, ignore=("size",))) != before
    changed = {**emitted_definitions(), "center_crop": replace(emitted_definitions()["center_crop"], text="another")}
    monkeypatch.setattr(kept, "emitted_definitions", lambda: changed)
    assert row_digest(row) != before


def test_a_row_of_a_package_that_is_not_here_is_documented(prove: Any) -> None:
    result = prove("""
    - torch: no_such_package.tanh(input)
      kind: function
      mindspore: mindspore.ops.tanh(input)
      examples: [{call: no_such_package.tanh(x0), inputs: ['float32[3,4]']}]
    """)
    assert result.proof == Proof("documented", note=f"no_such_package {NOT_INSTALLED}")


def test_a_damaged_file_of_proofs_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "proofs.json"
    path.write_text("{", "utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        read_proofs(path)
    assert read_proofs(tmp_path / "none.json") == {}


def test_overloads_have_their_own_keys(rows: Any) -> None:
    found = rows("""
    - {torch: 'torch.f(a)', kind: function, mindspore: mindspore.ops.f(a), examples: []}
    - {torch: 'torch.f(a, b)', kind: function, mindspore: 'mindspore.ops.f(a, b)', examples: []}
    """)
    assert list(keyed_rows(Table({"torch.f": tuple(found)}))) == ["torch.f", "torch.f#2"]


# --- whole models --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks() -> Iterator[Any]:
    from mindspore import nn

    class Reference(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 6, 3, padding=1, bias=False)
            self.bn = torch.nn.BatchNorm2d(6)
            self.relu = torch.nn.ReLU(inplace=True)
            self.conv2 = torch.nn.Conv2d(6, 6, 3, padding=1, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(6)
            self.fc = torch.nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            x = self.relu(self.bn(self.conv(x)))
            x = self.relu(self.bn2(self.conv2(x)))
            return self.fc(x.mean((2, 3)))

    class Ported(nn.Cell):
        def __init__(self, eps: float = 1e-5, momentum: float = 0.9) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3, padding=1, has_bias=False, pad_mode="pad")
            self.bn = nn.BatchNorm2d(6)
            self.relu = nn.ReLU()
            self.conv2 = nn.Conv2d(6, 6, 3, padding=1, has_bias=False, pad_mode="pad")
            self.bn2 = nn.BatchNorm2d(6, eps=eps, momentum=momentum)
            self.fc = nn.Dense(6, 5)

        def construct(self, x: Any) -> Any:
            x = self.relu(self.bn(self.conv(x)))
            x = self.relu(self.bn2(self.conv2(x)))
            return self.fc(x.mean((2, 3)))

    from porter.parity.samples import perturb

    torch.manual_seed(0)
    inputs = np.random.RandomState(0).randn(4, 3, 8, 9).astype(np.float32)
    reference = Reference()
    perturb(reference, 0, [torch.from_numpy(inputs)])
    yield reference, Ported, inputs


def test_equal_models_agree_in_everything(networks: Any) -> None:
    from porter.parity.models import Plan, compare_models

    reference, ported, inputs = networks
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    pynative, graph = compare_models(
        reference, ported(), [inputs], plan=Plan(gradients=True, steps=3), modes=("PYNATIVE", "GRAPH")
    )
    assert pynative.passed, pynative.verdict
    assert graph.passed, graph.verdict
    assert pynative.largest < 1e-5
    assert [layer.path for layer in pynative.layers] == ["conv", "bn", "relu", "conv2", "bn2", "relu#2", "fc"]
    assert all(layer.comparison is not None for layer in pynative.layers)
    assert graph.layers == ()
    assert {c.name for c in pynative.gradients} >= {
        "gradient of x0",
        "gradient of bn.weight",
        "gradient of fc.bias",
    }
    assert len(pynative.losses) == 3
    assert any("bn2.running_var" in c.name for c in pynative.trained)
    assert all(torch.equal(before[name], value) for name, value in reference.state_dict().items())


def test_the_first_layer_that_differs_is_named(networks: Any) -> None:
    from porter.parity.models import compare_models

    reference, ported, inputs = networks
    (result,) = compare_models(reference, ported(eps=1e-2), [inputs])
    assert not result.passed
    assert result.first_difference is not None
    assert result.first_difference.path == "bn2"
    assert "differs first at bn2 (BatchNorm2d)" in result.verdict


def test_a_wrong_momentum_shows_only_in_training(networks: Any) -> None:
    from porter.parity.models import Plan, compare_models

    reference, ported, inputs = networks
    (result,) = compare_models(reference, ported(momentum=0.1), [inputs], plan=Plan(gradients=True, steps=1))
    assert all(c.passed for c in (*result.outputs, *result.gradients, *result.losses))
    assert {c.name for c in result.trained if not c.passed} == {
        "trained bn2.running_mean",
        "trained bn2.running_var",
    }


def test_untransferred_weights_differ_from_the_first_layer_on(networks: Any) -> None:
    from porter.parity.models import compare_models

    reference, ported, inputs = networks
    (result,) = compare_models(reference, ported(), [inputs], transfer=False)
    assert result.first_difference is not None
    assert result.first_difference.path == "conv"


def test_a_cell_with_another_parameter_is_an_input_error(networks: Any) -> None:
    from mindspore import nn

    from porter.parity.models import compare_models

    reference, _, inputs = networks
    with pytest.raises(InputError, match="has no counterpart in the torch module"):
        compare_models(reference, nn.SequentialCell(nn.Conv2d(3, 6, 3)), [inputs])


def test_fused_cells_stand_for_the_layers_they_take_in() -> None:
    from porter.parity.compare import Tensor
    from porter.parity.models import LayerCall, Tolerances, compare_layers

    def call(path: str, value: float, takes: int = 0) -> LayerCall:
        return LayerCall(path, "Layer", (Tensor(np.full(3, value, np.float32), "float32"),), takes)

    reference = [
        call("conv", 1),
        call("bn", 2),
        call("relu", 3),
        call("conv2", 4),
        call("bn2", 5),
        call("relu", 6),
    ]
    ported = [call("conv", 3, takes=2), call("conv2", 5, takes=1), call("relu", 6)]
    found = compare_layers(reference, ported, Tolerances())
    assert [(f.path, f.fused_with) for f in found if f.comparison is None] == [
        ("conv", "relu"), ("bn", "relu"), ("conv2", "bn2"),
    ]  # fmt: skip
    assert [f.path for f in found if f.comparison is not None] == ["relu", "bn2", "relu#2"]
    assert all(f.passed for f in found)


# --- the command ---------------------------------------------------------------------------------------------------

TORCH_SIDE = """
import torch


class Net(torch.nn.Module):
    def __init__(self, size=4):
        super().__init__()
        self.fc = torch.nn.Linear(3, size)

    def forward(self, x):
        return torch.sigmoid(self.fc(x))
"""
CELL_SIDE = """
from mindspore import nn, ops


class Net(nn.Cell):
    def __init__(self, size=4):
        super().__init__()
        self.fc = nn.Dense(3, size)

    def construct(self, x):
        return ops.sigmoid(self.fc(x))
"""


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    """Both sides under the same module name, in two roots."""
    for side, text in (("reference", TORCH_SIDE), ("ported", CELL_SIDE)):
        package = tmp_path / side / "genet"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "model.py").write_text(text, "utf-8")
    torch_path, cell_path = str(tmp_path / "reference"), str(tmp_path / "ported")
    return ["--torch-path", torch_path, "--cell-path", cell_path, "--input", "float32[5,3]"]


def run(arguments: list[str]) -> Any:
    from click.testing import CliRunner

    from porter.cli import main

    return CliRunner().invoke(main, ["parity", *arguments])


def test_command_compares_same_named_modules(sides: list[str], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run(["--torch", "genet.model:Net()", "--cell", "genet.model:Net()", *sides, "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert "PYNATIVE: outputs equal" in done.output
    assert "fc  Linear" in done.output
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_command_fails_on_a_difference(sides: list[str], tmp_path: Path) -> None:
    model = tmp_path / "ported" / "genet" / "model.py"
    model.write_text(CELL_SIDE.replace("ops.sigmoid", "ops.tanh"), "utf-8")
    done = run(["--torch", "genet.model:Net()", "--cell", "genet.model:Net()", *sides])
    assert done.exit_code == 1
    assert "differs" in done.output


def test_command_names_a_parameter_of_another_shape(sides: list[str]) -> None:
    done = run(["--torch", "genet.model:Net()", "--cell", "genet.model:Net(7)", *sides])
    assert done.exit_code == 2
    assert "fc.weight is [4, 3] in torch, fc.weight is [7, 3]" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("one_side.model", "is not MODULE:EXPR"),
        ("one_side.other:Net()", "one_side.other cannot be imported"),
        ("one_side.model:Other()", "cannot be built: NameError: name 'Other' is not defined"),
        ("one_side.model:Net(", "cannot be built: SyntaxError"),
        ("one_side.model:Net", "is a type, not a torch.nn.Module"),
        ("one_side.model:Net(7.5)", "cannot be built: TypeError"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, said: str) -> None:
    from porter.parity.sides import Request, Side, record_torch_side

    package = tmp_path / "one_side"
    package.mkdir()
    (package / "model.py").write_text(TORCH_SIDE, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=re.escape(said)):
        record_torch_side(Request("torch", Side(spec), ("float32[5,3]",), str(tmp_path)))


def test_a_malformed_spec_is_told_before_anything_runs(sides: list[str]) -> None:
    done = run(["--torch", "no.such:thing", "--cell", "no.such:thing", "--input", "float32[x]"])
    assert done.exit_code == 2
    assert "not a list of sizes" in done.output


def test_example_defaults() -> None:
    example = read_example({"call": "torch.relu(x0)", "inputs": ["float32[2,3]"]})
    assert isinstance(example, Example)
    assert (example.train, example.graph, example.refused, example.random) == (False, True, False, False)


def test_what_raises_while_it_is_differentiated_leaves_the_process_as_it_was() -> None:
    import mindspore
    from mindspore import nn

    from porter.parity.ported import differentiate

    class Raises(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            raise ValueError("no value")

    class Indexes(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            return x[0]

    x = mindspore.Tensor(np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="no value"):
        differentiate(Raises(), {"x0": x}, [((), x)], {})
    _, gradients = differentiate(Indexes(), {"x0": x}, [((), x[0])], {})
    assert gradients["x0"].array.sum() == 4
