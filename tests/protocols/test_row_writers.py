"""Answers in pieces are the whole answer, and an error at their end is no row."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.messages import InferenceRequest, InferenceResponse, Rows
from demijohn.protocols import native

PROBLEM = native.encode_error(native.DemijohnError('it, "failed"'), "id").body
OUTPUTS: list[dict[str, Any]] = [
    {"predict": np.array([1.5, np.nan, 3.0])},
    {"predict": np.array(["a", 'b,"c"\n', None], dtype=object)},
    {"predict_proba": np.arange(6.0).reshape(3, 2)},
    {"mean": np.array([1, 2, 3]), "text": np.array(["=1", "", "x"], dtype=object)},
]


def response(outputs: dict[str, Any]) -> InferenceResponse:
    return InferenceResponse(outputs, "model", "1", "predict", len(next(iter(outputs.values()))))


@given(st.sampled_from(OUTPUTS), st.sampled_from([native.CSV, *native.LINES]), st.integers(1, 3))
def test_pieces_make_the_whole(outputs: dict[str, Any], media_type: str, height: int) -> None:
    whole = native.encode(response(outputs), InferenceRequest(Rows([])), media_type)
    writer = native.encode_stream(media_type)
    pieces = [
        writer.write(response({name: array[start : start + height] for name, array in outputs.items()}))
        for start in range(0, 3, height)
    ]
    assert b"".join(pieces) + writer.end() == whole.body
    assert writer.content_type == whole.content_type


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_an_error_in_csv_is_a_row_of_one_cell_more_than_there_are_columns(outputs: dict[str, Any]) -> None:
    writer = native.encode_stream(native.CSV)
    text = (writer.write(response(outputs)) + writer.fail(PROBLEM)).decode()
    header, *rows, last = csv.reader(io.StringIO(text, newline=""))
    assert {len(row) for row in rows} == {len(header)}
    assert last[:-1] == [""] * len(header)
    assert json.loads(last[-1]) == json.loads(PROBLEM)
    with pytest.raises(pd.errors.ParserError, match="Expected"):
        pd.read_csv(io.StringIO(text))


def test_an_error_in_json_lines_is_an_object_with_the_key_error() -> None:
    writer = native.encode_stream("application/x-ndjson")
    *rows, last = (writer.write(response(OUTPUTS[0])) + writer.fail(PROBLEM)).splitlines()
    assert [json.loads(row) for row in rows] == [1.5, None, 3.0]
    assert json.loads(last) == {"error": json.loads(PROBLEM)}
