"""What a server tells of one model, ``GET /models/{name}``, as the words of this package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from demijohn.errors import UnusableAnswer
from demijohn.signature import Layout, Signature, TensorSpec

_MOST_AXES = 32
_T = TypeVar("_T")


class _Tensor(msgspec.Struct):
    name: str
    dtype: str
    shape: list[int]
    nullable: bool
    categories: list[Any] | None

    def spec(self) -> TensorSpec:
        if self.dtype not in ("str", "object"):
            np.dtype(self.dtype)
        if len(self.shape) > _MOST_AXES:
            raise ValueError("a tensor of so many axes")
        categories = None if self.categories is None else tuple(self.categories)
        return TensorSpec(self.name, self.dtype, tuple(self.shape), self.nullable, categories)


class _Inputs(msgspec.Struct):
    layout: Layout
    inputs: list[_Tensor]

    def signature(self) -> Signature:
        return Signature(self.layout, tuple(one.spec() for one in self.inputs))


class _Signature(_Inputs):
    outputs: dict[str, list[_Tensor]]
    others: dict[str, _Inputs]

    def signature(self) -> Signature:
        return Signature(
            self.layout,
            tuple(one.spec() for one in self.inputs),
            {method: tuple(one.spec() for one in specs) for method, specs in self.outputs.items()},
            {method: inputs.signature() for method, inputs in self.others.items()},
        )


class Summary(msgspec.Struct):
    """One model of ``GET /models``, by its default version."""

    name: str
    version: str
    state: str
    methods: list[str]


class Models(msgspec.Struct):
    """``GET /models``."""

    models: list[Summary]


class _Document(msgspec.Struct):
    name: str
    version: str
    versions: list[str]
    aliases: dict[str, str]
    state: str
    methods: list[str]
    streams: list[str]
    classes: list[Any] | None
    signature: _Signature
    plan: dict[str, Any]


class Description:
    """One version of a model.

    Args:
        body: JSON.

    Raises:
        UnusableAnswer: it describes no model.
    """

    def __init__(self, body: bytes) -> None:
        document = decode(body, _Document)
        try:
            self.signature = document.signature.signature()
        except (TypeError, ValueError) as error:
            raise UnusableAnswer(f"The server describes a tensor that cannot be: {error}") from error
        self.name = document.name
        self.version = document.version
        self.versions = tuple(document.versions)
        self.aliases = document.aliases
        self.state = document.state
        self.methods = tuple(document.methods)
        self.streams = tuple(document.streams)
        self.classes = document.classes
        self.plan = document.plan

    def outputs(self, method: str) -> Sequence[TensorSpec]:
        """Return what a method returns, as far as that is known before its first call."""
        return self.signature.outputs.get(method, ())

    def labels(self, method: str) -> Sequence[Any] | None:
        """Return the classes of which ``predict`` answers one for each row; None for other methods."""
        return self.classes if method == "predict" else None


def decode(body: bytes, kind: type[_T]) -> _T:
    """Read a JSON document of a server's.

    Raises:
        UnusableAnswer: it is none of that kind.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableAnswer(f"What came is no answer of a Demijohn server: {error}") from error
