"""One core for the framework while it is compared and timed.

Rules of this room:
1. scikit-learn's OpenMP code takes every core even for one row. Proving is nobody's first concern, so
   it takes one; and times that are each of one core do not depend on how many there are.
2. OpenMP counts its threads for each thread that begins a parallel part, so this holds for the calling
   thread alone, and requests in flight keep what they have. BLAS counts for the whole process, and is
   left as it is.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any


class OneCore:
    """What limits OpenMP, found once: looking through a process's libraries takes a while."""

    def __init__(self) -> None:
        threadpoolctl = sys.modules.get("threadpoolctl")  # it comes with scikit-learn
        # BLAS's are not selected, or the limit's end would set their number of threads anew.
        self._pools: Any = threadpoolctl and threadpoolctl.ThreadpoolController().select(user_api="openmp")

    def __call__(self) -> AbstractContextManager[Any]:
        """Keep OpenMP, as long as the context lasts, to the calling thread."""
        if self._pools is None:
            return nullcontext()
        limited: AbstractContextManager[Any] = self._pools.limit(limits=1)
        return limited
