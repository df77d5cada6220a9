import datetime
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import sparse

from demijohn.errors import SignatureMismatch
from demijohn.messages import Columns, Matrix, NamedTensors, Records, Rows
from demijohn.signature import Signature, TensorSpec, as_json_value, infer, output_specs

MATRIX = Signature("matrix", (TensorSpec("inputs", shape=(-1, 2)),))
VECTOR = Signature("vector", (TensorSpec("inputs", "str"),))
TABLE = Signature(
    "table",
    (
        TensorSpec("age"),
        TensorSpec("job", "str", nullable=True),
        TensorSpec("note", "object", nullable=True, is_optional=True),
    ),
)


def problems_of(signature, inputs):
    with pytest.raises(SignatureMismatch) as caught:
        signature.validate(inputs)
    return [(p.row, p.column, p.expected, p.received) for p in caught.value.errors]


def lists(tensors):
    return {name: array.tolist() for name, array in tensors.items()}


EXPECTED = {"age": [30.0, 40.5], "job": ["cook", None], "note": [None, 7]}


@pytest.mark.parametrize(
    "inputs",
    [
        Rows([[30, "cook", None], [40.5, None, 7]]),
        Rows([[None, 30, "cook"], [7, 40.5, None]], columns=["note", "age", "job"]),
        Records([{"job": "cook", "age": 30}, {"note": 7, "age": 40.5, "job": None}]),
        Columns({"job": ["cook", None], "age": [30, 40.5], "note": [None, 7]}),
        Rows([["30", "cook", ""], ["40.5", "", "7"]], is_text=True),
    ],
)
def test_all_forms_of_inputs_become_the_same_tensors(inputs):
    assert lists(TABLE.validate(inputs)) == EXPECTED


@given(st.permutations(["age", "job", "note"]))
def test_columns_are_matched_by_name_in_any_order(order):
    columns = {name: EXPECTED[name] for name in order}
    assert lists(TABLE.validate(Columns(columns))) == EXPECTED


NUMBERS = Signature("table", (TensorSpec("a"), TensorSpec("b", nullable=True)))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"a": [1, 2.5], "b": [3, 4]}, {"a": [1.0, 2.5], "b": [3.0, 4.0]}),
        ({"b": np.array([3.0]), "a": [1]}, {"a": [1.0], "b": [3.0]}),
    ],
)
def test_a_table_of_numbers_is_cast_in_one_go(columns, expected):
    tensors = NUMBERS.validate(Columns(columns))
    assert lists(tensors) == expected
    assert all(array.dtype == np.float64 for array in tensors.values())


def test_a_table_of_numbers_still_names_each_misfit():
    assert np.isnan(NUMBERS.validate(Columns({"a": [1], "b": [None]}))["b"][0])
    assert problems_of(NUMBERS, Columns({"a": [None, True], "b": [1, 10**400]})) == [
        (0, "a", "float64", "null"),
        (1, "a", "float64", "true"),
        (1, "b", "float64 or null", f"{str(10**400)[:40]}…, which is too large"),
    ]
    assert problems_of(NUMBERS, Rows([[10**400, 1]]))[0][:2] == (0, "a")


def test_an_optional_column_may_be_left_out():
    assert lists(TABLE.validate(Records([{"age": 1, "job": "x"}])))["note"] == [None]
    assert lists(TABLE.validate(Columns({"age": [1], "job": ["x"]})))["note"] == [None]
    assert lists(TABLE.validate(Rows([[1, "x"]], columns=["age", "job"])))["note"] == [None]


def test_missing_and_unknown_columns_are_named():
    assert problems_of(TABLE, Records([{"age": 1, "job": "x"}, {"age": 1, "jobs": "x"}])) == [
        (1, "job", "str", "nothing"),
        (1, "jobs", "no such column", "an unknown column"),
    ]
    assert problems_of(TABLE, Columns({"job": ["x"]})) == [(None, "age", "float64", "nothing")]
    assert (
        problems_of(TABLE, Rows([[1]], columns=["x"]))
        == [
            (None, "age", "float64", "nothing"),
            (None, "job", "str", "nothing"),
            (None, "x", "no such column", "an unknown column"),
            (0, None, "3 values", "1 values"),
        ][:3]
    )


