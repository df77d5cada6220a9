"""The table of what every protocol claims.

Rules of this room:
1. A check is named as the claim, and yields where the claim does not hold; as in ``claims``.
2. It has nothing but bytes and plain values: no server, no model.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import numpy as np

from demijohn import errors
from demijohn.config import Settings
from demijohn.errors import (
    BodyTooLarge,
    DemijohnError,
    NotAcceptable,
    NotOffered,
    Problem,
    RequestError,
    ServerError,
)
from demijohn.messages import Encoded, InferenceRequest, InferenceResponse

from .broken_requests import broken_bodies, broken_heads, nested_bodies, parsed
from .protocol_subject import ProtocolSubject, Sent, misread, response_of, tensors_of
from .subject import Finding, NotTried, copied, told

_PARTS = ("read_head", "decode", "encode", "status_of", "encode_error")
_FEW = Settings(max_elements=100, max_depth=16)
_MANY = 101
_DEPTH = 17
_MOST_TIMES = 200  # what Python objects may weigh beside the text that they were read from
_MOST_BYTES = 4 * 2**20
_SERVERS_FAULT = 500
_REQUEST_ID = "the-request's-id"


def has_every_part(subject: ProtocolSubject) -> Iterator[Finding]:
    """All that ``InferenceProtocol`` lists is there."""
    for part in _PARTS:
        if not callable(getattr(subject.protocol, part, None)):
            yield Finding(part, "a function", "nothing")
    answers = getattr(subject.protocol, "ANSWERS", None)
    if not isinstance(answers, (tuple, list)) or not all(isinstance(one, str) for one in answers):
        yield Finding("ANSWERS", "media types", repr(answers))


def heads_are_read_alone(subject: ProtocolSubject) -> Iterator[Finding]:
    """``read_head`` says the same of the same headers each time, changes nothing and reads no body."""
    good = subject.seeds()[0]
    for what, sent in [("a good head", good), *broken_heads(good)]:
        environ = dict(sent.environ)
        try:
            heads = [subject.protocol.read_head(environ), subject.protocol.read_head(environ)]
        except (RequestError, NotOffered):
            heads = ["", ""]
        if environ != sent.environ:
            yield Finding("read_head", f"an environ that stays, of {what}", repr(environ))
        if not isinstance(heads[0], str) or heads[0] != heads[1]:
            yield Finding("read_head", f"one text for {what}", repr(heads))


def requests_are_read_as_written(subject: ProtocolSubject) -> Iterator[Finding]:
    """Tensors of every dtype and shape that the dialect has come back out of ``decode``."""
    is_typed = subject.client.is_typed
    for what, tensors, sent in subject.samples():
        request = subject.decode(sent)
        read = tensors_of(request.inputs, list(tensors), is_typed=is_typed)
        for name, array in tensors.items():
            why = misread(array, read[name], is_typed=is_typed) if name in read else "nothing"
            if why:
                yield Finding("decode", what, why[:200])


def answers_are_read_as_given(subject: ProtocolSubject) -> Iterator[Finding]:
    """Outputs of every dtype and shape that the dialect has come back out of ``encode``."""
    client = subject.client
    for what, request, response in _answers(subject):
        for media_type in subject.protocol.ANSWERS or ("",):
            answer = _encoded(subject, response, request, media_type)
            read = None if answer is None else client.read(answer)
            if read is None:
                continue
            outputs = response.outputs
            if len(outputs) == 1 == len(read):  # it may have gone without its name
                read = dict(zip(outputs, read.values(), strict=True))
            for name, array in outputs.items():
                why = misread(array, read[name], is_typed=client.is_typed) if name in read else "nothing"
                if why:
                    yield Finding(f"encode {media_type}".rstrip(), what, why[:200])


def _answers(subject: ProtocolSubject) -> Iterator[tuple[str, InferenceRequest, InferenceResponse]]:
    for what, tensors, sent in subject.samples():
        response = response_of(tensors)
        if response.n_rows:  # a request without rows has no answer
            yield what, subject.decode(sent), response


def _encoded(
    subject: ProtocolSubject, response: InferenceResponse, request: InferenceRequest, media_type: str
) -> Encoded | None:
    """Write an answer; None where that form has no place for it, as the protocol says."""
    try:
        return subject.protocol.encode(response, request, media_type)
    except NotAcceptable:
        return None


def what_it_is_given_stays(subject: ProtocolSubject) -> Iterator[Finding]:
    """Outputs are as they were after ``encode``, and a second time it writes the same."""
    for what, request, response in _answers(subject):
        before = copied(response.outputs)
        for media_type in subject.protocol.ANSWERS or ("",):
            first, second = (_encoded(subject, response, request, media_type) for _ in range(2))
            if first != second:
                yield Finding("encode", f"the same bytes twice for {what}", "others")
        if any(misread(array, response.outputs[name], is_typed=True) for name, array in before.items()):
            yield Finding("encode", f"{what} as it was", "other values in it")


def what_is_malformed_is_refused(subject: ProtocolSubject) -> Iterator[Finding]:
    """Whatever comes is a request or a ``RequestError``, and that is written in the dialect's own form."""
    for what, sent in _broken(subject):
        try:
            request = subject.decode(sent)
        except (RequestError, NotOffered) as error:
            yield from _told_in_form(subject, error)
            continue
        except Exception as error:  # noqa: BLE001  - foreign code, and what is looked for
            yield Finding("decode", f"a RequestError for {what}", told(error))
            continue
        if not isinstance(request, InferenceRequest):
            yield Finding("decode", f"a request or an error for {what}", repr(request)[:200])


