import datetime
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.casting import Caster, Place, Problems, describe, place_in
from demijohn.errors import SignatureMismatch
from demijohn.signature import TensorSpec


def cast(dtype, values, *, is_text=False, **spec):
    problems = Problems()
    array = Caster(TensorSpec("x", dtype, **spec), is_text=is_text).column(values, "x", problems)
    return array, [(problem.row, problem.expected, problem.received) for problem in problems]


def refused(dtype, values, **options):
    return [row for row, _, _ in cast(dtype, values, **options)[1]]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53), min_size=1))
def test_numbers_stay_themselves(values):
    array, problems = cast("float64", values)
    assert not problems
    assert array.dtype == np.float64
    assert array.tolist() == values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1))
def test_csv_cells_read_as_the_numbers_they_were_written_from(values):
    cells = ["" if value is None else repr(value) for value in values]
    array, problems = cast("float64", cells, is_text=True, nullable=True)
    assert not problems
    assert [None if math.isnan(value) else value for value in array.tolist()] == values


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1))
def test_whole_numbers_stay_whole(values):
    array, problems = cast("int64", values, nullable=True)
    assert not problems
    assert array.tolist() == values


@given(
    st.sampled_from(["float64", "float32", "int64", "uint8", "bool", "str", "object", "datetime64[ns]"]),
    st.lists(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none(), max_size=2),
        min_size=1,
        max_size=10,
    ),
    st.booleans(),
)
def test_a_column_fits_exactly_if_each_of_its_cells_fits_alone(dtype, values, nullable):
    _, together = cast(dtype, values, nullable=nullable)
    alone = [row for row, value in enumerate(values) if cast(dtype, [value], nullable=nullable)[1]]
    assert [row for row, _, _ in together] == alone


@given(
    st.sampled_from(["float64", "int64", "bool", "str", "object", "datetime64[ns]"]),
    st.lists(st.text(max_size=12), min_size=1, max_size=10),
)
def test_a_csv_column_fits_exactly_if_each_of_its_cells_fits_alone(dtype, cells):
    _, together = cast(dtype, cells, is_text=True)
    alone = [row for row, cell in enumerate(cells) if cast(dtype, [cell], is_text=True)[1]]
    assert [row for row, _, _ in together] == alone


@pytest.mark.parametrize("value", [True, "1.0", [], {}, None, 10**400])
def test_what_is_no_number_is_refused(value):
    assert refused("float64", [1.0, value]) == [1]


@pytest.mark.parametrize("value", [True, 3.0, "3", 2**63, None])
def test_what_is_no_whole_number_is_refused(value):
    assert refused("int64", [1, value]) == [1]


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-Infinity", "1_000", "one", "1e999", ""])
def test_what_is_no_number_in_csv_is_refused(value):
    assert refused("float64", ["1.5", value], is_text=True) == [1]


@pytest.mark.parametrize("value", ["3.0", "x", "1_0", "9223372036854775808", ""])
def test_what_is_no_whole_number_in_csv_is_refused(value):
    assert refused("int64", ["1", value], is_text=True) == [1]


def test_a_number_too_large_for_float32_is_refused_and_not_made_infinite():
    _, problems = cast("float32", [1e300, 1.0])
    assert [row for row, _, _ in problems] == [0]
    assert "too large" in problems[0][2]
    assert cast("float32", [1.5, 2])[0].dtype == np.float32


def test_an_infinity_of_a_caller_in_python_is_left_to_the_model():
    for dtype in ("float64", "float32"):
        assert cast(dtype, [math.inf, 1.0])[0].tolist() == [math.inf, 1.0]
    assert cast("float64", np.array([-math.inf]))[0].tolist() == [-math.inf]


def test_true_and_false_are_read_from_csv_in_any_case():
    assert cast("bool", ["true", "FALSE", " True "], is_text=True)[0].tolist() == [True, False, True]
    assert refused("bool", ["yes", "1"], is_text=True) == [0, 1]


def test_a_bool_is_only_true_or_false():
    assert cast("bool", [True, False])[0].dtype == np.bool_
    assert refused("bool", [1, "true", None]) == [0, 1, 2]
    assert cast("bool", [True, None], nullable=True)[0].tolist() == [True, None]


