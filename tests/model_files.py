"""Small fitted models, and their files, for the tests of the command line."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import sklearn
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

Matrix = np.ndarray[Any, Any]
NOBODY = 65534

#: Texts that a shell, JSON, CSV or a terminal would take for more than text.
HOSTILE = ["it's $HOME", 'a "b" \\', "two\nlines", "größe `id` $(id)", "\x1b[31mred\x9b", "!! %s ;"]


@cache
def iris_rows() -> Matrix:
    return np.asarray(load_iris().data)


@cache
def iris() -> LogisticRegression:
    """A classifier with text labels, fitted without column names."""
    labels = np.array(["setosa", "versicolor", "virginica"])[load_iris().target]
    return LogisticRegression(max_iter=500).fit(iris_rows(), labels)


def line(slope: float) -> LinearRegression:
    """A model of one column, which it multiplies with exactly this."""
    model = LinearRegression(fit_intercept=False).fit([[1.0], [2.0]], [slope, 2 * slope])
    model.coef_ = np.array([float(slope)])
    return model


@cache
def hostile_table() -> pd.DataFrame:
    texts = HOSTILE * 3
    return pd.DataFrame({"ci'ty $HOME": texts, "n": np.arange(float(len(texts)))})


@cache
def hostile() -> Any:
    """A pipeline over a column whose name and categories are HOSTILE."""
    table = hostile_table()
    columns = make_column_transformer((OneHotEncoder(), [table.columns[0]]), remainder="passthrough")
    labels = [text.replace("\n", " ") for text in table.iloc[:, 0]]
    return make_pipeline(columns, LogisticRegression(max_iter=500)).fit(table, labels)


#: A scikit-learn that never was, written as long as this one.
OTHER_VERSION = "0.9.9".ljust(len(sklearn.__version__), "9")


def monthly() -> tuple[Any, pd.DataFrame]:
    """A model that reads a column of dates, of which it does not say so, and what it was fitted on."""
    days = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=60), "x": np.arange(60.0)})
    return make_pipeline(FunctionTransformer(_months), LinearRegression()).fit(days, days["x"]), days


def _months(days: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"month": days["day"].dt.month, "x": days["x"]})


def pickled_elsewhere(model: Any) -> bytes:
    """Pickle a model as scikit-learn of ``OTHER_VERSION`` would."""
    return pickle.dumps(model).replace(sklearn.__version__.encode(), OTHER_VERSION.encode())


def save(model: Any, path: Path) -> Path:
    """Save a model whole or not at all, by joblib or skops as the file is called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}")
    if path.suffix == ".skops":
        skops.io.dump(model, half)
    else:
        joblib.dump(model, half)
    half.replace(path)
    return path


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be a user who may not read everything, also where the tests run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
