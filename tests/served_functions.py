"""Functions that several apps of these tests serve as models."""

from __future__ import annotations

from demijohn import BadInput


def shout(text: str) -> str:
    return text.upper()


def whole(count: int, is_big: bool = False) -> int:
    return -count if is_big else count


def picky(x: float) -> float:
    """Refuse and fail in the ways that a function can."""
    if x < 0:
        raise BadInput("x must not be negative")
    if x > 100:
        raise RuntimeError("/etc/secret is broken")
    return x
