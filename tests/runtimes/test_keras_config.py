"""What a .keras file's config may name; Keras takes no part in any of this."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from demijohn.errors import LoadError, UntrustedArtifact
from demijohn.runtimes.keras_config import check_config, read_config
from demijohn.runtimes.keras_names import CLASSES, FUNCTIONS


def layer(name: str, config: dict[str, Any] | None = None, module: Any = "keras.layers", **more: Any) -> Any:
    return {"module": module, "class_name": name, "config": config or {}, "registered_name": None} | more


def model(*layers: Any, **more: Any) -> dict[str, Any]:
    return layer("Sequential", {"layers": list(layers)}, module="keras", **more)


def nested(inner: Any, depth: int) -> Any:
    for _ in range(depth):
        inner = layer("TimeDistributed", {"layer": inner})
    return inner


def function(name: str, module: Any = "builtins", registered: Any = "function") -> Any:
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered}


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}}

REFUSED = {
    "a lambda (CVE-2024-3660)": (layer("Lambda", {"function": LAMBDA}), "keras.layers.Lambda"),
    "a lambda as an activation": (layer("Dense", {"activation": LAMBDA}), "__lambda__"),
    "a function of a module (CVE-2025-1550)": (
        layer("Dense", {"activation": function("system", "os")}), r"the function os\.system",
    ),
    "a function by a known name, of another module": (
        layer("Dense", {"activation": function("relu", "os")}), r"the function os\.relu",
    ),
    "a known function registered as another": (
        layer("Dense", {"activation": function("relu", registered="evil>relu")}), "the function",
    ),
    "a function of Keras that does more (CVE-2025-12060)": (
        layer("Dense", {"activation": function("get_file", "keras.utils")}), r"keras\.utils\.get_file",
    ),
    "a class of a module": (layer("Popen", {"args": ["id"]}, "subprocess"), r"subprocess\.Popen"),
    "another file's model (CVE-2026-1462)": (layer("TFSMLayer", {"filepath": "/x"}), "TFSMLayer"),
    "another framework's pickle (CVE-2025-49655)": (layer("TorchModuleWrapper"), "TorchModuleWrapper"),
    "a callable of JAX": (layer("JaxLayer"), "JaxLayer"),
    "a file of words (CVE-2025-12058)": (
        layer("StringLookup", {"vocabulary": "/etc/passwd"}), "a vocabulary in another file",
    ),
    "a page of words (CVE-2025-12058)": (
        layer("TextVectorization", {"vocabulary": "http://127.0.0.1/words"}), "a vocabulary in another file",
    ),
    "a custom object": (layer("Dense", registered_name="mine>Dense"), "the custom object mine>Dense"),
    "a custom object without a class": ({"registered_name": "mine>x", "config": {}}, "the custom object"),
    "a class without a module": (layer("Dense", module=None), "Dense"),
    "a class in a module of Keras that is not the public one": (
        layer("Dense", module="keras.src.layers.core.dense"), "keras.src.layers.core.dense",
    ),
    "an operation that takes functions": (
        layer("Map", module="keras.src.ops.core"), r"keras\.src\.ops\.core\.Map",
    ),
    "a typespec": ({"class_name": "__typespec__", "config": [], "module": "os"}, "__typespec__"),
    "a value as long as memory": (
        {"class_name": "__numpy__", "config": {"value": 1, "dtype": "V9999999999"}}, "a value of dtype",
    ),
    "a name that is no text": (layer(["Dense"]), "Dense"),  # type: ignore[arg-type]
    "a module that is no text": (layer("Dense", module={"a": 1}), "Dense"),
    "a function's module that is no text": (
        layer("Dense", {"activation": function("relu", ["os"])}), "the function",
    ),
}  # fmt: skip


@pytest.mark.parametrize("depth", [0, 5], ids=["outside", "5 deep"])
@pytest.mark.parametrize(("part", "told"), REFUSED.values(), ids=list(REFUSED))
def test_what_does_more_than_calculate_is_refused_by_name(part: Any, told: str, depth: int) -> None:
    with pytest.raises(UntrustedArtifact, match=told):
        check_config(model(nested(part, depth)))


def test_what_is_refused_is_told_once_shortened_and_fit_to_print() -> None:
    long = layer("x" * 5_000 + "\x1b[31m", module="m")
    with pytest.raises(UntrustedArtifact) as caught:
        check_config(model(*[long] * 3, *[layer(f"Bad{i}") for i in range(20)]))
    assert len(caught.value.detail) < 1_000
    assert "\x1b" not in caught.value.detail
    assert caught.value.detail.endswith("if you trust its author, say so: --trust, or trust=True")


def test_keras_own_parts_are_allowed() -> None:
    dense = layer(
        "Dense",
        {
            "activation": function("relu"),
            "dtype": layer("DTypePolicy", {"name": "float32"}, "keras"),
            "kernel_initializer": layer("GlorotUniform", module="keras.initializers"),
            "kernel_regularizer": layer("L2", {"l2": 0.1}, "keras.regularizers"),
            "kernel_constraint": layer("MaxNorm", module="keras.constraints"),
        },
    )
    words = layer("StringLookup", {"vocabulary": ["a", "b"]})
    plus = layer("Add", module="keras.src.ops.numpy", registered_name="Add")
    value = {"class_name": "__numpy__", "config": {"value": [1.0], "dtype": "float32"}}
    check_config(model(dense, words, plus, layer("Normalization", {"mean": value, "vocabulary": None})))


def test_how_the_model_was_trained_is_not_looked_at() -> None:
    check_config(model(layer("Dense"), compile_config={"loss": function("my_loss", "mine")}))


def test_a_config_that_is_nested_without_end_is_refused() -> None:
    part: Any = {}
    for _ in range(900):
        part = {"config": part}
    with pytest.raises(LoadError, match="nested more than 200 deep"):
        check_config(model(part))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 200_000])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(LoadError, match=r"config\.json"):
        read_config(content)


def test_looking_through_a_config_imports_no_framework() -> None:
    script = (
        "import sys, json; from demijohn.runtimes.keras_config import check_config;"
        f"check_config(json.loads({json.dumps(json.dumps(model(layer('Dense'))))}));"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'torch', 'h5py')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_name_that_is_allowed_exists_and_none_of_them_loads_anything_else() -> None:
    dangerous = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Map", "Scan", "Cond"}
    assert not dangerous & set().union(*CLASSES.values())
    from tests.keras_models import keras

    here = CLASSES["keras.layers"] - {"GroupedQueryAttention"}  # its name in older versions
    assert not [name for name in here if not hasattr(keras.layers, name) and not name.endswith("3D")]
    assert not [name for name in FUNCTIONS if not hasattr(keras.activations, name)]
