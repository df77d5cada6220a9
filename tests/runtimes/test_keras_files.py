"""Keras' files: those that load, and those that somebody crafted."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest
from tests.keras_models import (
    keras,
    layers,
    members_of,
    mlp,
    mlp_file,
    saved,
    sequential,
    with_config,
    with_layer,
    with_weights,
    zipped,
)

from demijohn import runtimes
from demijohn.errors import LoadError, MissingExtra, UntrustedArtifact
from demijohn.runtimes import keras_framework

ROWS = np.random.default_rng(0).random((5, 30), dtype=np.float32)
MIB = 2**20


def written(folder: Path, content: bytes, name: str = "model.keras") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@keras.saving.register_keras_serializable(package="ours")
class Doubled(layers.Layer):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return 2 * inputs


def test_a_model_that_was_saved_answers_as_before(tmp_path: Path) -> None:
    runtime = runtimes.load(written(tmp_path, mlp_file()))
    assert (runtime.framework, runtime.framework_version) == ("keras", keras.__version__)
    assert runtime.warnings == ()
    answer = runtime.run("predict", {"inputs": ROWS}, {})
    assert np.array_equal(answer["predict"], mlp().predict(ROWS, verbose=0))
    assert runtime.digest() == runtime.sha256


def own_loss(wanted: Any, got: Any) -> Any:
    return keras.ops.mean((wanted - got) ** 2)


def test_a_model_that_was_trained_loads_without_how(tmp_path: Path) -> None:
    model = keras.models.clone_model(mlp())
    model.compile("adam", loss=own_loss)
    model.fit(ROWS, np.zeros((5, 2)), verbose=0)
    runtime = runtimes.load(written(tmp_path, saved(model)))
    assert not runtime.model.compiled  # type: ignore[attr-defined]
    assert np.array_equal(
        runtime.run("predict", {"inputs": ROWS}, {})["predict"], model.predict(ROWS, verbose=0)
    )


def test_another_version_is_told(tmp_path: Path) -> None:
    members = members_of(mlp_file())
    content = zipped(members | {"metadata.json": b'{"keras_version": "3.9.0"}'})
    path = written(tmp_path, content)
    assert runtimes.load(path).warnings == (f"saved by Keras 3.9.0, and this is {keras.__version__}",)
    with pytest.raises(LoadError, match=r"saved by Keras 3\.9\.0"):
        runtimes.load(path, strict_versions=True)


@pytest.mark.parametrize(
    "metadata", [b"", b"[]", b'{"keras_version": 3}', b'{"keras_version": "\\u001b[1m"}']
)
def test_metadata_that_says_nothing_is_no_reason_to_refuse(tmp_path: Path, metadata: bytes) -> None:
    content = zipped(members_of(mlp_file()) | {"metadata.json": metadata})
    assert runtimes.load(written(tmp_path, content)).warnings == ()


# 5, 6, 8: what a config names -------------------------------------------------------------------


def test_a_config_that_names_a_function_is_refused_before_keras_is_imported(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    gadget = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    }  # fmt: skip
    evil = {
        "module": "keras.layers", "class_name": "Dense", "registered_name": None,
        "config": {"name": "evil", "activation": gadget, "arguments": {"command": f"touch {canary}"}},
    }  # fmt: skip
    path = written(tmp_path, with_layer(evil))
    script = (
        "import sys; from demijohn import runtimes; from demijohn.errors import UntrustedArtifact\n"
        f"try: runtimes.load({str(path)!r})\n"
        "except UntrustedArtifact as error: print(error.detail)\n"
        "print([name for name in ('keras', 'tensorflow', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "the function os.system" in done.stdout
    assert done.stdout.endswith("[]\n")
    assert not canary.exists()


@pytest.mark.filterwarnings("ignore")  # Keras says that a lambda is unsafe
def test_a_lambda_is_refused_unless_the_operator_trusts_it(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    model = sequential((3,), layers.Lambda(_touching(str(canary)), output_shape=(3,)))
    path = written(tmp_path, saved(model))
    canary.unlink(missing_ok=True)
    with pytest.raises(UntrustedArtifact, match=r"keras\.layers\.Lambda"):
        runtimes.load(path)
    with pytest.raises(UntrustedArtifact):
        runtimes.load(path, allow_code=False, is_trusted=True)  # a file that came into a watched folder
    assert not canary.exists()
    runtime = runtimes.load(path, is_trusted=True)
    assert canary.exists()
    assert runtime.digest() is None


def _touching(canary: str) -> Any:
    return eval(f"lambda x: (open({canary!r}, 'w').close(), x)[1]")


@pytest.mark.parametrize("name", ["TFSMLayer", "TorchModuleWrapper"])
def test_a_layer_that_loads_another_file_is_refused_however_deep(tmp_path: Path, name: str) -> None:
    other = {
        "module": "keras.layers", "class_name": name, "registered_name": None,
        "config": {"name": "other", "filepath": str(tmp_path), "module": "gANjb3MKc3lzdGVt"},
    }  # fmt: skip
    with pytest.raises(UntrustedArtifact, match=name):
        runtimes.load(written(tmp_path, with_layer(other, depth=5)))


def test_a_vocabulary_that_is_a_path_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("canary\n")
    before = secret.stat().st_atime_ns
    words = {
        "module": "keras.layers", "class_name": "StringLookup", "registered_name": None,
        "config": {"name": "words", "vocabulary": str(secret)},
    }  # fmt: skip
    with pytest.raises(UntrustedArtifact, match="a vocabulary in another file"):
        runtimes.load(written(tmp_path, with_layer(words)))
    assert secret.stat().st_atime_ns == before


def test_a_layer_of_ones_own_needs_trust(tmp_path: Path) -> None:
    path = written(tmp_path, saved(sequential((3,), Doubled())))
    with pytest.raises(UntrustedArtifact, match="Doubled"):
        runtimes.load(path)
    runtime = runtimes.load(path, is_trusted=True)
    answer = runtime.run("predict", {"inputs": np.ones((1, 3), np.float32)}, {})
    assert answer["predict"].tolist() == [[2.0, 2.0, 2.0]]
    assert runtime.digest() is None


# 7: HDF5 ------------------------------------------------------------------------------------------


@pytest.fixture
def hdf5(tmp_path: Path) -> Path:
    path = tmp_path / "model.h5"
    mlp().save(path)
    return path


@pytest.mark.filterwarnings("ignore")  # Keras says that the format is old
def test_an_hdf5_file_is_code_that_the_operator_names(hdf5: Path) -> None:
    artifact = runtimes.inspect(hdf5)
    assert (artifact.format, artifact.runs_code, artifact.survives_fork) == ("hdf5", True, False)
    with pytest.raises(UntrustedArtifact, match="runs the code in it"):
        runtimes.load(hdf5, allow_code=False)
    answer = runtimes.load(hdf5).run("predict", {"input_layer": ROWS, "inputs": ROWS}, {})
    assert np.array_equal(answer["predict"], mlp().predict(ROWS, verbose=0))


@pytest.mark.filterwarnings("ignore")
def test_an_hdf5_file_under_the_name_of_data_is_refused(hdf5: Path) -> None:
    with pytest.raises(UntrustedArtifact, match=r"no \.keras file but a hdf5 file"):
        runtimes.load(hdf5.rename(hdf5.with_suffix(".keras")))


# 9, 17, 18: archives and weights ------------------------------------------------------------------


def test_a_small_file_that_declares_many_numbers_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    def declare(file: h5py.File) -> None:
        file.create_dataset("layers/dense/vars/0", (10**9, 10**9), "f4", chunks=(1, 1), fillvalue=1)

    path = written(tmp_path, with_weights(declare))
    assert path.stat().st_size < 20 * 2**10
    before, start = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(LoadError, match="declare"):
        runtimes.load(path)
    assert time.monotonic() - start < 2
    assert psutil.Process().memory_info().rss - before < 64 * MIB


def test_weights_in_another_file_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(10**4))

    def reach(file: h5py.File) -> None:
        external = [(str(secret), 0, 30 * 64 * 4)]
        file.create_dataset("layers/dense/vars/0", (30, 64), "f4", external=external)

    with pytest.raises(UntrustedArtifact, match="another file"):
        runtimes.load(written(tmp_path, with_weights(reach)))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "assets/../../evil", "assets\\..\\..\\evil"])
def test_a_member_that_would_leave_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    content = zipped(members_of(mlp_file()) | {name: b"x"})
    with pytest.raises(LoadError, match="leaves the archive"):
        runtimes.load(written(tmp_path, content))


@pytest.mark.parametrize("name", ["model.weights.npz", "evil.py", "assets"])
def test_a_member_that_no_keras_file_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(LoadError, match=r"which no \.keras file does"):
        runtimes.load(written(tmp_path, zipped(members_of(mlp_file()) | {name: b"x"})))


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    members = members_of(mlp_file())
    del members["model.weights.h5"]
    with pytest.raises(LoadError, match=r"holds no model\.weights\.h5"):
        runtimes.load(written(tmp_path, zipped(members)))


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "assets/words.txt"])
def test_a_bomb_is_refused_unopened(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members_of(mlp_file()).items():
            if member != name:
                archive.writestr(member, content)
        archive.writestr(name, bytes(200 * MIB))
    path = written(tmp_path, buffer.getvalue())
    before, start = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(LoadError, match="would unpack to"):
        runtimes.load(path)
    assert time.monotonic() - start < 2
    assert psutil.Process().memory_info().rss - before < 64 * MIB


def test_a_config_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    content = zipped(members_of(mlp_file()) | {"config.json": b" " * (33 * MIB)})
    with pytest.raises(LoadError, match="larger than"):
        runtimes.load(written(tmp_path, content))


def test_what_keras_cannot_build_is_one_clear_error(tmp_path: Path) -> None:
    content = with_config(lambda config: config["config"]["layers"][1]["config"].update(units="many"))
    with pytest.raises(LoadError, match="cannot be loaded by Keras") as caught:
        runtimes.load(written(tmp_path, content))
    assert "demijohn-" not in caught.value.detail


def test_files_that_were_cut_off_or_changed_load_or_are_refused(tmp_path: Path) -> None:
    whole = mlp_file()
    rng = np.random.default_rng(0)
    for number in range(60):
        content = bytearray(whole if number % 2 else whole[: rng.integers(1, len(whole))])
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        try:
            runtimes.load(written(tmp_path, bytes(content)))
        except (LoadError, UntrustedArtifact):
            continue


def test_an_old_keras_loads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, mlp_file())
    monkeypatch.setattr(keras, "__version__", "3.11.3")
    with pytest.raises(LoadError, match="known holes"):
        runtimes.load(path)


def test_without_keras_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, mlp_file())
    monkeypatch.setattr(keras_framework.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r'pip install "demijohn\[keras\]"'):
        runtimes.load(path)


def test_without_a_backend_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", "/nonexistent")
    find = keras_framework.importlib.util.find_spec
    monkeypatch.setattr(
        keras_framework.importlib.util, "find_spec", lambda name: find(name) if name == "keras" else None
    )
    with pytest.raises(MissingExtra, match="tensorflow-cpu"):
        keras_framework.import_keras("model.keras")


def test_any_backend_that_is_installed_will_do(tmp_path: Path) -> None:
    path = written(tmp_path, mlp_file())
    script = (
        "import json, sys, numpy as np; from demijohn import runtimes;"
        f"runtime = runtimes.load({str(path)!r}); import keras;"
        "rows = np.random.default_rng(0).random((5, 30), dtype=np.float32);"
        "answer = runtime.run('predict', {'inputs': rows}, {})['predict'];"
        "print(keras.config.backend(), json.dumps(answer.tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={"KERAS_BACKEND": "torch", "PATH": "/usr/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    backend, _, answer = done.stdout.splitlines()[-1].partition(" ")
    assert backend == "torch"
    np.testing.assert_allclose(json.loads(answer), mlp().predict(ROWS, verbose=0), rtol=1e-5)


@pytest.fixture
def keras_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have PyTorch alone installed, and a home for Keras."""
    monkeypatch.setenv("KERAS_BACKEND", "restored afterwards, whatever is set meanwhile")
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras_framework, "_is_installed", lambda backend: backend == "torch")
    return tmp_path / "keras.json"


@pytest.mark.parametrize("written", [None, '{"backend": "tensorflow"}', "{}", "[]", "{", '{"backend": 3}'])
def test_a_backend_that_keras_wrote_of_itself_was_said_by_nobody(
    keras_json: Path, written: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if written is not None:
        keras_json.write_text(written)
    monkeypatch.setattr(importlib, "import_module", lambda _: os.environ["KERAS_BACKEND"])
    assert keras_framework.import_keras("model.keras") == "torch"


@pytest.mark.parametrize("by", ["file", "environment"])
def test_a_backend_that_is_named_and_not_installed_is_told(
    keras_json: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "file":
        keras_json.write_text('{"backend": "jax"}')
    else:
        monkeypatch.setenv("KERAS_BACKEND", "jax")

    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'jax'", name="jax")

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtra, match=r"needs Keras on jax, .* set KERAS_BACKEND to one that is: torch"):
        keras_framework.import_keras("model.keras")
