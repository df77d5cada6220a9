"""Every error that Demijohn raises on purpose.

Rules of this room:
1. A class names one situation. Its ``status`` and ``code`` are part of the contract: clients
   branch on ``code``, so it never changes.
2. Only the web floor turns one into a response, and only the CLI turns one into an exit status.
3. ``detail`` is for the person who can mend it: what was expected, what came, what to do. It never
   holds a path of the server, a traceback or a process id when the class is a ``RequestError``.

The tree:

    DemijohnError
    ├── RequestError      the sender can mend it (4xx)
    ├── ServerError       trying again, later or elsewhere, may help (5xx)
    ├── OperatorError     whoever starts or configures Demijohn can mend it
    └── NoAnswer          raised by ``demijohn.Client`` alone: no answer came, or none that it can use
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .problem import MAX_PROBLEMS as MAX_PROBLEMS  # noqa: PLC0414  - one of our names too
from .problem import Problem as Problem  # noqa: PLC0414  - the same


class DemijohnError(Exception):
    """The root of the tree.

    Args:
        detail: One line for people.
        errors: Places in the request, in order; at most ``MAX_PROBLEMS``.
        headers: Sent with the answer, e.g. ``Retry-After`` or ``Allow``.
    """

    status = 500
    code = "internal_error"
    title = "Something went wrong in the server"
    request_id = ""  #: Of the request that was answered so; known where ``demijohn.Client`` raises.

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def count_rows_on(self, n_rows: int) -> None:
        """Count the rows in this error on from so many: it was raised for a piece of a longer body."""
        if self.errors and (row := self.errors[0].row) is not None:  # the one that the detail speaks of
            self.detail = self.detail.replace(f"row {row}", f"row {row + n_rows}", 1)
        self.errors = tuple(
            one if one.row is None else replace(one, row=one.row + n_rows) for one in self.errors
        )
        self.args = (self.detail,)


# The request ------------------------------------------------------------------------------


class RequestError(DemijohnError):
    """The request cannot be answered as it is."""

    status = 400
    code = "bad_request"
    title = "The request cannot be understood"


class DecodeError(RequestError):
    """The body is not what its Content-Type says."""

    code = "unreadable_body"
    title = "The body cannot be read"


class HostRefused(RequestError):
    """The Host header names a host this server does not answer for."""

    code = "host_refused"
    title = "This server does not answer for that Host"


class KeyMissing(RequestError):
    """No key came, or one that is not known."""

    status = 401
    code = "key_missing"
    title = "A valid API key is needed"


class RefusedByApp(RequestError):
    """A hook of the app that the extension lives in refused the request, with a status of its own."""

    status = 403
    code = "refused_by_app"
    title = "The app refused the request"


class OriginRefused(RequestError):
    """A web page of another origin sent the request."""

    status = 403
    code = "origin_refused"
    title = "Requests from that Origin are refused"


class RouteNotFound(RequestError):
    """No route has this path."""

    status = 404
    code = "route_not_found"
    title = "There is nothing at this address"
    asked = ""  #: HTTP method and path, for a dialect that repeats them.


class ModelNotFound(RequestError):
    """No model has this name."""

    status = 404
    code = "model_not_found"
    title = "There is no such model"
    asked: tuple[str, str | None] | None = None  #: Name and version, for a dialect that repeats them.


class VersionNotFound(RequestError):
    """The model has no such version or alias."""

    status = 404
    code = "version_not_found"
    title = "The model has no such version"
    asked: tuple[str, str | None] | None = None  #: As in ``ModelNotFound``; None for an alias.


class MethodNotFound(RequestError):
    """The model has no such prediction method."""

    status = 404
    code = "method_not_found"
    title = "The model has no such method"


class MethodNotAllowed(RequestError):
    """The route exists, under another HTTP method."""

    status = 405
    code = "method_not_allowed"
    title = "This address does not take that HTTP method"
    asked = ""  #: As in ``RouteNotFound``.


class NotAcceptable(RequestError):
    """No form of the answer fits the Accept header."""

    status = 406
    code = "not_acceptable"
    title = "The answer cannot be given in that form"


class BodyTimeout(RequestError):
    """The body did not arrive in time."""

    status = 408
    code = "body_timeout"
    title = "The body did not arrive in time"


class BodyTooLarge(RequestError):
    """The body, decompressed, is larger than the limit, or holds too many values."""

    status = 413
    code = "body_too_large"
    title = "The body is too large"


class UriTooLong(RequestError):
    """The address, query included, is longer than the limit."""

    status = 414
    code = "uri_too_long"
    title = "The address is too long"


class UnsupportedMediaType(RequestError):
    """The Content-Type or Content-Encoding is not one we read."""

    status = 415
    code = "unsupported_media_type"
    title = "The body's media type is not supported"


class SignatureMismatch(RequestError):
    """The rows do not fit the model's signature; ``errors`` says where."""

    status = 422
    code = "signature_mismatch"
    title = "The request does not fit the model's signature"


