import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.acceleration.sklearn.comparing import answers_alike, steps_aside, tensors_of

from demijohn import kernels
from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.acceleration.sklearn.building import UNKNOWN
from demijohn.acceleration.sklearn.entry import codes_of, make_entry, text_columns
from demijohn.runtimes import wrap

FRAME = pd.DataFrame({"n": [1.5, 2.5, 3.5, 4.5] * 5, "t": ["a", "b", "c", "a"] * 5})
LABELS = np.arange(20) % 2


def table_model(frame=FRAME, **arguments):
    columns = ColumnTransformer([
        ("n", StandardScaler(), ["n"]), ("t", OneHotEncoder(handle_unknown="ignore", **arguments), ["t"]),
    ])  # fmt: skip
    return make_pipeline(columns, LogisticRegression()).fit(frame, LABELS)


@pytest.mark.parametrize("n_rows", [1, 3, 50])
def test_texts_become_codes_and_what_is_missing_nan(n_rows):
    runtime = wrap(table_model())
    codes = codes_of(runtime.estimator)
    assert sorted(codes) == ["a", "b", "c"]
    assert text_columns(runtime) == {1}
    tensors = {"n": np.full(n_rows, 0.5), "t": np.array(["b", None, "z"] * n_rows, dtype=object)[:n_rows]}
    rows = make_entry(runtime, codes)(tensors)
    wanted = np.array([[0.5, codes["b"]], [0.5, np.nan], [0.5, UNKNOWN]] * n_rows)[:n_rows]
    np.testing.assert_array_equal(rows, wanted)
    assert rows.flags.c_contiguous


def test_a_matrix_is_taken_as_it_is():
    runtime = wrap(StandardScaler().fit(np.eye(3)))
    rows = np.ones((2, 3))
    assert make_entry(runtime, {})({"inputs": rows}) is rows
    assert make_entry(runtime, {})({"inputs": np.asfortranarray(np.ones((2, 3)))}).flags.c_contiguous


def test_whole_numbers_beyond_a_floats_digits_are_the_frameworks():
    matrix = np.arange(12).reshape(4, 3) % 4
    engine, _ = answers_alike(OneHotEncoder(handle_unknown="ignore").fit(matrix), matrix, method="transform")
    assert steps_aside(engine, {"inputs": np.array([[1, 2, 2**53 + 1]])})
    assert steps_aside(engine, {"inputs": np.array([[1, 2, -(2**63)]])})


def test_a_matrix_of_texts_and_numbers_is_read_by_its_columns():
    matrix = np.array([["a", 1.5], ["b", 2.5], ["c", 3.5]] * 4, dtype=object)
    columns = ColumnTransformer(
        [("t", OneHotEncoder(handle_unknown="ignore"), [0]), ("n", StandardScaler(), [1])]
    )
    engine, _ = answers_alike(columns.fit(matrix), matrix, method="transform", tolerance=0)
    for strange in (["a", None], [None, 1.0], [1.0, 1.0], ["a", "b"], ["a", True]):
        assert steps_aside(engine, {"inputs": np.array([strange], dtype=object)})


def test_a_missing_text_that_is_written_otherwise_is_the_frameworks():
    frame = FRAME.astype({"t": object})
    frame.loc[0, "t"] = np.nan
    model = table_model(frame)
    # The example says how a missing cell looks to the model's user: None, which the encoder has not seen.
    example = frame.astype({"t": object}).where(frame.notna(), None)
    runtime = wrap(model, example=example)
    entry = make_entry(runtime, codes_of(model))
    for n_rows in (1, 50):
        tensors = {"n": np.ones(n_rows), "t": np.array(["a"] * (n_rows - 1) + [None], dtype=object)}
        with pytest.raises(StepAside):
            entry(tensors)
    assert not np.isnan(entry(tensors_of(runtime, FRAME[:3]))).any()


def test_columns_that_no_step_uses_may_hold_anything():
    frame = FRAME.assign(note="x", day=pd.Timestamp("2026-01-01"))
    columns = ColumnTransformer([("n", StandardScaler(), ["n"])])
    engine, _ = answers_alike(make_pipeline(columns, LogisticRegression()).fit(frame, LABELS), frame[["n"]])
    assert engine.is_whole


def test_rows_of_texts_and_columns_of_float32_are_the_frameworks():
    texts = make_pipeline(CountVectorizer(), LogisticRegression()).fit(["good day", "bad day"], [0, 1])
    with pytest.raises(Unconvertible, match="takes texts"):
        make_entry(wrap(texts), {})
    single = FRAME[["n"]].astype("float32")
    with pytest.raises(Unconvertible, match="float32"):
        make_entry(wrap(KMeans(2, n_init=1).fit(single), example=single), {})


def test_a_column_that_nobody_asked_a_number_of_is_the_frameworks():
    model = ColumnTransformer([("k", "passthrough", ["n"])]).fit(FRAME)
    with pytest.raises(Unconvertible, match="column 'n' holds object"):
        make_entry(wrap(model), {})


@pytest.mark.parametrize("is_built", [True, False])
def test_many_rows_are_read_alike_with_the_kernels_and_without(monkeypatch, is_built):
    monkeypatch.setattr(kernels, "IS_BUILT", is_built and kernels.IS_BUILT)
    runtime = wrap(table_model())
    codes = codes_of(runtime.estimator)
    rng = np.random.default_rng(0)
    texts = np.array(["a", "b", None, "z", "c"], dtype=object)[rng.integers(0, 5, 100)]
    numbers = rng.normal(size=200)[::2]  # not in one piece
    rows = make_entry(runtime, codes)({"n": numbers, "t": texts})
    wanted = [
        [n, np.nan if t is None else codes.get(t, UNKNOWN)] for n, t in zip(numbers, texts, strict=True)
    ]
    np.testing.assert_array_equal(rows, np.array(wanted))
    assert rows.flags.c_contiguous


def test_cells_that_are_no_texts_are_unknown_among_many_rows():
    runtime = wrap(table_model())
    cells = np.array(["a", 1.5] * 10, dtype=object)
    rows = make_entry(runtime, codes_of(runtime.estimator))({"n": np.zeros(20), "t": cells})
    assert rows[:, 1].tolist() == [0.0, UNKNOWN] * 10
