import io
import json
import os
import zipfile

import numpy as np
import pytest
import skops
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from demijohn import runtimes
from demijohn.errors import LoadError, UntrustedArtifact
from demijohn.runtimes.skops_files import is_allowed

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)


def saved(tmp_path, content):
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    return path


def tampered(model, change):
    """A .skops file whose schema was changed by hand."""
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(model)))
    schema = json.loads(source.read("schema.json"))
    changed = change(schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in source.namelist():
            if name != "schema.json":
                archive.writestr(name, source.read(name))
        archive.writestr("schema.json", json.dumps(schema if changed is None else changed))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        RandomForestClassifier(5),
        HistGradientBoostingClassifier(max_iter=3),
        GradientBoostingClassifier(n_estimators=3),
        GridSearchCV(SVC(), {"C": [1, 2]}, cv=StratifiedKFold(2), scoring="accuracy"),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
        KNeighborsClassifier(algorithm="kd_tree"),
        KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"),
        GaussianProcessRegressor(RBF() + WhiteKernel()),
        SGDClassifier(random_state=0),
        FunctionTransformer(np.log1p),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_scikit_learn_is_made_of_loads(tmp_path, model):
    model.fit(np.abs(X), Y)
    runtime = runtimes.load(saved(tmp_path, skops.io.dumps(model)), allow_code=False)
    method = runtime.methods[0]
    got = runtime.run(method, {"inputs": np.abs(X)}, {})[method]
    assert np.array_equal(got, getattr(model, method)(np.abs(X)))


def leave_a_mark(rows):
    """What a hostile file would like to have called."""
    return rows


@pytest.mark.parametrize("function", [os.system, leave_a_mark, np.load, LinearRegression().fit])
def test_a_function_inside_is_refused_by_name(tmp_path, function):
    model = FunctionTransformer(function)
    with pytest.raises(UntrustedArtifact, match="names what is not scikit-learn's own data"):
        runtimes.load(saved(tmp_path, skops.io.dumps(model)))


def reducing(path):
    def change(schema):
        schema["__module__"], schema["__class__"] = "os", "mkdir"
        schema["__loader__"] = "ConstructorFromReduceNode"
        schema["content"] = json.loads(_schema_of((str(path),)))

    return change


def _schema_of(value):
    return zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))).read("schema.json")


def operating(path):
    def change(schema):
        schema.update(json.loads(_schema_of(FunctionTransformer())))
        schema["__module__"], schema["__class__"] = "operator", "methodcaller"
        schema["__loader__"] = "OperatorFuncNode"
        schema["attrs"] = json.loads(_schema_of(("mkdir", str(path))))

    return change


def binding(path):
    """CVE-2025-54413: a method node that reaches a field it should not."""

    def change(schema):
        inner = dict(schema)
        schema.clear()
        schema.update(
            {
                "__module__": inner["__module__"],
                "__class__": inner["__class__"],
                "__loader__": "MethodNode",
                "content": {"func": "__reduce__", "obj": inner},
                "protocol": inner["protocol"],
            }
        )

    return change


def disguised(path):
    """CVE-2025-54413 again: the name that is shown is not the name that is reached."""

    def change(schema):
        binding(path)(schema)
        schema["__module__"], schema["__class__"] = "builtins", "int"

    return change


@pytest.mark.parametrize("attack", [reducing, operating, binding, disguised])
def test_crafted_files_are_refused_and_nothing_in_them_runs(tmp_path, attack):
    canary = tmp_path / "canary"
    content = tampered(LinearRegression().fit(X, Y), attack(canary))
    with pytest.raises(LoadError):
        runtimes.load(saved(tmp_path, content))
    assert not canary.exists()


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "functools.partial",
        "sklearn.utils._testing.assert_run_python_script_without_output",
        "sklearn.utils._testing.TempMemmap",
        "sklearn.externals._packaging.version.Version",
        "sklearn.datasets._base.load_files",
        "sklearn.datasets.fetch_openml",
        "sklearn.conftest.pytest",
        "sklearn.tests.test_base.MyEstimator",
        "sklearn.base.BaseEstimator.set_params",
        "sklearn.linear_model._base.LinearRegression.fit",
        "sklearn.linear_model._base.np",
        "sklearn.linear_model._base.Parallel",
        "sklearn.pipeline.clone",
        "sklearn.utils.parallel.Parallel",
        "sklearn.metrics._dist_metrics.PyFuncDistance64",
        "sklearn.preprocessing._function_transformer.nothing",
        "sklearn.no_such_module.Thing",
        "sklearn..base.BaseEstimator",
        "sklearnx.base.BaseEstimator",
        "sklearn",
        "",
    ],
)
def test_only_known_kinds_of_scikit_learns_classes_may_be_named(name):
    assert not is_allowed(name)


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.tree._tree.Tree",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.model_selection._split.KFold",
        "sklearn.metrics._classification.accuracy_score",
    ],
)
def test_what_estimators_keep_may_be_named(name):
    assert is_allowed(name)


