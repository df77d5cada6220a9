"""The operator's own app, and how directly the gateway may ask it."""

from __future__ import annotations

import json
import textwrap
import threading
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any
from wsgiref.types import WSGIApplication

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from demijohn.host_app import HostApp, load_app

PATIENCE_S = 30.0
APP = """
    from flask import Flask
    from demijohn import Demijohn

    app = Flask(__name__)
    models = Demijohn(app{options})
    models.add("double", lambda x: 2 * x)
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a module of a name of its own, and loads what is called ``app`` in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(text: str, name: str) -> WSGIApplication:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return load_app(f"{name}:app")

    return load


def environ_of(path: str) -> dict[str, Any]:
    data = json.dumps([{"x": 3}])
    return EnvironBuilder(path, method="POST", data=data, content_type="application/json").get_environ()


def ask_lane(app: Any, path: str = "/ml/models/double/predict") -> Any:
    """Return the answer of the lane, whoever tells it; None: the app is to be called."""
    environ = environ_of(path)
    stream = BytesIO(environ["wsgi.input"].getvalue())
    later = app.answer_whole(environ, path, None, stream, monotonic())
    if later is None:
        return None
    answers: list[Any] = []
    told = threading.Event()

    def tell(answer: Any) -> None:
        answers.append(answer)
        told.set()

    later.send(tell)
    assert told.wait(PATIENCE_S)
    (answer,) = answers
    return answer


def test_an_app_with_models_may_be_asked_for_a_prediction_directly(load: Any) -> None:
    app = load(APP.format(options=""), "direct")
    status, headers, body = ask_lane(app)
    assert (status, json.loads(body)["predictions"]) == (200, [6])
    pieces, _, called_headers = run_wsgi_app(app, environ_of("/ml/models/double/predict"))
    assert b"".join(pieces) == body
    assert {name for name, _ in headers} == set(called_headers.keys()) - {"Content-Length"}
    assert ask_lane(app, "/price") is None


def test_routes_without_a_prefix_are_asked_directly_once_they_are_there(load: Any) -> None:
    app = load(APP.format(options=', url_prefix=""'), "bare")
    assert ask_lane(app, "/models/double/predict") is None
    _, status, _ = run_wsgi_app(app, environ_of("/models/double/predict"))
    assert status == "200 OK"
    assert ask_lane(app, "/models/double/predict")[0] == 200


def test_middleware_that_comes_later_sees_every_request(load: Any) -> None:
    app = load(APP.format(options=""), "wrapped")
    assert ask_lane(app)[0] == 200
    flask_app = app._app
    inner = flask_app.wsgi_app
    flask_app.wsgi_app = lambda *request: inner(*request)  # noqa: PLW0108  - middleware, if a thin one
    assert ask_lane(app) is None


@pytest.mark.parametrize(
    "text",
    [
        """
        from flask import Flask

        class Counted(Flask):
            def __call__(self, environ, start_response):
                return super().__call__(environ, start_response)

        app = Counted(__name__)
        """,
        """
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b""]
        """,
    ],
    ids=["a Flask that is called in its own way", "no Flask"],
)
def test_what_calls_itself_in_its_own_way_is_served_as_it_is(load: Any, text: str) -> None:
    app = load(text, f"own_way_{len(text)}")
    assert not isinstance(app, HostApp)
    assert isinstance(app, Flask) or app.__name__ == "app"
