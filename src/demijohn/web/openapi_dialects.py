"""TensorFlow Serving's, KServe's and MLflow's routes in ``GET /openapi.json``.

Rules of this room:
1. A body is typed by the model's signature; of an answer its frame is, as NaN and Infinity may stand in
   TensorFlow Serving's, which are no JSON.
2. Versions and labels have paths of the same types; the text of the document says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from apispec import APISpec

from demijohn.predictor import Predictor
from demijohn.protocols import json_forms, media_types, mlflow, native, tensorflow

from .json_types import Components, JsonType, forms_of
from .request_examples import csv_example, json_examples

TENSORFLOW = "TensorFlow Serving and KServe v1"
MLFLOW = "MLflow"
_STATUSES = (400, 403, 404, 405, 500, 503)
_PREDICTION_STATUSES = (408, 413, 415, 501, 504)
_SERVERS_OWN = (414, 431)  # before it is known whose the path is
_KEY_STATUS = 401
_NOTHING: JsonType = {"not": {}}
_TEXT: JsonType = {"type": "string"}


class Dialects:
    """Adds these routes to one document.

    Args:
        spec: The document; it has the errors of the native routes.
        components: Of it.
        headers: Names of the headers that each answer bears.
        needs_key: 401 is among the answers.
    """

    def __init__(
        self, spec: APISpec, components: Components, headers: Sequence[str], *, needs_key: bool
    ) -> None:
        self._spec = spec
        self._components = components
        self._headers = {name: name for name in headers}
        self._key = (_KEY_STATUS,) if needs_key else ()
        for name, error in (("V1Error", _object(error=_TEXT)), ("MlflowError", _MLFLOW_ERROR)):
            spec.components.schema(name, error)
            retry = {"Retry-After": "Retry-After"}
            content = {media_types.JSON: {"schema": name}}
            text = "An error, in this dialect's own form."
            spec.components.response(
                name, {"description": text, "headers": self._headers | retry, "content": content}
            )

    def add(self, predictors: Sequence[Predictor], default: Predictor | None) -> None:
        """Add all paths.

        Args:
            predictors: The highest version of each model.
            default: Answers ``/invocations``, if any model does.
        """
        self._spec.tag({"name": TENSORFLOW})
        self._spec.tag({"name": MLFLOW})
        for predictor in predictors:
            self._add_verbs(predictor)
        self._add_tensorflow_pages([predictor.name for predictor in predictors])
        if default is not None:
            self._add_invocations(default)
        for path, summary in (
            ("/ping", "Is any model ready?"),
            ("/health", "As /ping"),
            ("/version", "Version"),
        ):
            self._get(path, summary, MLFLOW, _TEXT, media_type="text/plain")

    def _add_verbs(self, predictor: Predictor) -> None:
        methods, signature = predictor.runtime.methods, predictor.signature
        forms = forms_of(predictor, methods[0], self._components)
        alike = [method for method in methods if signature.of(method) is signature.of(methods[0])]
        names = ["", tensorflow.DEFAULT_SIGNATURE, *alike]
        bodies: list[JsonType] = [
            {
                "type": "object",
                "properties": {form: forms[form], other: _NOTHING, "signature_name": {"enum": names}},
                "required": [form],
            }
            for form, other in (("instances", "inputs"), ("inputs", "instances"))
        ]
        answers: list[JsonType] = [_object(predictions={"type": "array"}), _object(outputs={})]
        path = f"/v1/models/{predictor.name}"
        body = self._components.keep(f"{predictor.name}.v1-request", {"anyOf": bodies})
        self._post(
            f"{path}:predict", predictor, body, {"anyOf": answers}, TENSORFLOW, ("instances", "inputs")
        )
        examples = _object(examples={"type": "array", "items": {"type": "object"}, "minItems": 1})
        results = _object(results={"type": "array"})
        for verb in tensorflow.VERBS[1:]:
            self._post(f"{path}:{verb}", predictor, examples, results, TENSORFLOW)

    def _add_tensorflow_pages(self, names: Sequence[str]) -> None:
        name: JsonType = {"type": "string", **({"enum": list(names)} if names else {})}
        parameters = [{"name": "name", "in": "path", "required": True, "schema": name}]
        self._get("/v1/models", "Names of the models", TENSORFLOW, _object(models=_list(_TEXT)))
        self._get("/v1/models/{name}", "Status of a model", TENSORFLOW, _STATUS, parameters=parameters)
        metadata = _object(model_spec={"type": "object"}, metadata={"type": "object"})
        path = "/v1/models/{name}/metadata"
        self._get(path, "Signatures of a model", TENSORFLOW, metadata, parameters=parameters)

    def _add_invocations(self, default: Predictor) -> None:
        forms = forms_of(default, default.runtime.methods[0], self._components)
        absent = dict.fromkeys((*json_forms.FORMS, "messages", "prompt", "input"), _NOTHING)
        parameters: JsonType = {"params": {"enum": [{}]}}
        bodies: list[JsonType] = [
            {"type": "object", "properties": {**absent, **parameters, form: value}, "required": [form]}
            for form, value in forms.items()
        ]
        answer = _object(predictions={"type": "array"})
        others: dict[str, JsonType] = {form: {} for form in mlflow.BODIES[1:] if native.is_available(form)}
        others[media_types.CSV] = self._csv(default)
        self._post("/invocations", default, {"anyOf": bodies}, answer, MLFLOW, tuple(forms), others)

    def _csv(self, predictor: Predictor) -> JsonType:
        text = csv_example(predictor, predictor.runtime.methods[0])
        if text is None:
            return {"schema": _TEXT}
        name = f"{predictor.name}.{predictor.version}.csv"
        return {"schema": _TEXT, "examples": {"csv": self._components.keep(name, {"value": text}, "example")}}

    def _post(
        self,
        path: str,
        predictor: Predictor,
        body: JsonType,
        answer: JsonType,
        tag: str,
        shown: Sequence[str] = (),
        others: Mapping[str, JsonType] = MappingProxyType({}),
    ) -> None:
        """Add a prediction; ``others`` are bodies that are no JSON, by media type."""
        name = f"{predictor.name}.{predictor.version}"
        examples = {
            form: self._components.keep(f"{name}.{form}", {"value": value}, "example")
            for form, value in json_examples(predictor, predictor.runtime.methods[0]).items()
            if form in shown
        }
        content = {media_types.JSON: {"schema": body, **({"examples": examples} if examples else {})}}
        more = {"requestBody": {"required": True, "content": {**content, **others}}}
        summary = f"Predict with {predictor.name}"
        self._add(path, "post", summary, tag, {media_types.JSON: {"schema": answer}}, **more)

    def _get(
        self,
        path: str,
        summary: str,
        tag: str,
        answer: JsonType,
        media_type: str = media_types.JSON,
        **more: Any,
    ) -> None:
        self._add(path, "get", summary, tag, {media_type: {"schema": answer}}, **more)

    def _add(self, path: str, method: str, summary: str, tag: str, content: JsonType, **more: Any) -> None:
        error = "V1Error" if tag == TENSORFLOW else "MlflowError"
        statuses = (*_STATUSES, *self._key, *(_PREDICTION_STATUSES if method == "post" else ()))
        responses: dict[int, Any] = dict.fromkeys(statuses, error)
        responses |= {status: f"Problem{status}" for status in _SERVERS_OWN}
        responses[200] = {"description": summary, "headers": self._headers, "content": content}
        operation = {
            "operationId": path.removeprefix("/").replace("{", "").replace("}", ""),
            "summary": summary,
            "tags": [tag],
            "responses": dict(sorted(responses.items())),
            **more,
        }
        self._spec.path(path, operations={method: operation})


def _object(**properties: JsonType) -> JsonType:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(item: JsonType) -> JsonType:
    return {"type": "array", "items": item}


_MLFLOW_ERROR = _object(error_code=_TEXT, message=_TEXT, stack_trace=_TEXT)
_STATUS = _object(
    name=_TEXT,
    ready={"type": "boolean"},
    model_version_status=_list(
        _object(version=_TEXT, state=_TEXT, status=_object(error_code=_TEXT, error_message=_TEXT))
    ),
)