def test_missing_numbers_are_not_a_number_and_missing_others_none():
    assert np.isnan(cast("float64", [None, 1], nullable=True)[0][0])
    assert cast("str", [None, "a"], nullable=True)[0].tolist() == [None, "a"]
    assert np.isnat(cast("datetime64[ns]", [None], nullable=True)[0][0])
    assert np.isnan(cast("float32", [None, 1e-3], nullable=True)[0][0])


def test_only_an_empty_csv_cell_is_missing():
    assert cast("str", ["", "NA", " "], is_text=True, nullable=True)[0].tolist() == [None, "NA", " "]
    assert refused("str", [""], is_text=True) == [0]


def test_a_text_is_a_string_and_nothing_else():
    assert refused("str", ["a", 1, None, True, []]) == [1, 2, 3, 4]


def test_bytes_are_a_text_if_they_are_one_in_utf_8():
    array, problems = cast("str", [b"caf\xc3\xa9", "x", b"\xff"])
    assert array.tolist()[:2] == ["café", "x"]
    assert problems == [(2, "str", "1 bytes, which are no text in UTF-8")]
    array, problems = cast("object", [b"\xff", "x"])
    assert (array.tolist(), problems) == ([b"\xff", "x"], [])
    assert refused("float64", [b"1"]) == [0]


def test_anything_takes_scalars_of_any_type_and_no_lists():
    array, problems = cast("object", [1, "a", True, 2.5])
    assert not problems
    assert array.tolist() == [1, "a", True, 2.5]
    assert refused("object", [[1], {"a": 1}, 3]) == [0, 1]


def test_anything_in_csv_is_a_number_if_it_looks_like_one():
    assert cast("object", ["1.5", "a", "nan"], is_text=True)[0].tolist() == [1.5, "a", "nan"]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-02-29", "2024-02-29T00:00:00"),
        ("2024-02-29T12:30:00.5", "2024-02-29T12:30:00.5"),
        ("2024-02-29 12:30", "2024-02-29T12:30:00"),
        ("2024-02-29T12:30:00Z", "2024-02-29T12:30:00"),
        ("2024-02-29T12:30:00+02:00", "2024-02-29T10:30:00"),
        (datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC), "2024-02-29T12:00:00"),
        (datetime.date(2024, 2, 29), "2024-02-29T00:00:00"),
        (np.datetime64("2024-02-29"), "2024-02-29T00:00:00"),
    ],
)
def test_an_instant_is_read_as_iso_8601(text, instant):
    array, problems = cast("datetime64[ns]", [text])
    assert not problems
    assert array[0] == np.datetime64(instant)
    assert array.dtype == "datetime64[ns]"


@pytest.mark.parametrize("value", ["now", "NaT", "yesterday", 0, True, "2024-13-01", "9999-01-01"])
def test_what_is_no_instant_is_refused(value):
    assert refused("datetime64[ns]", [value]) == [0]


def test_an_instant_out_of_range_is_refused_and_never_wrapped():
    _, problems = cast("datetime64[ns]", ["1500-01-01"])
    assert "out of range" in problems[0][2]


def test_a_closed_column_takes_its_categories_alone():
    known = {"categories": ("a", "b"), "is_closed": True}
    assert cast("str", ["a", "b", "a"], **known)[0].tolist() == ["a", "b", "a"]
    _, problems = cast("str", ["a", "c"], **known)
    assert problems == [(1, "one of 'a', 'b'", 'the string "c"')]
    assert refused("float64", [1, 3], categories=(1.0, 2.0), is_closed=True) == [1]
    assert cast("str", ["a", None], nullable=True, **known)[0].tolist() == ["a", None]


def test_a_long_list_of_categories_is_shortened_in_the_error():
    _, problems = cast("int64", [99], categories=tuple(range(12)), is_closed=True, nullable=True)
    assert problems[0][1] == "one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … or null"


