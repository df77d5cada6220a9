"""From a request's tensors to the one matrix of float64 that the steps of an engine work on.

Rules of this room:
1. A column of texts becomes a column of codes; see ``building``. What the model does not know is
   ``UNKNOWN``, what is missing is NaN.
2. Where a missing text is not written as the model's encoders know it, its rows are the framework's.
3. A tensor is never written to, and the matrix may be the tensor itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from demijohn import kernels
from demijohn.acceleration.engine import StepAside, Unconvertible
from demijohn.messages import Array, Tensors
from demijohn.signature import Signature, TensorSpec

from .building import UNKNOWN
from .parts import parts_of

Entry = Callable[[Tensors], Array]

_FLOAT64 = np.dtype(np.float64)
_FEW = 8  #: Rows; up to here cells are gathered one by one.
_EXACT = 2**53  #: Above, not every whole number is a float64.


class Model(Protocol):
    """What is asked of a runtime of scikit-learn."""

    estimator: Any
    signature: Signature
    methods: tuple[str, ...]

    def assemble(self, tensors: Tensors) -> Any:
        """Return what the estimator's methods are called with: a DataFrame or an array."""

    def example_rows(self) -> Any:
        """Return some rows as a client would write them."""


class _Codes(dict[Any, float]):
    """Codes of texts; an unknown text has one too."""

    def __missing__(self, _: Any) -> float:
        return UNKNOWN


def codes_of(estimator: Any) -> dict[str, int]:
    """Number every text that a model's encoders and imputers know."""
    texts: dict[str, None] = {}
    for part in parts_of(estimator):
        for cell in _cells_of(part):
            if isinstance(cell, str):
                texts[cell] = None
    return {text: code for code, text in enumerate(texts)}


def _cells_of(part: Any) -> Iterable[Any]:
    for categories in getattr(part, "categories_", ()):
        yield from np.asarray(categories).tolist()
    if hasattr(part, "statistics_"):
        yield from np.asarray(part.statistics_).ravel().tolist()
        yield part.missing_values


def text_columns(model: Model) -> frozenset[int]:
    """Return which of a model's columns hold texts.

    Raises:
        Unconvertible: a column holds neither texts nor numbers.
    """
    signature = model.signature
    if signature.layout == "vector":
        raise Unconvertible("the model takes texts")
    if signature.layout == "table":
        return frozenset(i for i, spec in enumerate(signature.inputs) if _is_text(spec))
    spec = signature.inputs[0]
    if len(spec.shape) != 2:
        raise Unconvertible("rows are not lists of numbers")
    if spec.dtype in ("str", "object"):
        return frozenset(i for i, cell in enumerate(model.example_rows()[0]) if isinstance(cell, str))
    return frozenset()


def _is_text(spec: TensorSpec) -> bool:
    if spec.is_optional:
        return False
    if spec.dtype != "str" and np.dtype(spec.dtype).kind not in "biuf":
        raise Unconvertible(f"column {spec.name!r} holds {spec.dtype}")
    if spec.dtype in ("float32", "float16"):
        raise Unconvertible(f"column {spec.name!r} is {spec.dtype}: the framework computes in it")
    return spec.dtype == "str"


def make_entry(model: Model, codes: Mapping[str, int]) -> Entry:
    """Make the entry of a model.

    Raises:
        Unconvertible: its columns are neither texts nor numbers.
    """
    texts = text_columns(model)
    if model.signature.layout == "table":
        return _table(model, codes)
    dtype = model.signature.inputs[0].dtype
    if dtype == "float64":
        return matrix
    if np.dtype(dtype if dtype != "str" else object).kind in "biu":
        return _whole_numbers
    if dtype in ("str", "object"):
        return _objects(texts, codes)
    raise Unconvertible(f"the model takes {dtype}")


def matrix(tensors: Tensors) -> Array:
    """Take the rows of a model that takes one matrix of float64."""
    (rows,) = tensors.values()
    if rows.dtype is _FLOAT64 and rows.flags.c_contiguous:
        return rows
    return np.ascontiguousarray(rows, dtype=np.float64)


def _whole_numbers(tensors: Tensors) -> Array:
    (rows,) = tensors.values()
    if rows.dtype.kind != "b" and rows.size and max(int(rows.max()), -int(rows.min())) > _EXACT:
        raise StepAside("a number is too large for a float64")
    return np.ascontiguousarray(rows, dtype=np.float64)


