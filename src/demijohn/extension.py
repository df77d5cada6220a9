"""The Flask extension: wiring only; holds no app.

    models = Demijohn(app)                    # or Demijohn() and init_app(app)
    models.add("iris", estimator)             # any fitted model, or a path

Rules of this room:
1. Nothing of the host app is shadowed, replaced or configured: one blueprint, its hooks and error
   handlers its own.
2. One Demijohn may serve several apps; each has its own settings, models' queues and counters in
   ``app.extensions["demijohn"]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, current_app, has_app_context

from . import lifecycle as lifecycles
from . import runtimes
from .config import Settings
from .errors import ConfigurationError
from .metrics import Metrics
from .model import Model
from .pool import Pool, check_name
from .predictor import Predictor, settle_in_background
from .runtimes.base import Runtime
from .web.blueprint import attach
from .web.services import EXTENSION, Services

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Added:
    """A model as it was added; each app makes its own predictor of it."""

    name: str
    version: str
    runtime: Runtime
    batching: bool | None

    def serve_from(self, services: Services) -> None:
        """Serve it from one app, in place of the same version if there is one."""
        predictor = Predictor(
            self.name,
            self.version,
            self.runtime,
            services.settings,
            services.lifecycle,
            services.metrics.observer(self.name, self.version),
            self.batching,
        )
        services.pool.put(predictor)
        services.metrics.describe_model(
            self.name, self.version, self.runtime.framework, self.runtime.framework_version or ""
        )


class Demijohn:
    """Serves models from a Flask app.

    Args:
        app: The app, or None to call ``init_app`` later.
        url_prefix: Where the routes live; None takes DEMIJOHN_URL_PREFIX ("/ml").
        **settings: Any field of ``Settings``, e.g. ``deadline_s=5``; wins over app.config.

    Raises:
        RuntimeError: the app has a Demijohn already.
        ConfigurationError: a setting cannot be used.
    """

    def __init__(self, app: Flask | None = None, *, url_prefix: str | None = None, **settings: Any) -> None:
        _refuse_unknown(settings)
        self._given = settings | ({} if url_prefix is None else {"url_prefix": url_prefix})
        self._models: dict[tuple[str, str], _Added] = {}
        self._aliases: dict[tuple[str, str], str] = {}
        self._default: str | None = None
        self._apps: list[Services] = []
        if app is not None:
            self.init_app(app)

    @classmethod
    def of_server(cls, app: Flask, settings: Settings, *, bound_host: str) -> Demijohn:
        """Take over an app that exists for this only: routes at its root, 404 and 405 in our form."""
        models = cls()
        models._init(app, settings, owns_app=True, bound_host=bound_host)
        return models

    def init_app(self, app: Flask) -> None:
        """Give an app the routes, and the models that were added so far and later."""
        if EXTENSION in app.extensions:
            raise RuntimeError("This app already has a Demijohn; use that one.")
        settings = _read_settings(app.config, self._given)
        self._init(app, settings)

    def _init(
        self, app: Flask, settings: Settings, *, owns_app: bool = False, bound_host: str | None = None
    ) -> None:
        process = lifecycles.current()
        services = Services(settings, Pool(), Metrics(process), process, bound_host)
        app.extensions[EXTENSION] = services
        for added in self._models.values():
            added.serve_from(services)
        for (name, alias), version in self._aliases.items():
            services.pool.alias(name, alias, version)
        services.pool.default = self._default
        self._apps.append(services)
        attach(app, settings, owns_app=owns_app)

    def add(  # noqa: PLR0913  - each is a keyword of its own, with a default
        self,
        name: str,
        model: Any,
        *,
        version: str = "1",
        example: Any = None,
        batching: bool | None = None,
        batch: bool = False,
        concurrency: int | None = None,
        device: str | None = None,
        default: bool = False,
    ) -> Model:
        """Serve a model.

        Args:
            name: In the URL: letters, digits, '.', '_' and '-', at most 128.
            model: A fitted estimator, a function, or the path of a model file. Naming a joblib or
                pickle file runs the code in it: name only files whose author you trust.
            version: Beside the versions that the name has already.
            example: One to five rows (DataFrame, array, list): completes the signature.
            batching: False keeps every request of this model alone.
            batch: The function takes arrays of many rows, and those of several requests at once.
            concurrency: Calls of the model that may run at a time in one worker.
            device: Where a file of ONNX or PyTorch is to run: "cpu", "cuda", "cuda:1"; default the GPU
                where there is one.
            default: Let this model answer ``POST /predict``.

        Raises:
            OperatorError: the name or version is taken, or the model cannot be served.
        """
        check_name(name)
        runtime = _runtime_of(model, example, batch=batch, concurrency=concurrency, device=device)
        return self.add_runtime(name, runtime, version=version, batching=batching, default=default)

    def add_runtime(
        self,
        name: str,
        runtime: Runtime,
        *,
        version: str = "1",
        batching: bool | None = None,
        default: bool = False,
    ) -> Model:
        """Serve a model that a runtime has loaded; see ``add``."""
        if (name, version) in self._models:
            raise ConfigurationError(
                f"Version {version!r} of model {name!r} is already there; give another name or version"
            )
        self.put_runtime(name, runtime, version=version, batching=batching)
        if default:
            self.set_default(name)
        return self[name]

    def put_runtime(
        self, name: str, runtime: Runtime, *, version: str = "1", batching: bool | None = None
    ) -> None:
        """Serve a model that a runtime has loaded, in place of the same version if there is one.

        Requests that found the old one are still answered by it.
        """
        added = _Added(check_name(name), check_name(version, "version"), runtime, batching)
        for services in self._apps:
            added.serve_from(services)
        self._models[name, version] = added

    def remove(self, name: str, version: str) -> None:
        """Stop serving a version.

        Raises:
            KeyError: it is not served.
        """
        del self._models[name, version]
        self._aliases = {key: v for key, v in self._aliases.items() if (key[0], v) != (name, version)}
        for services in self._apps:
            services.pool.remove(name, version)

    def model(self, name: str, **options: Any) -> Callable[[AnyFunction], AnyFunction]:
        """Serve the decorated function as a model; the options are those of ``add``."""

        def decorate(function: AnyFunction) -> AnyFunction:
            self.add(name, function, **options)
            return function

        return decorate

    def alias(self, name: str, alias: str, version: str) -> None:
        """Let ``/models/{name}/aliases/{alias}/`` stand for a version; moves it if it exists."""
        if (name, version) not in self._models:
            raise ConfigurationError(f"Model {name!r} has no version {version!r}")
        check_name(alias, "alias")
        for services in self._apps:
            services.pool.alias(name, alias, version)
        self._aliases[name, alias] = version

    def set_default(self, name: str) -> None:
        """Let a model answer ``POST /predict``."""
        if name not in self:
            raise ConfigurationError(f"There is no model {name!r} to be the default")
        self._default = name
        for services in self._apps:
            services.pool.default = name

    def start(self) -> None:
        """Prove in the background which methods may be joined; the models answer meanwhile."""
        for services in self._apps:
            services.start()

    def __getitem__(self, name: str) -> Model:
        """Return a model by name.

        Raises:
            KeyError: there is none of that name.
        """
        if name not in self:
            known = ", ".join(self) or "none"
            raise KeyError(f"no model {name!r}; models: {known}")
        return Model(lambda: self._services().find(name))

    def __contains__(self, name: object) -> bool:
        """Say whether a model has this name."""
        return any(name == known for known, _ in self._models)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the models' names."""
        return iter(dict.fromkeys(name for name, _ in self._models))

    def _services(self) -> Services:
        """Return the current app's services, outside a request those of the only app."""
        if has_app_context() and EXTENSION in current_app.extensions:
            services: Services = current_app.extensions[EXTENSION]
            return services
        if len(self._apps) == 1:
            return self._apps[0]
        raise RuntimeError("This Demijohn serves no app or several; call it inside an app context.")


