"""What a signature means in JSON: the types of request bodies and answers, as JSON Schema.

Rules of this room:
1. A body that fits its type fits the signature, but for what JSON Schema cannot say: that columns
   of ``{"inputs": {...}}`` have one length, that a free size is one in all rows, that 3.0 is no
   integer, which years an instant can have, what is in an image.
2. An answer always fits its type; what is not known of a method's outputs is left open.
3. A type that is used more than once is kept once, under ``components``.

Source: https://spec.openapis.org/oas/v3.1.0#schema-object (JSON Schema 2020-12).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from apispec import APISpec

from demijohn.image_casting import image_axes
from demijohn.predictor import Predictor
from demijohn.protocols import image_media
from demijohn.signature import Signature, TensorSpec, as_json_value

JsonType = dict[str, Any]  #: A JSON Schema.

MOST_LISTED = 500  #: Categories or classes that a type lists; past them it only says their type.
_FORMATS = {"float64": "double", "float32": "float", "int64": "int64", "int32": "int32"}
_ANY_SCALAR = ("number", "string", "boolean")


class Components:
    """The parts of one document that are kept once and referred to."""

    def __init__(self, spec: APISpec) -> None:
        self._spec = spec
        self._names: dict[bytes, str] = {}
        self._used: set[str] = set()

    def keep(self, name: str, part: JsonType, kind: str = "schema") -> JsonType:
        """Return a reference to a part; one that is equal to an earlier one becomes that one.

        Args:
            name: Wished for; a number is added if another part has it.
            part: As JSON.
            kind: "schema", "response" or "example", as apispec calls them.
        """
        content = kind.encode() + orjson.dumps(part, option=orjson.OPT_NON_STR_KEYS)
        if content not in self._names:
            name = self._free(f"{kind}:{re.sub('[^A-Za-z0-9._-]+', '-', name)}")
            getattr(self._spec.components, kind)(name, part)
            self._names[content] = name
        reference: JsonType = self._spec.components.get_ref(kind, self._names[content])
        return reference

    def _free(self, wanted: str) -> str:
        free, count = wanted, 1
        while free in self._used:
            count += 1
            free = f"{wanted}-{count}"
        self._used.add(free)
        return free.partition(":")[2]


# Cells ------------------------------------------------------------------------------------


def cell_type(spec: TensorSpec) -> JsonType:
    """Return the type of one cell of a request."""
    if spec.categories is not None and spec.is_closed and len(spec.categories) <= MOST_LISTED:
        listed = [as_json_value(value) for value in spec.categories]
        return {"enum": [*listed, None] if spec.nullable and None not in listed else listed}
    cell = _with_null(_scalar_type(spec.dtype), nullable=spec.nullable)
    if spec.categories:
        cell["examples"] = [as_json_value(value) for value in spec.categories[:10]]
    return cell


def _scalar_type(dtype: str) -> JsonType:
    if dtype == "str":
        return {"type": "string"}
    if dtype == "object":
        return {"type": list(_ANY_SCALAR)}
    kind = np.dtype(dtype).kind
    if kind == "b":
        return {"type": "boolean"}
    if kind == "M":
        return {"type": "string", "format": "date-time"}
    bounds = _bounds(np.dtype(dtype))
    known = {"format": _FORMATS[dtype]} if dtype in _FORMATS else {}
    return {"type": "integer" if kind in "iu" else "number", **known, **bounds}


def _bounds(dtype: np.dtype[Any]) -> JsonType:
    """Return a number's range; every number that JSON can be read as fits a float64."""
    if dtype.kind in "iu":
        whole = np.iinfo(dtype)
        return {"minimum": int(whole.min), "maximum": int(whole.max)}
    if dtype.itemsize < np.dtype(np.float64).itemsize:
        real = np.finfo(dtype)
        return {"minimum": float(real.min), "maximum": float(real.max)}
    return {}


def _with_null(cell: JsonType, *, nullable: bool) -> JsonType:
    if not nullable:
        return cell
    types = cell["type"] if isinstance(cell["type"], list) else [cell["type"]]
    return {**cell, "type": [*types, "null"]}


def _kept_cell(spec: TensorSpec, components: Components) -> JsonType:
    """Return a reference to a plain cell's type; one with categories is the column's own."""
    if spec.categories is not None:
        return cell_type(spec)
    return components.keep(f"{spec.dtype}{'-or-null' if spec.nullable else ''}", cell_type(spec))


# Requests ---------------------------------------------------------------------------------


def forms_of(predictor: Predictor, method: str, components: Components) -> dict[str, JsonType]:
    """Return the type of each value that stands under its form's name, of those that fit a method."""
    name = f"{predictor.name}.{predictor.version}"
    signature = predictor.signature.of(method)
    return _forms(signature, name if signature is predictor.signature else f"{name}.{method}", components)


