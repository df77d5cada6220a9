"""Write the model in MLflow's own format, with a signature, as its tutorials do."""

import json
import os
import pathlib

import joblib
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from mlflow.sklearn import save_model

source = pathlib.Path(os.environ["MODEL_FILE"])
data = json.loads(source.with_suffix(".rows.json").read_text())
X = pd.DataFrame(data["rows"], columns=data["columns"]) if data["columns"] else np.array(data["rows"])
model = joblib.load(source)
save_model(
    model,
    source.with_suffix(".mlflow"),
    signature=infer_signature(X, model.predict(X)),
    serialization_format="cloudpickle",
    pip_requirements=["scikit-learn"],
)