def test_arrays_are_cast_as_lists_are():
    assert cast("float64", np.array([1.5, 2.0]))[0].tolist() == [1.5, 2.0]
    assert refused("float32", np.array([1.0, 1e300])) == [1]
    assert refused("bool", np.array([1, 0])) == [0, 1]
    assert cast("bool", np.array([True]))[0].tolist() == [True]
    assert cast("int64", np.array([3], dtype=np.int32))[0].tolist() == [3]


def matrix(rows, shape=(-1, 2), **spec):
    problems = Problems()
    array = Caster(TensorSpec("x", shape=shape, **spec)).matrix(rows, problems)
    return array, [(problem.row, problem.column, problem.expected) for problem in problems]


def test_a_matrix_is_read_row_by_row_and_lies_in_memory_like_that():
    array, problems = matrix([[1, 2.5], [3, 4]])
    assert not problems
    assert array.tolist() == [[1.0, 2.5], [3.0, 4.0]]
    assert array.flags.c_contiguous


def test_each_misfit_of_a_matrix_has_its_row_and_column():
    _, problems = matrix([[1, "a"], [1], 5, [None, 2]])
    assert problems == [
        (0, 1, "float64"),
        (1, None, "2 values"),
        (2, None, "a list of 2 values"),
        (3, 0, "float64"),
    ]


def test_a_rectangle_with_one_misfit_names_it():
    assert matrix([[1, 2], [3, "a"]])[1] == [(1, 1, "float64")]


def test_a_matrix_of_unknown_width_takes_the_width_of_its_first_row():
    assert matrix([[1, 2, 3]], shape=(-1, -1))[0].shape == (1, 3)
    assert matrix([[1, 2], [3]], shape=(-1, -1))[1] == [(1, None, "2 values")]
    assert matrix([5], shape=(-1, -1))[1] == [(0, None, "a list of values")]
    assert matrix([[1.0, 2.0]], shape=(-1,))[0].shape == (1, 2)


def test_a_matrix_of_mixed_values_keeps_them():
    array, problems = matrix([[1, "a"], [None, 2.5]], dtype="object", nullable=True)
    assert not problems
    assert array.tolist() == [[1, "a"], [None, 2.5]]


def test_the_twentieth_problem_ends_the_search():
    with pytest.raises(SignatureMismatch) as caught:
        cast("float64", ["x"] * 1000)
    assert len(caught.value.errors) == 20
    assert "and 19 more" in str(caught.value)


def test_one_problem_is_told_alone():
    problems = Problems()
    problems.raise_if_any()
    problems.add(2, "x", "float64", "null")
    with pytest.raises(SignatureMismatch, match=r"^row 2, column 'x': expected float64, received null$"):
        problems.raise_if_any()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ("a", 'the string "a"'),
        ("a" * 50, f'the string "{"a" * 40}…"'),
        ([1, 2], "a list of 2 values"),
        ({}, "an object"),
        (1.5, "1.5"),
        (10**60, f"{str(10**60)[:40]}…"),
    ],
)
def test_what_came_is_described_shortly(value, text):
    assert describe(value) == text


@pytest.mark.parametrize(
    ("name", "path", "place"),
    [
        (None, [], None),
        (None, [3], 3),
        (None, [3, 0, 2], "3,0,2"),
        ("image", [], "image"),
        ("image", [3, 0], "image[3,0]"),
    ],
)
def test_a_place_in_a_row_is_written(name, path, place):
    assert place_in(name, path) == place


@given(st.lists(st.integers(1, 4), max_size=3), st.integers(0, 9), st.data())
def test_the_place_of_a_flat_cell_is_numpys(sizes, first_row, data):
    index = data.draw(st.integers(0, 3 * math.prod(sizes) - 1))
    row, *path = map(int, np.unravel_index(index, (3, *sizes)))
    assert Place("x", sizes, first_row).of(index) == (first_row + row, place_in("x", path))


def test_cells_of_any_shape_are_cast_as_one_list():
    problems = Problems()
    array = Caster(TensorSpec("x", "int8", nullable=True)).flat([1, None, 300], Place(None, [3]), problems)
    assert array.tolist() == [1, None, None]
    assert [(p.row, p.column, p.received) for p in problems] == [(0, 2, "300, which is too large")]
