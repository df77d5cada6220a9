import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, SparsePCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from demijohn.errors import ConfigurationError, LoadError, ModelError
from demijohn.messages import Rows
from demijohn.runtimes import wrap
from demijohn.runtimes.outputs import name_outputs

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
LABELS = np.array(["setosa", "versicolor", "virginica"])[Y]


def run(runtime, method, rows, **parameters):
    return runtime.run(method, runtime.signature.validate(Rows(np.asarray(rows).tolist())), parameters)


def test_only_prediction_methods_are_served_with_predict_first():
    assert wrap(LogisticRegression().fit(X, Y)).methods == (
        "predict", "predict_proba", "predict_log_proba", "decision_function",
    )  # fmt: skip
    assert wrap(SVC().fit(X, Y)).methods == ("predict", "decision_function")  # without probability=True
    assert wrap(LocalOutlierFactor().fit(X)).methods == ("kneighbors",)
    assert wrap(RandomForestRegressor(3).fit(X, Y)).methods == ("predict", "apply")
    assert wrap(PCA(2).fit(X)).methods == ("transform", "score_samples")


def test_a_transformer_of_labels_takes_no_rows():
    with pytest.raises(LoadError, match="LabelEncoder has no prediction method"):
        wrap(LabelEncoder().fit(LABELS))


def test_labels_are_the_estimators_own():
    model = LogisticRegression().fit(X, LABELS)
    runtime = wrap(model)
    assert run(runtime, "predict", X)["predict"].tolist() == model.predict(X).tolist()
    assert runtime.classes("predict_proba") == ["setosa", "versicolor", "virginica"]
    assert runtime.classes("decision_function") == ["setosa", "versicolor", "virginica"]
    assert runtime.classes("predict") is None


def test_classes_are_written_as_json_can():
    for labels, classes in [(Y > 0, [False, True]), (Y, [0, 1, 2]), (Y / 2, [0.0, 0.5, 1.0])]:
        got = wrap(DummyClassifier().fit(X, labels)).classes("predict_proba")
        assert got == classes
        assert [type(value) for value in got] == [type(value) for value in classes]


def test_a_binary_decision_has_two_classes_and_one_column():
    runtime = wrap(LogisticRegression().fit(X, Y == 0))
    assert run(runtime, "decision_function", X[:2])["decision_function"].shape == (2,)
    assert runtime.classes("decision_function") == [False, True]


def test_columns_that_stand_for_no_class_have_none():
    assert wrap(IsolationForest(n_estimators=3).fit(X)).classes("decision_function") is None
    four = np.arange(len(X)) % 4
    pairs = wrap(SVC(decision_function_shape="ovo").fit(X, four))
    assert run(pairs, "decision_function", X[:1])["decision_function"].shape == (1, 6)
    assert pairs.classes("decision_function") is None


def test_several_outputs_of_predict_proba_become_a_record_per_row():
    targets = np.column_stack([Y, Y > 0])
    for model in (RandomForestClassifier(3), MultiOutputClassifier(LogisticRegression())):
        model.fit(X, targets)
        runtime = wrap(model)
        outputs = run(runtime, "predict_proba", X[:5])
        wanted = model.predict_proba(X[:5])
        assert list(outputs) == ["output_0", "output_1"]
        assert np.array_equal(outputs["output_0"], wanted[0])
        assert np.array_equal(outputs["output_1"], wanted[1])
        assert runtime.classes("predict_proba") == [[0, 1, 2], [0, 1]]
        assert run(runtime, "predict", X[:5])["predict"].shape == (5, 2)


def test_a_chain_has_one_column_per_output_and_no_classes():
    runtime = wrap(ClassifierChain(LogisticRegression()).fit(X, np.column_stack([Y > 0, Y > 1])))
    assert run(runtime, "predict_proba", X[:5])["predict_proba"].shape == (5, 2)
    assert runtime.classes("predict_proba") is None


def test_a_sparse_answer_becomes_dense():
    model = OneHotEncoder().fit([["a"], ["b"]])
    outputs = run(wrap(model), "transform", [["b"], ["a"]])
    assert outputs["transform"].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    texts = ["one two", "two"]
    vectorizer = CountVectorizer().fit(texts)
    assert run(wrap(vectorizer), "transform", texts)["transform"].dtype == np.int64


