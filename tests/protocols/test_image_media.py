"""Images from anybody: what a decoder is given, and what never reaches one."""

from __future__ import annotations

import io
import struct
import sys
import time
import zlib

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import PngImagePlugin
from tests.images import (
    END,
    PNG_MAGIC,
    b64,
    chunk,
    encoded,
    flat_png,
    header,
    in_mode,
    jpeg,
    png,
    segment,
    with_chunks,
    with_segments,
)

from demijohn.errors import BodyTooLarge, DecodeError, MissingExtra
from demijohn.messages import Array
from demijohn.protocols import image_media
from demijohn.protocols.image_media import JPEG, PNG, Images

RGB = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
GOOD_PNG, GOOD_JPEG = png(RGB), jpeg(RGB)
PROGRESSIVE = jpeg(RGB, progressive=True)


def decode(content: bytes, max_pixels: int = 10_000, media_type: str | None = None) -> Array:
    image = Images(max_pixels, media_type).open(content)
    return image.pixels(3)


def refuse(content: bytes, media_type: str | None = None) -> str:
    with pytest.raises(DecodeError) as refusal:
        decode(content, media_type=media_type)
    return refusal.value.detail


def test_which_cells_are_images() -> None:
    reader = Images(1)
    assert [
        cell
        for cell in (b"", {"b64": ""}, {"b64": 1}, {}, {"b64": "", "x": 1}, "b64", None, 1)
        if reader.is_image(cell)
    ] == [b"", {"b64": ""}]


def test_a_file_is_what_its_media_type_says() -> None:
    assert (decode(GOOD_PNG, media_type=PNG) == RGB).all()
    assert decode(GOOD_JPEG, media_type=JPEG).shape == RGB.shape
    assert refuse(GOOD_PNG, JPEG) == "The body is no image/jpeg, but image/png"
    assert refuse(GOOD_JPEG, PNG) == "The body is no image/png, but image/jpeg"


