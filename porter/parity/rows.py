"""Proves one row of the table: converts its examples with the engine and compares both frameworks on them."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np

from porter.convert import convert_source
from porter.diagnostics import Diagnostic, InputError
from porter.parity import ported, reference
from porter.parity.cases import (
    Case,
    Example,
    canonical,
    cases_of,
    constructor_inputs,
    ported_expression,
    read_example,
    signature_text,
    torch_source,
    traced_facts,
)
from porter.parity.compare import Comparison, Problem, Tensor, first_failure
from porter.parity.kept import keep_proof, kept_proof, proof_key
from porter.parity.leaves import Observation, compare_named
from porter.parity.mutants import Mutant, mutants_of
from porter.parity.proofs import NOT_INSTALLED, Failure, Proof, RowResult, State
from porter.parity.same import class_texts
from porter.parity.samples import Array, draw_all
from porter.parity.trail import Trail
from porter.table import Row, Table

DISTRIBUTION_SIGMAS = 5.0


@dataclass(frozen=True)
class Converted:
    """The converted source of some cases: diagnostics by class name, and the module, or why it does not load."""

    text: str
    extras: str
    diagnostics: Mapping[str, tuple[Diagnostic, ...]]
    module: ModuleType | None
    error: str = ""

    @cached_property
    def classes(self) -> Mapping[str, str]:
        """What each class says, to find those that say the same."""
        return class_texts(self.text)


@dataclass
class Bench:
    """What the proof of one row needs: its examples, their torch runs, and a folder for converted source."""

    row: Row
    table: Table
    folder: Path
    examples: tuple[Example, ...]
    runs: dict[int, reference.Reference] = field(default_factory=dict)
    weighed: dict[int, ported.Outputs] = field(default_factory=dict)
    serial: int = 0
    mode: ported.Mode = "PYNATIVE"  # in which random calls run

    @cached_property
    def arrays(self) -> tuple[tuple[Array, ...], ...]:
        return tuple(draw_all(example.inputs, seed=i + 1) for i, example in enumerate(self.examples))

    def next_name(self, prefix: str) -> str:
        self.serial += 1
        return f"{prefix}_{self.folder.name}_{self.serial}".replace("-", "_")


def prove_row(
    key: str,
    row: Row,
    table: Table,
    *,
    mutants: bool = True,
    fuzz: int = 0,
    seed: int = 0,
    fresh: bool = True,
    examples: bool = True,
    trail: Trail | None = None,
    mode: ported.Mode = "PYNATIVE",
) -> RowResult:
    """The result for one row; nothing that a row or its examples do wrong escapes as an exception.

    Unless `fresh`, a proof that was kept is taken where nothing that it depends on has changed. Without `examples` the
    row is taken as proven and only its random calls are run, those that `trail` does not hold yet, in one mode.
    """
    ported.settle_memory()
    started = time.perf_counter()
    settled = _settled_without_running(row)
    if settled is not None:
        return RowResult(key, settled, seconds=time.perf_counter() - started)
    with _folder() as folder:
        try:
            taken = RowResult(key, Proof("refused" if row.refused else "proven"))
            result = _prove(key, row, table, folder, mutants, fresh) if examples else taken
            if fuzz:
                result = _fuzzed(result, Bench(row, table, folder / "fuzz", (), mode=mode), fuzz, seed, trail)
        except InputError as error:
            result = _failed(key, Failure("row", "example", str(error)))
        except Exception:
            result = _failed(key, Failure("row", "internal", traceback.format_exc(limit=-4)))
    return replace(result, seconds=time.perf_counter() - started)


def _settled_without_running(row: Row) -> Proof | None:
    """The state of a row that has nothing to run."""
    if row.refused and not row.examples:
        return Proof("refused", note=row.refused[0])
    if row.alternatives and not any(a.serves("portable") for a in row.alternatives):
        return Proof("documented", note="no alternative for CPU")
    if not row.examples:
        return Proof("documented", note=row.note or "no example")
    package = row.name.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        return Proof("documented", note=f"{package} {NOT_INSTALLED}")
    return None


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="row"))
    try:
        yield folder
    finally:
        for name in [n for n, m in sys.modules.items() if _lies_in(m, folder)]:
            del sys.modules[name]
        shutil.rmtree(folder, ignore_errors=True)


def _lies_in(module: ModuleType, folder: Path) -> bool:
    return str(getattr(module, "__file__", None) or "").startswith(str(folder))


def _failed(key: str, failure: Failure) -> RowResult:
    return RowResult(key, Proof("failed", note=_short(str(failure))), (failure,))


def _short(text: str, limit: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _prove(key: str, row: Row, table: Table, folder: Path, with_mutants: bool, fresh: bool) -> RowResult:
    examples = tuple(read_example(raw, row.location) for raw in row.examples)
    bench = Bench(row, table, folder, examples)
    cases = cases_of(row, examples)
    source = torch_source(row, examples, cases)
    text = _converted_text(bench, source, cases, table)
    mutated = _mutated(bench, cases) if with_mutants else ()
    kept_as = proof_key(row, table, (f"mutants: {with_mutants}", *_everything(source, text, mutated)))
    kept = None if fresh else kept_proof(kept_as, key)
    if kept is not None:
        return kept
    torch_module = ported.load_source(folder, bench.next_name("reference"), source, "")
    converted = load_converted(bench, source, text)
    failures: list[Failure] = []
    for case in cases:
        failure = _prove_case(bench, case, torch_module, converted)
        if failure is not None:
            failures.append(_with_reproduction(bench, case, converted, failure))
    if failures:
        return RowResult(key, Proof("failed", note=_short(str(failures[0]))), tuple(failures))
    if row.refused:
        return RowResult(key, Proof("refused", note=row.refused[0]))
    killed, survivors = _kill_mutants(bench, cases, mutated) if with_mutants else ((0, 0), ())
    proof = Proof(*_state(examples), mutants=killed)
    keep_proof(kept_as, proof, survivors)
    return RowResult(key, proof, survivors=survivors)


def _fuzzed(result: RowResult, bench: Bench, count: int, seed: int, trail: Trail | None) -> RowResult:
    """The result of a proven row with that of random calls: a wrong value among them fails it."""
    from porter.parity.fuzz import fuzz_row

    if result.proof.state != "proven":
        return result
    examples = tuple(read_example(raw, bench.row.location) for raw in bench.row.examples)
    found = fuzz_row(replace(bench, examples=examples), count, seed, trail)
    proof = replace(result.proof, fuzz=found.counts())
    if found.wrong:
        proof = replace(proof, state="failed", note=_short(f"random call: {found.wrong[0]}"))
    return replace(result, proof=proof, failures=found.wrong, raised=found.raised, stated=found.stated, gradients=found.wrong_gradients)


def _state(examples: Sequence[Example]) -> tuple[State, tuple[str, ...]]:
    running = [e for e in examples if not e.refused]
    if not running:
        return "refused", ()
    return "proven", ("PYNATIVE", "GRAPH") if all(e.graph for e in running) else ("PYNATIVE",)


# --- conversion ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Text:
    """What the engine makes of some source, or what it raises."""

    ported: str
    extras: str
    diagnostics: tuple[Diagnostic, ...]
    error: str = ""

    def __str__(self) -> str:
        told = "\n".join(f"{d.location.line} {d.code} {d.message}" for d in self.diagnostics)
        return "\0".join((self.ported, self.extras, told, self.error))


def convert(bench: Bench, source: str, cases: Sequence[Case], table: Table) -> Converted:
    """Converts the source of some cases and loads the result; what goes wrong is told in `error`."""
    return load_converted(bench, source, _converted_text(bench, source, cases, table))


def _converted_text(bench: Bench, source: str, cases: Sequence[Case], table: Table) -> Text:
    try:
        facts = traced_facts("example.py", source, bench.examples, cases)
        result = convert_source(source, path="example.py", table=table, facts=facts)
    except Exception as error:
        return Text("", "", (), f"the engine raises {type(error).__name__}: {error}")
    return Text(result.text, result.extras, tuple(result.diagnostics))


def load_converted(bench: Bench, source: str, text: Text) -> Converted:
    """Loads what the engine made of some source; what goes wrong is told in `error`."""
    name = bench.next_name("ported")
    if text.error:
        return Converted("", "", {}, None, text.error)
    diagnostics = _by_class(source, text.diagnostics)
    try:
        module = ported.load_source(bench.folder, name, text.ported, text.extras)
    except Exception as error:
        return Converted(text.ported, text.extras, diagnostics, None, f"{type(error).__name__}: {error}")
    return Converted(text.ported, text.extras, diagnostics, module)


def _by_class(source: str, diagnostics: Sequence[Diagnostic]) -> dict[str, tuple[Diagnostic, ...]]:
    """Diagnostics by the class whose lines they stand in; those outside every class under ''."""
    owners: dict[int, str] = {}
    owner = ""
    for number, line in enumerate(source.splitlines(), start=1):
        if not line.startswith((" ", "\t")) and line:
            owner = line.removeprefix("class ").partition("(")[0] if line.startswith("class Example") else ""
        owners[number] = owner
    found: dict[str, list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        found.setdefault(owners.get(diagnostic.location.line, ""), []).append(diagnostic)
    return {name: tuple(group) for name, group in found.items()}


# --- one case ------------------------------------------------------------------------------------------------------


def _prove_case(bench: Bench, case: Case, torch_module: ModuleType, converted: Converted) -> Failure | None:
    example = bench.examples[case.example]
    # a pitfall (MSP6) speaks of the code around a call, not of the row
    diagnostics = [d for d in converted.diagnostics.get(case.name, ()) if not d.code.startswith("MSP6")]
    if example.refused:
        return None if diagnostics else Failure(case.label, "convert", "should be refused, and is not")
    if case.form and not diagnostics and _says_the_same(case, converted):
        return None  # the example as it is written has run
    run = run_reference(bench, case, torch_module)
    if isinstance(run, Failure):
        return None if case.form else run  # torch itself does not take this form
    if diagnostics:
        return Failure(case.label, "convert", _short(str(diagnostics[0])))
    if case.form and case.example not in bench.runs:
        return None
    wrong = _wrong_text(bench, case, converted)
    return wrong or _observe_and_compare(bench, case, converted)


def _says_the_same(case: Case, converted: Converted) -> bool:
    """Whether an argument form is ported to what the example as it is written is ported to."""
    if converted.module is None:
        return False
    written = converted.classes.get(f"Example{case.example + 1}")
    return written is not None and converted.classes.get(case.name) == written


def run_reference(
    bench: Bench, case: Case, torch_module: ModuleType, seed: int = 0
) -> reference.Reference | Failure:
    example = bench.examples[case.example]
    try:
        constructed = constructor_inputs(bench.row, example)
        run = reference.observe(
            getattr(torch_module, case.name), example, constructed, bench.arrays[case.example], seed
        )
    except Exception as error:
        return Failure(case.label, "torch", f"{type(error).__name__}: {_short(str(error))}")
    if not case.form:
        bench.runs[case.example] = run
    return run


def _wrong_text(bench: Bench, case: Case, converted: Converted) -> Failure | None:
    expected = bench.examples[case.example].ported
    if case.form or expected is None or not converted.text:
        return None
    found = ported_expression(converted.text, bench.row, case)
    if found is not None and canonical(found) == canonical(expected):
        return None
    return Failure(case.label, "text", f"ported as {found}, expected {expected}")


def _observe_and_compare(bench: Bench, case: Case, converted: Converted) -> Failure | None:
    if converted.module is None:
        return Failure(case.label, "load", _short(converted.error))
    example = bench.examples[case.example]
    modes: list[ported.Mode] = ["PYNATIVE"]
    if example.graph and not case.form:
        modes.append("GRAPH")
    for mode in modes:
        failure = compare_case(bench, case, converted.module, mode)
        if failure is not None:
            return failure
    return None


def compare_case(
    bench: Bench, case: Case, module: ModuleType, mode: ported.Mode, gradients: bool = True
) -> Failure | None:
    """Why a ported case does not equal its torch run; gradients are compared where the example asks for them."""
    example = bench.examples[case.example]
    run = bench.runs[case.example]
    gradients = gradients and not case.form
    gradients = gradients and (mode == "PYNATIVE" or case.example == _first_differentiated(bench))
    constructed = constructor_inputs(bench.row, example)
    try:
        observed = ported.observe(
            getattr(module, case.name),
            bench.row,
            bench.table,
            example,
            constructed,
            bench.arrays[case.example],
            run.state,
            mode,
            gradients,
            bench.weighed.get(case.example),
        )
    except Exception as error:
        return Failure(case.label, mode, f"{type(error).__name__}: {_short(str(error))}")
    if observed.weighed:
        bench.weighed.setdefault(case.example, observed.weighed)
    bad = first_failure(list(_comparisons(bench.row, example, run.observation, observed, gradients)))
    return Failure(case.label, mode, str(bad)) if bad else None


def _first_differentiated(bench: Bench) -> int:
    """The example whose gradients are compared in GRAPH mode too: compiling them is what takes longest."""
    return next((i for i, e in enumerate(bench.examples) if "grad" in e.checks and e.graph), -1)


def _comparisons(
    row: Row, example: Example, expected: Observation, found: Observation, gradients: bool
) -> Iterator[Comparison]:
    rtol, loose = example.rtol, example.loose_dtype
    compared = compare_named("output", expected.outputs, found.outputs, rtol=rtol, loose_dtype=loose)
    if example.random:
        yield from (c for c in compared if c.problem in ("shape", "dtype", "missing"))
        yield from _distribution(expected.outputs, found.outputs)
        return
    yield from compared
    extra = sorted(set(found.outputs) - set(expected.outputs))
    if extra:
        yield Comparison(
            f"output {extra[0]}", "shape", float("inf"), 0, 0, ((), found.outputs[extra[0]].shape), ("", "")
        )
    if gradients:
        yield from compare_named("gradient of", expected.gradients, found.gradients, rtol=_looser(rtol))
    buffers = {name: tensor for name, tensor in expected.buffers.items() if not _dropped(row, name)}
    yield from compare_named("buffer", buffers, found.buffers, rtol=rtol)


def _looser(rtol: float | None) -> float | None:
    return None if rtol is None else 10 * rtol


def _dropped(row: Row, name: str) -> bool:
    return row.weights.get(name.removeprefix("m."), "") is None


def _distribution(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Iterator[Comparison]:
    """Mean, deviation and share of zeros of random outputs on both sides, within five standard errors."""
    reference, ported_values = _pooled(expected), _pooled(found)
    if not reference.size or not ported_values.size:
        return
    for name, (wanted, error) in _statistics(reference, _draws(expected)).items():
        measured, other_error = _statistics(ported_values, _draws(found))[name]
        slack = DISTRIBUTION_SIGMAS * float(np.hypot(error, other_error)) + 1e-6 * max(1.0, abs(wanted))
        gap = abs(measured - wanted)
        shown = (f"{wanted:.4g}", f"{measured:.4g}")
        problem: Problem = "" if gap <= slack else "values"
        yield Comparison(
            f"{name} of the output", problem, gap, slack, abs(wanted), ((), ()), ("", ""), (), shown
        )


def _pooled(outputs: Mapping[str, Tensor]) -> Array:
    arrays = [t.array.astype(np.float64).ravel() for t in outputs.values() if t.array.dtype.kind in "fiub"]
    return np.concatenate(arrays) if arrays else np.zeros(0)


def _draws(outputs: Mapping[str, Tensor]) -> int:
    """How many independent draws there are at least: whole channels may be dropped together."""
    return sum(int(np.prod(t.shape[:2])) for t in outputs.values() if t.array.dtype.kind in "fiub")


def _statistics(values: Array, draws: int) -> dict[str, tuple[float, float]]:
    """Each statistic with its standard error."""
    mean, deviation, zeros = float(values.mean()), float(values.std()), float((values == 0).mean())
    fourth = float(((values - mean) ** 4).mean()) / deviation**4 if deviation else 1.0
    return {
        "mean": (mean, deviation / draws**0.5),
        "std": (deviation, deviation * (max(fourth - 1, 0.0) / (4 * draws)) ** 0.5),
        "share of zeros": (zeros, (zeros * (1 - zeros) / draws) ** 0.5),
    }


# --- mutants -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutated:
    """A mutant with what the engine makes of the examples by it."""

    mutant: Mutant
    table: Table
    text: Text


def _mutated(bench: Bench, cases: Sequence[Case]) -> tuple[Mutated, ...]:
    """The mutants of a row that it does not explain, with the examples converted by each."""
    if bench.row.refused:
        return ()
    plain = _plain(bench, cases)
    source = torch_source(bench.row, bench.examples, plain)
    found = []
    for mutant in mutants_of(bench.row):
        if mutant.text not in bench.row.mutants:
            table = bench.table.with_row(mutant.row)
            found.append(Mutated(mutant, table, _converted_text(bench, source, plain, table)))
    return tuple(found)


def _plain(bench: Bench, cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if not case.form and not bench.examples[case.example].refused]


def _everything(source: str, text: Text, mutated: Sequence[Mutated]) -> Iterator[str]:
    yield from (source, str(text))
    for one in mutated:
        yield f"{one.mutant} {sorted(one.mutant.row.weights.items())}"
        yield str(one.text)


def _kill_mutants(
    bench: Bench, cases: Sequence[Case], mutated: Sequence[Mutated]
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """How many mutants fail (or are explained in the row) of how many, and those that pass."""
    total = sum(1 for _ in mutants_of(bench.row))
    if not mutated:
        return (total, total), ()
    plain = _plain(bench, cases)
    source = torch_source(bench.row, bench.examples, plain)
    unchanged = _converted_text(bench, source, plain, bench.table)
    survivors = [str(m.mutant) for m in mutated if not _is_killed(bench, plain, source, m, unchanged)]
    return (total - len(survivors), total), tuple(survivors)


def _is_killed(bench: Bench, cases: Sequence[Case], source: str, mutated: Mutated, unchanged: Text) -> bool:
    if mutated.text.error or mutated.text.diagnostics:
        return True
    same_weights = mutated.mutant.row.weights == bench.row.weights
    if same_weights and (mutated.text.ported, mutated.text.extras) == (unchanged.ported, unchanged.extras):
        return False  # the mistake reaches no example
    converted = load_converted(bench, source, mutated.text)
    if converted.module is None:
        return True
    reached = [c for c in cases if not same_weights or _differs(c, mutated.text, unchanged)]
    other = replace(bench, row=mutated.mutant.row, table=mutated.table)
    module = converted.module
    return any(  # most show in the outputs; gradients take longer
        compare_case(other, case, module, "PYNATIVE", gradients) is not None
        for gradients in (False, True)
        for case in reached
        if not gradients or "grad" in bench.examples[case.example].checks
    )


def _differs(case: Case, mutated: Text, unchanged: Text) -> bool:
    """Whether a mistake in the row reaches a case: in its class, or in what all of them use."""
    ours, theirs = class_texts(unchanged.ported), class_texts(mutated.ported)
    own = (case.name, "")
    return mutated.extras != unchanged.extras or any(ours.get(name) != theirs.get(name) for name in own)


# --- reproduction --------------------------------------------------------------------------------------------------


def _with_reproduction(bench: Bench, case: Case, converted: Converted, failure: Failure) -> Failure:
    return failure if case.form else replace(failure, reproduction=reproduction(bench, case, converted))


_SCRIPT = """\
# {signature}  ({location}), {label}
import os, pathlib, sys, tempfile

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
import mindspore
import torch
from porter.parity.samples import draw_all, parse_spec

