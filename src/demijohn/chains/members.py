"""What a chain is made of, and what it looks like as one model.

Rules of this room:
1. A chain takes what its first member takes, and has the methods of its last.
2. A member before the last runs its default method unless another is named: ``predict``, else
   ``transform``, else its first.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

from demijohn.errors import ConfigurationError
from demijohn.messages import Tensors
from demijohn.runtimes.base import Joining, Runtime
from demijohn.signature import Signature, TensorSpec

from .handover import Handover

FEWEST = 2
_DEFAULTS = ("predict", "transform")


class Word(NamedTuple):
    """A member as somebody wrote it."""

    model: str
    method: str | None = None  #: None: the default; for the last member, all of its methods.


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a chain."""

    name: str
    version: str
    runtime: Runtime
    method: str | None  #: None: the one that the chain is asked for; of the last member only.

    def step(self, method: str) -> str:
        """Return which of its methods runs when the chain is asked for ``method``."""
        return self.method or method

    @property
    def accepts(self) -> Signature:
        """What its method takes; of a last member without one, what its first method does."""
        signature = self.runtime.signature
        return signature if self.method is None else signature.of(self.method)


def parse_word(word: str | Sequence[str], models: Container[str]) -> Word:
    """Read ``"clean"``, ``"clean.transform"`` or ``("clean", "transform")``.

    A model may have a dot in its name; what is the name of a model is one.

    Raises:
        ConfigurationError: it is none of these.
    """
    if isinstance(word, str):
        name, dot, method = word.rpartition(".")
        if word in models or not dot or name not in models:
            return Word(word)
        return Word(name, method)
    if isinstance(word, Sequence) and [type(part) for part in word] == [str, str]:
        return Word(*word)
    raise ConfigurationError(f"{word!r} is no member of a chain; write a model's name, or (name, method)")


def members_of(
    chain: str, words: Sequence[Word], find: Callable[[str], tuple[str, Runtime] | None]
) -> list[Member]:
    """Find the models of a chain.

    Args:
        chain: Name of the chain, for errors.
        words: Its members.
        find: Returns a model's current version and runtime.

    Raises:
        ConfigurationError: there are too few, or a model or method that is not there.
    """
    if len(words) < FEWEST:
        raise ConfigurationError(f"chain {chain!r} has {len(words)} members; it takes {FEWEST} or more")
    return [_member(chain, word, find, is_last=word is words[-1]) for word in words]


def _member(
    chain: str, word: Word, find: Callable[[str], tuple[str, Runtime] | None], *, is_last: bool
) -> Member:
    found = find(word.model)
    if found is None:
        raise ConfigurationError(f"chain {chain!r}: there is no model {word.model!r}")
    version, runtime = found
    if word.method is not None and word.method not in runtime.methods:
        known = ", ".join(runtime.methods)
        raise ConfigurationError(
            f"chain {chain!r}: model {word.model!r} has no method {word.method!r}; it has: {known}"
        )
    method = word.method
    if method is None and not is_last:
        method = next((one for one in _DEFAULTS if one in runtime.methods), runtime.methods[0])
    return Member(word.model, version, runtime, method)


class ChainRuntime:
    """Models one after another, as one.

    Args:
        name: Of the chain, for errors.
        members: At least two.

    Raises:
        ConfigurationError: the outputs of one do not fit the inputs of the next.
    """

    framework = "chain"
    framework_version: str | None = None
    joining: Joining = "never"  # the predictor asks the members
    refusals: tuple[type[Exception], ...] = ()  # each member tells its own
    is_callable_unasked = False

    def __init__(self, name: str, members: Sequence[Member]) -> None:
        self.members = tuple(members)
        first, last = members[0], members[-1]
        # A method of the last that takes other inputs than its first cannot be handed the same.
        others = last.runtime.signature.others if last.method is None else ()
        methods = last.runtime.methods if last.method is None else (last.method,)
        self.methods: tuple[str, ...] = tuple(method for method in methods if method not in others)
        self.streams = tuple(m for m in getattr(last.runtime, "streams", ()) if m in self.methods)
        known = last.runtime.signature.outputs
        self.signature: Signature = replace(
            first.accepts,
            outputs={method: known[method] for method in self.methods if method in known},
            others={},
        )
        self.concurrency = max(member.runtime.concurrency for member in members)
        self.warnings: tuple[str, ...] = ()
        self.fails_on_example: bool = getattr(first.runtime, "fails_on_example", False)
        self.sha256: str | None = None
        self.survives_fork = all(member.runtime.survives_fork for member in members)
        self.metadata: Mapping[str, str] = {}
        self.handovers = [
            Handover(giver.name, taker.name, taker.accepts) for giver, taker in pairwise(members)
        ]
        self._check(name)

    def _check(self, name: str) -> None:
        for giver, handover in zip(self.members, self.handovers, strict=False):
            outputs = outputs_of(giver.runtime, giver.step(""))
            if outputs:
                try:
                    handover.check(outputs)
                except ConfigurationError as error:
                    raise ConfigurationError(f"chain {name!r}: {error.detail}") from error

    def run(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Tensors:
        """Run the members' frameworks one after another, in this thread; for measuring."""
        for member, handover in zip(self.members, self.handovers, strict=False):
            tensors = handover(member.runtime.run(member.step(method), tensors, {}))
        return self.members[-1].runtime.run(method, tensors, parameters)

    def stream(self, method: str, tensors: Tensors, parameters: Mapping[str, Any]) -> Iterator[Any]:
        """Run all members but the last, and yield its items; see ``StreamingRuntime.stream``."""
        for member, handover in zip(self.members, self.handovers, strict=False):
            tensors = handover(member.runtime.run(member.step(method), tensors, {}))
        last: Any = self.members[-1].runtime
        yield from last.stream(method, tensors, parameters)

    def promises(self, method: str) -> tuple[TensorSpec, ...]:
        """Return what a method returns, as far as the last member says so."""
        return outputs_of(self.members[-1].runtime, method)

    def parameters(self, method: str) -> tuple[str, ...]:
        return self.members[-1].runtime.parameters(method)

    def classes(self, method: str) -> list[Any] | None:
        return self.members[-1].runtime.classes(method)

    def example_rows(self) -> Sequence[Any]:
        first = self.members[0]
        return first.accepts.example or first.runtime.example_rows()

    def digest(self) -> str | None:
        return None  # nothing is planned of it as a whole


def outputs_of(runtime: Runtime, method: str) -> tuple[TensorSpec, ...]:
    """Return what a method returns, seen or promised; nothing where nobody knows."""
    seen = runtime.signature.outputs.get(method)
    if seen:
        return tuple(seen)
    promises = getattr(runtime, "promises", None)
    return () if promises is None else tuple(promises(method))
