"""What of the machine a model's framework may use in this process.

Rules of this room:
1. ``serve`` shares the cores out among its workers. Anywhere else the process is the host's, and each
   framework keeps its own default.
"""

from __future__ import annotations


class Hardware:
    """The share of this process."""

    def __init__(self) -> None:
        self.threads: int | None = None  #: That one call may use; None: as the framework sees fit.


HARDWARE = Hardware()
