"""``demijohn serve``: from the command line's words to a running server.

Rules of this room:
1. Off loopback nothing is served without a key, unless the operator says that this is meant.
2. The debugger never runs here.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields
from typing import Any
from wsgiref.types import WSGIApplication

import click

from . import __version__, targets
from .config import PREFIX, Settings
from .errors import ConfigurationError
from .host_app import load_app
from .lifecycle import Lifecycle
from .server import ServerOptions, private_folder
from .server import serve as serve_app
from .site import Site, SiteOptions, count_cores

logger = logging.getLogger("demijohn")

_OFF = frozenset({"", "0", "false", "no"})  # as Flask reads FLASK_DEBUG
_CONTROL_PREFIX = "demijohn-control-"
_ABOUT_MODELS = {
    "name": "--name",
    "examples": "--example",
    "default": "--default",
    "aliases": "--alias",
    "chains": "--chain",
    "reload": "--reload",
    "model_control": "--model-control",
    "strict_versions": "--strict-versions",
    "is_trusted": "--trust",
    "device": "--device",
}


def run(words: Sequence[str], *, host: str, port: int, is_open: bool, **options: Any) -> int:
    """Serve until told to stop.

    Args:
        words: The command line's targets.
        host: Address to listen on.
        port: 0 for any free one.
        is_open: No key is needed off loopback.
        **options: The other options of ``demijohn serve``.

    Returns:
        The exit status.

    Raises:
        OperatorError: something that the operator can mend.
    """
    host = host or "0.0.0.0"  # noqa: S104  - what an empty host means to the system; needs a key below
    workers = options["workers"] or count_cores()
    given = _given_settings(options)
    server = ServerOptions(
        host=host, port=port, workers=workers, threads=options["threads"], access_log=options["access_log"]
    )
    about_models = {name: options[name] for name in _ABOUT_MODELS}
    with _log_on_stderr() as log:
        settings = _settings(given)
        _refuse_unsafe(host, settings, is_open=is_open)
        if any(targets.is_app(word) for word in words):
            _check_alone(words, about_models)
            return _serve_host_app(words[0], given, server, settings, log)
        _tell_openmp(workers)
        has_control = about_models.pop("model_control")
        if has_control:
            _check_control(host, settings, is_reloading=about_models["reload"])
        with private_folder(_CONTROL_PREFIX) if has_control else nullcontext() as folder:
            site = Site(words, settings, SiteOptions(host=host, workers=workers, **about_models), folder)
            return _serve_site(site, server, settings)


def _serve_site(site: Site, server: ServerOptions, settings: Settings) -> int:
    import flask  # noqa: F401  once, here, and not again in each worker

    # Clients choose the rows: what numpy warns of (an overflow, the log of 0) would fill the log as
    # they please. Numbers that are not finite are counted in /metrics.
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    return serve_app(site.make_app, server, settings, lambda url: _say(site.announcement(url)))


def _check_control(host: str, settings: Settings, *, is_reloading: bool) -> None:
    if is_reloading:
        raise ConfigurationError(
            "--model-control and --reload exclude each other: either clients say when a file is loaded, or"
            " the files do"
        )
    if not _is_loopback(host) and not settings.api_key:
        raise ConfigurationError(
            f"{host} can be reached by other machines: with --model-control they could unload your models;"
            " set DEMIJOHN_API_KEY to one or more keys"
        )


def _tell_openmp(workers: int) -> None:
    """Let each worker's OpenMP have its share of the cores, unless the operator says how many.

    OpenMP reads this when its library is loaded, and each thread that comes later, such as a model's,
    begins with it; what is set afterwards holds for the thread that sets it.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, count_cores() // workers)))


def _check_alone(words: Sequence[str], about_models: dict[str, Any]) -> None:
    if len(words) != 1:
        raise ConfigurationError("An app (module:app) is served alone; add the models to it: models.add(...)")
    useless = [flag for name, flag in _ABOUT_MODELS.items() if about_models[name]]
    if useless:
        raise ConfigurationError(f"{', '.join(useless)}: not for an app, which adds its models itself")


def _serve_host_app(
    word: str, given: dict[str, Any], server: ServerOptions, settings: Settings, log: logging.Handler
) -> int:
    for name, value in given.items():  # the app's own Demijohn reads them there, after its app.config
        os.environ[PREFIX + name.upper()] = ",".join(value) if isinstance(value, tuple) else str(value)

    def load(_: Lifecycle) -> WSGIApplication:
        logger.removeHandler(log)  # in the worker the app says where logs go
        logger.propagate = True
        return load_app(word)

    text = f"Demijohn {__version__} serves {word} at {{}}\n\nCtrl-C stops it."
    return serve_app(load, server, settings, lambda url: _say([text.format(url)]))


def _given_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that were given as options, by field."""
    values = {field.name: options.get(field.name) for field in fields(Settings)}
    return {name: value for name, value in values.items() if value is not None and value != ()}


def _settings(given: dict[str, Any]) -> Settings:
    # The extension's prefix keeps out of a host app's way; here there is none.
    prefix = {} if os.environ.get(f"{PREFIX}URL_PREFIX") else {"url_prefix": ""}
    return Settings.from_mapping({}, os.environ, **prefix, **given)


def _refuse_unsafe(host: str, settings: Settings, *, is_open: bool) -> None:
    if os.environ.get("FLASK_DEBUG", "").lower() not in _OFF:
        raise ConfigurationError(
            "FLASK_DEBUG is set: the debugger runs code for whoever asks; unset it to serve"
        )
    if not all(key.isascii() and key.isprintable() for key in settings.api_key):
        # Granian hands on no header with other bytes in it.
        raise ConfigurationError(
            f"{PREFIX}API_KEY has a key with other characters than printable ASCII: no request can bring it"
        )
    if not _is_loopback(host) and not settings.api_key and not is_open:
        raise ConfigurationError(
            f"{host} can be reached by other machines: set DEMIJOHN_API_KEY to one or more keys, "
            "or say --open if everybody may call these models"
        )


def _is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address; a name may mean anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def _log_on_stderr() -> Iterator[logging.Handler]:
    """Show our own log; that of the operator's app and of libraries is theirs to configure."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("demijohn: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False  # libraries that configure the root logger would say everything again
    try:
        yield handler
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def _say(lines: Iterable[str]) -> None:
    """Print to standard output; that nobody reads it any more is no reason to stop serving."""
    try:
        for line in lines:
            click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
