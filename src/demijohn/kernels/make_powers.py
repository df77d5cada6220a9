"""Writes _powers.h, the powers of five of _number.h: ``python make_powers.py > _powers.h``.

Source: Lemire, "Number Parsing at a Gigabyte per Second", section 5; the table is fast_float's.
"""

from __future__ import annotations

import sys

SMALLEST, LARGEST = (
    -342,
    308,
)  #: A number of 19 digits times a lesser or greater power of ten is 0 or infinite.


def significand(exponent: int) -> int:
    """Return the 128 most significant bits of 5**exponent, cut off; rounded up from -27 to -1."""
    if exponent >= 0:
        power: int = 5**exponent
        shift = power.bit_length() - 128
        return power >> shift if shift >= 0 else power << -shift
    power = 5**-exponent
    bits = power.bit_length()
    quotient = (1 << (bits + 127 if exponent >= -27 else 2 * bits + 128)) // power + 1
    return quotient >> (quotient.bit_length() - 128)


def table() -> str:
    """Return the text of the C header."""
    lines = []
    for exponent in range(SMALLEST, LARGEST + 1):
        bits = significand(exponent)
        lines.append(f"    {{0x{bits >> 64:016x}, 0x{bits & (2**64 - 1):016x}}}, /* {exponent} */")
    head = "/* 5**i to 128 bits, the highest of them 1; made by make_powers.py. */"
    begin = f"#define SMALLEST_POWER ({SMALLEST})\n#define LARGEST_POWER {LARGEST}\n"
    rows = "\n".join(lines)
    return f"{head}\n{begin}\nstatic const uint64_t POWERS_OF_FIVE[][2] = {{\n{rows}\n}};\n"


if __name__ == "__main__":
    sys.stdout.write(table())