def test_an_old_skops_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(skops, "__version__", "0.12.1")
    with pytest.raises(LoadError, match=r"skops 0\.12\.1 has known holes; .* need skops 0\.13"):
        runtimes.load(saved(tmp_path, skops.io.dumps(LinearRegression().fit(X, Y))))


def test_an_archive_that_unpacks_to_far_too_much_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "{}")
        with archive.open("1.npy", "w", force_zip64=True) as entry:
            for _ in range(600):
                entry.write(bytes(2**20))
    with pytest.raises(LoadError, match="would unpack to 629,145,602 bytes"):
        runtimes.load(tmp_path / "model.skops")


@pytest.mark.parametrize(
    "schema", ["", "{}", "[]", "[" * 100_000, '{"protocol": 99}', '{"protocol": 0, "__loader__": "DictNode"}']
)
def test_a_broken_schema_is_one_clear_error(tmp_path, schema):
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("schema.json", schema)
    with pytest.raises(LoadError, match="cannot be read as a skops file"):
        runtimes.load(tmp_path / "model.skops")


def bent(model, bend):
    """A fitted model whose arrays were changed: its types are still all right."""
    model.fit(X, Y)
    return skops.io.dumps(bend(model) or model)


def bend_child(model):
    state = model.tree_.__getstate__()
    state["nodes"]["left_child"][0] = 10**6
    model.tree_.__setstate__(state)


def bend_into_a_circle(model):
    state = model.tree_.__getstate__()
    state["nodes"]["right_child"][2] = 2
    state["nodes"]["left_child"][2] = 0
    model.tree_.__setstate__(state)


def bend_column(model):
    state = model.tree_.__getstate__()
    state["nodes"]["feature"][0] = 999
    model.tree_.__setstate__(state)


def bend_width(model):
    model.n_features_in_ = 2


@pytest.mark.parametrize(
    ("bend", "complaint"),
    [
        (bend_child, "a child outside"),
        (bend_into_a_circle, "a child outside"),
        (bend_column, "a column that the model does not take"),
        (bend_width, "another number of columns"),
    ],
)
def test_a_tree_that_points_outside_of_itself_is_refused(tmp_path, bend, complaint):
    content = bent(DecisionTreeClassifier(), bend)
    with pytest.raises(LoadError, match=complaint):
        runtimes.load(saved(tmp_path, content))


def bend_boosting_child(model):
    model._predictors[0][0].nodes["left"][0] = 10**6


def bend_boosting_column(model):
    model._predictors[0][0].nodes["feature_idx"][0] = 999


def bend_boosting_categories(model):
    model._predictors[0][0].nodes["is_categorical"][0] = 1
    model._predictors[0][0].nodes["bitset_idx"][0] = 7


def bend_boosting_empty(model):
    predictor = model._predictors[0][0]
    predictor.nodes = predictor.nodes[:0]


@pytest.mark.parametrize(
    ("bend", "complaint"),
    [
        (bend_boosting_child, "a child outside"),
        (bend_boosting_column, "a column that the model does not take"),
        (bend_boosting_categories, "categories that it does not hold"),
        (bend_boosting_empty, "no nodes"),
    ],
)
def test_a_boosted_tree_that_points_outside_of_itself_is_refused(tmp_path, bend, complaint):
    content = bent(HistGradientBoostingClassifier(max_iter=2), bend)
    with pytest.raises(LoadError, match=complaint):
        runtimes.load(saved(tmp_path, content))


def test_a_neighbours_tree_that_points_outside_of_itself_is_refused(tmp_path):
    def bend(model):
        state = list(model._tree.__getstate__())
        indices = np.array(state[1])
        indices[0] = 10**6
        state[1] = indices
        model._tree.__setstate__(tuple(state))

    content = bent(KNeighborsClassifier(algorithm="kd_tree"), bend)
    with pytest.raises(LoadError, match="a tree of neighbours points outside"):
        runtimes.load(saved(tmp_path, content))
