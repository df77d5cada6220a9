"""The JSON documents that the routes answer, as types: OpenAPI's components are made from these.

Rules of this room:
1. The views write plain dicts; a test converts real answers to these types, so that both agree.
2. A field is never renamed or dropped: clients read them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

State = Literal["loading", "ready", "failed"]


class Place(Struct):
    """One place where a request does not fit."""

    row: int | None
    column: str | int | None
    expected: str
    received: str


class ProblemDetails(Struct):
    """An error, as RFC 9457 has it; branch on `code`, which never changes."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Place]
    request_id: str


class Alive(Struct):
    """The process is up."""

    status: Literal["alive"]


class Ready(Struct):
    """Every model that should serve does."""

    status: Literal["ready"]


class NotReady(Struct):
    """What keeps the server from serving, by model or part."""

    status: Literal["not ready"]
    reasons: dict[str, str]


class ModelSummary(Struct):
    """One model, by its default version."""

    name: str
    version: str
    state: State
    methods: list[str]


class ModelList(Struct):
    """What is served."""

    models: list[ModelSummary]


class Tensor(Struct):
    """One input or output; in `shape`, -1 marks a variable dimension and axis 0 is the row."""

    name: str
    dtype: str
    shape: list[int]
    nullable: bool
    categories: list[Any] | None


class Example(Struct):
    """A body that the model accepts."""

    instances: list[Any]


class MethodInputs(Struct):
    """What one method accepts, where that is not what the others do."""

    layout: Literal["matrix", "table", "vector", "tensors"]
    inputs: list[Tensor]
    example: Example


class ModelSignature(Struct):
    """What a model accepts, and what its methods return; `others` are methods that accept other inputs."""

    layout: Literal["matrix", "table", "vector", "tensors"]
    inputs: list[Tensor]
    outputs: dict[str, list[Tensor]]
    others: dict[str, MethodInputs]


class EngineRange(Struct):
    """Which engine runs a method for up to so many rows, and its measured time."""

    up_to_rows: int | None
    engine: str
    us: float | None


class RefusedEngine(Struct):
    """An engine that is not used, and why."""

    engine: str
    method: str
    why: str


class Plan(Struct):
    """Which engine runs what; `kept_alone` says why requests of a method are never joined.

    Where `survives_fork` is false, each worker loads the model itself, after the fork.
    """

    state: Literal["proving", "settled"]
    methods: dict[str, list[EngineRange]]
    refused: list[RefusedEngine]
    kept_alone: dict[str, str]
    survives_fork: bool


class Member(Struct):
    """One model of a chain; `method` is null for the last, which runs the method that is asked for."""

    model: str
    version: str
    method: str | None


class ModelDescription(Struct):
    """Everything that is known of one model."""

    name: str
    version: str
    versions: list[str]
    aliases: dict[str, str]
    state: State
    framework: str
    framework_version: str | None
    metadata: dict[str, str]
    methods: list[str]
    streams: list[str]
    members: list[Member]
    classes: list[Any] | None
    parameters: dict[str, list[str]]
    signature: ModelSignature
    example: Example
    plan: Plan
    warnings: list[str]


ALL = (Alive, ModelDescription, ModelList, NotReady, ProblemDetails, Ready)