def test_a_column_named_twice_is_refused():
    problems = problems_of(TABLE, Rows([[1, 2, "x"]], columns=["age", "age", "job"]))
    assert problems == [(None, "age", "each column once", "the column twice")]


def test_rows_of_another_length_are_named():
    assert problems_of(TABLE, Rows([[1, "a", 2], [1], 5])) == [
        (1, None, "3 values", "1 values"),
        (2, None, "a list of 3 values", "5"),
    ]


def test_columns_of_another_length_are_named():
    assert problems_of(TABLE, Columns({"age": [1, 2], "job": ["x"], "note": 5})) == [
        (None, "job", "2 values, as in the first column", "1 values"),
        (None, "note", "a list of values", "5"),
    ]


@pytest.mark.parametrize("inputs", [Rows([]), Records([]), Columns({"age": [], "job": []})])
def test_no_rows_at_all_are_refused(inputs):
    assert problems_of(TABLE, inputs) == [(None, None, "at least 1 row", "0 rows")]


def test_where_there_is_one_input_a_row_may_be_its_value_alone():
    text = Signature("table", (TensorSpec("text", "str"),))
    assert lists(text.validate(Rows(["a", "b"]))) == lists(text.validate(Rows([["a"], ["b"]])))
    assert lists(text.validate(Rows(["a"], columns=["text"]))) == {"text": ["a"]}
    assert problems_of(text, Rows(["a"], columns=["other"]))[0][:3] == (None, "text", "str")
    assert problems_of(text, Rows(["a", 1])) == [(1, "text", "str", "1")]
    assert problems_of(text, Rows(["a", ["b"]]))[0][:2] == (0, None)
    assert problems_of(NUMBERS, Rows([1.0, 2.0]))[0][:3] == (0, None, "a list of 2 values")


def test_no_columns_at_all_are_no_rows():
    free = Signature("table", (TensorSpec("a", nullable=True, is_optional=True),))
    assert problems_of(free, Columns({})) == [(None, None, "at least 1 row", "0 rows")]


def test_a_record_that_is_no_object_is_named():
    assert problems_of(TABLE, Records([5, {"age": 1, "job": "x"}])) == [(0, None, "an object", "5")]


def test_problems_have_row_and_column():
    assert problems_of(TABLE, Records([{"age": "old", "job": 3}])) == [
        (0, "age", "float64", 'the string "old"'),
        (0, "job", "str or null", "3"),
    ]


def test_a_matrix_takes_rows_by_position_only():
    assert MATRIX.validate(Rows([[1, 2], [3, 4]]))["inputs"].tolist() == [[1, 2], [3, 4]]
    assert MATRIX.validate(Rows([["1", "2"]], columns=["b", "a"], is_text=True))["inputs"].tolist() == [
        [1, 2]
    ]
    assert MATRIX.validate(Columns({"inputs": [[1, 2]]}))["inputs"].tolist() == [[1, 2]]
    for inputs in (Records([{"a": 1, "b": 2}]), Columns({"a": [1], "b": [2]}), Columns({"inputs": 5})):
        assert problems_of(MATRIX, inputs) == [(None, None, "rows as lists", "named columns")]
    for empty in (Rows([]), Columns({"inputs": []})):
        assert problems_of(MATRIX, empty) == [(None, None, "at least 1 row", "0 rows")]


def test_a_vector_takes_values_or_lists_of_one_value():
    assert VECTOR.validate(Rows(["a", ["b"]]))["inputs"].tolist() == ["a", "b"]
    assert problems_of(VECTOR, Rows([["a", "b"]])) == [(0, None, "str", "a list of 2 values")]


def test_a_signature_knows_its_columns_and_writes_itself():
    assert TABLE.columns == ("age", "job", "note")
    assert MATRIX.columns is None
    assert str(MATRIX) == "inputs: float64 (n_rows, 2)"
    assert str(TABLE) == "age: float64 (n_rows,); job: str? (n_rows,); note: object? (n_rows,)"
    wide = Signature("table", tuple(TensorSpec(f"c{i}") for i in range(6)))
    assert str(wide).endswith("; and 2 more columns")
    assert str(TensorSpec("x", shape=(-1, -1))) == "x: float64 (n_rows, any)"


