"""Cells of records in one array: taken block by block, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from demijohn.messages import RecordCells, Records
from demijohn.plain_cells import PlainCells
from demijohn.tensor_spec import TensorSpec

NAN = float("nan")
SPECS = (
    TensorSpec("size", "float64", nullable=True),
    TensorSpec("weight", "float32"),
    TensorSpec("count", "int8"),
    TensorSpec("is_new", "bool"),
    TensorSpec("note", "str", nullable=True),
    TensorSpec("level", "str", categories=("low", "high"), is_closed=True),
)
NAMES = tuple(spec.name for spec in SPECS)
ROW = [1.5, 0.1, 3.0, 1.0, 0.0, 0.0]


def cells(rows: Any, *, names: Any = NAMES, kinds: str = "ffibss", texts: Any = None) -> RecordCells:
    array = np.array(rows, dtype=np.float64)
    texts = texts or [None, None, None, None, ["a", "b"], ["high"]]
    return RecordCells(names, kinds, array, texts, int(np.isnan(array).sum()), lambda: Records([]))


def take(records: RecordCells, specs: Any = SPECS) -> Any:
    return PlainCells("table", specs).take(records)


@pytest.mark.parametrize("n_rows", [1, 100])
def test_each_column_is_of_its_inputs_dtype(n_rows: int) -> None:
    tensors = take(cells([ROW] * n_rows))
    assert list(tensors) == list(NAMES)
    kinds = ["float64", "float32", "int8", "bool", "object", "object"]
    assert [tensor.dtype.name for tensor in tensors.values()] == kinds
    wanted = [1.5, float(np.float32(0.1)), 3, True, "a", "high"]
    assert [tensor.tolist() for tensor in tensors.values()] == [[cell] * n_rows for cell in wanted]
    assert all(tensor.flags.writeable and tensor.flags.c_contiguous for tensor in tensors.values())


def test_columns_without_names_stand_in_the_signatures_order() -> None:
    named, nameless = take(cells([ROW] * 2)), take(cells([ROW] * 2, names=None))
    assert [(name, tensor.tolist()) for name, tensor in nameless.items()] == [
        (name, tensor.tolist()) for name, tensor in named.items()
    ]
    assert take(cells([ROW[:-1]], names=None, kinds="ffibs")) is None
    plain = PlainCells("table", SPECS)
    for names in (None, NAMES[::-1], None):
        assert (plain.take(cells([ROW], names=names)) is None) == (names is not None)


@pytest.mark.parametrize("n_rows", [2, 100])
def test_what_is_missing_is_nan_or_none_where_it_may_be(n_rows: int) -> None:
    rows = [ROW, [NAN, *ROW[1:4], NAN, 0.0]] * (n_rows // 2)
    tensors = take(cells(rows))
    assert np.isnan(tensors["size"]).tolist() == [False, True] * (n_rows // 2)
    assert tensors["note"].tolist() == ["a", None] * (n_rows // 2)
    assert take(cells([[*ROW[:3], NAN, *ROW[4:]]])) is None


def test_columns_are_matched_by_name() -> None:
    tensors = take(
        cells([ROW[::-1]], names=NAMES[::-1], kinds="ssbiff", texts=[["high"], ["a"], None, None, None, None])
    )
    assert [tensor.tolist() for tensor in tensors.values()][2:] == [[3], [True], ["a"], ["high"]]


@pytest.mark.parametrize(
    "records",
    [
        cells([ROW], names=(*NAMES[:-1], "other")),
        cells([ROW[:-1]], names=NAMES[:-1], kinds="ffibs"),
        cells([ROW], kinds="sfibss"),
        cells([ROW], kinds="fffbss"),
        cells([ROW], texts=[None, None, None, None, ["a"], ["middle"]]),
        cells([[*ROW[:2], 128.0, *ROW[3:]]]),
        cells([[ROW[0], 1e300, *ROW[2:]]]),
    ],
    ids=["names", "too few", "texts", "parts", "category", "too large", "too large for float32"],
)
def test_what_does_not_fit_is_to_be_read_again(records: RecordCells) -> None:
    assert take(records) is None


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("x", "object"),
        TensorSpec("x", "datetime64[ns]"),
        TensorSpec("x", categories=(1.0,), is_closed=True),
    ],
    ids=lambda spec: spec.dtype,
)
def test_an_input_that_asks_how_a_number_was_written_gets_it_as_written(spec: TensorSpec) -> None:
    assert take(cells([[1.0]], names=("x",), kinds="i", texts=[None]), [spec]) is None


def test_whole_numbers_that_may_be_missing_are_cast_one_by_one_where_one_is() -> None:
    specs = [TensorSpec("x", "int64", nullable=True)]
    whole = {"names": ("x",), "kinds": "i", "texts": [None]}
    assert take(cells([[1.0], [2.0]], **whole), specs)["x"].tolist() == [1, 2]
    assert take(cells([[1.0], [NAN]], **whole), specs) is None


def test_truths_that_may_be_missing_are_cast_one_by_one_where_one_is() -> None:
    specs = [TensorSpec("x", "bool", nullable=True)]
    assert take(cells([[1.0], [NAN]], names=("x",), kinds="b", texts=[None]), specs) is None


def test_a_model_without_column_names_takes_no_records() -> None:
    assert PlainCells("matrix", [TensorSpec("x", shape=(-1, 6))]).take(cells([ROW])) is None
