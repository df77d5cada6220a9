"""The room ``acceleration/sklearn/kernels_and_svm.py``."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.sparse
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from tests.acceleration.sklearn.sameness import assert_same, assert_steps_aside, step_of

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn.kernels_and_svm import FINALS

RANDOM = np.random.default_rng(31)
ROWS = RANDOM.normal(size=(80, 4))
TWO = np.where(ROWS[:, 0] > 0, "yes", "no")
FOUR = (ROWS[:, 0] > 0).astype(int) + 2 * (ROWS[:, 1] > 0)
KERNELS = ("linear", "poly", "rbf", "sigmoid")
METHODS = ("predict", "decision_function", "score_samples")

MACHINES = {
    "two classes": lambda kernel: SVC(kernel=kernel).fit(ROWS, TWO),
    "two bools": lambda kernel: SVC(kernel=kernel).fit(ROWS, TWO == "yes"),
    "four classes": lambda kernel: SVC(kernel=kernel).fit(ROWS, FOUR),
    "pairs of four classes": lambda kernel: SVC(kernel=kernel, decision_function_shape="ovo").fit(ROWS, FOUR),
    "ties of four classes": lambda kernel: SVC(kernel=kernel, break_ties=True).fit(ROWS, FOUR),
    "ties of two classes": lambda kernel: SVC(kernel=kernel, break_ties=True).fit(ROWS, TWO),
    "nu": lambda kernel: NuSVC(kernel=kernel, nu=0.2).fit(ROWS, FOUR),
    "regression": lambda kernel: SVR(kernel=kernel).fit(ROWS, ROWS[:, 0]),
    "nu regression": lambda kernel: NuSVR(kernel=kernel).fit(ROWS, ROWS[:, 0]),
    "one class": lambda kernel: OneClassSVM(kernel=kernel).fit(ROWS),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("machine", MACHINES)
def test_vector_machines_are_equal_to_the_last_bit_or_step_aside(machine, kernel):
    estimator = MACHINES[machine](kernel)
    for method in METHODS:
        if hasattr(estimator, method):
            assert_same(FINALS, estimator, method, ROWS)
            assert_steps_aside(FINALS, estimator, method, ROWS)


@pytest.mark.parametrize("labels", [TWO, FOUR], ids=["two", "four"])
def test_probabilities_are_equal_to_the_last_bit(labels):
    with pytest.warns(FutureWarning, match="probability"):
        estimator = SVC(probability=True, random_state=0).fit(ROWS, labels)
    for method in ("predict_proba", "predict_log_proba"):
        assert_same(FINALS, estimator, method, ROWS)
        assert_steps_aside(FINALS, estimator, method, ROWS)


def test_what_libsvm_does_otherwise_is_refused(monkeypatch):
    def why(estimator, method="predict"):
        with pytest.raises(Unconvertible) as refusal:
            step_of(FINALS, estimator, method)
        return str(refusal.value)

    assert "sparse matrix" in why(SVC().fit(scipy.sparse.csr_matrix(ROWS), TWO))
    assert "kernel='precomputed'" in why(SVC(kernel="precomputed").fit(ROWS @ ROWS.T, TWO))
    assert "probability=False" in why(SVC().fit(ROWS, TWO), "predict_proba")
    tied = SVC().fit(ROWS, FOUR).set_params(break_ties=True, decision_function_shape="ovo")
    assert "break_ties" in why(tied)
    altered = SVC().fit(ROWS, TWO)
    altered.support_vectors_ = altered.support_vectors_[:-1]
    assert "as they were fitted" in why(altered)
    monkeypatch.setitem(sys.modules, "sklearn.svm._base", None)
    assert "elsewhere" in why(SVC().fit(ROWS, TWO))


@pytest.mark.parametrize("options", [{}, {"gamma": 0.3, "degree": 2, "coef0": 0.5}], ids=str)
@pytest.mark.parametrize("kernel", [*KERNELS, "polynomial"])
def test_kernel_ridge_is_equal_to_the_last_bit_or_steps_aside(kernel, options):
    for targets in (ROWS[:, 0], ROWS[:, :2]):
        estimator = KernelRidge(alpha=50.0, kernel=kernel, **options).fit(ROWS, targets)
        assert_same(FINALS, estimator, "predict", ROWS)
        assert_steps_aside(FINALS, estimator, "predict", ROWS)


def test_kernels_that_are_not_known_are_refused():
    for kernel in ("laplacian", lambda a, b: a @ b):
        estimator = KernelRidge(kernel=kernel).fit(ROWS, ROWS[:, 0])
        with pytest.raises(Unconvertible, match="is not translated"):
            step_of(FINALS, estimator, "predict")