def test_a_signature_as_json_has_inputs_and_outputs():
    signature = MATRIX.with_outputs({"predict": (TensorSpec("predict", "str", categories=("a", "b")),)})
    assert signature.as_json() == {
        "layout": "matrix",
        "inputs": [
            {"name": "inputs", "dtype": "float64", "shape": [-1, 2], "nullable": False, "categories": None}
        ],
        "outputs": {
            "predict": [
                {
                    "name": "predict",
                    "dtype": "str",
                    "shape": [-1],
                    "nullable": False,
                    "categories": ["a", "b"],
                }
            ]
        },
        "others": {},
    }


def test_a_method_may_accept_something_else():
    other = Signature("vector", (TensorSpec("title", "str"),), example=("a", "b"))
    signature = replace(MATRIX, others={"find": other})
    assert signature.of("find") is other
    assert signature.of("predict") is signature
    assert signature.with_outputs({}).others == {"find": other}
    found = signature.as_json()["others"]["find"]
    assert (found["layout"], found["inputs"][0]["name"], found["example"]) == (
        "vector", "title", {"instances": ["a", "b"]},
    )  # fmt: skip


def test_outputs_are_described_by_what_came():
    ragged = np.empty(2, dtype=object)
    ragged[:] = [[1], [1, 2]]
    specs = output_specs(
        {
            "labels": np.array(["a", "b"]),
            "texts": np.array(["a", "b"], dtype=object),
            "proba": np.zeros((2, 3)),
            "ragged": ragged,
        }
    )
    assert [(spec.name, spec.dtype, spec.shape) for spec in specs] == [
        ("labels", "str", (-1,)),
        ("texts", "str", (-1,)),
        ("proba", "float64", (-1, 3)),
        ("ragged", "object", (-1,)),
    ]


def inferred(example):
    signature = infer(example)
    return signature.layout, [(s.name, s.dtype, s.shape, s.nullable) for s in signature.inputs]


@pytest.mark.parametrize(
    ("example", "layout", "dtype", "shape", "nullable"),
    [
        (np.zeros((2, 3)), "matrix", "float64", (-1, 3), False),
        (np.zeros((2, 3), dtype=np.int32), "matrix", "int32", (-1, 3), False),
        (np.array([[1.0, np.nan]]), "matrix", "float64", (-1, 2), True),
        (np.array(["a", "b"]), "vector", "str", (-1,), False),
        (np.array([["a", 1.0]], dtype=object), "matrix", "object", (-1, 2), False),
        (sparse.csr_matrix(np.eye(2)), "matrix", "float64", (-1, 2), False),
        ([[1, 2], [3, 4.5]], "matrix", "float64", (-1, 2), False),
        ([[1, None]], "matrix", "float64", (-1, 2), True),
        ([["a", 1]], "matrix", "object", (-1, 2), False),
        ([[True, False]], "matrix", "bool", (-1, 2), False),
        (["a", "b"], "vector", "str", (-1,), False),
        (pd.Series(["a", "b"]), "vector", "str", (-1,), False),
        ([datetime.date(2024, 1, 1)], "vector", "datetime64[ns]", (-1,), False),
        ([None], "vector", "object", (-1,), True),
    ],
)
def test_an_example_without_names_is_a_matrix_or_a_vector(example, layout, dtype, shape, nullable):
    assert inferred(example) == (layout, [("inputs", dtype, shape, nullable)])


def test_example_rows_of_several_lengths_are_an_error():
    with pytest.raises(ValueError, match=r"rows of one length, received rows of \[1, 2\] values"):
        infer([[1], [1, 2]])


def test_records_are_a_table_of_what_their_values_share():
    records = [{"a": 1, "b": "x", "c": True}, {"a": 2.5, "b": None, "c": 3}]
    assert inferred(records) == (
        "table",
        [("a", "float64", (-1,), False), ("b", "str", (-1,), True), ("c", "object", (-1,), False)],
    )
    assert inferred({"a": 1})[0] == "table"


