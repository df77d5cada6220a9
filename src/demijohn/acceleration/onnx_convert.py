"""Estimators of scikit-learn in onnxruntime, by skl2onnx: for what has no arithmetic of ours.

Rules of this room:
1. A conversion is a proposal: nothing made here answers before parity has proved it.
2. What has a part that knows float32 alone is no float64 graph: trees and support vectors would be
   right on every random row, and wrong on one between two float32.
3. The answer has the dtype and shape of the estimator's own, which is asked once, for rows of ones.
4. Rows that are not finite, or huge, are the framework's: graphs have no opinion of them.
"""

from __future__ import annotations

import itertools
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from demijohn.messages import Array, Tensors
from demijohn.signature import Signature, TensorSpec

from .engine import Step, StepAside, Unconvertible
from .onnx_session import first_line, missing, open_session

#: Above this, intermediate results overflow where the estimator's own do not, or the reverse.
LARGEST = 1e30
#: A graph holds its arrays once more, and neighbours among so many points are no quicker in it.
MAX_FITTED_BYTES = 64 * 2**20

#: Opsets to try: the first suits more estimators; the converter of mixtures takes no dict.
_OPSETS: tuple[Any, ...] = ({"": 18, "ai.onnx.ml": 3}, 18)

#: Method -> which output of skl2onnx's graph it is: labels or values come first.
_OUTPUT = {"predict": 0, "transform": -1, "predict_proba": 1, "decision_function": 1, "score_samples": -1}
#: Operators of ai.onnx.ml whose results are float32, whatever comes in.
_FLOAT32_OPERATORS = frozenset(
    f"{kind}{task}" for kind in ("TreeEnsemble", "SVM", "Linear") for task in ("Classifier", "Regressor")
) | {"FeatureVectorizer", "Imputer", "Normalizer", "Scaler"}
_FLOAT32 = 1  #: The number of float32 among ONNX's data types.


def step(estimator: Any, method: str, n_features: int) -> Step:
    """Convert one method of an estimator, in float64.

    Args:
        estimator: Fitted.
        method: predict, predict_proba, decision_function, transform or score_samples.
        n_features: Number of columns that it takes.

    Raises:
        Unconvertible: skl2onnx or onnxruntime is missing or does not know the estimator, or it is large.
    """
    return _step(estimator, method, n_features, np.float64)


def step32(estimator: Any, method: str, n_features: int) -> Step:
    """Convert as ``step`` does, in float32: for those who asked for speed above digits."""
    return _step(estimator, method, n_features, np.float32)


def _step(estimator: Any, method: str, n_features: int, dtype: type[np.floating[Any]]) -> Step:
    if method not in _OUTPUT:
        raise Unconvertible(f"skl2onnx has no {method} of {_name(estimator)}")
    _check_size(estimator)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of the converters, and of the estimator about rows of ones
        session = open_session(_converted(estimator, method, n_features, dtype).SerializeToString())
        probe = np.ones((2, n_features))
        shape_like_native = _shaper(_native(estimator, method, probe), method)
    is_float32 = dtype == np.float32

    def run(matrix: Array) -> Array:
        if not np.maximum.reduce(np.absolute(matrix), axis=None) <= LARGEST:
            raise StepAside("a value is missing, infinite or huge")
        return shape_like_native(session({"X": matrix.astype(np.float32) if is_float32 else matrix})[0])

    try:
        run(probe)
    except StepAside as error:
        raise Unconvertible(f"skl2onnx cannot convert {_name(estimator)}: {error}") from error
    return run


def whole(estimator: Any, method: str, signature: Signature) -> Callable[[Tensors], Array]:
    """Convert a whole model that takes named columns, texts among them, in float64.

    Args:
        estimator: Fitted on a DataFrame, such as a pipeline that begins with a ColumnTransformer.
        method: As for ``step``.
        signature: Of layout "table", and it knows what ``method`` returns.

    Returns:
        From checked columns ``(n_rows,)`` to what the method returns. It raises ``StepAside`` where a
        value is missing, is no text where texts are due, or is none of the column's categories.

    Raises:
        Unconvertible: as for ``step``, or a column is neither of numbers nor of texts.
    """
    if method not in _OUTPUT or len(signature.outputs.get(method, ())) != 1:
        raise Unconvertible(f"skl2onnx has no {method} of {_name(estimator)}")
    _check_size(estimator)
    graph, kinds = _converted_table(estimator, method, signature.inputs)
    session = open_session(graph.SerializeToString())
    shape_like_native = _shaper(_form(estimator, method, signature), method)
    readers = [
        (spec.name, entry.name, _cell_reader(spec, kind))
        for spec, entry, kind in zip(signature.inputs, graph.graph.input, kinds, strict=True)
    ]

    def run(tensors: Tensors) -> Array:
        return shape_like_native(session({entry: read(tensors[name]) for name, entry, read in readers})[0])

    return run


