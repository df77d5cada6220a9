import subprocess
import sys

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
from tests import boosters
from tests.boosters import N_ROWS, ask

from demijohn.errors import LoadError
from demijohn.messages import Records
from demijohn.runtimes import inspect, lightgbm_trees, load, wrap


def saved(model, path):
    getattr(model, "booster_", model).save_model(path)
    return path


def numbers(rows):
    """LightGBM does not remember that a column was one of bools."""
    return rows.assign(is_new=rows["is_new"].astype(float)) if hasattr(rows, "assign") else rows


@pytest.mark.parametrize("n_rows", N_ROWS)
def test_a_file_answers_as_the_booster_that_it_holds(tmp_path, n_rows):
    model, rows = boosters.lgb_binary(), boosters.tumours()[0][:n_rows]
    booster = model.booster_
    path = saved(model, tmp_path / "m.txt")
    runtime = load(path)
    assert (inspect(path).format, inspect(path).runs_code, runtime.framework) == (
        "lightgbm",
        False,
        "lightgbm",
    )
    assert np.array_equal(ask(runtime, "predict", rows), booster.predict(rows))
    assert np.array_equal(ask(runtime, "predict_proba", rows), model.predict_proba(rows))
    assert np.array_equal(ask(runtime, "margin", rows), booster.predict(rows, raw_score=True))
    assert np.array_equal(ask(runtime, "leaf", rows), booster.predict(rows, pred_leaf=True))
    assert np.array_equal(ask(runtime, "contributions", rows), booster.predict(rows, pred_contrib=True))
    assert runtime.classes("predict_proba") == [0, 1]


@pytest.mark.parametrize("n_rows", N_ROWS)
@pytest.mark.parametrize("make", [boosters.lgb_binary, boosters.lgb_table, boosters.lgb_multiple])
def test_a_wrapper_names_its_labels(tmp_path, make, n_rows):
    model = make()
    data = {"lgb_binary": boosters.tumours, "lgb_table": boosters.table, "lgb_multiple": boosters.irises}
    rows = data[make.__name__]()[0][:n_rows]
    joblib.dump(model, tmp_path / "m.joblib")
    for runtime in (wrap(model), load(tmp_path / "m.joblib")):
        assert runtime.framework == "lightgbm"
        for method in ("predict", "predict_proba"):
            assert np.array_equal(ask(runtime, method, numbers(rows)), getattr(model, method)(rows))
        assert runtime.classes("predict_proba") == model.classes_.tolist()


@pytest.mark.skipif(
    not hasattr(lightgbm.LGBMClassifier, "decision_function"), reason="LightGBM 4.7 brought it"
)
@pytest.mark.parametrize("make", [boosters.lgb_binary, boosters.lgb_multiple])
def test_a_classifier_has_the_decision_function_of_its_wrapper(make):
    model = make()
    rows = (boosters.tumours if make is boosters.lgb_binary else boosters.irises)()[0][:9]
    runtime = wrap(model)
    assert np.array_equal(ask(runtime, "decision_function", rows), model.decision_function(rows))
    assert runtime.classes("decision_function") == model.classes_.tolist()
    assert "decision_function" not in wrap(model.booster_).methods


def test_a_wrapper_of_named_columns_describes_its_answers_and_shows_an_example():
    runtime = wrap(boosters.lgb_table())
    assert set(runtime.signature.outputs) == set(runtime.methods)
    assert (runtime.fails_on_example, runtime.warnings) == (False, ())


@pytest.mark.parametrize("source", ["file", "wrapper"])
def test_an_example_gives_back_the_blanks_of_the_columns_names(tmp_path, source):
    rows = boosters.table()[0][["size", "color"]].set_axis(["size in m", "its color"], axis=1)
    model = lightgbm.LGBMRegressor(n_estimators=4, verbose=-1, num_threads=1).fit(rows, np.arange(len(rows)))
    if source == "file":
        runtime = load(saved(model, tmp_path / "m.txt"), example=rows.head())
    else:
        runtime = wrap(model, example=rows.head())
    assert runtime.signature.columns == ("size in m", "its color")
    assert np.array_equal(ask(runtime, "predict", rows), model.predict(rows))
    as_kept = rows.set_axis(["size_in_m", "its_color"], axis=1)
    assert wrap(model, example=as_kept).signature.columns == ("size_in_m", "its_color")


def test_several_classes_have_contributions_each():
    model, rows = boosters.lgb_multiple(), boosters.irises()[0][:9]
    found = ask(wrap(model), "contributions", rows)
    assert found.shape == (9, 3, 5)
    assert np.array_equal(found.reshape(9, -1), model.predict(rows, pred_contrib=True))


@pytest.mark.parametrize("n_rows", N_ROWS)
def test_a_file_knows_the_categories_of_a_dataframe(tmp_path, n_rows):
    model, rows = boosters.lgb_table(), boosters.table()[0][:n_rows]
    runtime = load(saved(model, tmp_path / "m.txt"))
    specs = {spec.name: spec for spec in runtime.signature.inputs}
    assert specs["color"].categories == ("blue", "green", "red")
    assert specs["grade"].categories == (3, 7, 11)
    for method, options in (
        ("predict", {}),
        ("margin", {"raw_score": True}),
        ("contributions", {"pred_contrib": True}),
    ):
        assert np.array_equal(ask(runtime, method, numbers(rows)), model.booster_.predict(rows, **options))


