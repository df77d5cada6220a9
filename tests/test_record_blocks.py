"""Records that are read block by block: the same tensors as column by column, or none at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.errors import SignatureMismatch
from demijohn.messages import Columns, Records
from demijohn.record_blocks import RecordBlocks
from demijohn.signature import Signature
from demijohn.tensor_spec import TensorSpec

LEVELS = ("low", "high")
SPECS = (
    TensorSpec("size"),
    TensorSpec("level", "str", categories=LEVELS, is_closed=True),
    TensorSpec("weight", nullable=True),
    TensorSpec("note", "str", nullable=True),
    TensorSpec("count", "int64"),
    TensorSpec("height"),
    TensorSpec("grade", "str", nullable=True, categories=LEVELS, is_closed=True),
    TensorSpec("label", "str"),
)
GOOD: dict[str, Any] = {
    "size": 1, "level": "low", "weight": None, "note": None, "count": 3, "height": 0.5, "grade": None,
    "label": "a",
}  # fmt: skip
numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
any_cell = st.one_of(
    st.none(), st.booleans(), numbers, st.sampled_from([*LEVELS, "other"]), st.just([1]), st.just(10**400)
)
good_record = st.fixed_dictionaries(
    {
        "size": numbers,
        "level": st.sampled_from(LEVELS),
        "weight": st.none() | numbers,
        "note": st.none() | st.text(),
        "count": st.integers(-(2**63), 2**63 - 1),
        "height": numbers,
        "grade": st.none() | st.sampled_from(LEVELS),
        "label": st.text(),
    }
)


def by_column(records: list[dict[str, Any]], specs: tuple[TensorSpec, ...] = SPECS) -> Any:
    """Read the same cells as columns, one after another."""
    columns = {spec.name: [record[spec.name] for record in records] for spec in specs}
    return Signature("table", specs).validate(Columns(columns))


def what_comes_of(read: Callable[[], Any]) -> Any:
    """Return the tensors, or the problems."""
    try:
        return read()
    except SignatureMismatch as refusal:
        return refusal.errors


def assert_same(got: Any, wanted: Any) -> None:
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        assert got[name].flags.c_contiguous
        assert got[name].flags.writeable
        np.testing.assert_array_equal(got[name], array)
        assert list(map(type, got[name].tolist())) == list(map(type, array.tolist()))


@given(st.lists(good_record, min_size=1, max_size=6))
def test_blocks_read_what_columns_read(records: list[dict[str, Any]]) -> None:
    got = RecordBlocks(SPECS).read(records)
    assert got is not None
    assert_same(got, by_column(records))


@given(st.lists(good_record, min_size=1, max_size=3), st.sampled_from(list(GOOD)), any_cell)
def test_whatever_a_cell_holds_the_signature_says_the_same_of_it(
    records: list[dict[str, Any]], name: str, cell: Any
) -> None:
    records[-1] = {**records[-1], name: cell}
    wanted = what_comes_of(lambda: by_column(records))
    got = what_comes_of(lambda: Signature("table", SPECS).validate(Records(records)))
    if isinstance(wanted, dict):
        assert_same(got, wanted)
    else:
        assert got == wanted


@pytest.mark.parametrize(
    "records",
    [
        [],
        [GOOD, [1]],
        ["size"],
        [{**GOOD, "more": 1}],
        [{name: cell for name, cell in GOOD.items() if name != "size"}],
        [{**{name: cell for name, cell in GOOD.items() if name != "size"}, "sise": 1}],
        [{**GOOD, "size": "1"}],
        [{**GOOD, "size": True}],
        [{**GOOD, "size": None}],
        [{**GOOD, "size": 10**400}],
        [{**GOOD, "count": 1.5}],
        [{**GOOD, "level": "other"}],
        [{**GOOD, "grade": "other"}],
        [{**GOOD, "label": None}],
        [{**GOOD, "label": 1}],
    ],
)
def test_records_that_are_not_plainly_right_are_left_to_the_columns(records: list[Any]) -> None:
    assert RecordBlocks(SPECS).read(records) is None


def test_a_table_with_columns_that_may_be_left_out_is_left_to_the_columns() -> None:
    assert RecordBlocks([TensorSpec("a"), TensorSpec("b", is_optional=True)]).read([{"a": 1, "b": 2}]) is None
    assert RecordBlocks([]).read([{}]) is None


@pytest.mark.parametrize("cell", [1, 2.5])
def test_a_table_of_one_column_is_read_too(cell: float) -> None:
    got = RecordBlocks([TensorSpec("a")]).read([{"a": cell}, {"a": 0}])
    assert got is not None
    assert got["a"].tolist() == [float(cell), 0.0]


def test_a_missing_number_is_nan() -> None:
    got = RecordBlocks(SPECS).read([GOOD])
    assert got is not None
    assert math.isnan(got["weight"][0])
    assert (got["note"][0], got["grade"][0], got["level"][0]) == (None, None, "low")
