"""Who is compared: how each is started, what body it takes, where its predictions stand.

A new peer is a folder peers/<name> with a start.sh, and a line in ``PEERS``. start.sh gets MODEL (its
name), MODEL_FILE (joblib, or as its framework saves it), PORT (and the next two are free), WORKERS, VARIANT,
SCRATCH (an empty folder) and BIN (the bin folder of its environment).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Rows = list[list[Any]]
Body = Callable[[Rows, "list[str] | None"], Any]


def plain(rows: Rows, columns: list[str] | None) -> Any:
    return [dict(zip(columns, row, strict=True)) for row in rows] if columns else rows


def under(key: str) -> Body:
    return lambda rows, columns: {key: plain(rows, columns)}


def open_inference(rows: Rows, columns: list[str] | None) -> Any:
    if not columns:
        shape = [len(rows), len(rows[0])]
        return {"inputs": [{"name": "rows", "datatype": "FP64", "shape": shape, "data": rows}]}
    inputs = []
    for name, values in zip(columns, map(list, zip(*rows, strict=True)), strict=True):
        is_text = isinstance(values[0], str)
        kind = (
            {"datatype": "BYTES", "parameters": {"content_type": "str"}} if is_text else {"datatype": "FP64"}
        )
        inputs.append({"name": name, "shape": [len(rows), 1], "data": values, **kind})
    return {"parameters": {"content_type": "pd"}, "inputs": inputs}


def mlflow_body(rows: Rows, columns: list[str] | None) -> Any:
    return {"dataframe_split": {"columns": columns, "data": rows}} if columns else {"inputs": rows}


def whole(answer: Any) -> Any:
    return answer


def first_output(answer: Any) -> Any:
    return answer["outputs"][0]["data"]


def predictions(answer: Any) -> Any:
    return answer["predictions"]


@dataclass(frozen=True)
class Peer:
    label: str  #: In tables.
    folder: str
    environment: str
    variant: str = ""
    path: str = "/predict"
    body: Body = plain
    read: Callable[[Any], Any] | None = whole  #: None: it predicts nothing.


_V2 = "/v2/models/m/infer"
PEERS = {
    "hello": Peer('bare WSGI on Granian: reads the body, answers "hello"', "hello", "flask", read=None),
    "demijohn": Peer(
        "**Demijohn**", "demijohn", "", path="/models/m/predict", body=under("instances"), read=predictions
    ),
    "demijohn-no-lane": Peer(
        "Demijohn, fast lane off", "demijohn", "", "no-lane", "/models/m/predict", under("instances"),
        predictions,
    ),
    "demijohn-native": Peer(
        "Demijohn, acceleration off", "demijohn", "", "native", "/models/m/predict", under("instances"),
        predictions,
    ),
    "demijohn-alone": Peer(
        "Demijohn, batching off", "demijohn", "", "alone", "/models/m/predict", under("instances"),
        predictions,
    ),
    "tutorial": Peer("the tutorial's view, Flask's own server", "tutorial", "flask", "flask"),
    "tutorial-granian": Peer("the tutorial's view on Granian", "tutorial", "flask", "granian"),
    "gunicorn-gthread": Peer("the tutorial's view, gunicorn gthread", "tutorial", "flask", "gthread"),
    "gunicorn-sync": Peer("the tutorial's view, gunicorn sync", "tutorial", "flask", "sync"),
    "fastapi": Peer("FastAPI + uvicorn, `def`", "fastapi", "fastapi", "def"),
    "fastapi-async": Peer("FastAPI + uvicorn, `async def`", "fastapi", "fastapi", "async"),
    "asgi": Peer("bare ASGI app + uvicorn, tuned by hand", "asgi", "fastapi", "frozen"),
    "mlserver": Peer("MLServer", "mlserver", "mlserver", "pool", _V2, open_inference, first_output),
    "mlserver-inproc": Peer(
        "MLServer, parallel_workers=0", "mlserver", "mlserver", "inproc", _V2, open_inference, first_output
    ),
    "bentoml": Peer("BentoML", "bentoml", "bentoml", "plain", body=under("rows")),
    "bentoml-batch": Peer("BentoML, adaptive batching", "bentoml", "bentoml", "batch", body=under("rows")),
    "litserve": Peer("LitServe", "litserve", "litserve", "plain", body=under("rows"), read=predictions),
    "litserve-batch": Peer(
        "LitServe, batching", "litserve", "litserve", "batch", body=under("rows"), read=predictions
    ),
    "ray": Peer("Ray Serve", "ray", "ray"),
    "mlflow": Peer("MLflow", "mlflow", "mlflow", path="/invocations", body=mlflow_body, read=predictions),
    "kserve": Peer(
        "KServe", "kserve", "kserve", path="/v1/models/m:predict", body=under("instances"), read=predictions
    ),
    "pytriton": Peer(
        "Triton (pytriton), batching", "pytriton", "pytriton", "", _V2, open_inference, first_output
    ),
}  # fmt: skip