def test_an_unknown_category_counts_as_missing(tmp_path):
    model, rows = boosters.lgb_table(), boosters.table()[0][1:2]
    unknown = rows.assign(color=pd.Categorical(["violet"]))
    for runtime in (wrap(model), load(saved(model, tmp_path / "m.txt"))):
        record = boosters.records(rows)[0] | {"color": "violet", "is_new": float(rows["is_new"].iloc[0])}
        tensors = runtime.signature.validate(Records([record]))
        assert np.array_equal(
            runtime.run("predict_proba", tensors, {})["predict_proba"], model.predict_proba(unknown)
        )


def test_columns_that_cannot_be_told_need_an_example(tmp_path):
    frame, labels = boosters.table()
    ordered = frame.assign(grade=frame["grade"].cat.as_ordered())  # numbers to LightGBM, categories to pandas
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(ordered, labels)
    path = saved(model, tmp_path / "m.txt")
    with pytest.raises(LoadError, match="give example="):
        load(path)
    runtime = load(path, example=ordered[:3])
    assert np.array_equal(ask(runtime, "predict", ordered[:9]), model.booster_.predict(ordered[:9]))


def test_regressors_rankers_and_forests_are_served(tmp_path):
    matrix, y = boosters.diabetes()
    options = {"n_estimators": 5, "num_leaves": 6, "n_jobs": 1, "verbose": -1}
    poisson = lightgbm.LGBMRegressor(objective="poisson", **options).fit(matrix, y)
    forest = lightgbm.LGBMRegressor(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6, **options).fit(
        matrix, y
    )
    ranker = lightgbm.LGBMRanker(**options).fit(matrix, (y > 150).astype(int), group=[42] * 10 + [22])
    for model in (poisson, forest, ranker):
        for runtime in (wrap(model), load(saved(model, tmp_path / "m.txt"))):
            assert np.array_equal(ask(runtime, "predict", matrix[:64]), model.predict(matrix[:64]))
            assert "predict_proba" not in runtime.methods


def test_what_is_not_fitted_or_no_model_is_refused():
    with pytest.raises(LoadError, match="not fitted"):
        wrap(lightgbm.LGBMClassifier())
    with pytest.raises(LoadError, match="no model"):
        wrap(lightgbm.Dataset(np.ones((2, 2))))


def test_the_digest_tells_models_apart():
    digests = {
        wrap(one).digest()
        for one in (boosters.lgb_binary(), boosters.lgb_binary().booster_, boosters.lgb_table())
    }
    assert len(digests) == 3
    assert None not in digests


# Hostile files ------------------------------------------------------------------------------


def hostile_texts():
    text = boosters.lgb_table().booster_.model_to_string()
    yield "a huge tree", text.replace("num_leaves=", "num_leaves=2000000000 #", 1)
    yield "a child outside", text.replace("left_child=", "left_child=99999 ", 1)
    yield "a column outside", text.replace("split_feature=", "split_feature=7000000 ", 1)
    yield "more columns", text.replace("max_feature_idx=4", "max_feature_idx=400000000")
    yield "no classes", text.replace("num_tree_per_iteration=1", "num_tree_per_iteration=0")
    yield "many classes", text.replace("num_tree_per_iteration=1", "num_tree_per_iteration=2000000000")
    yield "categories outside", text.replace("cat_boundaries=0", "cat_boundaries=123456789", 1)
    yield "no trees", text[: text.index("\nTree=0")]
    yield "no numbers", text.replace("threshold=", "threshold=a b c ", 1)
    yield "half", text[: len(text) // 2]
    yield "a head", "tree\nversion=v4\n"


@pytest.mark.parametrize(("why", "text"), list(hostile_texts()), ids=lambda it: it if len(it) < 20 else "")
def test_a_broken_text_is_refused(tmp_path, why, text):
    path = tmp_path / "m.txt"
    path.write_text(text)
    with pytest.raises(LoadError, match="cannot be read"):
        load(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "m.txt"
    path.write_bytes(b"tree\nversion=v4\n\xff\xfe")
    with pytest.raises(LoadError, match="no text"):
        load(path)


def test_a_child_that_leads_back_is_found_before_lightgbm_follows_it():
    text = boosters.lgb_binary().booster_.model_to_string()
    start = text.index("left_child=") + len("left_child=")
    stop = text.index("\n", start)
    children = text[start:stop].split()
    children[-1] = "0"
    broken = lightgbm_trees.parse(text[:start] + " ".join(children) + text[stop:])
    with pytest.raises(LoadError, match=r"leads back|outside"):
        lightgbm_trees.check(broken)


def test_a_missing_framework_names_its_extra(tmp_path):
    path = saved(boosters.lgb_binary(), tmp_path / "m.txt")
    program = (
        "import sys; sys.modules['lightgbm'] = None\n"
        "from demijohn import runtimes\n"
        f"runtimes.load({str(path)!r})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'pip install "demijohn[lightgbm]"' in run.stderr.splitlines()[-1]
