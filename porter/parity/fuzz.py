"""Fuzzes a row: random calls that torch accepts must port to equal values, or be refused by a guard."""

from __future__ import annotations

from dataclasses import dataclass, replace

from porter.diagnostics import InputError
from porter.parity import ported
from porter.parity.cases import Case, Example, torch_source
from porter.parity.proofs import Failure
from porter.parity.rows import Bench, Converted, compare_case, convert, run_reference
from porter.parity.variants import variants

TRIES_PER_CALL = 6


@dataclass(frozen=True)
class FuzzResult:
    """How many random calls ran equal, were refused by a guard, gave another value, or raised something else."""

    equal: int = 0
    guarded: int = 0
    wrong: tuple[Failure, ...] = ()
    raised: tuple[Failure, ...] = ()


def fuzz_row(bench: Bench, count: int, seed: int = 0) -> FuzzResult:
    """Runs up to `count` random calls of a row in PYNATIVE mode."""
    fuzzed, cases = _accepted_by_torch(bench, count, seed)
    if not cases:
        return FuzzResult()
    source = torch_source(fuzzed.row, fuzzed.examples, cases)
    converted = convert(fuzzed, source, cases, fuzzed.table)
    result = FuzzResult()
    for case in cases:
        result = _count(result, fuzzed, case, converted)
    return result


def _accepted_by_torch(bench: Bench, count: int, seed: int) -> tuple[Bench, list[Case]]:
    """Random examples that torch runs, with their torch runs."""
    examples: list[Example] = []
    runs = {}
    tried: set[tuple[str, str]] = set()
    drawn = variants(bench.row, bench.examples, seed)
    for _, example in zip(range(count * TRIES_PER_CALL), drawn, strict=False):
        key = (example.call, str(example.inputs))
        if len(examples) >= count or key in tried:
            continue
        tried.add(key)
        number = len(examples)
        trial = replace(bench, examples=(*examples, example), runs={})
        case = Case(f"Example{number + 1}", number, "", example.call)
        try:
            text = torch_source(trial.row, trial.examples, [case])
            module = ported.load_source(trial.folder, bench.next_name("fuzz"), text, "")
        except (InputError, SyntaxError):
            continue
        run = run_reference(trial, case, module)
        if not isinstance(run, Failure):
            examples.append(example)
            runs[number] = run
    fuzzed = replace(bench, examples=tuple(examples), runs=runs)
    return fuzzed, [Case(f"Example{i + 1}", i, "", e.call) for i, e in enumerate(examples)]


def _count(result: FuzzResult, bench: Bench, case: Case, converted: Converted) -> FuzzResult:
    if converted.diagnostics.get(case.name):
        return replace(result, guarded=result.guarded + 1)
    if converted.module is None:
        return replace(result, raised=(*result.raised, Failure(case.call, "load", converted.error)))
    failure = compare_case(bench, case, converted.module, "PYNATIVE")
    if failure is None:
        return replace(result, equal=result.equal + 1)
    specs = " ".join(str(spec) for spec in bench.examples[case.example].inputs)
    failure = replace(failure, case=f"{case.call} on {specs}")
    if (
        failure.stage == "PYNATIVE"
        and ": " in failure.message
        and "Error" in failure.message.partition(":")[0]
    ):
        if failure.message.startswith("ValueError: torch."):  # an adapter's guard names the torch call
            return replace(result, guarded=result.guarded + 1)
        return replace(result, raised=(*result.raised, failure))
    return replace(result, wrong=(*result.wrong, failure))
