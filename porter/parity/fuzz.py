"""Fuzzes a row: random calls that torch accepts must port to equal values, or be refused by a guard."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from porter import pure
from porter.diagnostics import InputError
from porter.parity import ported, reference
from porter.parity.cases import Case, Example, bound_arguments, own_call, torch_source
from porter.parity.compare import compare
from porter.parity.leaves import Observation
from porter.parity.proofs import Failure
from porter.parity.reference import Reference
from porter.parity.rows import Bench, Converted, compare_case, convert, run_reference
from porter.parity.variants import variants

TRIES_PER_CALL = 6


@dataclass(frozen=True)
class FuzzResult:
    """How many random calls ran equal, were refused by a guard, gave another value, or raised something else.

    `limited` lie within a limit that the row states, and are not run; `empty` are wrong values of reductions over an axis of size 0, where MindSpore's kernels write nothing at all.
    """

    equal: int = 0
    guarded: int = 0
    empty: int = 0
    limited: int = 0
    wrong: tuple[Failure, ...] = ()
    raised: tuple[Failure, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many calls had each outcome; those that none had are left out."""
        found = {
            "equal": self.equal,
            "refused": self.guarded,
            "raised": len(self.raised),
            "limited": self.limited,
            "empty": self.empty,
            "wrong": len(self.wrong),
        }
        return {outcome: number for outcome, number in found.items() if number}


def fuzz_row(bench: Bench, count: int, seed: int = 0) -> FuzzResult:
    """Runs up to `count` random calls of a row in PYNATIVE mode; the same ones for the same seed."""
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
    """Random examples that torch runs, always to the same values, with their torch runs."""
    examples: list[Example] = []
    runs = {}
    tried: set[tuple[str, str]] = set()
    drawn = variants(bench.row, bench.examples, seed)
    for _, example in zip(range(count * TRIES_PER_CALL), drawn, strict=False):
        key = (example.call, str(example.inputs))
        if len(examples) >= count or key in tried:
            continue
        tried.add(key)
        run = _settled_run(replace(bench, examples=(*examples, example), runs={}))
        if run is not None:
            runs[len(examples)] = run
            examples.append(example)
    fuzzed = replace(bench, examples=tuple(examples), runs=runs)
    return fuzzed, [Case(f"Example{i + 1}", i, "", e.call) for i, e in enumerate(examples)]


def _settled_run(trial: Bench) -> Reference | None:
    """The torch run of the last example; None where torch refuses it, draws numbers, or reads what it never wrote."""
    number = len(trial.examples) - 1
    example = trial.examples[number]
    case = Case(f"Example{number + 1}", number, "", example.call)
    try:
        text = torch_source(trial.row, trial.examples, [case])
        module = ported.load_source(trial.folder, trial.next_name("fuzz"), text, "")
    except (InputError, SyntaxError):
        return None
    run = run_reference(trial, case, module)
    with _memory_filled():
        again = run_reference(trial, case, module, seed=1)
    if isinstance(run, Failure) or isinstance(again, Failure):
        return None
    return run if _same(run.observation, again.observation) else None


@contextmanager
def _memory_filled() -> Iterator[None]:
    """New tensors hold NaN and not what happens to lie in memory."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def _same(one: Observation, other: Observation) -> bool:
    return one.outputs.keys() == other.outputs.keys() and all(
        compare(one.outputs[name], other.outputs[name]).passed for name in one.outputs
    )


def _count(result: FuzzResult, bench: Bench, case: Case, converted: Converted) -> FuzzResult:
    if converted.diagnostics.get(case.name):
        return replace(result, guarded=result.guarded + 1)
    if converted.module is None:
        return replace(result, raised=(*result.raised, Failure(case.call, "load", converted.error)))
    if _is_limited(bench, case):
        return replace(result, limited=result.limited + 1)
    failure = compare_case(bench, case, converted.module, "PYNATIVE")
    if failure is None:
        return replace(result, equal=result.equal + 1)
    specs = " ".join(str(spec) for spec in bench.examples[case.example].inputs)
    failure = replace(failure, case=f"{case.call} on {specs}")
    if _is_exception(failure):
        if failure.message.startswith("ValueError: torch."):  # an adapter's guard names the torch call
            return replace(result, guarded=result.guarded + 1)
        return replace(result, raised=(*result.raised, failure))
    if _reduces_nothing(bench, case):
        return replace(result, empty=result.empty + 1)
    return replace(result, wrong=(*result.wrong, failure))


def _is_exception(failure: Failure) -> bool:
    return failure.stage == "PYNATIVE" and "Error" in failure.message.partition(": ")[0]


def _is_limited(bench: Bench, case: Case) -> bool:
    """Whether the arguments of a call lie within a limit of the row."""
    if not bench.row.limits:
        return False
    example = bench.examples[case.example]
    tensors = [reference.to_torch(a, s) for a, s in zip(bench.arrays[case.example], example.inputs, strict=True)]
    known: dict[str, Any] = {**PREDICATES, **vars(pure), "torch": torch, "math": math, "inputs": tensors}
    known |= dict(zip(example.names, tensors, strict=True))
    given = {name: eval(ast.unparse(node), known) for name, node in _arguments(bench, case).items()}
    for parameter in bench.row.torch.parameters or ():
        if parameter.name not in given and parameter.default is not None:
            given[parameter.name] = eval(parameter.default, known)
    return any(eval(limit.when, known | given) for limit in bench.row.limits)


def _arguments(bench: Bench, case: Case) -> dict[str, ast.expr]:
    call = own_call(bench.row, ast.parse(case.call, mode="eval"))
    given = bound_arguments(bench.row, case.call) or {}
    if bench.row.kind == "method" and call is not None and isinstance(call.func, ast.Attribute):
        given["self"] = call.func.value
    return given


def _integral(value: Any) -> bool:
    """Whether a dtype, or the dtype of a tensor, is one of integers or booleans."""
    dtype = value.dtype if isinstance(value, torch.Tensor) else value
    return isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex)


# the predicates of rows over torch's own values
PREDICATES: dict[str, Callable[[Any], bool]] = {
    "is_int": lambda value: isinstance(value, int),
    "is_float": lambda value: isinstance(value, float),
    "is_number": lambda value: isinstance(value, int | float),
    "is_bool": lambda value: isinstance(value, bool),
    "is_str": lambda value: isinstance(value, str),
    "is_none": lambda value: value is None,
    "is_tensor": lambda value: isinstance(value, torch.Tensor),
    "is_sequence": lambda value: isinstance(value, list | tuple),
    "is_dtype": lambda value: isinstance(value, torch.dtype),
    "integral": _integral,
}


def _reduces_nothing(bench: Bench, case: Case) -> bool:
    return any(0 in spec.shape for spec in bench.examples[case.example].inputs)
