"""Images: PNG and JPEG bodies, and ``{"b64": "..."}`` in the place of a row's numbers.

Rules of this room:
1. Only what makes the pixels reaches a decoder: text, colour profiles, EXIF and whatever else a file
   may carry, compressed or not, is left out unread. So an image is not turned as its EXIF says.
2. The header is read first. Nothing is decoded of an image with which a request has more pixels than
   are allowed, and no decoder but the two for PNG and JPEG is ever asked.
3. Values are those of the file: no colour management, no gamma. Dropping transparency blends nothing.

Sources: PNG (https://www.w3.org/TR/png-3/, sections 4.7, 5.3 and 13.1); JPEG (ITU-T T.81, annex B).
"""

from __future__ import annotations

import binascii
import importlib.util
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from demijohn.errors import BodyTooLarge, DecodeError, MissingExtra
from demijohn.messages import Array, Image

PNG = "image/png"
JPEG = "image/jpeg"
MEDIA_TYPES = (PNG, JPEG)
KEY = "b64"  #: Of the object that stands for an image in JSON, as TensorFlow Serving has it.

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
_MOST_CHUNKS = 100_000  # encoders write some kB into each
_MOST_SEGMENTS = 10_000
_MOST_SCANS = 100  # a progressive JPEG has ten; each costs a pass over all pixels
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def is_available() -> bool:
    """Say whether images can be read here: Pillow is an extra."""
    return importlib.util.find_spec("PIL") is not None


class Images:
    """Reads the images of one request, and counts their pixels; see ``messages.ImageReader``.

    Args:
        max_pixels: Of all images together.
        media_type: What they must be; None for either.
    """

    __slots__ = ("_max_pixels", "_media_type", "_n_pixels")

    def __init__(self, max_pixels: int, media_type: str | None = None) -> None:
        self._max_pixels = max_pixels
        self._media_type = media_type
        self._n_pixels = 0

    def is_image(self, cell: object) -> bool:
        if isinstance(cell, dict):
            return len(cell) == 1 and isinstance(cell.get(KEY), str)
        return isinstance(cell, bytes)

    def open(self, cell: Any) -> Image:
        content = cell if isinstance(cell, bytes) else _from_base64(cell[KEY])
        media_type = _media_type_of(content)
        if self._media_type not in (None, media_type):
            raise DecodeError(f"The body is no {self._media_type}, but {media_type}")
        picture = _open_png(content) if media_type == PNG else _open_jpeg(content)
        width, height = picture.size
        self._n_pixels += width * height
        if self._n_pixels > self._max_pixels:
            raise BodyTooLarge(f"The images of a request may have {self._max_pixels} pixels")
        return Image(height, width, _own_channels(picture), partial(_pixels, picture))


def _from_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise DecodeError(f"{KEY!r} must be base64 (RFC 4648, section 4, with its padding)") from error


def _media_type_of(content: bytes) -> str:
    if content.startswith(_PNG_MAGIC):
        return PNG
    if content.startswith(_JPEG_MAGIC):
        return JPEG
    raise DecodeError("An image must be PNG or JPEG, and this is neither")


# PNG ----------------------------------------------------------------------------------------


def _open_png(content: bytes) -> Any:
    plugin = _pillow("PngImagePlugin")
    picture = _read_header(plugin.PngImageFile, _PNG_MAGIC + b"".join(_pixel_chunks(content)))
    # "Bit depth: 1 byte", after the width and height that the first chunk's data begins with. Pillow
    # would round 16 bits of some colour types and clip those of others.
    if content[24] == 16:
        raise DecodeError("The PNG has 16 bits per channel; send 8")
    return picture


