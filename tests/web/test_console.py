"""The pages in a headless Chromium, in front of real servers: they predict, and they keep to this host."""

import ast
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import joblib
import numpy as np
import pandas as pd
import pytest
import urllib3
from flask import Flask
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from werkzeug.serving import make_server

from demijohn import Demijohn

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
KEY = "a-key-of-these-tests"
READY_WITHIN_S = 30.0

RUN = "window.ran=1"  # what a payload would do, were it more than text
PAYLOADS = [
    f"<img src=x onerror={RUN}>",
    f'"><script>{RUN}</script>',
    f"'><script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</option></select><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f'<iframe src="javascript:parent.{RUN}"></iframe>',
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f'<a href="javascript:{RUN}">a</a>',
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f'" onfocus={RUN} autofocus="',
    f"' onmouseover={RUN} '",
    f"javascript:{RUN}",
    f"[a](javascript:{RUN})",
    f"![a](x){{onerror={RUN}}}",
    f"`<script>{RUN}</script>`",
    f"${{{RUN}}}",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"<math><mtext><style><img src=x onerror={RUN}>",
    f"<template><script>{RUN}</script></template>",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"\\u003cscript\\u003e{RUN}",
    f"<style>@import 'javascript:{RUN}'</style>",
    "__proto__",
]


# Models ------------------------------------------------------------------------------------


def fit_cancer() -> tuple[object, np.ndarray]:
    data = load_breast_cancer()
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(data.data, data.target_names[data.target]), data.data


def fit_flowers() -> tuple[object, pd.DataFrame]:
    """A table with numbers that may be missing, a category, and names with spaces and brackets."""
    frame = load_iris(as_frame=True).frame
    frame["size"] = np.where(frame["petal length (cm)"] > 4, "large", "small")
    rows = frame[["sepal length (cm)", "sepal width (cm)", "size"]]
    columns = make_column_transformer(
        (SimpleImputer(), ["sepal length (cm)", "sepal width (cm)"]), (OneHotEncoder(), ["size"])
    )
    return make_pipeline(columns, LinearRegression()).fit(rows, frame["petal width (cm)"]), rows


def fit_hostile() -> tuple[object, pd.DataFrame]:
    """Columns, categories and classes that are all payloads."""
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(generator.normal(size=(90, len(PAYLOADS))), columns=PAYLOADS)
    rows["kind"] = np.resize(PAYLOADS[:3], len(rows))
    columns = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(rows, np.resize(PAYLOADS[:3], len(rows))), rows


FITS = {"cancer": fit_cancer, "flowers": fit_flowers, "hostile": fit_hostile}


@pytest.fixture(scope="module")
def models() -> dict[str, object]:
    return {name: fit()[0] for name, fit in FITS.items()}


# Servers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(models: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``demijohn serve`` with the three models; its address."""
    folder = tmp_path_factory.mktemp("served")
    files = [f"{name}={folder / name}.joblib" for name in models]
    for name, model in models.items():
        joblib.dump(model, folder / f"{name}.joblib")
    examples = [f"--example={name}={_example(folder, name)}" for name in models]
    port = _free_port()
    command = [sys.executable, "-m", "demijohn", "serve", *files, *examples, f"--port={port}", "--workers=1"]
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(READY_WITHIN_S)


def _example(folder: Path, name: str) -> Path:
    rows = FITS[name]()[1][:3]
    path = folder / f"{name}-example.json"
    path.write_text(
        rows.to_json(orient="records") if isinstance(rows, pd.DataFrame) else json.dumps(rows.tolist())
    )
    return path


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(address: str, log: Path) -> None:
    pause_s = 0.2
    retries = urllib3.Retry(
        int(READY_WITHIN_S / pause_s),
        redirect=0,
        backoff_factor=pause_s,
        backoff_max=pause_s,
        status_forcelist=[503],
        respect_retry_after_header=False,
    )
    with urllib3.PoolManager(retries=retries) as pool:
        try:
            assert pool.request("GET", f"{address}/readyz").status == 200
        except urllib3.exceptions.MaxRetryError:
            pytest.fail(f"demijohn serve did not become ready:\n{log.read_text()}")


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

    with _in_a_thread(app) as port:
        yield f"http://127.0.0.1:{port}/ml"


@contextmanager
def _in_a_thread(app: Flask) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# The browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        reason = "no Chromium on this machine: install Debian's, or Google's, and it is found on PATH"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page must not do, as seen from outside of it."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def request(self, request: Request) -> None:
        self.requests.append(request.url)

    def message(self, message: ConsoleMessage) -> None:
        # A refusal that a test provoked is told there too; everything else is a fault of ours.
        is_refusal = message.text.startswith("Failed to load resource") and any(
            f"status of {status}" in message.text for status in (401, 422)
        )
        if message.type in ("error", "warning") and not is_refusal:
            self.complaints.append(message.text)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a fresh profile; at the end it has asked this host alone and run nothing foreign."""
    watch = Watch()
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("request", watch.request)
        page.on("console", watch.message)
        page.on("pageerror", lambda error: watch.complaints.append(str(error)))
        page.on("dialog", lambda dialog: watch.complaints.append(f"dialog {dialog.message}"))
        yield page
        host = urlsplit(page.url).netloc
        assert watch.requests
        assert {urlsplit(url).netloc for url in watch.requests if not url.startswith("data:")} == {host}
        assert watch.complaints == []
        assert page.evaluate("window.ran") is None


def predict(page: Page, method: str = "predict") -> None:
    """Press the button and wait for an answer of this method."""
    page.select_option("#method", method)
    with page.expect_response(lambda response: response.url.endswith(f"/{method}")) as response:
        page.click("#predict")
    assert response.value.status == 200
    expect(page.locator("#prediction-result h3")).to_have_text(method)


def field_named(page: Page, name: str):
    return page.locator(f"#predict-form [name={json.dumps(name)}]")


# Tests -------------------------------------------------------------------------------------


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
    page.click("text=Copy")
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
    labels = page.locator(".field label").all_text_contents()
    assert [label for label in labels if label in PAYLOADS] == PAYLOADS
    predict(page, "predict_proba")
    assert set(page.locator(".class-name").all_text_contents()) == set(models["hostile"].classes_)
    for tab in ("#language-python", "#language-javascript", "#body-json"):
        page.click(tab)
    assert page.locator("main").locator("img, script, iframe, svg, style").count() == 0


def test_hostile_names_are_text_on_the_docs_page(page, server):
    page.goto(f"{server}/docs")
    page.locator('[data-path="/models/hostile/predict"]').click()
    expect(page.locator(".opblock.is-open .opblock-body")).to_be_visible()
    page.locator(".opblock.is-open .tablinks", has_text="Schema").first.click()
    expect(page.locator(".opblock.is-open")).to_contain_text("instances")


def test_the_docs_page_tries_a_request(page, server, models):
    page.goto(f"{server}/docs")
    page.locator('[data-path="/models/cancer/predict"]').click()
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
    page.locator('[data-path$="/models/diabetes/predict"]').click()
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
