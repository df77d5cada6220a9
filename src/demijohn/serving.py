"""``demijohn serve``: from the command line's words to a running server.

Rules of this room:
1. Model files are loaded once, before the fork, so that what is wrong with one is said at once and
   workers share their pages; an app of the operator's is imported in each worker.
2. Off loopback nothing is served without a key, unless the operator says that this is meant.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIApplication

import click

from . import __version__, runtimes, targets
from .config import Settings
from .errors import ConfigurationError
from .examples import read_example
from .lifecycle import Lifecycle
from .pool import check_name, rank
from .runtimes.base import Runtime
from .server import ServerOptions
from .server import serve as serve_app

if TYPE_CHECKING:
    from .extension import Demijohn

logger = logging.getLogger("demijohn")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LONGEST_CURL = 2_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model file in memory."""

    file: targets.ModelFile
    runtime: Runtime


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
    logging.basicConfig(
        level=logging.WARNING, format="demijohn: %(levelname)s: %(message)s", stream=sys.stderr
    )
    settings = _settings(options)
    _refuse_unsafe(host, settings, is_open=is_open)
    server = ServerOptions(
        host=host,
        port=port,
        workers=options["workers"] or len(os.sched_getaffinity(0)),
        threads=options["threads"],
        access_log=options["access_log"],
    )
    if len(words) == 1 and targets.is_app(words[0]):
        return serve_app(
            _app_loader(words[0]), server, settings, lambda url: click.echo(f"{words[0]} at {url}")
        )
    site = Site(words, host, settings, options)
    return serve_app(site.make_app, server, settings, site.announce)


def _settings(options: dict[str, Any]) -> Settings:
    given = {name: options[name] for name in Settings.__dataclass_fields__ if options.get(name)}
    if options["batching"] is not None:
        given["batching"] = options["batching"]
    if not os.environ.get("DEMIJOHN_URL_PREFIX"):
        given["url_prefix"] = ""
    return Settings.from_mapping({}, os.environ, **given)


def _refuse_unsafe(host: str, settings: Settings, *, is_open: bool) -> None:
    if os.environ.get("FLASK_DEBUG", "0").lower() not in ("", "0", "false", "no"):
        raise ConfigurationError(
            "FLASK_DEBUG is set: the debugger runs code for whoever asks; unset it to serve"
        )
    is_local = host in _LOOPBACK or host.startswith("127.")
    if not is_local and not settings.api_key and not is_open:
        raise ConfigurationError(
            f"{host} can be reached by other machines: set DEMIJOHN_API_KEY to one or more keys, "
            "or say --open if everybody may call these models"
        )


