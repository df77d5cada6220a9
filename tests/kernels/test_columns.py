"""Columns become rows and bytes numbers, bit for bit; texts become the codes that a dict has for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn import kernels
from demijohn.kernels import copy_finite, find_codes, join_columns, turn_columns

pytestmark = pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)

SHAPES = st.tuples(st.integers(1, 70), st.integers(1, 40))


def columns_of(n_rows: int, n_columns: int, gap: int = 0) -> Any:
    """Return numbers of any bits but NaN, (n_rows, n_columns), so many numbers between two columns."""
    rng = np.random.default_rng(n_rows * 100 + n_columns)
    block = rng.normal(size=(n_columns, n_rows + gap)) * 10.0 ** rng.integers(-300, 300, (n_columns, 1))
    block[0, 0] = -0.0
    return block.T[:n_rows]


@given(SHAPES, st.integers(0, 3))
def test_columns_are_turned_bit_for_bit(shape: tuple[int, int], gap: int) -> None:
    columns = columns_of(*shape, gap)
    rows, is_missing = turn_columns(columns)
    assert rows.tobytes() == columns.tobytes()
    assert rows.shape == shape
    assert rows.flags.c_contiguous
    assert rows.flags.writeable
    assert not is_missing


@given(SHAPES, st.data())
def test_one_nan_is_seen_wherever_it_is(shape: tuple[int, int], data: st.DataObject) -> None:
    columns = columns_of(*shape)
    place = data.draw(st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1)))
    columns[place] = np.nan
    rows, is_missing = turn_columns(columns)
    assert is_missing
    assert rows.tobytes() == columns.tobytes()


def test_an_infinity_is_no_nan() -> None:
    columns = np.asfortranarray(np.array([[np.inf, -np.inf], [1.0, np.inf]]))
    rows, is_missing = turn_columns(columns)
    np.testing.assert_array_equal(rows, columns)
    assert not is_missing


@given(SHAPES)
def test_columns_are_joined_bit_for_bit(shape: tuple[int, int]) -> None:
    columns = columns_of(*shape)
    rows = join_columns(tuple(column.copy() for column in columns.T))
    assert rows.tobytes() == columns.tobytes()


def test_many_columns_are_moved_while_other_threads_run() -> None:
    columns = columns_of(50_000, 11)
    assert turn_columns(columns)[0].tobytes() == columns.tobytes()


@given(st.integers(0, 70), st.integers(0, 7))
def test_numbers_are_copied_bit_for_bit_from_wherever_they_stand(n_numbers: int, begin: int) -> None:
    numbers = columns_of(max(n_numbers, 1), 1).ravel()[:n_numbers]
    block = bytes(begin) + numbers.tobytes()
    copy = copy_finite(memoryview(block)[begin:], (n_numbers,))
    assert copy is not None
    assert copy.tobytes() == numbers.tobytes()


@given(st.integers(1, 70), st.data(), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_one_number_that_is_not_finite_is_seen_wherever_it_is(
    n_numbers: int, data: st.DataObject, value: float
) -> None:
    numbers = np.full(n_numbers, 1.7e308)  # a sum of these would be infinite
    numbers[data.draw(st.integers(0, n_numbers - 1))] = value
    assert copy_finite(numbers.tobytes(), (n_numbers,)) is None


def test_many_numbers_are_copied_while_other_threads_run() -> None:
    numbers = columns_of(50_000, 11)
    copy = copy_finite(numbers.tobytes(), numbers.shape)
    assert copy is not None
    assert copy.tobytes() == numbers.tobytes()


@pytest.mark.parametrize("n_bytes", [0, 7, 15, 17])
def test_bytes_of_another_shape_are_not_copied(n_bytes: int) -> None:
    with pytest.raises(ValueError, match="as many bytes"):
        copy_finite(bytes(n_bytes), (2,))


@pytest.mark.parametrize(
    "columns",
    [np.zeros((3, 2)), np.zeros(3), np.zeros((2, 3), np.float32).T, np.zeros((2, 3), np.int64).T],
    ids=["rows", "a column", "float32", "integers"],
)
def test_what_is_no_matrix_of_whole_columns_is_not_turned(columns: Any) -> None:
    with pytest.raises(ValueError, match="columns"):
        turn_columns(columns)


@pytest.mark.parametrize(
    "columns",
    [
        (np.zeros(3), np.zeros(2)),
        (np.zeros(3), np.zeros(4)),
        (np.zeros(3), np.zeros(3, np.float32)),
        (np.zeros((3, 1)),),
    ],
    ids=["a shorter one", "a longer one", "float32", "a matrix"],
)
def test_columns_that_do_not_fit_are_not_joined(columns: Any) -> None:
    with pytest.raises(ValueError, match="column"):
        join_columns(columns)


# Texts --------------------------------------------------------------------------------------

CELLS = st.lists(st.none() | st.text(max_size=3), max_size=60)


@given(CELLS, st.dictionaries(st.none() | st.text(max_size=3), st.floats(allow_nan=False)))
def test_texts_get_the_codes_of_a_dict(cells: list[str | None], codes: dict[Any, float]) -> None:
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    found = find_codes(array, codes, -1.0)
    assert found is not None
    assert found.tolist() == [codes.get(cell, -1.0) for cell in cells]
    assert found.flags.writeable


def test_more_texts_than_are_remembered_get_their_own_codes() -> None:
    texts = np.array([f"{number}" for number in range(5_000)] * 2, dtype=object)
    found = find_codes(texts, {f"{number}": number for number in range(0, 5_000, 2)}, -1.0)
    assert found is not None
    assert found.tolist() == [number if number % 2 == 0 else -1.0 for number in range(5_000)] * 2


def test_a_column_within_a_matrix_is_read_by_its_own_cells() -> None:
    cells = np.array([["a", "x"], ["b", "y"], ["a", "z"]], dtype=object)
    found = find_codes(cells[:, 0], {"a": 0, "b": 1}, -1.0)
    assert found is not None
    assert found.tolist() == [0, 1, 0]


class Other(str):
    """A text whose own class may say what it is equal to."""

    __slots__ = ()


@pytest.mark.parametrize("cell", [1.5, np.nan, b"a", Other("a"), ["a"]], ids=repr)
def test_what_is_no_plain_text_is_left_to_python(cell: Any) -> None:
    cells = np.empty(2, dtype=object)
    cells[:] = ["a", cell]
    assert find_codes(cells, {"a": 0.0}, -1.0) is None


@pytest.mark.parametrize("cells", [np.zeros(3), np.empty((2, 2), dtype=object)], ids=["numbers", "a matrix"])
def test_codes_are_looked_for_in_one_column_of_objects(cells: Any) -> None:
    with pytest.raises(ValueError, match="cells"):
        find_codes(cells, {}, -1.0)


def test_a_code_that_is_no_number_is_an_error() -> None:
    with pytest.raises(TypeError):
        find_codes(np.array(["a"], dtype=object), {"a": "b"}, -1.0)  # type: ignore[dict-item]
