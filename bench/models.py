"""Fit the five models of the benchmark; run by the environment with the oldest numpy.

Writes models/<name>.joblib and models/<name>.rows.json (1,000 rows) into the folder given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, make_regression
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

N_ROWS = 1000


def mixed_frame(n_rows: int, rng: np.random.Generator) -> tuple[pd.DataFrame, Any]:
    frame = pd.DataFrame(rng.normal(size=(n_rows, 10)).round(4), columns=[f"num{i}" for i in range(10)])
    for i in range(5):
        frame[f"cat{i}"] = rng.choice([f"level_{j}" for j in range(4 + 2 * i)], size=n_rows)
    target = frame.num0 + frame.num1 * frame.num2 + frame.cat0.str[-1].astype(int) + rng.normal(size=n_rows)
    return frame, np.where(target > target.median(), "yes", "no")


def save(folder: Path, name: str, model: Any, rows: Any) -> None:
    is_frame = isinstance(rows, pd.DataFrame)
    cells = rows.to_numpy(dtype=object).tolist() if is_frame else rows.tolist()
    cells = (cells * (N_ROWS // len(cells) + 1))[:N_ROWS]
    joblib.dump(model, folder / f"{name}.joblib")
    document = {"columns": list(rows.columns) if is_frame else None, "rows": cells}
    (folder / f"{name}.rows.json").write_text(json.dumps(document))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    rows, target = load_diabetes(return_X_y=True)
    save(folder, "linear", LinearRegression().fit(rows, target), rows)

    rows, target = load_breast_cancer(return_X_y=True)
    logreg = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    save(folder, "logreg", logreg.fit(rows, target), rows)
    save(folder, "rf", RandomForestClassifier(100, random_state=0).fit(rows, target), rows)

    rows, target = make_regression(50_000, 20, noise=1.0, random_state=0)
    hgb = HistGradientBoostingRegressor(random_state=0).fit(rows, target)
    save(folder, "hgb", hgb, rows[:N_ROWS])

    frame, labels = mixed_frame(5000, rng)
    numeric = [c for c in frame if c.startswith("num")]
    text = [c for c in frame if c.startswith("cat")]
    columns = ColumnTransformer(
        [("num", StandardScaler(), numeric), ("cat", OneHotEncoder(handle_unknown="ignore"), text)]
    )
    mixed = make_pipeline(columns, GradientBoostingClassifier(random_state=0))
    save(folder, "mixed", mixed.fit(frame, labels), frame[:N_ROWS])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
