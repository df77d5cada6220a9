"""Image files made by hand, good and hostile, for the tests of images."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

Pixels = npt.NDArray[np.uint8]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def png(pixels: Pixels, **options: Any) -> bytes:
    """Encode ``(height, width)`` or ``(height, width, 1, 3 or 4)``."""
    return encoded(pixels, "PNG", **options)


def jpeg(pixels: Pixels, **options: Any) -> bytes:
    return encoded(pixels, "JPEG", **options)


def encoded(pixels: Pixels, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    PIL.Image.fromarray(flat).save(out, form, **options)
    return out.getvalue()


def in_mode(pixels: Pixels, mode: str, **options: Any) -> bytes:
    """Encode a PNG of another mode than the pixels': a palette, one bit, grey with alpha."""
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(out, "PNG", **options)
    return out.getvalue()


def b64(content: bytes) -> dict[str, str]:
    """Write an image as JSON has it."""
    return {"b64": base64.b64encode(content).decode()}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


END = chunk(b"IEND", b"")


def header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def with_chunks(content: bytes, *chunks: bytes) -> bytes:
    """Put chunks behind the header of a PNG."""
    end = len(PNG_MAGIC) + 25
    return content[:end] + b"".join(chunks) + content[end:]


def flat_png(width: int, height: int) -> bytes:
    """Encode black colours of any size: a thousandth of its pixels."""
    squeezer = zlib.compressobj(9)
    line = b"\0" * (1 + 3 * width)
    data = b"".join(squeezer.compress(line) for _ in range(height)) + squeezer.flush()
    return PNG_MAGIC + header(width, height) + chunk(b"IDAT", data) + END


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def with_segments(content: bytes, *segments: bytes) -> bytes:
    """Put segments behind the first marker of a JPEG."""
    return content[:2] + b"".join(segments) + content[2:]