class Site:
    """The models of one ``demijohn serve`` and the app around them."""

    def __init__(self, words: Sequence[str], host: str, settings: Settings, options: dict[str, Any]) -> None:
        self._host = host
        self._settings = settings
        self._options = options
        self._targets = [targets.parse(word) for word in words]
        if options["name"]:
            if len(self._targets) != 1:
                raise ConfigurationError("--name is for one target; write name=path for several")
            self._targets = [targets.Target(self._targets[0].path, check_name(options["name"]))]
        self.files = targets.all_files(self._targets)
        examples = self._examples()
        self.loaded = [self.load(file, examples.get(file.name)) for file in self.files]
        self._examples_by_name = examples
        self._aliases = [_alias(text) for text in options["aliases"]]
        self._check_names()

    def load(self, file: targets.ModelFile, example: Any, *, allow_code: bool = True) -> Loaded:
        """Load one file."""
        runtime = runtimes.load(
            file.path,
            example=example,
            strict_versions=self._options["strict_versions"],
            allow_code=allow_code,
        )
        for warning in runtime.warnings:
            logger.warning("%s: %s", file.path, warning)
        return Loaded(file, runtime)

    def _examples(self) -> dict[str, Any]:
        names = list(dict.fromkeys(file.name for file in self.files))
        examples: dict[str, Any] = {}
        for word in self._options["examples"]:
            name, equals, path = word.partition("=")
            if not equals or Path(word).exists():
                if len(names) != 1:
                    raise ConfigurationError(
                        "--example FILE is for one model; write --example name=FILE for several"
                    )
                name, path = names[0], word
            if name not in names:
                raise ConfigurationError(f"--example {word}: there is no model {name!r}")
            examples[name] = read_example(Path(path), self._settings)
        return examples

    def _check_names(self) -> None:
        known = {(file.name, file.version) for file in self.files}
        default = self._options["default"]
        if default and default not in {name for name, _ in known}:
            raise ConfigurationError(f"--default {default}: there is no such model")
        for name, alias, version in self._aliases:
            if (name, version) not in known:
                raise ConfigurationError(
                    f"--alias {name}@{alias}={version}: there is no such model or version"
                )

    def make_app(self, lifecycle: Lifecycle) -> WSGIApplication:
        """Build the app; runs in each worker, after the fork."""
        from flask import Flask

        from .extension import Demijohn

        _share_cores(self._options["workers"] or len(os.sched_getaffinity(0)))
        app = Flask("demijohn.serve", static_folder=None)
        models = Demijohn.of_server(app, self._settings, bound_host=self._host)
        for loaded in self.loaded:
            models.add_runtime(loaded.file.name, loaded.runtime, version=loaded.file.version)
        for alias in self._aliases:
            models.alias(*alias)
        if self._options["default"]:
            models.set_default(self._options["default"])
        models.start()
        if self._options["reload"]:
            from .watching import Watcher

            Watcher(self._targets, _Reloaded(self, models)).start()
        del lifecycle  # installed for this process by the server
        return app

    def example_for(self, name: str) -> Any:
        """Return the example rows that the operator gave for a model."""
        return self._examples_by_name.get(name)

    def announce(self, url: str) -> None:
        """Print the address, the models and a request for each that works when pasted."""
        click.echo(f"Demijohn {__version__} at {url}  (console: {url}/  docs: {url}/docs)")
        latest: dict[str, Loaded] = {}
        for loaded in self.loaded:
            click.echo(
                f"  {loaded.file.name}  version {loaded.file.version}  [{loaded.runtime.signature}]  "
                f"{', '.join(loaded.runtime.methods)}  engine: native ({loaded.runtime.framework})"
            )
            other = latest.get(loaded.file.name)
            if other is None or rank(loaded.file.version) > rank(other.file.version):
                latest[loaded.file.name] = loaded
        for name, loaded in latest.items():
            click.echo("\n" + self.curl(url, name, loaded.runtime))
        click.echo("\nCtrl-C stops it.")

    def curl(self, url: str, name: str, runtime: Runtime) -> str:
        """Return a command that predicts the first example row."""
        body = json.dumps({"instances": list(runtime.example_rows())[:1]}, ensure_ascii=False)
        key = ' -H "X-API-Key: ${DEMIJOHN_API_KEY%%,*}"' if self._settings.api_key else ""
        path = f"{self._settings.url_prefix}/models/{name}/{runtime.methods[0]}"
        return f"curl {url}{path}{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


class _Reloaded:
    """What ``--reload`` changes: the models of one worker."""

    def __init__(self, site: Site, models: Demijohn) -> None:
        self._site = site
        self._models = models

    def put(self, file: targets.ModelFile, *, allow_code: bool) -> None:
        """Load a file beside, prove it, then swap."""
        loaded = self._site.load(file, self._site.example_for(file.name), allow_code=allow_code)
        self._models.put_runtime(file.name, loaded.runtime, version=file.version)
        self._models.start()

    def drop(self, name: str, version: str) -> None:
        """Stop serving a version."""
        self._models.remove(name, version)


def _alias(text: str) -> tuple[str, str, str]:
    name, at, rest = text.partition("@")
    alias, equals, version = rest.partition("=")
    if not (at and equals and name and alias and version):
        raise ConfigurationError(f"--alias {text}: write NAME@ALIAS=VERSION, e.g. iris@champion=3")
    return name, alias, version


def _share_cores(workers: int) -> None:
    """Share the cores out between the workers' OpenMP pools.

    scikit-learn's OpenMP code takes every core even for one row. BLAS is left alone: with another
    number of threads it may sum in another order, and answers would differ in their last bits.
    """
    threadpoolctl = sys.modules.get("threadpoolctl")
    if threadpoolctl is not None:
        threadpoolctl.threadpool_limits(max(1, len(os.sched_getaffinity(0)) // workers), user_api="openmp")


def _app_loader(word: str) -> Callable[[Lifecycle], WSGIApplication]:
    """Return a loader that imports ``module:attribute`` in a worker."""
    module_name, _, attribute = word.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))

    def load(lifecycle: Lifecycle) -> WSGIApplication:
        del lifecycle  # installed for this process by the server
        app = _import_app(word, module_name, attribute)
        state = getattr(app, "extensions", {}).get("demijohn")
        if state is not None:
            state.start()
        return app

    return load


def _import_app(word: str, module_name: str, attribute: str) -> WSGIApplication:
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{word}: there is no module {error.name!r}") from error
    except Exception as error:  # the operator's module is foreign code
        raise ConfigurationError(
            f"{word}: importing it failed with {type(error).__name__}: {error}"
        ) from error
    for part in attribute.removesuffix("()").split("."):
        if not hasattr(found, part):
            raise ConfigurationError(f"{word}: module {module_name!r} has no {part!r}")
        found = getattr(found, part)
    is_factory = attribute.endswith("()")
    app: WSGIApplication = found() if is_factory else found
    if not callable(app):
        raise ConfigurationError(f"{word} is no WSGI app")
    return app
