"""Settings: where one comes from, and which values are refused."""

from __future__ import annotations

import logging
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn.config import Settings
from demijohn.errors import ConfigurationError


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = Settings()
    assert settings.max_body_bytes == 64 * 1024 * 1024
    assert settings.max_elements == 1_000_000
    assert settings.max_depth == 64
    assert settings.deadline_s == 30
    assert settings.max_batch_size == 256
    assert settings.max_queue_rows == 4 * 256
    assert settings.max_queue_s == 1
    assert settings.url_prefix == "/ml"
    assert settings.trusted_proxies == 0
    assert settings.body_timeout_s == 30


def test_the_queue_holds_four_batches_unless_told_otherwise() -> None:
    assert Settings(max_batch_size=10).max_queue_rows == 40
    assert Settings(max_batch_size=10, max_queue_rows=7).max_queue_rows == 7


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().deadline_s = 1  # type: ignore[misc]


def test_the_app_wins_over_the_environment_and_code_over_both() -> None:
    config, environ = {"DEMIJOHN_DEADLINE_S": 2}, {"DEMIJOHN_DEADLINE_S": "3", "DEMIJOHN_MAX_DEPTH": "9"}
    assert Settings.from_mapping(config, environ).deadline_s == 2
    assert Settings.from_mapping(config, environ, deadline_s=1).deadline_s == 1
    assert Settings.from_mapping(config, environ).max_depth == 9
    assert Settings.from_mapping({}, environ).deadline_s == 3
    assert Settings.from_mapping() == Settings()


def test_none_in_the_app_leaves_it_to_the_environment() -> None:
    settings = Settings.from_mapping(
        {"DEMIJOHN_MAX_DEPTH": None}, {"DEMIJOHN_MAX_DEPTH": "5"}, max_depth=None
    )
    assert settings.max_depth == 5


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("MAX_DEPTH", " 7 ", 7),
        ("DEADLINE_S", "0.5", 0.5),
        ("DEADLINE_S", 2, 2.0),
        ("BATCHING", "off", False),
        ("BATCHING", "YES", True),
        ("BATCHING", 0, False),
        ("BATCHING", True, True),
        ("API_KEY", "a, b,,", ("a", "b")),
        ("API_KEY", ["a", "b"], ("a", "b")),
        ("API_KEY", "", ()),
        ("API_KEY", [], ()),
        ("URL_PREFIX", "", ""),
        ("URL_PREFIX", "/api/v1", "/api/v1"),
        (
            "ALLOWED_ORIGINS",
            "https://a.example:8443, http://[::1]:80",
            ("https://a.example:8443", "http://[::1]:80"),
        ),
    ],
)
def test_a_value_is_read_as_its_kind(key: str, raw: Any, value: Any) -> None:
    name = key.lower()
    assert getattr(Settings.from_mapping({f"DEMIJOHN_{key}": raw}), name) == value
    assert getattr(Settings.from_mapping({}, {}, **{name: raw}), name) == value


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("MAX_DEPTH", "many"),
        ("MAX_DEPTH", 1.5),
        ("MAX_DEPTH", True),
        ("MAX_DEPTH", 0),
        ("MAX_BODY_BYTES", -1),
        ("DEADLINE_S", "nan"),
        ("DEADLINE_S", "inf"),
        ("DEADLINE_S", True),
        ("DEADLINE_S", 0),
        ("DEADLINE_S", "soon"),
        ("BATCHING", "maybe"),
        ("API_KEY", " , "),
        ("API_KEY", 12345),
        ("API_KEY", [1, 2]),
        ("API_KEY", [" "]),
        ("URL_PREFIX", "ml"),
        ("URL_PREFIX", "/ml/"),
        ("URL_PREFIX", "/"),
        ("URL_PREFIX", "//ml"),
        ("URL_PREFIX", "/<name>"),
        ("URL_PREFIX", "/m l"),
        ("TRUSTED_PROXIES", -1),
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "a.example"),
        ("ALLOWED_ORIGINS", "https://a.example/"),
        ("ALLOWED_ORIGINS", "https://A.example"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_its_key(key: str, raw: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"DEMIJOHN_{key}"):
        Settings.from_mapping({f"DEMIJOHN_{key}": raw})


def test_a_key_stands_in_no_message_and_no_log() -> None:
    assert "hunter2" not in repr(Settings(api_key=("hunter2",)))
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_mapping({"DEMIJOHN_API_KEY": {"hunter2": 1, 2: 3}})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("key", ["DEMIJOHN_API_KEYS", "DEMIJOHN_APIKEY", "DEMIJOHN_DEADLINE"])
def test_a_misspelt_setting_is_refused_with_the_right_name(key: str) -> None:
    for sources in ({"config": {key: "x"}}, {"environ": {key: "x"}}):
        with pytest.raises(ConfigurationError, match="did you mean DEMIJOHN_"):
            Settings.from_mapping(**sources)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host", ["*", "*.example.com", "https://example.com", "example.com/", "a b", "a:b", "a:"]
)
def test_a_host_that_no_request_can_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="ALLOWED_HOSTS"):
        Settings.from_mapping({"DEMIJOHN_ALLOWED_HOSTS": f"example.com,{host}"})


