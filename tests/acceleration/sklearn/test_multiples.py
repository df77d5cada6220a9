import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from tests.acceleration.sklearn.comparing import NUMPY, answers_all_alike

from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.sklearn import tables

RANDOM = np.random.default_rng(4)
MATRIX = RANDOM.normal(size=(150, 4))
THREE = np.array(["a", "b", "c"])[(MATRIX[:, 0] > 0).astype(int) + (MATRIX[:, 1] > 0.5)]
TWO = np.where(MATRIX[:, 0] + 0.3 * MATRIX[:, 2] > 0, "yes", "no")
SEVERAL = np.column_stack([MATRIX[:, 0] > 0, MATRIX[:, 1] > 0]).astype(int)
CLASSIFIER, BAYES = LogisticRegression(), GaussianNB()


@pytest.mark.parametrize("targets", [TWO, THREE], ids=["two", "three"])
@pytest.mark.parametrize("estimator", [
    OneVsRestClassifier(CLASSIFIER), OneVsRestClassifier(BAYES), OneVsOneClassifier(CLASSIFIER),
    OneVsOneClassifier(BAYES), OneVsRestClassifier(Ridge()),
], ids=str)  # fmt: skip
def test_an_estimator_per_class(estimator, targets):
    answers_all_alike(estimator.fit(MATRIX, targets), MATRIX)


@pytest.mark.parametrize("estimator", [
    MultiOutputRegressor(Ridge()), RegressorChain(LinearRegression(), order=[1, 0]),
], ids=str)  # fmt: skip
def test_a_regressor_per_output(estimator):
    targets = np.column_stack([np.exp(MATRIX[:, 1]), MATRIX[:, 0]])
    answers_all_alike(estimator.fit(MATRIX, targets), MATRIX)


@pytest.mark.parametrize("estimator", [
    MultiOutputClassifier(CLASSIFIER), ClassifierChain(CLASSIFIER), ClassifierChain(CLASSIFIER, order=[1, 0]),
    ClassifierChain(CLASSIFIER, chain_method="predict_proba"),
    ClassifierChain(CLASSIFIER, chain_method="decision_function"), OneVsRestClassifier(CLASSIFIER),
    OneVsRestClassifier(BAYES),
], ids=str)  # fmt: skip
def test_a_classifier_per_output(estimator):
    answers_all_alike(estimator.fit(MATRIX, SEVERAL), MATRIX)


@pytest.mark.filterwarnings("ignore:Label")
def test_a_label_that_never_or_always_comes_is_answered_constantly():
    constant = np.column_stack([SEVERAL, np.zeros(len(SEVERAL), int), np.ones(len(SEVERAL), int)])
    answers_all_alike(OneVsRestClassifier(CLASSIFIER).fit(MATRIX, constant), MATRIX)


@pytest.mark.parametrize("estimator", [
    OneVsOneClassifier(CLASSIFIER), OneVsRestClassifier(CLASSIFIER), MultiOutputRegressor(Ridge()),
], ids=str)  # fmt: skip
def test_a_method_that_is_not_known_is_the_frameworks(estimator):
    targets = SEVERAL if isinstance(estimator, MultiOutputRegressor) else TWO
    with pytest.raises(Unconvertible, match="no translation of"):
        tables.make_step(estimator.fit(MATRIX, targets), "score_samples", NUMPY)
