"""Small fitted boosters, and rows for them with missing values and categories."""

from __future__ import annotations

from functools import cache
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from demijohn.messages import Records, Rows, Tensors
from demijohn.runtimes import Runtime

Matrix = np.ndarray[Any, Any]
COLORS = ["blue", "green", "red"]
N_ROWS = (1, 64)


@cache
def tumours() -> tuple[Matrix, Matrix]:
    """Two classes, with cells missing here and there."""
    matrix, y = load_breast_cancer(return_X_y=True)
    matrix = matrix[:, :8].copy()
    matrix[np.random.default_rng(0).random(matrix.shape) < 0.05] = np.nan
    return matrix, y


@cache
def irises() -> tuple[Matrix, Matrix]:
    matrix, y = load_iris(return_X_y=True)
    return matrix, y


@cache
def diabetes() -> tuple[Matrix, Matrix]:
    matrix, y = load_diabetes(return_X_y=True)
    return matrix, y


@cache
def table() -> tuple[pd.DataFrame, Matrix]:
    """Numbers with some missing, two columns of categories, a bool; labels "no" and "yes"."""
    rng = np.random.default_rng(0)
    n_rows = 400
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=n_rows),
            "count": rng.integers(0, 9, n_rows),
            "color": pd.Categorical(rng.choice(COLORS, n_rows)),
            "is_new": rng.random(n_rows) > 0.5,
            "grade": pd.Categorical(rng.choice([3, 7, 11], n_rows)),
        }
    )
    frame.loc[::17, "size"] = np.nan
    frame.loc[::19, "color"] = None
    labels = np.where((frame["size"] > 0) ^ (frame["color"] == "red") ^ (frame["grade"] == 7), "yes", "no")
    return frame, labels


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Write a table's rows as a client would."""
    return [
        {
            name: None if value is None or value != value else value
            for name, value in zip(frame, row, strict=True)
        }
        for row in zip(*(frame[name].tolist() for name in frame), strict=True)
    ]


def tensors_of(runtime: Runtime, rows: Any) -> Tensors:
    """Return a matrix or a table as a request brings it."""
    if hasattr(rows, "columns"):
        return runtime.signature.validate(Records(records(rows)))
    return runtime.signature.validate(Rows([[None if c != c else c for c in row] for row in rows.tolist()]))


def ask(runtime: Runtime, method: str, rows: Any) -> Matrix:
    """Run one method, of one output."""
    return runtime.run(method, tensors_of(runtime, rows), {})[method]


# Models -------------------------------------------------------------------------------------


@cache
def xgb_binary() -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1).fit(*tumours())


@cache
def xgb_multiple() -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(*irises())


@cache
def xgb_table() -> xgboost.XGBClassifier:
    frame, labels = table()
    model = xgboost.XGBClassifier(n_estimators=12, enable_categorical=True, max_cat_to_onehot=1, n_jobs=1)
    return model.fit(frame, (labels == "yes").astype(int))


@cache
def lgb_binary() -> lightgbm.LGBMClassifier:
    matrix, y = tumours()
    return lightgbm.LGBMClassifier(n_estimators=20, num_leaves=8, n_jobs=1, verbose=-1).fit(
        matrix, np.array(["bad", "good"])[y]
    )


@cache
def lgb_multiple() -> lightgbm.LGBMClassifier:
    matrix, y = irises()
    return lightgbm.LGBMClassifier(n_estimators=8, num_leaves=5, n_jobs=1, verbose=-1).fit(matrix, y)


@cache
def lgb_table() -> lightgbm.LGBMClassifier:
    frame, labels = table()
    model = lightgbm.LGBMClassifier(
        n_estimators=12, min_data_per_group=1, cat_smooth=0, min_child_samples=5, n_jobs=1, verbose=-1
    )
    return model.fit(frame, labels)


def _cat(kind: Any, **options: Any) -> Any:
    return kind(iterations=12, depth=3, thread_count=1, verbose=0, allow_writing_files=False, **options)


@cache
def cat_binary() -> catboost.CatBoostClassifier:
    matrix, y = tumours()
    return _cat(catboost.CatBoostClassifier, nan_mode="Max").fit(matrix, np.array(["bad", "good"])[y])


@cache
def cat_multiple() -> catboost.CatBoostClassifier:
    return _cat(catboost.CatBoostClassifier).fit(*irises())


@cache
def cat_regressor() -> catboost.CatBoostRegressor:
    return _cat(catboost.CatBoostRegressor).fit(*diabetes())


@cache
def cat_table() -> catboost.CatBoostClassifier:
    frame, labels = cat_rows(), table()[1]
    return _cat(catboost.CatBoostClassifier, cat_features=["color"]).fit(frame, labels)


@cache
def cat_rows() -> pd.DataFrame:
    """The table as CatBoost takes it: texts and numbers, no text missing."""
    frame, _ = table()
    color = frame["color"].astype(object).where(frame["color"].notna(), "none")
    return pd.DataFrame({"size": frame["size"], "color": color, "count": frame["count"].astype(float)})