@pytest.mark.parametrize(
    "host", ["example.com", "example.com:8443", "10.0.0.1", "::1", "[::1]", "[fe80::1]:80", "a_b"]
)
def test_a_host_may_be_a_name_or_an_address_with_a_port_or_without(host: str) -> None:
    assert Settings.from_mapping({"DEMIJOHN_ALLOWED_HOSTS": host}).allowed_hosts == (host,)


def test_an_unknown_key_of_the_app_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"DEMIJOHN_COLOUR in app\.config is no setting"):
        Settings.from_mapping({"DEMIJOHN_COLOUR": "red"})


def test_an_unknown_key_of_the_environment_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "demijohn"):
        assert Settings.from_mapping({}, {"DEMIJOHN_COLOUR": "red"}) == Settings()
    assert "DEMIJOHN_COLOUR" in caplog.text


def test_other_keys_are_nobodys_business() -> None:
    assert Settings.from_mapping({"SECRET_KEY": "x", "DEBUG": 1}, {"PATH": "/bin"}) == Settings()


@given(
    st.lists(
        st.text(st.characters(exclude_characters=",", codec="utf-8"), min_size=1).map(str.strip).filter(bool)
    )
)
def test_keys_come_back_as_they_were_listed(keys: list[str]) -> None:
    assert Settings.from_mapping({"DEMIJOHN_API_KEY": ",".join(keys)}).api_key == tuple(keys)


@given(st.integers(1, 10**9), st.floats(1e-3, 1e6))
def test_numbers_are_read_from_text_as_they_are_written(depth: int, deadline_s: float) -> None:
    settings = Settings.from_mapping(
        {}, {"DEMIJOHN_MAX_DEPTH": str(depth), "DEMIJOHN_DEADLINE_S": repr(deadline_s)}
    )
    assert (settings.max_depth, settings.deadline_s) == (depth, deadline_s)


def test_every_field_can_be_read_from_the_environment() -> None:
    for field in fields(Settings):
        assert (
            Settings.from_mapping({}, {f"DEMIJOHN_{field.name.upper()}": _text_of(field.default)}) is not None
        )


def _text_of(default: Any) -> str:
    return ",".join(default) if isinstance(default, tuple) else str(default)


@pytest.mark.parametrize("word", ["exact", "fast", "off"])
def test_acceleration_is_one_of_three_words(word: str) -> None:
    assert Settings.from_mapping({}, {"DEMIJOHN_ACCELERATION": word}).acceleration == word
    assert Settings().acceleration == "exact"
    with pytest.raises(ConfigurationError, match="choose exact, fast, off"):
        Settings.from_mapping({}, {"DEMIJOHN_ACCELERATION": f"{word}er"})
