"""What the framework's own ``predict`` costs in process, without any server: the floor of every server's sum.

    python own.py MODEL_FILE ROWS_FILE

Prints, as JSON, the µs of one call by the number of its rows: the least of many calls.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (1, 1000)
_SECONDS = 0.7  # for each size


def load(path: Path) -> Callable[[Any], Any]:
    """Load a model as its framework's manual says; returns its ``predict``."""
    if path.suffix == ".txt":
        import lightgbm

        return lightgbm.Booster(model_file=path).predict
    if path.suffix == ".ubj":
        import xgboost

        model = xgboost.XGBRegressor()
        model.load_model(path)
        return model.predict  # type: ignore[no-any-return]
    if path.suffix == ".keras":
        import keras

        network: Any = keras.models.load_model(path)
        return lambda rows: network.predict(rows, verbose=0)
    import joblib

    return joblib.load(path).predict  # type: ignore[no-any-return]


def rows_of(path: Path) -> Any:
    """Read the rows of a model: a matrix, or a table where they have columns."""
    import numpy as np
    import pandas as pd

    data = json.loads(path.read_text())
    return pd.DataFrame(data["rows"], columns=data["columns"]) if data["columns"] else np.array(data["rows"])


def least_us(call: Callable[[], Any]) -> float:
    call()
    least, end = float("inf"), time.monotonic() + _SECONDS
    while time.monotonic() < end:
        began = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - began)
    return least * 1e6


def main(model_file: Path, rows_file: Path) -> None:
    predict, rows = load(model_file), rows_of(rows_file)
    some = {n: rows[:n] for n in SIZES}
    print(json.dumps({n: least_us(lambda n=n: predict(some[n])) for n in SIZES}))  # type: ignore[misc]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
