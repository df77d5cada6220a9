"""``demijohn serve app:app``: importing the operator's own app, in each worker.

Rules of this room:
1. The app runs as it is: nothing of it is configured; only its Demijohn, if it has one, is started.
2. What is wrong with the module is one line: where, which error, its first line.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from .errors import ConfigurationError
from .refusal_texts import named_line

_WSGI_ARGUMENTS = 2


def load_app(word: str) -> WSGIApplication:
    """Import an app.

    Args:
        word: ``module:attribute``, or ``module:factory()``; modules of the working directory count.

    Raises:
        ConfigurationError: there is no such module or attribute, importing it fails, or what it names
            is no WSGI app.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # Flask's sign that somebody else serves: an app.run() outside of "if __name__ == '__main__'",
    # as in many tutorials, then returns at once instead of starting a second server.
    os.environ["FLASK_RUN_FROM_CLI"] = "true"
    module_name, _, attribute = word.partition(":")
    found = _attribute(word, _module(word, module_name), attribute.removesuffix("()"))
    app = _made(word, found) if attribute.endswith("()") else found
    _check_callable(word, app, attribute)
    _start_models(app)
    return HostApp(app) if _may_have_lane(app) else app


def _module(word: str, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name == error.name or name.startswith(f"{error.name}."):
            raise ConfigurationError(f"{word}: there is no module {error.name!r} here") from error
        raise ConfigurationError(
            f"{word}: {name!r} needs the module {error.name!r}, which is missing"
        ) from error
    except (Exception, SystemExit) as error:  # the operator's module is foreign code
        raise ConfigurationError(f"{word}: importing {name!r} failed: {named_line(error)}") from error


def _attribute(word: str, found: Any, path: str) -> Any:
    for part in path.split("."):
        if not hasattr(found, part):
            owner = getattr(found, "__name__", type(found).__name__)
            raise ConfigurationError(f"{word}: {owner!r} has no {part!r}")
        found = getattr(found, part)
    return found


def _made(word: str, factory: Callable[[], Any]) -> Any:
    if not callable(factory):
        raise ConfigurationError(f"{word}: that is no function; write it without ()")
    try:
        return factory()
    except (Exception, SystemExit) as error:  # the operator's function is foreign code
        raise ConfigurationError(f"{word}: making the app failed: {named_line(error)}") from error


def _check_callable(word: str, app: Any, attribute: str) -> None:
    if not callable(app):
        raise ConfigurationError(f"{word}: a {type(app).__name__} is no WSGI app")
    if inspect.isfunction(app) and not _takes(app, _WSGI_ARGUMENTS):
        hint = "" if attribute.endswith("()") else f"; if it makes one, write {word}()"
        raise ConfigurationError(f"{word}: this function is no WSGI app{hint}")


def _takes(function: Callable[..., Any], n_arguments: int) -> bool:
    try:
        inspect.signature(function).bind(*range(n_arguments))
    except TypeError:
        return False
    return True


class HostApp:
    """A Flask app, and the fast lane in front of it, which the gateway may ask more directly.

    Args:
        app: Is asked as it stands: what is put in front of the lane later sees every request.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; PEP 3333."""
        return self._app(environ, start_response)  # type: ignore[no-any-return]

    def answer_whole(self, *request: Any) -> Any:
        """Answer one request, if the lane does; see ``FastLane.answer_whole``."""
        answer_whole = getattr(self._app.wsgi_app, "answer_whole", None)
        return None if answer_whole is None else answer_whole(*request)


def _may_have_lane(app: Any) -> bool:
    """Say whether calling an app is calling its ``wsgi_app``."""
    from flask import Flask

    return isinstance(app, Flask) and type(app).__call__ is Flask.__call__


def _start_models(app: Any) -> None:
    from .web.services import EXTENSION

    services = getattr(app, "extensions", {}).get(EXTENSION)
    if services is not None:
        services.start()
