"""The fast lane: who takes it, who makes it step aside, and that nobody can tell by the answer."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
import numpy as np
import pytest
from flask import Flask, Request, Response, abort, current_app, session, signals
from flask.ctx import _AppCtxGlobals
from flask.sessions import SecureCookieSessionInterface
from sklearn.linear_model import LinearRegression
from tests.web.rig import IRIS, check_problem, make_models
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.test import EnvironBuilder

from demijohn import Demijohn
from demijohn.config import Settings
from demijohn.errors import DemijohnError
from demijohn.web import fast_lane

ROWS = IRIS[:2].tolist()
PATH = "/ml/models/iris/predict"
Seen = list[Any]


class Outside:
    """Stands where a server does, and tells which way each request went."""

    def __init__(self, app: Flask) -> None:
        self._inner = app.wsgi_app
        self.ways: list[str] = []
        app.wsgi_app = self  # type: ignore[method-assign]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ.pop("werkzeug.request", None)  # that of the client, which is Werkzeug's too
        answer = self._inner(environ, start_response)
        # Flask's request puts itself there, and None when it is done.
        self.ways.append("Flask" if "werkzeug.request" in environ else "lane")
        return answer

    @property
    def last(self) -> str:
        return self.ways[-1]


def make_app(kind: type[Flask] = Flask, **settings: Any) -> Flask:
    app = kind("host")
    make_models(app, **settings)
    return app


def way_of(app: Flask, path: str = PATH, method: str = "POST", status: int = 200, **options: Any) -> str:
    """Ask, and return which way the request went."""
    outside = Outside(app)
    answer = app.test_client().open(path, method=method, json=ROWS, **options)
    assert answer.status_code == status, answer.data
    return outside.last


# Who takes it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/predict",
        "/models/iris/predict",
        "/models/iris/versions/1/predict_proba",
        "/models/iris/aliases/a/predict",
    ],
)
@pytest.mark.parametrize("prefix", ["/ml", "/api/v1", ""])
def test_every_route_of_predictions_takes_the_lane(prefix: str, path: str) -> None:
    app = Flask("host")
    make_models(app, url_prefix=prefix).alias("iris", "a", "1")
    assert way_of(app, prefix + path) == "lane"


def test_in_an_app_of_ours_predictions_take_the_lane() -> None:
    app = Flask("serve", static_folder=None)
    Demijohn.of_server(app, Settings(url_prefix=""), bound_host="127.0.0.1").add(
        "line", LinearRegression().fit(IRIS, IRIS[:, 0])
    )
    assert way_of(app, "/predict") == "lane"
    assert way_of(app, "/predict", "GET", 405) == "Flask"
    assert way_of(app, "/nowhere", status=404) == "Flask"


def test_a_refusal_takes_the_lane_too() -> None:
    app = make_app(api_key="key")
    assert way_of(app, status=401) == "lane"
    assert way_of(app, "/ml/models/nobody/predict", status=401) == "lane"
    headers = {"X-API-Key": "key"}
    assert way_of(app, "/ml/models/nobody/predict", status=404, headers=headers) == "lane"
    assert way_of(app, status=403, headers=headers | {"Origin": "http://evil.test"}) == "lane"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ml/models", 200),
        ("GET", PATH, 405),
        ("OPTIONS", PATH, 200),
        ("HEAD", PATH, 405),
        ("PUT", PATH, 405),
        ("POST", "/ml/models", 405),
        ("POST", "/ml/nowhere", 404),
        ("POST", PATH + "/", 404),
        ("POST", "/ml//models/iris/predict", 308),
        ("POST", "/elsewhere", 404),
        ("POST", "/", 404),
    ],
)
def test_whatever_is_no_prediction_goes_through_flask(method: str, path: str, status: int) -> None:
    assert way_of(make_app(), path, method, status, base_url="http://localhost") == "Flask"


def test_a_host_that_is_not_ours_goes_through_flask_and_is_refused() -> None:
    assert way_of(make_app(), status=400, headers={"Host": "evil.test"}) == "Flask"


@pytest.mark.parametrize("off", ["0", "off", False])
def test_the_lane_can_be_closed(off: Any) -> None:
    app = Flask("host")
    app.config["DEMIJOHN_FAST_LANE"] = off
    make_models(app)
    assert way_of(app) == "Flask"


def test_the_environment_can_close_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIJOHN_FAST_LANE", "0")
    assert way_of(make_app()) == "Flask"


# Who makes it step aside --------------------------------------------------------------------


def note(seen: Seen, answer: Any = None) -> Callable[..., Any]:
    """Return a function that notes its call."""

    def noting(*arguments: Any, **_: Any) -> Any:
        seen.append(arguments)
        return arguments[0] if answer == "first" else answer

    return noting


def connect(signal: Any) -> Callable[[Flask, Seen], Any]:
    def watch(app: Flask, seen: Seen) -> Any:
        receiver = note(seen)
        signal.connect(receiver, app)
        return receiver  # the signal holds it weakly

    return watch


def append(hooks: str, answer: Any = None) -> Callable[[Flask, Seen], Any]:
    """Give our blueprint a hook, as extensions do that add themselves to every blueprint."""

    def watch(app: Flask, seen: Seen) -> None:
        getattr(app, hooks).setdefault("demijohn", []).append(note(seen, answer))

    return watch


def override(step: str) -> Callable[[Flask, Seen], Any]:
    """Give one app a step of its own, as debug toolbars do."""

    def watch(app: Flask, seen: Seen) -> None:
        inner = getattr(app, step)

        def own(*arguments: Any, **options: Any) -> Any:
            seen.append(step)
            return inner(*arguments, **options)

        setattr(app, step, own)

    return watch


def replace_view(app: Flask, seen: Seen) -> None:
    endpoint = "demijohn.native-models-name-method"
    view = app.view_functions[endpoint]

    def own(**arguments: Any) -> Any:
        seen.append(arguments)
        return view(**arguments)

    app.view_functions[endpoint] = own


def take_class(name: str, base: type) -> Callable[[Flask, Seen], Any]:
    def watch(app: Flask, seen: Seen) -> None:
        class Own(base):  # type: ignore[misc]
            def __init__(self, *arguments: Any, **options: Any) -> None:
                seen.append(name)
                super().__init__(*arguments, **options)

        setattr(app, name, Own)

    return watch


def take_sessions(app: Flask, seen: Seen) -> None:
    class Sessions(SecureCookieSessionInterface):
        def open_session(self, *arguments: Any) -> Any:
            seen.append(arguments)
            return super().open_session(*arguments)

    app.session_interface = Sessions()


WATCHERS: dict[str, Callable[[Flask, Seen], Any]] = {
    "before": lambda app, seen: app.before_request(note(seen)),
    "after": lambda app, seen: app.after_request(note(seen, "first")),
    "teardown": lambda app, seen: app.teardown_request(note(seen)),
    "teardown of the app": lambda app, seen: app.teardown_appcontext(note(seen)),
    "values": lambda app, seen: app.url_value_preprocessor(note(seen)),
    "before ours": append("before_request_funcs"),
    "after ours": append("after_request_funcs", "first"),
    "teardown of ours": append("teardown_request_funcs"),
    "values of ours": append("url_value_preprocessors"),
    "started": connect(signals.request_started),
    "finished": connect(signals.request_finished),
    "tearing down": connect(signals.request_tearing_down),
    "pushed": connect(signals.appcontext_pushed),
    "popped": connect(signals.appcontext_popped),
    "app tearing down": connect(signals.appcontext_tearing_down),
    "view": replace_view,
    "request class": take_class("request_class", Request),
    "globals class": take_class("app_ctx_globals_class", _AppCtxGlobals),
    "sessions": take_sessions,
    **{
        f"own {step}": override(step)
        for step in ("full_dispatch_request", "process_response", "make_response")
    },
}


@pytest.mark.parametrize("has_served", [False, True])
@pytest.mark.parametrize("watcher", WATCHERS)
def test_the_lane_steps_aside_for_who_would_see_the_request(watcher: str, has_served: bool) -> None:
    app, seen = make_app(), Seen()
    if has_served:
        assert way_of(app) == "lane"
    kept = WATCHERS[watcher](app, seen)
    assert way_of(app) == "Flask"
    assert seen
    del kept


def test_the_lane_takes_over_again_when_nobody_looks_any_more() -> None:
    app, seen = make_app(), Seen()
    receiver = note(seen)
    with signals.request_started.connected_to(receiver, app):
        assert way_of(app) == "Flask"
    assert way_of(app) == "lane"
    assert len(seen) == 1


def test_the_lane_steps_aside_for_a_receiver_of_exceptions() -> None:
    app = make_app()
    with signals.got_request_exception.connected_to(note([]), app):
        assert way_of(app) == "Flask"


@pytest.mark.parametrize("step", ["wsgi_app", "full_dispatch_request", "request_context", "ensure_sync"])
def test_the_lane_steps_aside_for_an_app_class_with_a_step_of_its_own(step: str) -> None:
    seen = Seen()

    def own(self: Flask, *arguments: Any, **options: Any) -> Any:
        seen.append(step)
        return getattr(Flask, step)(self, *arguments, **options)

    assert way_of(make_app(type("Own", (Flask,), {step: own}))) == "Flask"
    assert seen


@pytest.mark.parametrize("step", ["wsgi_app", "dispatch_request"])
def test_the_lane_steps_aside_for_a_flask_that_a_tracer_has_patched(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    seen, inner = Seen(), getattr(Flask, step)

    def patched(self: Flask, *arguments: Any, **options: Any) -> Any:
        seen.append(step)
        return inner(self, *arguments, **options)

    patched.__module__ = inner.__module__
    patched.__wrapped__ = inner  # type: ignore[attr-defined]
    monkeypatch.setattr(Flask, step, patched)
    assert way_of(make_app()) == "Flask"
    assert seen


def test_the_lane_steps_aside_for_answers_of_another_class() -> None:
    class Shouting(Response):
        default_mimetype = "text/loud"

        def get_wsgi_headers(self, environ: WSGIEnvironment) -> Any:
            headers = super().get_wsgi_headers(environ)
            headers["X-Loud"] = "yes"
            return headers

    app = make_app()
    app.response_class = Shouting
    outside = Outside(app)
    assert app.test_client().post(PATH, json=ROWS).headers["X-Loud"] == "yes"
    assert outside.last == "Flask"


def test_the_lane_steps_aside_for_middleware_that_was_there_before() -> None:
    app, seen = Flask("host"), Seen()
    inner = app.wsgi_app

    def middleware(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        seen.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    app.wsgi_app = middleware  # type: ignore[method-assign]
    make_models(app)
    assert way_of(app) == "Flask"
    assert seen == [PATH]


def test_middleware_that_comes_later_sees_every_request_of_the_lane() -> None:
    app = make_app()
    outside = Outside(app)
    assert way_of(app) == "lane"
    assert outside.ways == ["lane"]


def test_the_lane_steps_aside_for_a_handler_on_our_blueprint() -> None:
    app, seen = make_app(), Seen()
    path = "/ml/models/nobody/predict"
    assert way_of(app, path, status=404) == "lane"
    app.error_handler_spec["demijohn"][None][DemijohnError] = note(seen, ("mine", 418))
    assert way_of(app, path, status=418) == "Flask"
    assert seen


@pytest.mark.parametrize("way", ["lane", "Flask"])
@pytest.mark.parametrize("error", [DemijohnError, Exception, 404, 500])
def test_the_apps_own_handlers_never_saw_our_errors(error: Any, way: str) -> None:
    app, seen = make_app(fast_lane=way == "lane"), Seen()
    app.register_error_handler(error, note(seen, "mine"))
    assert way_of(app, "/ml/models/nobody/predict", status=404) == way
    assert not seen


def test_in_an_app_of_ours_handlers_beside_our_own_are_noticed_before_it_serves() -> None:
    app, seen = Flask("serve"), Seen()
    Demijohn.of_server(app, Settings(url_prefix=""), bound_host="127.0.0.1")
    app.error_handler_spec["demijohn"][None][DemijohnError] = note(seen, ("mine", 418))
    assert way_of(app, "/predict", status=418) == "Flask"


def test_a_session_that_is_sent_again_with_each_answer_is_sent() -> None:
    app = Flask("host")
    app.secret_key = "secret"
    make_models(app)

    @app.get("/login")
    def login() -> str:
        session.permanent = True
        session["user"] = "me"
        return "in"

    client, outside = app.test_client(), Outside(app)
    assert "Set-Cookie" not in client.post(PATH, json=ROWS).headers
    assert outside.last == "lane"
    client.get("/login")
    assert "Set-Cookie" in client.post(PATH, json=ROWS).headers
    assert outside.last == "Flask"


def test_a_cookie_of_others_changes_nothing_where_there_are_no_sessions() -> None:
    assert way_of(make_app(), headers={"Cookie": "session=x"}) == "lane"


def test_a_test_that_wants_the_contexts_gets_them() -> None:
    app = make_app()
    with app.test_client() as client:
        client.post(PATH, json=ROWS)
        assert flask.request.path == PATH


def test_who_looks_at_other_things_changes_nothing() -> None:
    app, seen = make_app(), Seen()
    app.context_processor(dict)
    other = flask.Blueprint("other", "other")
    other.before_request(note(seen))
    other.teardown_request(note(seen))
    app.register_blueprint(other)
    app.register_error_handler(404, note(seen))
    with signals.request_started.connected_to(note(seen), Flask("another")):
        assert way_of(app) == "lane"
    assert not seen


def test_an_app_class_without_steps_of_its_own_changes_nothing() -> None:
    class Own(Flask):
        def url_for(self, *arguments: Any, **options: Any) -> str:
            return "nowhere"

    assert way_of(make_app(Own)) == "lane"


# What a path means ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["lane", "Flask"])
def test_a_rule_of_the_app_at_the_same_path_wins_or_loses_as_flask_says(way: str) -> None:
    is_fast = way == "lane"
    before, after = Flask("host"), make_app(fast_lane=is_fast)
    before.add_url_rule("/ml/models/iris/<word>", "mine", lambda word: f"mine {word}", methods=["POST"])
    make_models(before, fast_lane=is_fast)
    after.add_url_rule("/ml/models/iris/<word>", "mine", lambda word: f"mine {word}", methods=["POST"])
    for app in (before, after):
        assert app.test_client().post(PATH, json=ROWS).text == "mine predict"
        assert app.test_client().post("/ml/models/process/predict", json=ROWS).status_code == 200


def test_a_rule_that_comes_late_is_heard_at_once() -> None:
    app = make_app()
    assert way_of(app) == "lane"
    app.url_map.add(Rule(PATH, endpoint="late", methods=["POST"]))
    app.view_functions["late"] = lambda: "late"
    outside = Outside(app)
    assert app.test_client().post(PATH, json=ROWS).text == "late"
    assert outside.last == "Flask"


def test_another_map_is_heard_at_once() -> None:
    app = make_app()
    assert way_of(app) == "lane"
    app.url_map = Map([Rule("/static/<path:filename>", endpoint="static")])
    assert way_of(app, status=404) == "Flask"


def test_an_app_that_routes_by_host_is_left_to_flask() -> None:
    by_host = Flask("host", host_matching=True, static_host="localhost")
    models = Demijohn(by_host)
    models.add("line", LinearRegression().fit(IRIS, IRIS[:, 0]))
    assert way_of(by_host, "/ml/predict", status=404) == "Flask"
    by_subdomain = Flask("host", subdomain_matching=True)
    by_subdomain.config["SERVER_NAME"] = "localhost"
    make_models(by_subdomain)
    assert way_of(by_subdomain) == "Flask"


def test_an_app_with_a_converter_of_its_own_is_left_to_flask() -> None:
    class Upper(BaseConverter):
        def to_python(self, value: str) -> str:
            return value.lower()

    app = Flask("host")
    app.url_map.converters["default"] = Upper
    make_models(app)
    assert way_of(app, "/ml/models/IRIS/PREDICT") == "Flask"


def test_a_host_that_the_app_does_not_trust_is_left_to_flask() -> None:
    app = make_app()
    app.config["TRUSTED_HOSTS"] = ["localhost"]
    assert way_of(app) == "lane"
    outside = Outside(app)
    assert app.test_client().post(PATH, json=ROWS, base_url="http://127.0.0.1").status_code == 400
    assert outside.last == "Flask"


def test_a_websocket_is_left_to_flask() -> None:
    app = make_app()
    assert way_of(app) == "lane"
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert way_of(app, status=400, headers=headers) == "Flask"


def test_more_paths_than_are_kept_are_answered_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_lane, "_MOST_KNOWN", 3)
    app = make_app()
    for _ in range(2):
        assert way_of(app) == "lane"
        for number in range(5):
            assert way_of(app, f"/ml/models/m{number}/predict", status=404) == "lane"


def test_a_model_that_is_swapped_answers_the_next_request() -> None:
    app = Flask("host")
    models = Demijohn(app)

    def answer() -> Any:
        return app.test_client().post("/ml/predict", json=[[1.0]]).get_json()["predictions"]

    models.add("line", LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
    assert answer() == pytest.approx([1.0])
    models.add("line", LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), version="2")
    assert answer() == pytest.approx([2.0])
    models.remove("line", "2")
    models.remove("line", "1")
    check_problem(app.test_client().post("/ml/predict", json=[[1.0]]), 404, "model_not_found")


@pytest.mark.parametrize("fast_lane", [True, False])
def test_behind_a_trusted_proxy_what_it_says_counts(fast_lane: bool) -> None:
    app = make_app(trusted_proxies=1, allowed_hosts="models.example", fast_lane=fast_lane)
    forwarded = {"X-Forwarded-Host": "models.example", "X-Forwarded-Proto": "https"}
    assert way_of(app, headers=forwarded) == ("lane" if fast_lane else "Flask")
    way_of(app, headers=forwarded | {"Origin": "https://models.example"})
    way_of(app, status=403, headers=forwarded | {"Origin": "http://models.example"})
    way_of(app, status=400, headers={"X-Forwarded-Host": "evil.test"})


def test_a_function_that_asks_for_the_app_finds_none_on_either_way() -> None:
    for is_fast in (True, False):
        app = Flask("host")
        models = Demijohn(app, fast_lane=is_fast)

        @models.model("curious")
        def curious(x: float) -> str:
            return "an app" if current_app else "none"

        assert app.test_client().post("/ml/predict", json=[{"x": 1.0}]).get_json()["predictions"] == ["none"]


# The same answer -------------------------------------------------------------------------------


def raw(app: Flask, path: str, headers: dict[str, str], body: bytes) -> tuple[Any, ...]:
    """Ask as a server does; returns the status line, the headers in their order, and the body."""
    started: list[Any] = []
    builder = EnvironBuilder(path, method="POST", data=body, headers={"X-Request-Id": "same"} | headers)
    pieces = app.wsgi_app(builder.get_environ(), lambda *arguments: started.append(arguments[:2]) or print)  # type: ignore[func-returns-value]
    return (*started[0], b"".join(pieces))


def both(**settings: Any) -> tuple[Flask, Flask]:
    return make_app(fast_lane=True, **settings), make_app(fast_lane=False, **settings)


JSON = json.dumps(ROWS).encode()
ASKED: dict[str, tuple[str, dict[str, str], bytes]] = {
    "rows": (PATH, {}, JSON),
    "probabilities": ("/ml/models/iris/predict_proba", {}, JSON),
    "csv answer": (PATH, {"Accept": "text/csv"}, JSON),
    "gzip": (PATH, {"Content-Encoding": "gzip"}, gzip.compress(JSON, mtime=0)),
    "no json": (PATH, {}, b"["),
    "no fit": (PATH, {}, b"[[1]]"),
    "nobody": ("/ml/models/nobody/predict", {}, JSON),
    "no method": ("/ml/models/iris/fly", {}, JSON),
    "no version": ("/ml/models/iris/versions/7/predict", {}, JSON),
    "no alias": ("/ml/models/iris/aliases/x/predict", {}, JSON),
    "media type": (PATH, {"Content-Type": "text/plain"}, JSON),
    "encoding": (PATH, {"Content-Encoding": "br"}, JSON),
    "not acceptable": (PATH, {"Accept": "image/png"}, JSON),
    "own origin": (PATH, {"Origin": "http://localhost"}, JSON),
    "friend": (PATH, {"Origin": "https://friend.example"}, JSON),
    "foreign": (PATH, {"Origin": "http://evil.test"}, JSON),
    "foreign host": (PATH, {"Host": "evil.test"}, JSON),
    "bad input": ("/ml/models/picky/predict", {}, b'[{"x": -1}]'),
    "model error": ("/ml/models/picky/predict", {}, b'[{"x": 101}]'),
    "key": (PATH, {"X-API-Key": "key"}, JSON),
    "bearer": (PATH, {"Authorization": "Bearer key"}, JSON),
    "escaped path": ("/ml/models/%C3%A9%00/predict", {}, JSON),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cors": {"allowed_origins": "https://friend.example"},
    "keys": {"api_key": "key,another", "allowed_origins": "https://friend.example"},
    "small": {"max_body_bytes": 10},
    "proxies": {"trusted_proxies": 1},
}


@pytest.fixture(scope="module", params=SETTINGS)
def pair(request: pytest.FixtureRequest) -> tuple[Flask, Flask]:
    return both(**SETTINGS[request.param])


@pytest.mark.parametrize("state", ["ready", "loading", "draining"])
@pytest.mark.parametrize("asked", ASKED)
def test_both_ways_answer_the_same_to_the_byte(
    pair: tuple[Flask, Flask], asked: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, headers, body = ASKED[asked]
    answers = []
    for app in pair:
        services = app.extensions["demijohn"]
        if state == "loading":
            monkeypatch.setattr(services.pool.find("iris"), "state", "loading")
        monkeypatch.setattr(services.lifecycle, "is_draining", state == "draining")
        answers.append(raw(app, path, {"Content-Type": "application/json"} | headers, body))
    assert answers[0] == answers[1]


def test_what_nobody_expected_is_answered_and_logged_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers, logs = [], []
    for app in both():

        def broken(*_: Any) -> Any:
            raise RuntimeError("/etc/secret")

        monkeypatch.setattr(app.extensions["demijohn"].metrics, "observe_request", broken)
        caplog.clear()
        with caplog.at_level(logging.ERROR, "demijohn"):
            answers.append(raw(app, PATH, {"Content-Type": "application/json"}, JSON))
        logs.append([record.getMessage() for record in caplog.records if "request" in record.msg])
    assert answers[0] == answers[1]
    assert answers[0][0] == "500 INTERNAL SERVER ERROR"
    assert b"secret" not in answers[0][2]
    assert logs[0] == logs[1] == ["request same failed"]


def test_what_a_hook_aborts_with_is_heard_beside_the_lane() -> None:
    app = make_app()
    assert way_of(app) == "lane"
    app.before_request(lambda: abort(403, "not you"))
    assert way_of(app, status=403) == "Flask"


def test_many_threads_on_the_lane_get_their_own_answers() -> None:
    app, wrong = make_app(), []
    expected = {number: [float(number)] for number in range(8)}

    def ask(number: int) -> None:
        for _ in range(20):
            answer = app.test_client().post("/ml/models/picky/predict", json=[{"x": float(number)}])
            if answer.get_json()["predictions"] != expected[number]:
                wrong.append(answer.data)

    threads = [threading.Thread(target=ask, args=(number,)) for number in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_numbers_that_are_not_finite_are_counted_on_the_lane() -> None:
    app = Flask("host")
    models = Demijohn(app)

    @models.model("odd", batch=True, example=[[0.0]])
    def odd(rows: Any) -> Any:
        return np.where(rows[:, 0] > 0, rows[:, 0], np.nan)

    client = app.test_client()
    for n_rows in (1, 100):
        client.post("/ml/predict", json=[[0.0]] * n_rows + [[1.0]])
    assert (
        b'demijohn_nonfinite_predictions_total{method="predict",model="odd",version="1"} 101'
        in client.get("/ml/metrics").data
    )
