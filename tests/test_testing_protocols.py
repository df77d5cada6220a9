"""The contract of protocols: ours keep it, and each claim catches who breaks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace
from tests.dialect_clients import CLIENTS

from demijohn.config import Settings
from demijohn.errors import ConfigurationError, DemijohnError, RequestError
from demijohn.messages import Columns, Encoded, InferenceRequest, InferenceResponse, Tensors
from demijohn.protocols import PROTOCOLS, mlflow, native
from demijohn.testing import PROTOCOL_CHECKS, ContractBroken, Sent, check_protocol

NAMES = [check.__name__ for check in PROTOCOL_CHECKS]


def test_every_dialect_has_a_client() -> None:
    assert {dialect for dialect, _ in CLIENTS.values()} == set(PROTOCOLS)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_dialect_of_ours_keeps_every_claim(name: str) -> None:
    dialect, client = CLIENTS[name]
    report = check_protocol(PROTOCOLS[dialect], client)
    assert {*report.claims, *report.not_tried} == set(NAMES)
    assert set(report.not_tried) <= {"limits_are_kept"}
    assert f"{len(report.claims)} claims" in str(report)


# Dialects that break one claim --------------------------------------------------------------


class Honest:
    """MLflow's dialect, as an object."""

    ANSWERS: Any = ()

    def read_head(self, environ: Mapping[str, Any]) -> str:
        return mlflow.read_head(environ)

    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        return mlflow.decode(body, head, settings)

    def encode(self, response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
        return mlflow.encode(response, request, media_type)

    def status_of(self, error: DemijohnError) -> int:
        return mlflow.status_of(error)

    def encode_error(self, error: DemijohnError, request_id: str) -> Encoded:
        return mlflow.encode_error(error, request_id)


class Unfinished(Honest):
    status_of = None  # type: ignore[assignment]


class Vague(Honest):
    ANSWERS = "application/json"


class Forgetful(Honest):
    n_heads = 0

    def read_head(self, environ: Mapping[str, Any]) -> str:
        self.n_heads += 1
        return super().read_head(environ) + " " * (self.n_heads % 2)


class Meddling(Honest):
    def read_head(self, environ: Mapping[str, Any]) -> str:
        head = super().read_head(environ)
        environ["seen"] = True  # type: ignore[index]
        return head


class Rounding(Honest):
    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        return super().decode(body.replace(b"0.1", b"0.10000001"), head, settings)


class Losing(Honest):
    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        request = super().decode(body, head, settings)
        if isinstance(request.inputs, Columns):
            request.inputs.columns.pop("c", None)
        return request


class Shortening(Honest):
    def encode(self, response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
        outputs = {name: array[:1] for name, array in response.outputs.items()}
        return super().encode(replace(response, outputs=outputs), request, media_type)


class Scribbling(Honest):
    def encode(self, response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
        answer = super().encode(response, request, media_type)
        for array in response.outputs.values():
            array[:1] = array[-1:]
        return answer


class Counting(Honest):
    n_answers = 0

    def encode(self, response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
        self.n_answers += 1
        answer = super().encode(response, request, media_type)
        return replace(answer, headers={"X-Number": str(self.n_answers)})


class Trusting(Honest):
    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        return super().decode(json.dumps(json.loads(body)).encode(), head, settings)


class Silent(Honest):
    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        try:
            return super().decode(body, head, settings)
        except RequestError:
            return None  # type: ignore[return-value]


class Patient(Honest):
    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        return super().decode(body, head, Settings())


class Greedy(Honest):
    """Makes room for as much as a body claims, wherever it claims it."""

    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        if b"2147483647" in body:
            bytearray(2**24)
        return super().decode(body, head, settings)


class Chatty(Honest):
    def encode_error(self, error: DemijohnError, request_id: str) -> Encoded:
        return native.encode_error(error, request_id)


class Curt(Honest):
    def encode_error(self, error: DemijohnError, request_id: str) -> Encoded:
        return super().encode_error(type(error)(headers=error.headers), request_id)


class Headless(Honest):
    def encode_error(self, error: DemijohnError, request_id: str) -> Encoded:
        return replace(super().encode_error(error, request_id), headers={})


class Blaming(Honest):
    def status_of(self, error: DemijohnError) -> int:
        return 400


BREAKERS = [
    (Unfinished, "has_every_part"),
    (Vague, "has_every_part"),
    (Forgetful, "heads_are_read_alone"),
    (Meddling, "heads_are_read_alone"),
    (Rounding, "requests_are_read_as_written"),
    (Losing, "requests_are_read_as_written"),
    (Shortening, "answers_are_read_as_given"),
    (Scribbling, "what_it_is_given_stays"),
    (Counting, "what_it_is_given_stays"),
    (Trusting, "what_is_malformed_is_refused"),
    (Silent, "what_is_malformed_is_refused"),
    (Patient, "limits_are_kept"),
    (Greedy, "memory_is_what_the_body_weighs"),
    (Chatty, "errors_have_its_form"),
    (Curt, "errors_have_its_form"),
    (Headless, "errors_have_its_form"),
    (Blaming, "errors_have_its_form"),
]
MLFLOW = CLIENTS["mlflow columns"][1]


def test_an_object_may_be_a_dialect() -> None:
    assert str(check_protocol(Honest(), MLFLOW)) == f"Honest keeps {len(NAMES)} claims"


@pytest.mark.parametrize(("dialect", "claim"), BREAKERS, ids=lambda one: getattr(one, "__name__", one))
def test_who_breaks_a_claim_is_told_so(dialect: type[Honest], claim: str) -> None:
    with pytest.raises(ContractBroken, match=f"{dialect.__name__} protocol breaks") as raised:
        check_protocol(dialect(), MLFLOW)
    assert claim in {breach.claim for breach in raised.value.breaches}


def test_every_claim_is_broken_by_somebody() -> None:
    assert {claim for _, claim in BREAKERS} == set(NAMES)


class Mute:
    """A client that writes nothing."""

    is_typed = False

    def write(self, tensors: Tensors) -> Sent | None:
        return None

    def read(self, answer: Encoded) -> Tensors | None:
        return None

    def read_error(self, answer: Encoded) -> str:
        return ""


def test_a_client_that_writes_nothing_tries_nothing() -> None:
    with pytest.raises(ConfigurationError):
        check_protocol(Honest(), Mute())
