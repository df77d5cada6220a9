"""Contracts that parts of Demijohn keep, for us and for those who bring their own.

``check_runtime`` says whether a runtime (``demijohn.runtimes.base.Runtime``) keeps its word: call it in
the tests of a package that adapts a framework.
"""

from .claims import CHECKS
from .contract import Breach, ContractBroken, Report, check_runtime

__all__ = ["CHECKS", "Breach", "ContractBroken", "Report", "check_runtime"]
