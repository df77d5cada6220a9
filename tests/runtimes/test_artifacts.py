import bz2
import gzip
import lzma
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
import zlib

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.cluster import DBSCAN
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from demijohn import runtimes
from demijohn.errors import LoadError, MissingExtra, UntrustedArtifact
from demijohn.runtimes import third_parties

X = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]])
MODEL = make_pipeline(StandardScaler(), LinearRegression()).fit(X, [1.0, 2.0, 3.0])
PICKLE = pickle.dumps(MODEL)


class Canary:
    """Whoever unpickles one leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def written(tmp_path, content, name="model.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def dumped(tmp_path, **options):
    path = tmp_path / "model.anything"
    joblib.dump(MODEL, path, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("form", "make"),
    [
        ("pickle", lambda _: PICKLE),
        ("pickle", lambda _: pickle.dumps(MODEL, protocol=2)),
        ("joblib", dumped),
        ("joblib", lambda tmp_path: dumped(tmp_path, compress=3)),
        ("joblib", lambda tmp_path: dumped(tmp_path, compress=("gzip", 3))),
        ("joblib", lambda tmp_path: dumped(tmp_path, compress=("bz2", 3))),
        ("joblib", lambda tmp_path: dumped(tmp_path, compress=("lzma", 3))),
        ("joblib", lambda tmp_path: dumped(tmp_path, compress=("xz", 3))),
        ("joblib", lambda _: gzip.compress(PICKLE)),
        ("joblib", lambda _: zlib.compress(PICKLE)),
        ("joblib", lambda _: bz2.compress(PICKLE)),
        ("joblib", lambda _: lzma.compress(PICKLE)),
        ("skops", lambda _: skops.io.dumps(MODEL)),
    ],
)
@pytest.mark.parametrize("name", ["model.joblib", "model.bin", "model"])
def test_the_format_is_told_by_the_content(tmp_path, form, make, name):
    path = written(tmp_path, make(tmp_path), name)
    artifact = runtimes.inspect(path)
    assert artifact.format == form
    assert artifact.runs_code is (form != "skops")
    assert artifact.size_bytes == path.stat().st_size
    assert len(artifact.sha256) == 64
    runtime = runtimes.load(path)
    assert runtime.run("predict", {"inputs": X}, {})["predict"].tolist() == MODEL.predict(X).tolist()
    assert runtime.framework_version == sklearn.__version__


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"age,job\n1,cook\n", "no known format"),
        (b"x,y\n1,2\n", "no known format"),
        (zlib.compress(b"hello"), "no known format"),
        (b"\x1f\x8bgarbage", "no known format"),
        (b"BZhgarbage", "no known format"),
        (b"\x89HDF\r\n\x1a\n", "Keras"),
        (b"PK\x03\x04 cut off", "no schema.json"),
        (pickle.dumps(1, protocol=0), "no known format"),
        (b"(lp0\n.", "protocol 0 or 1"),
        (b"\x80", "no known format"),
        (PICKLE[:100], "cannot be read"),
        (zlib.compress(PICKLE)[:200], "cannot be read"),
    ],
)
def test_a_file_that_is_no_model_is_one_clear_error(tmp_path, content, complaint):
    with pytest.raises(LoadError, match=complaint):
        runtimes.load(written(tmp_path, content))


def test_a_zip_without_a_schema_is_no_skops_file(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", PICKLE)
    with pytest.raises(LoadError, match=r"no schema\.json"):
        runtimes.inspect(path)


def test_what_is_no_readable_file_is_one_clear_error(tmp_path):
    with pytest.raises(LoadError, match="there is no such file"):
        runtimes.inspect(tmp_path / "absent")
    with pytest.raises(LoadError, match="is a folder"):
        runtimes.inspect(tmp_path)
    with pytest.raises(LoadError, match="null byte"):
        runtimes.inspect("a\0b")
    with pytest.raises(LoadError, match="Not a directory"):
        runtimes.inspect(written(tmp_path, b"x") / "inside")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LoadError, match="no regular file"):
        runtimes.inspect(tmp_path / "pipe")


def test_looking_at_a_file_runs_nothing_in_it_and_imports_no_framework(tmp_path):
    path = written(tmp_path, pickle.dumps(Canary(tmp_path / "canary")), "model.joblib")
    script = f"""
        import sys
        from demijohn import runtimes
        assert runtimes.inspect({str(path)!r}).runs_code
        assert not {{"sklearn", "joblib", "skops", "pandas", "scipy"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["model.skops", "model.joblib"])
def test_code_is_never_loaded_where_none_is_allowed(tmp_path, name):
    path = written(tmp_path, pickle.dumps(Canary(tmp_path / "canary")), name)
    with pytest.raises(UntrustedArtifact, match="is a pickle file, and loading one runs the code in it"):
        runtimes.load(path, allow_code=False)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "name", ["model.skops", "model.SKOPS", "model.onnx", "model.keras", "model.safetensors"]
)
def test_code_is_never_loaded_from_a_file_whose_name_promises_data(tmp_path, name):
    path = written(tmp_path, pickle.dumps(Canary(tmp_path / "canary")), name)
    with pytest.raises(
        UntrustedArtifact, match="file but a pickle file, and loading one runs the code in it"
    ):
        runtimes.load(path)
    assert not (tmp_path / "canary").exists()


