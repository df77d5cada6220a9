"""BentoML 1.4 service.  VARIANT: plain or batch (adaptive batching)."""

import os

import bentoml
import joblib
import numpy as np
import pandas as pd

Rows = pd.DataFrame if os.environ["MODEL"] == "mixed" else np.ndarray
batching = {"batchable": True, "max_batch_size": 1024} if os.environ["VARIANT"] == "batch" else {}


@bentoml.service(workers=int(os.environ["WORKERS"]))
class Predictor:
    def __init__(self):
        self.model = joblib.load(os.environ["MODEL_FILE"])

    @bentoml.api(**batching)
    def predict(self, rows: Rows) -> np.ndarray:
        return self.model.predict(rows)
