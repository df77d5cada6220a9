"""A model as it was added to a Demijohn, from which each app makes a predictor of its own."""

from __future__ import annotations

from dataclasses import dataclass

from .chains import ChainPredictor, Word
from .predictor import Predictor
from .runtimes.base import Runtime
from .web.services import Services


@dataclass(frozen=True, slots=True)
class Added:
    """A model as it was added; each app makes its own predictor of it."""

    name: str
    version: str
    runtime: Runtime
    batching: bool | None
    words: tuple[Word, ...] = ()  #: Members, where it is a chain.

    def serve_from(self, services: Services) -> None:
        """Serve it from one app, in place of the same version if there is one."""
        services.pool.put(self._predictor(services))
        services.metrics.describe_model(
            self.name, self.version, self.runtime.framework, self.runtime.framework_version or ""
        )

    def _predictor(self, services: Services) -> Predictor:
        name, version = self.name, self.version
        rest = (
            services.settings,
            services.lifecycle,
            services.metrics.observer(name, version),
            self.batching,
        )
        if not self.words:
            return Predictor(name, version, self.runtime, *rest)
        pool = services.pool
        members = {one: pool.find(one) for one in {word.model for word in self.words} if one in pool}
        return ChainPredictor(name, version, self.words, members.get, *rest)
