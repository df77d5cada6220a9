"""Example files and input files of the command line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from demijohn.config import Settings
from demijohn.errors import LoadError
from demijohn.example_specs import read_specs
from demijohn.examples import media_type_of, read_example, rows_of
from demijohn.messages import InferenceRequest, NamedTensors, RawTensor
from demijohn.protocols import csv_media


def example(tmp_path: Path, name: str, text: str) -> Any:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return read_example(path, Settings())


def test_a_csv_becomes_records_column_by_column(tmp_path: Path) -> None:
    text = 'n,flag,city,zip\n3,true,"a ""b"", c",01234\n,False,,x\n'
    assert example(tmp_path, "rows.csv", text) == [
        {"n": 3.0, "flag": True, "city": 'a "b", c', "zip": "01234"},
        {"n": None, "flag": False, "city": None, "zip": "x"},
    ]


@pytest.mark.parametrize("cell", ["nan", "inf", "1_000", "0x10", " ", "TRUE!"])
def test_what_is_no_number_in_a_request_is_text_in_an_example(tmp_path: Path, cell: str) -> None:
    assert not csv_media.is_number(cell)
    assert example(tmp_path, "rows.csv", f"a,b\n1,{cell}\n") == [{"a": 1.0, "b": cell}]


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1, "b": "x"}]',
        '{"instances": [{"a": 1, "b": "x"}]}',
        '{"inputs": {"a": [1], "b": ["x"]}}',
        '{"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"]]}}',
        '\ufeff  [{"a": 1, "b": "x"}]'.replace("\ufeff", ""),
    ],
)
def test_every_json_form_gives_the_same_records(tmp_path: Path, text: str) -> None:
    assert example(tmp_path, "rows.json", text) == [{"a": 1, "b": "x"}]


def test_rows_without_names_stay_lists(tmp_path: Path) -> None:
    assert example(tmp_path, "rows.json", "[[1, 2.5], [3, 4]]") == [[1, 2.5], [3, 4]]


def test_the_extension_tells_the_form_else_the_first_character() -> None:
    assert media_type_of(Path("a.json"), b"x") == "application/json"
    assert media_type_of(Path("a.CSV"), b"[x]") == "text/csv"
    assert media_type_of(Path("-"), b"\n [1]") == "application/json"
    assert media_type_of(Path("-"), b"a,b") == "text/csv"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", "{", "not valid JSON"),
        ("a.json", '{"rows": []}', "not a form of request"),
        ("a.csv", "", "empty"),
        ("a.csv", 'a\n"b', "not valid CSV"),
        ("a.csv", "a,b\n1,2\n3\n", "row 1 has not 2 cells"),
    ],
)
def test_an_example_that_cannot_be_read_is_told_with_its_file(
    tmp_path: Path, name: str, text: str, why: str
) -> None:
    with pytest.raises(LoadError, match=rf"{name}: .*{why}"):
        example(tmp_path, name, text)


def test_a_missing_example_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"gone\.csv: there is no such file"):
        read_example(tmp_path / "gone.csv", Settings())
    with pytest.raises(LoadError, match="is a directory"):
        read_example(tmp_path, Settings())


def test_arrays_by_name_become_records() -> None:
    inputs = NamedTensors({"image": np.zeros((2, 1, 2)), "age": np.array([3, 4])})
    assert rows_of(InferenceRequest(inputs), 1) == [{"image": [[0.0, 0.0]], "age": 3}]


def test_bytes_alone_are_no_rows() -> None:
    with pytest.raises(LoadError):
        rows_of(InferenceRequest(RawTensor(b"12345678")))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_instants_of_a_binary_file_are_instants_and_no_texts(tmp_path: Path, unit: str) -> None:
    since = pd.Series(["2020-01-01T06:30", None, "2262-01-01"], dtype=f"datetime64[{unit}]")
    pd.DataFrame({"since": since}).to_parquet(tmp_path / "rows.parquet")
    _, (spec,) = read_specs(read_example(tmp_path / "rows.parquet", Settings()))
    assert (spec.dtype, spec.nullable) == ("datetime64[ns]", True)


def test_instants_in_arrays_are_instants_too() -> None:
    tensors = NamedTensors({"since": np.array(["2020-01-01", "NaT"], "datetime64[ns]")})
    records = rows_of(InferenceRequest(tensors))
    assert records == [{"since": datetime(2020, 1, 1)}, {"since": None}]  # noqa: DTZ001  - none in numpy's
