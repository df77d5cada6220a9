"""JSON lines in and out."""

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
from demijohn.messages import Inputs, Matrix, Records, Rows
from demijohn.protocols import json_lines
from demijohn.protocols.pieces import Bounds, rows_in

SETTINGS = Settings(max_depth=3, max_elements=5)
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
    if isinstance(inputs, Matrix):
        inputs = inputs.again()
    assert isinstance(inputs, Rows | Records)
    return inputs.rows if isinstance(inputs, Rows) else inputs.records


def lines(values: list[Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@given(ROWS | RECORDS, st.lists(st.integers(1, 20), min_size=1), st.integers(1, 5), st.booleans())
def test_lines_are_rows_or_records_however_they_come(
    values: list[Any], sizes: list[int], piece_rows: int, has_last_end: bool
) -> None:
    body = lines(values) if has_last_end else lines(values)[:-1]
    assert written(json_lines.decode(body, SETTINGS)) == values
    pieces = list(json_lines.decode_stream(reader(body, sizes), Bounds(piece_rows), SETTINGS))
    assert [value for piece in pieces for value in written(piece)] == values
    assert max(map(rows_in, pieces)) <= piece_rows


def test_empty_lines_are_none_and_a_short_body_is_one_piece() -> None:
    body = b"\r\n [1, 2]\r\n\n\t[3, 4] "
    assert written(json_lines.decode(body, SETTINGS)) == [[1, 2], [3, 4]]
    assert (
        len(list(json_lines.decode_stream(reader(body, [3]), Bounds(first_bytes=len(body)), SETTINGS))) == 1
    )
    assert len(list(json_lines.decode_stream(reader(body, [3]), Bounds(first_bytes=5), SETTINGS))) > 1
    assert list(json_lines.decode_stream(reader(b"\n\n", [1]), Bounds(), SETTINGS)) == [Rows([])]


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
        lambda: json_lines.decode(body, SETTINGS),
        lambda: list(json_lines.decode_stream(reader(body, [size]), Bounds(2), SETTINGS)),
    ):
        with pytest.raises(error) as raised:
            read()
        assert [problem.row for problem in raised.value.errors] == [3]
        assert raised.value.detail.startswith("row 3: ")


def test_a_line_may_not_end_a_row_of_another() -> None:
    for body in (b"[1],[2\n3]\n", b"[1],[[2]\n[3]]\n", b"[1,2\n3],[4]\n", b"[1]]\n[[2]\n", b"[1],[2]\n[3]\n"):
        with pytest.raises(DecodeError):
            json_lines.decode(body, SETTINGS)


@pytest.mark.parametrize("size", [1, 64])
def test_a_line_that_never_ends_is_given_up(size: int) -> None:
    with pytest.raises(BodyTooLarge) as raised:
        list(
            json_lines.decode_stream(
                reader(b"[1]\n" * 5 + b"[" * 500, [size]), Bounds(row_bytes=100), SETTINGS
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
    from demijohn.messages import InferenceRequest, InferenceResponse
    from demijohn.protocols import native

    for outputs in ({"predict": array}, {"mean": array, "std": array}):
        response = InferenceResponse(outputs, "model", "1", "predict", len(array))
        request = InferenceRequest(Rows([]))
        found = native.encode(response, request, json_lines.MEDIA_TYPES[0]).body
        whole = json.loads(native.encode(response, request, native.JSON).body)["predictions"]
        assert [json.loads(line) for line in io.BytesIO(found)] == whole
        assert found.count(b"\n") == len(array)


def test_what_json_has_no_form_for_is_the_models_failure() -> None:
    for outputs in ({"predict": np.array([object()])}, {"a": np.array([object()])}):
        with pytest.raises(ModelError):
            json_lines.encode(outputs, "predict")
