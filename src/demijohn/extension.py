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

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, current_app, has_app_context

from . import lifecycle as lifecycles
from . import runtimes
from .added import Added
from .chains import ChainPredictor, ChainRuntime, Word, members_of, parse_word
from .config import Settings
from .errors import ConfigurationError
from .metrics import Metrics
from .model import Model
from .planning import settle_in_background
from .pool import Pool, check_name, check_version, rank
from .predictor import Predictor
from .runtimes.base import Runtime
from .web.blueprint import attach
from .web.services import EXTENSION, ModelControl, Services

logger = logging.getLogger("demijohn")

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


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
        self._models: dict[tuple[str, str], Added] = {}
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
        version: str | int = "1",
        example: Any = None,
        batching: bool | None = None,
        batch: bool = False,
        concurrency: int | None = None,
        device: str | None = None,
        default: bool = False,
        trust: bool = False,
    ) -> Model:
        """Serve a model.

        Args:
            name: In the URL: letters, digits, '.', '_' and '-', at most 128.
            model: A fitted estimator, a function, or the path of a model file. Naming a joblib or
                pickle file runs the code in it: name only files whose author you trust.
            version: Beside the versions that the name has already; 3 is "3".
            example: One to five rows (DataFrame, array, list): completes the signature.
            batching: False keeps every request of this model alone.
            batch: The function takes arrays of many rows, and those of several requests at once.
            concurrency: Calls of the model that may run at a time in one worker.
            device: Where a file of ONNX or PyTorch is to run: "cpu", "cuda", "cuda:1"; default the GPU
                where there is one.
            default: Let this model answer ``POST /predict``.
            trust: A model file may run code of its author: Lambda layers, layers of your own.

        Raises:
            OperatorError: the name or version is taken, or the model cannot be served.
        """
        check_name(name)
        options = {"example": example, "concurrency": concurrency, "device": device}
        runtime = _runtime_of(model, batch=batch, trust=trust, **options)
        return self.add_runtime(name, runtime, version=version, batching=batching, default=default)

    def add_runtime(
        self,
        name: str,
        runtime: Runtime,
        *,
        version: str | int = "1",
        batching: bool | None = None,
        default: bool = False,
    ) -> Model:
        """Serve a model that a runtime has loaded; see ``add``."""
        self._check_free(name, version := check_version(version))
        self.put_runtime(name, runtime, version=version, batching=batching)
        if default:
            self.set_default(name)
        return self[name]

    def _check_free(self, name: str, version: str) -> None:
        if (name, version) in self._models:
            raise ConfigurationError(
                f"Version {version!r} of model {name!r} is already there; give another name or version"
            )

    def put_runtime(
        self, name: str, runtime: Runtime, *, version: str | int = "1", batching: bool | None = None
    ) -> None:
        """Serve a model that a runtime has loaded, in place of the same version if there is one.

        Requests that found the old one are still answered by it.
        """
        self._put(Added(check_name(name), check_version(version), runtime, batching))

    def _put(self, added: Added) -> None:
        for services in self._apps:
            added.serve_from(services)
        self._models[added.name, added.version] = added
        self._follow(added.name)

    def chain(
        self,
        name: str,
        members: Sequence[str | tuple[str, str]],
        *,
        version: str | int = "1",
        batching: bool | None = None,
        default: bool = False,
    ) -> Model:
        """Serve models one after another: the outputs of each are the inputs of the next.

        The chain goes on with the current version of each member when that is replaced, if it fits;
        else, with a warning, with the one that it had.

        Args:
            name: Of the chain, as in ``add``.
            members: Names of models that are there, at least two. ``"clean.transform"`` or
                ``("clean", "transform")`` takes another method than the default: ``predict``, else
                ``transform``, else the first. The chain has the methods of the last, or the one
                that is named.
            version: Beside the versions that the name has already.
            batching: False keeps every request of the chain alone.
            default: Let the chain answer ``POST /predict``.

        Raises:
            ConfigurationError: a model or method is not there, or the outputs of one do not fit the
                inputs of the next; says which, and why.
        """
        check_name(name)
        self._check_free(name, version := check_version(version))
        words = tuple(parse_word(word, self) for word in members)
        if name in self._names_behind(words):
            raise ConfigurationError(f"chain {name!r} would be a member of itself")
        runtime = ChainRuntime(name, members_of(name, words, self._current))
        self._put(Added(name, version, runtime, batching, words))
        if default:
            self.set_default(name)
        return self[name]

    def _current(self, name: str) -> tuple[str, Runtime] | None:
        """Return a model's highest version and its runtime."""
        versions = [version for known, version in self._models if known == name]
        if not versions:
            return None
        version = max(versions, key=rank)
        return version, self._models[name, version].runtime

    def _names_behind(self, words: Sequence[Word]) -> set[str]:
        """Return the names of members, their members, and so on."""
        names = {word.model for word in words}
        chains = [added for added in self._models.values() if added.words and added.name in names]
        return names.union(*(self._names_behind(added.words) for added in chains))

    def _follow(self, changed: str) -> None:
        """Let the chains of a model go on with its current version."""
        for added in list(self._models.values()):
            if any(word.model == changed for word in added.words):
                self._remake(added)

    def _remake(self, added: Added) -> None:
        name, version = key = (added.name, added.version)
        try:
            runtime = ChainRuntime(name, members_of(name, added.words, self._current))
        except ConfigurationError as error:
            logger.warning("%s", error.detail)
            is_whole = all(word.model in self for word in added.words)
            for services in self._apps:
                _leave_behind(services.pool.find(name, version), error.detail, goes_on=is_whole)
            return
        del self._models[key]  # behind its members, as whoever makes all anew needs them
        self._put(replace(added, runtime=runtime))

    def remove(self, name: str, version: str | int) -> None:
        """Stop serving a version.

        Raises:
            KeyError: it is not served.
        """
        version = str(version)
        del self._models[name, version]
        self._aliases = {key: v for key, v in self._aliases.items() if (key[0], v) != (name, version)}
        for services in self._apps:
            services.pool.remove(name, version)
        self._follow(name)

    def unload(self, name: str, reason: str = "unloaded") -> None:
        """Stop serving a model with all its versions; whoever asks for it is told why (503)."""
        for version in [version for known, version in self._models if known == name]:
            del self._models[name, version]
        self._aliases = {key: version for key, version in self._aliases.items() if key[0] != name}
        for services in self._apps:
            services.pool.unload(name, reason)
        self._follow(name)

    def model(self, name: str, **options: Any) -> Callable[[AnyFunction], AnyFunction]:
        """Serve the decorated function as a model; the options are those of ``add``."""
        check_name(name)  # now: "@models.model" without a name decorates with nothing

        def decorate(function: AnyFunction) -> AnyFunction:
            self.add(name, function, **options)
            return function

        return decorate

    def alias(self, name: str, alias: str, version: str | int) -> None:
        """Let ``/models/{name}/aliases/{alias}/`` stand for a version; moves it if it exists."""
        version = str(version)
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

    def set_control(self, control: ModelControl) -> None:
        """Let clients load and unload models."""
        for services in self._apps:
            services.control = control

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


