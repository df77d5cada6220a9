"""Every estimator of scikit-learn: wherever an engine is built, it answers as the framework does."""

import warnings

import numpy as np
import pytest
from tests.acceleration.sklearn.comparing import same
from tests.estimators import fitted_estimators

from demijohn.acceleration.engine import EXACT, Backend, StepAside, Unconvertible
from demijohn.acceleration.sklearn import program
from demijohn.runtimes import wrap

FITTED = fitted_estimators()
METHODS = {
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples",
    "apply",
}  # fmt: skip


def rows_like(matrix, n_rows, seed, *, is_known=False):
    """Draw rows near those of a matrix, or its own."""
    random = np.random.default_rng(seed)
    rows = np.column_stack([column[random.integers(0, len(matrix), n_rows)] for column in matrix.T])
    if is_known:
        return rows
    return np.abs(rows + random.normal(0, 0.5, rows.shape)).round(2)


@pytest.mark.parametrize("name", sorted(FITTED))
def test_an_engine_of_numpy_answers_as_the_estimator_does(name):
    estimator, matrix = FITTED[name]
    if not any(hasattr(estimator, method) for method in METHODS):
        pytest.skip("it has no method that is served")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runtime = wrap(estimator)
        for method in METHODS & set(runtime.methods):
            compare(runtime, method, matrix)


def compare(runtime, method, matrix):
    try:
        engine = program.build(runtime, method, Backend("numpy"))
    except Unconvertible:
        return
    assert engine.is_whole
    n_answered = 0
    for n_rows in (1, 3, 64, 1000):
        is_encoder = type(runtime.estimator).__name__ in {"OneHotEncoder", "OrdinalEncoder", "CategoricalNB"}
        rows = rows_like(matrix, n_rows, n_rows, is_known=is_encoder)
        kept = rows.copy()
        try:
            got = engine.run({"inputs": rows})
        except StepAside:
            continue
        n_answered += 1
        np.testing.assert_array_equal(rows, kept)
        same(got, runtime.run(method, {"inputs": rows}, {}), EXACT)
    assert n_answered, "ordinary rows are answered"
    refuse_together(runtime, engine, method, matrix)


def refuse_together(runtime, engine, method, matrix):
    """What the framework refuses, the engine leaves to it; what it answers, it answers equally or leaves."""
    for value in (np.nan, np.inf, -np.inf, 1e300, -1e300, 1e39):
        rows = matrix[:3].copy()
        rows[1, 0] = value
        try:
            wanted = runtime.run(method, {"inputs": rows}, {})
        except (ValueError, TypeError):
            wanted = None
        try:
            got = engine.run({"inputs": rows})
        except StepAside:
            continue
        assert wanted is not None, f"{value} is refused by the framework"
        with np.errstate(all="ignore"):
            same(got, wanted, EXACT)
