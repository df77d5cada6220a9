"""The pages in a headless Chromium, in front of real servers: they predict, and they keep to this host."""

import ast
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import urllib3
from flask import Flask
from playwright.sync_api import Locator, Page, expect
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression
from tests.web.pages import FITS, PAYLOADS, app_in_a_thread, demijohn_serve, fit_flowers
from tests.web.rig import Gallery

from demijohn import Demijohn

KEY = "a-key-of-these-tests"


@pytest.fixture(scope="module")
def models() -> dict[str, object]:
    return {name: fit()[0] for name, fit in FITS.items()}


@pytest.fixture(scope="module")
def server(models: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demijohn_serve(models, tmp_path_factory.mktemp("served")) as address:
        yield address


@pytest.fixture(scope="module")
def keyed_address() -> Iterator[str]:
    """A Flask app of somebody's with us under /ml, which asks for a key."""
    app = Flask("host")
    served = Demijohn(app, api_key=(KEY,))
    data = load_diabetes()
    served.add("diabetes", LinearRegression().fit(data.data, data.target), example=data.data[:2])

    @served.model("shout")
    def shout(text: str) -> str:
        return text.upper()

    with app_in_a_thread(app) as port:
        yield f"http://127.0.0.1:{port}/ml"


def predict(page: Page, method: str = "predict") -> None:
    """Press the button and wait for an answer of this method."""
    page.select_option("#method", method)
    with page.expect_response(lambda response: response.url.endswith(f"/{method}")) as response:
        page.click("#predict")
    assert response.value.status == 200
    expect(page.locator("#prediction-result h3")).to_have_text(method)


def field_named(page: Page, name: str) -> Locator:
    return page.locator(f"#predict-form [name={json.dumps(name)}]")


def test_the_console_lists_the_models(page, server):
    page.goto(server)
    expect(page.locator("#model-list .model-name")).to_have_text(["cancer", "flowers", "hostile"])
    page.click("text=flowers")
    expect(page.locator("#model-name")).to_have_text("flowers")
    expect(page.locator("#inputs tbody tr")).to_have_count(3)
    assert page.url.endswith("#/flowers")


def test_a_filled_form_shows_what_the_estimator_predicts(page, server, models):
    rows = load_breast_cancer().data
    ours = models["cancer"].predict(rows)
    page.goto(f"{server}/#/cancer")
    for row in (np.flatnonzero(ours == "malignant")[-1], np.flatnonzero(ours == "benign")[-1]):
        for column, value in enumerate(rows[row]):
            field_named(page, str(column)).fill(repr(float(value)))
        predict(page)
        expect(page.get_by_test_id("prediction")).to_have_text(ours[row])


def test_probabilities_are_bars_of_the_estimators_values(page, server, models):
    page.goto(f"{server}/#/cancer")
    predict(page, "predict_proba")
    bars = page.get_by_test_id("class")
    expected = models["cancer"].predict_proba(load_breast_cancer().data[:1])[0]
    assert [float(bar.get_attribute("data-value")) for bar in bars.all()] == pytest.approx(
        expected, rel=1e-12
    )
    assert bars.locator(".class-name").all_text_contents() == list(models["cancer"].classes_)


def test_a_table_takes_a_category_and_a_missing_value(page, server, models):
    page.goto(f"{server}/#/flowers")
    field_named(page, "sepal length (cm)").fill("")
    field_named(page, "sepal width (cm)").fill("3.25")
    field_named(page, "size").select_option(label="large")
    predict(page)
    row = pd.DataFrame({"sepal length (cm)": [np.nan], "sepal width (cm)": [3.25], "size": ["large"]})
    shown = page.get_by_test_id("prediction").text_content()
    assert float(shown) == pytest.approx(models["flowers"].predict(row)[0], rel=1e-12)


def test_a_refused_value_is_told_beside_its_field(page, server):
    page.goto(f"{server}/#/cancer")
    field_named(page, "7").fill("")
    page.click("#predict")
    expect(page.get_by_test_id("problem")).to_contain_text("422")
    expect(page.locator("#field-7-error")).to_contain_text("Expected")
    expect(field_named(page, "7")).to_have_attribute("aria-invalid", "true")
    assert page.locator("[aria-invalid]").count() == 1


def test_a_body_can_be_written_as_json(page, server, models):
    rows = load_breast_cancer().data[:3]
    page.goto(f"{server}/#/cancer")
    page.click("#body-json")
    page.fill("#body-text", json.dumps({"instances": rows.tolist()}))
    predict(page)
    shown = page.get_by_test_id("prediction").locator("output").all_text_contents()
    assert shown == models["cancer"].predict(rows).tolist()


def test_the_form_follows_the_method(page):
    app = Flask("host")
    Demijohn(app).add_runtime("gallery", Gallery())
    with app_in_a_thread(app) as port:
        page.goto(f"http://127.0.0.1:{port}/ml/#/gallery")
        predict(page)
        page.select_option("#method", "find")
        expect(page.locator("#predict-form textarea[name=title]")).to_have_value("a rose")
        expect(page.locator("#snippet-curl")).to_contain_text("a lily")
        expect(page.locator("#inputs-find")).to_contain_text("title")
        predict(page, "find")
        expect(page.locator("#prediction-result")).to_contain_text("6")
        predict(page)


def test_the_page_works_from_the_keyboard(page, server, models):
    page.goto(f"{server}/#/cancer")
    field_named(page, "0").press("Enter")
    expect(page.get_by_test_id("prediction")).to_have_text(
        models["cancer"].predict(load_breast_cancer().data[:1])[0]
    )
    page.locator("#language-curl").press("ArrowRight")
    expect(page.locator("#language-python")).to_be_focused()
    expect(page.locator("#snippet-python")).to_be_visible()


def test_every_control_has_a_label(page, server):
    page.goto(f"{server}/#/flowers")
    controls = page.locator("#predict-form").locator("input, select, textarea")
    expect(controls).to_have_count(5)  # the method, three columns, the JSON body
    assert controls.evaluate_all("controls => controls.every((control) => control.labels.length === 1)")


def test_the_snippets_work_as_they_are_pasted(page, server, models):
    page.goto(f"{server}/#/flowers")
    page.click("#language-python")
    page.click('[aria-label="Copy the Python snippet"]')
    python = page.evaluate("navigator.clipboard.readText()")
    printed = subprocess.run(
        [sys.executable, "-c", python], capture_output=True, text=True, check=True
    ).stdout
    expected = models["flowers"].predict(fit_flowers()[1][: len(ast.literal_eval(printed))])
    assert ast.literal_eval(printed) == pytest.approx(expected, rel=1e-12)

    curl = shlex.split(page.locator("#snippet-curl").text_content().replace("\\\n", ""))
    answer = urllib3.request("POST", curl[1], body=curl[-1], headers=dict([curl[3].split(": ")]))
    assert answer.json()["predictions"] == ast.literal_eval(printed)

    javascript = page.locator("#snippet-javascript").text_content().replace("console.log(", "return (")
    assert page.evaluate(f"async () => {{ {javascript} }}") == ast.literal_eval(printed)


def test_hostile_names_are_text_on_the_console(page, server, models):
    page.goto(f"{server}/#/hostile")
    page.locator(".field label").first.wait_for()  # drawn when the model has been fetched
    labels = page.locator(".field label").all_text_contents()
    assert [label for label in labels if label in PAYLOADS] == PAYLOADS
    predict(page, "predict_proba")
    assert set(page.locator(".class-name").all_text_contents()) == set(models["hostile"].classes_)
    for tab in ("#language-python", "#language-javascript", "#body-json"):
        page.click(tab)
    assert page.locator("main").locator("img, script, iframe, svg, style").count() == 0


def test_hostile_names_are_text_on_the_docs_page(page, server):
    page.goto(f"{server}/docs")
    page.locator('.opblock-post [data-path="/models/hostile/predict"]').click()
    expect(page.locator(".opblock.is-open .opblock-body")).to_be_visible()
    page.locator(".opblock.is-open .tablinks", has_text="Schema").first.click()
    expect(page.locator(".opblock.is-open")).to_contain_text("instances")


def test_a_description_is_text_on_the_docs_page(page, server):
    told = " ".join(PAYLOADS)
    parameter = {"name": "p", "in": "query", "description": told, "schema": {"type": "string"}}
    operation = {"summary": told, "description": told, "tags": [told], "parameters": [parameter]}
    document = {
        "openapi": "3.1.0",
        "info": {"title": told, "version": told, "description": told},
        "paths": {"/x": {"get": {**operation, "responses": {"200": {"description": told}}}}},
    }
    page.route("**/openapi.json", lambda route: route.fulfill(json=document))
    page.goto(f"{server}/docs")
    page.locator('[data-path="/x"]').click()
    expect(page.locator(".opblock-description")).to_contain_text(f"{PAYLOADS[0]} {PAYLOADS[1]}")
    assert page.locator("#swagger-ui").locator("img, script, iframe, video, math").count() == 0


def test_the_docs_page_tries_a_request(page, server, models):
    page.goto(f"{server}/docs")
    page.locator('.opblock-post [data-path="/models/cancer/predict"]').click()
    page.click("text=Try it out")
    with page.expect_response(lambda response: response.request.method == "POST") as response:
        page.click("text=Execute")
    assert response.value.status == 200
    body = response.value.request.post_data_json
    assert response.value.json()["predictions"] == models["cancer"].predict(body["instances"]).tolist()
    expect(page.locator(".live-responses-table .response-col_status").nth(1)).to_contain_text("200")


def test_a_key_is_asked_for_until_it_is_right_and_never_written(page, keyed_address):
    page.goto(f"{keyed_address}/")
    for given, told in (("wrong", "asks for"), (KEY, "refused")):
        expect(page.locator("#key-message")).to_contain_text(told)
        page.fill("#key-input", given)
        page.press("#key-input", "Enter")
    predict(page)
    for language in ("curl", "python", "javascript"):
        assert "YOUR_API_KEY" in page.locator(f"#snippet-{language}").text_content()
    assert KEY not in page.content()
    page.click("text=API docs")
    page.locator('.opblock-post [data-path$="/models/diabetes/predict"]').click()
    page.click("text=Try it out")
    with page.expect_response(lambda response: response.request.method == "POST") as response:
        page.click("text=Execute")
    assert response.value.status == 200


def test_without_a_key_the_page_says_so(page, keyed_address):
    page.goto(f"{keyed_address}/")
    expect(page.locator("#key-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("problem")).to_contain_text("No API key was given")


def test_a_text_goes_to_a_function_as_it_was_typed(page, keyed_address):
    page.goto(f"{keyed_address}/#/shout")
    page.fill("#key-input", KEY)
    page.press("#key-input", "Enter")
    page.fill("#field-0", 'it\'s "quiet" \\ here')
    predict(page)
    expect(page.get_by_test_id("prediction")).to_have_text('IT\'S "QUIET" \\ HERE')


def test_a_field_becomes_the_json_that_was_typed(page, server):
    cases = [
        ["9007199254740993", "int", False, "9007199254740993"],
        ["007", "int", False, "7"],
        ["1.5", "int", False, "1.5"],
        [".5", "float", False, "0.5"],
        ["1e-7", "float", False, "1e-7"],
        ["", "float", True, "null"],
        ["", "str", True, "null"],
        ["", "str", False, '""'],
        ["12", "str", False, '"12"'],
        ["12", "any", False, "12"],
        ["[1, 2", "any", False, '"[1, 2"'],
        ["2026-01-31", "datetime", True, '"2026-01-31"'],
    ]
    page.goto(server)
    tokens = page.evaluate(
        """async (cases) => {
          const { tokenOf } = await import("/console-assets/fields.js");
          return cases.map(([text, kind, nullable]) => tokenOf(text, kind, nullable));
        }""",
        cases,
    )
    assert tokens == [case[3] for case in cases]
