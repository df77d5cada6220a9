"""NVIDIA Triton (C++ front end, Python back end) through nvidia-pytriton."""

import json
import os
import pathlib

import joblib
import numpy as np
import pandas as pd
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

source = pathlib.Path(os.environ["MODEL_FILE"])
data = json.loads(source.with_suffix(".rows.json").read_text())
columns, width = data["columns"], len(data["rows"][0])
model = joblib.load(source)


@batch
def predict_array(rows):
    return [as_column(model.predict(rows))]


@batch
def predict_frame(**inputs):
    frame = pd.DataFrame({name: inputs[name][:, 0] for name in columns})
    for name in frame.columns[frame.dtypes == object]:
        frame[name] = frame[name].str.decode("utf-8")
    return [as_column(model.predict(frame))]


def as_column(y):
    return (np.char.encode(y.astype(str)) if y.dtype.kind in "OU" else y).reshape(-1, 1)


if columns:
    infer = predict_frame
    inputs = [
        Tensor(name=c, shape=(1,), dtype=bytes if isinstance(v, str) else np.float64)
        for c, v in zip(columns, data["rows"][0])
    ]
else:
    infer = predict_array
    inputs = [Tensor(name="rows", shape=(width,), dtype=np.float64)]
kind = getattr(model, "classes_", np.zeros(1)).dtype
output = Tensor(name="y", shape=(1,), dtype=bytes if kind.kind in "OU" else kind.type)

port = int(os.environ["PORT"])
config = TritonConfig(
    http_address="127.0.0.1",
    http_port=port,
    grpc_port=port + 1,
    metrics_port=port + 2,
    allow_metrics=False,
    log_verbose=0,
)
with Triton(config=config, workspace=os.environ["SCRATCH"] + "/w") as triton:
    triton.bind(
        "m",
        [infer] * int(os.environ["WORKERS"]),
        inputs,
        [output],
        config=ModelConfig(max_batch_size=1024, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
    )
    triton.serve()