def _objects(texts: frozenset[int], codes: Mapping[str, int]) -> Entry:
    """Read a matrix of numbers and texts; what is missing is the framework's."""
    known = _Codes(codes)

    def read(tensors: Tensors) -> Array:
        (rows,) = tensors.values()
        result = np.empty(rows.shape)
        for index in range(rows.shape[1]):
            cells = rows[:, index].tolist()
            kinds = set(map(type, cells))
            if index in texts and kinds <= {str}:
                result[:, index] = [known[cell] for cell in cells]
            elif index not in texts and kinds <= {int, float}:
                result[:, index] = cells
            else:
                raise StepAside("a column holds values of several kinds")
        return result

    return read


# Tables -----------------------------------------------------------------------------------


def _table(model: Model, codes: Mapping[str, int]) -> Entry:
    refuses = _misses_otherwise(model)
    reads: list[tuple[str, _Codes | None]] = []
    for spec in model.signature.inputs:
        if spec.is_optional:
            reads.append(("", None))
        elif _is_text(spec):
            table = _Codes(codes)
            table[None] = math.inf if spec.name in refuses else math.nan
            reads.append((spec.name, table))
        else:
            reads.append((spec.name, None))
    if not reads:
        raise Unconvertible("the model has no columns")
    few, many = _few_rows(reads), _many_rows(reads)

    def read(tensors: Tensors) -> Array:
        n_rows = len(next(iter(tensors.values())))
        return few(tensors, n_rows) if n_rows <= _FEW else many(tensors, n_rows)

    return read


def _few_rows(reads: list[tuple[str, _Codes | None]]) -> Callable[[Tensors, int], Array]:
    def read(tensors: Tensors, n_rows: int) -> Array:
        cells = [
            0.0 if not name else tensors[name][row] if table is None else _code(table, tensors[name][row])
            for row in range(n_rows)
            for name, table in reads
        ]
        return np.array(cells, dtype=np.float64).reshape(n_rows, -1)

    return read


def _code(table: _Codes, cell: Any) -> float:
    code = table[cell]
    if code == math.inf:
        raise StepAside("a missing text is not written as the model knows it")
    return code


def _many_rows(reads: list[tuple[str, _Codes | None]]) -> Callable[[Tensors, int], Array]:
    def read(tensors: Tensors, n_rows: int) -> Array:
        columns = tuple(
            np.zeros(n_rows)
            if not name
            else np.ascontiguousarray(tensors[name], _FLOAT64)
            if table is None
            else _codes_in(tensors[name], table)
            for name, table in reads
        )
        return kernels.join_columns(columns) if kernels.IS_BUILT else np.stack(columns, axis=1)

    return read


def _codes_in(texts: Array, table: _Codes) -> Array:
    codes = kernels.find_codes(texts, table, UNKNOWN) if kernels.IS_BUILT else None
    if codes is None:
        codes = np.fromiter(map(table.__getitem__, texts.tolist()), np.float64, len(texts))
    if table[None] == math.inf and (codes == math.inf).any():
        raise StepAside("a missing text is not written as the model knows it")
    return codes


def _misses_otherwise(model: Model) -> frozenset[str]:
    """Return columns of texts whose missing cells are not written as the model's steps know them."""
    nullable = [spec for spec in model.signature.inputs if spec.nullable and _is_text(spec)]
    if not nullable:
        return frozenset()
    known = {
        _kind_of(cell)
        for part in parts_of(model.estimator)
        for cell in _cells_of(part)
        if not isinstance(cell, str)
    } - {"value"}
    written = _written(model, [spec.name for spec in nullable])
    return frozenset(name for name, kind in written.items() if kind == "NA" or not known <= {kind})


def _written(model: Model, names: list[str]) -> dict[str, str]:
    """Return how the model's DataFrame has the missing texts of columns."""
    tensors = model.signature.validate(_one_row(model))
    for name in names:
        tensors[name] = np.array([None], dtype=object)
    frame = model.assemble(tensors)
    if not hasattr(frame, "columns"):
        return dict.fromkeys(names, "NA")
    positions = {spec.name: index for index, spec in enumerate(model.signature.inputs)}
    return {name: _kind_of(frame.iloc[0, positions[name]]) for name in names}


def _one_row(model: Model) -> Any:
    from demijohn.messages import Records

    return Records(list(model.example_rows()[:1]))


def _kind_of(cell: Any) -> str:
    if cell is None:
        return "None"
    if type(cell).__name__ in ("NAType", "NaTType"):
        return "NA"
    return "nan" if cell != cell else "value"
