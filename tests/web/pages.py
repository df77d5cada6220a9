"""What the browser tests stand on: hostile names, models, servers, and a watch over a page."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import joblib
import numpy as np
import pandas as pd
from flask import Flask
from playwright.sync_api import ConsoleMessage, Request
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tests.servers import serving
from werkzeug.serving import make_server

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)

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


# Servers -----------------------------------------------------------------------------------


@contextmanager
def demijohn_serve(models: Mapping[str, object], folder: Path) -> Iterator[str]:
    """Run ``demijohn serve`` with these models, saved into ``folder``; yields its address."""
    files = [f"{name}={folder / name}.joblib" for name in models]
    for name, model in models.items():
        joblib.dump(model, folder / f"{name}.joblib")
    examples = [f"--example={name}={_example(folder, name)}" for name in models]
    with serving([*files], *examples, "--workers=1") as server:
        yield server.url


def _example(folder: Path, name: str) -> Path:
    rows = FITS[name]()[1][:3]
    path = folder / f"{name}-example.json"
    path.write_text(
        rows.to_json(orient="records") if isinstance(rows, pd.DataFrame) else json.dumps(rows.tolist())
    )
    return path


@contextmanager
def app_in_a_thread(app: Flask) -> Iterator[int]:
    """Serve an app from this process; yields its port."""
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

    def check(self, address: str) -> None:
        """Raise unless the page asked this address's host alone, and nothing was wrong."""
        hosts = {urlsplit(url).netloc for url in self.requests if not url.startswith("data:")}
        assert hosts == {urlsplit(address).netloc}
        assert self.complaints == []
