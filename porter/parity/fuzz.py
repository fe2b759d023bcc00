"""Fuzzes a row: random calls that torch accepts must port to equal values, or be refused by a guard."""

from __future__ import annotations

import ast
import math
import re
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from porter import pure
from porter.parity import reference
from porter.parity.cases import Case, Example, bound_arguments, constructor_inputs, own_call, torch_source
from porter.parity.compare import compare
from porter.parity.leaves import Observation
from porter.parity.ported import Mode
from porter.parity.proofs import Failure
from porter.parity.reference import Reference
from porter.parity.rows import Bench, Converted, compare_case, convert
from porter.parity.samples import draw_all
from porter.parity.trail import Found, Outcome, Step, Trail
from porter.parity.variants import variants

TRIES_PER_CALL = 12
NEW_MEMORY = re.compile(r"empty|[a-z]Tensor\(")  # calls that return memory which nothing has written
NOT_FINITE = re.compile(r"(nan|inf) became -?(nan|inf)$")  # a gradient that is of no use on either side
OWN_ERRORS = 10.0  # times torch's own error of float32 is rounding
GRADIENTS = 10  # calls of a row whose gradients are compared too


@dataclass(frozen=True)
class FuzzResult:
    """What became of random calls: those that ran equal, were refused by a guard, gave another value, or raised.

    `no kernel` raise because the device's kernel does not take the dtype, `no elements` because it takes no tensor
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
    try:
        build = _torch_class(bench, example)
        run = _run(bench, build, _without_gradient(example), number)
        with _memory_filled():
            again = _run(bench, build, _without_gradient(example), number, seed=1)
    except Exception:  # whatever torch raises for arguments that it does not take
        return None
    settled = _same(run.observation, again.observation)
    return run if settled and not (NEW_MEMORY.search(example.call) and _unwritten(run.observation)) else None


def _unwritten(seen: Observation) -> bool:
    """Whether an output may be what `_memory_filled` leaves in new memory, which the first run can meet by chance."""
    return any(t.array.dtype.kind == "b" or bool(np.all(t.array != t.array)) for t in seen.outputs.values() if t.array.size)


def _torch_class(bench: Bench, example: Example) -> type[torch.nn.Module]:
    module = types.ModuleType(bench.next_name("fuzz"))
    exec(torch_source(bench.row, [example], [Case("Example1", 0, "", example.call)]), vars(module))
    built: type[torch.nn.Module] = module.Example1
    return built


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
    failure = _compared(bench, case, converted.module)
    if failure is None:
        return Found("equal")
    if limited:
        return Found("limited" if _is_exception(failure) else "stated", "", failure.message)
    if _lacks_kernel(failure):
        return Found("no kernel", "", failure.message)
    if _is_exception(failure):
        guard = failure.message.startswith("ValueError: torch.")  # an adapter's guard names the torch call
        loud: Outcome = "refused" if guard else "no elements" if _reduces_nothing(bench, case) else "raised"
        return Found(loud, "", failure.message)
    return Found("empty" if _reduces_nothing(bench, case) else "wrong", "", failure.message)


def _gradient(bench: Bench, case: Case, converted: Converted) -> Found:
    assert converted.module is not None
    example = bench.examples[case.example]
    try:
        run = _run(bench, _torch_class(bench, example), example, case.example)
    except Exception:  # of a value that torch does not differentiate
        return Found("limited")
    # in GRAPH mode the gradients of one example alone are compared
    alone = tuple(e if e is example else _without_gradient(e) for e in bench.examples)
    differentiated = replace(bench, runs={case.example: run}, examples=alone)
    failure = _compared(differentiated, case, converted.module)
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


def _compared(bench: Bench, case: Case, module: types.ModuleType) -> Failure | None:
    """Why a call is not equal, where that is more than ten times torch's own error of float32."""
    failure = compare_case(bench, case, module, bench.mode)
    if failure is None or "of the largest magnitude" not in failure.message:
        return failure
    example = bench.examples[case.example]
    wider = max(example.rtol or 0.0, OWN_ERRORS * _own_error(bench, case))
    if wider <= (example.rtol or 0.0):
        return failure
    examples = tuple(replace(e, rtol=wider) if e is example else e for e in bench.examples)
    return compare_case(replace(bench, examples=examples), case, module, bench.mode)


def _own_error(bench: Bench, case: Case) -> float:
    """What rounding explains in torch itself: the largest relative difference of its float32 run from its float64 run,

    or that of float64 runs on inputs that are apart by less than float32 can tell; 0 where those fail.
    """
    example = bench.examples[case.example]
    if not any(spec.dtype == "float32" for spec in example.inputs):
        return 0.0
    own = bench.runs[case.example]
    try:
        wide, near = (_double_run(bench, case, own, rounding) for rounding in (0.0, 2.0**-24))
    except torch.linalg.LinAlgError:  # singular, as far as float32 can tell
        return math.inf
    except Exception:  # a kernel of float32 alone
        return 0.0
    return max(
        (*_differences(own.observation, wide.observation), *_differences(wide.observation, near.observation)), default=0.0
    )


def _double_run(bench: Bench, case: Case, own: Reference, rounding: float) -> Reference:
    """The call in float64, with torch's weights, on inputs that are apart by a random rounding."""
    example = bench.examples[case.example]
    wide = [replace(s, dtype="float64") if s.dtype == "float32" else s for s in example.inputs]
    call = replace(example, inputs=tuple(wide))
    rng = np.random.RandomState(0)
    arrays = [
        a.astype(s.numpy_dtype) * (1 + rounding * rng.choice([-1.0, 1.0], a.shape)) if s.dtype == "float64" else a
        for a, s in zip(bench.arrays[case.example], wide, strict=True)
    ]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        constructed = constructor_inputs(bench.row, call)
        return reference.observe(_torch_class(bench, call), call, constructed, arrays, weights=own.state)
    finally:
        torch.set_default_dtype(before)


def _differences(one: Observation, other: Observation) -> Iterator[float]:
    for single, double in ((one.outputs, other.outputs), (one.gradients, other.gradients)):
        for name in single.keys() & double.keys():
            found = compare(single[name], double[name], loose_dtype=True)
            if found.shapes[0] == found.shapes[1] and math.isfinite(found.difference):
                yield found.difference


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
    try:
        given = {name: eval(ast.unparse(node), known) for name, node in _arguments(bench, case).items()}
        for parameter in bench.row.torch.parameters or ():
            if parameter.name not in given and parameter.default is not None:
                given[parameter.name] = eval(parameter.default, known)
        return any(eval(limit.when, known | given) for limit in bench.row.limits)
    except Exception:  # arguments that stand on names of the example, or a limit that these arguments do not fit
        return any(limit.when == "True" for limit in bench.row.limits)


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
    "is_size": lambda value: isinstance(value, torch.Size),
    "is_dtype": lambda value: isinstance(value, torch.dtype),
    "integral": _integral,
}


def _reduces_nothing(bench: Bench, case: Case) -> bool:
    return any(0 in spec.shape for spec in bench.examples[case.example].inputs)
