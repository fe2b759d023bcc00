"""Fuzzes a row: random calls that torch accepts must port to equal values, or be refused by a guard."""

from __future__ import annotations

import ast
import math
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch

from porter import pure
from porter.parity import reference
from porter.parity.cases import Case, Example, bound_arguments, constructor_inputs, own_call, torch_source
from porter.parity.compare import compare
from porter.parity.leaves import Observation
from porter.parity.ported import Mode
from porter.parity.promotion import RULE, AxesForAll
from porter.parity.proofs import Failure
from porter.parity.reference import Reference
from porter.parity.rounding import compare_rounded, torch_class
from porter.parity.rows import Bench, Converted, convert
from porter.parity.samples import draw_all
from porter.parity.trail import Found, Outcome, Step, Trail
from porter.parity.variants import variants

TRIES_PER_CALL = 12
NEW_MEMORY = re.compile(r"empty|[a-z]Tensor\(")  # calls that return memory which nothing has written
NOT_FINITE = re.compile(r"at \[[\d, ]*\] -?(nan|inf)j? became")  # a gradient that torch itself does not have
SEEDS = range(2, 18)  # of the runs of a call that draws random numbers
GRADIENTS = 10  # calls of a row whose gradients are compared too


@dataclass(frozen=True)
class FuzzResult:
    """What became of random calls: those that ran equal, were refused by a guard, gave another value, or raised.

    `no kernel` raise because the device's kernel does not take the dtype, `no elements` because it takes or makes no tensor
    without elements; MindSpore says so itself. `limited` raise within a limit that the row states, `stated` have
    another value there; `empty` are wrong values of reductions over an axis of size 0, where MindSpore's kernels write nothing at all.
    `gradients` are of the first equal calls.
    """

    values: tuple[Found, ...] = ()
    gradients: tuple[Found, ...] = ()
    mode: Mode = "PYNATIVE"

    def counts(self) -> dict[str, int]:
        """How many calls had each outcome; those that none had are left out."""
        found: Counter[str] = Counter(value.outcome for value in self.values)
        found.update(f"{one.outcome} gradient" for one in self.gradients)
        return dict(found)

    @property
    def wrong(self) -> tuple[Failure, ...]:
        return self._failures("wrong")

    @property
    def raised(self) -> tuple[Failure, ...]:
        return self._failures("raised")

    @property
    def stated(self) -> tuple[Failure, ...]:
        return self._failures("stated")

    @property
    def wrong_gradients(self) -> tuple[Failure, ...]:
        return tuple(Failure(f.call, "gradient", f.message) for f in self.gradients if f.outcome in ("wrong", "raised"))

    def _failures(self, outcome: Outcome) -> tuple[Failure, ...]:
        return tuple(Failure(f.call, self.mode, f.message) for f in self.values if f.outcome == outcome)


def fuzz_row(bench: Bench, count: int, seed: int = 0, trail: Trail | None = None) -> FuzzResult:
    """Runs up to `count` random calls of a row in the bench's mode; the same ones for the same seed.

    What a trail holds already is not run again, and in GRAPH mode no example that does not compile is varied.
    """
    trail = trail or Trail()
    bench = replace(bench, examples=tuple(e for e in bench.examples if e.graph or bench.mode == "PYNATIVE"))
    fuzzed, cases = _accepted_by_torch(bench, count, seed, trail)
    if not cases:
        return FuzzResult()
    plain = replace(fuzzed, examples=tuple(_without_gradient(e) for e in fuzzed.examples))
    converted = convert(fuzzed, torch_source(fuzzed.row, fuzzed.examples, cases), cases, fuzzed.table)
    values: list[Found] = []
    gradients: list[Found] = []
    for number, case in enumerate(cases):
        values.append(_step(trail, plain, case, converted, "value"))
        differentiated = "grad" in fuzzed.examples[number].checks and len(gradients) < GRADIENTS
        if differentiated and values[-1].outcome == "equal":
            gradients.append(_step(trail, fuzzed, case, converted, "gradient"))
    return FuzzResult(tuple(values), tuple(gradients), bench.mode)


def _step(trail: Trail, bench: Bench, case: Case, converted: Converted, step: Step) -> Found:
    call = " on ".join((case.call, " ".join(str(spec) for spec in bench.examples[case.example].inputs)))
    known = trail.take(case.example, step)
    if known is not None:
        return known if known.call else replace(known, call=call)
    with trail.running(case.example, step):
        ran = _value(bench, case, converted) if step == "value" else _gradient(bench, case, converted)
        found = replace(ran, call=call)
    return trail.keep(case.example, step, found)


