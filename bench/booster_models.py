"""Train the two boosters of the benchmark, 300 trees each; run by the environment that Demijohn is in.

Writes models/<name>.txt or .ubj, as a user saves them, and models/<name>.rows.json (1,000 rows, and what the
framework's own ``predict`` says of them) into the folder given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import xgboost
from own import load
from sklearn.datasets import make_regression

N_ROWS, N_TREES = 1000, 300


def save(path: Path, rows: Any) -> None:
    expected = np.asarray(load(path)(rows))
    document = {
        "columns": None, "rows": rows.tolist(), "expected": expected.tolist(), "dtype": str(expected.dtype),
    }  # fmt: skip
    path.with_suffix(".rows.json").write_text(json.dumps(document))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows, target = make_regression(20_000, 20, noise=1.0, random_state=0)
    light = lightgbm.LGBMRegressor(n_estimators=N_TREES, random_state=0, verbose=-1).fit(rows, target)
    light.booster_.save_model(folder / "lightgbm.txt")
    xgboost.XGBRegressor(n_estimators=N_TREES, random_state=0).fit(rows, target).save_model(
        folder / "xgboost.ubj"
    )
    for name in ("lightgbm.txt", "xgboost.ubj"):
        save(folder / name, rows[:N_ROWS])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
