"""The fuzzer of rows: what a crash leaves behind, gradients of random calls, and how widely calls are drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch

from porter.parity.cases import read_example
from porter.parity.fuzz import fuzz_row
from porter.parity.pool import CRASHES, Job, goes_on
from porter.parity.promotion import AxesForAll
from porter.parity.proofs import Failure, Proof, RowResult
from porter.parity.rows import Bench
from porter.parity.trail import CRASHED, Found, Trail, trail_file
from porter.parity.variants import variants
from porter.table import load_table, read_rows


def bench(tmp_path: Path, text: str) -> Bench:
    path = tmp_path / "own.yaml"
    path.write_text(dedent(text), "utf-8")
    (row,), problems = read_rows(path)
    assert not problems
    return Bench(row, load_table().extended([row]), tmp_path / "fuzz", tuple(read_example(raw) for raw in row.examples))


TANH = """
- torch: torch.tanh(input)
  kind: function
  mindspore: mindspore.ops.tanh(input)
  examples: [{call: torch.tanh(x0), inputs: ['float32[3,4]'], check: [output, grad]}]
"""
CUT = TANH.replace("mindspore.ops.tanh(input)", "mindspore.ops.tanh(mindspore.ops.stop_gradient(input))")


def test_gradients_of_equal_calls_are_compared(tmp_path: Path) -> None:
    right = fuzz_row(bench(tmp_path, TANH), 20).counts()
    assert "wrong" not in right
    assert right["equal gradient"] >= 8
    cut = fuzz_row(bench(tmp_path, CUT), 20)
    assert cut.counts()["wrong gradient"] >= 8
    assert cut.wrong == ()
    assert "gradient of x0" in cut.wrong_gradients[0].message


def test_a_broken_off_row_goes_on_and_a_crash_is_a_call(tmp_path: Path) -> None:
    row = bench(tmp_path, TANH)
    path = trail_file(tmp_path, "torch.tanh")
    with Trail(path).running(1, "value"):
        pass  # the process ended here: nothing was kept
    Trail(path).keep(0, "value", Found("wrong", "torch.tanh(x0) on float32[1]", "kept from before"))
    trail = Trail(path)
    assert trail.crashes == 1
    found = fuzz_row(row, 6, trail=trail)
    assert found.values[0].message == "kept from before"
    assert found.values[1].outcome == "raised"
    assert found.values[1].message == CRASHED.message
    assert {value.outcome for value in found.values[2:]} <= {"equal", "no kernel"}
    assert len(Trail(path).done) > 6


def test_a_row_goes_on_after_each_new_crash_and_not_without_one(tmp_path: Path) -> None:
    job = Job(fuzz=6, trails=tmp_path)
    lost = RowResult("torch.tanh", Proof("failed"), (Failure("row", "process", "the process that ran it ended"),))
    path = trail_file(tmp_path, "torch.tanh")
    assert not goes_on(job, lost)  # it died before any call
    for number in range(CRASHES):
        Trail(path)._write({"number": number, "step": "value"})
        assert goes_on(job, lost)
        assert not goes_on(job, lost)
    Trail(path)._write({"number": CRASHES, "step": "value"})
    assert not goes_on(job, lost)
    assert not goes_on(Job(fuzz=0), lost)
    assert not goes_on(job, RowResult("torch.tanh", Proof("failed"), (Failure("row", "PYNATIVE", "a value"),)))


def test_draws_reach_axes_dtypes_and_linked_sizes(tmp_path: Path) -> None:
    row = bench(
        tmp_path,
        """
        - torch: torch.sum(input, dim=None, keepdim=False, dtype=None)
          kind: function
          mindspore: mindspore.ops.sum(input, dim, keepdim, dtype=dtype)
          examples: [{call: torch.sum(x0), inputs: ['float32[3,4]']}]
        """,
    )
    drawn = list(islice(variants(row.row, row.examples), 600))
    calls: Any = " ".join(e.call for e in drawn)
    for text in ("dim=-1", "dim=(0, -1)", "keepdim=True", "dtype=torch.float64", "dtype=torch.int64"):
        assert text in calls
    assert {"float16", "bfloat16", "int32", "bool"} <= {spec.dtype for e in drawn for spec in e.inputs}
    assert () in {spec.shape for e in drawn for spec in e.inputs}


def test_a_size_that_stands_in_the_call_changes_with_the_inputs(tmp_path: Path) -> None:
    row = bench(
        tmp_path,
        """
        - torch: torch.nn.PReLU(num_parameters=1, init=0.25, device=None, dtype=None)
          kind: module
          mindspore: mindspore.nn.PReLU(num_parameters, init)
          ignore: [device, dtype]
          examples: [{call: torch.nn.PReLU(7), inputs: ['float32[2,7,3]']}]
        """,
    )
    drawn = list(islice(variants(row.row, row.examples), 200))
    fitting = [e for e in drawn if len(e.inputs[0].shape) == 3 and e.call == f"torch.nn.PReLU({e.inputs[0].shape[1]})"]
    assert len({e.call for e in fitting}) >= 4


def test_calls_run_as_compiled_cells(tmp_path: Path) -> None:
    compiled = replace(bench(tmp_path, TANH), mode="GRAPH")
    found = fuzz_row(compiled, 6)
    assert found.mode == "GRAPH"
    assert found.counts()["equal"] >= 4
    wrong = fuzz_row(replace(bench(tmp_path, CUT), mode="GRAPH"), 6)
    assert wrong.counts()["wrong gradient"] == wrong.counts()["equal"]  # of each call, not of the first alone


def test_examples_that_do_not_compile_are_not_run_as_compiled_cells(tmp_path: Path) -> None:
    eager = TANH.replace("check: [output, grad]", "graph: false")
    assert fuzz_row(replace(bench(tmp_path, eager), mode="GRAPH"), 6).values == ()
    assert len(fuzz_row(bench(tmp_path, eager), 6).values) == 6


def test_a_tensor_without_axes_widens_as_mindspore_says(tmp_path: Path) -> None:
    text = """
        - torch: torch.add(input, other)
          kind: function
          mindspore: mindspore.ops.add(input, other)
          examples: [{call: 'torch.add(x0, x1)', inputs: ['float32[3]', 'float64[]']}]
        """
    counts = fuzz_row(bench(tmp_path, text), 20).counts()
    assert counts["stated"] >= 3
    assert "wrong" not in counts
    found = fuzz_row(bench(tmp_path, text.replace("ops.add(input, other)", "ops.add(input, other) * 1.5")), 20).counts()
    assert found.get("stated", 0) <= 1  # of no elements
    assert found["wrong"] >= 15
    half, whole, wide = torch.ones(2, dtype=torch.float16), torch.ones(2, dtype=torch.int64), torch.tensor(2.0)
    with AxesForAll() as promoted:
        assert (whole + wide).dtype == torch.float32
        assert (half + half).dtype == torch.float16
        assert not promoted.widened
        assert (wide + half).dtype == torch.float32
        assert promoted.widened
    assert (wide + half).dtype == torch.float16


def test_what_is_nearer_to_float64_than_torch_is_equal(tmp_path: Path) -> None:
    text = """
        - torch: torch.cosh(input)
          kind: function
          mindspore: mindspore.ops.cosh(input)
          examples: [{call: torch.cosh(x0), inputs: ['float32[8,9]>88.6<89.4']}]
        """
    assert "wrong" not in fuzz_row(bench(tmp_path, text), 20).counts()  # torch makes some of them infinite
    found = fuzz_row(bench(tmp_path, text.replace("ops.cosh(input)", "ops.cosh(input) * 1.001")), 20).counts()
    assert found["wrong"] >= 5


def test_roundings_of_each_step_explain_what_is_left_of_a_difference(tmp_path: Path) -> None:
    text = """
        - torch: torch.sub(input, other)
          kind: function
          mindspore: input * 3 / 3 - other
          examples: [{call: 'torch.sub(x0 * 0.3, x0 * 0.3)', inputs: ['float32[8,9]']}]
        """
    assert "wrong" not in fuzz_row(bench(tmp_path, text), 20).counts()  # torch's zeros are a few 1e-8 in the port
    found = fuzz_row(bench(tmp_path, text.replace("input * 3 / 3", "input * 1.0001")), 20).counts()
    assert found["wrong"] >= 10
