import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from tests.acceleration.sklearn.comparing import NUMPY, answers_alike, answers_all_alike

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import program, tables
from demijohn.runtimes import wrap

RANDOM = np.random.default_rng(4)
MATRIX = RANDOM.normal(size=(150, 4))
THREE = np.array(["a", "b", "c"])[(MATRIX[:, 0] > 0).astype(int) + (MATRIX[:, 1] > 0.5)]
TWO = np.where(MATRIX[:, 0] + 0.3 * MATRIX[:, 2] > 0, "yes", "no")
NUMBERS = np.exp(MATRIX[:, 1]) + MATRIX[:, 0] ** 2
CLASSIFIER, BAYES = LogisticRegression(), GaussianNB()


def answers(estimator, targets):
    answers_all_alike(estimator.fit(MATRIX, targets), MATRIX)


@pytest.mark.parametrize("targets", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("estimator", [
    GridSearchCV(CLASSIFIER, {"C": [0.1, 1.0]}), RFE(CLASSIFIER, n_features_to_select=2),
    CalibratedClassifierCV(CLASSIFIER, cv=2), CalibratedClassifierCV(BAYES, method="isotonic", cv=2),
    CalibratedClassifierCV(SGDClassifier(random_state=0), cv=2, ensemble=False),
    make_pipeline(SelectFromModel(CLASSIFIER), BAYES), DummyClassifier(strategy="most_frequent"),
    DummyClassifier(strategy="prior"),
], ids=str)  # fmt: skip
def test_classifiers_around_classifiers(estimator, targets):
    answers(estimator, targets)


@pytest.mark.parametrize("estimator", [
    FixedThresholdClassifier(CLASSIFIER, threshold=0.3, pos_label="yes"),
    FixedThresholdClassifier(CLASSIFIER, threshold=0.7, pos_label="no"),
    FixedThresholdClassifier(CLASSIFIER, response_method="decision_function", pos_label="no"),
    FixedThresholdClassifier(CLASSIFIER, pos_label="yes"), FixedThresholdClassifier(CLASSIFIER),
    FixedThresholdClassifier(BAYES, threshold=0.4),
    TunedThresholdClassifierCV(CLASSIFIER, cv=2),
], ids=str)  # fmt: skip
def test_thresholds(estimator):
    answers(estimator, TWO)


def test_self_training():
    targets = (TWO == "yes").astype(int)
    targets[::3] = -1
    answers(SelfTrainingClassifier(CLASSIFIER), targets)


def test_a_frozen_estimator():
    estimator = FrozenEstimator(CLASSIFIER.fit(MATRIX, TWO))
    answers_alike(estimator, MATRIX, method="predict_proba")


@pytest.mark.parametrize("estimator", [
    TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
    TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), TransformedTargetRegressor(Ridge()),
    GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}), DummyRegressor(), DummyRegressor(strategy="median"),
], ids=str)  # fmt: skip
def test_regressors_around_regressors(estimator):
    answers(estimator, NUMBERS)


def test_a_target_of_several_outputs():
    targets = np.column_stack([NUMBERS, MATRIX[:, 0]])
    answers(TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), targets)
    answers(DummyRegressor(), targets)


@pytest.mark.parametrize("estimator", [
    DummyClassifier(strategy="stratified"), DummyClassifier(strategy="uniform"),
    CalibratedClassifierCV(CLASSIFIER, method="temperature", cv=2),
    TransformedTargetRegressor(Ridge(), transformer=PowerTransformer()),
], ids=str)  # fmt: skip
def test_what_is_drawn_or_rare_is_the_frameworks(estimator):
    targets = NUMBERS if isinstance(estimator, TransformedTargetRegressor) else TWO
    with pytest.raises(Unconvertible):
        program.build(wrap(estimator.fit(MATRIX, targets)), "predict", NUMPY)


@pytest.mark.parametrize("estimator", [
    DummyRegressor(), DummyClassifier(), CalibratedClassifierCV(CLASSIFIER, cv=2),
    TransformedTargetRegressor(Ridge()),
], ids=str)  # fmt: skip
def test_a_method_that_is_not_known_is_the_frameworks(estimator):
    with pytest.raises(Unconvertible, match="no translation of"):
        tables.make_step(estimator.fit(MATRIX, (TWO == "yes").astype(int)), "score_samples", NUMPY)


def test_columns_of_texts_reach_the_estimators_inside():
    frame = pd.DataFrame({"x": RANDOM.choice(["u", "v", "w"], 150), "n": MATRIX[:, 0]})
    columns = ColumnTransformer(
        [("x", OneHotEncoder(handle_unknown="ignore"), ["x"])], remainder=StandardScaler()
    )
    member = make_pipeline(columns, CLASSIFIER)
    for estimator in (CalibratedClassifierCV(member, cv=2), OneVsRestClassifier(member)):
        engine, _ = answers_alike(estimator.fit(frame, THREE), frame, method="predict_proba")
        assert engine.is_whole
