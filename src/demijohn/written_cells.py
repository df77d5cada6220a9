"""Which cells a client wrote for which input: rows, records and columns brought into one form.

Rules of this room:
1. Names are matched whole and in any order; without names the position says which input is meant. Where
   there is one input a row may be its value alone, as in TensorFlow Serving: [1.0, 2.0] for [[1.0], [2.0]].
2. What is missing, unknown, twice there or of another length is named; no cell is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .casting import Problems, describe
from .errors import Problem, SignatureMismatch
from .messages import Columns, Records, Rows, WrittenInputs
from .tensor_spec import TensorSpec


def columns_of(
    inputs: WrittenInputs, specs: Sequence[TensorSpec], problems: Problems
) -> Mapping[str, Sequence[Any]]:
    """Return the cells of each input by name, all of one length; an optional one may be absent.

    Returns:
        The cells; meaningless if problems were added, empty if no column came at all.

    Raises:
        SignatureMismatch: there are no rows, or more problems than are told.
    """
    if isinstance(inputs, Columns):
        check_names(inputs.columns, specs, None, problems)
        _check_lengths(inputs.columns, problems)
        return inputs.columns
    if isinstance(inputs, Records):
        return _columns_of_records(inputs.records, specs, problems)
    check_any_rows(inputs.rows)
    order: Sequence[str] = [spec.name for spec in specs]
    if inputs.columns is not None:
        order = inputs.columns
        check_unique(order, problems)
        check_names(order, specs, None, problems)
    is_plain = len(order) == 1 and not any(isinstance(row, list) for row in inputs.rows)
    if not is_plain:
        _check_widths(inputs.rows, len(order), problems)
    if problems:
        return {}
    if is_plain:
        return {order[0]: inputs.rows}
    return dict(zip(order, map(list, zip(*inputs.rows, strict=True)), strict=True))


def rows_of(inputs: WrittenInputs, spec: TensorSpec) -> list[Any]:
    """Return the rows for a model of one input, which takes them by position only.

    Raises:
        SignatureMismatch: there are none, or they have names.
    """
    rows = None
    if isinstance(inputs, Rows):
        rows = inputs.rows
    elif isinstance(inputs, Columns) and list(inputs.columns) == [spec.name]:
        rows = inputs.columns[spec.name]
    if isinstance(rows, list):
        check_any_rows(rows)
        return rows
    raise SignatureMismatch(
        "The model has no column names: send rows as lists, in the model's column order",
        errors=[Problem(None, None, "rows as lists", "named columns")],
    )


def check_any_rows(rows: Sequence[Any]) -> None:
    """Refuse a request of no rows.

    Raises:
        SignatureMismatch: it is one.
    """
    if len(rows) == 0:
        raise SignatureMismatch("There are no rows", errors=[Problem(None, None, "at least 1 row", "0 rows")])


def check_names(
    given: Iterable[str], specs: Sequence[TensorSpec], row: int | None, problems: Problems
) -> None:
    """Note the inputs that are missing among ``given``, and what else is there."""
    present = set(given)
    for spec in specs:
        if spec.name not in present and not spec.is_optional:
            problems.add(row, spec.name, spec.dtype, "nothing")
    known = {spec.name for spec in specs}
    for name in given:
        if name not in known:
            problems.add(row, name, "no such column", "an unknown column")


def _columns_of_records(
    records: list[dict[str, Any]], specs: Sequence[TensorSpec], problems: Problems
) -> dict[str, list[Any]]:
    check_any_rows(records)
    names = [spec.name for spec in specs]
    known = set(names)
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            problems.add(index, None, "an object", describe(record))
        elif record.keys() != known:
            check_names(record, specs, index, problems)
    if problems:
        return {}
    return {name: [record.get(name) for record in records] for name in names}


def _check_widths(rows: list[Any], width: int, problems: Problems) -> None:
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            problems.add(index, None, f"a list of {width} values", describe(row))
        elif len(row) != width:
            problems.add(index, None, f"{width} values", f"{len(row)} values")


def check_unique(names: Sequence[str], problems: Problems) -> None:
    """Note the names that stand there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            problems.add(None, name, "each column once", "the column twice")
        seen.add(name)


def _check_lengths(columns: Mapping[str, Any], problems: Problems) -> None:
    n_rows = None
    for name, values in columns.items():
        if not isinstance(values, (list, np.ndarray)):
            problems.add(None, name, "a list of values", describe(values))
        elif n_rows is None:
            n_rows = len(values)
        elif len(values) != n_rows:
            problems.add(None, name, f"{n_rows} values, as in the first column", f"{len(values)} values")
    if n_rows == 0 and not problems:
        check_any_rows([])
