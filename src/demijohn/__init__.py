"""Demijohn gives any fitted model a REST API on Flask.

Names are imported when they are first used, so that importing the package costs no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client
    from .errors import BadInput, DemijohnError
    from .extension import Demijohn, load
    from .model import Model
    from .web.errors import answer_error

__version__ = "0.1.0"
__all__ = ["BadInput", "Client", "Demijohn", "DemijohnError", "Model", "__version__", "answer_error", "load"]

_HOMES = {
    "BadInput": "errors",
    "Client": "client",
    "Demijohn": "extension",
    "DemijohnError": "errors",
    "Model": "model",
    "answer_error": "web.errors",
    "load": "extension",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its room."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
