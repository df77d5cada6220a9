"""What tells a fitted model from every other."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tests.estimators import fitted_estimators
from tests.model_files import iris, line, save

from demijohn.runtimes import load, wrap
from demijohn.runtimes.digests import _is_known, digest_of
from demijohn.runtimes.object_graph import everything_in


class Own(BaseEstimator):
    """An estimator of the operator's own, whose code nobody watches."""

    def fit(self, X: Any, y: Any = None) -> Own:  # noqa: N803
        self.width_ = len(X[0])
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        return np.zeros(len(X))


def own(rows: Any) -> Any:
    return rows


ROWS = np.eye(2)


def test_a_file_has_its_own_digest(tmp_path: Path) -> None:
    for name in ("m.joblib", "m.skops"):
        path = save(iris(), tmp_path / name)
        runtime = load(path)
        assert runtime.digest() == runtime.sha256 == sha256(path.read_bytes()).hexdigest()


def test_a_model_in_memory_has_that_of_its_pickle() -> None:
    runtime = wrap(line(2))
    assert runtime.sha256 is None
    assert runtime.digest() == wrap(line(2)).digest() != wrap(line(3)).digest()
    assert runtime.digest() is runtime.digest()


def test_the_next_process_finds_the_same_digest() -> None:
    code = (
        "from tests.model_files import iris; from demijohn.runtimes import wrap; print(wrap(iris()).digest())"
    )
    root = Path(__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == wrap(iris()).digest()


@pytest.mark.parametrize(
    "model",
    [
        Own().fit(ROWS),
        make_pipeline(StandardScaler(), Own()).fit(ROWS),
        FunctionTransformer(own).fit(ROWS),
        FunctionTransformer(functools.partial(own)).fit(ROWS),
    ],
    ids=["an estimator", "one inside", "a function", "a function inside"],
)
def test_a_model_with_code_of_its_own_has_none(model: Any) -> None:
    assert digest_of(model, None) is None
    assert digest_of(model, "0" * 64) is None


def test_nothing_in_scikit_learn_counts_as_code_of_its_own() -> None:
    unknown = {
        name: {type(part).__module__ for _, part in everything_in(model) if not _is_known(part)}
        for name, (model, _) in fitted_estimators().items()
    }
    assert {name: modules for name, modules in unknown.items() if modules} == {}


def test_a_function_of_a_known_library_is_known() -> None:
    assert digest_of(FunctionTransformer(np.log1p).fit(ROWS), None) is not None


def test_a_model_that_cannot_be_pickled_has_none() -> None:
    model = LinearRegression().fit(ROWS, [1.0, 2.0])
    model.stream_ = (number for number in ())
    assert digest_of(model, None) is None
    assert digest_of(model, "0" * 64) == "0" * 64


def test_a_function_has_none() -> None:
    assert wrap(own, batch=True, example=ROWS).digest() is None


def test_a_forest_that_is_loaded_twice_has_one_digest() -> None:
    content = pickle.dumps(RandomForestClassifier(5, random_state=0).fit(*load_iris(return_X_y=True)))
    digests = {digest_of(pickle.loads(content), None) for _ in range(3)}
    assert len(digests) == 1
    assert None not in digests


def test_every_field_of_an_array_of_records_counts() -> None:
    def digest(*names: str, last: int = 4) -> str | None:
        records = np.zeros(2, np.dtype([(names[0], "i1"), (names[1], "f8")], align=True))
        records[names[1]] = 3, last
        return digest_of(FunctionTransformer(kw_args={"records": records}), None)

    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("b", "a"), digest("a", "b", last=5)}) == 3


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_model_that_counts_its_calls_keeps_its_digest(algorithm: Any, dtype: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(dtype)
    model = KNeighborsClassifier(3, algorithm=algorithm).fit(rows, np.arange(40) % 2)
    before = digest_of(model, None)
    model.predict(rows)
    assert digest_of(model, None) == before is not None
    rows[0, 0] += 1
    other = KNeighborsClassifier(3, algorithm=algorithm).fit(rows, np.arange(40) % 2)
    assert digest_of(other, None) != before
