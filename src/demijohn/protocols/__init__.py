"""HTTP dialects: each a module of pure functions from bytes to messages and back.

Rules of this room:
1. No Flask, no model; a protocol knows neither another protocol nor a runtime.
2. ``decode`` gets the decompressed body and raises ``RequestError``s only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from demijohn.config import Settings
from demijohn.errors import DemijohnError
from demijohn.messages import Encoded, InferenceRequest, InferenceResponse

from . import mlflow, native, open_inference, tensorflow


class InferenceProtocol(Protocol):
    """What a dialect offers."""

    @property
    def ANSWERS(self) -> Sequence[str]:  # noqa: N802  - a constant of the module
        """Media types among which ``Accept`` chooses, the default first; none: it chooses nothing."""

    def read_head(self, environ: Mapping[str, Any]) -> str:
        """Read what the headers say of the body.

        Args:
            environ: WSGI's, of the request.

        Returns:
            What ``decode`` is to know of them, in one text.

        Raises:
            RequestError: by these alone it is plain that ``decode`` does not read the body.
        """

    def decode(self, body: bytes, head: str, settings: Settings) -> InferenceRequest:
        """Read a request.

        Args:
            body: Decompressed, at most ``settings.max_body_bytes``.
            head: What ``read_head`` returned.
            settings: For the limits.

        Raises:
            RequestError: the body cannot be read (400, 413, 415, 422).
        """

    def encode(self, response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
        """Write an answer as ``media_type``, one of ``ANSWERS``, or "" where there are none."""

    def status_of(self, error: DemijohnError) -> int:
        """Return the status of an error's answer in this dialect."""

    def encode_error(self, error: DemijohnError, request_id: str) -> Encoded:
        """Write an error in the dialect's own form."""


PROTOCOLS: Mapping[str, InferenceProtocol] = {
    "mlflow": mlflow,
    "native": native,
    "open-inference": open_inference,
    "tensorflow": tensorflow,
}
