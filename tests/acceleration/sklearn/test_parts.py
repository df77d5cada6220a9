import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from demijohn.acceleration.sklearn.parts import has_trees, parts_of

MATRIX = np.random.default_rng(9).normal(size=(40, 3))
LABELS = (MATRIX[:, 0] > 0).astype(int)


def kinds(model):
    return {type(part).__name__ for part in parts_of(model)}


def test_everything_inside_is_found_once():
    model = make_pipeline(StandardScaler(), CalibratedClassifierCV(LogisticRegression(), cv=2))
    parts = parts_of(model.fit(MATRIX, LABELS))
    assert len(parts) == len({id(part) for part in parts})
    assert kinds(model) >= {"Pipeline", "StandardScaler", "CalibratedClassifierCV", "_CalibratedClassifier"}


def test_an_estimator_that_holds_itself_does_no_harm():
    model = StandardScaler().fit(MATRIX)
    model.myself, model.more = model, [model]
    model.more.append(model.more)
    assert parts_of(model) == [model]


def test_trees_are_found_where_they_predict():
    assert has_trees(make_pipeline(StandardScaler(), RandomForestClassifier(2)).fit(MATRIX, LABELS))
    assert has_trees(GradientBoostingClassifier(n_estimators=2).fit(MATRIX, LABELS))
    assert has_trees(BaggingClassifier(n_estimators=2).fit(MATRIX, LABELS))
    assert not has_trees(BaggingClassifier(LogisticRegression(), n_estimators=2).fit(MATRIX, LABELS))
    chosen = make_pipeline(SelectFromModel(RandomForestClassifier(2)), LogisticRegression())
    assert not has_trees(chosen.fit(MATRIX, LABELS))