def test_a_skops_file_loads_where_no_code_is_allowed(tmp_path):
    assert runtimes.load(written(tmp_path, skops.io.dumps(MODEL)), allow_code=False).warnings == ()


def pickle_of(module, name):
    """A pickle that names something, without having it."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b")R."


@pytest.mark.parametrize(
    ("module", "name", "complaint"),
    [
        ("company_models", "Scorer", "needs the module 'company_models'"),
        ("sklearn.gone", "Thing", "needs the module 'sklearn.gone'"),
        ("sklearn.linear_model", "Gone", "names a class or function that is not here: .*Gone"),
        ("__main__", "Mine", "names a class or function that is not here.*module of its own"),
    ],
)
def test_a_pickle_of_what_is_not_here_says_what_is_missing(tmp_path, module, name, complaint):
    with pytest.raises(LoadError, match=complaint):
        runtimes.load(written(tmp_path, pickle_of(module, name)))


@pytest.mark.parametrize(
    ("absent", "content"),
    [("sklearn", PICKLE), ("joblib", gzip.compress(PICKLE)), ("skops", skops.io.dumps(MODEL))],
)
def test_a_missing_framework_is_told_with_the_extra_that_brings_it(tmp_path, absent, content):
    path = written(tmp_path, content)
    script = f"""
        import sys
        from demijohn import errors, runtimes

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == {absent!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])

        sys.meta_path.insert(0, Absent())
        try:
            runtimes.load({str(path)!r})
        except errors.MissingExtra as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=True, capture_output=True, text=True
    )
    assert f"{path} needs {absent}, which is not installed" in done.stdout
    assert 'pip install "demijohn[sklearn]"' in done.stdout


def test_lz4_is_asked_for_by_name(tmp_path):
    with pytest.raises(MissingExtra, match="pip install lz4"):
        runtimes.load(written(tmp_path, b"\x04\x22\x4d\x18" + bytes(64)))


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ({"model": 1}, "A dict is no model"),
        ([1], "A list is no model"),
        (np.zeros(3), "A ndarray is no model"),
        (LinearRegression, "LinearRegression is a class; give a fitted instance"),
        (LinearRegression(), "This LinearRegression is not fitted"),
        (make_pipeline(StandardScaler(), LinearRegression()), "This Pipeline is not fitted"),
        (DBSCAN().fit(X), "DBSCAN has no prediction method"),
    ],
)
def test_a_file_that_holds_no_fitted_model_says_so(tmp_path, model, complaint):
    path = written(tmp_path, pickle.dumps(model))
    with pytest.raises(LoadError, match=complaint) as caught:
        runtimes.load(path)
    assert str(caught.value).startswith(str(path))


def aged(monkeypatch):
    """A model as an older scikit-learn would have saved it."""
    monkeypatch.setattr("sklearn.base.__version__", "1.5.0")
    old = pickle.dumps(MODEL)
    monkeypatch.undo()
    return old


def test_a_model_of_another_version_is_served_with_a_warning(tmp_path, monkeypatch):
    runtime = runtimes.load(written(tmp_path, aged(monkeypatch)))
    (warning,) = runtime.warnings
    assert warning.startswith(f"saved by scikit-learn 1.5.0, and this is {sklearn.__version__}: ")
    assert "StandardScaler" in warning
    assert "LinearRegression" in warning


def test_a_model_of_another_version_is_refused_where_versions_are_strict(tmp_path, monkeypatch):
    path = written(tmp_path, aged(monkeypatch))
    with pytest.raises(LoadError, match=r"saved by scikit-learn 1\.5\.0"):
        runtimes.load(path, strict_versions=True)
    assert runtimes.load(written(tmp_path, PICKLE), strict_versions=True).warnings == ()


def test_a_pickled_function_is_a_model(tmp_path):
    runtime = runtimes.load(written(tmp_path, pickle.dumps(os.path.basename)))
    assert runtime.framework == "function"
    assert runtime.signature.columns == ("p",)


def test_others_may_register_a_runtime(monkeypatch):
    class Model:
        __module__ = "theirs.models"

    class Theirs:
        name = "theirs"

        @staticmethod
        def load():
            return Theirs

        @staticmethod
        def wrap(model, **options):
            return ("adapted", model, options)

    def found(*, group, name="theirs"):
        assert (group, name) == ("demijohn.runtimes", "theirs")
        return [Theirs]

    monkeypatch.setattr(third_parties, "entry_points", found)
    assert runtimes.framework_of(Model()) == "theirs"
    assert runtimes.wrap(Model())[0] == "adapted"
