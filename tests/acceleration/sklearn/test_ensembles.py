import numpy as np
import pytest
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.acceleration.sklearn.comparing import NUMPY, answers_all_alike

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import program, tables
from demijohn.runtimes import wrap

RANDOM = np.random.default_rng(5)
MATRIX = RANDOM.normal(size=(150, 4))
THREE = np.array(["a", "b", "c"])[(MATRIX[:, 0] > 0).astype(int) + (MATRIX[:, 1] > 0.5)]
TWO = np.where(MATRIX[:, 0] > 0, "yes", "no")
NUMBERS = MATRIX[:, 1] + MATRIX[:, 0] ** 2
MEMBERS = [
    ("l", make_pipeline(StandardScaler(), LogisticRegression())), ("b", GaussianNB()),
    ("s", LogisticRegression(C=0.01)),
]  # fmt: skip
REGRESSORS = [
    ("l", LinearRegression()),
    ("r", Ridge(9.0)),
    ("d", make_pipeline(StandardScaler(), Ridge(0.1))),
]


def answers(estimator, targets):
    answers_all_alike(estimator.fit(MATRIX, targets), MATRIX)


@pytest.mark.parametrize("targets", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("estimator", [
    VotingClassifier(MEMBERS), VotingClassifier(MEMBERS, weights=[1, 2, 0.5]),
    VotingClassifier(MEMBERS, voting="soft"), VotingClassifier(MEMBERS, voting="soft", weights=[1, 2, 0.5]),
    StackingClassifier(MEMBERS, cv=2), StackingClassifier(MEMBERS, cv=2, passthrough=True),
    StackingClassifier(MEMBERS, cv=2, stack_method="predict"),
    BaggingClassifier(LogisticRegression(), 4, random_state=0),
    BaggingClassifier(LogisticRegression(), 4, max_features=0.5, random_state=0),
    AdaBoostClassifier(LogisticRegression(), n_estimators=4, random_state=0),
], ids=str)  # fmt: skip
def test_ensembles_of_classifiers(estimator, targets):
    answers(estimator, targets)


@pytest.mark.parametrize("estimator", [
    VotingRegressor(REGRESSORS), VotingRegressor(REGRESSORS, weights=[1, 2, 0.5]),
    StackingRegressor(REGRESSORS, cv=2), StackingRegressor(REGRESSORS, cv=2, passthrough=True),
    BaggingRegressor(Ridge(), 4, random_state=0),
    BaggingRegressor(Ridge(), 4, max_features=0.5, random_state=0),
    AdaBoostRegressor(LinearRegression(), n_estimators=4, random_state=0),
], ids=str)  # fmt: skip
def test_ensembles_of_regressors(estimator):
    answers(estimator, NUMBERS)


def test_one_member_without_translation_is_enough_to_leave_all_to_the_framework():
    voting = VotingClassifier([*MEMBERS, ("k", KNeighborsClassifier(metric="canberra"))], voting="soft").fit(
        MATRIX, TWO
    )
    with pytest.raises(Unconvertible, match="canberra"):
        program.build(wrap(voting), "predict", NUMPY)


@pytest.mark.parametrize("estimator", [
    BaggingClassifier(RidgeClassifier(), 2),
    VotingClassifier(MEMBERS, voting="soft", flatten_transform=False),
], ids=str)  # fmt: skip
def test_rare_ensembles_are_the_frameworks(estimator):
    with pytest.raises(Unconvertible):
        tables.make_step(
            estimator.fit(MATRIX, TWO),
            "transform" if hasattr(estimator, "transform") else "predict",
            NUMPY,
        )


@pytest.mark.parametrize("estimator", [
    VotingClassifier(MEMBERS), VotingRegressor(REGRESSORS), BaggingClassifier(LogisticRegression(), 2),
    BaggingRegressor(Ridge(), 2), AdaBoostClassifier(LogisticRegression(), n_estimators=2),
    AdaBoostRegressor(Ridge(), n_estimators=2),
], ids=str)  # fmt: skip
def test_a_method_that_is_not_known_is_the_frameworks(estimator):
    targets = NUMBERS if hasattr(estimator, "score") and "Regressor" in str(estimator)[:20] else TWO
    with pytest.raises(Unconvertible, match="no translation of"):
        tables.make_step(estimator.fit(MATRIX, targets), "score_samples", NUMPY)
