"""KServe custom predictor, written like its own sklearn server (which is not on PyPI)."""

import os

import joblib
import pandas as pd
from kserve import Model, ModelServer
from kserve.utils.utils import get_predict_input, get_predict_response


class Predictor(Model):
    def load(self):
        self.model = joblib.load(os.environ["MODEL_FILE"])
        self.ready = True

    def predict(self, payload, headers=None):
        if isinstance(payload["instances"][0], dict):
            rows = pd.DataFrame(payload["instances"])
        else:
            rows = get_predict_input(payload)
        return get_predict_response(payload, self.model.predict(rows), self.name)


if __name__ == "__main__":
    predictor = Predictor("m")
    predictor.load()
    ModelServer(
        http_port=int(os.environ["PORT"]),
        grpc_port=int(os.environ["PORT"]) + 1,
        workers=int(os.environ["WORKERS"]),
    ).start([predictor])
