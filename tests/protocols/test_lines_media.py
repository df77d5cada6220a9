"""JSON lines: a row per line, as strict as a whole body."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, ModelError
from demijohn.messages import Matrix, Records, Rows
from demijohn.protocols import lines_media
from demijohn.signature import Signature, TensorSpec

SETTINGS = Settings()


def test_lines_are_rows_records_or_values() -> None:
    numbers = lines_media.decode(b"[1, 2.5]\n\n  [3, 4]\r\n", SETTINGS)
    assert isinstance(numbers, Matrix)
    assert numbers.numbers.tolist() == [[1, 2.5], [3, 4]]
    assert numbers.again().rows == [[1, 2.5], [3, 4]]
    rows = lines_media.decode(b'["a", null]\n["b", 2]', SETTINGS)
    assert isinstance(rows, Rows)
    assert rows.rows == [["a", None], ["b", 2]]
    records = lines_media.decode(b'{"x": "a\\nb"}\n{"x": 1}\n', SETTINGS)
    assert isinstance(records, Records)
    assert records.records == [{"x": "a\nb"}, {"x": 1}]
    texts = lines_media.decode(b'"one"\n"two"\n', SETTINGS)
    assert isinstance(texts, Rows)
    assert texts.rows == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[1]\n[2\n[3]", "Line 2"),
        (b"[1\n2]", "Line 1"),
        (b"[1\n2]\n[3],[4]", "Line 1"),
        (b"[1],[2]\n[3]", "Line 1"),
        (b"[[1]\n[2]]", "Line 1"),
        (b'{"a": 1, "a": 2}', "Line 1: The key 'a' stands twice"),
        (b"[1]\n[NaN]", "Line 2"),
        (b'["\xff"]', "Line 1"),
        (b"[1]\n" + b"[" * 65 + b"]" * 65, "Line 2: The body is nested deeper"),
    ],
)
def test_a_line_that_is_no_document_is_named(body: bytes, said: str) -> None:
    with pytest.raises(DecodeError, match=f"^{said}"):
        lines_media.decode(body, SETTINGS)


def test_values_are_counted_over_all_lines() -> None:
    few = Settings(max_elements=4)
    for line in (b"[1, 2]\n", b'["a", 2]\n', b'"a"\n'):
        lines_media.decode(line * 2, few)
        with pytest.raises(BodyTooLarge):
            lines_media.decode(line * 5, few)


def test_no_lines_are_no_rows() -> None:
    found = lines_media.decode(b"\n \n", SETTINGS)
    assert isinstance(found, Rows)
    assert found.rows == []


@given(st.lists(st.lists(st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
                         min_size=2, max_size=2), min_size=1))  # fmt: skip
def test_lines_are_the_rows_of_a_whole_body(rows: list[list[float]]) -> None:
    signature = Signature("matrix", (TensorSpec("x", "float64", (-1, 2)),))
    body = "\n".join(map(json.dumps, rows)).encode()
    assert signature.validate(lines_media.decode(body, SETTINGS))["x"].tolist() == rows


def lines_of(**outputs: Any) -> list[Any]:
    return [json.loads(line) for line in lines_media.encode(outputs, "predict").splitlines()]


def test_an_answer_is_a_line_per_row() -> None:
    assert lines_of(predict=np.array([1.5, np.nan])) == [1.5, None]
    assert lines_of(predict=np.array([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert lines_of(predict=np.array(["a\nb", None], object)) == ["a\nb", None]
    assert lines_of(a=np.array([1.0, 2.0]), b=np.array(["x", "y"])) == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    with pytest.raises(ModelError):
        lines_of(predict=np.array([object()], object))
