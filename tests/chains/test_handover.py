"""What one model returns becomes what the next one takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.chains.handover import Handover
from demijohn.errors import ConfigurationError, ModelError, ModelRefused
from demijohn.messages import Rows
from demijohn.signature import Signature, TensorSpec

MATRIX = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 2)),))
TEXTS = Signature("vector", (TensorSpec("inputs", "str"),))
TABLE = Signature("table", (TensorSpec("age", "float64", nullable=True), TensorSpec("kind", "str")))
COUNT = Signature(
    "table", (TensorSpec("n", "int64"), TensorSpec("unit", "str", nullable=True, is_optional=True))
)
CLOSED = Signature("vector", (TensorSpec("kind", "str", categories=("a", "b"), is_closed=True),))
IMAGES = Signature("matrix", (TensorSpec("image", "float32", (-1, 2, 2)),))


def hand_over(signature: Signature, **outputs: Any) -> dict[str, list[Any]]:
    arrays = {name: np.asarray(values) for name, values in outputs.items()}
    return {name: array.tolist() for name, array in Handover("a", "b", signature)(arrays).items()}


def objects(*values: Any) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("signature", "outputs", "tensors"),
    [
        (MATRIX, {"transform": [[1.0, 2.0]]}, {"inputs": [[1.0, 2.0]]}),
        (MATRIX, {"transform": [[1, 2]]}, {"inputs": [[1.0, 2.0]]}),
        (MATRIX, {"inputs": np.array([[1, 2]], dtype=np.float32)}, {"inputs": [[1.0, 2.0]]}),
        (MATRIX, {"x": [1.0, 3.0], "y": [2.0, 4.0]}, {"inputs": [[1.0, 2.0], [3.0, 4.0]]}),
        (MATRIX, {"predict": objects([1, 2], [3, 4])}, None),
        (TABLE, {"kind": ["a"], "age": [1]}, {"age": [1.0], "kind": ["a"]}),
        (TABLE, {"age": [np.nan], "kind": objects("a")}, {"age": [np.nan], "kind": ["a"]}),
        (TABLE, {"transform": np.array([[3, "a"]], dtype=object)}, {"age": [3.0], "kind": ["a"]}),
        (COUNT, {"predict": [3, 4]}, {"n": [3, 4], "unit": [None, None]}),
        (COUNT, {"n": np.array([3], dtype=np.int8)}, {"n": [3], "unit": [None]}),
        (COUNT, {"predict": np.array([3], dtype=np.uint64)}, {"n": [3], "unit": [None]}),
        (TEXTS, {"predict": ["x"]}, {"inputs": ["x"]}),
        (TEXTS, {"predict": [["x"]]}, {"inputs": ["x"]}),
        (CLOSED, {"predict": ["b"]}, {"kind": ["b"]}),
        (IMAGES, {"pixels": np.ones((1, 2, 2))}, {"image": [[[1.0, 1.0], [1.0, 1.0]]]}),
    ],
)  # fmt: skip
def test_outputs_become_inputs(signature: Signature, outputs: Any, tensors: Any) -> None:
    if tensors is None:
        with pytest.raises(ModelError, match="has the shape"):
            hand_over(signature, **outputs)
        return
    got = hand_over(signature, **outputs)
    assert list(got) == list(tensors)
    assert repr(got) == repr(tensors)


def test_a_column_goes_to_a_matrix_of_one() -> None:
    one = Signature("matrix", (TensorSpec("inputs", "float64", (-1, 1)),))
    assert hand_over(one, predict=[1, 2]) == {"inputs": [[1.0], [2.0]]}
    assert hand_over(Signature("matrix", (TensorSpec("rows", "float64", (-1, -1)),)), predict=[1]) == {
        "rows": [[1.0]]
    }


@pytest.mark.parametrize(
    ("signature", "outputs", "why"),
    [
        (MATRIX, {"transform": [[1.0, 2.0, 3.0]]}, r"'transform' has the shape \(3,\), .* has \(2,\)"),
        (MATRIX, {"predict": [1.0]}, r"has the shape \(\), .* has \(2,\)"),
        (MATRIX, {"transform": [["a", "b"]]}, "'transform' is str, and input 'inputs' takes float64"),
        (MATRIX, {"transform": [[True, False]]}, "is bool, and input 'inputs' takes float64"),
        (MATRIX, {"x": [1.0], "y": [1.0], "z": [1.0]}, "there are 3 outputs, 'x', 'y', 'z'"),
        (TABLE, {"age": [1.0], "sort": ["a"]}, "no input 'sort'; no output is called 'kind'"),
        (TABLE, {"a": [1.0], "b": ["a"]}, "no input 'a', 'b'; no output is called 'age', 'kind'"),
        (TABLE, {"transform": [[1.0, 2.0, 3.0]]}, "has 3 columns, and there are 2 inputs: 'age', 'kind'"),
        (TABLE, {"transform": [[1.0, 2.0]]}, "'transform' is float64, and input 'kind' takes str"),
        (TABLE, {"predict": [1.0]}, r"has the shape \(\), and there are 2 inputs"),
        (COUNT, {"predict": [1.5]}, "is float64, and input 'n' takes int64"),
        (TEXTS, {"predict": [1]}, "is int64, and input 'inputs' takes str"),
        (IMAGES, {"pixels": np.ones((1, 3, 2))}, r"\(3, 2\), .* \(2, 2\)"),
        (IMAGES, {"pixels": np.ones((1, 2, 2), dtype=object)}, "several dimensions"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found_by_its_description_and_when_it_comes(
    signature: Signature, outputs: Any, why: str
) -> None:
    arrays = {name: np.asarray(values) for name, values in outputs.items()}
    specs = [
        TensorSpec(
            name,
            {"U": "str", "O": "object"}.get(array.dtype.kind, array.dtype.name),
            (-1, *array.shape[1:]),
        )
        for name, array in arrays.items()
    ]
    with pytest.raises(ConfigurationError, match="what 'a' returns does not fit 'b': .*" + why):
        Handover("a", "b", signature).check(specs)
    with pytest.raises(ModelError, match="what 'a' returned does not fit 'b': .*" + why):
        Handover("a", "b", signature)(arrays)


@pytest.mark.parametrize(
    ("signature", "outputs", "why"),
    [
        (MATRIX, {"transform": [[1.0, 2.0], [1.0, np.nan]]}, "row 1, column 1: .* NaN"),
        (MATRIX, {"transform": np.full((300, 2), np.nan)}, "row 0, column 0: .* NaN"),
        (TABLE, {"age": [1.0], "kind": objects(5)}, "row 0, column 'kind': expected str, received 5"),
        (TABLE, {"age": [1.0], "kind": objects(None)}, "row 0, column 'kind': expected str, received null"),
        (COUNT, {"predict": np.array([2**63], dtype=np.uint64)}, "too large"),
        (COUNT, {"predict": objects("x")}, "expected int64"),
        (CLOSED, {"predict": ["c"]}, "expected one of 'a', 'b'"),
        (IMAGES, {"pixels": np.full((1, 2, 2), 1e300)}, "too large"),
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_row(signature: Signature, outputs: Any, why: str) -> None:
    with pytest.raises(ModelRefused, match="'b' does not take what 'a' made of these rows: .*" + why):
        hand_over(signature, **outputs)


def test_an_infinity_is_the_next_models_matter() -> None:
    assert hand_over(MATRIX, transform=[[np.inf, 1e300]]) == {"inputs": [[np.inf, 1e300]]}


def test_instants_are_handed_on() -> None:
    day = Signature("vector", (TensorSpec("day", "datetime64[ns]"),))
    days = np.array(["2024-01-02"], dtype="datetime64[D]")
    handed = Handover("a", "b", day)({"predict": days})["day"]
    assert handed.dtype == "datetime64[ns]"
    assert handed[0] == days[0]
    with pytest.raises(ModelRefused, match="null"):
        Handover("a", "b", day)({"predict": np.array(["NaT"], dtype="datetime64[ns]")})
    with pytest.raises(ModelRefused, match="out of range"):
        Handover("a", "b", day)({"predict": np.array(["2300-01-01"], dtype="datetime64[D]")})
    texts = Signature("vector", (TensorSpec("text", "object"),))
    assert Handover("a", "b", texts)({"predict": days})["text"].shape == (1,)


def test_a_whole_number_becomes_the_short_float_that_it_is_in_a_request() -> None:
    short = Signature("vector", (TensorSpec("x", "float32"),))
    number = 2**60 + 2**36 + 1  # halfway between two, but for its last bit, which float64 does not hold
    handed = Handover("a", "b", short)({"predict": np.array([number])})["x"]
    assert handed == short.validate(Rows([number]))["x"]


@given(st.lists(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2), min_size=1, max_size=200))
def test_numbers_are_handed_on_as_they_are(rows: list[list[float]]) -> None:
    array = np.array(rows)
    handed = Handover("a", "b", MATRIX)({"transform": array})["inputs"]
    assert handed is array
    in_another_order = np.asfortranarray(array)
    assert np.array_equal(Handover("a", "b", MATRIX)({"transform": in_another_order})["inputs"], array)
