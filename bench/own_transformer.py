"""A transformer of the user's own, which no engine knows: servers must find this module."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Ratios(TransformerMixin, BaseEstimator):
    """Adds the ratio of the first two columns."""

    def fit(self, rows: Any, target: Any = None) -> Ratios:
        del target
        self.n_features_in_ = np.asarray(rows).shape[1]
        return self

    def transform(self, rows: Any) -> Any:
        rows = np.asarray(rows, dtype=float)
        return np.column_stack([rows, rows[:, 0] / (1 + np.abs(rows[:, 1]))])