class ParameterMismatch(RequestError):
    """A parameter of the call is not one that the method takes."""

    status = 422
    code = "parameter_mismatch"
    title = "The method does not take these parameters"


class ModelRefused(RequestError):
    """The rows fit the signature, and the model itself refused them."""

    status = 422
    code = "model_refused"
    title = "The model refused these rows"


class BadInput(RequestError):
    """For functions that serve as models: raise it to answer 422 with your own text."""

    status = 422
    code = "bad_input"
    title = "The model cannot use this input"


class ControlRefused(RequestError):
    """Models are not loaded or unloaded over HTTP here."""

    status = 403
    code = "control_refused"
    title = "Models are not loaded or unloaded over HTTP"


class LoadRefused(RequestError):
    """A model that was to be loaded over HTTP could not be, or may not be."""

    code = "load_refused"
    title = "The model is not loaded; what served before serves on"


class HeaderTooLarge(RequestError):
    """One header is longer than the limit."""

    status = 431
    code = "header_too_large"
    title = "A request header is too large"


# The server -------------------------------------------------------------------------------


class ServerError(DemijohnError):
    """The request was fine; this server could not answer it now."""


class ModelError(ServerError):
    """The model failed for a reason that is not its input."""

    code = "model_error"
    title = "The model failed"


class NotOffered(ServerError):
    """A part of a protocol that this server does not have."""

    status = 501
    code = "not_offered"
    title = "This server does not offer that"


class Unavailable(ServerError):
    """Base of the 503s; always with ``Retry-After``."""

    status = 503
    code = "unavailable"
    title = "The server cannot answer now; try again"


class QueueFull(Unavailable):
    """More rows wait than the model's queue may hold, or they would wait too long."""

    code = "queue_full"
    title = "The model's queue is full; try again"


class NotReady(Unavailable):
    """The model is loading, failed to load, or was unloaded."""

    code = "not_ready"
    title = "The model is not ready"


class Draining(Unavailable):
    """The server is shutting down."""

    code = "draining"
    title = "The server is shutting down"


class TooManySlowBodies(Unavailable):
    """Too many bodies are arriving too slowly."""

    code = "too_many_slow_bodies"
    title = "Too many requests are still sending their body; try again"


class DeadlineExceeded(ServerError):
    """The prediction was started and given up at the deadline."""

    status = 504
    code = "deadline_exceeded"
    title = "The prediction did not finish before the deadline"


# The operator -----------------------------------------------------------------------------


class OperatorError(DemijohnError):
    """Raised at start-up or by the Python interface; by a request only where an extra is missing."""

    code = "operator_error"
    title = "Demijohn cannot start like this"


class ConfigurationError(OperatorError):
    """A setting or an option has a value that cannot be used."""

    code = "configuration_error"
    title = "A setting is wrong"


class LoadError(OperatorError):
    """The file is missing, broken or of a format that no runtime reads."""

    code = "load_error"
    title = "The model cannot be loaded"


class UnknownFormat(LoadError):
    """The file's content is of no format that a runtime reads."""

    code = "unknown_format"
    title = "The file is no model file"


class UntrustedArtifact(LoadError):
    """Loading the file would run code that nobody vouched for."""

    code = "untrusted_artifact"
    title = "The file holds code that is not trusted"


class MissingExtra(LoadError):
    """The framework that the model needs, or the library that a body needs, is not installed."""

    code = "missing_extra"
    title = "An optional dependency is missing"


# The client -------------------------------------------------------------------------------


class NoAnswer(DemijohnError):
    """Raised by ``demijohn.Client``: no answer came, or none that it can use. No server answers so."""

    code = "no_answer"
    title = "No answer came"


class ConnectionFailed(NoAnswer):
    """The server cannot be reached, or the connection broke before the answer was whole."""

    code = "connection_failed"
    title = "The server cannot be reached"


class AnswerTimeout(NoAnswer):
    """The answer did not come within the client's timeout."""

    code = "answer_timeout"
    title = "The answer did not come in time"


class UnusableAnswer(NoAnswer):
    """What came is no answer of a Demijohn server: a redirect, another form, too large, cut off."""

    code = "unusable_answer"
    title = "What came is no answer of a Demijohn server"
