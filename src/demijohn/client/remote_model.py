"""A served model, as its client has it in hand: ``client["iris"]``.

Rules of this room:
1. It is called as the model of ``demijohn.load`` is, and answers with the same arrays.
2. What the server tells of the model is fetched once, before the first call. A server that has moved on
   to another version is noticed by its next answer, or by its refusal, and asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from demijohn.errors import (
    DemijohnError,
    MethodNotFound,
    ParameterMismatch,
    SignatureMismatch,
    VersionNotFound,
)
from demijohn.messages import Array, Tensors
from demijohn.notebook import signature_html, table_html
from demijohn.signature import Signature

from . import events
from .calls import Call, Place, Received, is_name
from .connection import Connection
from .description import Description
from .dialects import Dialects
from .inputs import Document, read_inputs
from .row_stream import Source, stream_rows

#: What a server refuses where a call was written for a version that is not there any more.
_MISFITS = (MethodNotFound, ParameterMismatch, SignatureMismatch)


class RemoteModel:
    """A model on a server; its prediction methods are attributes.

    ``model.predict(X)`` takes an array ``(n_rows, ...)``, a DataFrame, a dict of columns, or what a
    request's JSON may hold (rows, records, ``{"instances": …}``), and returns the estimator's own array,
    or a dict of arrays where the method has several outputs. Arguments of the method are keywords, or
    in ``params``.
    """

    def __init__(self, connection: Connection, dialects: Dialects, place: Place) -> None:
        self._connection = connection
        self._dialects = dialects
        self._place = place
        self._known: Description | None = None

    def __getattr__(self, name: str) -> Callable[..., Array | Tensors]:
        """Return a prediction method of the model.

        Raises:
            AttributeError: it has no such method.
            DemijohnError: the server did not say which it has.
        """
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._describe().methods and name not in self._describe(anew=True).methods:
            methods = ", ".join(self._describe().methods)
            raise AttributeError(f"model {self.name!r} has no method {name!r}; it has: {methods}")

        def call(X: Any, *, params: Mapping[str, Any] | None = None, **parameters: Any) -> Array | Tensors:  # noqa: N803  - scikit-learn's name
            return self._call(name, X, {**(params or {}), **parameters})

        return call

    def _call(self, method: str, X: Any, parameters: Mapping[str, Any]) -> Array | Tensors:  # noqa: N803
        known = self._describe()
        try:
            received = self._carry(method, X, parameters, known)
        except _MISFITS:
            fresh = self._describe(anew=True)
            if fresh.version == known.version:
                raise
            received = self._carry(method, X, parameters, fresh)
        if received.version != known.version:
            self._known = None
        outputs = received.outputs
        return outputs[method] if list(outputs) == [method] else outputs

    def _carry(self, method: str, X: Any, parameters: Mapping[str, Any], known: Description) -> Received:  # noqa: N803
        given = read_inputs(X, known.signature.of(method))
        return self._dialects.carry(self._connection, Call(self._place, method, given, parameters, known))

    def stream(
        self,
        X: Any,  # noqa: N803  - scikit-learn's name
        method: str = "predict",
        *,
        params: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Iterator[Any]:
        """Yield the items of a model that answers item by item, as they come.

        Each item may take the client's timeout. The model's work ends when the iterator is closed.

        Raises:
            MethodNotFound: the method answers as a whole.
            DemijohnError: the server's, also in the place of an item; or the answer broke off.
        """
        known = self._describe()
        if method not in known.streams:
            raise MethodNotFound(f"{method} of model {self.name!r} does not answer item by item")
        given = read_inputs(X, known.signature.of(method))
        call = Call(self._place, method, given, {**(params or {}), **parameters}, known)
        return events.stream(self._connection, call)

    def predict_stream(
        self, source: Source, method: str = "predict", *, media_type: str | None = None
    ) -> Iterator[Array | Tensors]:
        """Send rows that are more than memory holds, and yield their predictions as they come.

        Args:
            source: The path of a file of CSV, JSON lines or an Arrow stream (``.csv``, ``.jsonl``,
                ``.ndjson``, ``.arrows``, behind them ``.gz``); or pieces of one, as bytes; or rows or
                records, one by one.
            method: Of the model; one that needs all rows at once takes no more than a body may have.
            media_type: Of the file or of the pieces, where no suffix says it.

        Yields:
            What ``predict`` returns, for some rows at a time, in their order.

        Raises:
            DemijohnError: the server's, also behind the first predictions; or the answer broke off.
        """
        known = self._describe()
        call = Call(self._place, method, Document(None), {}, known)
        for outputs in stream_rows(self._connection, call, source, media_type):
            yield outputs[method] if list(outputs) == [method] else outputs

    # What it is -----------------------------------------------------------------------------

    def _describe(self, *, anew: bool = False) -> Description:
        known = self._known
        if known is None or anew:
            known = self._known = Description(self._connection.get(self._place.path).body)
        return known

    def version(self, version: str) -> RemoteModel:
        """Return the same model in one version.

        Raises:
            VersionNotFound: no version has such a name; whether there is one, the first call says.
        """
        return self._at(Place(self.name, version=str(version)), str(version))

    def alias(self, alias: str) -> RemoteModel:
        """Return the same model in the version that an alias stands for, at each call anew.

        Raises:
            VersionNotFound: no alias has such a name; whether there is one, the first call says.
        """
        return self._at(Place(self.name, alias=alias), alias)

    def _at(self, place: Place, name: str) -> RemoteModel:
        if not is_name(name):
            raise VersionNotFound(f"{name!r} names no version or alias")
        return RemoteModel(self._connection, self._dialects, place)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._place.name

    @property
    def methods(self) -> tuple[str, ...]:
        """The model's prediction methods."""
        return self._describe().methods

    @property
    def streams(self) -> tuple[str, ...]:
        """Those of them that answer item by item."""
        return self._describe().streams

    @property
    def signature(self) -> Signature:
        """What the model accepts and returns."""
        return self._describe().signature

    @property
    def classes(self) -> Sequence[Any] | None:
        """The classes of a classifier, in the order of ``predict_proba``'s columns."""
        return self._describe().classes

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that are served; asks the server."""
        return self._describe(anew=True).versions

    @property
    def aliases(self) -> Mapping[str, str]:
        """The version that each alias stands for; asks the server."""
        return self._describe(anew=True).aliases

    @property
    def plan(self) -> dict[str, Any]:
        """Which engine runs each method; asks the server."""
        return self._describe(anew=True).plan

    def __dir__(self) -> list[str]:
        """List the methods too, if they are known by now: nobody waits for a network in ``dir``."""
        return sorted({*super().__dir__(), *(self._known.methods if self._known else ())})

    def __repr__(self) -> str:
        """Name the model, and the inputs if they are known by now."""
        which = self._place.path.removeprefix("/models/")
        known = "" if self._known is None else f", version {self._known.version}: {self._known.signature}"
        return f"<RemoteModel {which} at {self._connection.url}{known}>"

    def _repr_html_(self) -> str:
        """Show the signature as a table, for notebooks; or why it is not known."""
        try:
            known = self._describe()
        except DemijohnError as error:
            return table_html(f"{self!r}: {error.detail}", (), [])
        title = (
            f"{known.name}, version {known.version}, at {self._connection.url}: {', '.join(known.methods)}"
        )
        return signature_html(title, known.signature)
