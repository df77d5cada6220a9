import numpy as np
import pytest
from sklearn.preprocessing import SplineTransformer
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, steps_aside

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import tables

MATRIX = np.random.default_rng(10).normal(size=(120, 3))


@pytest.mark.parametrize("extrapolation", ["constant", "continue", "error", "periodic"])
@pytest.mark.parametrize("arguments", [{}, {"degree": 1, "include_bias": False}, {"n_knots": 9}])
def test_splines_are_evaluated_inside_and_outside_of_the_knots(extrapolation, arguments):
    splines = SplineTransformer(extrapolation=extrapolation, **arguments).fit(MATRIX)
    answers_alike(splines, MATRIX, method="transform", tolerance=0)
    far = {"inputs": MATRIX * 3}
    if extrapolation == "error":
        engine, _ = answers_alike(splines, MATRIX, method="transform", tolerance=0)
        assert steps_aside(engine, far)
    else:
        answers_alike(splines, MATRIX * 3, method="transform", tolerance=0)


def test_a_column_without_range_is_one_point():
    flat = np.column_stack([MATRIX[:, 0], np.zeros(120)])
    answers_alike(
        SplineTransformer(extrapolation="periodic").fit(flat), flat, method="transform", tolerance=0
    )


@pytest.mark.parametrize("arguments", [{"extrapolation": "linear"}, {"degree": 0}, {"sparse_output": True}])
def test_rare_settings_are_the_frameworks(arguments):
    with pytest.raises(Unconvertible, match="rare settings"):
        tables.make_step(SplineTransformer(**arguments).fit(MATRIX), "transform", NUMPY)
