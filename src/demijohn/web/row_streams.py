"""Bodies that are scored while they come: rows in, rows out, in memory that does not grow with them.

Rules of this room:
1. A piece is a request of its own to the model: checked, queued and joined as any, with a deadline of its
   own. Only where the queue is full does it wait for room; for the first piece that is an ordinary 503.
2. A method that needs all rows at once is not run piece by piece.
3. An answer holds whole pieces: an error takes the place of its piece, and counts rows from the body's start.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from flask import Response

from demijohn.errors import BodyTooLarge, DemijohnError, Draining, QueueFull, RequestError
from demijohn.messages import InferenceResponse, Inputs, Tensors, count_rows
from demijohn.predictor import Predictor
from demijohn.protocols import native
from demijohn.protocols.pieces import Bounds
from demijohn.protocols.row_writers import RowWriter
from demijohn.row_pieces import checked

from .answer_pieces import HEADERS, Count, Pieces, Source, count_nonfinite
from .bodies import declared_length, inflate_pieces, read_encodings, read_pieces
from .guards import request_id
from .row_forms import form_of_answer
from .services import Services

if TYPE_CHECKING:
    from .inference import Route

PIECE_BYTES = 2**18
PIECE_ROWS = 4096
_CALL_S = 0.25  # that one call of a model should last: others wait for it
_LOOK_AGAIN_S = 0.05
_LINGER_S = 2.0


def answer(
    shared: Services, route: Route, environ: Mapping[str, Any], body: BinaryIO, entered: float
) -> Response | None:
    """Answer a request piece by piece; returns when the first is there.

    The arguments are those of ``inference.answer_route``.

    Returns:
        None: all rows are needed at once, and nothing of the body has been read.

    Raises:
        DemijohnError: there is no first piece; the request has been counted.
    """
    if shared.lifecycle.is_draining:
        raise Draining(headers={"Retry-After": "1"})
    predictor = shared.find(route.name, route.version, route.alias)
    method = route.method
    if method in predictor.streams:
        return None
    count = Count(shared, predictor, method if method in predictor.runtime.methods else "", entered)
    try:
        predictor.check_method(method)
        predictor.check_room(method)
        why = predictor.why_together(method)
        length = declared_length(environ)
        if why is not None and (length is None or length <= shared.settings.max_body_bytes):
            return None
        if why is not None:
            raise BodyTooLarge(f"{method} of model {predictor.name!r} needs all rows at once: {why}")
        writer = native.encode_stream(form_of_answer(environ) or native.CSV)
        raw = read_pieces(environ, body, length, _piece_bytes(shared))
        scoring = _Scoring(shared, predictor, method, writer, count)
        rows = scoring.run(_decode(environ, raw, shared))
        source = Source(rows.__next__, rows.close, writer.fail, lambda: _linger(raw, body, shared))
        pieces = Pieces(source, request_id(), count)
    except BaseException as error:
        count(error.status if isinstance(error, DemijohnError) else DemijohnError.status)
        raise
    return Response(pieces, headers=HEADERS, content_type=writer.content_type)


def _piece_bytes(shared: Services) -> int:
    return min(PIECE_BYTES, shared.settings.max_body_bytes)


def _decode(environ: Mapping[str, Any], raw: Iterator[bytes], shared: Services) -> Iterator[Inputs]:
    settings = shared.settings
    text = inflate_pieces(raw, read_encodings(environ), _piece_bytes(shared))
    # One byte less: a piece that is full is not kept back to see whether it was the last.
    bounds = Bounds(PIECE_ROWS, settings.max_body_bytes, _piece_bytes(shared) - 1)
    return native.decode_stream(lambda: next(text, b""), native.read_head(environ), bounds, settings)


class _Scoring:
    """One body on its way through a model.

    Args:
        shared: Of the app.
        predictor: Who answers.
        method: Of the model.
        writer: Of the answer.
        count: Gains the rows.
    """

    def __init__(
        self, shared: Services, predictor: Predictor, method: str, writer: RowWriter, count: Count
    ) -> None:
        self._deadline_s = shared.settings.deadline_s
        self._least_rows = shared.settings.max_batch_size
        self._most_rows = PIECE_ROWS
        self._lifecycle = shared.lifecycle
        self._predictor = predictor
        self._method = method
        self._writer = writer
        self._count = count

    def run(self, pieces: Iterator[Inputs]) -> Generator[bytes]:
        """Yield the answer, never an empty piece of it."""
        for tensors in checked(self._predictor.signature.of(self._method), pieces):
            for part in self._cut(tensors):
                response = self._answer(part)
                self._predictor.count(response)
                self._count.n_nonfinite += count_nonfinite(response.outputs)
                written = self._writer.write(response)
                self._count.n_answered += response.n_rows
                yield written
        if rest := self._writer.end():
            yield rest

    def _cut(self, tensors: Tensors) -> Iterator[Tensors]:
        """Cut a piece where one call of the model would take too long, as the last call tells."""
        start, n_rows = 0, count_rows(tensors)
        while start < n_rows:
            stop = start + self._most_rows
            yield (
                tensors
                if n_rows <= stop - start and not start
                else {name: array[start:stop] for name, array in tensors.items()}
            )
            start = stop

    def _answer(self, tensors: Tensors) -> InferenceResponse:
        began = time.monotonic()
        response = self._answer_when_free(tensors, began + self._deadline_s)
        seconds = max(time.monotonic() - began, 1e-6)
        fitting = int(response.n_rows * _CALL_S / seconds)
        self._most_rows = min(PIECE_ROWS, max(self._least_rows, fitting))
        return response

    def _answer_when_free(self, tensors: Tensors, deadline: float) -> InferenceResponse:
        while True:
            self._check_drain()
            try:
                return self._predictor.answer(self._method, tensors, {}, deadline)
            except QueueFull:
                if not self._count.n_answered or time.monotonic() + _LOOK_AGAIN_S > deadline:
                    raise
                time.sleep(_LOOK_AGAIN_S)
            except RequestError as error:  # the model refused the rows, and told which perhaps
                error.count_rows_on(self._count.n_answered)
                raise

    def _check_drain(self) -> None:
        if time.monotonic() > self._lifecycle.draining_since + self._deadline_s:
            raise Draining("The server is shutting down and could not wait for the rest")


def _linger(raw: Iterator[bytes], body: BinaryIO, shared: Services) -> None:
    """Let a client read how its answer ended, while it still sends.

    A connection that is closed upon bytes that nobody has read is reset, and what the client has not read by
    then may be lost to it. So the rest of the body is read for a while.
    """
    hurry = getattr(body, "hurry", None)
    if (
        hurry is not None
    ):  # as under ``demijohn serve``; elsewhere a read takes as long as that server lets it
        hurry(_LINGER_S)
    until = time.monotonic() + _LINGER_S
    try:
        for _ in raw:
            if time.monotonic() > until or shared.lifecycle.is_draining:
                return
    except DemijohnError:
        return  # it came too slowly, or broke off: nobody waits for it
