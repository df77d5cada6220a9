"""Records and frames that the kernel reads, and others: one answer, whether they fit or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.test_record_blocks import assert_same

from demijohn import kernels
from demijohn.config import Settings
from demijohn.errors import RequestError
from demijohn.messages import Columns, Inputs, Matrix, RecordCells, Records, Rows, as_written
from demijohn.protocols import lines_media, mlflow, native, tensorflow
from demijohn.protocols.pieces import Bounds, rows_in
from demijohn.signature import Signature, TensorSpec

SETTINGS = Settings()
NAMES = ("a", "b", "c")
SPECS = st.sampled_from(
    [
        TensorSpec,
        lambda name: TensorSpec(name, nullable=True),
        lambda name: TensorSpec(name, "float32", nullable=True),
        lambda name: TensorSpec(name, "float16"),
        lambda name: TensorSpec(name, "int64"),
        lambda name: TensorSpec(name, "int8", nullable=True),
        lambda name: TensorSpec(name, "uint64"),
        lambda name: TensorSpec(name, "bool"),
        lambda name: TensorSpec(name, "bool", nullable=True),
        lambda name: TensorSpec(name, "str", nullable=True),
        lambda name: TensorSpec(name, "str"),
        lambda name: TensorSpec(name, "object", nullable=True),
        lambda name: TensorSpec(name, "datetime64[ns]", nullable=True),
        lambda name: TensorSpec(name, "str", nullable=True, categories=("x", "y"), is_closed=True),
        lambda name: TensorSpec(name, "str", categories=("x", "1"), is_closed=True),
        lambda name: TensorSpec(name, "int64", categories=(1, 2), is_closed=True),
        lambda name: TensorSpec(name, "float64", is_optional=True, nullable=True),
    ]
)
CELLS = st.sampled_from(
    [
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-130, 130),
        st.integers(-(2**65), 2**65),
        st.sampled_from(["x", "y", "1", "é", "2024-01-02", "", "\n"]),
        st.booleans(),
        st.none(),
        st.sampled_from([1, 2.5, "x", None, True, [1], {"b64": "aGk="}]),
    ]
)
TABLE = Signature("table", tuple(TensorSpec(name) for name in NAMES))


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    specs = tuple(draw(SPECS)(name) for name in NAMES[: draw(st.integers(1, 3))])
    if draw(st.integers(0, 9)) == 0:
        return Signature("matrix", (TensorSpec("a", shape=(-1, len(specs))),))
    return Signature("table", specs)


@st.composite
def bodies(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.sampled_from([NAMES, NAMES[:2], NAMES[:1], NAMES[::-1], ("b", "a"), ("a", "z")]))
    kinds = {name: draw(CELLS) if draw(st.booleans()) else draw(CELLS) | st.none() for name in names}
    records = draw(st.lists(st.fixed_dictionaries(kinds), min_size=1, max_size=20))
    if draw(st.integers(0, 9)) == 0:
        return records  # each in an order of its own
    return [{name: record[name] for name in names} for record in records]


def outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except RequestError as error:
        return error.status, error.code, error.detail, [str(problem) for problem in error.errors]


def assert_alike(got: Any, wanted: Any) -> None:
    if isinstance(wanted, tuple):
        assert got == wanted
        return
    assert_same(got, wanted)


def both_ways(validate: Callable[[], Any]) -> tuple[Any, Any]:
    """Return what comes of a body with the kernel, and without it."""
    with_kernel = outcome(validate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "IS_BUILT", False)
        return with_kernel, outcome(validate)


def frame_of(records: list[dict[str, Any]], **more: Any) -> bytes:
    """Write records as pandas writes a table in MLflow's form."""
    columns = list(records[0])
    rows = [[record[name] for name in columns] for record in records]
    return json.dumps({"dataframe_split": {"columns": columns, **more, "data": rows}}).encode()


def columns_of(records: list[dict[str, Any]]) -> bytes:
    columns = {name: [record[name] for record in records] for name in records[0]}
    return json.dumps({"inputs": columns}).encode()


def rows_of(records: list[dict[str, Any]], key: str | None = None) -> bytes:
    rows = [list(record.values()) for record in records]
    return json.dumps(rows if key is None else {key: rows}).encode()


