"""``demijohn.Client``: the models of a server, in Python's hands.

Rules of this room:
1. One client may be used by any number of threads, and by processes that are forked later.
2. Making one sends nothing; what cannot be reached is found out by the first call.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from types import TracebackType

from demijohn.errors import DemijohnError, ModelNotFound, NoAnswer, Unavailable
from demijohn.notebook import table_html

from .calls import Place, is_name
from .connection import Connection
from .description import Models, Summary, decode
from .dialects import Dialects
from .remote_model import RemoteModel

TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 5.0
RETRIES = 2
MAX_ANSWER_BYTES = 2**30


class Client:
    """A Demijohn server, and the models on it.

    Args:
        url: Of the server; with the prefix where the models live in an app: ``http://host/ml``.
        key: An API key. It goes to that host alone, and is never shown.
        timeout: Longest that a call may take with all its tries, in seconds. Of a stream: each item.
        connect_timeout: Longest that one attempt to connect may take, in seconds.
        retries: How often a call is tried again after a connection that failed, or a 503 or 429 that
            says when.
        max_answer_bytes: Largest answer that is read.
        ssl_context: For https, in the place of ``ssl.create_default_context()``.

    Raises:
        ConfigurationError: one of these cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout: float = TIMEOUT_S,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        retries: int = RETRIES,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._connection = Connection(
            url,
            key=key,
            timeout_s=timeout,
            connect_timeout_s=connect_timeout,
            retries=retries,
            max_answer_bytes=max_answer_bytes,
            ssl_context=ssl_context,
        )
        self._dialects = Dialects()
        self._handles: dict[str, RemoteModel] = {}  # so that what is known of a model is kept

    def __enter__(self) -> Client:
        """Return the client; it is closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used any more."""
        self._connection.close()

    def __getitem__(self, name: str) -> RemoteModel:
        """Return a model by its name; whether there is one, its first call says.

        Raises:
            ModelNotFound: no model can have that name.
        """
        handle = self._handles.get(name)
        if handle is None:
            if not is_name(name):
                raise ModelNotFound(f"{name!r} names no model")
            place = Place(name)
            handle = self._handles.setdefault(name, RemoteModel(self._connection, self._dialects, place))
        return handle

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the models that are served now; asks the server."""
        return iter(self.models)

    @property
    def models(self) -> ModelList:
        """The models that are served now; asks the server."""
        served = decode(self._connection.get("/models").body, Models).models
        return ModelList(self, {summary.name: summary for summary in served})

    def is_ready(self) -> bool:
        """Say whether the server can be reached and every model that it should serve is ready."""
        try:
            self._connection.ask_once("/readyz")
        except (NoAnswer, Unavailable):
            return False
        return True

    def __repr__(self) -> str:
        """Name the server."""
        return f"<Client of {self._connection.url}>"

    def _repr_html_(self) -> str:
        """Show the models as a table, for notebooks; or why they cannot be listed."""
        head = ("model", "version", "state", "methods")
        try:
            models = self.models
        except DemijohnError as error:
            return table_html(f"{self._connection.url}: {error.detail}", head, [])
        rows = [(one.name, one.version, one.state, ", ".join(one.methods)) for one in models.summaries]
        return table_html(self._connection.url, head, rows)


class ModelList(Mapping[str, RemoteModel]):
    """The models that a server had when it was asked, by name, in the order in which it has them."""

    def __init__(self, client: Client, summaries: Mapping[str, Summary]) -> None:
        self._client = client
        self._summaries = summaries

    @property
    def names(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self._summaries)

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """Name, default version, state and methods of each."""
        return tuple(self._summaries.values())

    def __getitem__(self, name: str) -> RemoteModel:
        """Return a model; ``KeyError`` where it was not there."""
        self._summaries[name]
        return self._client[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._summaries)

    def __len__(self) -> int:
        """Count the models."""
        return len(self._summaries)

    def __repr__(self) -> str:
        """List the names."""
        return f"<ModelList {', '.join(self._summaries)}>"
