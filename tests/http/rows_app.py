"""Models for bodies that are scored while they come; served as ``tests.http.rows_app:app``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flask import Flask
from sklearn.linear_model import LinearRegression

from demijohn import BadInput, Demijohn

HOLDING = Path(os.environ.get("HOLDING", "."))
LOOK_AGAIN_S = 0.01

ROWS = pd.DataFrame(np.random.default_rng(7).normal(size=(1_000, 3)), columns=["a", "b", "c"])
PLANE = LinearRegression().fit(ROWS, ROWS @ [1.0, 2.0, 3.0] + np.sin(ROWS["a"]))

app = Flask(__name__)
models = Demijohn(app)
models.add("plane", PLANE, example=ROWS[:5])


@models.model("shout")
def shout(text: str, n: int) -> dict[str, Any]:
    if n < 0:
        raise BadInput("n must not be negative")
    return {"text": text.upper(), "n": n + 1}


@models.model("mean", example=[[0.0, 0.0]])
def mean(rows: np.ndarray[Any, Any]) -> Any:
    """Return how far each row is from the mean of all: it needs them all at once."""
    return rows.sum(axis=1) - rows.sum(axis=1).mean()


@models.model("hold")
def hold(word: str, number: int) -> int:
    """Wait for a file of that name, but for the first row."""
    while number and not (HOLDING / f"{word}.{number}").exists():
        time.sleep(LOOK_AGAIN_S)
    return number