def test_a_data_frame_keeps_its_dtypes():
    frame = pd.DataFrame(
        {
            "float": [1.0, None],
            "int": [1, 2],
            "bool": [True, False],
            "text": ["a", None],
            "when": pd.to_datetime(["2024-01-01", None]),
            "Int64": pd.array([1, None], dtype="Int64"),
            "boolean": pd.array([True, None], dtype="boolean"),
            "string": pd.array(["a", None], dtype="string"),
            "mixed": [1, "a"],
            5: pd.Categorical(["u", "v"], categories=["v", "u"]),
            "grade": pd.Categorical([2, None], categories=[1, 2, 3]),
        }
    )
    assert inferred(frame)[1] == [
        ("float", "float64", (-1,), True),
        ("int", "int64", (-1,), False),
        ("bool", "bool", (-1,), False),
        ("text", "str", (-1,), True),
        ("when", "datetime64[ns]", (-1,), True),
        ("Int64", "int64", (-1,), True),
        ("boolean", "bool", (-1,), True),
        ("string", "str", (-1,), True),
        ("mixed", "object", (-1,), False),
        ("5", "str", (-1,), False),
        ("grade", "int64", (-1,), True),
    ]
    specs = {spec.name: spec for spec in infer(frame).inputs}
    assert specs["5"].categories == ("v", "u")
    assert specs["grade"].categories == (1, 2, 3)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.float64(1.5), 1.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.datetime64("NaT"), None),
        (np.datetime64("2024-01-01"), "2024-01-01"),
        (pd.Timestamp("2024-01-01 12:00"), "2024-01-01T12:00:00"),
        (datetime.date(2024, 1, 1), "2024-01-01"),
        ([1], [1]),
        (1 + 2j, "(1+2j)"),
    ],
)
def test_cells_are_written_as_json_can(value, written):
    assert as_json_value(value) == written
    assert type(as_json_value(value)) is type(written)


def numbers(rows: list[list[float]]) -> Matrix:
    """Return rows as a protocol reads them that are nothing but numbers."""
    return Matrix(np.array(rows, dtype=np.float64), lambda: Rows(rows))


@given(st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=5))
@pytest.mark.parametrize("layout", ["matrix", "table"])
def test_rows_read_into_one_array_become_the_tensors_that_rows_become(
    layout: Literal["matrix", "table"], rows: list[list[float]]
) -> None:
    specs = (TensorSpec("a", shape=(-1, 2)),) if layout == "matrix" else (TensorSpec("a"), TensorSpec("b"))
    signature = Signature(layout, specs)
    ours, theirs = signature.validate(numbers(rows)), signature.validate(Rows(rows))
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].tobytes() == theirs[name].tobytes()


@pytest.mark.parametrize("dtype", ["int64", "float32", "object"])
def test_rows_read_into_one_array_are_read_again_where_an_array_says_too_little(dtype: str) -> None:
    signature = Signature("matrix", (TensorSpec("a", dtype, (-1, 2)),))
    tensors = signature.validate(numbers([[1, 2]]))
    assert tensors["a"].tolist() == [[1, 2]]
    assert tensors["a"].dtype == dtype


def test_an_array_of_another_width_is_refused_row_by_row() -> None:
    with pytest.raises(SignatureMismatch) as raised:
        Signature("matrix", (TensorSpec("a", shape=(-1, 3)),)).validate(numbers([[1.0, 2.0], [3.0, 4.0]]))
    assert [problem.row for problem in raised.value.errors] == [0, 1]


# Tensors of any shape ------------------------------------------------------------------------

IMAGES = Signature("matrix", (TensorSpec("inputs", "uint8", (-1, 2, 2, 1)),))
MIXED = Signature(
    "tensors",
    (
        TensorSpec("image", "float32", (-1, 2, 2)),
        TensorSpec("age", "int64"),
        TensorSpec("note", "str", nullable=True, is_optional=True),
    ),
)
ALONE = Signature("tensors", (TensorSpec("x", "float64", (-1, 2)),))
PICTURE = [[1.0, 2.0], [3.0, 4.0]]
MIXED_ROWS = {"image": [PICTURE, PICTURE], "age": [3, 4], "note": [None, "x"]}

DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int32", "uint64", "int64", "bool", "str"]


def cells_of(dtype: str) -> st.SearchStrategy[Any]:
    if dtype == "str":
        return st.text(max_size=3)
    limits = {"allow_nan": False} if dtype.startswith("float") else {}
    return npst.from_dtype(np.dtype(dtype), **limits)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(npst.array_shapes(min_dims=2, max_dims=4, max_side=3))
    return dtype, draw(npst.arrays(object if dtype == "str" else dtype, shape, elements=cells_of(dtype)))


