"""Every call of MLflow's ``ScoringServerClient``, against the server at the address given.

Run by ``test_clients.py`` in the clients' own environment; the default model is ``table`` of
``tests/http/folder.py``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import requests
from mlflow.deployments import PredictionsResponse
from mlflow.pyfunc.scoring_server import CONTENT_TYPE_CSV
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from mlflow.utils.proto_json_utils import dump_input_data

# The client asks whether SciPy has sparse matrices, and fails where there is no SciPy: 100 MB for a no.
sys.modules["scipy"] = ModuleType("scipy")
sys.modules["scipy"].__path__ = []

FRAME = pd.DataFrame({"age": [20.0, np.nan, 40.5], "kind": ["cat", "dog", "cat"]})
WHOLE = FRAME.dropna()


def expected(url: str, frame: pd.DataFrame) -> list[float]:
    """Ask by Demijohn's own dialect, where a missing cell is null."""
    rows = [[None if cell != cell else cell for cell in row] for row in frame.values.tolist()]
    answer = requests.post(f"{url}/models/table/predict", json=rows)
    predictions: list[float] = answer.json()["predictions"]
    return predictions


def check_predictions(answer: Any, values: list[float]) -> None:
    assert isinstance(answer, PredictionsResponse)
    assert answer.get_predictions("ndarray").tolist() == values
    assert answer.get_predictions("dataframe").shape == (len(values), 1)
    assert PredictionsResponse.from_json(answer.to_json()) == answer


def check_refused(client: ScoringServerClient, data: Any, *, params: dict[str, Any] | None = None) -> None:
    told = "nothing was refused"
    try:
        client.invoke(data, params=params)
    except Exception as error:  # noqa: BLE001  - the client raises no other
        told = str(error)
    assert "Invocation failed (error code 400" in told, told
    assert '"error_code":"BAD_REQUEST"' in told


def check_client(url: str, client: ScoringServerClient) -> None:
    client.wait_server_ready()
    client.ping()
    assert client.get_version()
    rows = WHOLE.values
    for data in (rows, rows.tolist(), WHOLE, WHOLE[["kind", "age"]]):
        check_predictions(client.invoke(data), expected(url, WHOLE))
    # The client itself cannot write a dict (its loop over one fails), so it is given the text.
    columns = dump_input_data(f'{{"inputs": {{"age": {rows[:, 0].tolist()}, "kind": ["cat", "cat"]}}}}')
    check_predictions(client.invoke(columns), expected(url, WHOLE))
    check_predictions(client.invoke(WHOLE, params={}), expected(url, WHOLE))
    check_refused(client, rows[:, :1])
    check_refused(client, WHOLE, params={"depth": 1})
    check_refused(client, WHOLE.rename(columns={"age": "years"}))


def check_missing_cells(url: str, client: ScoringServerClient) -> None:
    """A missing cell is written as a bare NaN, which is no JSON."""
    assert "NaN" in dump_input_data(FRAME)
    assert "NaN" in dump_input_data(FRAME.values)
    for data in (FRAME, FRAME.values, FRAME.convert_dtypes(dtype_backend="numpy_nullable").astype(object)):
        check_predictions(client.invoke(data), expected(url, FRAME))


def check_csv(url: str) -> None:
    text = FRAME.to_csv(index=False)
    answer = requests.post(f"{url}/invocations", data=text, headers={"Content-Type": CONTENT_TYPE_CSV})
    check_predictions(PredictionsResponse.from_json(answer.text), expected(url, FRAME))


def main(address: str) -> None:
    host, _, port = address.rpartition(":")
    client, url = ScoringServerClient(host, port), f"http://{address}"
    check_client(url, client)
    check_missing_cells(url, client)
    check_csv(url)


main(sys.argv[1])
