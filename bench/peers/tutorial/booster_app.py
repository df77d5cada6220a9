"""The tutorial with a booster's own file: Flask's own development server."""

import os

import numpy as np
from flask import Flask, jsonify, request

app = Flask(__name__)
if os.environ["MODEL_FILE"].endswith(".txt"):
    import lightgbm

    model = lightgbm.Booster(model_file=os.environ["MODEL_FILE"])
else:
    import xgboost

    model = xgboost.XGBRegressor()
    model.load_model(os.environ["MODEL_FILE"])


@app.route("/predict", methods=["POST"])
def predict():
    data = np.array(request.json)
    return jsonify(model.predict(data).tolist())


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))
