"""FastAPI as most users write it.  VARIANT: def (thread pool) or async (on the event loop)."""

import os
import warnings

import joblib
import pandas as pd
from fastapi import FastAPI
from fastapi.responses import ORJSONResponse

warnings.filterwarnings("ignore", message=".*ORJSONResponse.*")
app = FastAPI(default_response_class=ORJSONResponse)
model = joblib.load(os.environ["MODEL_FILE"])


def answer(data):
    return ORJSONResponse(model.predict(data).tolist())


if os.environ["MODEL"] == "mixed":

    @app.post("/predict")
    def predict(rows: list[dict[str, float | str]]):
        return answer(pd.DataFrame(rows))
elif os.environ["VARIANT"] == "async":

    @app.post("/predict")
    async def predict(rows: list[list[float]]):
        return answer(rows)
else:

    @app.post("/predict")
    def predict(rows: list[list[float]]):
        return answer(rows)