TORCH = {torch}
PORTED = {ported}
EXTRAS = {extras}

folder = pathlib.Path(tempfile.mkdtemp())
for name, text in (("reference_side", TORCH), ("ported_side", PORTED), ("ms_extras", EXTRAS)):
    (folder / f"{{name}}.py").write_text(text)
sys.path.insert(0, str(folder))
import ported_side
import reference_side

arrays = draw_all([parse_spec(text) for text in {specs}], seed={seed})
given, inputs = arrays[:{constructed}], arrays[{constructed}:]
print(reference_side.{case}(*map(torch.from_numpy, given))(*map(torch.from_numpy, inputs)))
print(ported_side.{case}(*map(mindspore.Tensor, given))(*map(mindspore.Tensor, inputs)))  # its own weights
"""


def reproduction(bench: Bench, case: Case, converted: Converted) -> str:
    """A script that runs both sides of a case: their source, the inputs, and what they print."""
    example = bench.examples[case.example]
    return _SCRIPT.format(
        signature=signature_text(bench.row.torch),
        location=bench.row.location,
        label=case.label,
        specs=[str(spec) for spec in example.inputs],
        seed=case.example + 1,
        torch=_quoted(torch_source(bench.row, bench.examples, [case])),
        ported=_quoted(_only_class(converted.text, case.name) or f"# {converted.error}"),
        extras=_quoted(converted.extras),
        constructed=len(constructor_inputs(bench.row, example)),
        case=case.name,
    )


def _quoted(text: str) -> str:
    plain = "'''" not in text and "\\" not in text
    return f"'''\\\n{text.strip()}\n'''" if plain and text.strip() else repr(text)


def _only_class(text: str, name: str) -> str:
    """A module's text without the classes of other cases."""
    lines: list[str] = []
    keep = True
    for line in text.splitlines():
        if line.startswith("class Example"):
            keep = line.startswith(f"class {name}(")
        elif line and not line.startswith((" ", ")")):
            keep = True
        if keep:
            lines.append(line)
    return "\n".join(lines)
