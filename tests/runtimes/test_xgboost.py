import json
import subprocess
import sys
from contextlib import suppress

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost
from tests import boosters
from tests.boosters import N_ROWS, ask

from demijohn.errors import ConfigurationError, LoadError, SignatureMismatch
from demijohn.messages import Records
from demijohn.runtimes import inspect, load, wrap


def saved(model, path):
    model.save_model(path)
    return path


def contributions(model, rows, **options):
    booster = model.get_booster()
    data = xgboost.DMatrix(rows, nthread=1, enable_categorical=True)
    return booster.predict(data, pred_contribs=True, **options)


@pytest.mark.parametrize("suffix", [".ubj", ".json"])
@pytest.mark.parametrize("n_rows", N_ROWS)
def test_a_file_of_a_wrapper_answers_as_the_wrapper(tmp_path, suffix, n_rows):
    model, rows = boosters.xgb_binary(), boosters.tumours()[0][:n_rows]
    path = saved(model, tmp_path / f"m{suffix}")
    runtime = load(path)
    assert (inspect(path).format, inspect(path).runs_code, runtime.framework) == ("xgboost", False, "xgboost")
    assert runtime.methods == ("predict", "predict_proba", "margin", "leaf", "contributions")
    assert np.array_equal(ask(runtime, "predict", rows), model.predict(rows))
    assert np.array_equal(ask(runtime, "predict_proba", rows), model.predict_proba(rows))
    assert np.array_equal(ask(runtime, "margin", rows), model.predict(rows, output_margin=True))
    assert np.array_equal(ask(runtime, "leaf", rows), model.apply(rows))
    assert np.array_equal(ask(runtime, "contributions", rows), contributions(model, rows))
    assert runtime.classes("predict_proba") == [0, 1]
    assert runtime.classes("predict") is None


def test_a_file_of_a_booster_answers_as_the_booster(tmp_path):
    booster, rows = boosters.xgb_binary().get_booster(), boosters.tumours()[0][:64]
    runtime = load(saved(booster, tmp_path / "m.ubj"))
    expected = booster.predict(xgboost.DMatrix(rows))
    assert np.array_equal(ask(runtime, "predict", rows), expected)
    assert np.array_equal(ask(runtime, "predict_proba", rows), np.column_stack([1 - expected, expected]))


def test_several_classes_have_a_column_each(tmp_path):
    model, rows = boosters.xgb_multiple(), boosters.irises()[0][:64]
    for given in (load(saved(model, tmp_path / "m.json")), wrap(model)):
        assert np.array_equal(ask(given, "predict", rows), model.predict(rows))
        assert np.array_equal(ask(given, "predict_proba", rows), model.predict_proba(rows))
        assert ask(given, "contributions", rows).shape == (64, 3, 5)
    raw = wrap(model.get_booster())
    assert np.array_equal(ask(raw, "predict", rows), model.predict_proba(rows))
    assert raw.classes("predict_proba") == [0, 1, 2]


@pytest.mark.parametrize("n_rows", N_ROWS)
def test_a_table_with_categories_and_missing_values_is_answered_as_a_dataframe(tmp_path, n_rows):
    model, rows = boosters.xgb_table(), boosters.table()[0][:n_rows]
    runtime = load(saved(model, tmp_path / "m.ubj"))
    specs = {spec.name: spec for spec in runtime.signature.inputs}
    assert specs["color"].categories == ("blue", "green", "red")
    assert specs["grade"].categories == (3, 7, 11)
    assert [spec.dtype for spec in specs.values()] == ["float64", "float64", "str", "bool", "int64"]
    assert all(spec.nullable for spec in specs.values())
    for method in ("predict", "predict_proba"):
        assert np.array_equal(ask(runtime, method, rows), getattr(model, method)(rows))
    assert np.array_equal(ask(runtime, "contributions", rows), contributions(model, rows))


def test_a_category_that_xgboost_would_refuse_does_not_fit():
    runtime = wrap(boosters.xgb_table())
    record = boosters.records(boosters.table()[0][1:2])[0]
    with pytest.raises(SignatureMismatch, match=r"color.*violet"):
        runtime.signature.validate(Records([record | {"color": "violet"}]))


