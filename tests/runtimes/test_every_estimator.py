import warnings

import numpy as np
import pytest
from tests.estimators import fitted_estimators

from demijohn.errors import LoadError
from demijohn.messages import Rows
from demijohn.runtimes import wrap

FITTED = fitted_estimators()
#: They only ever answer for the rows they were fitted on.
WITHOUT_METHODS = {
    "AgglomerativeClustering", "ClassicalMDS", "DBSCAN", "HDBSCAN", "MDS", "OPTICS", "SpectralBiclustering",
    "SpectralClustering", "SpectralCoclustering", "SpectralEmbedding",
}  # fmt: skip


def parts(result):
    """The estimator's own answer as plain arrays."""
    several = result if isinstance(result, (tuple, list)) else [result]
    return [part.toarray() if hasattr(part, "toarray") else np.asarray(part) for part in several]


def equal(got, wanted):
    if got.dtype.kind == "O":
        return all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
    return np.array_equal(got, wanted, equal_nan=got.dtype.kind == "f")


def test_nearly_all_of_scikit_learn_is_here():
    assert len(FITTED) > 180
    assert set(FITTED) >= {
        "LogisticRegression",
        "RandomForestRegressor",
        "KMeans",
        "PCA",
        "IsotonicRegression",
    }


@pytest.mark.parametrize("name", sorted(set(FITTED) - WITHOUT_METHODS))
def test_answers_are_the_estimators_own_bit_for_bit(name):
    estimator, matrix = FITTED[name]
    runtime = wrap(estimator)
    assert set(runtime.signature.outputs) == set(runtime.methods), "each method answers the example row"
    for method in runtime.methods:
        for n_rows in (32, 1):
            rows = np.ascontiguousarray(matrix[:n_rows])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the estimator says of itself is not our matter here
                wanted = parts(getattr(estimator, method)(rows))
                tensors = runtime.signature.validate(Rows(rows.tolist()))
                outputs = runtime.run(method, tensors, {})
            for got, want in zip(outputs.values(), wanted, strict=True):
                assert len(got) == n_rows
                assert got.dtype == want.dtype
                assert equal(got, want if len(want) == n_rows else want.reshape(n_rows, -1))


@pytest.mark.parametrize("name", sorted(WITHOUT_METHODS & set(FITTED)))
def test_an_estimator_without_prediction_methods_is_refused(name):
    with pytest.raises(LoadError, match=f"{name} has no prediction method"):
        wrap(FITTED[name][0])
