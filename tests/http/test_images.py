"""Images through a socket: as a body and in JSON, the same answers as numbers; and what is refused."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import numpy as np
import pytest
from tests.http.claims import check_problem
from tests.images import END, PNG_MAGIC, b64, chunk, flat_png, header, jpeg, png
from tests.servers import Server

RGB = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def predictions(server: Server, model: str, body: Any, **headers: str) -> Any:
    answer = server.post(f"/ml/models/{model}/predict", body, **headers)
    assert answer.status == 200, answer.data
    return answer.json()["predictions"]


@pytest.mark.parametrize(("model", "pixels"), [("grey", GREY), ("photo", RGB)])
def test_an_image_is_answered_as_its_numbers_are(app: Server, model: str, pixels: Any) -> None:
    by_numbers = predictions(app, model, [pixels.tolist()])
    for _ in range(2):  # the second time its head is known
        assert predictions(app, model, png(pixels), content_type="image/png") == by_numbers
    assert predictions(app, model, {"instances": [b64(png(pixels))] * 3}) == by_numbers * 3
    squeezed = gzip.compress(png(pixels))
    assert predictions(app, model, squeezed, content_type="image/png", content_encoding="gzip") == by_numbers


def test_a_jpeg_is_one_row_too(app: Server) -> None:
    body = jpeg(RGB)
    by_base64 = predictions(app, "photo", [b64(body)])
    assert predictions(app, "photo", body, content_type="image/jpeg") == by_base64


def test_what_is_wrong_with_an_image_is_told(app: Server) -> None:
    workers = app.workers

    def refused(model: str, body: Any, status: int, code: str, media_type: str = "image/png") -> Any:
        headers = {"content_type": media_type} if isinstance(body, bytes) else {}
        return check_problem(app.post(f"/ml/models/{model}/predict", body, **headers), status, code)

    refused("photo", b"no image", 400, "unreadable_body")
    refused("photo", png(RGB)[:-20], 400, "unreadable_body")
    refused("photo", png(RGB), 400, "unreadable_body", "image/jpeg")
    refused("photo", png(RGB), 415, "unsupported_media_type", "image/webp")
    refused("plane", b"no image either", 415, "unsupported_media_type")
    refused("photo", flat_png(4097, 4097), 413, "body_too_large")
    refused(
        "photo", PNG_MAGIC + header(2**31 - 1, 2**31 - 1) + chunk(b"IDAT", b"") + END, 413, "body_too_large"
    )
    (problem,) = refused("photo", png(RGB[:7]), 422, "signature_mismatch")["errors"]
    assert problem == {
        "row": 0,
        "column": None,
        "expected": "an image 8 pixels high and 9 wide",
        "received": "one 7 high and 9 wide",
    }
    (problem,) = refused("photo", [b64(png(RGB)), b64(b"GIF89a")], 400, "unreadable_body")["errors"]
    assert (problem["row"], problem["received"]) == (1, "An image must be PNG or JPEG, and this is neither")
    assert app.workers == workers


def test_a_thousand_large_images_in_one_body_are_refused_by_their_headers(app: Server) -> None:
    row = zlib.compress(b"\0" * 1000, 9)
    image = b64(PNG_MAGIC + header(4000, 4000) + chunk(b"IDAT", row) + END)
    check_problem(app.post("/ml/models/photo/predict", [image] * 1000), 413, "body_too_large")
