"""The checks before every view: Host, route, key, Origin, and what a trusted proxy says."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from tests.web.rig import IRIS, check_problem, make_client, make_models

from demijohn.web.guards import is_loopback

ROWS = IRIS[:1].tolist()
OPEN = {"/ml/livez", "/ml/readyz", "/ml/", "/ml/docs", "/ml/console-assets/console.css"}
EXAMPLES = {"name": "iris", "method": "predict", "version": "1", "alias": "a", "path": "console.css"}
EXAMPLES |= {"rest": "status", "verb": "predict"}


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_client()


@pytest.fixture(scope="module")
def guarded() -> FlaskClient:
    return make_client(api_key="first, sécond", allowed_origins="https://app.example")


def predict(client: FlaskClient, headers: Any = None, **environ: Any) -> Any:
    return client.post("/ml/predict", json=ROWS, headers=headers, environ_overrides=environ)


# Host -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::1]:8000"]
)
def test_a_name_of_loopback_is_answered(client: FlaskClient, host: str) -> None:
    assert predict(client, {"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "127.evil.test", "localhost,evil.test",
        "localhost, localhost", "localhost:", "localhost:x", "localhost:123456", "localhost/",
        "user@localhost", "::1", "[::1", "[::1]x", "", " ", "local host", "0177.0.0.1", "2130706433", "[::2]",
        "localhost\x7f", "lócalhost",
    ],
)  # fmt: skip
def test_any_other_host_is_refused(client: FlaskClient, host: str) -> None:
    check_problem(predict(client, HTTP_HOST=host), 400, "host_refused")


def test_a_missing_host_is_refused() -> None:
    client = make_client()
    inner = client.application.wsgi_app

    def without_host(environ: dict[str, Any], start_response: Any) -> Any:
        del environ["HTTP_HOST"]
        return inner(environ, start_response)

    client.application.wsgi_app = without_host  # type: ignore[method-assign]
    check_problem(client.get("/ml/livez"), 400, "host_refused")


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
)
@pytest.mark.parametrize("path", ["/ml/models", "/ml/predict", "/ml/livez", "/ml/", "/ml/nowhere"])
def test_a_page_that_rebinds_its_name_is_refused_by_every_route_and_method(
    client: FlaskClient, method: str, path: str
) -> None:
    assert client.open(path, method=method, headers={"Host": "evil.test"}).status_code == 400


def test_the_operators_host_names_are_answered_whatever_their_case() -> None:
    client = make_client(allowed_hosts="Models.Example, other.example:8443, ::2")
    for host in ("models.example", "MODELS.example:99", "other.example:8443", "[::2]", "localhost"):
        assert predict(client, {"Host": host}).status_code == 200
    for host in ("other.example", "evil.test"):
        check_problem(predict(client, {"Host": host}), 400, "host_refused")


def test_off_loopback_any_host_is_answered_unless_some_are_named(client: FlaskClient) -> None:
    assert predict(client, {"Host": "any.example"}, SERVER_NAME="192.0.2.1").status_code == 200
    named = make_client(allowed_hosts="models.example")
    check_problem(predict(named, {"Host": "any.example"}, SERVER_NAME="192.0.2.1"), 400, "host_refused")


@given(st.ip_addresses())
def test_a_loopback_address_is_one_of_127_or_the_one_of_ipv6(address: Any) -> None:
    assert is_loopback(str(address)) == (address.is_loopback and address.exploded != "::ffff:127.0.0.1")


# Route ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/ml/nowhere", "/ml/models/iris/predict/more", "/ml/models/", "/ml/..", "/ml/%00", "/ml/%252e"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "BREW"])
def test_what_is_at_no_route_is_404_in_our_form(client: FlaskClient, path: str, method: str) -> None:
    check_problem(client.open(path, method=method), 404, "route_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/ml/predict", "POST, PUT"),
        ("PUT", "/ml/predict", "POST"),
        ("TRACE", "/ml/predict", "POST, PUT"),
        ("BREW", "/ml/models", "GET"),
        ("POST", "/ml/models", "GET"),
        ("DELETE", "/ml/models/iris", "GET"),
        ("POST", "/ml/", "GET"),
        ("GET", "/ml/models/iris/versions/1/predict", "POST, PUT"),
    ],
)
def test_another_method_is_405_and_says_which_would_do(
    client: FlaskClient, method: str, path: str, allow: str
) -> None:
    answer = client.open(path, method=method)
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allow


def test_options_names_the_methods_of_a_route_and_no_other(client: FlaskClient) -> None:
    assert client.options("/ml/predict").headers["Allow"] == "OPTIONS, POST, PUT"
    assert client.options("/ml/models").headers["Allow"] == "GET, HEAD, OPTIONS"


# Key --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first"},
        {"Authorization": "bearer  first "},
        {"X-API-Key": "first"},
        {"X-API-Key": "sécond".encode().decode("latin-1")},
        {"Authorization": "Basic Zmlyc3Q6", "X-API-Key": "first"},
    ],
)
def test_each_key_opens_the_routes_in_either_header(guarded: FlaskClient, headers: dict[str, str]) -> None:
    assert predict(guarded, headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer first, sécond"},
        {"Authorization": "Basic first"},
        {"Authorization": "first"},
        {"X-API-Key": "f"},
        {"X-API-Key": "First"},
        {"X-API-Key": ""},
        {"X-API-Key": "first\u00ff"},
        {"Authorization": "Bearer wrong", "X-API-Key": "first"},
    ],
)
def test_no_key_or_a_wrong_one_is_401(guarded: FlaskClient, headers: dict[str, str]) -> None:
    answer = predict(guarded, headers)
    problem = check_problem(answer, 401, "key_missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "first" not in str(problem)


def test_a_key_given_in_code_as_text_is_one_key_and_not_its_letters() -> None:
    client = make_client(api_key="secret")
    assert predict(client, {"X-API-Key": "secret"}).status_code == 200
    check_problem(predict(client, {"X-API-Key": "s"}), 401, "key_missing")


#: What a PUT must say of its body and its answer.
PUT_FORMS = {"Content-Type": "text/csv", "Accept": "text/csv"}


def _routes(app: Flask) -> list[tuple[str, str]]:
    """Return every method and path of ours; what the catch-all is for is no route."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("demijohn.") and rule.methods is not None:
            built = rule.build({name: EXAMPLES[name] for name in rule.arguments})
            assert built is not None
            found += [(method, built[1]) for method in sorted(rule.methods)]
    return found


