"""The models that steps.py takes apart: each with rows as JSON has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models import mixed_frame


def linear() -> tuple[Any, Any]:
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import LinearRegression

    rows, target = load_diabetes(return_X_y=True)
    return LinearRegression().fit(rows, target), rows.tolist()


def forest() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    rows, target = load_breast_cancer(return_X_y=True)
    return RandomForestClassifier(100, random_state=0).fit(rows, target), rows.tolist()


def logistic() -> tuple[Any, Any]:
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, target = load_breast_cancer(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows, target), rows.tolist()


def frame() -> tuple[Any, Any]:
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table, labels = mixed_frame(1000, np.random.default_rng(0))
    texts = [name for name in table.columns if name.startswith("cat")]
    numbers = [name for name in table.columns if name.startswith("num")]
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numbers", StandardScaler(), numbers), ("texts", encoder, texts)])
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    return model.fit(table, labels), table.to_dict("records")


def neighbors() -> tuple[Any, Any]:
    from sklearn.datasets import load_iris
    from sklearn.neighbors import KNeighborsClassifier

    rows, target = load_iris(return_X_y=True)
    return KNeighborsClassifier(metric="chebyshev").fit(rows, target), rows.tolist()


MODELS: dict[str, tuple[str, Callable[[], tuple[Any, Any]]]] = {
    "linear": ("Linear regression, 10 columns", linear),
    "logistic": ("Scaled logistic regression, 30 columns", logistic),
    "forest": ("Forest of 100 trees, 30 columns", forest),
    "frame": ("DataFrame pipeline, 10 numbers and 5 texts", frame),
    "neighbors": ("k nearest neighbours by Chebyshev distance, 4 columns", neighbors),
}
