"""The Open Inference Protocol in ``GET /openapi.json``.

Rule of this room: what is always refused here (shared memory, trace, logging; load and unload where clients
do not control the models) is no part of the document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apispec import APISpec

from demijohn.predictor import Predictor
from demijohn.protocols import open_inference

from .json_types import JsonType
from .request_examples import v2_example

TAG = "Open Inference Protocol v2"
#: Statuses of every route; 414 and 431 are the server's own, before it is known whose the path is.
_STATUSES = (400, 403, 405, 500, 503)
_INFER_STATUSES = (404, 408, 413, 415, 504)
_CONTROL_STATUSES = (404, 408, 413, 415, 501, 504)
_SERVERS_OWN = (414, 431)
_KEY_STATUS = 401
_RETRY = 503

_HEAD_LENGTH: JsonType = {
    "name": open_inference.HEAD_LENGTH,
    "in": "header",
    "description": "Bytes of the JSON at the body's beginning, where tensors follow it as bytes; with 0 the "
    "body is the bytes of the only input.",
    "schema": {"type": "integer", "minimum": 0},
}
_SERVER = (
    ("/v2", "The server and its extensions", "V2Server"),
    ("/v2/health/live", "Is the process up?", "V2Health"),
    ("/v2/health/ready", "Is every model ready?", "V2Health"),
    ("/v2/models", "List the models", "V2ModelList"),
    ("/v2/models/stats", "Statistics of every model", "V2Statistics"),
)
_MODEL = (
    ("/v2/models/{name}", "Inputs and outputs of a model", "V2Model"),
    ("/v2/models/{name}/ready", "Is a model ready?", "V2ModelReady"),
    ("/v2/models/{name}/config", "Configuration of a model", "V2Config"),
    ("/v2/models/{name}/stats", "Statistics of a model", "V2Statistics"),
)


class V2Routes:
    """Adds the protocol's paths to one document.

    Args:
        spec: The document; it has the schemas of ``v2_answers``.
        headers: Names of the headers that each answer bears.
        errors: What each status means, for people.
        needs_key: 401 is among the answers.
        has_control: Clients load and unload models.
    """

    def __init__(
        self,
        spec: APISpec,
        headers: Sequence[str],
        errors: Mapping[int, str],
        *,
        needs_key: bool,
        has_control: bool,
    ) -> None:
        self._has_control = has_control
        self._spec = spec
        self._headers = {name: name for name in headers}
        statuses = (*_STATUSES, _KEY_STATUS) if needs_key else _STATUSES
        self._refusals: dict[int, Any] = {status: f"V2Error{status}" for status in statuses}
        self._refusals |= {status: f"Problem{status}" for status in _SERVERS_OWN}
        for status in sorted({*statuses, *_INFER_STATUSES, *_CONTROL_STATUSES}):
            spec.components.response(f"V2Error{status}", self._error(status, errors[status]))

    def _error(self, status: int, text: str) -> JsonType:
        retry = {"Retry-After": "Retry-After"} if status == _RETRY else {}
        return {"description": text, "headers": self._headers | retry, "content": _json("V2Error")}

    def add(self, predictors: Sequence[Predictor]) -> None:
        """Add all paths; ``predictors`` are the highest version of each model."""
        self._spec.tag({"name": TAG})
        for path, summary, answer in _SERVER:
            self._get(path, summary, answer)
        names = [predictor.name for predictor in predictors]
        name: JsonType = {"type": "string", **({"enum": names} if names else {})}
        parameter = {"name": "name", "in": "path", "required": True, "schema": name}
        for path, summary, answer in _MODEL:
            self._get(path, summary, answer, parameters=[parameter])
        self._add_index()
        if self._has_control:
            self._add_control("load", "Load a model as its files are now", {})
            self._add_control("unload", "Serve a model no more", {"unload_dependents": {"type": "boolean"}})
        for predictor in predictors:
            self._add_infer(predictor)

    def _get(self, path: str, summary: str, answer: str, **more: Any) -> None:
        refusals = self._refusals | ({404: "V2Error404"} if more else {})
        if path.endswith("ready"):
            not_ready = {_RETRY: self._error(_RETRY, "Not ready, or the server cannot answer now.")}
            not_ready[_RETRY]["content"] = {
                open_inference.JSON: {"schema": {"anyOf": [_reference(answer), _reference("V2Error")]}}
            }
            refusals |= not_ready
        self._add(path, "get", summary, {200: self._answer(summary, _json(answer)), **refusals}, **more)

    def _add_index(self) -> None:
        entries: JsonType = {"type": "array", "items": _reference("V2IndexEntry")}
        summary = "List every version of every model"
        responses = {200: self._answer(summary, {open_inference.JSON: {"schema": entries}}), **self._refusals}
        responses |= {status: f"V2Error{status}" for status in _INFER_STATUSES if status not in (404, 504)}
        body = {"required": False, "content": _json("V2IndexRequest")}
        self._add("/v2/repository/index", "post", summary, responses, requestBody=body)

    def _add_control(self, action: str, summary: str, parameters: JsonType) -> None:
        # Any name may be asked for: a file that is new becomes a model.
        name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
        within = {"type": "object", "properties": parameters}
        schema: JsonType = {"type": "object", "properties": {"parameters": within}}
        responses = {200: {"description": "Every worker has.", "headers": self._headers}, **self._refusals}
        responses |= {status: f"V2Error{status}" for status in _CONTROL_STATUSES}
        body = {"required": False, "content": {open_inference.JSON: {"schema": schema}}}
        path = f"/v2/repository/models/{{name}}/{action}"
        self._add(path, "post", summary, responses, parameters=[name], requestBody=body)

    def _add_infer(self, predictor: Predictor) -> None:
        content = _json("V2Request")
        if (example := v2_example(predictor)) is not None:
            content[open_inference.JSON]["examples"] = {"v2": {"value": example}}
        content[open_inference.BINARY] = {}
        answers = {**_json("V2Answer"), open_inference.BINARY: {"schema": {"type": "string"}}}
        responses = {200: self._answer("The outputs.", answers), **self._refusals}
        responses |= {status: f"V2Error{status}" for status in _INFER_STATUSES}
        self._add(
            f"/v2/models/{predictor.name}/infer", "post", f"Outputs of {predictor.name}", responses,
            parameters=[_HEAD_LENGTH], requestBody={"required": True, "content": content},
        )  # fmt: skip

    def _answer(self, text: str, content: JsonType) -> JsonType:
        return {"description": text, "headers": self._headers, "content": content}

    def _add(self, path: str, method: str, summary: str, responses: dict[int, Any], **more: Any) -> None:
        operation = {
            "operationId": path.removeprefix("/").replace("{", "").replace("}", ""),
            "summary": summary,
            "tags": [TAG],
            "responses": dict(sorted(responses.items())),
            **more,
        }
        self._spec.path(path, operations={method: operation})


def _json(schema: str) -> JsonType:
    return {open_inference.JSON: {"schema": schema}}


def _reference(schema: str) -> JsonType:
    return {"$ref": f"#/components/schemas/{schema}"}