def body_type(predictor: Predictor, method: str, components: Components) -> JsonType:
    """Return the type of a method's JSON bodies: every form that fits the signature."""
    name = f"{predictor.name}.{predictor.version}"
    signature = predictor.signature.of(method)
    if signature is not predictor.signature:
        name = f"{name}.{method}"
    forms = _forms(signature, name, components)
    parameters = predictor.runtime.parameters(method)
    extra = {"params": _parameters_type(method, parameters)} if parameters else {}
    rows = forms["instances"]
    objects = [
        {
            "title": form,
            "type": "object",
            "properties": {form: value, **extra},
            "required": [form],
            "additionalProperties": False,
        }
        for form, value in forms.items()
    ]
    body = {"title": "Request", "anyOf": [rows, *objects]}
    return components.keep(f"{_name_of(signature, name)}.request", body)


def _parameters_type(method: str, parameters: Sequence[str]) -> JsonType:
    return {
        "type": "object",
        "description": f"Arguments of {method}.",
        "properties": {name: {} for name in parameters},
        "additionalProperties": False,
    }


def _name_of(signature: Signature, name: str) -> str:
    """Name the types of a signature: by the model where columns have names, else by what it is."""
    if signature.layout in {"table", "tensors"}:
        return name
    spec = signature.inputs[0]
    sizes = "x".join("any" if size < 0 else str(size) for size in spec.shape[1:])
    shape = "" if sizes in {"", "any"} else f"-{sizes}"
    return f"{signature.layout}{shape}.{spec.dtype}{'-or-null' if spec.nullable else ''}"


def _forms(signature: Signature, name: str, components: Components) -> dict[str, JsonType]:
    """Return the type of each value that stands under its form's name."""
    if signature.layout == "table":
        return _table_forms(signature, name, components)
    if signature.layout == "tensors":
        return _tensor_forms(signature, name, components)
    spec = signature.inputs[0]
    row = _matrix_row(spec, components) if signature.layout == "matrix" else _vector_row(spec, components)
    name = _name_of(signature, name)
    rows = components.keep(f"{name}.rows", _many(components.keep(f"{name}.row", row)))
    named = {
        "type": "object",
        "properties": {spec.name: rows},
        "required": [spec.name],
        "additionalProperties": False,
    }
    columns = {"type": ["array", "null"], "items": {"type": ["string", "number"]}}
    return {
        "instances": rows,
        "inputs": {"anyOf": [rows, named]},
        "dataframe_split": _split_type(columns, rows),
    }


def _matrix_row(spec: TensorSpec, components: Components) -> JsonType:
    return _or_image(spec, _nested(_kept_cell(spec, components), spec.shape[1:] or (-1,)), components)


def _or_image(spec: TensorSpec, row: JsonType, components: Components) -> JsonType:
    """Return the type of a row that may be written as an image too, where it can be one."""
    if image_axes(spec) is None or not image_media.is_available():
        return row
    image = {
        "title": "Image",
        "type": "object",
        "description": "A PNG or JPEG file.",
        "properties": {image_media.KEY: {"type": "string", "contentEncoding": "base64"}},
        "required": [image_media.KEY],
        "additionalProperties": False,
    }
    return {"anyOf": [row, components.keep("image", image)]}


def _nested(cell: JsonType, sizes: Sequence[int]) -> JsonType:
    """Return the type of lists of these sizes, the outermost first; -1 is any."""
    for size in reversed(sizes):
        known = {"minItems": 1} if size < 0 else {"minItems": size, "maxItems": size}
        cell = {"type": "array", "items": cell, **known}
    return cell


def _vector_row(spec: TensorSpec, components: Components) -> JsonType:
    cell = _kept_cell(spec, components)
    return {"anyOf": [cell, {"type": "array", "items": cell, "minItems": 1, "maxItems": 1}]}


def _table_forms(signature: Signature, name: str, components: Components) -> dict[str, JsonType]:
    cells = {spec.name: _kept_cell(spec, components) for spec in signature.inputs}
    required = [spec.name for spec in signature.inputs if not spec.is_optional]
    row = components.keep(f"{name}.row", _tuple(list(cells.values())))
    record = components.keep(f"{name}.record", _record(cells, required))
    # Where there is one input, a row may be its value alone.
    plain = [_many(cell) for cell in cells.values()] if len(cells) == 1 else []
    rows = components.keep(f"{name}.rows", {"anyOf": [_many(row), *plain]} if plain else _many(row))
    records = components.keep(f"{name}.records", _many(record))
    lists = {column: _many(cell) for column, cell in cells.items()}
    columns = components.keep(f"{name}.columns", {**_record(lists, required), "minProperties": 1})
    either = components.keep(f"{name}.rows-or-records", {"anyOf": [rows, records]})
    order = {"anyOf": [{"const": list(cells)}, {"type": "null"}], "description": "In this order."}
    return {
        "instances": either,
        "inputs": {"anyOf": [rows, records, columns]},
        "dataframe_split": _split_type(order, rows),
        "dataframe_records": records,
    }