def test_a_data_frame_answer_becomes_named_columns():
    model = PCA(2).set_output(transform="pandas").fit(X)
    outputs = run(wrap(model), "transform", X[:3])
    assert list(outputs) == ["pca0", "pca1"]
    assert np.array_equal(outputs["pca1"], model.transform(X[:3])["pca1"])


def test_neighbours_have_distances_and_indices():
    model = KNeighborsClassifier().fit(X, Y)
    runtime = wrap(model)
    outputs = run(runtime, "kneighbors", X[:3], n_neighbors=2)
    distances, indices = model.kneighbors(X[:3], n_neighbors=2)
    assert np.array_equal(outputs["distances"], distances)
    assert np.array_equal(outputs["indices"], indices)
    assert list(run(runtime, "kneighbors", X[:3], return_distance=False)) == ["indices"]
    assert runtime.parameters("kneighbors") == ("n_neighbors", "return_distance")


def test_neighbours_within_a_radius_are_as_many_as_they_are():
    model = NearestNeighbors(radius=0.5).fit(X)
    outputs = run(wrap(model), "radius_neighbors", X[:3])
    distances, _ = model.radius_neighbors(X[:3])
    assert outputs["distances"].dtype == object
    assert [len(row) for row in outputs["distances"]] == [len(row) for row in distances]


def test_a_prediction_with_its_spread_has_mean_and_std():
    model = GaussianProcessRegressor(optimizer=None).fit(X, Y)
    runtime = wrap(model)
    assert runtime.parameters("predict") == ("return_std", "return_cov")
    outputs = run(runtime, "predict", X[:3], return_std=True)
    mean, std = model.predict(X[:3], return_std=True)
    assert np.array_equal(outputs["mean"], mean)
    assert np.array_equal(outputs["std"], std)
    assert list(run(runtime, "predict", X[:3], return_cov=True)) == ["mean", "cov"]


def test_a_pipeline_hands_parameters_to_its_last_step():
    runtime = wrap(make_pipeline(StandardScaler(), BayesianRidge()).fit(X, Y))
    assert runtime.parameters("predict") == ("return_std",)
    assert list(run(runtime, "predict", X[:3], return_std=True)) == ["mean", "std"]
    assert wrap(make_pipeline(StandardScaler(), PCA(2)).fit(X)).parameters("transform") == ()


def test_parameters_that_concern_memory_or_processes_are_not_for_requests():
    assert wrap(RandomForestClassifier(3).fit(X, Y)).parameters("predict") == ()
    assert wrap(StandardScaler().fit(X)).parameters("transform") == ()


def test_one_row_that_comes_back_flat_is_a_row_again():
    for n_components in (1, 3):
        model = SparsePCA(n_components, random_state=0).fit(X)
        outputs = run(wrap(model), "transform", X[:1])
        assert outputs["transform"].shape == (1, n_components)
        assert np.array_equal(outputs["transform"].ravel(), model.transform(X[:1]).ravel())


class Loses(RegressorMixin, BaseEstimator):
    """Returns fewer rows than it gets."""

    def fit(self, rows, y=None):
        self.n_features_in_ = rows.shape[1]
        return self

    def predict(self, rows):
        return np.zeros(max(1, len(rows) - 1))


def test_a_model_that_loses_rows_is_an_error():
    with pytest.raises(ModelError, match="returned 2 rows for 3"):
        run(wrap(Loses().fit(X)), "predict", X[:3])


def test_a_method_that_refuses_the_example_serves_all_the_same():
    class Picky(Loses):
        def predict(self, rows):
            if not rows.any():
                raise ValueError("zeros tell me nothing")
            return rows[:, 0]

    runtime = wrap(Picky().fit(X))
    assert dict(runtime.signature.outputs) == {}
    assert run(runtime, "predict", [[1, 2, 3, 4]])["predict"].tolist() == [1.0]


class Rules(ClassifierMixin, BaseEstimator):
    """An estimator of somebody's own, whose names have no underscore at the end."""

    def __init__(self, limit=1.0):
        self.limit = limit

    def fit(self, rows, y=None):
        self.learnt = float(np.mean(rows))
        return self

    def predict(self, rows):
        return (np.asarray(rows)[:, 0] > self.limit).tolist()


def test_estimators_from_elsewhere_are_known_as_fitted_by_what_they_keep():
    assert run(wrap(Rules().fit(X)), "predict", [[2, 0], [0, 0]])["predict"].tolist() == [True, False]
    with pytest.raises(LoadError, match="This Rules is not fitted"):
        wrap(Rules())


