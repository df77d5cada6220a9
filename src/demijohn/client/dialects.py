"""Which dialect carries a call: the first that has a form for it, and that the server reads.

Rules of this room:
1. A small call goes as JSON, which costs least there; a larger one as Arrow where it has texts, which is
   quickest there, else as tensors. All give the same arrays, so nobody need know which it was.
2. What the server does not read is not tried again; a dialect whose answer could be read in two ways is
   asked last from then on, for that method.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from demijohn.errors import (
    NotAcceptable,
    Problem,
    RouteNotFound,
    SignatureMismatch,
    UnsupportedMediaType,
)
from demijohn.messages import Array

from . import arrow_dialect, json_dialect, v2_dialect
from .calls import Call, Dialect, Received, Unfit
from .connection import Connection
from .inputs import Table, Tensor

MOST_JSON_VALUES = 1_024  #: Up to so many in a request, JSON is the quicker: docs/client.md has figures.

_SMALL: Sequence[Dialect] = (json_dialect, v2_dialect, arrow_dialect)
_TEXTS: Sequence[Dialect] = (arrow_dialect, json_dialect, v2_dialect)
_NUMBERS: Sequence[Dialect] = (v2_dialect, arrow_dialect, json_dialect)


class Dialects:
    """Chooses for one server, and remembers what did not work."""

    def __init__(self) -> None:
        self._unread: set[Dialect] = set()
        self._doubted: set[tuple[Dialect, str, str]] = set()  # with the model and the method

    def carry(self, connection: Connection, call: Call) -> Received:
        """Send a call and read its answer.

        Raises:
            DemijohnError: the server's, or there is no answer.
            SignatureMismatch: no dialect can carry it.
        """
        likely: Received | None = None
        why = []
        for dialect in self._order(call):
            try:
                sent = dialect.encode(call)
                return dialect.decode(connection.post(*sent), call)
            except Unfit as unfit:
                why.append(str(unfit))
                if unfit.received is not None:
                    likely = unfit.received
                    self._doubted.add((dialect, call.place.name, call.method))
            except NotAcceptable:  # of this method's answers, or of any
                if dialect is json_dialect:
                    raise
                self._doubted.add((dialect, call.place.name, call.method))
            except (RouteNotFound, UnsupportedMediaType):
                if dialect is json_dialect:
                    raise
                self._unread.add(dialect)
        if likely is None:
            expected, received = "what some dialect of the server can carry", "; ".join(why)
            raise SignatureMismatch(received, errors=[Problem(None, None, expected, received)])
        return likely

    def _order(self, call: Call) -> Sequence[Dialect]:
        order = _order_of(call)
        if not self._unread and not self._doubted:
            return order
        left = [dialect for dialect in order if dialect not in self._unread]
        name, method = call.place.name, call.method
        return sorted(left, key=lambda dialect: (dialect, name, method) in self._doubted)


def _order_of(call: Call) -> Sequence[Dialect]:
    given = call.given
    arrays: Iterable[Array] = ()  # of what JSON alone carries
    if isinstance(given, Tensor):
        arrays = [given.array]
    elif isinstance(given, Table):
        arrays = given.columns.values()
    if sum(array.size for array in arrays) <= MOST_JSON_VALUES:
        return _SMALL
    return _TEXTS if any(array.dtype.kind == "O" for array in arrays) else _NUMBERS
