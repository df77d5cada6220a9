"""Images in the place of a row's numbers: the same array, or a problem that says where and why."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tests.images import Pixels, b64, flat_png, in_mode, jpeg, png

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, SignatureMismatch, UnsupportedMediaType
from demijohn.image_casting import Axes, image_axes
from demijohn.messages import Array
from demijohn.protocols import native
from demijohn.signature import Signature, TensorSpec

RGB = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
LIMITS = Settings()


def matrix(shape: tuple[int, ...], dtype: str = "uint8") -> Signature:
    return Signature("matrix", (TensorSpec("inputs", dtype, (-1, *shape)),))


ALBUM = Signature(
    "tensors", (TensorSpec("image", "float32", (-1, 4, 5, 3)), TensorSpec("age", "float32", nullable=True))
)
TWO = Signature(
    "tensors", (TensorSpec("left", "uint8", (-1, 4, 5)), TensorSpec("right", "uint8", (-1, 4, 5)))
)
FILM = Signature("tensors", (TensorSpec("frames", "float32", (-1, -1, 5)),))


def read(signature: Signature, document: Any, limits: Settings = LIMITS) -> dict[str, Array]:
    """Validate a JSON document."""
    return signature.validate(native.decode(json.dumps(document).encode(), "", limits).inputs)


def read_body(signature: Signature, body: bytes, media_type: str = "image/png") -> dict[str, Array]:
    return signature.validate(native.decode(body, media_type, LIMITS).inputs)


def problems(signature: Signature, document: Any) -> list[tuple[Any, Any, str, str]]:
    with pytest.raises(SignatureMismatch) as refusal:
        read(signature, document)
    return [(p.row, p.column, p.expected, p.received) for p in refusal.value.errors]


# The same answers ---------------------------------------------------------------------------


@given(pixels=arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=6).map(lambda s: (*s[:2], 3))))
def test_a_png_is_the_array_that_its_numbers_in_json_are(pixels: Pixels) -> None:
    for dtype in ("uint8", "int64", "float16", "float32", "float64"):
        signature = matrix(pixels.shape, dtype)
        by_numbers = read(signature, [pixels.tolist()])["inputs"]
        for made in (
            read(signature, [b64(png(pixels))])["inputs"],
            read_body(signature, png(pixels))["inputs"],
        ):
            assert made.dtype == by_numbers.dtype == np.dtype(dtype)
            assert made.tobytes() == by_numbers.tobytes()


@given(st.data())
@settings(max_examples=30)
def test_images_and_numbers_may_stand_together(data: st.DataObject) -> None:
    rows = data.draw(
        arrays(np.uint8, (data.draw(st.integers(1, 5)), 3, 4, data.draw(st.sampled_from([1, 3, 4]))))
    )
    is_image = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    written = [b64(png(row)) if one else row.tolist() for row, one in zip(rows, is_image, strict=True)]
    free = matrix((-1, -1, rows.shape[3]))
    assert (read(free, written)["inputs"] == rows).all()


@pytest.mark.parametrize(
    "document",
    [
        [b64(png(RGB)), b64(png(OTHER))],
        {"instances": [b64(png(RGB)), b64(png(OTHER))]},
        {"instances": [RGB.tolist(), b64(png(OTHER))]},
        {"instances": [b64(png(RGB)), OTHER.tolist()]},
        {"inputs": [b64(png(RGB)), b64(png(OTHER))]},
        {"inputs": {"inputs": [b64(png(RGB)), b64(png(OTHER))]}},
        {"dataframe_split": {"data": [b64(png(RGB)), b64(png(OTHER))]}},
    ],
)
def test_a_matrix_takes_images_in_every_form_of_rows(document: Any) -> None:
    assert (read(matrix((4, 5, 3)), document)["inputs"] == [RGB, OTHER]).all()


@pytest.mark.parametrize(
    "document",
    [
        [{"image": b64(png(RGB)), "age": 3}, {"image": OTHER.tolist(), "age": None}],
        {"inputs": {"image": [b64(png(RGB)), b64(png(OTHER))], "age": [3, None]}},
        {"dataframe_records": [{"image": b64(png(RGB)), "age": 3}, {"image": b64(png(OTHER)), "age": None}]},
        {
            "dataframe_split": {
                "columns": ["age", "image"],
                "data": [[3, b64(png(RGB))], [None, b64(png(OTHER))]],
            }
        },
    ],
)
def test_a_named_tensor_takes_images_in_every_form(document: Any) -> None:
    made = read(ALBUM, document)
    assert made["image"].dtype == np.float32
    assert (made["image"] == [RGB, OTHER]).all()
    assert np.array_equal(made["age"], np.array([3, np.nan], np.float32), equal_nan=True)


def test_a_model_of_one_named_tensor_takes_rows_records_and_a_body() -> None:
    for made in (
        read(FILM, [b64(png(GREY))]),
        read(FILM, [{"frames": b64(png(GREY))}]),
        read_body(FILM, png(GREY)),
    ):
        assert (made["frames"] == [GREY]).all()


# Channels and axes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((4, 5), Axes(0, 1, None)),
        ((4, 5, 1), Axes(0, 1, 2)),
        ((6, 5, -1), Axes(0, 1, 2)),
        ((3, 4, 5), Axes(1, 2, 0)),
        ((3, 4, -1), Axes(1, 2, 0)),
        ((3, 3, 3), Axes(0, 1, 2)),
        ((-1, -1, -1), Axes(0, 1, 2)),
        ((6, 5, 2), None),
        ((5,), None),
        ((), None),
        ((2, 4, 5, 3), None),
    ],
)
def test_which_rows_can_be_images(shape: tuple[int, ...], axes: Axes | None) -> None:
    assert image_axes(TensorSpec("x", "uint8", (-1, *shape))) == axes


@pytest.mark.parametrize("dtype", ["int8", "bool", "str", "object", "datetime64[ns]"])
def test_a_dtype_that_cannot_hold_255_takes_no_image(dtype: str) -> None:
    assert image_axes(TensorSpec("x", dtype, (-1, 4, 5))) is None


def test_channels_become_those_of_the_signature() -> None:
    luma = np.asarray(PIL.Image.fromarray(RGB).convert("L"))
    rgba = np.dstack([RGB, GREY])
    cases: list[tuple[bytes, tuple[int, ...], Any]] = [
        (png(RGB), (4, 5, 4), np.dstack([RGB, np.full((4, 5), 255)])),
        (png(RGB), (4, 5, 1), luma[:, :, None]),
        (png(RGB), (4, 5), luma),
        (png(RGB), (3, 4, 5), RGB.transpose(2, 0, 1)),
        (png(RGB), (1, 4, 5), luma[None]),
        (png(GREY), (4, 5, 3), np.dstack([GREY, GREY, GREY])),
        (png(rgba), (4, 5, 3), RGB),  # nothing is blended
        (png(rgba), (4, 5, 4), rgba),
        (png(GREY), (-1, -1, -1), GREY[:, :, None]),
        (png(rgba), (-1, -1, -1), rgba),
        (png(RGB), (-1, -1, -1), RGB),
    ]
    for content, shape, expected in cases:
        assert (read(matrix(shape), [b64(content)])["inputs"][0] == expected).all(), shape


def test_palettes_bits_and_grey_with_alpha_are_read_as_what_they_show() -> None:
    two = np.array([[0, 255], [255, 0]], np.uint8)
    assert (read(matrix((2, 2)), [b64(in_mode(two, "1"))])["inputs"][0] == two).all()
    coloured = np.zeros((2, 2, 3), np.uint8)
    coloured[0, 0] = 255, 0, 0
    palette = in_mode(coloured, "P")
    assert (read(matrix((2, 2, 3)), [b64(palette)])["inputs"][0] == coloured).all()
    clear = in_mode(coloured, "P", transparency=bytes([0] * 256))
    assert (
        read(matrix((2, 2, -1)), [b64(clear)])["inputs"][0] == np.dstack([coloured, np.zeros((2, 2))])
    ).all()
    faint = in_mode(np.dstack([coloured, two]), "LA")
    assert read(matrix((2, 2, -1)), [b64(faint)])["inputs"].shape == (1, 2, 2, 4)


def test_a_jpeg_is_what_pillow_decodes_and_not_turned_by_its_exif() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    content = jpeg(RGB, exif=exif, quality=90)
    expected = np.asarray(PIL.Image.open(io.BytesIO(content)))
    assert (read_body(matrix((4, 5, 3)), content, "image/jpeg")["inputs"][0] == expected).all()


# What does not fit --------------------------------------------------------------------------


def test_an_image_is_never_resized() -> None:
    assert problems(matrix((4, 5, 3)), [b64(png(RGB)), b64(png(RGB[:3]))]) == [
        (1, None, "an image 4 pixels high and 5 wide", "one 3 high and 5 wide")
    ]
    assert problems(ALBUM, [{"image": b64(png(RGB[:, :4])), "age": 1}]) == [
        (0, "image", "an image 4 pixels high and 5 wide", "one 4 high and 4 wide")
    ]


def test_free_sizes_are_those_of_the_first_row() -> None:
    assert read(matrix((-1, 5, 3)), [b64(png(RGB[:2]))])["inputs"].shape == (1, 2, 5, 3)
    assert problems(matrix((-1, -1, 3)), [b64(png(RGB)), b64(png(RGB[:3]))]) == [
        (1, None, "an image 4 pixels high and 5 wide", "one 3 high and 5 wide")
    ]
    assert problems(matrix((-1, 4, 3)), [b64(png(RGB))]) == [
        (0, None, "an image any number of pixels high and 4 wide", "one 4 high and 5 wide")
    ]
    assert problems(matrix((-1, -1)), [GREY.tolist(), b64(png(GREY[:2]))])[0][0] == 1
    assert problems(matrix((-1, -1)), [b64(png(GREY)), GREY[:2].tolist()])[0][:2] == (1, None)


def test_numbers_beside_images_are_checked_as_ever() -> None:
    assert problems(matrix((1, 2)), [b64(png(GREY[:1, :2])), [[1, 256]], [[1]]]) == [
        (1, "0,1", "uint8", "256, which is too large"),
        (2, 0, "a list of 2 values", "a list of 1 values"),
    ]


@pytest.mark.parametrize("cell", [{"b64": 3}, {"b64": "", "x": 1}, {}, {"image": "x"}])
def test_an_object_that_is_no_image_does_not_fit(cell: Any) -> None:
    assert problems(ALBUM, [{"image": cell, "age": 1}])[0][3] == "an object"


def test_an_image_where_none_belongs_does_not_fit() -> None:
    table = Signature(
        "table", (TensorSpec("b64", "str"), TensorSpec("n", "float64", is_optional=True, nullable=True))
    )
    assert read(table, [{"b64": "text"}])["b64"].tolist() == ["text"]  # a column may be called so
    assert problems(table, [{"b64": "text", "n": b64(png(RGB))}]) == [
        (0, "n", "float64 or null", "an object")
    ]
    assert problems(matrix((3,), "float64"), [b64(png(RGB))])[0][2] == "rows as lists"
    assert problems(TWO, [b64(png(GREY))])[0][1] in {"left", "right"}


def test_a_body_that_is_an_image_needs_a_model_that_takes_one() -> None:
    with pytest.raises(UnsupportedMediaType, match="takes no image"):
        read_body(matrix((5,)), b"not even an image")
    for signature, absent in ((ALBUM, "age"), (TWO, "right")):
        with pytest.raises(SignatureMismatch) as refusal:
            read_body(signature, png(RGB))
        assert [p.column for p in refusal.value.errors] == [absent]
        assert not signature.takes_image_body


def test_a_body_that_is_an_image_leaves_out_what_may_be_left_out() -> None:
    age = TensorSpec("age", nullable=True, is_optional=True)
    signature = Signature("tensors", (age, ALBUM.inputs[0]))
    assert signature.takes_image_body
    made = read_body(signature, png(RGB))
    assert (made["image"] == [RGB]).all()
    assert np.isnan(made["age"]).all()


def test_a_broken_image_says_in_which_row_it_stands() -> None:
    for broken in (b"", b"GIF89a", png(RGB)[:60], png(RGB).replace(b"IDAT", b"IDAX")):
        with pytest.raises(DecodeError, match=r"^row 1, column 'image': ") as refusal:
            read(ALBUM, [{"image": b64(png(RGB)), "age": 1}, {"image": b64(broken), "age": 1}])
        (problem,) = refusal.value.errors
        assert (problem.row, problem.column, problem.expected) == (1, "image", "an image that can be read")
    with pytest.raises(DecodeError, match=r"^row 0: 'b64' must be base64"):
        read(matrix((4, 5, 3)), [{"b64": "né"}])


def test_nothing_is_decoded_before_every_size_is_known_to_fit() -> None:
    broken = png(RGB)[:-30] + b"\0" * 18 + png(RGB)[-12:]  # its header is fine
    assert problems(matrix((4, 5, 3)), [b64(broken), b64(png(RGB[:3]))])[0][0] == 1
    with pytest.raises(DecodeError, match=r"^row 1: The image is broken"):
        read(matrix((4, 5, 3)), [b64(png(RGB)), b64(broken)])


def test_the_pixels_of_a_request_are_counted_together() -> None:
    limits = Settings(max_pixels=100)
    signature = matrix((-1, -1, 3))
    assert read(signature, [b64(flat_png(10, 5))] * 2, limits)["inputs"].shape == (2, 5, 10, 3)
    with pytest.raises(BodyTooLarge, match="100 pixels"):
        read(signature, [b64(flat_png(10, 5))] * 3, limits)
    with pytest.raises(BodyTooLarge):
        read(signature, [b64(flat_png(101, 1))], limits)