def _name(estimator: Any) -> str:
    return type(estimator).__name__


def _check_size(estimator: Any) -> None:
    size = sum(array.nbytes for array in _arrays(estimator))
    if size > MAX_FITTED_BYTES:
        raise Unconvertible(f"{_name(estimator)} holds {size >> 20} MiB, too much for a graph")


def _arrays(fitted: Any) -> Iterator[Array]:
    """Walk through everything fitted; no array comes twice."""
    seen: set[int] = set()
    found = [fitted]
    while found:
        value = found.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, Mapping):
            found.extend(value.values())
        elif isinstance(value, (list, tuple)):
            found.extend(value)
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            found.extend(vars(value).values())


# Converting -------------------------------------------------------------------------------------


def _converted(estimator: Any, method: str, n_features: int, dtype: type[np.floating[Any]]) -> Any:
    """Convert to a graph with X (n_rows, n_features) as its input and the method's result as its output."""
    kind = _tensor_types()[np.dtype(dtype)]
    model = _convert(estimator, method, [("X", kind([None, n_features]))])
    if dtype != np.float32:
        _check_is_float64(estimator, model.graph)
    return model


def _tensor_types() -> dict[np.dtype[Any], Any]:
    """Return skl2onnx's name for each dtype that a graph takes; texts are objects."""
    try:
        from skl2onnx.common import data_types as types
    except ImportError as error:
        raise missing("skl2onnx") from error
    return {
        np.dtype(np.float64): types.DoubleTensorType,
        np.dtype(np.float32): types.FloatTensorType,
        np.dtype(np.int64): types.Int64TensorType,
        np.dtype(object): types.StringTensorType,
    }


def _convert(estimator: Any, method: str, initial_types: list[tuple[str, Any]]) -> Any:
    from skl2onnx import convert_sklearn

    logging.getLogger("skl2onnx").setLevel(logging.ERROR)  # its doubts are parity's to judge
    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    failures: list[Exception] = []
    for options, opset in itertools.product(_options(final, method), _OPSETS):
        scoped = {id(final): options} if options else None
        try:
            model = convert_sklearn(
                estimator, initial_types=initial_types, options=scoped, target_opset=opset
            )
            return _only_output(model, method)
        except Exception as error:  # noqa: BLE001 the converters raise whatever they meet
            failures.append(error)
    # That an option is not known (NameError) says less than any other failure.
    failure = min(failures, key=lambda error: isinstance(error, NameError))
    raise Unconvertible(_why_not(estimator, method, failure)) from failure


def _why_not(estimator: Any, method: str, failure: Exception) -> str:
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    if isinstance(failure, NameError):
        return f"skl2onnx has no {method} of {_name(estimator)}"
    kind = re.search(r"<class '([^']+)'>", str(failure))
    if kind and isinstance(failure, (MissingConverter, MissingShapeCalculator)):
        return f"skl2onnx does not know {kind[1].rpartition('.')[2]}"
    return f"skl2onnx cannot convert {_name(estimator)}: {first_line(failure)}"


def _options(estimator: Any, method: str) -> list[dict[str, bool]]:
    """Return the sets of options to try, the likeliest first; not every converter knows each."""
    is_classifier = hasattr(estimator, "classes_")
    needed = {}
    if method == "score_samples" or (method == "decision_function" and is_classifier):
        needed = {"score_samples" if method == "score_samples" else "raw_scores": True}
    if not is_classifier:
        return [needed]
    # A matrix of probabilities, no list of dicts.
    sets = [{"zipmap": False, **needed}, needed]
    # Labels of some come only without the step from scores to probabilities.
    return [*sets, {"zipmap": False, "raw_scores": True}] if method == "predict" else sets


def _only_output(model: Any, method: str) -> Any:
    """Cut a graph down to what the method's result needs."""
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    names = [output.name for output in model.graph.output]
    index = _OUTPUT[method]
    if index >= len(names):
        raise ValueError(f"its graph answers with {', '.join(names)} alone")
    return select_model_inputs_outputs(model, [names[index]])