def load(model: Any, *, name: str = "model", example: Any = None, **options: Any) -> Model:
    """Serve a model to this process alone, without any app.

    Args:
        model: A fitted estimator, a function, or the path of a model file (a joblib or pickle file
            runs the code in it).
        name: For messages.
        example: Rows that complete the signature.
        **options: ``batching``, ``batch``, ``concurrency`` and ``device`` as in ``Demijohn.add``; fields of
            ``Settings``, e.g. ``deadline_s=60``.

    Returns:
        The same object as ``models["name"]``.

    Raises:
        OperatorError: the model cannot be loaded.
    """
    batching = options.pop("batching", None)
    batch, concurrency = options.pop("batch", False), options.pop("concurrency", None)
    device = options.pop("device", None)
    settings = _read_settings({}, options)
    runtime = _runtime_of(model, example, batch=batch, concurrency=concurrency, device=device)
    predictor = Predictor(name, "1", runtime, settings, lifecycles.current(), batching=batching)
    # Threads that call it may share a call once that is proved; until then each runs alone.
    settle_in_background([predictor])
    return Model(lambda: predictor)


def _read_settings(config: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    _refuse_unknown(given)
    return Settings.from_mapping(config, os.environ, **given)


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    unknown = given.keys() - Settings.__dataclass_fields__.keys()
    if unknown:
        raise TypeError(f"Demijohn has no setting {', '.join(sorted(unknown))}")


def _runtime_of(
    model: Any, example: Any, *, batch: bool, concurrency: int | None, device: str | None
) -> Runtime:
    if not isinstance(model, (str, os.PathLike)):
        return runtimes.wrap(model, example=example, batch=batch, concurrency=concurrency, device=device)
    if batch:
        raise ConfigurationError("batch=True is for functions, and a file holds none")
    return runtimes.load(Path(model), example=example, concurrency=concurrency, device=device)
