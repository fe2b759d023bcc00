"""Compares a reference array with a ported one: shape, dtype, NaN and infinity, and the largest relative difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Problem = Literal["", "shape", "dtype", "non-finite", "values", "missing"]

RTOL = {
    "float64": 1e-9,
    "float32": 1e-5,
    "float16": 4e-3,
    "bfloat16": 3e-2,
    "complex64": 1e-5,
    "complex128": 1e-9,
    "float": 1e-5,  # a Python number read out of a float32 tensor
    "complex": 1e-5,
}
TINY = 1e-6  # magnitudes below this are treated as rounding of zero


@dataclass(frozen=True)
class Tensor:
    """An array with the dtype that its framework gave it (bfloat16 is held as float32)."""

    array: Array
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)


@dataclass(frozen=True)
class Comparison:
    """One reference value against its ported one; `difference` is relative to the largest reference magnitude."""

    name: str
    problem: Problem
    difference: float
    tolerance: float
    magnitude: float
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dtypes: tuple[str, str]
    worst: tuple[int, ...] = ()
    values: tuple[str, str] = ("", "")

    @property
    def passed(self) -> bool:
        return not self.problem

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        reference, ported = self.values
        match self.problem:
            case "shape":
                return f"shape {list(self.shapes[0])} became {list(self.shapes[1])}"
            case "dtype":
                return f"dtype {self.dtypes[0]} became {self.dtypes[1]}"
            case "missing":
                return "has no counterpart in the ported model"
            case "non-finite":
                return f"at {list(self.worst)} {reference} became {ported}"
            case "values":
                return (
                    f"differs by {self.difference:.2e} of the largest magnitude (tolerance {self.tolerance:.0e}); "
                    f"at {list(self.worst)} {reference} became {ported}"
                )
        return f"equal within {self.difference:.1e} (tolerance {self.tolerance:.0e})"


def tolerance_for(*dtypes: str) -> float:
    """The relative difference that rounding explains in the coarsest of the dtypes; 0 for integers and booleans."""
    return max((RTOL.get(dtype, 0.0) for dtype in dtypes), default=0.0)


def compare(
    reference: Tensor,
    ported: Tensor,
    *,
    name: str = "output",
    rtol: float | None = None,
    loose_dtype: bool = False,
) -> Comparison:
    """Compares two tensors; `rtol` replaces the threshold of the dtype, `loose_dtype` accepts another dtype."""
    exact = reference.dtype not in RTOL and ported.dtype not in RTOL
    tolerance = 0.0 if exact else tolerance_for(reference.dtype, ported.dtype) if rtol is None else rtol
    same = Comparison(
        name=name,
        problem="",
        difference=0.0,
        tolerance=tolerance,
        magnitude=0.0,
        shapes=(reference.shape, ported.shape),
        dtypes=(reference.dtype, ported.dtype),
    )
    if reference.shape != ported.shape:
        return replace(same, problem="shape", difference=float("inf"))
    if reference.dtype != ported.dtype and not loose_dtype:
        return replace(same, problem="dtype")
    if reference.array.size == 0:
        return same
    if "U" in (reference.array.dtype.kind, ported.array.dtype.kind):
        return _compare_text(same, str(reference.array), str(ported.array))
    return _compare_values(same, _wide(reference.array), _wide(ported.array))


def _compare_text(same: Comparison, reference: str, ported: str) -> Comparison:
    if reference == ported:
        return same
    return replace(same, problem="values", difference=float("inf"), values=(reference, ported))


def missing(name: str) -> Comparison:
    """The failed comparison of a value that the ported side does not have."""
    return Comparison(name, "missing", float("inf"), 0.0, 0.0, ((), ()), ("", ""))


def _wide(array: Array) -> Array:
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    return array.astype(np.float64)


def _compare_values(same: Comparison, reference: Array, ported: Array) -> Comparison:
    kinds_differ = _non_finite_differ(reference, ported)
    if kinds_differ.any():
        return _at(same, kinds_differ, reference, ported, "non-finite", float("inf"))
    finite = np.isfinite(reference)
    magnitude = float(np.abs(reference[finite]).max()) if finite.any() else 0.0
    with np.errstate(invalid="ignore"):
        gap = np.where(finite, np.abs(reference - ported), 0)
    largest = float(gap.max())
    difference = largest / max(magnitude, TINY)
    found = replace(same, difference=difference, magnitude=magnitude)
    if difference <= same.tolerance:
        return found
    return _at(found, gap, reference, ported, "values", difference)


def _non_finite_differ(reference: Array, ported: Array) -> Array:
    """Where one side is NaN or infinite and the other is not the same."""
    differ = np.isnan(reference) != np.isnan(ported)
    infinite = np.isinf(reference) | np.isinf(ported)
    return np.asarray(differ | (infinite & (reference != ported) & ~np.isnan(reference)))


def _at(
    found: Comparison, score: Array, reference: Array, ported: Array, problem: Problem, difference: float
) -> Comparison:
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(score)), score.shape))
    values = (_number(reference[worst]), _number(ported[worst]))
    return replace(found, problem=problem, difference=difference, worst=worst, values=values)


def _number(value: Any) -> str:
    return f"{value:.6g}" if np.iscomplexobj(value) or isinstance(value, np.floating) else str(value)


def first_failure(comparisons: Sequence[Comparison]) -> Comparison | None:
    return next((c for c in comparisons if not c.passed), None)


def largest_difference(comparisons: Sequence[Comparison]) -> float:
    """The largest relative difference of all that have one; 0.0 for none."""
    return max((c.difference for c in comparisons), default=0.0)
