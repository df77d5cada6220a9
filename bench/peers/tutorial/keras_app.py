"""The tutorial with a Keras model: Flask's own development server."""

import os

import keras
import numpy as np
from flask import Flask, jsonify, request

app = Flask(__name__)
model = keras.models.load_model(os.environ["MODEL_FILE"])


@app.route("/predict", methods=["POST"])
def predict():
    data = np.array(request.json)
    return jsonify(model.predict(data, verbose=0).tolist())


if __name__ == "__main__":
    app.run(port=int(os.environ["PORT"]))
