import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.acceleration.sklearn.comparing import answers_alike, steps_aside

from demijohn.acceleration.engine import Backend, Unconvertible
from demijohn.acceleration.sklearn import program, unchecked
from demijohn.runtimes import wrap

RANDOM = np.random.default_rng(8)
MATRIX = RANDOM.normal(size=(90, 3))
LABELS = np.where(MATRIX[:, 0] > 0, "yes", "no")
UNCHECKED = Backend("unchecked", others=unchecked.step)


@pytest.mark.parametrize("model", [
    KNeighborsClassifier(), make_pipeline(StandardScaler(), KNeighborsClassifier()),
    KNeighborsTransformer(),
], ids=str)  # fmt: skip
def test_what_nothing_translates_runs_without_the_frameworks_checks(model):
    model.fit(MATRIX, LABELS)
    method = "predict_proba" if hasattr(model, "predict_proba") else "transform"
    engine, _ = answers_alike(model, MATRIX, method=method, backend=UNCHECKED, tolerance=0)
    assert not engine.is_whole
    for value in (np.nan, np.inf, 1e300):
        assert steps_aside(engine, {"inputs": np.array([[0.0, value, 0.0]])})


def test_what_is_translated_needs_none_of_it():
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(MATRIX, LABELS)
    with pytest.raises(Unconvertible, match="nothing in it for unchecked"):
        program.build(wrap(model), "predict", UNCHECKED)


def test_a_model_of_named_columns_or_of_many_processes_is_the_frameworks():
    frame = pd.DataFrame(MATRIX, columns=list("abc"))
    with pytest.raises(Unconvertible, match="fitted on a DataFrame"):
        unchecked.step(KNeighborsClassifier().fit(frame, LABELS), "predict", 3)
    with pytest.raises(Unconvertible, match="asks for processes"):
        unchecked.step(KNeighborsClassifier(n_jobs=2).fit(MATRIX, LABELS), "predict", 3)


def test_what_the_estimator_refuses_itself_is_left_to_it():
    model = KNeighborsRegressor().fit(MATRIX, MATRIX[:, 0])
    assert steps_aside(_Alone(unchecked.step(model, "predict", 3)), np.ones((1, 2)))


class _Alone:
    def __init__(self, step):
        self.run = step
