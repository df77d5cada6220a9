"""A head that led to an answer is known by its words; what of it can change is asked each time."""

from __future__ import annotations

import gc
import io
import json
import weakref
from typing import Any

import pytest
from flask import Flask, signals
from sklearn.linear_model import LinearRegression
from tests.servers import until
from tests.test_gateway import Recorder

from demijohn import BadInput, Demijohn
from demijohn.config import Settings
from demijohn.gateway import Gateway
from demijohn.request_body import BodyWatch
from demijohn.web import fast_lane, inference

LINE = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
PATIENCE_S = 30.0
DOUBLE = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])


class Site:
    """An app of ours behind a gateway, as a worker has it."""

    def __init__(self, **settings: Any) -> None:
        app = Flask("serve", static_folder=None)
        self.models = Demijohn.of_server(app, Settings(url_prefix="", **settings), bound_host="127.0.0.1")
        self.models.add("line", LINE)
        self.app = app
        self.lifecycle = app.extensions["demijohn"].lifecycle
        self.gateway = Gateway(app.wsgi_app, BodyWatch(4, 4, 30.0), self.lifecycle)

    def ask(self, path: str = "/models/line/predict", body: Any = ((1.0,),), **head: str) -> Recorder:
        content = json.dumps(body).encode()
        scope = {
            "REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1",
            "wsgi.url_scheme": "http", "HTTP_HOST": "localhost", "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(content)),
        }  # fmt: skip
        recorder = Recorder()
        self.gateway(recorder, scope | head | {"wsgi.input": io.BytesIO(content)})
        assert recorder.has_answer.wait(PATIENCE_S)
        return recorder

    @property
    def known(self) -> dict[str, Any]:
        return self.app.wsgi_app._heads  # type: ignore[attr-defined, no-any-return]


def predicted(answer: Recorder) -> float:
    assert answer.status == 200, answer.body
    (number,) = json.loads(answer.body)["predictions"]
    return float(number)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gains an entry for each head that is read."""
    seen: list[str] = []
    read = inference.read_head

    def counted(environ: Any, *rest: Any) -> Any:
        seen.append(environ["PATH_INFO"])
        return read(environ, *rest)

    monkeypatch.setattr(inference, "read_head", counted)
    return seen


def test_a_head_is_read_until_it_has_led_to_an_answer(reads: list[str]) -> None:
    site = Site()
    first = site.ask()
    n_reads = len(reads)
    second, other = site.ask(), site.ask(body=[[2.0]])
    assert (len(reads), len(site.known)) == (n_reads, 1)
    assert (predicted(first), predicted(second), predicted(other)) == pytest.approx((1, 1, 2))
    assert first.headers.keys() == second.headers.keys()


def test_requests_that_differ_in_their_id_have_one_head() -> None:
    site = Site()
    assert site.ask(HTTP_X_REQUEST_ID="a").headers["X-Request-Id"] == "a"
    assert site.ask(HTTP_X_REQUEST_ID="b").headers["X-Request-Id"] == "b"
    ids = {site.ask().headers["X-Request-Id"] for _ in range(3)}
    assert (len(ids), len(site.known)) == (3, 1)
    assert site.ask(HTTP_X_REQUEST_ID="a b").headers["X-Request-Id"] not in ("a b", "a", "b")


@pytest.mark.parametrize(
    ("settings", "good", "bad", "status"),
    [
        ({"api_key": ("key",)}, {"HTTP_X_API_KEY": "key"}, {"HTTP_X_API_KEY": "kez"}, 401),
        ({"api_key": ("key",)}, {"HTTP_X_API_KEY": "key"}, {"HTTP_AUTHORIZATION": "key"}, 401),
        ({}, {}, {"HTTP_ORIGIN": "http://evil.test"}, 403),
        ({}, {}, {"HTTP_HOST": "evil.test"}, 400),
        ({}, {}, {"CONTENT_TYPE": "text/plain"}, 415),
        ({}, {}, {"HTTP_CONTENT_ENCODING": "br"}, 415),
        ({}, {}, {"HTTP_ACCEPT": "image/png"}, 406),
        ({}, {}, {"CONTENT_LENGTH": "99999999999"}, 413),
    ],
)
def test_a_head_that_is_not_the_known_one_meets_every_check(
    settings: dict[str, Any], good: dict[str, str], bad: dict[str, str], status: int
) -> None:
    site = Site(**settings)
    for _ in range(2):
        predicted(site.ask(**good))
        assert site.ask(**bad).status == status
    assert len(site.known) == 1


def test_a_path_cannot_pass_for_a_whole_head() -> None:
    site = Site()
    predicted(site.ask())
    (words,) = site.known
    names, values = words.split("\n")[:8], words.split("\n")[8:]
    assert (names[1], values[1]) == ("PATH_INFO", "/models/line/predict")
    assert site.ask(path="\n".join(values[1:3]), QUERY_STRING="").status == 404


def test_whom_a_known_head_asks_is_asked_for_each_time() -> None:
    site = Site()
    assert predicted(site.ask()) == pytest.approx(1)
    site.models.add("line", DOUBLE, version="2")
    assert predicted(site.ask()) == pytest.approx(2)
    site.models.remove("line", "2")
    site.models.remove("line", "1")
    assert site.ask().status == 404


def test_a_known_head_is_refused_once_the_server_drains(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    predicted(site.ask())
    monkeypatch.setattr(site.lifecycle, "is_draining", True)
    answer = site.ask()
    assert (answer.status, answer.headers["connection"]) == (503, "close")


def test_who_comes_to_look_on_sees_known_heads_too() -> None:
    site = Site()
    predicted(site.ask())
    seen: list[Any] = []

    def look(sender: Any, **_: Any) -> None:
        seen.append(sender)

    with signals.request_started.connected_to(look, site.app):
        predicted(site.ask())
    assert seen == [site.app]


def test_no_more_heads_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_lane, "_MOST_KNOWN", 3)
    site = Site()
    for number in range(10):
        predicted(site.ask(HTTP_USER_AGENT=f"agent {number}"))
        assert 1 <= len(site.known) <= 3
    predicted(site.ask(HTTP_USER_AGENT="a" * 3000))
    assert all(len(words) < 2048 for words in site.known)


def test_a_body_that_is_shorter_than_its_known_length_is_refused() -> None:
    site = Site()
    predicted(site.ask())
    assert site.ask(body=[[1]], CONTENT_LENGTH="7").status == 400


def test_an_id_that_is_too_long_is_refused_with_one_of_ours() -> None:
    answer = Site().ask(HTTP_X_REQUEST_ID="a" * 8193)
    assert (answer.status, len(answer.headers["x-request-id"])) == (431, 32)


def test_a_refusal_that_the_model_tells_leaves_nothing_behind() -> None:
    site, raised = Site(), []

    class Picky(BadInput):
        pass

    def refuse(x: float) -> float:
        error = Picky(f"not {x}")
        raised.append(weakref.ref(error))
        raise error

    site.models.add("picky", refuse)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            assert site.ask("/models/picky/predict", [{"x": 1.0}]).status == 422
        until(lambda: all(error() is None for error in raised))
    finally:
        gc.enable()
    assert len(raised) == 3
