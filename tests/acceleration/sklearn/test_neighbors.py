"""The room ``acceleration/sklearn/neighbors.py``."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_diabetes, load_digits, load_iris, load_wine
from sklearn.neighbors import (
    KDTree,
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.acceleration.sklearn.comparing import answers_alike, same, steps_aside, tensors_of
from tests.acceleration.sklearn.sameness import assert_equal, native, step_of

from demijohn import kernels
from demijohn.acceleration.engine import Backend, StepAside, Unconvertible
from demijohn.acceleration.sklearn import neighbors, program, tables, unchecked
from demijohn.acceleration.sklearn.neighbors import FINALS
from demijohn.runtimes import wrap

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

RANDOM = np.random.default_rng(23)
ROWS = RANDOM.normal(size=(120, 3))
TEXTS = np.where(ROWS[:, 0] > 0, "yes", "no")
NUMBERS = ROWS[:, 1] * 10 + 100

ALGORITHMS = ("kd_tree", "ball_tree", "brute")
DATA = {"iris": load_iris, "wine": load_wine, "digits": load_digits}


def share_answered(estimator, method, rows):
    """Compare rows one by one, and all that are answered in one batch; return how many were answered."""
    step, expected = step_of(FINALS, estimator, method), native(estimator, method, rows)
    answered = []
    for index in range(len(rows)):
        try:
            found = step(rows[index : index + 1])
        except StepAside:
            continue
        assert_equal(found, expected[index : index + 1], rtol=1e-9)
        answered.append(index)
    if answered:
        assert_equal(step(rows[answered]), expected[answered], rtol=1e-9)
    return len(answered) / len(rows)


def between(rows):
    """Return rows of a data set, rows halfway between two of them, and others near them."""
    random = np.random.default_rng(len(rows))
    some, others = (rows[random.integers(len(rows), size=60)] for _ in range(2))
    near = some + random.normal(size=some.shape) * rows.std(axis=0) / 9
    return np.vstack([some, (some + others) / 2, near])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", DATA)
def test_labels_and_probabilities_of_known_data_are_the_same(name, algorithm):
    rows, target = DATA[name](return_X_y=True)
    model = KNeighborsClassifier(algorithm=algorithm).fit(rows, target)
    for method in ("predict", "predict_proba"):
        answered = share_answered(model, method, between(rows))
        assert answered == 1 if algorithm == "kd_tree" else answered > 0.9


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weights", ["uniform", "distance", None])
def test_averages_of_known_data_are_the_same(weights, p, algorithm):
    rows, target = load_diabetes(return_X_y=True)
    model = KNeighborsRegressor(algorithm=algorithm, p=p, weights=weights).fit(rows, target)
    if algorithm == "brute" and weights == "distance":
        with pytest.raises(Unconvertible, match="too coarse to weigh by"):
            step_of(FINALS, model, "predict")
        return
    assert share_answered(model, "predict", between(rows)) > 0.95


@pytest.mark.parametrize(("algorithm", "weights"), [
    ("kd_tree", "uniform"), ("kd_tree", "distance"), ("ball_tree", "uniform"), ("ball_tree", "distance"),
    ("brute", "uniform"),
])  # fmt: skip
@pytest.mark.parametrize("n_neighbors", [1, 2, 7, 90])
def test_ties_and_duplicates_are_the_same_or_left_to_scikit_learn(n_neighbors, algorithm, weights):
    random = np.random.default_rng(n_neighbors)
    points = random.integers(0, 4, size=(90, 3)) * 0.1
    asked = {"algorithm": algorithm, "weights": weights, "leaf_size": 4}
    classifier = KNeighborsClassifier(n_neighbors, **asked).fit(points, random.integers(3, size=90))
    regressor = KNeighborsRegressor(n_neighbors, **asked).fit(points, random.normal(size=(90, 2)))
    for model, method in ((classifier, "predict"), (classifier, "predict_proba"), (regressor, "predict")):
        answered = share_answered(model, method, between(points))
        # Of equally near points a k-d tree's order says which are taken. Votes by weight may be a close call.
        if algorithm == "kd_tree" and (weights == "uniform" or method != "predict" or model is regressor):
            assert answered == 1


@pytest.mark.parametrize("labels", [
    TEXTS, TEXTS.astype(object), TEXTS == "yes", np.where(TEXTS == "yes", -1, 7), TEXTS[:, None],
    np.full(120, "only"), np.where(TEXTS == "yes", 1.0, 2.0),
], ids=["texts", "objects", "bools", "ints", "a column", "one class", "floats"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:A column-vector y")
def test_labels_come_in_their_own_dtype(labels):
    model = KNeighborsClassifier(3).fit(ROWS, labels)
    for method in ("predict", "predict_proba"):
        assert share_answered(model, method, between(ROWS)) == 1


@pytest.mark.parametrize("targets", [
    NUMBERS, NUMBERS[:, None], np.column_stack([NUMBERS, NUMBERS**2]), NUMBERS.astype(int),
    NUMBERS.astype(np.uint8),
], ids=["a line", "a column", "two columns", "ints", "bytes"])  # fmt: skip
def test_targets_of_any_shape_and_of_whole_numbers_are_averaged(targets):
    assert share_answered(KNeighborsRegressor(4).fit(ROWS, targets), "predict", between(ROWS)) == 1


def test_whole_numbers_may_be_fitted_on():
    rows = RANDOM.integers(-50, 50, size=(120, 3))
    for algorithm in ALGORITHMS:
        model = KNeighborsClassifier(3, algorithm=algorithm).fit(rows, TEXTS)
        assert share_answered(model, "predict", between(rows)) > 0.5


def test_a_larger_tree_is_gone_through_alike():
    points = np.round(RANDOM.normal(size=(20_000, 3)), 2)
    model = KNeighborsClassifier().fit(points, (points.sum(axis=1) > 0) + (points[:, 0] > 1))
    assert share_answered(model, "predict", between(points)) == 1


def test_points_are_not_copied():
    points = ROWS.copy()
    model = KNeighborsClassifier(1, algorithm="brute").fit(points, TEXTS)
    step = step_of(FINALS, model, "predict")
    far = np.full((1, 3), 9.0)
    for index in (list(TEXTS).index("yes"), list(TEXTS).index("no")):
        points[:] = ROWS
        points[index] = far
        assert step(far).tolist() == [TEXTS[index]]


def test_whole_models_run_in_the_requests_own_thread():
    scaled = make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(ROWS, TEXTS)
    for method in ("predict", "predict_proba"):
        engine, _ = answers_alike(scaled, ROWS, method=method)
        assert engine.is_whole
        for value in (np.nan, np.inf, 1e300):
            assert steps_aside(engine, {"inputs": np.array([[0.0, value, 0.0]])})
    frame = pd.DataFrame(ROWS, columns=list("abc"))
    model = KNeighborsRegressor().fit(frame, NUMBERS)
    runtime = wrap(model, example=frame[:3])
    engine = program.build(runtime, "predict", Backend("numpy"))
    tensors = tensors_of(runtime, frame)
    same(engine.run(tensors), runtime.run("predict", tensors, {}))


def test_the_framework_without_its_checks_is_there_beside_ours():
    model = KNeighborsClassifier().fit(ROWS, TEXTS)
    backend = Backend("unchecked", others=unchecked.step)
    engine, _ = answers_alike(model, ROWS, backend=backend, tolerance=0)
    assert not engine.is_whole


def test_no_other_library_is_tried():
    backend = Backend("onnx", others=lambda *_: pytest.fail("was tried"))
    with pytest.raises(Unconvertible, match="no other form of it is faster"):
        tables.make_step(KNeighborsClassifier().fit(ROWS, TEXTS), "predict", backend)


@pytest.mark.parametrize("model", [LocalOutlierFactor(novelty=True), KNeighborsTransformer()], ids=str)
def test_what_else_looks_for_neighbours_is_the_frameworks(model):
    model.fit(ROWS)
    method = "predict" if hasattr(model, "predict") else "transform"
    with pytest.raises(Unconvertible, match="k-nearest neighbours"):
        tables.make_step(model, method, Backend("numpy"))


def canberra():
    return KNeighborsClassifier(metric="canberra").fit(ROWS, TEXTS)


def changed(**attributes):
    model = KNeighborsClassifier().fit(ROWS, TEXTS)
    vars(model).update(attributes)
    return model


REFUSED = {
    "another metric": (canberra, "canberra"),
    "p=3": (lambda: KNeighborsClassifier(p=3).fit(ROWS, TEXTS), "minkowski"),
    "weighted features": (
        lambda: KNeighborsClassifier(metric_params={"w": np.ones(3)}).fit(ROWS, TEXTS), "minkowski",
    ),
    "a function as metric": (
        lambda: KNeighborsClassifier(metric=lambda a, b: abs(a - b).sum()).fit(ROWS, TEXTS), "not translated",
    ),
    "a function as weights": (
        lambda: KNeighborsClassifier(weights=lambda distances: distances).fit(ROWS, TEXTS), "weights",
    ),
    "several outputs": (
        lambda: KNeighborsClassifier().fit(ROWS, np.column_stack([TEXTS, TEXTS])), "several outputs",
    ),
    "a sparse matrix": (lambda: KNeighborsClassifier().fit(sparse.csr_matrix(ROWS), TEXTS), "csr_matrix"),
    "float32": (lambda: KNeighborsClassifier().fit(ROWS.astype(np.float32), TEXTS), "float32"),
    "float32 targets": (lambda: KNeighborsRegressor().fit(ROWS, NUMBERS.astype(np.float32)), "float32"),
    "a tree": (lambda: KNeighborsClassifier().fit(KDTree(ROWS), TEXTS), "not an array"),
    "a parameter changed": (lambda: changed(p=1), "with such parameters"),
    "a metric changed": (lambda: changed(metric="manhattan"), "with such parameters"),
    "another tree": (lambda: changed(_tree=None), "with a NoneType"),
    "a tree by another metric": (lambda: changed(_tree=KDTree(ROWS, metric="manhattan")), "another metric"),
    "a tree of other points": (lambda: changed(_tree=KDTree(ROWS[::-1].copy())), "of other points"),
    "too many neighbours": (lambda: changed(n_neighbors=121), "not as it is known"),
    "no number of neighbours": (lambda: changed(n_neighbors=None), "not as it is known"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_translated_says_why(name):
    make, why = REFUSED[name]
    with pytest.raises(Unconvertible, match=why):
        tables.make_step(make(), "predict", Backend("numpy"))


def test_more_points_than_are_worth_measuring_are_refused_without_a_tree(monkeypatch):
    monkeypatch.setattr(neighbors, "MOST_BYTES", ROWS.nbytes - 1)
    for algorithm in ("ball_tree", "brute"):
        with pytest.raises(Unconvertible, match="measuring 0 MiB of points"):
            step_of(FINALS, KNeighborsClassifier(algorithm=algorithm).fit(ROWS, TEXTS), "predict")
    assert share_answered(KNeighborsClassifier().fit(ROWS, TEXTS), "predict", between(ROWS)) == 1


def test_a_tree_whose_sums_are_not_ours_to_the_last_bit_is_not_gone_through(monkeypatch):
    for p, metric in ((2, "euclidean"), (1, "manhattan")):
        model = KNeighborsClassifier(p=p).fit(ROWS, TEXTS)
        assert neighbors._search_tree(model, ROWS, metric) is not None
        # Where a product and a sum are one operation, some last bit is another.
        other = KDTree(np.nextafter(ROWS, 9), metric=metric)
        assert not neighbors._sums_are_ours(other, ROWS, p == 2)
    monkeypatch.setattr(neighbors, "_sums_are_ours", lambda *_: False)
    assert neighbors._search_tree(model, ROWS, "manhattan") is None
    assert share_answered(model, "predict", between(ROWS)) > 0.9


def test_without_the_kernels_there_is_no_translation(monkeypatch):
    monkeypatch.setattr(kernels, "IS_BUILT", False)
    monkeypatch.setattr(kernels, "WHY_NOT", "there is no compiler")
    with pytest.raises(Unconvertible, match="no compiler"):
        step_of(FINALS, KNeighborsClassifier().fit(ROWS, TEXTS), "predict")
