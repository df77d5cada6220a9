"""Sets of probe rows: every row fits the signature, and no edge is forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from tests.acceleration.forests import reaches, read_forest

from demijohn.acceleration.edge_values import MISSING, columns_of
from demijohn.acceleration.edges import BATCH_SIZES, ProbeSet, edited, probe_sets
from demijohn.messages import Columns, Rows, Tensors, count_rows, plain
from demijohn.probes import draw, rows_or_records
from demijohn.signature import Signature, TensorSpec

EXAMPLES: dict[str, Any] = {
    "float64": 1.5,
    "float32": -2.0,
    "int64": 40,
    "int8": 3,
    "uint8": 250,
    "bool": True,
    "str": "one two",
    "object": "red",
    "datetime64[ns]": "2020-01-02T03:04:05",
}


def sets_of(signature: Signature, rows: list[Any], **options: Any) -> dict[str, ProbeSet]:
    example = signature.validate(rows_or_records(rows))
    made = probe_sets(
        signature,
        example,
        lambda n, seed: draw(signature, rows, n, seed),
        **{"n_ordinary": 50, **options},
    )
    assert len({probes.name for probes in made}) == len(made)
    return {probes.name: probes for probes in made}


def sets_of_column(dtype: str, **spec: Any) -> dict[str, ProbeSet]:
    example = spec.pop("example", EXAMPLES[dtype])
    return sets_of(Signature("table", (TensorSpec("x", dtype, **spec),)), [{"x": example}])


def cells(sets: dict[str, ProbeSet], name: str) -> list[Any]:
    found: list[Any] = sets[name].tensors["x"].tolist()
    return found


MATRIX = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 3)),))


# What is in the sets ------------------------------------------------------------------------


def test_ordinary_rows_come_first_in_batches_of_every_size_and_last_in_bulk() -> None:
    sets = list(sets_of(MATRIX, [[1.0, 2.0, 3.0]]).values())
    assert [sets[0].name, sets[-1].name] == ["ordinary batches", "ordinary rows"]
    assert sets[0].sizes == BATCH_SIZES
    assert count_rows(sets[0].tensors) >= sum(BATCH_SIZES)
    assert [probes.name for probes in sets if probes.is_ordinary] == ["ordinary batches", "ordinary rows"]


def test_a_value_stands_in_one_column_at_a_time_and_then_in_all() -> None:
    rows = sets_of(MATRIX, [[1.0, 2.0, 3.0]])["zeros"].tensors["inputs"]
    assert sorted((rows == 0).sum(axis=1)) == [1] * 6 + [3] * 2
    assert {tuple(np.flatnonzero(row == 0)) for row in rows} == {(0,), (1,), (2,), (0, 1, 2)}
    assert np.signbit(rows[rows == 0]).any()


def test_an_odd_row_stands_last_in_one_ordinary_batch_and_first_in_another() -> None:
    probes = sets_of(MATRIX, [[1.0, 2.0, 3.0]])["infinities in one row of a batch"]
    is_odd = np.isinf(probes.tensors["inputs"]).any(axis=1)
    assert probes.sizes == (9,)
    assert np.flatnonzero(is_odd).tolist() == [8, 9]
    assert len(is_odd) == 18


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tiny values", 5e-324),
        ("values of a million", 16_777_217.0),
        ("values of 1e15", 2.0**53),
        ("values just under float32's largest", 3e38),
        ("values just over float32's largest", 3.5e38),
        ("huge values", 1e300),
        ("values near the largest double", 1.7e308),
        ("infinities", -np.inf),
    ],
)
def test_floats_of_every_magnitude_have_a_set_of_their_own(name: str, value: float) -> None:
    assert value in cells(sets_of_column("float64"), name)


def test_float32_is_rounded_to_no_infinity_but_those_meant() -> None:
    sets = sets_of_column("float32")
    assert "huge values" not in sets
    assert "values just over float32's largest" not in sets
    for name, probes in sets.items():
        assert np.isfinite(probes.tensors["x"]).all() or name.startswith(("infinities", "NaN"))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64"])
def test_whole_numbers_go_to_the_limits_of_their_type(dtype: str) -> None:
    limits = np.iinfo(dtype)
    assert {limits.min, limits.max} <= set(cells(sets_of_column(dtype), "whole numbers at their limits"))


def test_whole_numbers_that_no_double_holds_are_there() -> None:
    assert 2**53 + 1 in cells(sets_of_column("int64"), "whole numbers that no double holds")
    assert "whole numbers that no double holds" not in sets_of_column("int8")


def test_bools_are_both() -> None:
    assert set(cells(sets_of_column("bool"), "bools")) == {True, False}


@pytest.mark.parametrize(
    ("dtype", "missing"),
    [("float64", "nan"), ("int64", "None"), ("bool", "None"), ("str", "None"), ("datetime64[ns]", "NaT")],
)
def test_a_missing_value_is_what_the_signature_makes_of_null(dtype: str, missing: str) -> None:
    probes = sets_of_column(dtype, nullable=True)["missing values"]
    assert str(probes.tensors["x"][0]) == missing
    assert "missing values" not in sets_of_column(dtype)


def test_missing_values_come_here_and_there_too() -> None:
    signature = Signature("table", tuple(TensorSpec(name, nullable=name != "c") for name in "abc"))
    tensors = sets_of(signature, [{"a": 1.0, "b": 2.0, "c": 3.0}])["missing values here and there"].tensors
    assert 0 < np.isnan(tensors["a"]).mean() < 0.3
    assert not np.isnan(tensors["c"]).any()


def test_every_known_category_is_there_and_those_close_to_one() -> None:
    sets = sets_of_column("str", categories=("red", "Green", "blue"), example="red")
    assert set(cells(sets, "known categories")) == {"red", "Green", "blue"}
    assert {"a value not known", "", "RED", "blue\0", "blueé"} <= set(cells(sets, "unknown categories"))


def test_a_closed_column_has_its_categories_alone() -> None:
    sets = sets_of_column("str", categories=("red", "blue"), is_closed=True, example="red")
    assert {cell for probes in sets.values() for cell in probes.tensors["x"].tolist()} == {"red", "blue"}
    numbers = sets_of_column("float64", categories=(1.0, 2.0), is_closed=True, example=1.0)
    assert {cell for probes in numbers.values() for cell in probes.tensors["x"].tolist()} == {1.0, 2.0}


def test_numbers_beside_the_known_ones_are_unknown() -> None:
    assert {0.0, 1.5, 4.0} <= set(
        cells(sets_of_column("float64", categories=(1.0, 3.0), example=1.0), "unknown numbers")
    )
    whole = cells(sets_of_column("uint8", categories=(0, 255), example=0), "known categories")
    assert set(whole) == {0, 255}
    assert "unknown numbers" not in sets_of_column("uint8", categories=(0, 255), example=0)


def test_numbers_among_values_of_any_kind_are_no_texts() -> None:
    sets = sets_of_column("object", categories=(1, 2.5, True), example=1)
    assert "unknown categories" not in sets
    assert {0, 3.5} <= set(cells(sets, "unknown numbers"))


def test_a_column_of_any_kind_gets_every_kind() -> None:
    found = cells(sets_of_column("object"), "values of other kinds")
    assert {bool, int, float, str} <= set(map(type, found))


def test_free_texts_are_odd() -> None:
    found = cells(sets_of_column("str"), "odd texts")
    assert {"", "ONE TWO", "one two\0"} <= set(found)


def test_instants_reach_from_one_end_to_the_other() -> None:
    found = sets_of_column("datetime64[ns]")["instants"].tensors["x"]
    assert np.datetime64("1678-01-01") in found
    assert np.datetime64("2262-01-01") in found


def test_landmarks_come_with_their_neighbours() -> None:
    sets = sets_of(MATRIX, [[1.0, 2.0, 3.0]], landmarks={1: [0.25]})
    found = sets["values at which something changes"].tensors["inputs"][:, 1]
    assert set(found) == {np.nextafter(0.25, 0), 0.25, np.nextafter(0.25, 1)}
    named = sets_of(Signature("table", (TensorSpec("x"),)), [{"x": 1.0}], landmarks={"x": [7.0]})
    assert 7.0 in named["values at which something changes"].tensors["x"]


def test_rows_far_apart_leave_the_example() -> None:
    rows = sets_of(MATRIX, [[1.0, 2.0, 3.0]])["rows far apart"].tensors["inputs"]
    assert rows.min() < -10 < 10 < rows.max()


def test_a_wide_model_gets_a_sample_of_columns_one_at_a_time_and_all_at_once() -> None:
    width = 3_000
    signature = Signature("matrix", (TensorSpec("inputs", "float64", (-1, width)),))
    sets = sets_of(signature, [[1.0] * width], n_ordinary=10**6)
    rows = sets["zeros"].tensors["inputs"]
    assert len(rows) < 200
    assert ((rows == 0).sum(axis=1) == 1024).sum() == 2
    assert len(sets["ordinary rows"].tensors["inputs"]) < 3_000


def test_a_matrix_of_any_width_has_its_examples() -> None:
    signature = Signature("matrix", (TensorSpec("inputs", "float64", (-1, -1)),))
    assert len(columns_of(signature, signature.validate(Rows([[1.0, 2.0]])))) == 2


# Thresholds ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    return RandomForestClassifier(5, random_state=0).fit(*load_iris(return_X_y=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_thresholds_of_raw_columns_have_a_set(forest: RandomForestClassifier, dtype: str) -> None:
    ensemble = read_forest(forest)
    signature = Signature("table", tuple(TensorSpec(name, dtype, nullable=True) for name in "abcd"))
    sets = sets_of(signature, [dict.fromkeys("abcd", 1.5)], ensemble=ensemble)
    tensors = sets["rows at thresholds"].tensors
    rows = np.column_stack(list(tensors.values())).astype(np.float64)
    assert {array.dtype.name for array in tensors.values()} == {dtype}
    splits = np.flatnonzero(ensemble.left >= 0)
    assert all(reaches(ensemble, rows, np.full(len(rows), split)).any() for split in splits)
    assert np.isnan(np.column_stack(list(sets["missing values at thresholds"].tensors.values()))).any()


def test_where_no_value_may_miss_there_is_no_set_for_it(forest: RandomForestClassifier) -> None:
    signature = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 4)),))
    strict = replace(read_forest(forest), allows_missing=False)
    sets = sets_of(signature, [[1.0] * 4], ensemble=strict)
    assert "rows at thresholds" in sets
    assert "missing values at thresholds" not in sets


def test_thresholds_of_other_columns_than_the_raw_ones_are_left_to_the_part(
    forest: RandomForestClassifier,
) -> None:
    whole = Signature("table", tuple(TensorSpec(name, "int64") for name in "abcd"))
    assert "rows at thresholds" not in sets_of(
        whole, [dict.fromkeys("abcd", 1)], ensemble=read_forest(forest)
    )
    assert "rows at thresholds" not in sets_of(MATRIX, [[1.0, 2.0, 3.0]], ensemble=read_forest(forest))


# Every row fits -----------------------------------------------------------------------------


@st.composite
def specs(drawn: Any) -> tuple[TensorSpec, Any]:
    dtype = drawn(st.sampled_from(sorted(EXAMPLES)))
    known = {"str": ("a", "B", "c d"), "int64": (1, 5, -7), "float64": (0.5, 2.0), "object": ("a", 1, None)}
    categories = drawn(st.sampled_from([None, known.get(dtype)]))
    spec = TensorSpec(
        "x",
        dtype,
        nullable=drawn(st.booleans()) or (categories is not None and None in categories),
        categories=categories,
        is_closed=categories is not None and drawn(st.booleans()),
    )
    return spec, categories[0] if categories else EXAMPLES[dtype]


def as_written(tensors: Tensors) -> dict[str, Any]:
    """Return tensors as a caller would write them; what is missing as null."""
    return {
        name: [None if cell is None or cell != cell else cell for cell in plain(array)]
        for name, array in tensors.items()
    }


@settings(deadline=None, max_examples=60)
@given(st.lists(specs(), min_size=1, max_size=3))
def test_every_row_of_every_set_passes_the_signature_and_stays_as_it_is(
    found: list[tuple[TensorSpec, Any]],
) -> None:
    inputs = tuple(replace(spec, name=f"c{index}") for index, (spec, _) in enumerate(found))
    signature = Signature("table", inputs)
    rows = [{f"c{index}": example for index, (_, example) in enumerate(found)}]
    for name, probes in sets_of(signature, rows).items():
        if name.startswith("NaN"):  # as a float it passes, but null would not
            continue
        validated = signature.validate(Columns(as_written(probes.tensors)))
        for column, array in probes.tensors.items():
            assert array.dtype == validated[column].dtype
            assert as_written({column: array}) == as_written({column: validated[column]})


def test_cells_are_replaced_in_a_copy() -> None:
    tensors = {"x": np.array([1, 2])}
    signature = Signature("table", (TensorSpec("x", "int64", nullable=True),))
    (column,) = columns_of(signature, tensors)
    assert edited(tensors, [(1, column, MISSING)])["x"].tolist() == [1, None]
    assert tensors["x"].tolist() == [1, 2]


# Tensors ------------------------------------------------------------------------------------


def test_the_cells_of_a_deep_tensor_are_columns_in_c_order() -> None:
    specs = (TensorSpec("image", "float32", (-1, 2, 2), nullable=True), TensorSpec("age", "int64"))
    signature = Signature("tensors", specs)
    rows = [{"image": [[1.0, 2.0], [3.0, 4.0]], "age": 5}]
    columns = columns_of(signature, signature.validate(rows_or_records(rows)))
    assert [(column.tensor, column.index, column.seen) for column in columns] == [
        ("image", 0, (1.0,)),
        ("image", 1, (2.0,)),
        ("image", 2, (3.0,)),
        ("image", 3, (4.0,)),
        ("age", None, (5,)),
    ]
    zeros = sets_of(signature, rows)["zeros"].tensors["image"]
    assert sorted((zeros == 0).sum(axis=(1, 2))) == [1] * 8 + [4] * 2
    missing = sets_of(signature, rows)["missing values"].tensors["image"]
    assert {int(count) for count in np.isnan(missing).sum(axis=(1, 2))} == {1, 4}


def test_an_edit_of_a_tensor_that_lies_otherwise_in_memory_is_kept() -> None:
    signature = Signature("matrix", (TensorSpec("x", shape=(-1, 2, 2)),))
    tensors = {"x": np.asfortranarray(np.ones((3, 2, 2)))}
    columns = columns_of(signature, tensors)
    made = edited(tensors, [(1, columns[2], 7.0)])["x"]
    assert np.argwhere(made == 7.0).tolist() == [[1, 1, 0]]
