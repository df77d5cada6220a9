"""What a call of ``demijohn.Client`` costs beside plain HTTP clients: ``python bench/client.py``.

One server, one worker, on this machine; a scaled logistic regression of 30 columns. Each line is the median
of calls in turn, in microseconds, by the caller's clock: what the server needs is in all of them.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import orjson
import pandas as pd
import requests
import urllib3
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.servers import Server, serving, until

from demijohn import Client
from demijohn.client import dialects

METHOD = "predict_proba"
SIZES = (1, 30, 100, 1_000)
N_CALLS = {1: 1_000, 30: 500, 100: 300, 1_000: 150}


def main() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1_000, 30))
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.joblib")
        joblib.dump(estimator, path)
        with serving([path], "--workers", "1") as server:
            until(lambda: server.get("/models/m").json()["plan"]["state"] == "settled")
            for n_rows in SIZES:
                measure(server, rows[:n_rows], estimator.predict_proba(rows[:n_rows]))


def measure(server: Server, rows: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    calls = {"urllib3 + orjson": urllib3_json(server, rows), "requests": requests_json(server, rows)}
    for dialect in dict.fromkeys([*dialects._SMALL, *dialects._NUMBERS]):
        calls[f"Client, {dialect.__name__.rpartition('.')[2]}"] = client_call(server, rows, [dialect])
    calls["Client, DataFrame"] = client_call(server, pd.DataFrame(rows))
    calls["Client"] = client_call(server, rows)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in calls.items():
        assert np.allclose(call(), expected, rtol=1e-9), name
    chance = random.Random(0)
    for _ in range(N_CALLS[len(rows)]):
        # In any order: what runs behind a call that moves much memory pays for that.
        for name, call in chance.sample(list(calls.items()), len(calls)):
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    print(f"{len(rows)} x {rows.shape[1]}")
    for name, taken in times.items():
        print(f"  {name:24}{np.median(taken) * 1e6:10,.0f}")


def urllib3_json(server: Server, rows: np.ndarray[Any, Any]) -> Callable[[], Any]:
    pool = urllib3.PoolManager()
    headers = {"Content-Type": "application/json"}

    def call() -> Any:
        body = orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY)
        answer = pool.request("POST", f"{server.url}/models/m/{METHOD}", body=body, headers=headers)
        return np.array(orjson.loads(answer.data)["predictions"])

    return call


def requests_json(server: Server, rows: np.ndarray[Any, Any]) -> Callable[[], Any]:
    session = requests.Session()
    return lambda: np.array(
        session.post(f"{server.url}/models/m/{METHOD}", json=rows.tolist()).json()["predictions"]
    )


def client_call(server: Server, rows: Any, only: list[Any] | None = None) -> Callable[[], Any]:
    client = Client(server.url)
    if only is not None:
        client._dialects._order = lambda _: only  # type: ignore[method-assign]
    model = client["m"]
    return lambda: getattr(model, METHOD)(rows)


if __name__ == "__main__":
    main()
