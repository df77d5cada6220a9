"""LitServe.  VARIANT: plain or batch."""

import itertools
import os

import joblib
import litserve as ls
import pandas as pd


class Plain(ls.LitAPI):
    def setup(self, device):
        self.model = joblib.load(os.environ["MODEL_FILE"])

    def decode_request(self, request):
        return request["rows"]

    def predict(self, rows):
        return self.model.predict(pd.DataFrame(rows) if isinstance(rows[0], dict) else rows)

    def encode_response(self, output):
        return {"predictions": output.tolist()}


class Batch(Plain):
    def batch(self, inputs):
        return inputs

    def unbatch(self, output):
        return output

    def predict(self, inputs):
        joined = super().predict(list(itertools.chain.from_iterable(inputs)))
        ends = list(itertools.accumulate(map(len, inputs)))
        return [joined[end - len(rows) : end] for end, rows in zip(ends, inputs)]


if __name__ == "__main__":
    workers = int(os.environ["WORKERS"])
    if os.environ["VARIANT"] == "batch":
        api = Batch(max_batch_size=64, batch_timeout=0.001)
    else:
        api = Plain()
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=workers)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=workers,
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
