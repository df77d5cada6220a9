"""Contracts that parts of Demijohn keep, for us and for those who bring their own.

``check_runtime`` says whether a runtime (``demijohn.runtimes.base.Runtime``) keeps its word: call it in
the tests of a package that adapts a framework. ``check_protocol`` says it of an HTTP dialect
(``demijohn.protocols.InferenceProtocol``).
"""

from .claims import CHECKS
from .contract import Report, check_runtime
from .protocol_claims import CHECKS as PROTOCOL_CHECKS
from .protocol_contract import ProtocolReport, check_protocol
from .protocol_subject import DialectClient, Sent
from .trial import Breach, ContractBroken

__all__ = [
    "CHECKS",
    "PROTOCOL_CHECKS",
    "Breach",
    "ContractBroken",
    "DialectClient",
    "ProtocolReport",
    "Report",
    "Sent",
    "check_protocol",
    "check_runtime",
]
