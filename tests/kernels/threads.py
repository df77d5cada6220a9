"""One thing asked by several threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def check_in_threads(answer: Callable[[Any], Any], some: Sequence[Any]) -> None:
    """Ask with each of some rows in a thread of its own, five times: each gets what it gets alone."""
    wanted: list[Any] = [answer(rows) for rows in some]
    got: list[list[Any]] = [[] for _ in some]

    def repeat(index: int) -> None:
        got[index] = [answer(some[index]) for _ in range(5)]

    threads = [threading.Thread(target=repeat, args=(index,)) for index in range(len(some))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answers, expected in zip(got, wanted, strict=True):
        assert len(answers) == 5
        for one in answers:
            np.testing.assert_array_equal(one, expected)