WRITERS: dict[str, tuple[Callable[[bytes], Inputs], Callable[[Any], bytes]]] = {
    "list": (lambda body: native.decode(body, "", SETTINGS).inputs, lambda rows: json.dumps(rows).encode()),
    "instances": (
        lambda body: native.decode(body, "", SETTINGS).inputs,
        lambda rows: json.dumps({"instances": rows}, ensure_ascii=False).encode(),
    ),
    "mlflow": (
        lambda body: mlflow.decode(body, "application/json", SETTINGS).inputs,
        lambda rows: json.dumps({"dataframe_records": rows}).encode(),
    ),
    "frame": (
        lambda body: native.decode(body, "", SETTINGS).inputs,
        lambda rows: frame_of(rows, index=[f"é{row}" for row in range(len(rows))]),
    ),
    "mlflow's frame": (
        lambda body: mlflow.decode(body, "application/json", SETTINGS).inputs,
        lambda rows: frame_of(rows, index=list(range(len(rows)))),
    ),
    "mlflow's frame without an index": (
        lambda body: mlflow.decode(body, "application/json", SETTINGS).inputs,
        frame_of,
    ),
    "columns": (lambda body: native.decode(body, "", SETTINGS).inputs, columns_of),
    "mlflow's columns": (lambda body: mlflow.decode(body, "application/json", SETTINGS).inputs, columns_of),
    "tensorflow, columns": (lambda body: tensorflow.decode(body, "predict", SETTINGS).inputs, columns_of),
    "tensorflow": (
        lambda body: tensorflow.decode(body, "predict", SETTINGS).inputs,
        lambda rows: json.dumps({"instances": rows}).encode(),
    ),
    "tensorflow, inputs": (
        lambda body: tensorflow.decode(body, "predict", SETTINGS).inputs,
        lambda rows: json.dumps({"inputs": rows}).encode(),
    ),
    "lines": (
        lambda body: lines_media.decode(body, SETTINGS),
        lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    ),
    "rows": (lambda body: native.decode(body, "", SETTINGS).inputs, rows_of),
    "mlflow's rows": (
        lambda body: mlflow.decode(body, "application/json", SETTINGS).inputs,
        lambda rows: rows_of(rows, "inputs"),
    ),
    "tensorflow, rows": (
        lambda body: tensorflow.decode(body, "predict", SETTINGS).inputs,
        lambda rows: rows_of(rows, "instances"),
    ),
    "lines, rows": (
        lambda body: lines_media.decode(body, SETTINGS),
        lambda rows: b"".join(rows_of([row])[1:-1] + b"\n" for row in rows),
    ),
}


