"""A request whose rows are for the queue: to be waited for, or to be told about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from demijohn.errors import DemijohnError
from demijohn.messages import InferenceResponse, Tensors

from .batcher import Batcher

Outcome = InferenceResponse | Exception


class Waiting(NamedTuple):
    """A request that its batcher has not heard of yet; see ``Batcher.submit``."""

    batcher: Batcher
    method: str
    tensors: Tensors
    parameters: Mapping[str, Any]
    deadline: float
    respond: Callable[[Tensors], InferenceResponse]  #: Makes the outputs an answer.

    def wait(self) -> InferenceResponse:
        """Answer it; blocks until then, and raises as ``Batcher.submit`` does."""
        outputs = self.batcher.submit(self.method, self.tensors, self.parameters, self.deadline)
        return self.respond(outputs)

    def outcome(self) -> Outcome:
        """Answer it; blocks until then, and returns what ``wait`` would raise."""
        try:
            return self.wait()
        except Exception as error:  # noqa: BLE001  - whatever a model raises
            return error

    def send(self, tell: Callable[[Outcome], None]) -> None:
        """Have it answered; returns at once.

        Args:
            tell: Called once, in this thread or the model's, with what ``wait`` would return or raise. It
                is quick, and raises nothing.
        """
        respond = self.respond

        def tell_outcome(outputs: Tensors | Exception) -> None:
            tell(outputs if isinstance(outputs, Exception) else respond(outputs))

        try:
            self.batcher.send(self.method, self.tensors, self.parameters, self.deadline, tell_outcome)
        except DemijohnError as error:  # it is refused
            tell(error)