def _without_gradient(example: Example) -> Example:
    return replace(example, checks=example.checks - {"grad"})


# --- calls that torch takes ----------------------------------------------------------------------------------------


def _accepted_by_torch(bench: Bench, count: int, seed: int, trail: Trail) -> tuple[Bench, list[Case]]:
    """Random examples that torch runs, always to the same values, with their torch runs."""
    examples: list[Example] = []
    runs = {}
    tried: set[tuple[str, str]] = set()
    drawn = variants(bench.row, bench.examples, seed)
    for number, example in zip(range(count * TRIES_PER_CALL), drawn, strict=False):
        key = (example.call, str(example.inputs))
        if len(examples) >= count:
            break
        if key in tried:
            continue
        tried.add(key)
        with trail.trying(number) as may_run:
            run = _settled_run(bench, example, len(examples)) if may_run else None
        if run is not None:
            runs[len(examples)] = run
            examples.append(example)
    fuzzed = replace(bench, examples=tuple(examples), runs=runs)
    return fuzzed, [Case(f"Example{i + 1}", i, "", e.call) for i, e in enumerate(examples)]


def _settled_run(bench: Bench, example: Example, number: int) -> Reference | None:
    """The torch run of an example; None where torch refuses it, draws numbers, or reads what it never wrote."""
    plain = _without_gradient(example)
    before = _states(torch.Generator().manual_seed(0))
    try:
        build = torch_class(bench, example)
        run = _run(bench, build, plain, number)
        draws = _states(torch.default_generator) != before
        with _memory_filled():
            again = _run(bench, build, plain, number, seed=1)
        settled = _same(run.observation, again.observation)
        # what draws numbers may give the same twice by chance
        settled = settled and not (draws and any(not _same(run.observation, _reseeded(bench, build, plain, number, s)) for s in SEEDS))
    except Exception:  # whatever torch raises for arguments that it does not take
        return None
    return run if settled and not (NEW_MEMORY.search(example.call) and _unwritten(run.observation)) else None


def _states(generator: torch.Generator) -> tuple[object, ...]:
    """The states of a generator of torch, and of Python's and numpy's own."""
    return bytes(generator.get_state().numpy()), random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore[index]


def _reseeded(bench: Bench, build: type[torch.nn.Module], example: Example, number: int, seed: int) -> Observation:
    random.seed(seed)
    np.random.seed(seed)
    return _run(bench, build, example, number, seed).observation


def _unwritten(seen: Observation) -> bool:
    """Whether an output may be what `_memory_filled` leaves in new memory, which the first run can meet by chance."""
    return any(t.array.dtype.kind == "b" or bool(np.all(t.array != t.array)) for t in seen.outputs.values() if t.array.size)


def _run(bench: Bench, build: type[torch.nn.Module], example: Example, number: int, seed: int = 0) -> Reference:
    arrays = draw_all(example.inputs, seed=number + 1)  # as Bench.arrays
    return reference.observe(build, example, constructor_inputs(bench.row, example), arrays, seed)


