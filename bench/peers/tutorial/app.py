"""The tutorial: Flask's own development server."""

import os

import joblib
import pandas as pd
from flask import Flask, jsonify, request

app = Flask(__name__)
model = joblib.load(os.environ["MODEL_FILE"])


@app.route("/predict", methods=["POST"])
def predict():
    data = request.json
    if isinstance(data[0], dict):
        data = pd.DataFrame(data)
    return jsonify(model.predict(data).tolist())


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))
