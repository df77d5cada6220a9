"""Ray Serve: one proxy, WORKERS replicas."""

import os

import joblib
import pandas as pd
import ray
from ray import serve


@serve.deployment(num_replicas=int(os.environ["WORKERS"]), max_ongoing_requests=100)
class Predictor:
    def __init__(self):
        self.model = joblib.load(os.environ["MODEL_FILE"])

    async def __call__(self, request):
        data = await request.json()
        if isinstance(data[0], dict):
            data = pd.DataFrame(data)
        return self.model.predict(data).tolist()


if __name__ == "__main__":
    ray.init(num_cpus=2, object_store_memory=200_000_000, _temp_dir=os.environ["SCRATCH"])
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])},
        logging_config={"enable_access_log": False},
    )
    serve.run(Predictor.bind(), route_prefix="/predict", blocking=True)
