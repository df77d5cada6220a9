"""The demo's four models, on real data that scikit-learn ships.

=================  ==========================================  =================================
model              data                                        estimator
=================  ==========================================  =================================
cancer-logistic    breast cancer, 569 × 30 measurements,       StandardScaler, LogisticRegression
                   a DataFrame with named columns
cancer-forest      the same as a bare matrix                   RandomForestClassifier, 100 trees
diabetes           diabetes, 442 × 10, named columns           LinearRegression
wine-cultivar      a table built from wine, see wine_table()   ColumnTransformer, LogisticRegression
=================  ==========================================  =================================
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

N_EXAMPLE_ROWS = 5
MISSING_SHARE = 0.06  #: Of the cells of the wine table that are knocked out.

Fitted = tuple[Any, pd.DataFrame]  #: An estimator, and the rows it was fitted on.


def cancer_logistic() -> Fitted:
    """Malignant or benign, as words, by a scaled logistic regression."""
    data = load_breast_cancer(as_frame=True)
    labels = data.target_names[data.target]
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, labels), data.data


def cancer_forest() -> Fitted:
    """Malignant (0) or benign (1), by a forest that was fitted on a matrix without column names."""
    data = load_breast_cancer(as_frame=True)
    forest = RandomForestClassifier(n_estimators=100, random_state=0)
    return forest.fit(data.data.to_numpy(), data.target.to_numpy()), data.data


def diabetes() -> Fitted:
    """The disease's progression after one year, by least squares."""
    data = load_diabetes(as_frame=True)
    return LinearRegression().fit(data.data, data.target), data.data


def wine_cultivar() -> Fitted:
    """Which of three cultivars a wine was made from, by a pipeline over a table with gaps."""
    rows, labels = wine_table()
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    return make_pipeline(columns, LogisticRegression()).fit(rows, labels), rows


def wine_table() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Build a table with words and gaps from the wine data's 178 wines.

    Four of its measurements stay numbers. Three become words, by thirds of their values:
    color_intensity "pale", "medium", "deep"; malic_acid (as ``acidity``) "soft", "fresh", "sharp";
    hue "tawny", "ruby", "purple". Then a seeded 6 % of all cells are emptied.

    Returns:
        The table of shape (178, 7), and each wine's cultivar: "class_0", "class_1" or "class_2".
    """
    data = load_wine(as_frame=True)
    wine = data.data
    table = wine[["alcohol", "magnesium", "flavanoids", "proline"]].copy()
    table["color"] = _thirds(wine["color_intensity"], ["pale", "medium", "deep"])
    table["acidity"] = _thirds(wine["malic_acid"], ["soft", "fresh", "sharp"])
    table["hue"] = _thirds(wine["hue"], ["tawny", "ruby", "purple"])
    empty = np.random.default_rng(seed=178).random(table.shape) < MISSING_SHARE
    return table.mask(empty), data.target_names[data.target]


def _thirds(values: pd.Series[float], words: list[str]) -> pd.Series[str]:
    return pd.qcut(values, q=3, labels=words).astype(object)


MODELS: dict[str, Callable[[], Fitted]] = {
    "cancer-logistic": cancer_logistic,
    "cancer-forest": cancer_forest,
    "diabetes": diabetes,
    "wine-cultivar": wine_cultivar,
}


def save_missing(model_file: Callable[[str], Path], example_file: Callable[[str], Path]) -> None:
    """Fit and save each model that lacks its file or its example rows."""
    for name, fit in MODELS.items():
        model, example = model_file(name), example_file(name)
        if model.exists() and example.exists():
            continue
        print(f"fitting {name}")
        estimator, rows = fit()
        example.parent.mkdir(parents=True, exist_ok=True)
        rows.head(N_EXAMPLE_ROWS).to_csv(example, index=False)
        model.parent.mkdir(parents=True, exist_ok=True)
        half = model.with_suffix(".half")
        joblib.dump(estimator, half)
        half.replace(model)  # whole or not at all, whatever interrupts