@settings(max_examples=1500, deadline=None)
@given(signatures(), bodies(), st.sampled_from(list(WRITERS)))
@example(TABLE, [{"a": 1, "b": 2}], "list")
@example(TABLE, [{"a": 1}], "tensorflow")
@example(Signature("matrix", (TensorSpec("x", shape=(-1, 2)),)), [{"a": 1, "b": 2}], "frame")
@example(Signature("matrix", (TensorSpec("x", shape=(-1, 2)),)), [{"a": 1, "b": "x"}], "mlflow's frame")
@example(TABLE, [{"b": 1, "a": None, "c": 2}] * 2, "mlflow's frame without an index")
@example(TABLE, [{"a": 1, "b": 2, "c": 3}] * 2, "columns")
@example(Signature("matrix", (TensorSpec("a", shape=(-1, 1)),)), [{"a": 1}], "columns")
@example(Signature("matrix", (TensorSpec("x", shape=(-1, 2)),)), [{"a": 1, "b": 2}], "tensorflow, columns")
@example(Signature("matrix", (TensorSpec("x", shape=(-1, 1)),)), [{"a": 1}], "tensorflow")
@example(Signature("matrix", (TensorSpec("x", "str"),)), [{"a": "y"}], "tensorflow, inputs")
@example(Signature("matrix", (TensorSpec("x", shape=(-1, 2)),)), [{"a": 1, "b": 2}], "tensorflow")
@example(TABLE, [{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": None, "c": 3}], "list")
@example(Signature("table", (TensorSpec("a"), TensorSpec("b", "str"))), [{"a": 1, "b": "x"}] * 2, "rows")
@example(Signature("table", (TensorSpec("b", "str"),)), [{"b": "x"}] * 2, "tensorflow, rows")
@example(Signature("matrix", (TensorSpec("x", nullable=True, shape=(-1, 2)),)), [{"a": 1, "b": None}], "rows")
@example(Signature("matrix", (TensorSpec("x", "object", (-1, 2)),)), [{"a": 1, "b": "x"}], "lines, rows")
def test_records_get_the_same_answer_without_the_kernel(
    signature: Signature, records: list[dict[str, Any]], form: str
) -> None:
    decode, write = WRITERS[form]
    body = write(records)
    assert_alike(*both_ways(lambda: signature.validate(decode(body))))


WORDS = (
    '[ ] { } , : "a" "b" "c" "x" "é" 1 -2.5 1e999 null true NaN \\u0061 "instances": "inputs": '
    '"data": "index": "columns": [1] [[1,2]] []'
)
TOKENS = [*(word.encode() for word in WORDS.split()), b'{"a":1,"b":2,"c":3}', b"\n", b" ", b"\xff", b"\0"]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    body = draw(st.sampled_from([write([{"a": 1, "b": -2.5, "c": 3}] * 2) for _, write in WRITERS.values()]))
    for _ in range(draw(st.integers(0, 3))):
        begin = draw(st.integers(0, len(body)))
        end = begin + draw(st.integers(0, 9))
        body = body[:begin] + draw(st.sampled_from([*TOKENS, b""])) + body[end:]
    return body


@settings(max_examples=1500, deadline=None)
@given(spoiled(), st.sampled_from(list(WRITERS)), st.integers(1, 8), st.integers(1, 4))
def test_a_spoiled_body_gets_the_same_answer_without_the_kernel(
    body: bytes, form: str, max_elements: int, max_depth: int
) -> None:
    limits = Settings(max_elements=max_elements, max_depth=max_depth)

    def validate() -> Any:
        if form.startswith("lines"):
            return TABLE.validate(lines_media.decode(body, limits))
        if form.startswith("mlflow"):
            return TABLE.validate(mlflow.decode(body, "application/json", limits).inputs)
        if form.startswith("tensorflow"):
            request = tensorflow.decode(body, "predict", limits)
            return TABLE.validate(request.inputs)
        return TABLE.validate(native.decode(body, "", limits).inputs)

    assert_alike(*both_ways(validate))


@settings(deadline=None)
@given(bodies(), st.sampled_from(["lines", "lines, rows"]), st.integers(1, 5), st.integers(1, 60))
def test_pieces_of_a_stream_get_the_same_answer_without_the_kernel(
    records: list[dict[str, Any]], form: str, piece_rows: int, cut: int
) -> None:
    text = WRITERS[form][1](records)
    bounds = Bounds(first_bytes=0, row_bytes=1000, piece_rows=piece_rows)

    def read() -> Any:
        parts = [text[begin : begin + cut] for begin in range(0, len(text), cut)][::-1]
        pieces = lines_media.decode_stream(lambda: parts.pop() if parts else b"", bounds, SETTINGS)
        return [(rows_in(piece), TABLE.validate(piece)) for piece in pieces]

    got, wanted = both_ways(read)
    if isinstance(wanted, tuple):
        assert got == wanted
        return
    assert [n for n, _ in got] == [n for n, _ in wanted]
    for (_, one), (_, other) in zip(got, wanted, strict=True):
        assert_alike(one, other)


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_plain_records_are_read_into_one_array() -> None:
    numbers = native.decode(b'[{"a":1,"b":null}]', "", SETTINGS).inputs
    mixed = native.decode(b'{"inputs":[{"a":1,"b":"x"}]}', "", SETTINGS).inputs
    lines = lines_media.decode(b'{"a":1}\n{"a":2}\n', SETTINGS)
    assert isinstance(numbers, Matrix)
    assert isinstance(mixed, RecordCells)
    assert isinstance(lines, Matrix)
    rows = tensorflow.decode(b'{"instances":[{"a":1,"b":2}]}', "predict", SETTINGS).inputs
    assert isinstance(rows, Matrix)
    for inputs in (numbers, mixed, lines, rows):
        assert isinstance(as_written(inputs), Records)


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_a_plain_frame_is_read_into_one_array() -> None:
    for more in ({}, {"index": [0, 1]}, {"index": ["a", "b"]}):
        numbers = native.decode(frame_of([{"a": 1, "b": None}] * 2, **more), "", SETTINGS).inputs
        assert isinstance(numbers, Matrix)
        assert (numbers.columns, numbers.n_missing, numbers.is_by_name) == (["a", "b"], 2, False)
        body = frame_of([{"a": 1, "b": "x"}] * 2, **more)
        mixed = mlflow.decode(body, "application/json", SETTINGS).inputs
        assert isinstance(mixed, RecordCells)
        assert isinstance(as_written(mixed), Rows)
        assert as_written(mixed).columns == ["a", "b"]


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_plain_columns_are_read_into_one_array() -> None:
    for decode in (WRITERS["columns"][0], WRITERS["mlflow's columns"][0], WRITERS["tensorflow, columns"][0]):
        numbers = decode(columns_of([{"a": 1, "b": None}] * 2))
        assert isinstance(numbers, Matrix)
        assert (numbers.columns, numbers.n_missing, numbers.is_by_name) == (["a", "b"], 2, True)
        mixed = decode(columns_of([{"a": 1, "b": "x"}] * 2))
        assert isinstance(mixed, RecordCells)
        assert as_written(mixed) == Columns({"a": [1, 1], "b": ["x", "x"]})


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
@pytest.mark.parametrize("form", WRITERS)
def test_names_and_texts_with_escapes_are_read_by_the_kernel(form: str) -> None:
    decode, write = WRITERS[form]
    body = write([{"größe": 1.5, "ort\n": 'Köln "\\/'}, {"größe": None, "ort\n": "😀"}])
    inputs = decode(body)
    assert isinstance(inputs, RecordCells)
    assert inputs.names == (None if "rows" in form else ("größe", "ort\n"))
    assert inputs.texts == (None, ['Köln "\\/', "😀"])


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_plain_rows_are_read_into_one_array() -> None:
    for decode, write in (WRITERS[form] for form in WRITERS if form.endswith("rows")):
        numbers = decode(write([{"a": 1, "b": None}] * 2))
        assert isinstance(numbers, Matrix)
        assert (numbers.columns, numbers.n_missing) == (None, 2)
        assert as_written(numbers) == Rows([[1, None]] * 2)
        mixed = decode(write([{"a": 1, "b": "x"}] * 2))
        assert isinstance(mixed, RecordCells)
        assert as_written(mixed).rows == [[1, "x"]] * 2


@pytest.mark.parametrize(
    "body",
    [
        b'[1,"x],[",2]', b'[1,"x]\n[",2]', b'[1,"x]\n[",2],[3,"y",4]', b'[1,"]"]\n[2,"["]',
        b'[1,"x"],[2,"y"]',
        b'[1,"x"]\n[2,"y"],[3,"z"]', b'[1,"x"\n,2,"y"]', b'[[1,"x"]]', b'[1,"x"]\n[2]', b'[]\n[]',
        b'[1,"x"]]',
    ],
)  # fmt: skip
def test_lines_that_are_no_lists_get_the_same_answer_without_the_kernel(body: bytes) -> None:
    table = Signature("table", (TensorSpec("a"), TensorSpec("b", "str")))
    assert_alike(*both_ways(lambda: table.validate(lines_media.decode(body, SETTINGS))))


COLUMNS = b'{"dataframe_split":{"columns":["a","b"],'


@pytest.mark.parametrize(
    "body",
    [
        COLUMNS + b'"data":[]}}', COLUMNS + b'"data":[[]]}}', COLUMNS + b'"data":[1,2]}}',
        COLUMNS + b'"data":[[1,2],[3]]}}', COLUMNS + b'"data":[[1],[3]]}}', COLUMNS + b'"data":[[1,2],3]}}',
        COLUMNS + b'"data":[[1,[2]]]}}', COLUMNS + b'"data":[[1,"\\ud800"]]}}',
        b'{"dataframe_split":{"columns":["a","\\u0061"],"data":[[1,2]]}}',
        COLUMNS + b'"d\\u0061ta":[[1,2]]}}', COLUMNS + b'"data":[[1,2]],"d\\u0061ta":[]}}',
        b'{"inputs":{"a":[1],"\\u0061":[2]}}',
        COLUMNS + b'"data":[[1,NaN]]}}',
        COLUMNS + b'"data":[[1,2]],"data":[[3,4]]}}', COLUMNS + b'"data":[[1,2]],"index":[0,1]}}',
        COLUMNS + b'"data":[[1,2]],"index":[[0]]}}', COLUMNS + b'"data":[[1,2]],"index":"x"}}',
        COLUMNS + b'"data":[[1,2]],"index":[null]}}', COLUMNS + b'"data":[[1,2]],"index":[]}}',
        COLUMNS + b'"data":[[1,2]],"other":1}}', COLUMNS + b'"data":[[1,2]]},"params":{}}',
        COLUMNS + b'"data":[[1,2]]},"params":{"data":[[1,2]]}}', COLUMNS + b'"data":[[1,2]]}',
        COLUMNS + b'"data":[[1,2]],"id":"x"}}', COLUMNS + b'"data":[[1,2]],"columns":["b","a"]}}',
        COLUMNS + b'"data":null,"index":{"data":[[1,2]]}}}', b'{"dataframe_split":{"data":[[1,2]]}}',
        b'{"dataframe_split":{"columns":["a","a"],"data":[[1,2]]}}',
        b'{"dataframe_split":{"columns":[0,1],"data":[[1,2]]}}',
        b'{"dataframe_split":{"columns":null,"data":[[1,2]]}}',
        b'{"dataframe_split":{"columns":"ab","data":[[1,2]]}}',
        b'{"dataframe_split":{"columns":["data","index"],"data":[[1,2]]}}',
        b'{"dataframe_split":[["a","b"],{"data":[[1,2]]}]}',
        b'{"inputs":{"a":[1],"b":[]}}', b'{"inputs":{"a":[1],"b":[2,3]}}',
        b'{"inputs":{"a":[[1]],"b":[[2]]}}', b'{"inputs":[1,2]}',
        b'{"inputs":{"a":[1],"b":2}}', b'{"inputs":{"a":[1],"b":{"c":[2]}}}', b'{"inputs":{"a":[1],"a":[2]}}',
        b'{"inputs":{"a":[1],"b":[2]},"params":{}}', b'{"inputs":{"a":[1],"b":[2]},"instances":[1]}',
        b'{"inputs":{"a":[1],"b":["\\n"]}}', b'{"inputs":{"a":[1],"b":[{"b64":"AA=="}]}}',
        b'{"inputs":{"a":[1],"b":[2],"id":"x"}}', b'{"inputs":{"id":[1],"index":[2]}}', b'{"inputs":{}}',
        b'{"inputs":{"a":[1],"b":[2]}', b'{"inputs":{"a":[1],"b":[2]}} []', b'{"inputs":{"a":[1] "b":[2]}}',
        b'{"dataframe_split":{"columns":["\xff"],"data":[[1]]}}',
        b'{"dataframe_split":{"columns":[],"data":[[1]]}}', b'{"instances":[[1,"x"]],"params":{}}',
        b'[[1,"x"]] []', b'{"instances":[[1,"x"]],"inputs":[[1,"x"]]}',
        b'{"inputs":[[1,"x"]],"inputs":[[1,"x"]]}', b'{"instances":{"inputs":[[1,"x"]]}}', b'[[1,"x"],[2]]',
        b'{"instances":["x",null]}', b'["x",null]', b'[["x",[1]]]', b'[["x"],1]', b'[[[1,null]]]', b'[[]]',
        b'{"instances":[[1,"x"]],"id":"q"}', b'[{"instances":[[1,"x"]]}]', b'{"\\u0069nputs":[[1,"x"]]}',
    ],
)  # fmt: skip
def test_any_other_frame_gets_the_same_answer_without_the_kernel(body: bytes) -> None:
    table = Signature("table", tuple(TensorSpec(name) for name in ("a", "b")))
    for decode in (WRITERS["frame"][0], WRITERS["mlflow's frame"][0]):
        assert_alike(*both_ways(lambda decode=decode: table.validate(decode(body))))  # type: ignore[misc]


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_a_frame_may_hold_as_many_values_as_are_allowed_and_no_more() -> None:
    body = frame_of([{"a": 1, "b": 2, "c": 3}] * 30, index=list(range(30)))
    for most in range(100, 140):
        limits = Settings(max_elements=most)
        assert_alike(*both_ways(lambda limits=limits: TABLE.validate(native.decode(body, "", limits).inputs)))  # type: ignore[misc]


def test_records_are_no_rows_of_a_model_without_column_names() -> None:
    matrix = Signature("matrix", (TensorSpec("x", shape=(-1, 3)),))
    with pytest.raises(RequestError, match="The model has no column names"):
        matrix.validate(native.decode(b'[{"a":1,"b":2,"c":3}]', "", SETTINGS).inputs)


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances":[{"a":1,"b":2}]}', b'{"inputs":[{"a":1,"b":2}]}', b'{"instances":[{"a":1}]}',
        b'{"inputs":[{"instances":1,"b":"instances"}]}', b'{"instances":[{"inputs":1,"b":"inputs"}]}',
        b'{"inputs":[{"a":"x"}]}', b' {\n"inputs" : [[1, 2]]}', b'{"instances":[[1],[2]]}', b"{}", b"{",
        b'{"instances":[{"b64":"aGk="}]}', b'{"dataframe_records":[{"a":1,"b":2}]}',
        b'{"instances":[{"a":1,"b":2}],"signature_name":"predict"}', b'{"instances":[{"a":NaN,"b":2}]}',
        b'{"signature_name":"predict","instances":[{"a":1,"b":2}]}',
        b'{"instances":[{"a":1,"b":2}],"inputs":[{"a":1,"b":2}]}',
    ],
)  # fmt: skip
def test_tensorflow_answers_rows_or_columns_as_without_the_kernel(body: bytes) -> None:
    def read() -> Any:
        request = tensorflow.decode(body, "predict", SETTINGS)
        return request.note, request.methods, as_written(request.inputs)

    with_kernel, without = both_ways(read)
    assert with_kernel == without
