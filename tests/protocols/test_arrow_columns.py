"""Columns of Arrow and the same rows in JSON: one answer, whether they fit or not."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demijohn.config import Settings
from demijohn.errors import SignatureMismatch
from demijohn.messages import Columns, Inputs, Rows
from demijohn.protocols import arrow_media, arrow_pieces, parquet_media
from demijohn.protocols.pieces import Bounds
from demijohn.signature import Signature, TensorSpec

TEXTS = st.sampled_from(["a", "b", "", "3.5", "2024-01-02"])
CELLS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "double": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "float": (pa.float32(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint8": (pa.uint8(), st.integers(0, 255)),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), TEXTS),
    "view": (pa.string_view(), TEXTS),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), TEXTS),
    "coded numbers": (pa.dictionary(pa.int16(), pa.int32()), st.integers(-9, 9)),
    "null": (pa.null(), st.none()),
}
SPECS = st.one_of(
    st.builds(
        TensorSpec,
        st.just("x"),
        st.sampled_from(
            [
                "float64",
                "float32",
                "float16",
                "int64",
                "int8",
                "uint64",
                "bool",
                "str",
                "object",
                "datetime64[ns]",
            ]
        ),
        nullable=st.booleans(),
    ),
    st.just(TensorSpec("x", "str", nullable=True, categories=("a", "b"), is_closed=True)),
    st.just(TensorSpec("x", "str", categories=("b", "3.5"), is_closed=True)),
    st.just(TensorSpec("x", "int64", categories=(1, 2), is_closed=True)),
    st.just(TensorSpec("x", "float64", nullable=True, categories=(1.0, 2.0), is_closed=True)),
)


def stream(columns: dict[str, pa.Array]) -> bytes:
    batch = pa.record_batch(columns)
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write(batch)
    return out.getvalue()


def decode(body: bytes) -> Inputs:
    return arrow_media.decode(body, arrow_media.STREAM, Settings())


def outcome(signature: Signature, inputs: Inputs) -> Any:
    """Return the tensors as plain values and dtypes, or the problems."""
    try:
        tensors = signature.validate(inputs)
    except SignatureMismatch as error:
        return error.errors
    for array in tensors.values():
        assert array.flags.writeable
        assert array.flags.c_contiguous
    return {name: (array.dtype, repr(array.tolist())) for name, array in tensors.items()}


def check_alike(made: Any, expected: Any) -> None:
    """Compare with JSON's outcome, which may name twenty rows where a type is that of the whole column."""
    if isinstance(expected, dict):
        assert made == expected
        return
    for problem in made:
        alike = [one for one in expected if problem.row is None or one.row == problem.row]
        alike = [one for one in alike if problem.column is None or one.column == problem.column]
        assert alike
        assert problem.expected == alike[0].expected
        assert problem.row is None or problem.received == alike[0].received
    if all(problem.column is not None for problem in made):
        assert {problem.column for problem in made} == {problem.column for problem in expected}


@given(st.data())
@settings(deadline=None)  # the first imports parts of pyarrow
def test_a_table_is_taken_or_refused_as_its_json_is(data: st.DataObject) -> None:
    n_rows = data.draw(st.integers(1, 5))
    columns, specs, cells = {}, [], {}
    for name in data.draw(st.sampled_from([("x",), ("x", "y"), ("x", "y", "z")])):
        kind, values = CELLS[data.draw(st.sampled_from(sorted(CELLS)))]
        cells[name] = data.draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows))
        columns[name] = pa.array(cells[name], kind)
        spec = data.draw(SPECS)
        specs.append(TensorSpec(name, spec.dtype, nullable=spec.nullable,
                                categories=spec.categories, is_closed=spec.is_closed))  # fmt: skip
    signature = Signature("table", tuple(specs))
    given_columns = decode(stream(columns))
    check_alike(outcome(signature, given_columns), outcome(signature, Columns(cells)))


@given(st.data())
@settings(deadline=None)  # the first imports parts of pyarrow
def test_a_matrix_takes_columns_by_position_as_it_takes_rows(data: st.DataObject) -> None:
    n_rows, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    kinds = [CELLS[data.draw(st.sampled_from(sorted(CELLS)))] for _ in range(width)]
    if data.draw(st.booleans()):
        kinds = [kinds[0]] * width
    cells = [data.draw(st.lists(st.none() | v, min_size=n_rows, max_size=n_rows)) for _, v in kinds]
    columns = {f"c{i}": pa.array(c, kind) for i, (c, (kind, _)) in enumerate(zip(cells, kinds, strict=True))}
    dtype = data.draw(st.sampled_from(["float64", "float32", "int64", "bool", "str", "object"]))
    shape = data.draw(st.sampled_from([(-1, width), (-1, -1), (-1,)]))
    signature = Signature("matrix", (TensorSpec("inputs", dtype, shape, nullable=data.draw(st.booleans())),))
    rows = [list(row) for row in zip(*cells, strict=True)]
    given_columns = decode(stream(columns))
    check_alike(outcome(signature, given_columns), outcome(signature, Rows(rows)))


@given(
    st.sampled_from([np.float64, np.float32, np.int64, np.int8]),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.booleans(),
)
@settings(deadline=None)
def test_a_column_of_lists_is_a_tensor(dtype: type[Any], sizes: list[int], is_fixed: bool) -> None:
    tensor = np.arange(2 * np.prod(sizes)).astype(dtype).reshape(2, *sizes)
    kind = pa.from_numpy_dtype(tensor.dtype)
    for size in reversed(sizes):
        kind = pa.list_(kind, size) if is_fixed else pa.list_(kind)
    decoded = decode(stream({"any": pa.array(tensor.tolist(), kind)}))
    layout = "matrix" if len(sizes) == 1 else "tensors"
    spec = TensorSpec("image", tensor.dtype.name, (-1, *sizes))
    made = Signature(layout, (spec,)).validate(decoded)["image"]  # type: ignore[arg-type]
    assert made.dtype == tensor.dtype
    assert made.tolist() == tensor.tolist()


def decode_whole(table: pa.Table) -> Any:
    return arrow_media.decode(written(table), arrow_media.STREAM, Settings())


def decode_pieces(table: pa.Table) -> Any:
    coming = iter([written(table)])
    bounds = Bounds(row_bytes=1 << 20)
    return list(arrow_pieces.decode_stream(lambda: next(coming, b""), bounds, Settings()))


def decode_parquet(table: pa.Table) -> Any:
    out = io.BytesIO()
    pq.write_table(table, out)
    return parquet_media.decode(out.getvalue(), Settings())


def written(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize("decoded", [decode_whole, decode_pieces, decode_parquet])
@pytest.mark.parametrize(
    "array",
    [pa.array([1.5, 2.5]), pa.array(["a", "b"]), pa.array(["a", "b", "c"]).dictionary_encode()[:2]],
    ids=["number", "text", "dictionary"],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_type_that_somebody_has_defined_is_not_taken_for_what_it_is_made_of(
    decoded: Any, array: pa.Array, is_nested: bool
) -> None:
    field = pa.field("x", array.type, metadata={"ARROW:extension:name": "arrow.py_extension_type"})
    if is_nested:
        field = pa.field("x", pa.list_(field.with_name("item")))
        array = pa.array([[cell.as_py()] for cell in array], field.type)
    table = pa.Table.from_arrays([array], schema=pa.schema([field]))
    with pytest.raises(SignatureMismatch) as caught:
        decoded(table)
    (problem,) = caught.value.errors
    assert (problem.column, problem.received) == ("x", "values of type extension<arrow.py_extension_type>")