def _tensor_forms(signature: Signature, name: str, components: Components) -> dict[str, JsonType]:
    """Return the types of records and columns of tensors; of rows too where there is one input."""
    nested = {spec.name: _nested(_kept_cell(spec, components), spec.shape[1:]) for spec in signature.inputs}
    cells = {spec.name: _or_image(spec, nested[spec.name], components) for spec in signature.inputs}
    cells = {one: components.keep(f"{name}.{one}", cell) for one, cell in cells.items()}
    required = [spec.name for spec in signature.inputs if not spec.is_optional]
    records = components.keep(f"{name}.records", _many(_record(cells, required)))
    columns = {**_record({one: _many(cell) for one, cell in cells.items()}, required), "minProperties": 1}
    rows = [_many(cell) for cell in cells.values()] if len(cells) == 1 else []
    either = components.keep(f"{name}.rows-or-records", {"anyOf": [records, *rows]})
    return {
        "instances": either,
        "inputs": {"anyOf": [records, *rows, components.keep(f"{name}.columns", columns)]},
        "dataframe_records": records,
    }


def _tuple(cells: Sequence[JsonType]) -> JsonType:
    """Return the type of a list of so many cells, each of its own type."""
    size = {"minItems": len(cells), "maxItems": len(cells)}
    if all(cell == cells[0] for cell in cells):
        return {"type": "array", "items": cells[0], **size}
    return {"type": "array", "prefixItems": list(cells), **size}


def _record(cells: Mapping[str, JsonType], required: Sequence[str]) -> JsonType:
    return {
        "type": "object",
        "properties": dict(cells),
        "required": list(required),
        "additionalProperties": False,
    }


def _many(item: JsonType) -> JsonType:
    return {"type": "array", "items": item, "minItems": 1}


def _split_type(columns: JsonType, rows: JsonType) -> JsonType:
    return {
        "type": "object",
        "description": 'As pandas\' to_dict("split") writes it; the index is not read.',
        "properties": {"columns": columns, "data": rows},
        "required": ["data"],
    }


# Answers ----------------------------------------------------------------------------------


def answer_type(predictor: Predictor, method: str, components: Components) -> JsonType:
    """Return the type of a method's JSON answer."""
    properties: JsonType = {
        "predictions": {
            "type": "array",
            "items": _entry_type(predictor, method),
            "description": "One entry per row.",
        },
        "model": {"const": predictor.name},
        "version": {"const": predictor.version},
    }
    classes = predictor.runtime.classes(method)
    if classes is not None:
        properties["classes"] = _classes_type(classes)
    answer = {"title": "Answer", "type": "object", "properties": properties, "required": list(properties)}
    return components.keep(f"{predictor.name}.{predictor.version}.{method}.answer", answer)


def _entry_type(predictor: Predictor, method: str) -> JsonType:
    """Return the type of one row's entry: a scalar, a list, or a record of named outputs."""
    outputs = predictor.signature.outputs.get(method, ())
    if not outputs:
        return {}
    types = {spec.name: _output_type(spec, predictor.signature.of(method), method) for spec in outputs}
    entry = types[method] if list(types) == [method] else _record(types, list(types))
    if not predictor.runtime.parameters(method):
        return entry
    # A parameter may ask for other outputs: return_std, n_neighbors.
    return {"anyOf": [entry, {"description": 'Other outputs that "params" asked for.'}]}


def _output_type(spec: TensorSpec, signature: Signature, method: str) -> JsonType:
    entry = _output_scalar(spec.dtype, signature, method)
    for length in reversed(spec.shape[1:]):
        size = {} if length < 0 else {"minItems": length, "maxItems": length}
        entry = {"type": "array", "items": entry, **size}
    return entry


def _output_scalar(dtype: str, signature: Signature, method: str) -> JsonType:
    """Return the type of one number or label.

    A float that is not finite is written as null. Outputs of ``transform`` are columns, which may
    hold what the rows lacked, or hand on whatever came; labels, distances and indices never do.
    """
    hands_on = method == "transform"
    if dtype == "object" or (dtype == "str" and hands_on and _takes_anything(signature)):
        return {}
    kind = "U" if dtype == "str" else np.dtype(dtype).kind
    names = {"U": "string", "b": "boolean", "i": "integer", "u": "integer", "f": "number"}
    if kind not in names:  # dates, durations, complex numbers: whatever text they are written as
        return {}
    return _with_null({"type": names[kind]}, nullable=kind == "f" or hands_on)


def _takes_anything(signature: Signature) -> bool:
    return any(spec.dtype == "object" for spec in signature.inputs)


def _classes_type(classes: Sequence[Any]) -> JsonType:
    described = {"description": "Labels of the columns; a list per output where there are several."}
    if len(classes) > MOST_LISTED:
        return {"type": "array", **described}
    return {"const": list(classes), **described}