@given(tensors(), st.data())
def test_a_tensor_of_any_shape_and_dtype_comes_through_lists_and_arrays_alike(
    tensor: tuple[str, np.ndarray[Any, Any]], data: st.DataObject
) -> None:
    dtype, array = tensor
    shape = tuple(data.draw(st.sampled_from([-1, size])) for size in array.shape[1:])
    spec = TensorSpec("x", dtype, (-1, *shape))
    for signature in (Signature("matrix", (spec,)), Signature("tensors", (spec,))):
        for inputs in (
            Rows(array.tolist()),
            Columns({"x": array.tolist()}),
            NamedTensors({"x": array}),
            NamedTensors({"anything": array}),
        ):
            made = signature.validate(inputs)["x"]
            assert made.dtype == array.dtype
            np.testing.assert_array_equal(made, array)


@given(npst.arrays(np.float64, (2, 3), elements=st.floats(allow_nan=False)))
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layout", ["matrix", "tensors", "table"])
def test_rows_read_into_one_array_are_rounded_as_rows_are(
    layout: Any, dtype: str, array: np.ndarray[Any, Any]
) -> None:
    specs: tuple[TensorSpec, ...] = (TensorSpec("a", dtype, (-1, 3)),)
    if layout == "table":
        specs = tuple(TensorSpec(name, dtype) for name in "abc")
    signature = Signature(layout, specs)
    in_one = Matrix(array, lambda: Rows(array.tolist()))
    with np.errstate(over="ignore"):
        is_fit = np.isfinite(array.astype(dtype)) | np.isinf(array)
    if not is_fit.all():
        assert problems_of(signature, in_one) == problems_of(signature, Rows(array.tolist()))
        return
    ours, theirs = signature.validate(in_one), signature.validate(Rows(array.tolist()))
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].dtype == dtype
        assert ours[name].tobytes() == theirs[name].tobytes()


def test_a_short_float_is_not_read_again_where_it_fits() -> None:
    def again() -> Rows:
        raise AssertionError("read again")

    signature = Signature("matrix", (TensorSpec("a", "float32", (-1, -1)),))
    assert signature.validate(Matrix(np.array([[0.5]]), again))["a"].dtype == np.float32
    assert problems_of(
        Signature("matrix", (TensorSpec("a", "float32", (-1, 2)),)), numbers([[1.0], [2.0]])
    ) == [(0, None, "2 values", "1 values"), (1, None, "2 values", "1 values")]


def test_a_deep_misfit_is_named_by_its_path() -> None:
    image = [[[1], [2]], [[3], [256]]]
    assert problems_of(IMAGES, Rows([image, [[[1], [2]]]])) == [
        (0, "1,1,0", "uint8", "256, which is too large"),
        (1, None, "a list of 2 values", "a list of 1 values"),
    ]


@pytest.mark.parametrize(
    "inputs",
    [
        Columns(MIXED_ROWS),
        Columns({**MIXED_ROWS, "image": np.array(MIXED_ROWS["image"])}),
        Records([{"image": PICTURE, "age": 3}, {"note": "x", "image": PICTURE, "age": 4}]),
        Rows([[3, PICTURE, None], [4, PICTURE, "x"]], columns=["age", "image", "note"]),
        NamedTensors(
            {
                "note": np.array([None, "x"], object),
                "age": np.array([[3], [4]], np.int8),
                "image": np.array(MIXED_ROWS["image"]),
            }
        ),
    ],
)
def test_named_tensors_come_in_every_form_that_has_names(inputs: Any) -> None:
    made = MIXED.validate(inputs)
    assert lists(made) == MIXED_ROWS
    assert [array.dtype for array in made.values()] == [np.float32, np.int64, object]


def test_an_optional_tensor_may_be_left_out() -> None:
    given = NamedTensors({"image": np.zeros((1, 2, 2)), "age": np.array([1])})
    assert MIXED.validate(given)["note"].tolist() == [None]


def test_named_tensors_misfit_by_row_and_name() -> None:
    assert problems_of(MIXED, Records([{"image": [[1, 2], [3, "4"]], "age": 3.0}, {"age": 4}])) == [
        (1, "image", "float32", "nothing")
    ]
    assert problems_of(MIXED, Records([{"image": [[1, 2], [3, "4"]], "age": 3.0}])) == [
        (0, "image[1,1]", "float32", 'the string "4"'),
        (0, "age", "int64", "3.0"),
    ]
    assert problems_of(MIXED, Rows([[PICTURE, 3]])) == [
        (None, None, "records or named columns", "rows without names")
    ]


