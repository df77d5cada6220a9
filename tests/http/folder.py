"""A folder of models for one server: a bit of everything that a request can be wrong about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

#: Sums of their products with 1, 2 and 3 are the same in every order: engines have last bits of their own.
ROWS = [[1.0, 2.0, 3.0], [4.0, 5.5, -6.25], [0.1, 0.2, 0.5]]
#: What a spreadsheet would take for formulas, where they begin a cell.
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tcell", "\rcell"]
OPTIONS = ["--default", "plane", "--alias", "double@champion=9", "--alias", "plane@champion=1"]


def fit_plane() -> Any:
    """A matrix model of three columns: its answer is ``a + 2 b + 3 c``."""
    rows = np.random.default_rng(0).normal(size=(40, 3))
    plane = LinearRegression().fit(rows, rows @ [1.0, 2.0, 3.0])
    plane.coef_, plane.intercept_ = np.array([1.0, 2.0, 3.0]), 0.0  # to the last bit; see ROWS
    return plane


def fit_table() -> Any:
    """A table model: ``age`` may be missing, ``kind`` must be known."""
    frame = table_rows()
    columns = make_column_transformer((SimpleImputer(), ["age"]), (OneHotEncoder(), ["kind"]))
    return make_pipeline(columns, LinearRegression()).fit(frame, [1.0, 2.0, 3.0, 5.0])


def table_rows() -> pd.DataFrame:
    return pd.DataFrame({"age": [20.0, 40.0, None, 25.5], "kind": ["cat", "dog", "cat", "emu"]})


def fit_forest() -> Any:
    """A classifier whose labels are formulas; it refuses what float32 cannot hold."""
    rows = np.arange(len(FORMULAS) * 3, dtype=float).reshape(-1, 3)
    forest = RandomForestClassifier(5, bootstrap=False, random_state=0)
    return forest.fit(np.repeat(rows, 3, axis=0), np.repeat(FORMULAS, 3))


def fit_logarithm() -> Any:
    """A transformer with answers that are no numbers."""
    return FunctionTransformer(np.log, validate=True).fit(np.ones((2, 2)))


def fit_double(slope: float) -> Any:
    return LinearRegression().fit([[0.0], [1.0]], [0.0, slope])


def save(folder: Path) -> None:
    """Save all of them as ``demijohn serve folder`` expects them."""
    joblib.dump(fit_plane(), folder / "plane.joblib")
    joblib.dump(fit_table(), folder / "table.joblib")
    joblib.dump(fit_forest(), folder / "forest.joblib")
    joblib.dump(fit_logarithm(), folder / "logarithm.joblib")
    for version in ("9", "10"):
        (folder / "double" / version).mkdir(parents=True)
        joblib.dump(fit_double(float(version)), folder / "double" / version / "model.joblib")