@pytest.mark.parametrize(
    "form", ["GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "PCX", "TGA", "DDS", "JPEG2000"]
)
def test_no_other_decoder_is_asked(form: str) -> None:
    assert refuse(encoded(RGB, form)) == "An image must be PNG or JPEG, and this is neither"


@pytest.mark.parametrize("text", ["!", "AAA", "AAAA\n", "data:image/png;base64,AAAA", "né", "A" * 5])
def test_base64_is_read_strictly(text: str) -> None:
    with pytest.raises(DecodeError, match="must be base64"):
        Images(1).open({"b64": text})
    assert Images(10_000).open(b64(GOOD_PNG)).height == 40


# Bombs --------------------------------------------------------------------------------------


def test_too_many_pixels_are_refused_by_the_header() -> None:
    for width, height in ((101, 100), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(BodyTooLarge, match="10000 pixels"):
            decode(PNG_MAGIC + header(width, height) + chunk(b"IDAT", b"") + END)
    large = GOOD_JPEG.replace(struct.pack(">HH", 40, 50), struct.pack(">HH", 65_500, 65_500))
    with pytest.raises(BodyTooLarge):
        decode(large)


def test_no_size_is_a_warning_or_an_error_of_the_decoders_own() -> None:
    content = flat_png(20_000, 5_000)  # over PIL.Image.MAX_IMAGE_PIXELS
    image = Images(10**9).open(content)
    assert (image.width, image.height) == (20_000, 5_000)


def never(data: bytes) -> bytes:
    pytest.fail("something was unpacked")


def bomb(kind: bytes, size: int) -> bytes:
    data = zlib.compress(b"\0" * size, 9)
    return chunk(kind, {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"p\0\0"}[kind] + data)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_compressed_text_and_profiles_are_never_unpacked(
    kind: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PngImagePlugin, "_safe_zlib_decompress", never)
    assert (decode(with_chunks(GOOD_PNG, *[bomb(kind, 2**24)] * 20)) == RGB).all()


def test_pixels_beyond_the_header_are_not_kept() -> None:
    more = zlib.compress(b"\0" * 2**26, 9)
    assert decode(PNG_MAGIC + header(2, 2) + chunk(b"IDAT", more) + END).shape == (2, 2, 3)


def test_many_chunks_scans_and_segments_are_refused() -> None:
    assert "more than 100000 chunks" in refuse(with_chunks(GOOD_PNG, chunk(b"tEXt", b"") * 100_000))
    assert "more than 10000 segments" in refuse(with_segments(GOOD_JPEG, segment(0xFE, b"") * 10_001))
    scan = PROGRESSIVE[PROGRESSIVE.rfind(b"\xff\xda") : -2]
    assert decode(PROGRESSIVE[:-2] + scan * 10 + PROGRESSIVE[-2:]).shape == RGB.shape
    assert "more than 100 scans" in refuse(PROGRESSIVE[:-2] + scan * 100 + PROGRESSIVE[-2:])


# Broken and hostile -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        PNG_MAGIC,
        PNG_MAGIC + END,
        PNG_MAGIC + header(2, 2) + END,
        PNG_MAGIC + header(0, 2) + chunk(b"IDAT", b"") + END,
        PNG_MAGIC + header(2, 2, depth=3) + chunk(b"IDAT", b"") + END,
        PNG_MAGIC + header(2, 2) + chunk(b"IDAT", b"no zlib") + END,
        PNG_MAGIC + header(2, 2) + chunk(b"IDAT", zlib.compress(b"\0")) + END,
        PNG_MAGIC + header(2, 2) * 2 + END,
        PNG_MAGIC + b"\xff\xff\xff\xffIHDR",
        GOOD_PNG[:-12],
        GOOD_PNG[:-1],
        GOOD_PNG[:100],
        GOOD_PNG.replace(b"IHDR", b"IHDX"),
        GOOD_PNG[:20] + b"\1" + GOOD_PNG[21:],  # another width than its checksum is of
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\0",
        b"\xff\xd8\xff\xe0\0\1" * 5,
        GOOD_JPEG[:200],
        GOOD_JPEG[: len(GOOD_JPEG) // 2],
        GOOD_JPEG[:2] + GOOD_JPEG[GOOD_JPEG.find(b"\xff\xda") :],
        with_segments(GOOD_JPEG, b"\0"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused(content: bytes) -> None:
    assert "0x" not in refuse(content)


def test_an_animation_is_refused() -> None:
    animated = encoded(RGB, "PNG", save_all=True, append_images=[in_pillow(255 - RGB)])
    assert refuse(animated) == "The PNG is animated; send one frame"


def in_pillow(pixels: Array) -> PIL.Image.Image:
    return PIL.Image.fromarray(pixels)


def test_of_a_jpeg_with_several_pictures_the_first_is_read() -> None:
    several = encoded(RGB, "MPO", save_all=True, append_images=[in_pillow(255 - RGB)])
    assert (decode(several) == decode(GOOD_JPEG)).all()


def test_sixteen_bits_are_refused_rather_than_rounded() -> None:
    grey = np.arange(4, dtype=np.uint16).reshape(2, 2) * 20_000
    assert "16 bits" in refuse(encoded(grey, "PNG"))
    wide = PNG_MAGIC + header(1, 1, depth=16) + chunk(b"IDAT", zlib.compress(b"\0" * 7)) + END
    assert "16 bits" in refuse(wide)


def test_what_follows_an_image_is_not_looked_at() -> None:
    assert (decode(GOOD_PNG + b"PK\3\4 and more") == RGB).all()
    assert (decode(GOOD_JPEG + b"<script>") == decode(GOOD_JPEG)).all()


def test_application_data_never_reaches_the_decoder() -> None:
    hostile = [segment(marker, b"Exif\0\0" + b"\xff" * 500) for marker in (0xE1, 0xE2, 0xED, 0xFE)]
    fill = b"\xff\xff\xff"
    content = with_segments(GOOD_JPEG, *hostile, fill)
    assert (decode(content) == decode(GOOD_JPEG)).all()
    picture = image_media._open_jpeg(content)
    assert not {"exif", "icc_profile", "photoshop", "comment", "mp"} & picture.info.keys()


def test_colours_that_adobe_writes_in_its_own_way_are_read_as_meant() -> None:
    cmyk = PIL.Image.fromarray(RGB).convert("CMYK")
    file = io.BytesIO()
    cmyk.save(file, "JPEG", quality=95)
    expected = np.asarray(PIL.Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    assert (decode(file.getvalue()) == expected).all()


def test_one_colour_that_is_transparent_makes_a_fourth_channel() -> None:
    content = in_mode(RGB, "RGB", transparency=tuple(map(int, RGB[0, 0])))
    image = Images(10_000).open(content)
    assert image.n_channels == 4
    assert image.pixels(4)[0, 0, 3] == 0
    assert (image.pixels(3) == RGB).all()


def try_to_decode(content: bytes) -> str:
    """Return what is said of it; nothing where it is an image."""
    try:
        pixels = decode(content)
    except (DecodeError, BodyTooLarge) as error:
        return error.detail
    assert (pixels.dtype, pixels.shape[2]) == (np.uint8, 3)
    return ""


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_comes_is_an_image_or_an_error_of_ours(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([GOOD_PNG, GOOD_JPEG, PROGRESSIVE, in_mode(RGB, "P")])))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    started = time.monotonic()
    for mutant in (bytes(content), bytes(content[:cut])):
        said = try_to_decode(mutant)
        assert "0x" not in said
        assert "/" not in said.replace("image/", "")
    assert time.monotonic() - started < 5


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"demijohn\[images\]"):
        Images(10_000).open(GOOD_PNG)