def test_one_named_tensor_takes_rows_too() -> None:
    for inputs in (
        Rows([[1, 2]]),
        Rows([["1", "2"]], columns=["x0", "x1"], is_text=True),
        Rows([[[1, 2]]], columns=["x"]),
        Records([{"x": [1, 2]}]),
        numbers([[1, 2]]),
    ):
        assert ALONE.validate(inputs)["x"].tolist() == [[1, 2]]
    values = Signature("tensors", (TensorSpec("text", "str"),))
    assert values.validate(Rows(["a", ["b"]]))["text"].tolist() == ["a", "b"]
    assert problems_of(ALONE, Rows([])) == [(None, None, "at least 1 row", "0 rows")]
    assert problems_of(ALONE, Rows([[1, "a"]])) == [(0, "x[1]", "float64", 'the string "a"')]


def test_arrays_are_matched_with_the_columns_of_a_table() -> None:
    arrays = {"job": np.array(["cook"]), "age": np.array([[30]])}
    assert lists(TABLE.validate(NamedTensors(arrays))) == {"age": [30.0], "job": ["cook"], "note": [None]}
    assert problems_of(TABLE, NamedTensors({"age": np.zeros(2), "x": np.zeros(2)})) == [
        (None, "job", "str", "nothing"),
        (None, "x", "no such column", "an unknown column"),
    ]
    assert problems_of(TABLE, NamedTensors({"age": np.zeros((1, 2)), "job": np.array(["x"])})) == [
        (None, "age", "shape (n_rows,)", "shape (1, 2)")
    ]


def test_a_model_of_one_input_takes_one_array() -> None:
    assert MATRIX.validate(NamedTensors({"any": np.array([[1, 2]], np.int8)}))["inputs"].tolist() == [[1, 2]]
    assert VECTOR.validate(NamedTensors({"any": np.array([["a"]])}))["inputs"].tolist() == ["a"]
    free = Signature("matrix", (TensorSpec("inputs"),))
    assert free.validate(NamedTensors({"any": np.zeros((1, 3))}))["inputs"].shape == (1, 3)
    for signature in (MATRIX, VECTOR):
        for arrays in ({}, {"a": np.zeros(1), "b": np.zeros(1)}):
            assert problems_of(signature, NamedTensors(arrays)) == [
                (None, None, "one tensor", f"{len(arrays)} tensors")
            ]
    assert problems_of(MATRIX, NamedTensors({"any": np.zeros((1, 3))})) == [
        (None, None, "shape (n_rows, 2)", "shape (1, 3)")
    ]


def test_arrays_have_rows_and_all_the_same_number() -> None:
    assert problems_of(MATRIX, NamedTensors({"a": np.zeros((0, 2))})) == [
        (None, None, "at least 1 row", "0 rows")
    ]
    assert problems_of(MATRIX, NamedTensors({"a": np.array(1.0)})) == [
        (None, "inputs", "a tensor whose axis 0 is the row", "one of no dimensions")
    ]
    assert problems_of(MIXED, NamedTensors({"image": np.zeros((2, 2, 2)), "age": np.zeros(3, int)})) == [
        (None, "age", "2 rows, as in the first tensor", "3 rows")
    ]


# Rows of more dimensions, read as numbers ----------------------------------------------------


def read_again() -> Rows:
    raise AssertionError("they are taken as they are")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(-1, 2, 3), (-1, -1, 3), (-1, -1, -1)])
def test_images_that_were_read_as_numbers_are_taken_as_they_are(dtype: str, shape: tuple[int, ...]) -> None:
    numbers = np.arange(12.0).reshape(2, 2, 3)
    signature = Signature("matrix", (TensorSpec("image", dtype, shape),))
    (image,) = signature.validate(Matrix(numbers, read_again)).values()
    assert image.dtype == dtype
    assert np.array_equal(image, numbers)


@pytest.mark.parametrize("shape", [(-1, 2, 4), (-1, 6), (-1, 2, 3, 1)])
def test_images_of_another_shape_are_read_again_and_refused(shape: tuple[int, ...]) -> None:
    numbers = np.arange(12.0).reshape(2, 2, 3)
    signature = Signature("matrix", (TensorSpec("image", "float32", shape),))
    with pytest.raises(SignatureMismatch):
        signature.validate(Matrix(numbers, lambda: Rows(numbers.tolist())))