def test_warnings_of_the_example_call_stay_inside():
    class Warns(Loses):
        def predict(self, rows):
            warnings.warn("I am unsure", UserWarning, stacklevel=1)
            return rows[:, 0]

    assert "predict" in wrap(Warns().fit(X)).signature.outputs


def test_the_estimator_is_never_changed():
    model = RandomForestClassifier(3, n_jobs=-1).fit(X, Y)
    before = dict(vars(model))
    run(wrap(model), "predict", X[:3])
    assert vars(model) == before
    assert model.n_jobs == -1


def test_a_model_that_asks_for_more_cores_runs_in_its_own_thread():
    seen = set()

    class Looks(LinearRegression):
        def predict(self, rows):
            seen.add(threading.get_ident())
            return super().predict(rows)

    model = make_pipeline(StandardScaler(), _together([Looks().fit(X, Y) for _ in range(4)]))
    model.steps[0][1].fit(X)
    run(wrap(model), "predict", X[:3])
    assert seen == {threading.get_ident()}


def _together(members):
    from sklearn.ensemble import BaggingRegressor

    model = BaggingRegressor(LinearRegression(), n_estimators=len(members), n_jobs=4, random_state=0).fit(
        X, Y
    )
    model.estimators_ = members
    return model


def test_rows_that_may_not_be_written_to_are_copied_for_the_model():
    rows = np.array(X[:3])
    rows.flags.writeable = False
    model = StandardScaler(copy=False).fit(X)
    wrap(model).run("transform", {"inputs": rows}, {})
    assert np.array_equal(rows, X[:3])


@pytest.mark.parametrize("source", ["filename", "file"])
def test_a_vectorizer_that_would_read_files_is_refused(source, tmp_path):
    (tmp_path / "text").write_text("hello world")
    texts = [str(tmp_path / "text")] if source == "filename" else [(tmp_path / "text").open("rb")]
    model = make_pipeline(TfidfVectorizer(input=source), StandardScaler(with_mean=False)).fit(texts)
    with pytest.raises(LoadError, match="reads files that a request would name"):
        wrap(model)
    for text in texts if source == "file" else ():
        text.close()


def test_batch_is_for_functions():
    with pytest.raises(ConfigurationError, match="batch=True is for functions"):
        wrap(LinearRegression().fit(X, Y), batch=True)


def test_concurrency_is_one_unless_said_otherwise():
    model = LinearRegression().fit(X, Y)
    assert wrap(model).concurrency == 1
    assert wrap(model, concurrency=4).concurrency == 4
    assert wrap(model).joining == "prove"


def test_pandas_own_missing_mark_becomes_none():
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": pd.array([1, 2], dtype="Int64")})
    outputs = name_outputs("transform", frame, 2, {})
    assert outputs["a"].tolist() == [1, None]
    assert outputs["b"].dtype == np.int64


def test_columns_of_one_name_are_numbered():
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
    assert {name: array.tolist() for name, array in name_outputs("transform", frame, 1, {}).items()} == {
        "a": [1], "a_1": [2], "b": [3],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("result", "n_rows", "shape"),
    [
        (np.float64(1), 1, (1,)),
        (np.zeros(3), 1, (1, 3)),
        (sparse.csr_matrix(np.eye(2)), 2, (2, 2)),
        (pd.Series([1, 2]), 2, (2,)),
        ([1, 2], 2, (2,)),
        ([[1], [1, 2]], 2, (2,)),
    ],
)
def test_any_container_becomes_an_array_of_rows(result, n_rows, shape):
    assert name_outputs("predict", result, n_rows, {})["predict"].shape == shape


@pytest.mark.parametrize(("result", "n_rows"), [(np.zeros((2, 2)), 1), (np.zeros(3), 2), (np.float64(1), 2)])
def test_another_number_of_rows_is_an_error(result, n_rows):
    with pytest.raises(ModelError, match=f"for {n_rows}"):
        name_outputs("predict", result, n_rows, {})


def test_a_tuple_of_unknown_meaning_is_numbered():
    assert list(name_outputs("predict", (np.zeros(2), np.ones(2)), 2, {})) == ["output_0", "output_1"]


def test_a_vectorizer_of_dicts_is_refused_since_it_has_no_signature() -> None:
    model = make_pipeline(DictVectorizer(sparse=False), LogisticRegression())
    model.fit([{"a": 1}, {"b": 2}], [0, 1])
    with pytest.raises(LoadError, match="DictVectorizer takes dicts"):
        wrap(model)