def _check_is_float64(estimator: Any, graph: Any) -> None:
    why = f"skl2onnx has no float64 form of {_name(estimator)}"
    for node in _nodes(graph):
        rounds = node.op_type == "Cast" and node.attribute[0].i == _FLOAT32
        if rounds or node.op_type in _FLOAT32_OPERATORS:
            raise Unconvertible(f"{why}: {node.op_type} makes float32 of it")
    if any(array.data_type == _FLOAT32 for array in graph.initializer):
        raise Unconvertible(f"{why}: it keeps float32 of what was fitted")


def _nodes(graph: Any) -> Iterator[Any]:
    """Walk through a graph's nodes, loop bodies included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


# Tables -----------------------------------------------------------------------------------------


def _converted_table(
    estimator: Any, method: str, specs: Sequence[TensorSpec]
) -> tuple[Any, list[np.dtype[Any]]]:
    """Convert to a graph with an input ``(n_rows, 1)`` per column; return it and the inputs' dtypes."""
    types = _tensor_types()
    failure: Unconvertible | None = None
    # Whole numbers may be categories, which the operator wants as int64; where they are quantities
    # skl2onnx makes float32 of these.
    for whole_numbers in ("int64", "float64"):
        kinds = [_kind(spec, whole_numbers) for spec in specs]
        named = [(spec.name, types[kind]([None, 1])) for spec, kind in zip(specs, kinds, strict=True)]
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                model = _convert(estimator, method, named)
            _check_is_float64(estimator, model.graph)
            return model, kinds
        except Unconvertible as error:
            failure = failure or error
    raise failure or Unconvertible("there is no column")


def _kind(spec: TensorSpec, whole_numbers: str) -> np.dtype[Any]:
    if spec.dtype == "str":
        return np.dtype(object)
    if spec.dtype.startswith("int"):
        return np.dtype(whole_numbers)
    if spec.dtype in ("float64", "bool"):
        return np.dtype(np.float64)
    raise Unconvertible(f"a graph takes numbers and texts, and {spec.name!r} is {spec.dtype}")


def _cell_reader(spec: TensorSpec, kind: np.dtype[Any]) -> Callable[[Array], Array]:
    """Return what makes an input of a column, and stands aside from what a graph has no opinion of."""
    known = None if spec.categories is None else frozenset(spec.categories)

    def check_numbers(column: Array) -> None:
        if not np.maximum.reduce(np.absolute(column)) <= LARGEST:
            raise StepAside(f"{spec.name}: a value is missing, infinite or huge")

    def check_texts(column: Array) -> None:
        if not all(isinstance(value, str) for value in column.tolist()):
            raise StepAside(f"{spec.name}: a value is no text")

    check = check_texts if kind.kind == "O" else check_numbers

    def read(column: Array) -> Array:
        column = column.astype(kind, copy=False)
        check(column)
        if known is not None and not known.issuperset(column.tolist()):
            raise StepAside(f"{spec.name}: a value is none of the categories")
        return column.reshape(-1, 1)

    return read


def _form(estimator: Any, method: str, signature: Signature) -> Array:
    """Return an empty answer, of the dtype and shape that the signature tells."""
    (spec,) = signature.outputs[method]
    dtype: Any = object if spec.dtype == "str" else spec.dtype
    if method == "predict":
        dtype = getattr(getattr(estimator, "classes_", None), "dtype", dtype)
    return np.empty((0, *spec.shape[1:]), dtype)


# The estimator's own form -----------------------------------------------------------------------


def _native(estimator: Any, method: str, probe: Array) -> Array:
    try:
        answer = getattr(estimator, method)(probe)
    except Exception as error:  # whatever the estimator meets
        text = f"{_name(estimator)} refuses a row of ones, by which its answer's form is told"
        raise Unconvertible(f"{text}: {first_line(error)}") from error
    if not isinstance(answer, np.ndarray):
        kind = type(answer).__name__
        raise Unconvertible(f"{method} of {_name(estimator)} returns a {kind}, which a graph does not")
    return answer


def _shaper(native: Array, method: str) -> Callable[[Array], Array]:
    """Return what gives a graph's result the form of ``native``, the answer to some rows."""
    dtype, tail = native.dtype, native.shape[1:]
    # Two classes: the graph has a score for each, the estimator that of the second alone.
    has_two_scores = method == "decision_function" and tail == ()

    def shape_like_native(result: Array) -> Array:
        if has_two_scores and result.shape[1:] == (2,):
            result = np.ascontiguousarray(result[:, 1])
        elif tail == () and result.shape[1:] == (1,):
            result = result.ravel()
        if result.shape[1:] != tail:
            raise StepAside(f"its graph answers with rows of {result.shape[1:]}, the estimator of {tail}")
        return result.astype(dtype, copy=False)

    return shape_like_native
