"""The console with images: a file is chosen, shown and predicted, and probabilities are drawn as bars."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from flask import Flask
from playwright.sync_api import Page, expect
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from tests.web.pages import app_in_a_thread
from tests.web.rig import Album, Film, brightness

from demijohn import Demijohn
from demijohn.image_casting import image_axes
from demijohn.signature import TensorSpec

SCALE = 15  # the digits' greys are 0 to 16
IMAGES, LABELS = load_digits().images.astype(np.uint8) * SCALE, load_digits().target
CLASSIFIER = LogisticRegression(max_iter=500).fit(IMAGES.reshape(-1, 64) / 255, LABELS)


def digit(images: npt.NDArray[np.uint8]) -> Any:
    """Return the probabilities of the ten digits."""
    return CLASSIFIER.predict_proba(images.reshape(len(images), -1) / 255)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def chosen(pixels: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """Return a file as somebody chooses one."""
    return {"name": "picture.png", "mimeType": "image/png", "buffer": png(pixels)}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = Flask("pictures")
    models = Demijohn(app)
    models.add("digit", digit, example=IMAGES[:2])
    models.add("photo", brightness, example=np.zeros((1, 2, 3, 3), np.uint8))
    models.add_runtime("album", Album())
    models.add_runtime("film", Film())
    with app_in_a_thread(app) as port:
        yield f"http://127.0.0.1:{port}/ml"


def choose(page: Page, pixels: npt.NDArray[np.uint8]) -> None:
    page.set_input_files("#field-0", chosen(pixels))
    expect(page.get_by_test_id("preview").locator("img")).to_be_visible()


def predict(page: Page) -> Any:
    """Press the button; returns what was sent, parsed."""
    with page.expect_response(lambda response: response.url.endswith("/predict")) as response:
        page.click("#predict")
    return json.loads(response.value.request.post_data)


@pytest.mark.parametrize("index", [3, 7])
def test_a_chosen_image_is_shown_and_predicted(page: Page, address: str, index: int) -> None:
    page.goto(f"{address}/#/digit")
    choose(page, IMAGES[index])
    sent = predict(page)
    assert sent == {"instances": [{"b64": base64.b64encode(png(IMAGES[index])).decode()}]}
    bars = page.get_by_test_id("class")
    expect(bars).to_have_count(10)
    shown = [float(bar.get_attribute("data-value") or "nan") for bar in bars.all()]
    assert shown == pytest.approx(digit(IMAGES[index : index + 1])[0].tolist(), rel=1e-12)
    expect(page.locator(".bar-row.best .class-name")).to_have_text(str(LABELS[index]))


def test_without_a_file_the_examples_numbers_are_drawn_and_sent(page: Page, address: str) -> None:
    page.goto(f"{address}/#/digit")
    canvas = page.get_by_test_id("preview").locator("canvas")
    expect(canvas).to_be_visible()
    drawn = canvas.evaluate(
        """canvas => Array.from(canvas.getContext("2d").getImageData(0, 0, 8, 8).data)
          .filter((_, index) => index % 4 === 0)"""
    )
    assert drawn == IMAGES[0].ravel().tolist()
    assert predict(page) == {"instances": [IMAGES[0].tolist()]}


def test_an_image_can_be_taken_back_for_numbers(page: Page, address: str) -> None:
    page.goto(f"{address}/#/digit")
    choose(page, IMAGES[3])
    page.click("text=Use the numbers")
    assert predict(page) == {"instances": [IMAGES[0].tolist()]}
    choose(page, IMAGES[3])
    page.click("text=As numbers")
    page.fill("#field-0-numbers", json.dumps(IMAGES[5].tolist()))
    assert predict(page) == {"instances": [IMAGES[5].tolist()]}


def test_an_image_of_another_size_is_refused_beside_its_field(page: Page, address: str) -> None:
    page.goto(f"{address}/#/digit")
    choose(page, np.zeros((9, 8), np.uint8))
    page.click("#predict")
    expect(page.get_by_test_id("problem")).to_contain_text("422")
    expect(page.locator("#field-0-error")).to_contain_text("8 pixels high and 8 wide; received one 9 high")
    expect(page.locator("#field-0")).to_have_attribute("aria-invalid", "true")


def test_a_model_of_an_image_and_a_number_has_a_field_for_each(page: Page, address: str) -> None:
    page.goto(f"{address}/#/album")
    choose(page, np.full((2, 3), 10, np.uint8))
    page.fill("#field-1", "2.5")
    sent = predict(page)
    assert list(sent["instances"][0]) == ["image", "age"]
    expect(page.get_by_test_id("prediction")).to_have_text("62.5")


def test_a_problem_inside_of_a_tensor_is_told_beside_its_field(page: Page, address: str) -> None:
    page.goto(f"{address}/#/film")
    page.click("text=As numbers")
    page.fill("#field-0-numbers", '[[1, 2], [3, "x"]]')
    page.click("#predict")
    expect(page.locator("#field-0-error")).to_contain_text("Expected float32")


def test_every_control_of_an_image_has_a_label(page: Page, address: str) -> None:
    page.goto(f"{address}/#/album")
    controls = page.locator("#predict-form").locator("input, select, textarea")
    expect(controls).to_have_count(5)  # the method, the file, its numbers, the age, the JSON body
    assert controls.evaluate_all("controls => controls.every((control) => control.labels.length === 1)")


def test_the_page_and_the_server_agree_on_what_can_be_an_image(page: Page, address: str) -> None:
    shapes = [(-1, *row) for row in (
        (), (28,), (28, 28), (-1, -1), (28, 28, 1), (28, 28, 3), (4, 4, 4), (3, 28, 28), (1, 28, -1),
        (28, 28, -1), (-1, -1, -1), (28, 28, 2), (2, 28, 28), (5, 28, 28, 3),
    )]  # fmt: skip
    dtypes = ["uint8", "int8", "int64", "uint16", "float16", "float32", "float64", "bool", "str", "object",
              "datetime64[ns]"]  # fmt: skip
    specs = [TensorSpec("x", dtype, shape) for dtype in dtypes for shape in shapes]
    specs.append(TensorSpec("x", "int64", (-1, 4, 4), categories=(1, 2), is_closed=True))
    page.goto(f"{address}/")
    found = page.evaluate(
        """async (specs) => {
          const { imageAxes } = await import("/ml/console-assets/image_field.js");
          return specs.map(imageAxes);
        }""",
        [spec.as_json() for spec in specs],
    )
    axes = [image_axes(spec) for spec in specs]
    assert found == [
        None if one is None else {"height": one.height, "width": one.width, "channels": one.channels}
        for one in axes
    ]