def fitted_on_cities():
    cities = pd.Categorical(["Köln", "Oslo", "São Paulo"] * 20, categories=["Oslo", "Köln", "São Paulo"])
    rows = pd.DataFrame({"city": cities, "age": np.arange(60.0)})
    return xgboost.XGBClassifier(n_estimators=3, enable_categorical=True, n_jobs=1).fit(
        rows, [0, 1, 1] * 20
    ), rows


def test_categories_beyond_ascii_are_the_examples_since_xgboost_keeps_a_part(tmp_path):
    model, rows = fitted_on_cities()
    for runtime in (
        wrap(model, example=rows.head()),
        load(saved(model, tmp_path / "m.ubj"), example=rows.head()),
    ):
        assert runtime.signature.inputs[0].categories == ("Oslo", "Köln", "São Paulo")
        assert np.array_equal(ask(runtime, "predict_proba", rows), model.predict_proba(rows))


@pytest.mark.parametrize("other", [None, ["Köln", "Oslo", "São Paulo"], ["Oslo", "Køln", "São Paulo"]])
def test_categories_that_xgboost_keeps_in_part_are_not_made_up(tmp_path, other):
    model, rows = fitted_on_cities()
    example = None if other is None else rows.assign(city=pd.Categorical(["Oslo"] * 60, categories=other))
    why = "in part, those of 'city'; give example="
    with pytest.raises(LoadError, match=why):
        wrap(model, example=example)
    with pytest.raises(LoadError, match=why):
        load(saved(model, tmp_path / "m.ubj"), example=example)


def test_a_joblib_file_of_a_wrapper_finds_its_runtime(tmp_path):
    model, rows = boosters.xgb_binary(), boosters.tumours()[0][:64]
    joblib.dump(model, tmp_path / "m.joblib")
    runtime = load(tmp_path / "m.joblib")
    assert runtime.framework == "xgboost"
    assert np.array_equal(ask(runtime, "predict_proba", rows), model.predict_proba(rows))


def test_a_wrapper_that_stopped_early_uses_its_best_round():
    matrix, y = boosters.tumours()
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, n_jobs=1)
    model.fit(matrix[:300], y[:300], eval_set=[(matrix[300:], y[300:])], verbose=False)
    runtime = wrap(model)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert np.array_equal(ask(runtime, "predict_proba", matrix[:9]), model.predict_proba(matrix[:9]))
    assert ask(runtime, "leaf", matrix[:9]).shape == (9, model.best_iteration + 1)
    assert len(runtime.read_trees().trees) == model.best_iteration + 1


def test_rankers_linear_boosters_and_several_outputs_are_served():
    matrix, y = boosters.diabetes()
    names = [f"c{index}" for index in range(matrix.shape[1])]
    ranker = xgboost.XGBRanker(n_estimators=3, n_jobs=1).fit(
        matrix, y > 150, qid=np.arange(len(matrix)) // 50
    )
    both = xgboost.XGBRegressor(n_estimators=3, n_jobs=1).fit(matrix, np.column_stack([y, -y]))
    linear = xgboost.XGBRegressor(n_estimators=3, booster="gblinear", n_jobs=1).fit(
        pd.DataFrame(matrix, columns=names), y
    )
    for model in (ranker, both):
        runtime = wrap(model)
        assert np.array_equal(ask(runtime, "predict", matrix[:9]), model.predict(matrix[:9]))
        assert "predict_proba" not in runtime.methods
    frame = pd.DataFrame(matrix[:9], columns=names)
    runtime = wrap(linear)
    assert np.array_equal(ask(runtime, "predict", frame), linear.predict(frame))
    assert "leaf" not in runtime.methods


def test_the_value_that_stands_for_missing_is_the_models_own():
    matrix, y = boosters.diabetes()
    model = xgboost.XGBRegressor(n_estimators=3, missing=-1.0, n_jobs=1).fit(
        np.where(matrix < -0.05, -1.0, matrix), y
    )
    rows = np.where(matrix[:9] < 0, -1.0, matrix[:9])
    assert np.array_equal(ask(wrap(model), "predict", rows), model.predict(rows))


def test_the_users_model_is_not_changed():
    model = xgboost.XGBClassifier(n_estimators=2, n_jobs=2).fit(*boosters.irises())
    before = model.get_booster().save_config()
    ask(wrap(model), "predict", boosters.irises()[0][:9])
    assert model.get_booster().save_config() == before
    assert model.n_jobs == 2


