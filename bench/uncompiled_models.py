"""Fit two models that nothing compiles, or not all of; run by the environment that Demijohn is in.

``neighbors`` are k nearest neighbours by a distance that nothing translates; ``custom`` is a forest behind a
transformer of the user's own. Writes models/<name>.joblib and models/<name>.rows.json, as models.py does.
"""

from __future__ import annotations

import sys
from pathlib import Path

from models import save
from own_transformer import Ratios
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows, target = load_iris(return_X_y=True)
    save(folder, "neighbors", KNeighborsClassifier(metric="chebyshev").fit(rows, target), rows)
    rows, target = load_breast_cancer(return_X_y=True)
    custom = make_pipeline(Ratios(), RandomForestClassifier(100, random_state=0))
    save(folder, "custom", custom.fit(rows, target), rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
