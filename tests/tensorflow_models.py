"""Small SavedModels, for the tests of TensorFlow: made once per process that asks for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

WORDS = ["red", "green", "blue"]
ROWS = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Spec = tf.TensorSpec


class Iris(tf.Module):
    """A model of one input and two methods, whose variables are not those of its start."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = tf.Variable(np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32))

    @tf.function(input_signature=[Spec([None, 4], tf.float32, name="x")])
    def scores(self, x: Any) -> Any:
        return {"scores": tf.nn.softmax(x @ self.weights)}

    @tf.function(input_signature=[Spec([None, 4], tf.float32, name="x"), Spec([None], tf.int32, name="k")])
    def both(self, x: Any, k: Any) -> Any:
        return {"label": tf.argmax(x @ self.weights, 1), "k": k * 2, "row": x}


class Words(tf.Module):
    """A model of texts, which reads its vocabulary from an asset."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        lines = tf.lookup.TextFileInitializer(
            str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
        )  # fmt: skip
        self.table = tf.lookup.StaticVocabularyTable(lines, 1)

    @tf.function(input_signature=[Spec([None], tf.string, name="word")])
    def find(self, word: Any) -> Any:
        return {"index": self.table.lookup(word), "upper": tf.strings.upper(word)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.string)])
    def count(self, texts: Any) -> Any:
        return {"n": texts.row_lengths(), "upper": tf.strings.upper(texts)}


class Odd(tf.Module):
    """A model of inputs of many kinds."""

    @tf.function(input_signature=[Spec([8, 2], tf.float32, name="x")])
    def eight(self, x: Any) -> Any:
        return {"y": x * 2}

    @tf.function(input_signature=[Spec([1, 2], tf.float32, name="x")])
    def one(self, x: Any) -> Any:
        return {"y": tf.reduce_sum(x, 1)}

    @tf.function(input_signature=[Spec([], tf.float32, name="a"), Spec([2], tf.float64, name="b")])
    def rowless(self, a: Any, b: Any) -> Any:
        return {"y": tf.cast(a, tf.float64) * b}

    @tf.function(input_signature=[Spec([None, 2], tf.float32, name="x")])
    def total(self, x: Any) -> Any:
        return {"y": tf.reduce_sum(x)}

    @tf.function(input_signature=[Spec([None, 2, 2, 3], tf.uint8, name="image")])
    def image(self, image: Any) -> Any:
        return {"y": tf.reduce_max(image, [1, 2, 3])}

    @tf.function(input_signature=[Spec([None, None, None, 3], tf.float32, name="image")])
    def large(self, image: Any) -> Any:
        pooled = tf.nn.avg_pool2d(image, 20, 20, "VALID")
        return {"y": tf.reshape(pooled[:, 0, 0, :], [-1, 3])}

    @tf.function(input_signature=[Spec([None, 2], tf.bfloat16, name="x")])
    def brief(self, x: Any) -> Any:
        return {"y": x + 1}

    @tf.function(input_signature=[Spec([None, 2], tf.float16, name="x")])
    def half(self, x: Any) -> Any:
        return {"y": x + 1}

    @tf.function(input_signature=[Spec([None], tf.bool, name="x")])
    def negate(self, x: Any) -> Any:
        return {"y": tf.logical_not(x)}

    @tf.function(input_signature=[Spec([None], tf.int32, name="i")])
    def pick(self, i: Any) -> Any:
        return {"y": tf.gather(tf.constant([1.0, 2.0]), i)}

    @tf.function(input_signature=[Spec([None, None], tf.float32, name="x")])
    def any_length(self, x: Any) -> Any:
        return {"y": tf.reduce_mean(x, 1)}

    @tf.function(input_signature=[Spec([None], tf.string, name="text")])
    def raw(self, text: Any) -> Any:
        return {"png_bytes": tf.strings.join([b"\xff\x00", text])}

    @tf.function(input_signature=[Spec([None], tf.string, name="text")])
    def broken_text(self, text: Any) -> Any:
        return {"y": tf.strings.join([b"\xff", text])}

    @tf.function(input_signature=[Spec([None, 2], tf.float32, name="x")])
    def mixing(self, x: Any) -> Any:
        return {"y": x - tf.reduce_mean(x, 0, keepdims=True)}

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None, None, 2], tf.float32, ragged_rank=2)])
    def deep(self, paths: Any) -> Any:
        return {"y": paths * 2}

    @tf.function(input_signature=[tf.SparseTensorSpec([None, 4], tf.float32)])
    def sparse(self, x: Any) -> Any:
        return {"y": tf.sparse.to_dense(x)}

    @tf.function(input_signature=[Spec(None, tf.float32, name="x")])
    def shapeless(self, x: Any) -> Any:
        return {"y": x}

    @tf.function(input_signature=[Spec([None], tf.complex64, name="x")])
    def complex_numbers(self, x: Any) -> Any:
        return {"y": x}

    @tf.function(input_signature=[Spec([None], tf.int32, name="x")])
    def nameless(self, x: Any) -> Any:
        return {"y": x}


ODD = (
    "eight", "one", "rowless", "total", "image", "large", "brief", "half", "negate", "pick", "any_length",
    "raw", "broken_text", "mixing", "deep", "sparse", "shapeless", "complex_numbers",
)  # fmt: skip


def save_iris(folder: Path) -> Path:
    module = Iris()
    signatures = {"serving_default": module.scores, "both": module.both}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def save_words(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    vocabulary = folder.parent / "vocabulary.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    module = Words(vocabulary)
    signatures = {"serving_default": module.find, "count": module.count}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    vocabulary.unlink()
    return folder


def save_odd(folder: Path) -> Path:
    module = Odd()
    signatures = {name: getattr(module, name) for name in ODD} | {"not a name": module.nameless}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def save_function(function: Callable[..., Any], folder: Path, **assets: Any) -> Path:
    """Save a ``tf.function`` that has an ``input_signature``."""
    module = tf.Module()
    module.function = function
    for name, asset in assets.items():
        setattr(module, name, asset)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": function})
    return folder


def read_graph(folder: Path) -> saved_model_pb2.SavedModel:
    document = saved_model_pb2.SavedModel()
    document.ParseFromString((folder / "saved_model.pb").read_bytes())
    return document


def write_graph(folder: Path, document: saved_model_pb2.SavedModel) -> Path:
    (folder / "saved_model.pb").write_bytes(document.SerializeToString())
    return folder


def save_as_version_1(folder: Path) -> Path:
    """Save a graph as TensorFlow 1 does: a graph, a saver, tables filled at start, no objects."""
    v1 = tf.compat.v1
    vocabulary = folder.parent / "vocabulary.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    initial = Iris().weights.numpy()
    with tf.Graph().as_default(), v1.Session() as session:
        x, word = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.string, [None])
        weights = v1.get_variable("weights", initializer=initial)
        lines = tf.lookup.TextFileInitializer(
            str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
        )  # fmt: skip
        found = tf.lookup.StaticVocabularyTable(lines, 1).lookup(word)
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder))
        describe = tf.compat.v1.saved_model.predict_signature_def
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": describe({"x": x}, {"y": tf.matmul(x, weights)}),
                "find": describe({"word": word}, {"index": found}),
            },
            main_op=v1.tables_initializer(),
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )
        builder.save()
    vocabulary.unlink()
    return folder