def _broken(subject: ProtocolSubject) -> Iterator[tuple[str, Sent]]:
    for good in subject.seeds():
        yield from broken_bodies(good)
        yield from broken_heads(good)


def limits_are_kept(subject: ProtocolSubject) -> Iterator[Finding]:
    """More values in JSON than ``max_elements`` are refused, and nesting deeper than ``max_depth``."""
    many = subject.client.write({"x": np.zeros((_MANY, 1))})
    if many is None or parsed(many) is None:
        raise NotTried("its bodies are no JSON")
    try:
        subject.decode(many, _FEW)
    except BodyTooLarge:
        pass
    else:
        yield Finding("decode", f"BodyTooLarge for {_MANY} rows where 100 values are allowed", "no error")
    for what, sent in nested_bodies(subject.seeds()[0], _DEPTH):
        try:
            subject.decode(sent, _FEW)
        except RequestError:
            continue
        yield Finding("decode", f"a RequestError for {_DEPTH} lists in each other, {what}", "no error")


def memory_is_what_the_body_weighs(subject: ProtocolSubject) -> Iterator[Finding]:
    """No size that a client merely claims is allocated."""
    tracemalloc.start()
    try:
        for what, sent in _broken(subject):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            with suppress(RequestError, NotOffered):
                subject.decode(sent)
            _, peak = tracemalloc.get_traced_memory()
            if peak - before > _MOST_TIMES * len(sent.body) + _MOST_BYTES:
                yield Finding("decode", f"little memory for {what}", f"{peak - before} bytes")
    finally:
        tracemalloc.stop()


def errors_have_its_form(subject: ProtocolSubject) -> Iterator[Finding]:
    """Every error of ours is written in the dialect's own form, with a status that its kind allows."""
    for kind in _kinds(DemijohnError):
        headers = {"Retry-After": "1"}
        error = kind(
            f"what is wrong: é, {kind.code}", errors=[Problem(1, "é", "this", "that")], headers=headers
        )
        yield from _told_in_form(subject, error)


def _told_in_form(subject: ProtocolSubject, error: DemijohnError) -> Iterator[Finding]:
    where, status = type(error).__name__, subject.protocol.status_of(error)
    allowed = range(400, 500) if isinstance(error, RequestError) else range(400, 600)
    if status not in allowed or (isinstance(error, ServerError) and status < _SERVERS_FAULT):
        yield Finding(where, "a status that its kind allows", repr(status))
    answer = subject.protocol.encode_error(error, _REQUEST_ID)
    if dict(answer.headers) != error.headers:
        yield Finding(where, f"the headers {error.headers}", repr(dict(answer.headers)))
    try:
        text = subject.client.read_error(answer)
    except Exception as misread_error:  # noqa: BLE001  - whatever the client cannot read
        yield Finding(where, "an error in the dialect's form", told(misread_error))
        return
    said = getattr(error, "asked", "") or error.detail  # some dialects repeat what was asked for
    if said not in text:
        yield Finding(where, f"the text {said[:200]!r}", repr(text)[:200])


def _kinds(root: type[DemijohnError]) -> Iterator[type[DemijohnError]]:
    yield root
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from _kinds(kind)


Check = Callable[[ProtocolSubject], Iterable[Finding]]

#: What every protocol claims. Without the first, the others cannot be tried.
CHECKS: list[Check] = [
    has_every_part,
    heads_are_read_alone,
    requests_are_read_as_written,
    answers_are_read_as_given,
    what_it_is_given_stays,
    what_is_malformed_is_refused,
    limits_are_kept,
    memory_is_what_the_body_weighs,
    errors_have_its_form,
]
FOUNDATIONS = CHECKS[:1]