def test_what_is_not_fitted_or_no_model_is_refused():
    with pytest.raises(LoadError, match="not fitted"):
        wrap(xgboost.XGBClassifier())
    with pytest.raises(LoadError, match="no model"):
        wrap(xgboost.DMatrix(np.ones((2, 2))))
    with pytest.raises(ConfigurationError, match="for functions"):
        wrap(boosters.xgb_binary(), batch=True)
    with pytest.raises(ConfigurationError, match="3 columns"):
        wrap(boosters.xgb_binary(), example=[[1.0, 2.0, 3.0]])


def test_an_example_names_the_columns():
    matrix, _ = boosters.irises()
    frame = pd.DataFrame(matrix[:3], columns=["a", "b", "c", "d"])
    runtime = wrap(boosters.xgb_multiple(), example=frame)
    assert runtime.signature.columns == ("a", "b", "c", "d")
    assert np.array_equal(
        ask(runtime, "predict_proba", frame), boosters.xgb_multiple().predict_proba(matrix[:3])
    )


def test_the_digest_tells_models_apart():
    model = boosters.xgb_binary()
    digests = {wrap(one).digest() for one in (model, model.get_booster(), boosters.xgb_multiple())}
    assert len(digests) == 3
    assert None not in digests
    assert wrap(model).digest() == wrap(model).digest()


class Stranger(xgboost.XGBClassifier):
    """Its predict is known to nobody."""


def test_a_wrapper_of_unknown_code_has_no_digest():
    model = Stranger(n_estimators=2, n_jobs=1).fit(*boosters.irises())
    runtime = wrap(model)
    assert (runtime.framework, runtime.digest()) == ("xgboost", None)


# Hostile files ------------------------------------------------------------------------------


def hostile_documents():
    def edited(change):
        document = json.loads(bytes(boosters.xgb_table().get_booster().save_raw("json")))
        change(document["learner"])
        return json.dumps(document).encode()

    def tree(learner):
        return learner["gradient_booster"]["model"]["trees"][0]

    yield "a child outside", edited(lambda it: tree(it)["left_children"].__setitem__(0, 10**6))
    yield "a circle", edited(lambda it: tree(it)["left_children"].__setitem__(1, 0))
    yield "a column outside", edited(lambda it: tree(it)["split_indices"].__setitem__(0, 10**6))
    yield (
        "an output outside",
        edited(lambda it: it["gradient_booster"]["model"]["tree_info"].__setitem__(0, 9)),
    )
    yield "a huge count", edited(lambda it: tree(it)["tree_param"].__setitem__("num_nodes", "2000000000"))
    yield "another kind", edited(lambda it: it["gradient_booster"].__setitem__("model", []))
    yield "no learner", b'{"learner": 3, "version": [3, 2, 0]}'
    yield "deep", b'{"learner":' + b"[" * 100_000
    yield "no more", b'{"learner":{'
    yield (
        "a wrapper of no kind",
        edited(lambda it: it["attributes"].__setitem__("scikit_learn", '{"_estimator_type": "os.system"}')),
    )


@pytest.mark.parametrize(
    ("why", "content"), list(hostile_documents()), ids=lambda it: it if isinstance(it, str) else ""
)
def test_a_broken_document_is_refused(tmp_path, why, content):
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with pytest.raises(LoadError, match="cannot be read"):
        load(path)


def test_truncated_and_flipped_bytes_are_refused_or_answer(tmp_path):
    rng = np.random.default_rng(0)
    content = saved(boosters.xgb_table(), tmp_path / "m.ubj").read_bytes()
    path = tmp_path / "broken.ubj"
    n_loaded = 0
    for turn in range(12):
        broken = bytearray(content[: rng.integers(20, len(content))] if turn % 2 else content)
        for place in rng.integers(20, len(broken), 0 if turn % 2 else 9):
            broken[place] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        with suppress(LoadError):
            load(path)
            n_loaded += 1
    assert n_loaded <= 6  # what is truncated never is


def test_a_missing_framework_names_its_extra(tmp_path):
    path = saved(boosters.xgb_multiple(), tmp_path / "m.ubj")
    program = (
        "import sys; sys.modules['xgboost'] = None\n"
        "from demijohn import runtimes\n"
        f"runtimes.load({str(path)!r})"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 'pip install "demijohn[xgboost]"' in run.stderr.splitlines()[-1]
