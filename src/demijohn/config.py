"""Settings: every ``DEMIJOHN_*`` key, its meaning and its default, in one frozen dataclass.

Rules of this room:
1. A setting comes from ``app.config``, else from the environment variable of that name, else from
   its default.
2. A key that is no setting is refused in ``app.config``; in the environment it is refused when it
   looks like a misspelt setting (a typo in DEMIJOHN_API_KEY must not open the server), else told.
"""

from __future__ import annotations

import difflib
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import ConfigurationError

PREFIX = "DEMIJOHN_"
MAX_PIXELS = 4096 * 4096  #: Of ``Settings.max_pixels``, the default.
ACCELERATIONS = ("exact", "fast", "off")

logger = logging.getLogger("demijohn")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one Demijohn behaves; see docs/configuration.md."""

    max_body_bytes: int = 64 * 2**20  #: Largest body, decompressed.
    max_elements: int = 1_000_000  #: Most values in one JSON body, and texts in a binary one.
    max_depth: int = 64  #: Deepest nesting of one JSON body.
    max_pixels: int = MAX_PIXELS  #: Most pixels in all images of one request.
    #: Shortest answer that is compressed, in bytes, where the client asks for that; 0: none is.
    compress_min_bytes: int = 4096
    deadline_s: float = 30.0  #: Longest from entering our callable to the answer, in seconds.
    max_batch_size: int = 256  #: Most rows that are joined into one call of a model.
    max_queue_rows: int = 0  #: Most rows that wait for one model; 0 means 4 × max_batch_size.
    max_queue_s: float = 1.0  #: Longest that a new request may be expected to wait, in seconds.
    batching: bool = True  #: Join waiting requests; off keeps every request alone.
    fast_lane: bool = True  #: Answer predictions without Flask's contexts where nobody could tell.
    #: What may run in place of the framework: "exact" engines proved equal, "fast" those that round to
    #: float32 too, "off" none.
    acceleration: str = "exact"
    url_prefix: str = "/ml"  #: Where the extension's routes live; ``serve`` puts them at the root.
    #: Keys that open the routes, comma-separated; none: no key needed. Never in a log.
    api_key: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()  #: Host names answered for, comma-separated; loopback always.
    allowed_origins: tuple[str, ...] = ()  #: Origins whose pages may call us; switches CORS on.
    trusted_proxies: int = 0  #: Number of proxies in front whose X-Forwarded-* headers count.
    body_timeout_s: float = 30.0  #: Longest that ``serve`` waits for a body, in seconds.

    def __post_init__(self) -> None:
        """Derive the queue's size and check the ranges."""
        if not self.max_queue_rows:
            object.__setattr__(self, "max_queue_rows", 4 * self.max_batch_size)
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{PREFIX}{name.upper()} must be more than 0")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{PREFIX}{name.upper()} must not be negative")
        if self.acceleration not in ACCELERATIONS:
            raise ConfigurationError(
                f"{PREFIX}ACCELERATION cannot be {self.acceleration!r}: choose {', '.join(ACCELERATIONS)}"
            )
        if not _URL_PREFIX.match(self.url_prefix):
            raise ConfigurationError(f"{PREFIX}URL_PREFIX must be empty, or start with / and not end with it")
        _check_form("ALLOWED_HOSTS", self.allowed_hosts, _HOST, "name or name:port, as a Host header has it")
        _check_form("ALLOWED_ORIGINS", self.allowed_origins, _ORIGIN, "as browsers do, https://host[:port]")

    @classmethod
    def from_mapping(
        cls, config: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None, **given: Any
    ) -> Settings:
        """Read the settings.

        Args:
            config: ``app.config`` or alike; only keys that begin with DEMIJOHN_ are looked at.
            environ: Usually ``os.environ``.
            given: Values decided in code, by field name, in any form that ``config`` takes; they win.

        Raises:
            ConfigurationError: a key is unknown, or a value cannot be read.
        """
        _refuse_unknown(config or {}, environ or {})
        values: dict[str, Any] = {}
        for name, read in _READERS.items():
            key = PREFIX + name.upper()
            raw = given.get(name)
            raw = (config or {}).get(key) if raw is None else raw
            raw = (environ or {}).get(key) if raw is None else raw
            if raw is not None:
                values[name] = _read(key, raw, read)
        return cls(**values)


_URL_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*\Z")
#: A name or an IPv4 address, or an IPv6 one in brackets, each with a port or without; or an IPv6 one bare.
_HOST = re.compile(
    r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z"
)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#A-Z*]+\Z")


def _check_form(key: str, values: tuple[str, ...], form: re.Pattern[str], how: str) -> None:
    for value in values:
        if not form.match(value):
            raise ConfigurationError(f"{PREFIX}{key} has {value!r}: write each {how}")


def _words(raw: Any) -> tuple[str, ...]:
    words = raw.split(",") if isinstance(raw, str) else list(raw)
    if not all(isinstance(word, str) for word in words):
        raise ValueError("expected text, comma-separated, or a list of texts")
    known = tuple(word.strip() for word in words if word.strip())
    if words and not known and raw != "":
        raise ValueError("it names nothing")  # " , " as DEMIJOHN_API_KEY must not open the server
    return known


def _flag(raw: Any) -> bool:
    text = str(raw).strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise ValueError("expected on or off")


def _whole(raw: Any) -> int:
    if isinstance(raw, (bool, float)):
        raise ValueError("expected a whole number")
    return int(str(raw).strip())


def _seconds(raw: Any) -> float:
    value = math.nan if isinstance(raw, bool) else float(raw)
    if not math.isfinite(value):
        raise ValueError("expected a finite number of seconds")
    return value


_TYPES: Mapping[str, Callable[[Any], Any]] = {
    "int": _whole,
    "float": _seconds,
    "bool": _flag,
    "str": str,
    "tuple[str, ...]": _words,
}
_READERS = {field.name: _TYPES[str(field.type)] for field in fields(Settings)}
_POSITIVE = (
    "max_body_bytes", "max_elements", "max_depth", "max_pixels", "deadline_s", "max_batch_size",
    "max_queue_rows", "max_queue_s", "body_timeout_s",
)  # fmt: skip
_NOT_NEGATIVE = ("compress_min_bytes", "trusted_proxies")


def _read(key: str, raw: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return read(raw)
    except (TypeError, ValueError) as error:
        shown = "what it is" if key == f"{PREFIX}API_KEY" else repr(raw)
        raise ConfigurationError(f"{key} cannot be {shown}: {error}") from error


def _refuse_unknown(config: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    known = [PREFIX + name.upper() for name in _READERS]
    for source, where in ((config, "app.config"), (environ, "the environment")):
        for key in source:
            if not str(key).startswith(PREFIX) or key in known:
                continue
            close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.8)
            if close:
                raise ConfigurationError(f"{key} in {where} is no setting; did you mean {close[0]}?")
            if where == "app.config":
                raise ConfigurationError(f"{key} in {where} is no setting")
            logger.warning("%s in the environment is no setting of Demijohn; ignored", key)
