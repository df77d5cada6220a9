"""``GET /openapi.json``: OpenAPI 3.1 of what is served now, one typed path per model and method.

Rules of this room:
1. The document follows the pool: it is written once per change of the models, then kept.
2. What a model or a client wrote (column names, categories) stands in it as JSON strings only,
   never in a path, a key of ours or a text that a page may read as Markdown.
3. Every status an operation can answer stands in it; which errors have which status is read from
   ``errors``.
4. Versions and aliases have paths of their own where a model has a choice of them; where its only
   version is meant by every path, a second path of the same types would only lengthen the page.

Source: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from apispec import APISpec
from flask import Response, g

from demijohn.errors import DemijohnError, ModelNotFound, RequestError, ServerError
from demijohn.pool import Pool
from demijohn.predictor import Predictor
from demijohn.protocols import image_media, json_media, native

from . import answers, v2_answers
from .json_types import Components, JsonType, answer_type, body_type
from .openapi_dialects import Dialects
from .openapi_v2 import V2Routes
from .request_examples import csv_example, json_examples
from .services import Services, services
from .streams import FORMS

#: Statuses of every route of ours, and those that a prediction adds. 401 is added where keys are.
PLAIN_STATUSES = (400, 403, 405, 414, 431, 500, 503)
PREDICTION_STATUSES = (404, 406, 408, 413, 415, 422, 504)

_SERVER = "the server"  #: The tag of what is no model; a space cannot be in a model's name.
_HEADERS = ("X-Demijohn-Version", "X-Request-Id")
_RETRY = 503


def document() -> Response:
    """``GET /openapi.json``."""
    shared = services()
    root = g.demijohn_environ.get("SCRIPT_NAME", "").rstrip("/") + shared.settings.url_prefix
    made_of = (root, shared.pool.generation, shared.pool.default)
    kept = shared.openapi
    if kept is None or kept[0] != made_of:
        kept = shared.openapi = (made_of, json_media.dump(describe(shared, root)))
    return Response(kept[1], content_type=native.JSON)


def describe(shared: Services, root: str) -> dict[str, Any]:
    """Return the document.

    Args:
        shared: Whose models and settings.
        root: The path under which the routes live, "" or "/ml".
    """
    from demijohn import __version__

    spec = APISpec("Demijohn", __version__, "3.1.0", **_options(shared, root))
    components = Components(spec)
    _add_answers(spec)
    _add_security(spec, shared)
    _Routes(spec, components, shared).add()
    texts = {status: _text_of(errors) for status, errors in _errors_by_status().items()}
    has_control = shared.control is not None
    v2 = V2Routes(spec, _HEADERS, texts, needs_key=shared.needs_key, has_control=has_control)
    v2.add([shared.pool.entry(name).latest for name in shared.pool])
    dialects = Dialects(spec, components, _HEADERS, needs_key=shared.needs_key)
    dialects.add([shared.pool.entry(name).latest for name in shared.pool], _default_of(shared.pool))
    return spec.to_dict()


def _options(shared: Services, root: str) -> dict[str, Any]:
    text = (
        "Fitted models over HTTP. Bodies may be compressed (`Content-Encoding: gzip` or `deflate`), and so "
        "are long answers for clients that say so (`Accept-Encoding`). "
        "`text/csv` bodies have a header line unless sent as `text/csv; header=absent`. Arrow and Parquet "
        "are tables; npy is one array of rows, npz an array for each input by name; JSON lines are rows. "
        "CSV, JSON lines and Arrow streams may be longer than other bodies where `Accept` names one of "
        "these: they are scored while they come; only such requests may be PUT. "
        "Errors are `application/problem+json`. Under `/models/{name}/versions/{version}/` and "
        "`/models/{name}/aliases/{alias}/` each method of a model is there too; they are listed for "
        "models of several versions, or with an alias. Under `/v2` the same models speak the Open Inference "
        "Protocol, also under `/v2/models/{name}/versions/{version}`."
    )
    options: dict[str, Any] = {"servers": [{"url": root or "/"}], "info": {"description": text}}
    if shared.needs_key:
        options["security"] = [{"bearer": []}, {"key": []}]
    return options


def _add_answers(spec: APISpec) -> None:
    every = (*answers.ALL, *v2_answers.ALL)
    _, types = msgspec.json.schema_components(every, ref_template="#/components/schemas/{name}")
    for name, part in types.items():
        spec.components.schema(name, part)
    for header, text in zip(_HEADERS, ("Version of Demijohn.", "Echoed if given and clean."), strict=True):
        spec.components.header(header, {"description": text, "schema": {"type": "string"}})
    retry = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}
    spec.components.header("Retry-After", retry)
    for status, errors in _errors_by_status().items():
        spec.components.response(f"Problem{status}", _problem_response(status, errors))


def _add_security(spec: APISpec, shared: Services) -> None:
    if shared.needs_key:
        spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
        spec.components.security_scheme("key", {"type": "apiKey", "in": "header", "name": "X-API-Key"})


def _errors_by_status() -> dict[int, list[type[DemijohnError]]]:
    by_status: dict[int, list[type[DemijohnError]]] = defaultdict(list)
    errors: list[type[DemijohnError]] = [DemijohnError, *_family(RequestError), *_family(ServerError)]
    for error in errors:
        if error is not ServerError:  # its status and code are the root's own
            by_status[error.status].append(error)
    return by_status


def _family(error: type[DemijohnError]) -> Iterator[type[DemijohnError]]:
    """Yield a class and its subclasses; those outside our package are the operator's own affair."""
    yield error
    for below in error.__subclasses__():
        if below.__module__ == DemijohnError.__module__:
            yield from _family(below)


