"""What an ``example=`` says: dtypes, names and missing values that a model itself does not know.

Rules of this room:
1. An example completes what is known; where a model has learnt categories, its own word stands.
2. An example that cannot be the model's input is the operator's mistake, told at once.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, SignatureMismatch
from demijohn.example_specs import is_columns
from demijohn.messages import Records, Rows, Tensors
from demijohn.signature import Signature, TensorSpec, as_json_value, infer, output_specs

logger = logging.getLogger("demijohn")

MAX_EXAMPLE_ROWS = 5


@dataclass(frozen=True, slots=True)
class Example:
    """An example, read."""

    signature: Signature
    rows: Sequence[Any]  #: At most five, as JSON can write them: records, lists or values.
    dtypes: Mapping[str, Any] = field(default_factory=dict)  #: pandas dtypes, by column name.
    labels: Sequence[Any] | None = None  #: A DataFrame's own labels; None for any other example.

    def complete(self, known: Signature) -> Signature:
        """Return what the model knows, completed by the example.

        Raises:
            ConfigurationError: the example has other columns than the model.
        """
        if known.layout == "tensors" or any(len(spec.shape) > 2 for spec in known.inputs):
            return self._fitting(known)
        if self.signature.layout == "tensors":
            raise ConfigurationError("The example has tensors by name, and the model takes none")
        if known.layout == "table":
            return Signature("table", self._complete_columns(known))
        if known.layout == "vector":
            return known
        return self._complete_matrix(known)

    def rows_for(self, signature: Signature) -> list[Any]:
        """Return the example's rows in the form that a completed signature takes."""
        if signature.layout == "table":
            names = [spec.name for spec in signature.inputs]
            return [
                {name: row[name] for name in names if name in row}
                if isinstance(row, Mapping)
                else dict(zip(names, row if isinstance(row, list) else [row], strict=True))
                for row in self.rows
            ]
        if signature.layout == "tensors":
            return list(self.rows)
        if signature.layout == "vector":
            return [next(iter(row.values())) if isinstance(row, Mapping) else _only(row) for row in self.rows]
        if self.signature.layout == "vector":
            return [list(self.rows)]  # one row, given as a plain array
        return list(self.rows)

    def _fitting(self, known: Signature) -> Signature:
        """Return what a model of tensors knows, which is all there is to know, if the example fits it."""
        try:
            known.validate(as_inputs(self.rows))
        except SignatureMismatch as error:
            raise ConfigurationError(f"The example does not fit the model: {error.detail}") from error
        return known

    def _complete_columns(self, known: Signature) -> tuple[TensorSpec, ...]:
        if self.signature.layout != "table":
            return self._complete_by_position(known.inputs)
        given = {spec.name: spec for spec in self.signature.inputs}
        absent = [spec.name for spec in known.inputs if spec.name not in given and not spec.is_optional]
        names = {spec.name for spec in known.inputs}
        unknown = [name for name in given if name not in names]
        if absent or unknown:
            raise ConfigurationError(f"The example does not fit the model: {_difference(absent, unknown)}")
        return tuple(_merge(spec, given[spec.name]) if spec.name in given else spec for spec in known.inputs)

    def _complete_by_position(self, specs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        rows = [row if isinstance(row, (list, tuple)) else [row] for row in self.rows]
        for row in rows:
            _check_width(len(row), len(specs))
        names = [spec.name for spec in specs]
        given = infer([dict(zip(names, row, strict=True)) for row in rows])
        return tuple(_merge(spec, other) for spec, other in zip(specs, given.inputs, strict=True))

    def _complete_matrix(self, known: Signature) -> Signature:
        spec = known.inputs[0]
        width = spec.shape[1]
        if self.signature.layout == "table":
            if width >= 0:
                _check_width(len(self.signature.inputs), width)
            specs = self.signature.inputs
            if width >= 0:
                specs = tuple(replace(given, nullable=given.nullable or spec.nullable) for given in specs)
            return Signature("table", specs)
        given = self.signature.inputs[0]
        if self.signature.layout == "vector":
            if width < 0:
                return self.signature
            _check_width(len(self.rows), width)
            return Signature("matrix", (replace(spec, dtype=given.dtype),))
        if width >= 0:
            _check_width(given.shape[1], width)
        nullable = spec.nullable or given.nullable
        return Signature("matrix", (replace(spec, dtype=given.dtype, shape=given.shape, nullable=nullable),))


#: A warning of a runtime that ``fails_on_example``.
FAILS_ON_EXAMPLE = (
    "it fails on its example, which is therefore not shown: give one that it takes "
    "(example=, --example FILE; dates need a DataFrame, Parquet or Arrow)"
)


def read_example(example: Any) -> Example | None:
    """Read an example; None stays None.

    Raises:
        ConfigurationError: it is empty, or of a form that is no row.
    """
    if example is None:
        return None
    _check_names(example)
    try:
        rows = _rows_of(example)
        if not rows:
            raise ConfigurationError("The example has no rows")
        signature = infer(example)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise ConfigurationError(f"The example cannot be read as rows: {error}") from error
    if not hasattr(example, "columns"):  # a Series has no columns, but dtypes
        return Example(signature, rows)
    special = {
        str(label): dtype
        for label, dtype in zip(example.columns, example.dtypes, strict=True)
        if not isinstance(dtype, np.dtype) or dtype.kind not in "biuf"
    }
    return Example(signature, rows, special, list(example.columns))


def _check_names(example: Any) -> None:
    names = Counter(str(name) for name in getattr(example, "columns", ()))
    twice = ", ".join(repr(name) for name, count in names.items() if count > 1)
    if twice:
        raise ConfigurationError(
            f"The example has more than one column of the name {twice}; a name stands for one"
        )


def as_inputs(rows: Sequence[Any]) -> Records | Rows:
    """Return example rows as a protocol would have read them."""
    return Records(list(rows)) if isinstance(rows[0], Mapping) else Rows(list(rows))


def probe(
    run: Callable[[str, Tensors, Mapping[str, Any]], Tensors], methods: Iterable[str], example: Tensors
) -> dict[str, tuple[TensorSpec, ...]]:
    """Call each method once on an example, and describe what it returns; one that fails is not there."""
    outputs = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a made-up row may well be an unknown category
        for method in methods:
            try:
                outputs[method] = output_specs(run(method, example, {}))
            except Exception as error:  # noqa: BLE001
                # The model is foreign code, and a made-up row need not suit it.
                logger.debug("%s on an example row: %s: %s", method, type(error).__name__, error)
    return outputs


def _rows_of(example: Any) -> list[Any]:
    if hasattr(example, "columns") and hasattr(example, "dtypes"):
        first = example.head(MAX_EXAMPLE_ROWS)
        columns = {
            str(label): [as_json_value(v) for v in first.iloc[:, i].tolist()]
            for i, label in enumerate(first.columns)
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if is_columns(example):
        columns = {str(name): as_json_value(array[:MAX_EXAMPLE_ROWS]) for name, array in example.items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(example, Mapping):
        return [{str(name): as_json_value(value) for name, value in example.items()}]
    if hasattr(example, "toarray"):
        example = example[:MAX_EXAMPLE_ROWS].toarray()
    if hasattr(example, "iloc"):
        example = example.tolist()
    is_flat = isinstance(example, np.ndarray) and example.ndim == 1
    rows = list(example) if is_flat else list(example[:MAX_EXAMPLE_ROWS])
    return [_row(row) for row in rows]


def _row(row: Any) -> Any:
    if isinstance(row, Mapping):
        return {str(name): as_json_value(value) for name, value in row.items()}
    if isinstance(row, (list, tuple)):
        return [_row(value) for value in row]
    if isinstance(row, np.ndarray):
        return [_row(value) for value in row]
    return as_json_value(row)


def _only(row: Any) -> Any:
    return row[0] if isinstance(row, list) and len(row) == 1 else row


def _merge(known: TensorSpec, given: TensorSpec) -> TensorSpec:
    nullable = known.nullable or given.nullable
    if known.categories is not None:
        return replace(known, nullable=nullable)
    dtype = known.dtype if given.dtype == "object" else given.dtype
    return replace(known, dtype=dtype, nullable=nullable, categories=given.categories)


def _check_width(received: int, expected: int) -> None:
    if received != expected:
        raise ConfigurationError(f"The example has {received} columns, and the model takes {expected}")


def _difference(absent: Sequence[str], unknown: Sequence[str]) -> str:
    parts = []
    if absent:
        parts.append(f"it lacks {', '.join(map(repr, absent))}")
    if unknown:
        parts.append(f"the model does not know {', '.join(map(repr, unknown))}")
    return "; ".join(parts)
