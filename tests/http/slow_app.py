"""Models that wait, hang, fail or die when told to; served as ``tests.http.slow_app:app``.

A call that is to wait makes a file ``<word>.begun`` in the folder that the environment variable
HOLDING names, and waits until ``<word>.release`` is there.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask

from demijohn import BadInput, Demijohn

HOLDING = Path(os.environ["HOLDING"])
LOOK_AGAIN_S = 0.01
FOREVER_S = 3600

app = Flask(__name__)
models = Demijohn(app)


@models.model("plane", batch=True, example=[[0.0, 0.0, 0.0]], default=True)
def plane(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Answer ``a + 2 b + 3 c``, row by row: no BLAS, so a batch is bit for bit its rows."""
    return rows[:, 0] + 2 * rows[:, 1] + 3 * rows[:, 2]


def _hold(word: str) -> None:
    (HOLDING / f"{word}.begun").touch()
    while not (HOLDING / f"{word}.release").exists():
        time.sleep(LOOK_AGAIN_S)


@models.model("hold")
def hold(word: str) -> str:
    """Wait, one call at a time."""
    _hold(word)
    return word


@models.model("holds", concurrency=64)
def holds(word: str) -> str:
    """Wait, many at a time."""
    _hold(word)
    return word


@models.model("awaits")
async def awaits(word: str) -> str:
    """Wait as a coroutine, which can be cancelled."""
    (HOLDING / f"{word}.begun").touch()
    try:
        while not (HOLDING / f"{word}.release").exists():
            await asyncio.sleep(LOOK_AGAIN_S)
    except asyncio.CancelledError:
        (HOLDING / f"{word}.cancelled").touch()
        raise
    return word


@models.model("stubborn")
async def stubborn(word: str) -> str:
    """Wait as a coroutine that does not let itself be cancelled."""
    (HOLDING / f"{word}.begun").touch()
    while not (HOLDING / f"{word}.release").exists():
        try:
            await asyncio.sleep(LOOK_AGAIN_S)
        except asyncio.CancelledError:
            (HOLDING / f"{word}.cancelled").touch()
    return word


@models.model("grip")
def grip(word: str) -> str:
    """Hold the interpreter itself, as compiled code may."""
    (HOLDING / f"{word}.begun").touch()
    ctypes.PyDLL(None).sleep(FOREVER_S)
    return word


@models.model("process")
def process(word: str) -> int:
    return os.getpid()


@models.model("joined", batch=True, example=[[0.0, 0.0]])
def joined(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Double the second column; the first says when: 1 waits, 2 is refused."""
    if (rows[:, 0] == 1).any():
        _hold("joined")
    if (rows[:, 0] == 2).any():
        raise BadInput("a 2 is not taken")
    return 2 * rows[:, 1]