@contextmanager
def _memory_filled() -> Iterator[None]:
    """New tensors hold NaN and not what happens to lie in memory."""
    torch.set_deterministic_debug_mode("warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode("default")


def _same(one: Observation, other: Observation) -> bool:
    return one.outputs.keys() == other.outputs.keys() and all(
        compare(one.outputs[name], other.outputs[name]).passed for name in one.outputs
    )


# --- what becomes of them ------------------------------------------------------------------------------------------


def _value(bench: Bench, case: Case, converted: Converted) -> Found:
    # a pitfall (MSP6) speaks of the code around a call, not of the row
    told = [d for d in converted.diagnostics.get(case.name, ()) if not d.code.startswith("MSP6")]
    if told:
        return Found("refused", "", str(told[0]))
    if converted.module is None:
        return Found("raised", "", converted.error)
    limited = _is_limited(bench, case)
    if limited and _reduces_nothing(bench, case):  # kernels that end the process there
        return Found("limited")
    failure = compare_rounded(bench, case, converted.module)
    if failure is None:
        return Found("equal")
    if limited:
        return Found("limited" if _is_exception(failure) else "stated", "", failure.message)
    if _lacks_kernel(failure):
        return Found("no kernel", "", failure.message)
    if _is_exception(failure):
        guard = failure.message.startswith("ValueError: torch.")  # an adapter's guard names the torch call
        nothing = _reduces_nothing(bench, case) or _makes_nothing(bench, case)
        loud: Outcome = "refused" if guard else "no elements" if nothing else "raised"
        return Found(loud, "", failure.message)
    if _promotes_otherwise(bench, case, converted.module):
        return Found("stated", "", f"{RULE}: {failure.message}")
    return Found("empty" if _reduces_nothing(bench, case) else "wrong", "", failure.message)


def _promotes_otherwise(bench: Bench, case: Case, module: ModuleType) -> bool:
    """Whether the ported call gives what torch would with MindSpore's promotion of dtypes."""
    example = _without_gradient(bench.examples[case.example])
    try:
        with AxesForAll() as promoted:
            run = _run(bench, torch_class(bench, example), example, case.example)
    except Exception:  # a kernel that does not take the promoted dtype
        return False
    return promoted.widened and compare_rounded(replace(bench, runs={case.example: run}), case, module) is None


def _gradient(bench: Bench, case: Case, converted: Converted) -> Found:
    assert converted.module is not None
    example = bench.examples[case.example]
    try:
        run = _run(bench, torch_class(bench, example), example, case.example)
    except Exception:  # of a value that torch does not differentiate
        return Found("limited")
    # in GRAPH mode the gradients of one example alone are compared
    alone = tuple(e if e is example else _without_gradient(e) for e in bench.examples)
    differentiated = replace(bench, runs={case.example: run}, examples=alone)
    failure = compare_rounded(differentiated, case, converted.module)
    if failure is None:
        return Found("equal")
    if _lacks_kernel(failure):
        return Found("no kernel", "", failure.message)
    if _is_limited(bench, case):
        return Found("limited" if _is_exception(failure) else "stated", "", failure.message)
    if _is_exception(failure):
        return Found("no elements" if _reduces_nothing(bench, case) else "raised", "", failure.message)
    infinite = NOT_FINITE.search(failure.message) or _reduces_nothing(bench, case)
    return Found("limited" if infinite else "wrong", "", failure.message)


# what MindSpore says of a dtype that the device's kernel of an operator does not take
LACKING = (
    "Unsupported data type",
    "Kernel select failed",
    "does not support this kernel data type",
    "Unsupported op",
    "must be a type of",
    "type is not support",
    "KernelMod Init Failed",
    "the dtype of 'input' must be",
    "The 'x' should be one of",
)


def _lacks_kernel(failure: Failure) -> bool:
    return _is_exception(failure) and any(text in failure.message for text in LACKING)


def _is_exception(failure: Failure) -> bool:
    return failure.stage in ("PYNATIVE", "GRAPH") and "Error" in failure.message.partition(": ")[0]


def _is_limited(bench: Bench, case: Case) -> bool:
    """Whether the arguments of a call lie within a limit of the row."""
    if not bench.row.limits:
        return False
    example = bench.examples[case.example]
    tensors = [reference.to_torch(a, s) for a, s in zip(bench.arrays[case.example], example.inputs, strict=True)]
    known: dict[str, Any] = {**PREDICATES, **vars(pure), "torch": torch, "math": math, "inputs": tensors}
    known |= dict(zip(example.names, tensors, strict=True))
    package = bench.row.name.partition(".")[0]
    known.setdefault(package, sys.modules.get(package))  # torchvision's, which ran the example
    try:
        given = {name: eval(ast.unparse(node), known) for name, node in _arguments(bench, case).items()}
        for parameter in bench.row.torch.parameters or ():
            if parameter.name not in given and parameter.default is not None:
                given[parameter.name] = eval(parameter.default, known)
    except Exception:  # arguments that stand on names of the example
        given = {}
    return any(_holds(limit.when, known | given) for limit in bench.row.limits)


def _holds(condition: str, names: dict[str, Any]) -> bool:
    try:
        return bool(eval(condition, names))
    except Exception:  # a limit that these arguments do not fit
        return False


def _arguments(bench: Bench, case: Case) -> dict[str, ast.expr]:
    call = own_call(bench.row, ast.parse(case.call, mode="eval"))
    given = bound_arguments(bench.row, case.call) or {}
    if bench.row.kind == "method" and call is not None and isinstance(call.func, ast.Attribute):
        given["self"] = call.func.value
    if bench.row.torch.star and call is not None and call.args and not call.keywords:
        before = len(bench.row.torch.positional) - (bench.row.kind == "method")
        given[bench.row.torch.star] = ast.Tuple(call.args[before:], ast.Load())
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
    "is_size": lambda value: isinstance(value, torch.Size),
    "is_dtype": lambda value: isinstance(value, torch.dtype),
    "integral": _integral,
}


def _makes_nothing(bench: Bench, case: Case) -> bool:
    return any(output.array.size == 0 for output in bench.runs[case.example].observation.outputs.values())


def _reduces_nothing(bench: Bench, case: Case) -> bool:
    return any(0 in spec.shape for spec in bench.examples[case.example].inputs)
