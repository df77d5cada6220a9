import subprocess
import sys
from contextlib import suppress

import catboost
import joblib
import numpy as np
import pandas as pd
import pytest
from tests import boosters
from tests.boosters import N_ROWS, ask

from demijohn.errors import LoadError, SignatureMismatch
from demijohn.messages import Records
from demijohn.runtimes import inspect, load, wrap

MAKERS = {
    "binary": (boosters.cat_binary, lambda: boosters.tumours()[0]),
    "multiple": (boosters.cat_multiple, lambda: boosters.irises()[0]),
    "table": (boosters.cat_table, boosters.cat_rows),
}


def saved(model, path):
    model.save_model(str(path))
    return path


def contributions(model, rows, **options):
    return model.get_feature_importance(catboost.Pool(rows, **options), type="ShapValues")


@pytest.mark.parametrize("n_rows", N_ROWS)
@pytest.mark.parametrize("name", list(MAKERS))
def test_a_file_of_a_classifier_is_a_classifier(tmp_path, name, n_rows):
    make, data = MAKERS[name]
    model, rows = make(), data()[:n_rows]
    path = saved(model, tmp_path / "m.cbm")
    runtime = load(path)
    assert (inspect(path).format, inspect(path).runs_code, runtime.framework) == (
        "catboost",
        False,
        "catboost",
    )
    assert np.array_equal(ask(runtime, "predict", rows), model.predict(rows))
    assert np.array_equal(ask(runtime, "predict_proba", rows), model.predict_proba(rows))
    assert np.array_equal(ask(runtime, "margin", rows), model.predict(rows, prediction_type="RawFormulaVal"))
    assert np.array_equal(ask(runtime, "leaf", rows), model.calc_leaf_indexes(rows))
    assert np.array_equal(ask(runtime, "predict_log_proba", rows), model.predict_log_proba(rows))
    for method in ("predict_proba", "predict_log_proba"):
        assert runtime.classes(method) == model.classes_.tolist()


def test_contributions_are_catboosts_own():
    rows = boosters.irises()[0][:9]
    found = ask(wrap(boosters.cat_multiple()), "contributions", rows)
    assert found.shape == (9, 3, 5)
    assert np.array_equal(found, contributions(boosters.cat_multiple(), rows))
    table = boosters.cat_rows()[:9]
    found = ask(wrap(boosters.cat_table()), "contributions", table)
    assert np.array_equal(found, contributions(boosters.cat_table(), table, cat_features=["color"]))


def test_a_regressor_predicts_from_every_source(tmp_path):
    model, rows = boosters.cat_regressor(), boosters.diabetes()[0][:64]
    joblib.dump(model, tmp_path / "m.joblib")
    for runtime in (wrap(model), load(saved(model, tmp_path / "m.cbm")), load(tmp_path / "m.joblib")):
        assert np.array_equal(ask(runtime, "predict", rows), model.predict(rows))
        assert runtime.methods == ("predict", "margin", "leaf", "contributions")


def test_categories_are_texts_and_unknown_ones_are_answered_as_catboost_does():
    model, rows = boosters.cat_table(), boosters.cat_rows()[1:2]
    runtime = wrap(model)
    assert [spec.dtype for spec in runtime.signature.inputs] == ["float64", "str", "float64"]
    unknown = rows.assign(color="violet")
    assert np.array_equal(ask(runtime, "predict_proba", unknown), model.predict_proba(unknown))
    record = boosters.records(rows)[0]
    with pytest.raises(SignatureMismatch, match="color"):  # CatBoost itself refuses a missing category
        runtime.signature.validate(Records([record | {"color": None}]))


def test_whole_numbers_are_categories_where_an_example_says_so():
    frame = pd.DataFrame({"kind": [1, 2, 3, 4] * 20, "size": np.arange(80.0)})
    model = boosters._cat(catboost.CatBoostClassifier, cat_features=["kind"]).fit(frame, frame["kind"] > 2)
    runtime = wrap(model, example=frame[:2])
    assert runtime.signature.inputs[0].dtype == "int64"
    assert np.array_equal(ask(runtime, "predict_proba", frame), model.predict_proba(frame))
    as_texts = frame.assign(kind=frame["kind"].astype(str).astype(object))
    assert np.array_equal(ask(wrap(model), "predict_proba", as_texts), model.predict_proba(frame))


def test_texts_are_served():
    frame = pd.DataFrame({"words": ["good fine nice", "bad awful poor"] * 40, "size": np.arange(80.0)})
    model = boosters._cat(catboost.CatBoostClassifier, text_features=["words"]).fit(frame, [1, 0] * 40)
    runtime = wrap(model)
    assert runtime.signature.inputs[0].dtype == "str"
    assert np.array_equal(ask(runtime, "predict_proba", frame[:9]), model.predict_proba(frame[:9]))


def test_what_is_not_fitted_or_no_model_is_refused():
    with pytest.raises(LoadError, match="not fitted"):
        wrap(catboost.CatBoostClassifier())
    with pytest.raises(LoadError, match="no model"):
        wrap(catboost.Pool(np.ones((2, 2))))


def test_the_digest_tells_models_apart():
    digests = {wrap(make()).digest() for make, _ in MAKERS.values()}
    assert len(digests) == 3
    assert None not in digests


# Hostile files ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["binary", "table"])
def test_truncated_and_flipped_bytes_are_refused_or_answer(tmp_path, name):
    rng = np.random.default_rng(0)
    content = saved(MAKERS[name][0](), tmp_path / "m.cbm").read_bytes()
    path = tmp_path / "broken.cbm"
    n_loaded = 0
    for turn in range(12):
        broken = bytearray(content[: rng.integers(20, len(content))] if turn % 2 else content)
        for place in rng.integers(8, len(broken), 0 if turn % 2 else 30):
            broken[place] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        with suppress(LoadError):
            load(path)
            n_loaded += 1
    assert n_loaded <= 6  # what is truncated never is


@pytest.mark.parametrize("content", [b"CBM1", b"CBM1\xff\xff\xff\x7f" + bytes(99), b"CBM1\x04\0\0\0abcd"])
def test_what_only_begins_as_a_model_is_refused(tmp_path, content):
    path = tmp_path / "m.cbm"
    path.write_bytes(content)
    with pytest.raises(LoadError, match="cannot be read"):
        load(path)


def test_a_missing_framework_names_its_extra(tmp_path):
    path = saved(boosters.cat_binary(), tmp_path / "m.cbm")
    program = (
        "import sys; sys.modules['catboost'] = None\n"
        "from demijohn import runtimes\n"
        f"runtimes.load({str(path)!r})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'pip install "demijohn[catboost]"' in run.stderr.splitlines()[-1]
