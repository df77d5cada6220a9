"""Request bodies that a model accepts, ready to be sent: its example rows in every form.

Rules of this room:
1. Each example is a real request; a form that cannot hold the rows is left out.
2. One form shows all example rows, the others two, so that a document of many models stays small.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from demijohn.messages import Records, Rows, plain
from demijohn.planning import shown_rows
from demijohn.predictor import Predictor
from demijohn.protocols import v2_tensors

_FEW = 2


def json_examples(predictor: Predictor, method: str) -> dict[str, Any]:
    """Return a JSON body by the name of its form; none where no example row is known."""
    rows = predictor.example_rows(method)
    if not rows:
        return {}
    few = rows[:_FEW]
    columns = predictor.signature.of(method).columns
    if isinstance(rows[0], Mapping) and columns is None:  # of named tensors
        return {
            "instances": {"instances": rows},
            "records": few,
            "inputs": {"inputs": {name: [row.get(name) for row in few] for name in few[0]}},
            "dataframe_records": {"dataframe_records": few},
        }
    if columns is None:
        split = [row if isinstance(row, list) else [row] for row in few]
        return {
            "instances": {"instances": rows},
            "rows": few,
            "inputs": {"inputs": few},
            "dataframe_split": {"dataframe_split": {"data": split}},
        }
    cells = [[row.get(name) for name in columns] for row in few]
    by_column = {name: [row.get(name) for row in few] for name in columns}
    return {
        "instances": {"instances": rows},
        "rows": cells,
        "records": few,
        "inputs": {"inputs": by_column},
        "dataframe_split": {"dataframe_split": {"columns": list(columns), "data": cells}},
        "dataframe_records": {"dataframe_records": few},
    }


def csv_example(predictor: Predictor, method: str) -> str | None:
    """Return a CSV body, header first; None where no example row can be written as CSV."""
    names = _header(predictor, method)
    rows = [_cells(row, names) for row in predictor.example_rows(method)]
    rows = [row for row in rows if all(map(_is_writable, row))][:_FEW]
    if not rows:
        return None
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(names or [f"x{index}" for index in range(len(rows[0]))])
    writer.writerows([_written(value) for value in row] for row in rows)
    return out.getvalue()


def v2_example(predictor: Predictor) -> dict[str, Any] | None:
    """Return a body of the Open Inference Protocol; None where its datatypes do not hold the rows."""
    rows = shown_rows(predictor.runtime)[:_FEW]
    specs = predictor.signature.inputs
    if not rows or any(spec.dtype == "object" for spec in specs):
        return None
    tensors = predictor.signature.validate(Records(rows) if isinstance(rows[0], dict) else Rows(rows))
    inputs = []
    for spec in specs:
        array = tensors[spec.name]
        datatype = v2_tensors.datatype_of(spec.dtype)
        if datatype == "FP16":  # which has no form in JSON
            return None
        data = [None if cell != cell else cell for cell in plain(array.reshape(-1))]
        inputs.append({"name": spec.name, "shape": list(array.shape), "datatype": datatype, "data": data})
    return {"inputs": inputs}


def _header(predictor: Predictor, method: str) -> Sequence[str] | None:
    """Return the names of the columns; of tensors, which have them, where each row is a value."""
    signature = predictor.signature.of(method)
    return (
        tuple(spec.name for spec in signature.inputs) if signature.layout == "tensors" else signature.columns
    )


def _cells(row: Any, columns: Sequence[str] | None) -> list[Any]:
    if isinstance(row, Mapping):
        return [row.get(name) for name in columns or ()]
    return row if isinstance(row, list) else [row]


def _is_writable(value: Any) -> bool:
    """Say whether a CSV cell can hold it: an empty text would be read as a missing value."""
    return value != "" and not isinstance(value, (list, Mapping))


def _written(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value
