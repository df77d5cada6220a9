"""Answers that go out piece by piece: when they begin, how an error ends them, when they are counted.

Rules of this room:
1. Until the first piece is there nothing is sent, so what goes wrong before it is an ordinary error.
   After it, an error is the last record, and the status on the wire stays 200.
2. A request is counted once, when its answer has ended: as 200, as the error that ended it, or as 499
   where the client went away.
3. Whoever stops reading ends the work: the server closes the pieces, and they what makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple

import numpy as np

from demijohn.messages import Tensors
from demijohn.predictor import Predictor
from demijohn.protocols import native

from .errors import refusal_of
from .services import Services

CLIENT_GONE = 499  #: As nginx counts it.
# A proxy that keeps an answer back until it is whole would defeat its purpose; nginx asks for this.
HEADERS = {"X-Accel-Buffering": "no"}


class Count:
    """Counts one request: when it is told the status of its answer, and once."""

    def __init__(self, shared: Services, predictor: Predictor, method: str, entered: float) -> None:
        self._metrics = shared.metrics
        self._labels = (predictor.name, predictor.version, method)
        self._entered = entered
        self._is_done = False
        self.n_rows = 0  #: That have been answered if the answer has come to its end.
        self.n_answered = 0  #: That have been answered, however it ends.
        self.n_nonfinite = 0

    def __call__(self, status: int) -> None:
        """Count the request, unless it has been counted."""
        if self._is_done:
            return
        self._is_done = True
        n_rows = self.n_answered + (self.n_rows if status == HTTPStatus.OK else 0)
        self._metrics.observe_request(*self._labels, status, monotonic() - self._entered, n_rows)
        if self.n_nonfinite:
            self._metrics.observe_nonfinite(*self._labels, self.n_nonfinite)


class Source(NamedTuple):
    """Where pieces come from."""

    next: Callable[[], bytes]  #: Makes one, never an empty one, or raises StopIteration.
    close: Callable[[], None]  #: Nobody wants any more.
    fail: Callable[[bytes], bytes]  #: Writes the last record, of an error as problem+json.
    part: Callable[[], None] = lambda: None  #: Called once that record is on its way, before the end.


class Pieces:
    """The body of an answer, made as it is sent.

    Raises:
        Exception: an error comes in the place of the first.
    """

    def __init__(self, source: Source, request_id: str, count: Count) -> None:
        self._source = source
        self._request_id = request_id
        self._count = count
        self._has_ended = self._has_failed = False
        self._first: bytes | None = None
        try:
            self._first = source.next()
        except StopIteration:
            self._end(HTTPStatus.OK)
        except BaseException:
            source.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            piece, self._first = self._first, None
            return piece
        if self._has_ended:
            if self._has_failed:
                self._has_failed = False
                self._source.part()
            raise StopIteration
        try:
            return self._source.next()
        except StopIteration:
            self._end(HTTPStatus.OK)
            raise
        except Exception as error:  # noqa: BLE001  - as ``answer_exception``, which can answer no more
            return self._fail(error)

    def _fail(self, error: Exception) -> bytes:
        # In a frame of its own: one that the error came through would hold it, as it holds that frame, and
        # with both what has come of the body, until Python looks for such circles.
        refusal = refusal_of(error, self._request_id)
        self._end(refusal.status)
        self._has_failed = True
        return self._source.fail(native.encode_error(refusal, self._request_id).body)

    def _end(self, status: int) -> None:
        self._has_ended = True
        self._source.close()
        self._count(status)

    def close(self) -> None:
        """Hear from the server that nobody reads any further; PEP 3333."""
        if not self._has_ended:
            self._end(CLIENT_GONE)


def count_nonfinite(outputs: Tensors) -> int:
    """Return how many predicted numbers are not finite."""
    n_bad = 0
    for array in outputs.values():
        if array.dtype.kind == "f" and not (is_finite := np.isfinite(array)).all():
            n_bad += int(array.size - is_finite.sum())
    return n_bad
