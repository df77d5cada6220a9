"""The models that one ``demijohn serve`` was asked for, and the app around them.

Rules of this room:
1. Files are loaded once, before the fork, so that what is wrong with one is said at once and the
   workers share their pages; and those of a large forest in the form in which an engine runs it.
   Those of a framework that does not survive a fork are looked at in a process of their own, and
   loaded by each worker.
2. Everything that the options name (model, version, file) must be there.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIApplication

from . import descriptions, planning, runtimes, targets
from .announcement import describe
from .chains import ChainRuntime, members_of, parse_word
from .config import Settings
from .errors import ConfigurationError, DemijohnError, LoadError
from .examples import read_example
from .lifecycle import Lifecycle
from .pool import check_name, rank
from .runtimes.apart import begin_apart, try_apart
from .runtimes.base import Runtime
from .runtimes.hardware import HARDWARE
from .served import WorkerModels

if TYPE_CHECKING:
    from .extension import Demijohn

logger = logging.getLogger("demijohn")

_SHOWN_FILES = 5
_CHAIN = "1"  # the version of a chain


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """The options of ``demijohn serve`` that are about models."""

    host: str
    workers: int
    name: str | None = None
    examples: Sequence[str] = ()
    default: str | None = None
    aliases: Sequence[str] = ()
    chains: Sequence[str] = ()
    reload: bool = False
    strict_versions: bool = False
    is_trusted: bool = False
    device: str | None = None


class Site:
    """Loads the models, makes the app in each worker, announces it.

    Args:
        words: The command line's targets.
        settings: Of the server.
        options: As the operator gave them.
        control_folder: Private to the server, for ``--model-control``; None: clients load nothing.

    Raises:
        OperatorError: a model cannot be loaded, or an option names what is not there.
    """

    def __init__(
        self,
        words: Sequence[str],
        settings: Settings,
        options: SiteOptions,
        control_folder: Path | None = None,
    ) -> None:
        self._control_folder = control_folder
        self._settings = settings
        self._options = options
        self._targets = _named([targets.parse(word) for word in words], options.name)
        found = targets.find(self._targets)
        self._files = found.files
        self._aliases = [_alias(text) for text in options.aliases]
        self._chains = _chains(options.chains, self._files)
        self._check_names({file.key for file in self._files} | {(name, _CHAIN) for name in self._chains})
        if options.device and not any(file.framework in runtimes.WITH_DEVICE for file in self._files):
            raise ConfigurationError(
                f"--device {options.device}: no model here has one; ONNX and PyTorch have"
            )
        self._examples = self._read_examples()
        self._runtimes = self._look_at_all()
        self._members: dict[str, list[str]] = {}  # of each chain, without the methods
        self._chained = self._look_at_chains()
        self._shared = [planning.prepare(runtime, settings) for runtime in self._runtimes]
        _tell_passed_over(found.passed_over)

    def load(self, file: targets.ModelFile, *, allow_code: bool = True) -> Runtime:
        """Load one file, with the example that was given for its model.

        Raises:
            OperatorError: it cannot be loaded; says which file.
        """
        try:
            runtime = runtimes.load(file.path, **self._options_of(file, allow_code=allow_code))
        except LoadError:
            raise
        except DemijohnError as error:
            raise ConfigurationError(f"{file.path}: {error.detail}", errors=error.errors) from error
        for warning in runtime.warnings:
            logger.warning("%s: %s", file.path, warning)
        return runtime

    def _load_beside(self, file: targets.ModelFile, *, allow_code: bool) -> Runtime:
        """Load a file while others serve; first in a process of its own, if it could take this one with it.

        Raises:
            OperatorError: it cannot be loaded; says which file.
        """
        for known, runtime in zip(self._files, self._runtimes, strict=True):
            if file.survives_fork and (known.key, known.sha256) == (file.key, file.sha256):
                return runtime  # what the workers share since the start
        if not file.survives_fork:
            try_apart(file.path, self._options_of(file, allow_code=allow_code))
        return self.load(file, allow_code=allow_code)

    def _options_of(self, file: targets.ModelFile, *, allow_code: bool) -> dict[str, Any]:
        """Return how a file is loaded: the arguments of ``runtimes.load``."""
        return {
            "example": self._examples.get(file.name),
            "strict_versions": self._options.strict_versions,
            "allow_code": allow_code,
            "is_trusted": self._options.is_trusted,
            "device": self._options.device if file.framework in runtimes.WITH_DEVICE else None,
        }

    def _look_at_all(self) -> list[Runtime]:
        """Load what survives a fork; of what does not, find out what is to be known, or was before."""
        keys = {file.key: self._description_key(file) for file in self._files if not file.survives_fork}
        found: dict[tuple[str, str], Runtime] = {
            key: kept for key, one in keys.items() if (kept := descriptions.read(one)) is not None
        }
        unknown = [file for file in self._files if file.key in keys.keys() - found.keys()]
        with begin_apart([(file.path, partial(self.load, file)) for file in unknown]) as collect:
            found |= {file.key: self.load(file) for file in self._files if file.survives_fork}
            told = collect()
        descriptions.write([keys[file.key] for file in unknown], told)
        found |= {file.key: one for file, one in zip(unknown, told, strict=True)}
        return [found[file.key] for file in self._files]

    def _description_key(self, file: targets.ModelFile) -> str | None:
        if file.runs_code:
            return None
        return descriptions.key_of(file.framework, file.sha256, self._options_of(file, allow_code=True))

    def _look_at_chains(self) -> dict[str, ChainRuntime]:
        """Find out here, and not in each worker, whether the members of each chain fit."""
        latest: dict[str, tuple[str, Runtime]] = {}
        for file, runtime in zip(self._files, self._runtimes, strict=True):
            if file.name not in latest or rank(latest[file.name][0]) < rank(file.version):
                latest[file.name] = (file.version, runtime)
        chains = {}
        for name, words in self._chains.items():
            parsed = [parse_word(word, latest) for word in words]
            self._members[name] = [word.model for word in parsed]
            chains[name] = runtime = ChainRuntime(name, members_of(name, parsed, latest.get))
            latest[name] = (_CHAIN, runtime)
        return chains

    def make_app(self, lifecycle: Lifecycle) -> WSGIApplication:
        """Build the app; runs in each worker, after the fork."""
        from flask import Flask

        from .extension import Demijohn

        _share_cores(self._options.workers)
        app = Flask("demijohn.serve", static_folder=None)
        models = Demijohn.of_server(app, self._settings, bound_host=self._options.host)
        for file, runtime in zip(self._files, self._runtimes, strict=True):
            here = runtime if file.survives_fork else self.load(file)
            models.add_runtime(file.name, here, version=file.version)
        for name, words in self._chains.items():
            models.chain(name, words)
        for alias in self._aliases:
            models.alias(*alias)
        if self._options.default:
            models.set_default(self._options.default)
        if self._options.reload:
            self._watch(models, lifecycle)
        if self._control_folder is not None:
            self._follow_control(models, lifecycle, self._control_folder)
        # Once for each model on this machine: whoever finds a plan that was kept says nothing.
        logging.getLogger("demijohn.acceleration").setLevel(logging.INFO)
        models.start()
        return app.wsgi_app  # the fast lane, which the gateway may ask more directly

    def announcement(self, url: str) -> list[str]:
        """Return what to print: the address, the models, and a command for each that works when pasted."""
        files = [file.key for file in self._files]
        models = list(zip(files, self._runtimes, strict=True))
        models += [((name, _CHAIN), runtime) for name, runtime in self._chained.items()]
        return describe(url, models, self._settings)

    def _watch(self, models: Demijohn, lifecycle: Lifecycle) -> None:
        from . import watching

        _name_worker(watching.logger, lifecycle)
        watching.Watcher(self._targets, self._files, self._models_of(models)).start()

    def _follow_control(self, models: Demijohn, lifecycle: Lifecycle, folder: Path) -> None:
        from . import model_control

        _name_worker(model_control.logger, lifecycle)
        start = model_control.Start(self._targets, self._files, self._members)
        control = model_control.ModelControl(start, self._models_of(models), folder)
        control.join()
        models.set_control(control)

    def _models_of(self, models: Demijohn) -> WorkerModels:
        return WorkerModels(models, self._load_beside, self._aliases, self._chains)

    def _read_examples(self) -> dict[str, Any]:
        names = list(dict.fromkeys(file.name for file in self._files))
        examples: dict[str, Any] = {}
        for word in self._options.examples:
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

    def _check_names(self, known: Iterable[tuple[str, str]]) -> None:
        names = ", ".join(dict.fromkeys(name for name, _ in known))
        default = self._options.default
        if default and default not in {name for name, _ in known}:
            raise ConfigurationError(f"--default {default}: there is no such model; models: {names}")
        for name, alias, version in self._aliases:
            if (name, version) not in known:
                versions = ", ".join(sorted(f"{n} version {v}" for n, v in known))
                raise ConfigurationError(
                    f"--alias {name}@{alias}={version}: there is no such version; there are: {versions}"
                )


def _name_worker(logger: logging.Logger, lifecycle: Lifecycle) -> None:
    """Let a log say whose words they are: several workers say the same of the same file."""
    prefix = f"worker {lifecycle.worker_id}: "
    logger.setLevel(logging.INFO)
    logger.addFilter(lambda record: _prefixed(record, prefix))


def count_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _named(found: list[targets.Target], name: str | None) -> list[targets.Target]:
    if name is None:
        return found
    if len(found) != 1:
        raise ConfigurationError("--name is for one target; write name=path for several")
    return [targets.Target(found[0].path, check_name(name))]


def _tell_passed_over(paths: Sequence[Path]) -> None:
    if paths:
        shown = ", ".join(map(str, paths[:_SHOWN_FILES]))
        more = ", …" if len(paths) > _SHOWN_FILES else ""
        logger.warning("passed over, since no model: %s%s", shown, more)


def _alias(text: str) -> tuple[str, str, str]:
    name, at, rest = text.partition("@")
    alias, equals, version = rest.partition("=")
    if not (at and equals and name and alias and version):
        raise ConfigurationError(f"--alias {text}: write NAME@ALIAS=VERSION, e.g. iris@champion=3")
    return name, check_name(alias, "alias"), version


def _chains(texts: Sequence[str], files: Sequence[targets.ModelFile]) -> dict[str, list[str]]:
    """Read the options that name chains: their members, by name."""
    taken = {file.name for file in files}
    chains: dict[str, list[str]] = {}
    for text in texts:
        name, equals, members = text.partition("=")
        if not (equals and name and all(members.split(","))):
            raise ConfigurationError(f"--chain {text}: write NAME=MODEL,MODEL, e.g. both=clean,score")
        if check_name(name, "chain") in taken | chains.keys():
            raise ConfigurationError(f"--chain {text}: there is a model {name!r} already")
        chains[name] = members.split(",")
    return chains


def _share_cores(workers: int) -> None:
    """Share the cores out between the workers' pools of OpenMP and BLAS threads.

    scikit-learn's OpenMP code takes every core even for one row, and so does BLAS for a large matrix:
    several workers that do so wait for each other. Frameworks that each worker loads itself read their
    share when they do.
    """
    HARDWARE.threads = max(1, count_cores() // workers)
    threadpoolctl = sys.modules.get("threadpoolctl")
    if threadpoolctl is not None:
        threadpoolctl.threadpool_limits(HARDWARE.threads)


def _prefixed(record: logging.LogRecord, prefix: str) -> bool:
    record.msg = prefix + str(record.msg)
    return True
