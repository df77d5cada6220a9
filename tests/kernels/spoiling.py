"""Bodies of which a little is no longer as it was."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from hypothesis import strategies as st

SMALL = st.integers(-200, 200)


@st.composite
def spoiled(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Return one of some bodies, of which a few numbers are others, or bytes are lost or doubled."""
    body = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(body) - 1))
        way = draw(st.integers(0, 3))
        if way == 0:
            body[place] = draw(st.integers(0, 255))
        elif way == 1:
            place -= place % 4
            body[place : place + 4] = struct.pack("<i", draw(SMALL | st.integers(-(2**31), 2**31 - 1)))
        elif way == 2:
            place -= place % 8
            body[place : place + 8] = struct.pack("<q", draw(SMALL | st.integers(-(2**63), 2**63 - 1)))
        else:
            body[place:place] = body[place : place + draw(st.integers(1, 16))]
        if len(body) < 2:
            break
    return bytes(body)


@st.composite
def changed(draw: st.DrawFn, seeds: Sequence[bytes], pieces: Sequence[bytes]) -> bytes:
    """Return one of some bodies, into which a few pieces were put, and which may be cut short."""
    body = bytearray(draw(st.sampled_from(seeds)))
    ways = st.sampled_from(["put", "insert", "remove"])
    for place, way, piece in draw(
        st.lists(st.tuples(st.integers(0, 120), ways, st.sampled_from(pieces)), max_size=4)
    ):
        at = place % (len(body) + 1)
        body[at : at + (way != "insert")] = b"" if way == "remove" else piece
    return bytes(body[: draw(st.none() | st.integers(0, 120))])


def changed_by_chance(body: bytes, seed: int, pieces: Sequence[bytes]) -> bytes:
    """Return a body of which any byte may be lost, or a piece stand anywhere, and any end be missing."""
    chance = random.Random(seed)
    spoiled = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(spoiled) + 1)
        spoiled[at : at + chance.choice((0, 1))] = chance.choice((b"", *pieces))
    return bytes(spoiled[: chance.choice((None, None, chance.randrange(len(spoiled) + 1)))])