def _text_of(errors: Sequence[type[DemijohnError]]) -> str:
    return "; ".join(f"{error.title} (`{error.code}`)" for error in errors)


def _problem_response(status: int, errors: Sequence[type[DemijohnError]]) -> JsonType:
    headers = (*_HEADERS, "Retry-After") if status == _RETRY else _HEADERS
    return {
        "description": _text_of(errors),
        "headers": {name: name for name in headers},
        "content": {native.PROBLEM: {"schema": "ProblemDetails"}},
    }


class _Routes:
    """Adds the paths of one document."""

    def __init__(self, spec: APISpec, components: Components, shared: Services) -> None:
        self._spec = spec
        self._components = components
        self._shared = shared
        statuses = (401, *PLAIN_STATUSES) if shared.needs_key else PLAIN_STATUSES
        self._problems = {status: f"Problem{status}" for status in sorted(statuses)}

    def add(self) -> None:
        """Add all: the default model, each model, the server."""
        pool = self._shared.pool
        default = _default_of(pool)
        if default is not None and "predict" in default.runtime.methods:
            self._add_method("/predict", default, "predict")
        for name in pool:
            self._add_model(name)
        self._spec.tag({"name": _SERVER})
        self._add_server(list(pool))

    def _add_model(self, name: str) -> None:
        entry = self._shared.pool.entry(name)
        latest = entry.latest
        self._spec.tag({"name": name, "description": f"{latest.runtime.framework}, version {latest.version}"})
        under = [(f"/models/{name}", latest)]
        if entry.aliases or len(entry.versions) > 1:
            under += [(f"/models/{name}/versions/{version}", p) for version, p in entry.versions.items()]
            under += [
                (f"/models/{name}/aliases/{alias}", entry.versions[version])
                for alias, version in entry.aliases.items()
            ]
        for path, predictor in under:
            for method in predictor.runtime.methods:
                self._add_method(f"{path}/{method}", predictor, method)

    def _add_method(self, path: str, predictor: Predictor, method: str) -> None:
        responses: dict[int, Any] = {200: self._answer(predictor, method)}
        responses |= self._problems | {status: f"Problem{status}" for status in PREDICTION_STATUSES}
        operation = {
            "operationId": path.removeprefix("/"),
            "summary": f"{method} of {predictor.name}, version {predictor.version}",
            "tags": [predictor.name],
            "requestBody": {"required": True, "content": self._bodies(predictor, method)},
            "responses": dict(sorted(responses.items())),
        }
        operations = {"post": operation}
        if method not in predictor.streams:
            operations["put"] = self._put(operation, responses)
        self._spec.path(path, operations=operations)

    def _put(self, post: JsonType, responses: dict[int, Any]) -> JsonType:
        """Describe rows that are answered while they come, which may be POSTed as well."""
        forms = self._components.keep(
            "rows",
            {
                "description": "One prediction per row, in the form that Accept names. After the first "
                "row an error is the last record.",
                "headers": {name: name for name in _HEADERS},
                "content": _row_forms(),
            },
            "response",
        )
        return {
            **post,
            "operationId": f"{post['operationId']}/rows",
            "summary": f"{post['summary']}: rows of any number, scored while they come",
            "requestBody": {"required": True, "content": _row_forms()},
            "responses": dict(sorted((responses | {200: forms}).items())),
        }

    def _bodies(self, predictor: Predictor, method: str) -> JsonType:
        name = f"{predictor.name}.{predictor.version}"
        if method in predictor.signature.others:
            name = f"{name}.{method}"
        keep = self._components.keep
        as_json = {
            form: keep(f"{name}.{form}", {"value": value}, "example")
            for form, value in json_examples(predictor, method).items()
        }
        text = csv_example(predictor, method)
        as_csv = {} if text is None else {"csv": keep(f"{name}.csv", {"value": text}, "example")}
        body = body_type(predictor, method, self._components)
        takes_image = predictor.signature.of(method).takes_image_body and image_media.is_available()
        return {
            native.JSON: {"schema": body, **({"examples": as_json} if as_json else {})},
            native.CSV: {"schema": {"type": "string"}, **({"examples": as_csv} if as_csv else {})},
            **_other_forms(),
            # "Content transferred in binary (octet-stream) MAY omit schema" -- OpenAPI 3.1.0, 4.8.14.3
            **({media_type: {} for media_type in image_media.MEDIA_TYPES} if takes_image else {}),
        }

    def _answer(self, predictor: Predictor, method: str) -> JsonType:
        answer: dict[str, Any] = {
            "description": "One prediction per row.",
            "headers": {name: name for name in _HEADERS},
            "content": {
                native.JSON: {"schema": answer_type(predictor, method, self._components)},
                native.CSV: {"schema": {"type": "string"}},
                **_other_forms(),
            },
        }
        if method in predictor.streams:
            answer["description"] = "The items one by one, or gathered: a list for each row."
            answer["content"] = {form: {"schema": {"type": "string"}} for form in FORMS} | answer["content"]
        name = f"{predictor.name}.{predictor.version}.{method}"
        return self._components.keep(name, answer, "response")

    def _add_server(self, names: Sequence[str]) -> None:
        name: JsonType = {"type": "string", **({"enum": list(names)} if names else {})}
        parameter = _in_path("name", name)
        not_ready: JsonType = {
            "description": "A model is not ready, or the server cannot answer now.",
            "headers": {name: name for name in (*_HEADERS, "Retry-After")},
            "content": {native.JSON: {"schema": "NotReady"}, native.PROBLEM: {"schema": "ProblemDetails"}},
        }
        self._get("/models", "List the models", "ModelList")
        self._get("/models/{name}", "Describe a model", "ModelDescription", [404], parameters=[parameter])
        for one, ending in (("version", "versions/{version}"), ("alias", "aliases/{alias}")):
            parameters = [parameter, _in_path(one, {"type": "string"})]
            path, summary = f"/models/{{name}}/{ending}", f"Describe one {one} of a model"
            self._get(path, summary, "ModelDescription", [404], parameters=parameters)
        self._get("/livez", "Is the process up?", "Alive", is_open=True)
        self._get("/readyz", "Is every model ready?", "Ready", is_open=True, other={_RETRY: not_ready})
        self._get(
            "/metrics", "Prometheus metrics of all workers", {"type": "string"}, media_type="text/plain"
        )
        self._get("/openapi.json", "This document", {"type": "object"})

    def _get(
        self,
        path: str,
        summary: str,
        answer: str | JsonType,
        statuses: Iterable[int] = (),
        *,
        is_open: bool = False,
        media_type: str = native.JSON,
        other: dict[int, Any] | None = None,
        **more: Any,
    ) -> None:
        """Add a route that takes GET; ``answer`` is a type or the name of one."""
        responses: dict[int, Any] = {
            200: {
                "description": summary,
                "headers": {name: name for name in _HEADERS},
                "content": {media_type: {"schema": answer}},
            }
        }
        responses |= self._problems | {status: f"Problem{status}" for status in statuses} | (other or {})
        if is_open:
            responses.pop(401, None)
            more |= {"security": []} if self._shared.needs_key else {}
        operation = {
            "operationId": path.removeprefix("/").replace("{", "").replace("}", ""),
            "summary": summary,
            "tags": [_SERVER],
            "responses": dict(sorted(responses.items())),
            **more,
        }
        self._spec.path(path, operations={"get": operation})


def _in_path(name: str, schema: JsonType) -> JsonType:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _other_forms() -> JsonType:
    """Describe the forms of bodies and answers that are neither JSON nor CSV."""
    others = [form for form in native.ANSWERS[2:] if native.is_available(form)]
    return {form: {"schema": {"type": "string"}} if form in native.LINES else {} for form in others}


def _row_forms() -> JsonType:
    forms = [form for form in native.STREAMED if native.is_available(form)]
    return {form: {} if form == native.ARROW else {"schema": {"type": "string"}} for form in forms}


def _default_of(pool: Pool) -> Predictor | None:
    try:
        return pool.find(None)
    except ModelNotFound:  # several models and no default: POST /predict is a 404 then
        return None
