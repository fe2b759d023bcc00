"""Comparisons see what matters: shapes, dtypes, NaN and infinity, and differences beyond rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from porter.parity.compare import Tensor, compare, first_failure, largest_difference, missing, tolerance_for


def tensor(values: object, dtype: str = "float32") -> Tensor:
    return Tensor(np.asarray(values, None if dtype in ("int", "float", "str") else dtype), dtype)


def test_equal_within_rounding() -> None:
    found = compare(tensor([1000.0, 1e-3]), tensor([1000.001, 1.1e-3]))
    assert found.passed
    assert 0 < found.difference < 2e-6


def test_difference_is_relative_to_the_largest_magnitude() -> None:
    found = compare(tensor([2.0, -4.0]), tensor([2.0, -3.0]), name="conv1")
    assert (found.problem, found.difference, found.worst) == ("values", 0.25, (1,))
    assert str(found) == (
        "conv1: differs by 2.50e-01 of the largest magnitude (tolerance 1e-05); at [1] -4 became -3"
    )


def test_shape_comes_before_values() -> None:
    found = compare(tensor(np.zeros((2, 3))), tensor(np.zeros((3, 2))))
    assert found.problem == "shape"
    assert "shape [2, 3] became [3, 2]" in str(found)


def test_a_broadcastable_shape_is_no_equal_shape() -> None:
    assert compare(tensor(np.ones((3, 1))), tensor(np.ones((3,)))).problem == "shape"


def test_dtype_is_compared_unless_loose() -> None:
    reference, ported = tensor([1, 2], "int64"), tensor([1, 2], "int32")
    assert compare(reference, ported).problem == "dtype"
    assert compare(reference, ported, loose_dtype=True).passed
    assert not compare(reference, tensor([1, 3], "int32"), loose_dtype=True).passed


def test_integers_are_exact() -> None:
    large = 2**53
    assert compare(tensor([large], "int64"), tensor([large + 1], "int64")).problem == "values"
    assert compare(tensor([True], "bool"), tensor([False], "bool")).problem == "values"


def test_integers_stay_exact_with_a_tolerance() -> None:
    assert not compare(tensor([100], "int64"), tensor([101], "int64"), rtol=0.1).passed


@pytest.mark.parametrize("other", [0.0, np.inf, -np.inf])
def test_nan_equals_only_nan(other: float) -> None:
    assert compare(tensor([np.nan, 1]), tensor([np.nan, 1])).passed
    assert compare(tensor([np.nan, 1]), tensor([other, 1])).problem == "non-finite"
    assert compare(tensor([other, 1]), tensor([np.nan, 1])).problem == "non-finite"


def test_infinity_has_a_sign() -> None:
    assert compare(tensor([np.inf]), tensor([np.inf])).passed
    assert compare(tensor([np.inf]), tensor([-np.inf])).problem == "non-finite"
    assert compare(tensor([3e38]), tensor([np.inf])).problem == "non-finite"


def test_infinity_does_not_hide_other_differences() -> None:
    assert compare(tensor([np.inf, 1.0]), tensor([np.inf, 2.0])).problem == "values"


def test_zeros_against_noise() -> None:
    assert compare(tensor([0.0, 0.0]), tensor([1e-13, 0.0])).passed
    assert not compare(tensor([0.0, 0.0]), tensor([1e-3, 0.0])).passed


def test_thresholds_follow_the_coarser_dtype() -> None:
    assert tolerance_for("float16", "float32") > tolerance_for("float32")
    half = compare(tensor([1.0], "float16"), tensor([1.001], "float16"))
    assert half.passed
    assert not compare(tensor([1.0]), tensor([1.001])).passed


def test_empty_and_scalar() -> None:
    assert compare(tensor(np.zeros((0, 3))), tensor(np.zeros((0, 3)))).passed
    assert compare(tensor(3, "int"), tensor(3, "int")).passed
    assert compare(tensor(3, "int"), tensor(3.0, "float")).problem == "dtype"


def test_text_is_compared_exactly() -> None:
    assert compare(tensor("float32", "str"), tensor("float32", "str")).passed
    assert compare(tensor("float32", "str"), tensor("float64", "str")).problem == "values"


def test_complex() -> None:
    assert compare(tensor([1 + 1j], "complex64"), tensor([1 + 1j], "complex64")).passed
    assert not compare(tensor([1 + 1j], "complex64"), tensor([1 - 1j], "complex64")).passed


def test_missing_fails() -> None:
    assert not missing("bn1").passed
    assert "bn1: has no counterpart" in str(missing("bn1"))


def test_groups() -> None:
    good, bad = compare(tensor([1.0]), tensor([1.0])), compare(tensor([1.0]), tensor([2.0]))
    assert first_failure([good, bad]) is bad
    assert first_failure([good]) is None
    assert largest_difference([good, bad]) == 1.0
    assert largest_difference([]) == 0.0


UNHURRIED = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])


@UNHURRIED
@given(arrays.arrays(np.float32, arrays.array_shapes(max_side=4), elements=st.floats(width=32)))
def test_everything_equals_itself(array: np.ndarray) -> None:  # type: ignore[type-arg]
    assert compare(Tensor(array, "float32"), Tensor(array.copy(), "float32")).passed


@UNHURRIED
@given(
    arrays.arrays(np.float32, 5, elements=st.floats(-1e3, 1e3, width=32)),
    st.integers(0, 4),
    st.floats(0.01, 100) | st.floats(-100, -0.01),
)
def test_one_changed_element_is_seen(array: np.ndarray, at: int, change: float) -> None:  # type: ignore[type-arg]
    other = array.astype(np.float64)
    other[at] += change * max(1.0, float(np.abs(array).max()))
    found = compare(Tensor(array, "float32"), Tensor(other, "float32"))
    assert found.problem == "values"
    assert found.worst == (at,)
