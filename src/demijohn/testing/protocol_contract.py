"""``check_protocol``: tries every claim of an HTTP dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from demijohn.protocols import InferenceProtocol

from .protocol_claims import CHECKS, FOUNDATIONS
from .protocol_subject import DialectClient, ProtocolSubject
from .trial import try_all


@dataclass(frozen=True, slots=True)
class ProtocolReport:
    """What a protocol was seen to keep."""

    dialect: str
    claims: tuple[str, ...]  #: Names of the checks that were tried.
    not_tried: Mapping[str, str]  #: Why a claim does not concern it.

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.dialect} keeps {len(self.claims)} claims"


def check_protocol(protocol: InferenceProtocol, client: DialectClient) -> ProtocolReport:
    """Check that a protocol keeps every claim of ``PROTOCOL_CHECKS``.

    Args:
        protocol: A module, or an object, with all that ``InferenceProtocol`` lists.
        client: The other side of the dialect: writes requests and reads answers, without the protocol.

    Returns:
        What was tried.

    Raises:
        ContractBroken: with every claim that does not hold.
    """
    name = getattr(protocol, "__name__", type(protocol).__name__).rpartition(".")[2]
    not_tried = try_all(f"{name} protocol", CHECKS, FOUNDATIONS, ProtocolSubject(protocol, client))
    return ProtocolReport(name, tuple(c.__name__ for c in CHECKS if c.__name__ not in not_tried), not_tried)
