"""Casting of columns that a columnar format had: ``ArrayColumns`` to the tensors of a signature.

Rules of this room:
1. The answer to a column is the answer to its JSON, as in ``array_casting``: what is missing is null.
2. A text that stands in many rows is looked at once, and its rows share it.
3. Only where whole numbers or truths are missing, which no array of numbers can say, and where lists
   differ in length, a column is cast cell by cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .array_casting import cast_array, has_missing
from .casting import Caster, Place, Problems, place_in
from .errors import MAX_PROBLEMS, Problem, SignatureMismatch
from .messages import Array, ArrayColumn, ArrayColumns, Tensors
from .ragged_rows import cast_ragged
from .tensor_spec import TensorSpec
from .written_cells import check_any_rows, check_names, check_unique

_OBJECT = np.dtype(object)


def cast_named(
    given: ArrayColumns, specs: Sequence[TensorSpec], caster_of: Callable[[int], Caster], problems: Problems
) -> Tensors:
    """Cast columns that are matched by name.

    Args:
        given: What came.
        specs: One per input; an optional one may be absent.
        caster_of: The caster of the input with an index.
        problems: Gains what does not fit.

    Returns:
        A tensor per input; their content is meaningless if problems were added.

    Raises:
        SignatureMismatch: there are no rows, or more problems than are told.
    """
    check_unique(given.names, problems)
    check_names(given.names, specs, None, problems)
    if problems:
        return {}
    if not given.n_rows:
        check_any_rows(())
    block = _block(given, specs)
    if block is not None:
        return {name: block[index] for index, name in enumerate(given.names)}
    by_name = dict(zip(given.names, given.each(), strict=True))
    absent = ArrayColumn(np.zeros(given.n_rows), np.ones(given.n_rows, dtype=bool))
    return {
        spec.name: _cast(by_name.get(spec.name, absent), spec, caster_of(index), spec.name, problems)
        for index, spec in enumerate(specs)
    }


def columns_in_order(array: Array, specs: Sequence[TensorSpec]) -> ArrayColumns:
    """Return rows in one array as the columns of a table.

    Raises:
        SignatureMismatch: a row has not as many values as there are columns.
    """
    width = len(specs)
    if array.ndim == width == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2 or array.shape[1] != width:
        expected, received = f"shape (n_rows, {width})", f"shape {array.shape}"
        raise SignatureMismatch(
            f"The array has another shape than the rows: expected {expected}, received {received}",
            errors=[Problem(None, None, expected, received)],
        )
    names = [spec.name for spec in specs]
    is_numbers = array.dtype.kind in "fiu"
    return ArrayColumns(names, array if is_numbers else [ArrayColumn(one) for one in array.T], len(array))


def cast_in_order(given: ArrayColumns, spec: TensorSpec, caster: Caster, problems: Problems) -> Array:
    """Cast columns to the tensor of a model's only input: one column, or each a column of the matrix.

    Args:
        given: In the order of the model's columns.
        spec: Of the input, with as many sizes as its tensor has.
        caster: Of that spec.
        problems: Gains what does not fit.

    Raises:
        SignatureMismatch: there are no rows, or more problems than are told.
    """
    if not given.n_rows:
        check_any_rows(())
    n_columns = len(given.names)
    if n_columns == 1 and (len(spec.shape) != 2 or given.each()[0].values.ndim > 1):
        return _cast(given.each()[0], spec, caster, None, problems)
    width = spec.shape[1] if len(spec.shape) == 2 else 1
    if n_columns != width and not (width < 0 and n_columns):
        expected = "any number of columns" if width < 0 else f"{width} columns"
        expected = "1 column" if width == 1 else expected
        problems.add(None, None, expected, f"{n_columns} columns")
        return np.empty((0, 0))
    whole = _whole(given)
    if whole is not None and not spec.ragged_rank:
        return cast_array(whole, spec, caster, None, problems)
    of_column = replace(spec, shape=(-1,))
    cast = [_cast(column, of_column, caster, index, problems) for index, column in enumerate(given.each())]
    return cast[0] if problems else np.stack(cast, axis=1)


def _block(given: ArrayColumns, specs: Sequence[TensorSpec]) -> Array | None:
    """Cast a table of plain numbers in one go; None where it is not all that, or does not fit.

    Returns:
        ``(n_columns, n_rows)``, in the order in which the columns came.
    """
    if any(spec.dtype != "float64" or spec.is_closed or spec.shape != (-1,) for spec in specs):
        return None
    whole = _whole(given) if len(given.names) == len(specs) else None
    if whole is None or whole.dtype != np.float64:
        return None
    if has_missing(whole) and not all(spec.nullable for spec in specs):
        return None
    return np.require(whole.T, requirements=("C_CONTIGUOUS", "WRITEABLE"))


def _whole(given: ArrayColumns) -> Array | None:
    """Return columns of one dtype, of which nothing is missing, as ``(n_rows, n_columns)``; else None."""
    if isinstance(given.columns, np.ndarray):
        return given.columns
    dtype = given.columns[0].values.dtype
    for column in given.columns:
        values = column.values
        if column.missing is not None or column.codes is not None or values.dtype != dtype or values.ndim > 1:
            return None
    return np.array([column.values for column in given.columns]).T


def _cast(
    column: ArrayColumn, spec: TensorSpec, caster: Caster, name: str | int | None, problems: Problems
) -> Array:
    """Cast one column of at least one row to the tensor of an input, or to a column of a matrix."""
    if column.values.ndim == 1 and len(spec.shape) == 2 and spec.shape[1] in (1, -1) and not spec.ragged_rank:
        # A tensor of one number per row is a column, too.
        return _cast(column, replace(spec, shape=(-1,)), caster, name, problems).reshape(-1, 1)
    if column.codes is not None and len(spec.shape) == 1:
        return _cast_coded(column, column.codes, caster, name, problems)
    if spec.ragged_rank:
        return cast_ragged(_with_none(column), spec, caster, name, problems)
    is_missing = column.missing
    if is_missing is None or column.codes is not None:
        return cast_array(_with_none(column), spec, caster, name, problems)
    if not spec.nullable:
        for row, *path in np.argwhere(is_missing)[:MAX_PROBLEMS].tolist():
            problems.add(row, place_in(name, path), caster.expected, "null")
        return column.values
    if column.values.dtype.kind in "fiu" and spec.dtype.startswith("float") and not spec.is_closed:
        filled = np.where(is_missing, column.values.dtype.type(0), column.values)
        cast = cast_array(filled, spec, caster, name, problems)
        if not problems:
            cast[is_missing.reshape(cast.shape)] = np.nan
        return cast
    return cast_array(_with_none(column), spec, caster, name, problems)


def _with_none(column: ArrayColumn) -> Array:
    """Return a value for each row; where one is missing, they are objects and it is None."""
    values = column.values if column.codes is None else column.values[column.codes]
    if column.missing is None:
        return values
    if values.dtype.kind == "M":
        return np.where(column.missing, np.datetime64("NaT"), values)
    cells = values.astype(_OBJECT)
    cells[column.missing] = None
    return cells


def _cast_coded(
    column: ArrayColumn, codes: Array, caster: Caster, name: str | int | None, problems: Problems
) -> Array:
    """Cast each distinct value that a row has, then give it to its rows."""
    n_values = len(column.values)
    if column.missing is not None:  # None is the value behind the last
        codes = np.where(column.missing, n_values, codes)
    used = np.flatnonzero(np.bincount(codes, minlength=n_values + 1))
    place_of = np.empty(n_values + 1, dtype=np.intp)
    place_of[used] = np.arange(len(used))
    places = place_of[codes]
    values = [None if code == n_values else column.values[code] for code in used.tolist()]
    found = Problems()
    try:
        table = caster.flat(values, Place(None, ()), found)
    except SignatureMismatch as full:
        found[:] = full.errors
    if not found:
        return table[places]
    _name_rows(found, places, name, problems)
    return codes


def _name_rows(found: Sequence[Problem], places: Array, name: str | int | None, problems: Problems) -> None:
    """Note each row that has a value which does not fit; ``found`` has their places in place of rows."""
    by_place = {problem.row: problem for problem in found if problem.row is not None}
    for row in np.flatnonzero(np.isin(places, list(by_place)))[:MAX_PROBLEMS].tolist():
        problem = by_place[int(places[row])]
        problems.add(row, name, problem.expected, problem.received)
