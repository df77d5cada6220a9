"""Functions that answer item by item; served as ``tests.http.streams_app:app``.

One that is to wait makes a file ``<word>.begun`` in the folder that the environment variable HOLDING
names, waits before each further item until ``<word>.<number>`` is there, and leaves ``<word>.closed``.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask

from demijohn import BadInput, Demijohn

HOLDING = Path(os.environ.get("HOLDING", "."))
LOOK_AGAIN_S = 0.01

app = Flask(__name__)
models = Demijohn(app)


@models.model("words")
def words(text: str) -> Iterator[str]:
    if not text:
        raise BadInput("there is nothing to say")
    yield from text.split()


@models.model("numbers")
def numbers(n: int) -> Iterator[Any]:
    """Count; NaN follows 3, and nobody counts further than 5."""
    for number in range(n):
        if number == 5:
            raise BadInput("five is enough")
        if number == 6:
            raise RuntimeError("/etc/secret")
        yield math.nan if number == 3 else number


@models.model("broken")
def broken(n: int) -> Iterator[Any]:
    for _ in range(n):
        yield {"n": np.float32(0.1)}
    raise RuntimeError("/etc/secret is broken")


@models.model("odd")
def odd(n: int) -> Iterator[Any]:
    for _ in range(n):
        yield 1
    yield object()


@models.model("rows", example=[[0.0, 0.0]])
def rows(rows: np.ndarray[Any, Any]) -> Iterator[Any]:
    """Sum row by row."""
    for row in rows:
        yield row.sum()


@models.model("ticks")
async def ticks(n: int) -> AsyncIterator[dict[str, Any]]:
    for number in range(n):
        await asyncio.sleep(0)
        yield {"tick": number}


def _await(word: str, number: int) -> None:
    while not (HOLDING / f"{word}.{number}").exists():
        time.sleep(LOOK_AGAIN_S)


@models.model("hold")
def hold(word: str, n: int) -> Iterator[int]:
    (HOLDING / f"{word}.begun").touch()
    try:
        for number in range(n):
            _await(word, number)
            yield number
    finally:
        (HOLDING / f"{word}.closed").touch()


@models.model("holds")
async def holds(word: str, n: int) -> AsyncIterator[int]:
    (HOLDING / f"{word}.begun").touch()
    try:
        for number in range(n):
            while not (HOLDING / f"{word}.{number}").exists():
                await asyncio.sleep(LOOK_AGAIN_S)
            yield number
    finally:
        (HOLDING / f"{word}.closed").touch()


@models.model("flood")
def flood(word: str) -> Iterator[str]:
    """Yield without end."""
    try:
        while True:
            yield "x" * 10_000
    finally:
        (HOLDING / f"{word}.closed").touch()


@models.model("whole")
def whole(x: float) -> float:
    return x