def test_every_route_needs_a_key_but_health_and_the_pages_shell(guarded: FlaskClient) -> None:
    routes = _routes(guarded.application)
    assert len({path for _, path in routes}) == 60
    for method, path in routes:
        status = guarded.open(path, method=method, headers=PUT_FORMS if method == "PUT" else None).status_code
        if path in OPEN:
            assert status == 200, (method, path)
        else:
            assert status == 401, (method, path)


def test_with_a_key_every_route_is_open(guarded: FlaskClient) -> None:
    for method, path in _routes(guarded.application):
        forms = PUT_FORMS if method == "PUT" else {}
        status = guarded.open(path, method=method, headers={"X-API-Key": "first", **forms}).status_code
        assert status not in {401, 405}, (method, path)
        is_control = method == "POST" and path.startswith("/ml/v2/repository/models/")
        assert (status == 403) == is_control, (method, path)


# Origin -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("localhost:80", "http://localhost"),
        ("localhost:8000", "http://LOCALHOST:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("[::1]", "http://[::1]:80"),
    ],
)
def test_our_own_pages_may_call(client: FlaskClient, host: str, origin: str) -> None:
    assert predict(client, {"Host": host, "Origin": origin}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test", "null", "", "http://localhost:8001", "https://localhost", "http://localhost.evil.test",
        "http://user@localhost", "http://localhost/path", "localhost", "file://", "http://[::1", "http://[::1]:x",
        "http://", "chrome-extension://localhost", "http://localhost http://localhost", "http://127.0.0.1",
        "http://ⅼocalhost".encode().decode("latin-1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_is_refused(client: FlaskClient, origin: str, method: str) -> None:
    path = {"GET": "/ml/models", "POST": "/ml/predict"}[method]
    answer = client.open(path, method=method, json=ROWS, headers={"Origin": origin})
    check_problem(answer, 403, "origin_refused")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_allowed_origin_may_call_and_read(guarded: FlaskClient) -> None:
    answer = predict(guarded, {"Origin": "https://app.example", "X-API-Key": "first"})
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Access-Control-Allow-Private-Network" not in answer.headers


def test_an_allowed_origin_may_read_errors_too(guarded: FlaskClient) -> None:
    answer = predict(guarded, {"Origin": "https://app.example"})
    check_problem(answer, 401, "key_missing")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.evil.test",
        "http://app.example",
        "https://app.example:444",
        "https://xapp.example",
    ],
)
def test_what_looks_like_an_allowed_origin_is_refused(guarded: FlaskClient, origin: str) -> None:
    answer = predict(guarded, {"Origin": origin, "X-API-Key": "first"})
    check_problem(answer, 403, "origin_refused")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_preflight_of_an_allowed_origin_needs_no_key(guarded: FlaskClient) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = guarded.options("/ml/models/iris/predict", headers=headers)
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert {"Content-Type", "X-API-Key", "Authorization"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", ")
    )


