"""The client: ``Client`` asks a server what ``demijohn.load`` would answer in this process.

Rules of this room:
1. It imports no Flask and no framework; pandas and pyarrow are used where the caller has them.
2. A server is not trusted: whatever it answers, nothing is run, fetched or allocated because it says so.

The way of a call: ``inputs`` reads what the caller gave, ``dialects`` chooses who writes it, ``connection``
sends it and turns refusals into errors, and the dialect reads the answer.
"""

from __future__ import annotations

from .client import Client, ModelList
from .remote_model import RemoteModel

__all__ = ["Client", "ModelList", "RemoteModel"]
