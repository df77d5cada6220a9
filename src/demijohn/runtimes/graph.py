"""A runtime around a graph: tensors go in, tensors come out, and a file says which.

Rules of this room:
1. The answer is the graph's own, bit for bit; rows are only cut into as many as it takes at a time.
2. A graph that does not treat axis 0 as rows, whatever its file declares, gets one row at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from demijohn.messages import Tensors
from demijohn.signature import TensorSpec, output_specs

from .base import Joining
from .examples import FAILS_ON_EXAMPLE, read_example
from .graph_inputs import (
    Feeder,
    GraphInput,
    complete,
    example_tensors,
    made_up_row,
    signature_of,
)
from .row_chunks import ANY_ROWS, ONE_BY_ONE, Call, RowLimits, run_rows

logger = logging.getLogger("demijohn")

_LONGEST_TEXT = 300
_SIZES = (1, 8, 32, 224)  # of a made-up row, wherever any size will do: the first that the graph takes


class Graph(Protocol):
    """What a framework knows of one graph, and how it runs it."""

    framework: str
    framework_version: str
    inputs: tuple[GraphInput, ...]
    limits: RowLimits
    methods: tuple[str, ...]
    refusals: tuple[type[Exception], ...]  #: What it raises on rows that it will not take.
    metadata: Mapping[str, str]  #: What its file says of it.
    warnings: tuple[str, ...]
    is_free: bool  #: Any thread may call it at any time, and another gains nothing by waiting for its turn.

    def call(self, method: str, feeds: Tensors) -> Tensors:
        """Run the graph on one array per input; returns named arrays, axis 0 the row."""

    def output_shape(self, method: str, name: str) -> Sequence[int] | None:
        """Return an output's shape as declared, axis 0 included, -1 any; None where it is not known."""

    def classes(self, method: str) -> list[Any] | None:
        """Return the labels of the columns of ``predict_proba``, else None; asked after a call."""

    def digest(self, sha256: str | None) -> str | None:
        """Return what tells this graph from every other; ``sha256`` is that of its file, if it has one."""


class GraphRuntime:
    """One graph as a model.

    Args:
        graph: Of a framework.
        example: As in ``runtimes.wrap``.
        concurrency: As in ``runtimes.wrap``.

    Raises:
        LoadError: its inputs cannot be rows.
        ConfigurationError: the example does not fit them.
    """

    joining: Joining = "prove"
    is_callable_unasked = True
    survives_fork = False

    def __init__(self, graph: Graph, example: object = None, concurrency: int | None = None) -> None:
        self.graph = graph
        self.framework = graph.framework
        self.framework_version: str | None = graph.framework_version
        self.methods = graph.methods
        self.refusals = graph.refusals
        self.metadata = graph.metadata
        self.warnings: tuple[str, ...] = graph.warnings
        self.concurrency = concurrency or 1
        self.sha256: str | None = None
        self.trouble = ""  #: What the graph said when it did not take the example.
        self._limits = graph.limits
        known = signature_of(graph.inputs)
        given = read_example(example)
        self.signature = known if given is None else complete(known, given)
        self._feed = Feeder(graph.inputs, self.signature)
        self._example: Sequence[Any] = [] if given is None else given.rows_for(self.signature)
        outputs = self._probe(example_tensors(self.signature, self._example)) if given else self._make_up()
        self.fails_on_example = not outputs  #: See ``planning.shown_rows``.
        if given and self.fails_on_example:
            self.warnings += (FAILS_ON_EXAMPLE,)
        self.signature = self.signature.with_outputs(
            {method: self._specs(method, found) for method, found in outputs.items()}
        )
        self._classes = {method: graph.classes(method) for method in self.methods}

    @property
    def is_free(self) -> bool:
        """Say whether any thread may run it at any time."""
        return self.graph.is_free

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run one method; see ``Runtime.run``.

        Raises:
            ModelError: the graph returned another number of rows than it got.
        """
        del parameters  # there are none
        return self._run(method, tensors, self._limits)

    def parameters(self, method: str) -> tuple[str, ...]:
        del method
        return ()

    def classes(self, method: str) -> list[Any] | None:
        return self._classes[method]

    def example_rows(self) -> Sequence[Any]:
        return self._example

    def digest(self) -> str | None:
        return self.graph.digest(self.sha256)

    def run_by(self, call: Call, tensors: Tensors) -> Tensors:
        """Run rows by something else that takes what the graph takes: one array per input, by name."""
        feed = self._feed
        return run_rows(lambda chunk: call(feed(chunk)), tensors, self._limits)

    def _run(self, method: str, tensors: Tensors, limits: RowLimits) -> Tensors:
        graph, feed = self.graph, self._feed
        return run_rows(lambda chunk: graph.call(method, feed(chunk)), tensors, limits)

    # What it does with rows -----------------------------------------------------------------

    def _make_up(self) -> dict[str, Tensors]:
        """Find a row of zeros that the graph takes, and what it answers."""
        has_any_size = any(size < 0 for spec in self.signature.inputs for size in spec.shape[1:])
        for size in _SIZES if has_any_size else _SIZES[:1]:
            self._example = [made_up_row(self.signature, size)]
            outputs = self._probe(example_tensors(self.signature, self._example))
            if outputs:
                return outputs
        self._example = [made_up_row(self.signature, _SIZES[0])]
        self.warnings += ("it takes no row of zeros, so what it returns is not known: give an example",)
        return {}

    def _probe(self, example: Tensors) -> dict[str, Tensors]:
        """Call each method on one row; none is in what comes back if that fails."""
        one = {name: array[:1] for name, array in example.items()}
        try:
            if self._limits == ANY_ROWS and not self._takes_two(one):
                self._limits = ONE_BY_ONE
            outputs = {method: self._run(method, one, self._limits) for method in self.methods}
        except Exception as error:  # noqa: BLE001  - the graph is foreign code, and the row may be made up
            logger.debug("%s on an example row: %s: %s", self.framework, type(error).__name__, error)
            self.trouble = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_TEXT]}"
            self._limits = self.graph.limits
            return {}
        if self._limits != self.graph.limits:
            self.warnings += ("its answers have no axis of rows, so each row is a call of its own",)
        return outputs

    def _takes_two(self, one: Tensors) -> bool:
        """Say whether two rows come back as two."""
        two = {name: array.repeat(2, axis=0) for name, array in one.items()}
        self._run(self.methods[0], two, ONE_BY_ONE)  # what fails here is the row's fault
        try:
            self._run(self.methods[0], two, ANY_ROWS)
        except Exception as error:  # noqa: BLE001  - the same
            logger.debug("%s on two rows at a time: %s: %s", self.framework, type(error).__name__, error)
            return False
        return True

    def _specs(self, method: str, outputs: Tensors) -> tuple[TensorSpec, ...]:
        """Describe what one row's answer shows, where sizes may vary as far as the graph declares them."""
        varies = any(size < 0 for spec in self.signature.inputs for size in spec.shape[1:])
        return tuple(
            replace(spec, shape=_declared(spec.shape, self.graph.output_shape(method, spec.name)))
            if varies
            else spec
            for spec in output_specs(outputs)
        )


def _declared(seen: tuple[int, ...], declared: Sequence[int] | None) -> tuple[int, ...]:
    if declared is None or len(declared) != len(seen):
        return (-1, *(-1 for _ in seen[1:]))
    return (-1, *declared[1:])