def test_a_page_of_an_allowed_origin_may_send_and_read_tensors_in_bytes(guarded: FlaskClient) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    preflight = guarded.options("/ml/v2/models/iris/infer", headers=asked)
    rows = IRIS[:1].tobytes()
    headers = {"Origin": "https://app.example", "X-API-Key": "first", "Inference-Header-Content-Length": "0"}
    answer = guarded.post("/ml/v2/models/iris/infer", data=rows, headers=headers)
    assert int(answer.headers["Inference-Header-Content-Length"]) > 0
    sent = preflight.headers["Access-Control-Allow-Headers"]
    read = answer.headers["Access-Control-Expose-Headers"]
    assert all("Inference-Header-Content-Length" in names.split(", ") for names in (sent, read))


def test_a_preflight_of_another_origin_or_route_is_refused(guarded: FlaskClient) -> None:
    headers = {"Origin": "https://evil.test", "Access-Control-Request-Method": "POST"}
    check_problem(guarded.options("/ml/predict", headers=headers), 403, "origin_refused")
    headers["Origin"] = "https://app.example"
    check_problem(guarded.options("/ml/nowhere", headers=headers), 404, "route_not_found")


def test_without_allowed_origins_nothing_is_said_of_them(client: FlaskClient) -> None:
    answer = predict(client)
    assert not [name for name in answer.headers.keys() if name.startswith("Access-Control")]  # noqa: SIM118


# Order ------------------------------------------------------------------------------------


def test_the_checks_come_in_their_order() -> None:
    client = make_client(api_key="key", max_body_bytes=100)
    headers = {"Host": "evil.test", "Origin": "http://evil.test", "Content-Type": "text/plain"}
    wrong: dict[str, Any] = {"headers": headers | {"Content-Encoding": "br"}, "data": b"{" * 101}

    def code(path: str = "/ml/predict", method: str = "POST") -> tuple[int, str]:
        answer = client.open(path, method=method, **wrong)
        return answer.status_code, answer.get_json()["code"]

    assert code("/ml/nowhere") == (400, "host_refused")
    wrong["headers"]["Host"] = "localhost"
    assert code("/ml/nowhere") == (404, "route_not_found")
    assert code(method="PUT") == (405, "method_not_allowed")
    assert code() == (401, "key_missing")
    wrong["headers"]["X-API-Key"] = "key"
    assert code() == (403, "origin_refused")
    del wrong["headers"]["Origin"]
    assert code("/ml/models/nobody/predict") == (404, "model_not_found")
    assert code() == (413, "body_too_large")
    wrong["data"] = b"{"
    assert code() == (415, "unsupported_media_type")
    wrong["headers"]["Content-Type"] = "application/json"
    assert code() == (415, "unsupported_media_type")
    wrong["headers"]["Content-Encoding"] = "gzip"
    assert code() == (400, "unreadable_body")
    wrong["headers"]["Content-Type"] = "text/plain"
    assert code() == (415, "unsupported_media_type")
    wrong["headers"] |= {"Content-Encoding": "identity", "Content-Type": "application/json"}
    assert code() == (400, "unreadable_body")
    wrong["data"] = b"{}"
    assert code() == (422, "signature_mismatch")