def _leave_behind(predictor: Predictor, why: str, *, goes_on: bool) -> None:
    """Say of a chain that it does not follow its members."""
    if isinstance(predictor, ChainPredictor):
        predictor.runtime.warnings = (f"goes on with the members it had: {why}",) if goes_on else (why,)
        if not goes_on:
            predictor.fail(why)


def load(model: Any, *, name: str = "model", example: Any = None, **options: Any) -> Model:
    """Serve a model to this process alone, without any app.

    Args:
        model: A fitted estimator, a function, or the path of a model file (a joblib or pickle file
            runs the code in it).
        name: For messages.
        example: Rows that complete the signature.
        **options: ``batching``, ``batch``, ``concurrency``, ``device`` and ``trust`` as in ``Demijohn.add``;
            fields of ``Settings``, e.g. ``deadline_s=60``.

    Returns:
        The same object as ``models["name"]``.

    Raises:
        OperatorError: the model cannot be loaded.
    """
    batching, trust = options.pop("batching", None), options.pop("trust", False)
    batch, concurrency = options.pop("batch", False), options.pop("concurrency", None)
    device = options.pop("device", None)
    settings = _read_settings({}, options)
    about = {"example": example, "concurrency": concurrency, "device": device}
    runtime = _runtime_of(model, batch=batch, trust=trust, **about)
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


def _runtime_of(model: Any, *, batch: bool, trust: bool, **options: Any) -> Runtime:
    if not isinstance(model, (str, os.PathLike)):
        return runtimes.wrap(model, batch=batch, **options)
    if batch:
        raise ConfigurationError("batch=True is for functions, and a file holds none")
    return runtimes.load(Path(model), is_trusted=trust, **options)
