"""The engines for boosters answer as the booster does: at thresholds, with missing values, by category."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_diabetes
from tests import boosters
from tests.accelerated import engines_of, whys

from demijohn import kernels
from demijohn.acceleration import Candidate, StepAside, candidates
from demijohn.acceleration import boosters as engines
from demijohn.acceleration.engine import Unconvertible
from demijohn.acceleration.parity import judge_part
from demijohn.acceleration.thresholds import draw_rows, threshold_rows
from demijohn.config import Settings
from demijohn.lifecycle import Lifecycle
from demijohn.predictor import Predictor
from demijohn.runtimes import wrap

needs_kernel = pytest.mark.skipif(not kernels.IS_BUILT, reason="the kernels are not built")
MODELS = {
    "xgb_binary": boosters.xgb_binary,
    "xgb_multiple": boosters.xgb_multiple,
    "xgb_table": boosters.xgb_table,
    "xgb_booster": lambda: boosters.xgb_binary().get_booster(),
    "lgb_binary": boosters.lgb_binary,
    "lgb_multiple": boosters.lgb_multiple,
    "lgb_table": boosters.lgb_table,
    "lgb_booster": lambda: boosters.lgb_binary().booster_,
    "cat_binary": boosters.cat_binary,
    "cat_multiple": boosters.cat_multiple,
    "cat_regressor": boosters.cat_regressor,
}


@cache
def runtime(name):
    return wrap(MODELS[name]())


def offered(model, engine) -> dict[str, Candidate]:
    return {one.method: one for one in candidates(model, is_fast=False) if one.engine == engine}


def are_categories(ensemble, rows):
    """Say which rows hold categories that a set can hold; the kernel leaves others to the booster."""
    if ensemble.known_categories is None:
        return np.ones(len(rows), bool)
    cells = rows[:, ensemble.known_categories.any(axis=1)]
    return (np.isnan(cells) | ((cells >= 0) & (cells < 256) & (np.floor(cells) == cells))).all(axis=1)


@needs_kernel
@pytest.mark.parametrize("name", list(MODELS))
def test_the_kernel_says_what_the_booster_says(name):
    model = runtime(name)
    tolerance = 1e-5 if name.startswith("xgb") else 1e-12
    for method, candidate in offered(model, "kernel").items():
        engine = candidate.build()
        (part,) = engine.parts
        ensemble = part.ensemble
        base = draw_rows(ensemble, 500, 7)
        rows = np.concatenate([base, threshold_rows(ensemble, base, max_rows=5_000, seed=7).rows])
        rows = rows[are_categories(ensemble, rows)]
        for n_rows in (1, 3, 8, 64, len(rows)):
            batch = np.ascontiguousarray(rows[-n_rows:])
            found, expected = part.step(batch), model.plain(method, batch)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape), method
            if found.dtype.kind == "f" and method != "leaf":
                assert np.allclose(found, expected, rtol=tolerance, atol=tolerance), method
            else:
                assert np.array_equal(found, expected), method


@needs_kernel
@pytest.mark.parametrize("name", ["xgb_binary", "xgb_table", "lgb_binary", "lgb_table", "cat_binary"])
def test_margins_are_equal_to_the_last_bit(name):
    model = runtime(name)
    (part,) = offered(model, "kernel")["margin"].build().parts
    rows = draw_rows(part.ensemble, 2_000, 3)
    assert np.array_equal(part.step(rows), model.plain("margin", rows))


@pytest.mark.parametrize("engine", ["onnx", "treelite"])
@pytest.mark.parametrize("name", ["xgb_table", "lgb_table", "cat_multiple"])
def test_other_engines_are_proved_for_numbers(name, engine):
    built = offered(runtime(name), engine)["predict_proba"].build()
    assert judge_part(built.parts[0], tolerance=built.tolerance, budget_s=0.5).why_not is None


def test_sums_in_double_name_no_labels_of_sums_in_float32():
    with pytest.raises(Unconvertible, match="another label"):
        offered(runtime("xgb_binary"), "treelite")["predict"].build()
    assert offered(runtime("lgb_binary"), "treelite")["predict"].build().name == "treelite"


@needs_kernel
def test_a_category_that_no_set_holds_is_the_boosters():
    (part,) = offered(runtime("lgb_table"), "kernel")["margin"].build().parts
    rows = draw_rows(part.ensemble, 1, 0)
    for odd in (0.5, -1.0, 256.0, 1e300):
        rows[0, 2] = odd
        with pytest.raises(StepAside):
            part.step(rows)


@needs_kernel
def test_two_labels_that_rounding_could_swap_are_the_boosters_to_name():
    def close(sums):
        return None

    with pytest.raises(StepAside):
        engines._sure(close)(np.zeros((1, 1)))


def test_what_cannot_be_read_is_left_to_the_framework():
    matrix, y = load_diabetes(return_X_y=True)
    dart = xgboost.XGBRegressor(n_estimators=3, booster="dart", n_jobs=1).fit(matrix, y)
    vectors = xgboost.XGBRegressor(n_estimators=3, multi_strategy="multi_output_tree", n_jobs=1)
    vectors.fit(matrix, np.column_stack([y, -y]))
    for model, why in ((dart, "dart"), (vectors, "vectors"), (boosters.cat_table(), "only CatBoost")):
        with pytest.raises(Unconvertible, match=why):
            offered(wrap(model), "kernel")["margin"].build()


def test_contributions_are_the_frameworks_own():
    assert "contributions" not in {one.method for one in candidates(runtime("lgb_binary"), is_fast=False)}


@pytest.mark.parametrize("name", ["xgb_binary", "lgb_table"])
def test_a_wrapper_can_be_gone_round(name):
    model = runtime(name)
    rows = model.encode(boosters.tensors_of(model, _rows_of(name)[:64]))
    for method in ("predict", "predict_proba"):
        engine = offered(model, "unchecked")[method].build()
        assert not engine.is_whole
        assert np.array_equal(engine.step(rows), getattr(MODELS[name](), method)(_frame_of(name)[:64]))
    assert not offered(runtime("xgb_booster"), "unchecked")


def _frame_of(name):
    return boosters.tumours()[0] if name == "xgb_binary" else boosters.table()[0]


def _rows_of(name):
    frame = _frame_of(name)
    return frame.assign(is_new=frame["is_new"].astype(float)) if name == "lgb_table" else frame


@needs_kernel
@pytest.mark.parametrize("name", ["xgb_multiple", "lgb_table", "cat_regressor"])
def test_the_plan_takes_the_kernel_for_a_row(name):
    predictor = Predictor("m", "1", runtime(name), Settings(), Lifecycle())
    predictor.settle()
    assert engines_of(predictor)[0] == "kernel", whys(predictor)
