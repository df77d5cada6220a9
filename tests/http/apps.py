"""An app of somebody's, with the extension in it; served as ``tests.http.apps:app``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from flask import Flask, jsonify, request
from tests.http import folder
from tests.served_functions import picky, shout, whole

from demijohn import BadInput, Demijohn

app = Flask(__name__)
models = Demijohn(app)
models.add("plane", folder.fit_plane(), default=True)
models.add("table", folder.fit_table())
models.add("double", folder.fit_double(9.0), version="9")
models.add("double", folder.fit_double(10.0), version="10")
models.alias("double", "champion", "9")
models.alias("plane", "champion", "1")


for function in (shout, whole, picky):
    models.model(function.__name__)(function)


@models.model("spell")
def spell(word: str) -> Iterator[str]:
    for letter in word:
        if letter == "!":
            raise BadInput("no exclamations")
        yield letter


models.chain("cry", ["shout", "spell"])


@models.model("crooked", batch=True)
def crooked(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Lose a row."""
    return rows[1:, 0]


def add_up(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return images.sum(axis=(1, 2))


models.add("grey", add_up, example=np.zeros((1, 8, 9), np.float32))
models.add("photo", add_up, example=np.zeros((1, 8, 9, 3), np.uint8))


@app.post("/price")
def price() -> Any:
    """Use a model from a view of one's own, as in every tutorial."""
    return jsonify(price=models["plane"].predict(request.json).tolist())


@app.get("/models")
def own_models() -> Any:
    return jsonify(mine=True)


@app.get("/reflect")
def reflect() -> Any:
    """Answer with a header that the client wrote, as careless apps do."""
    answer = jsonify(reflected=True)
    answer.headers["X-Reflected"] = request.args["value"]
    return answer
