"""HTTP dialects: each a module of pure functions from bytes to messages and back.

Rules of this room:
1. No Flask, no model; a protocol knows neither another protocol nor a runtime.
2. ``decode`` gets the decompressed body and raises ``RequestError``s only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from demijohn.config import Settings
from demijohn.errors import DemijohnError
from demijohn.messages import Encoded, InferenceRequest, InferenceResponse

from . import native


class InferenceProtocol(Protocol):
    """What a dialect offers."""

    def check_content_type(self, content_type: str) -> None:
        """Refuse a body by its header alone.

        Raises:
            UnsupportedMediaType: ``decode`` does not read it.
        """

    def decode(self, body: bytes, content_type: str, settings: Settings) -> InferenceRequest:
        """Read a request.

        Args:
            body: Decompressed, at most ``settings.max_body_bytes``.
            content_type: The header as it came; "" when absent.
            settings: For the limits.

        Raises:
            RequestError: the body cannot be read (400, 413, 415, 422).
        """

    def encode(self, response: InferenceResponse, request: InferenceRequest, media_type: str) -> Encoded:
        """Write an answer as ``media_type``, one of the module's ``ANSWERS``."""

    def encode_error(self, error: DemijohnError, request_id: str) -> Encoded:
        """Write an error in the dialect's own form."""


PROTOCOLS: Mapping[str, InferenceProtocol] = {"native": native}