# Request ids ------------------------------------------------------------------------------


@pytest.mark.parametrize("given_id", ["a", "trace/1:a=b+c", "0" * 128])
def test_a_clean_request_id_is_echoed(client: FlaskClient, given_id: str) -> None:
    assert client.get("/ml/livez", headers={"X-Request-Id": given_id}).headers["X-Request-Id"] == given_id
    answer = client.get("/ml/nowhere", headers={"X-Request-Id": given_id})
    assert check_problem(answer, 404, "route_not_found")["request_id"] == given_id


@pytest.mark.parametrize("given_id", ["", "a b", "0" * 129, "a\x00", "a\x7f", "<b>", "é", "a;b", "a\tb"])
def test_another_request_id_is_replaced(client: FlaskClient, given_id: str) -> None:
    made = client.get("/ml/livez", environ_overrides={"HTTP_X_REQUEST_ID": given_id}).headers["X-Request-Id"]
    assert len(made) == 32
    assert made.isalnum()


def test_ids_are_made_anew_in_each_process() -> None:
    script = """
import os
from demijohn.web.guards import choose_request_id
choose_request_id(None)
for _ in range(2):
    if os.fork() == 0:
        print(choose_request_id(None), flush=True)
        os._exit(0)
    os.wait()
print(choose_request_id(None))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert len(set(done.stdout.split())) == 3


# Proxies ----------------------------------------------------------------------------------

SPOOFED = {"X-Forwarded-Host": "models.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"}


def test_without_trusted_proxies_what_is_forwarded_does_not_count(client: FlaskClient) -> None:
    assert predict(client, SPOOFED).status_code == 200
    check_problem(
        predict(client, {"Host": "evil.test", "X-Forwarded-Host": "localhost"}), 400, "host_refused"
    )
    check_problem(predict(client, SPOOFED | {"Origin": "https://models.example"}), 403, "origin_refused")
    assert b'"/app' not in client.get("/ml/docs", headers={"X-Forwarded-Prefix": "/app"}).data


def test_behind_one_trusted_proxy_what_it_says_counts() -> None:
    client = make_client(trusted_proxies=1, allowed_hosts="models.example")
    assert predict(client, SPOOFED | {"Origin": "https://models.example"}).status_code == 200
    check_problem(predict(client, SPOOFED | {"Origin": "http://models.example"}), 403, "origin_refused")
    check_problem(predict(client, {"X-Forwarded-Host": "evil.test"}), 400, "host_refused")
    ported = SPOOFED | {"X-Forwarded-Port": "8443", "Origin": "https://models.example:8443"}
    assert predict(client, ported).status_code == 200


def test_of_several_forwarded_values_only_the_trusted_proxys_own_counts() -> None:
    client = make_client(trusted_proxies=1, allowed_hosts="models.example")
    assert predict(client, {"X-Forwarded-Host": "evil.test, models.example"}).status_code == 200
    check_problem(predict(client, {"X-Forwarded-Host": "models.example, evil.test"}), 400, "host_refused")
    two = make_client(trusted_proxies=2, allowed_hosts="models.example")
    assert predict(two, {"X-Forwarded-Host": "models.example, inner.example"}).status_code == 200


def test_the_pages_live_under_the_prefix_that_a_trusted_proxy_tells() -> None:
    client = make_client(trusted_proxies=1)
    assert b"/app/ml" in client.get("/ml/docs", headers={"X-Forwarded-Prefix": "/app"}).data


def test_the_host_app_sees_its_request_as_it_came() -> None:
    app = Flask(__name__)
    make_models(app, trusted_proxies=1)
    seen = []

    @app.after_request
    def look(response: Any) -> Any:
        from flask import request

        seen.append((request.host, request.scheme, request.remote_addr))
        return response

    app.test_client().get("/ml/livez", headers=SPOOFED | {"X-Forwarded-Host": "localhost:9"})
    assert seen == [("localhost", "http", "127.0.0.1")]