def _pixel_chunks(content: bytes) -> Iterator[bytes]:
    """Yield the chunks that the pixels are made of, up to the last.

    "Chunk type [...] ancillary bit: bit 5 of first byte: 0 (uppercase) = critical". Of the others one
    has a meaning here: tRNS, which colours are transparent.
    """
    start = len(_PNG_MAGIC)
    for _ in range(_MOST_CHUNKS):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        kind = content[start + 4 : start + 8]
        if len(kind) < 4 or end > len(content):
            raise DecodeError("The PNG ended early")
        if kind == b"acTL":
            raise DecodeError("The PNG is animated; send one frame")
        if not kind[0] & 0x20 or kind == b"tRNS":
            yield content[start:end]
        if kind == b"IEND":
            return
        start = end
    raise DecodeError(f"The PNG has more than {_MOST_CHUNKS} chunks")


# JPEG ---------------------------------------------------------------------------------------

_SOS = 0xDA
_EOI = 0xD9
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
#: JFIF, and Adobe's word on how colours are written.
_KEPT_SEGMENTS = {0xE0, 0xEE}
_SEGMENTS = range(0xE0, 0xF0)  # application data
_COMMENT = 0xFE


def _open_jpeg(content: bytes) -> Any:
    plugin = _pillow("JpegImagePlugin")
    return _read_header(plugin.JpegImageFile, b"".join(_pixel_segments(content)))


def _pixel_segments(content: bytes) -> Iterator[bytes]:
    """Yield a JPEG without application data and comments; what may follow it is not looked at.

    Of a file with several pictures (MPF: previews, gain maps) this is the first, as in every decoder
    that knows JPEG alone.
    """
    yield content[:2]
    start = 2
    for _ in range(_MOST_SEGMENTS):
        while content[start + 1 : start + 2] == b"\xff":  # "optionally preceded by any number of fill bytes"
            start += 1
        if content[start : start + 1] != b"\xff" or len(content) < start + 4:
            raise DecodeError("The JPEG is broken before its first scan")
        marker = content[start + 1]
        if marker == _SOS:
            break
        if marker == _EOI or marker in _WITHOUT_LENGTH:
            raise DecodeError("The JPEG has no scan")
        end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
        is_data = marker in _SEGMENTS or marker == _COMMENT
        if not is_data or marker in _KEPT_SEGMENTS:
            yield content[start:end]
        start = end
    else:
        raise DecodeError(f"The JPEG has more than {_MOST_SEGMENTS} segments")
    # Inside of a scan 0xFF is always followed by 0, so nothing else looks like a marker.
    if content.count(bytes([0xFF, _SOS]), start) > _MOST_SCANS:
        raise DecodeError(f"The JPEG has more than {_MOST_SCANS} scans")
    yield content[start:]


# Pillow -------------------------------------------------------------------------------------


def _pillow(plugin: str) -> Any:
    try:
        return importlib.import_module(f"PIL.{plugin}")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            'Reading images needs Pillow, which is not installed: pip install "demijohn[images]"'
        ) from error


def _read_header(make: Any, content: bytes) -> Any:
    try:
        # Not Image.open: it asks what other plug-ins are registered, and only warns of some sizes.
        return make(BytesIO(content))
    except Exception as error:  # whatever a decoder trips over
        raise _broken(error) from error


def _own_channels(picture: Any) -> int:
    if "transparency" in picture.info or picture.mode in {"LA", "PA", "RGBA"}:
        return 4
    return 1 if picture.mode in {"1", "L"} else 3


def _pixels(picture: Any, n_channels: int) -> Array:
    """Decode an image; see ``messages.Image.pixels``."""
    try:
        picture.load()
        if picture.mode == "P":
            picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
        mode = _MODES[n_channels]
        if picture.mode != mode:
            picture = picture.convert(mode)
    except Exception as error:  # as above
        raise _broken(error) from error
    pixels: Array = np.asarray(picture)
    return pixels.reshape(*pixels.shape[:2], n_channels)


def _broken(error: Exception) -> DecodeError:
    return DecodeError(f"The image is broken: {str(error)[:200] or type(error).__name__}")
