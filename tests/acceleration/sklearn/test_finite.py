import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from demijohn.acceleration.engine import StepAside
from demijohn.acceleration.sklearn.finite import check_finite, check_no_infinity, is_finite


@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 12)), elements=st.floats(width=64)))
def test_numbers_are_seen_to_be_finite(rows):
    assert is_finite(rows) == bool(np.isfinite(rows).all())


def test_large_numbers_are_finite_though_their_squares_are_not():
    check_finite(np.full((2, 3), 1e300))
    check_finite(np.full((200, 30), -1e300))


def test_a_missing_number_may_pass_where_an_infinite_one_may_not():
    check_no_infinity(np.array([[1.0, np.nan]]))
    for rows in (np.array([[np.nan, np.inf]]), np.array([[-np.inf, 1.0]])):
        with pytest.raises(StepAside):
            check_no_infinity(rows)
    with pytest.raises(StepAside):
        check_finite(np.array([[1.0, np.nan]]))
