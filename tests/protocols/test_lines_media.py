"""JSON lines: a row per line, as strict as a whole body, however the bytes come."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocols.test_csv_lines import reader

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, ModelError, RequestError
from demijohn.messages import InferenceRequest, InferenceResponse, Inputs, Matrix, Records, Rows, as_written
from demijohn.protocols import lines_media, native
from demijohn.protocols.pieces import Bounds, rows_in
from demijohn.signature import Signature, TensorSpec

SETTINGS = Settings()


def test_lines_are_rows_records_or_values() -> None:
    numbers = lines_media.decode(b"[1, 2.5]\n\n  [3, 4]\r\n", SETTINGS)
    assert isinstance(numbers, Matrix)
    assert numbers.numbers.tolist() == [[1, 2.5], [3, 4]]
    assert numbers.again().rows == [[1, 2.5], [3, 4]]
    rows = as_written(lines_media.decode(b'["a", null]\n["b", 2]', SETTINGS))
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
        (b"[1]\n[2\n[3]", "row 1"),
        (b"[1\n2]", "row 0"),
        (b"[1\n2]\n[3],[4]", "row 0"),
        (b"[1],[2]\n[3]", "row 0"),
        (b"[[1]\n[2]]", "row 0"),
        (b'{"a": 1, "a": 2}', "row 0: The key 'a' stands twice"),
        (b"[1]\n[NaN]", "row 1"),
        (b'["\xff"]', "row 0"),
        (b"[1]\n" + b"[" * 65 + b"]" * 65, "row 1: The body is nested deeper"),
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


# Piece by piece ------------------------------------------------------------------------------

STRICT = Settings(max_depth=3, max_elements=5)
MANY = Settings(max_depth=3)  # a whole body's values are counted together
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
)
ROWS = st.lists(st.lists(SCALARS, max_size=3), min_size=1) | st.lists(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2), min_size=1
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=3), SCALARS, max_size=3), min_size=1)


def written(inputs: Inputs) -> list[Any]:
    """Return what each line said."""
    inputs = as_written(inputs)
    assert isinstance(inputs, Rows | Records)
    return inputs.rows if isinstance(inputs, Rows) else inputs.records


def lines(values: list[Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@given(ROWS | RECORDS, st.lists(st.integers(1, 20), min_size=1), st.integers(1, 5), st.booleans())
def test_lines_are_rows_or_records_however_they_come(
    values: list[Any], sizes: list[int], piece_rows: int, has_last_end: bool
) -> None:
    body = lines(values) if has_last_end else lines(values)[:-1]
    assert written(lines_media.decode(body, MANY)) == values
    pieces = list(lines_media.decode_stream(reader(body, sizes), Bounds(piece_rows), STRICT))
    assert [value for piece in pieces for value in written(piece)] == values
    assert max(map(rows_in, pieces)) <= piece_rows


def test_empty_lines_are_none_and_a_short_body_is_one_piece() -> None:
    body = b"\r\n [1, 2]\r\n\n\t[3, 4] "
    assert written(lines_media.decode(body, MANY)) == [[1, 2], [3, 4]]
    assert len(list(lines_media.decode_stream(reader(body, [3]), Bounds(first_bytes=len(body)), STRICT))) == 1
    assert len(list(lines_media.decode_stream(reader(body, [3]), Bounds(first_bytes=5), STRICT))) > 1
    assert list(lines_media.decode_stream(reader(b"\n\n", [1]), Bounds(), STRICT)) == [Rows([])]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (b"[1", DecodeError),
        (b"[1],[2]", DecodeError),
        (b"[NaN]", DecodeError),
        (b'{"a": 1, "a": 2}', DecodeError),
        (b"[[[[1]]]]", DecodeError),
        (b"[1e999]", DecodeError),
        (b'["\xff"]', DecodeError),
        (b"[1,2,3,4,5,6]", BodyTooLarge),
        (b'{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}', BodyTooLarge),
        (b"[[1,2,3],[4,5,6]]", BodyTooLarge),
    ],
)
@pytest.mark.parametrize("good", [b"[1]", b'{"a": 1}', b"[[1]]", b'"x"', b'{"a": {"b": 1}}'])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_line_that_is_no_json_or_over_a_limit_is_named(
    bad: bytes, error: type[RequestError], good: bytes, size: int
) -> None:
    body = (good + b"\n") * 3 + bad + b"\n" + good + b"\n"
    for read in (
        lambda: lines_media.decode(body, MANY if error is DecodeError else STRICT),
        lambda: list(lines_media.decode_stream(reader(body, [size]), Bounds(2), STRICT)),
    ):
        with pytest.raises(error) as raised:
            read()
        if raised.value.errors:
            assert [problem.row for problem in raised.value.errors] == [3]
            assert raised.value.detail.startswith("row 3: ")
    assert raised.value.errors  # else all values of a whole body are too many


def test_a_line_may_not_end_a_row_of_another() -> None:
    for body in (b"[1],[2\n3]\n", b"[1],[[2]\n[3]]\n", b"[1,2\n3],[4]\n", b"[1]]\n[[2]\n", b"[1],[2]\n[3]\n"):
        with pytest.raises(DecodeError):
            lines_media.decode(body, MANY)


@pytest.mark.parametrize("size", [1, 64])
def test_a_line_that_never_ends_is_given_up(size: int) -> None:
    with pytest.raises(BodyTooLarge) as raised:
        list(
            lines_media.decode_stream(
                reader(b"[1]\n" * 5 + b"[" * 500, [size]), Bounds(row_bytes=100), STRICT
            )
        )
    assert raised.value.errors[0].row == 5


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, math.nan, -0.0, 1e300]),
        np.array([[1.5, math.inf], [0.1, 2.0]]),
        np.arange(12, dtype=np.int64).reshape(2, 2, 3),
        np.array([0.1, 0.2], dtype=np.float32),
        np.array([True, False]),
        np.array(["a,b", "c\n],["], dtype=object),
        np.array([[1, None], ["x", [2]]], dtype=object),
        np.array(["2020-01-02", "NaT"], dtype="M8[D]"),
        np.empty((2, 0)),
        np.empty((0,)),
    ],
)
def test_a_line_is_what_predictions_would_have_for_its_row(array: Any) -> None:
    for outputs in ({"predict": array}, {"mean": array, "std": array}):
        response = InferenceResponse(outputs, "model", "1", "predict", len(array))
        request = InferenceRequest(Rows([]))
        found = native.encode(response, request, lines_media.MEDIA_TYPES[0]).body
        whole = json.loads(native.encode(response, request, native.JSON).body)["predictions"]
        assert [json.loads(line) for line in io.BytesIO(found)] == whole
        assert found.count(b"\n") == len(array)


def test_what_json_has_no_form_for_is_the_models_failure() -> None:
    for outputs in ({"predict": np.array([object()])}, {"a": np.array([object()])}):
        with pytest.raises(ModelError):
            lines_media.encode(outputs, "predict")
