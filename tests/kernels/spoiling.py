"""Bodies of which a little is no longer as it was."""

from __future__ import annotations

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
