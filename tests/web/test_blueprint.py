"""Where the routes live: under a prefix, at the root of somebody's app, in an app of ours."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask, abort, jsonify, redirect, request
from tests.web.rig import IRIS, check_problem, make_models
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client
from werkzeug.wrappers import Response

from demijohn import Demijohn
from demijohn.config import Settings

ROWS = IRIS[:1].tolist()


def host_app() -> Flask:
    app = Flask("host")

    @app.get("/")
    def home() -> str:
        return "home"

    @app.get("/models")
    def own_models() -> Any:
        return jsonify(mine=True)

    @app.get("/<page>")
    def page(page: str) -> str:
        return f"page {page}"

    return app


@pytest.mark.parametrize("prefix", ["/ml", "/api/v1"])
def test_the_routes_live_under_the_prefix_and_nowhere_else(prefix: str) -> None:
    app = host_app()
    make_models(app, url_prefix=prefix)
    client = app.test_client()
    assert client.post(f"{prefix}/predict", json=ROWS).status_code == 200
    assert client.get("/").text == "home"
    assert client.get("/models").get_json() == {"mine": True}
    assert client.get("/livez").text == "page livez"
    assert client.post("/predict", json=ROWS).status_code == 405


def test_the_prefix_is_a_setting_of_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask("host")
    app.config["DEMIJOHN_URL_PREFIX"] = "/models-of-mine"
    make_models(app)
    assert app.test_client().get("/models-of-mine/livez").status_code == 200
    monkeypatch.setenv("DEMIJOHN_URL_PREFIX", "/from-outside")
    other = Flask("host")
    make_models(other)
    assert other.test_client().get("/from-outside/livez").status_code == 200


def test_outside_the_prefix_the_apps_own_answers_stand() -> None:
    app = Flask("host")
    make_models(app)
    answer = app.test_client().get("/nowhere")
    assert answer.status_code == 404
    assert answer.content_type.startswith("text/html")
    assert not [name for name, _ in answer.headers if name.startswith("X-")]


def test_at_the_root_the_apps_own_routes_win_whenever_they_were_added() -> None:
    app = Flask("host")
    make_models(app, url_prefix="")
    app.add_url_rule("/models", "mine", lambda: "mine")
    app.add_url_rule("/", "home", lambda: "home")
    client = app.test_client()
    assert client.get("/models").text == "mine"
    assert client.get("/").text == "home"
    assert client.post("/predict", json=ROWS).status_code == 200
    assert client.get("/models/iris").status_code == 200


def test_at_the_root_the_apps_own_404_and_405_stand() -> None:
    app = Flask("host")
    make_models(app, url_prefix="")
    client = app.test_client()
    for answer, status in ((client.get("/nowhere"), 404), (client.get("/predict"), 405)):
        assert answer.status_code == status
        assert answer.content_type.startswith("text/html")


def test_at_the_root_errors_of_our_routes_are_in_our_form() -> None:
    app = Flask("host")
    make_models(app, url_prefix="")
    client = app.test_client()
    check_problem(client.post("/predict", data="["), 400, "unreadable_body")
    check_problem(client.get("/models", headers={"Host": "evil.test"}), 400, "host_refused")


def test_at_the_root_of_two_first_requests_both_find_the_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Flask("host")
    entered, go_on, answers = threading.Event(), threading.Event(), []
    register = app.register_blueprint

    def slowly(*arguments: Any, **options: Any) -> None:
        entered.set()
        assert go_on.wait(10)
        register(*arguments, **options)

    monkeypatch.setattr(app, "register_blueprint", slowly)
    make_models(app, url_prefix="")

    def ask() -> None:
        answers.append(app.test_client().get("/livez").status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert answers == [200, 200]


def test_under_a_mount_the_pages_know_where_they_are() -> None:
    app = Flask("host")
    make_models(app)
    client = Client(DispatcherMiddleware(Flask("front"), {"/app": app}), Response)
    assert "/app/ml/" in client.get("/app/ml/docs").text
    assert "/app/ml/" in client.get("/app/ml/", headers={"Accept": "text/html"}).text


def test_a_file_of_the_pages_is_asked_for_again_by_its_tag() -> None:
    app = Flask("host")
    make_models(app)
    client = app.test_client()
    first = client.get("/ml/console-assets/console.css")
    assert first.status_code == 200
    again = client.get("/ml/console-assets/console.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "..%2f..%2fguards.py",
        "%2e%2e/__init__.py",
        "index.html",
        "no.css",
        "",
        "/etc/passwd",
    ],
)
def test_no_other_file_is_served(path: str) -> None:
    app = Flask("host")
    make_models(app)
    answer = app.test_client().get(f"/ml/console-assets/{path}", follow_redirects=True)
    check_problem(answer, 404, "route_not_found")


def test_the_root_is_a_page_for_a_browser_and_json_for_a_program() -> None:
    app = Flask("host")
    make_models(app)
    client = app.test_client()
    browser = client.get("/ml/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert browser.content_type.startswith("text/html")
    assert "default-src 'self'" in browser.headers["Content-Security-Policy"]
    for accept in ("application/json", "*/*"):
        assert client.get("/ml/", headers={"Accept": accept}).get_json() == {"status": "alive"}
    assert client.get("/ml/").get_json() == {"status": "alive"}


# An app of ours alone ---------------------------------------------------------------------


@pytest.fixture
def served() -> Any:
    app = Flask("serve", static_folder=None)
    models = Demijohn.of_server(app, Settings(url_prefix=""), bound_host="127.0.0.1")
    models.add("double", lambda x: 2 * x, example=[1.0])
    return app.test_client()


def test_in_an_app_of_ours_whatever_comes_is_checked_and_answered_in_our_form(served: Any) -> None:
    check_problem(served.get("/nowhere", headers={"Host": "evil.test"}), 400, "host_refused")
    check_problem(served.get("/nowhere"), 404, "route_not_found")
    check_problem(served.get("/predict"), 405, "method_not_allowed")
    check_problem(served.open("/models", method="TRACE"), 405, "method_not_allowed")
    check_problem(served.open("/models", method="BREW"), 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["//models", "/models//double", "//evil.test/%2f..", "/models/"])
def test_an_app_of_ours_sends_nobody_anywhere(served: Any, path: str) -> None:
    answer = served.open(path, base_url="http://localhost")
    check_problem(answer, 404, "route_not_found")
    assert "Location" not in answer.headers


@pytest.mark.parametrize("path", ["/console", "/?__debugger__=yes&cmd=resource&f=debugger.js"])
def test_there_is_no_debugger(served: Any, path: str) -> None:
    answer = served.get(path)
    assert b"debugger" not in answer.data.lower()


def test_a_websocket_is_answered_in_our_form(served: Any) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    check_problem(served.get("/models", headers=headers), 404, "route_not_found")


# The host app's hooks ---------------------------------------------------------------------


def with_hook(hook: Any) -> Any:
    app = Flask("host")
    app.before_request(hook)
    make_models(app)
    return app.test_client()


def test_a_hook_that_refuses_is_answered_with_its_status_in_our_form() -> None:
    answer = with_hook(lambda: abort(403, "not you")).post("/ml/predict", json=ROWS)
    assert check_problem(answer, 403, "refused_by_app")["detail"] == "not you"


def test_a_hook_that_answers_itself_is_heard() -> None:
    answer = with_hook(lambda: "closed").get("/ml/livez")
    assert (answer.status_code, answer.text) == (200, "closed")
    assert answer.headers["X-Request-Id"]


def test_a_hook_that_sends_to_a_login_is_heard() -> None:
    answer = with_hook(lambda: redirect("/login")).post("/ml/predict", json=ROWS)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")


def test_a_hook_that_breaks_is_a_500_without_its_reasons() -> None:
    answer = with_hook(lambda: 1 / 0).post("/ml/predict", json=ROWS)
    assert b"ZeroDivision" not in answer.data
    check_problem(answer, 500, "internal_error")


@pytest.mark.parametrize("read", ["data", "json", "form", "values"])
def test_a_hook_that_reads_the_body_leaves_it_to_us(read: str) -> None:
    def look() -> None:
        getattr(request, read)

    assert with_hook(look).post("/ml/predict", json=ROWS).status_code == 200


def test_a_hook_under_a_limit_of_its_own_refuses_with_413() -> None:
    app = Flask("host")
    app.config["MAX_CONTENT_LENGTH"] = 10
    app.before_request(lambda: request.get_data() and None)
    make_models(app)
    check_problem(app.test_client().post("/ml/predict", json=ROWS), 413, "body_too_large")
