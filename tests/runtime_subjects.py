"""A real model of every runtime, as ``check_runtime`` takes one: a runtime of ours joins by one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests import boosters, onnx_models
from tests.model_files import iris, iris_rows, save

from demijohn import runtimes

TABLE = pd.DataFrame({"size": [1.0, 2.0, np.nan, 4.0], "colour": ["red", "blue", "red", "blue"]})


def joblib_file(folder: Path) -> Any:
    return save(iris(), folder / "iris.joblib")


def skops_file(folder: Path) -> Any:
    forest = RandomForestClassifier(5, random_state=0).fit(iris_rows(), np.arange(150) % 3)
    return save(forest, folder / "forest.skops")


def table(folder: Path) -> Any:
    columns = make_column_transformer((SimpleImputer(), ["size"]), (OneHotEncoder(), ["colour"]))
    return make_pipeline(columns, LinearRegression()).fit(TABLE, [1.0, 2.0, 3.0, 4.0])


def several_outputs(folder: Path) -> Any:
    labels = np.c_[np.arange(150) % 3, np.arange(150) % 2]
    return RandomForestClassifier(3, random_state=0).fit(iris_rows(), labels)


def texts(folder: Path) -> Any:
    return make_pipeline(CountVectorizer(), MultinomialNB()).fit(["good good", "bad", "good"], [1, 0, 1])


def neighbors(folder: Path) -> Any:
    return KNeighborsClassifier(3).fit(iris_rows(), np.arange(150) % 3)


def scaler(folder: Path) -> Any:
    return StandardScaler().fit(iris_rows())


def shout(text: str, times: int = 1) -> dict[str, Any]:
    return {"shouted": text.upper() * min(times, 3), "length": len(text)}


async def wait(x: float) -> float:
    return x + 1


def total(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return rows.sum(axis=1)


def function_of_arrays(folder: Path) -> Any:
    return lambda: runtimes.wrap(total, example=np.ones((2, 3)), batch=True)


def spell(word: str) -> Iterator[str]:
    yield from word


def onnx_file(folder: Path) -> Any:
    return onnx_models.save(onnx_models.mixed(), folder / "mixed.onnx")


def onnx_classifier(folder: Path) -> Any:
    return onnx_models.save(onnx_models.flowers(), folder / "flowers.onnx")


def torch_program(folder: Path) -> Any:
    from tests import torch_models

    return torch_models.save(torch_models.exported(), folder / "mlp.pt2")


def torch_module(folder: Path) -> Any:
    from tests import torch_models

    module = torch_models.made(torch_models.Digits)
    return lambda: runtimes.wrap(module, example=np.ones((2, 1, 8, 8), np.float32))


def keras_model(folder: Path) -> Any:
    from tests import keras_models

    model = keras_models.several()
    return lambda: runtimes.wrap(model)


def keras_file(folder: Path) -> Any:
    from tests import keras_models

    path = folder / "mlp.keras"
    path.write_bytes(keras_models.mlp_file())
    return path


def xgboost_file(folder: Path) -> Any:
    path = folder / "tumours.ubj"
    boosters.xgb_binary().save_model(path)
    return path


def lightgbm_file(folder: Path) -> Any:
    path = folder / "tumours.txt"
    boosters.lgb_table().booster_.save_model(path)
    return path


def catboost_file(folder: Path) -> Any:
    path = folder / "table.cbm"
    boosters.cat_table().save_model(path)
    return path


def saved_model(folder: Path) -> Any:
    from tests import tensorflow_models

    return tensorflow_models.save_iris(folder / "iris")


def saved_model_of_texts(folder: Path) -> Any:
    from tests import tensorflow_models

    return tensorflow_models.save_words(folder / "words")


#: Name -> what is checked, made in a folder of its own.
SUBJECTS: dict[str, Callable[[Path], Any]] = {
    "joblib": joblib_file,
    "skops": skops_file,
    "table": table,
    "several outputs": several_outputs,
    "texts": texts,
    "neighbors": neighbors,
    "scaler": scaler,
    "function": lambda _: shout,
    "async function": lambda _: wait,
    "function of arrays": function_of_arrays,
    "generator": lambda _: spell,
    "ONNX": onnx_file,
    "ONNX classifier": onnx_classifier,
    "PyTorch program": torch_program,
    "PyTorch module": torch_module,
    "Keras model": keras_model,
    "Keras file": keras_file,
    "SavedModel": saved_model,
    "XGBoost file": xgboost_file,
    "XGBoost in scikit-learn's clothes": lambda _: boosters.xgb_multiple(),
    "LightGBM file": lightgbm_file,
    "LightGBM in scikit-learn's clothes": lambda _: boosters.lgb_multiple(),
    "CatBoost file": catboost_file,
    "CatBoost in scikit-learn's clothes": lambda _: boosters.cat_multiple(),
    "SavedModel of texts": saved_model_of_texts,
}
