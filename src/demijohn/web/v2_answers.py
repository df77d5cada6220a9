"""The documents of the Open Inference Protocol, as types: OpenAPI's components are made from these.

Rule of this room: as in ``answers``, the views write plain dicts, and a test converts real ones.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from demijohn.protocols import v2_tensors

Datatype = Literal[v2_tensors.DATATYPES]  # type: ignore[valid-type]


class V2Error(Struct):
    """What went wrong."""

    error: str


class V2Server(Struct):
    """Who answers, and which extensions it has."""

    name: str
    version: str
    extensions: list[str]


class V2Health(Struct):
    """Whether the process is up, and every model that should serve does."""

    live: bool
    ready: bool


class V2ModelList(Struct):
    """The models' names."""

    models: list[str]


class V2Tensor(Struct):
    """One input or output; in `shape`, -1 marks a variable dimension and axis 0 is the row."""

    name: str
    datatype: Datatype
    shape: list[int]


class V2Model(Struct):
    """What a model takes, and every output that can be asked for by name."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[V2Tensor]
    outputs: list[V2Tensor]


class V2ModelReady(Struct):
    """Whether a model answers."""

    name: str
    ready: bool


class V2Reshape(Struct):
    """How a row really is, where `dims` cannot say it."""

    shape: list[int]


class V2ConfigTensor(Struct):
    """One input or output, without the dimension of the rows."""

    name: str
    data_type: str
    dims: list[int]
    reshape: V2Reshape | UnsetType = UNSET


class V2Config(Struct):
    """A model's configuration, as Triton's tools read it."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[V2ConfigTensor]
    output: list[V2ConfigTensor]
    dynamic_batching: dict[str, Any] | UnsetType = UNSET


class V2Duration(Struct):
    """How often, and for how long in all, in nanoseconds."""

    count: int
    ns: int


class V2Durations(Struct):
    """Where the time of a model's requests went."""

    success: V2Duration
    fail: V2Duration
    queue: V2Duration
    compute_input: V2Duration
    compute_infer: V2Duration
    compute_output: V2Duration
    cache_hit: V2Duration
    cache_miss: V2Duration


class V2BatchStatistics(Struct):
    """Calls of one number of rows; their inputs and outputs are counted by request, not here."""

    batch_size: int
    compute_input: V2Duration
    compute_infer: V2Duration
    compute_output: V2Duration


class V2ModelStatistics(Struct):
    """One version of a model; `last_inference` is in milliseconds since 1970; the last two are empty."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: V2Durations
    batch_stats: list[V2BatchStatistics]
    response_stats: dict[str, V2Duration]
    memory_usage: list[dict[str, int | str]]


class V2Statistics(Struct):
    """All workers added up."""

    model_stats: list[V2ModelStatistics]


class V2IndexEntry(Struct):
    """One version of a model."""

    name: str
    version: str
    state: Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE", "UNKNOWN"]
    reason: str


class V2Output(Struct):
    """One output: its `data`, flat and row-major, or the number of its bytes."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any] | UnsetType = UNSET
    parameters: dict[str, Any] | UnsetType = UNSET


class V2Answer(Struct):
    """A model's outputs."""

    model_name: str
    model_version: str
    outputs: list[V2Output]
    id: str | UnsetType = UNSET


class V2Input(Struct):
    """One input: its `data`, nested or flat, or the number of its bytes in `parameters`."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class V2Wanted(Struct):
    """One output that is asked for: a method, or an output of one."""

    name: str
    parameters: dict[str, Any] | None = None


class V2Request(Struct):
    """A prediction's request."""

    inputs: list[V2Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[V2Wanted] | None = None


class V2IndexRequest(Struct):
    """Which models to list."""

    ready: bool | None = None


ALL = (
    V2Answer, V2Config, V2Error, V2Health, V2IndexEntry, V2IndexRequest, V2Model, V2ModelList, V2ModelReady,
    V2Request, V2Server, V2Statistics,
)  # fmt: skip
