"""The ONNX runtime: any graph that onnxruntime runs, with its own names, dtypes and shapes.

Rules of this room:
1. The file was looked through before (``onnx_file``); onnxruntime gets bytes, opens no other file, and
   loads no library of operators: what it does not know itself is refused.
2. A classifier in the manner of skl2onnx has ``predict`` and ``predict_proba``; any other graph has
   ``predict``, whose answer is its outputs by name, or its only one.
3. A session is opened in the process that runs it; none survives a fork.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, LoadError, ModelError
from demijohn.messages import Array, Tensors

from .base import Artifact, UnopenedModel
from .graph import GraphRuntime
from .graph_inputs import GraphInput, limits_of
from .hardware import HARDWARE
from .onnx_external import digest_with, read_files
from .onnx_file import OnnxFacts, read_facts
from .pickles import missing_extra

logger = logging.getLogger("demijohn")

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_FATAL = 4  # what fails is raised; as an error it would be written to stderr too
_TENSOR = re.compile(r"tensor\((\w+)\)\Z")
_DTYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "str",
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip
_MAPS = re.compile(r"seq\(map\((?:int64|string),tensor\(float\)\)\)\Z")
#: What skl2onnx, onnxmltools and their like call a classifier's outputs.
_LABELS = ("label", "output_label")
_PROBABILITIES = ("probabilities", "output_probability")
_LONGEST_TEXT = 300
#: How onnxruntime's texts begin: its code, and where in its source they were written.
_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_PLACE = re.compile(r"\A/\S+:\d+ .*?\) (?=[A-Z])")


@dataclass(frozen=True, slots=True, eq=False)
class OnnxModel(UnopenedModel):
    """An ONNX file that has been read and looked through."""

    content: bytes
    facts: OnnxFacts
    files: Mapping[str, bytes] = field(default_factory=dict)  #: Of weights, by location.
    framework: str = "onnx"


def load_onnx(artifact: Artifact, content: bytes) -> OnnxModel:
    """Look through an ONNX file, and read the files of weights beside it.

    Raises:
        LoadError: it is broken or was crafted, or a file beside it may not be read.
    """
    try:
        facts = read_facts(content)
        files = read_files(facts, artifact.path)
    except LoadError as error:
        raise LoadError(f"{artifact.path}: {error.detail}") from error
    if files and digest_with(content, files) != artifact.sha256:
        raise LoadError(f"{artifact.path}: the files of its weights changed while it was loaded")
    return OnnxModel(content, facts, files)


def wrap(
    model: Any,
    *,
    example: object = None,
    batch: bool = False,
    concurrency: int | None = None,
    device: str | None = None,
) -> GraphRuntime:
    """Adapt an ONNX model: one that was looked through, or an ``onnx.ModelProto``.

    Raises:
        MissingExtra: onnxruntime is not installed.
        LoadError: onnxruntime refuses it, or it has inputs that cannot be rows.
        ConfigurationError: the example does not fit it, or there is no such device.
    """
    if batch:
        raise ConfigurationError("batch=True is for functions; Demijohn finds out itself what a graph allows")
    if not isinstance(model, OnnxModel):
        model = _of_proto(model)
    return GraphRuntime(OnnxGraph(model, device), example, concurrency)


def _of_proto(proto: Any) -> OnnxModel:
    content: bytes = proto.SerializeToString()
    facts = read_facts(content)
    if facts.externals:
        raise LoadError("This model's weights are in other files; give the path of its file")
    return OnnxModel(content, facts)


class OnnxGraph:
    """One graph in a session of onnxruntime."""

    framework = "onnx"

    def __init__(self, model: OnnxModel, device: str | None = None) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise missing_extra("onnxruntime", "An ONNX model") from error
        self.framework_version = str(onnxruntime.__version__)
        self._session = _open(onnxruntime, model, device)
        self._run = self._session.run
        on_cpu = self._session.get_providers() == [_CPU]
        # A GPU gains by what is joined while it is busy.
        self.is_free = on_cpu
        self.warnings: tuple[str, ...] = ()
        self.inputs = tuple(map(_input_of, self._session.get_inputs()))
        self.limits = limits_of(self.inputs)
        self.refusals = _refusals()
        self.metadata: Mapping[str, str] = _metadata_of(self._session)
        self._digest = digest_with(model.content, dict(model.files)) + ("" if on_cpu else " on a GPU")
        outputs = self._session.get_outputs()
        self._shapes = {one.name: _shape_of(one.shape) for one in outputs}
        self._maps = {one.name: _Maps(model.facts.labels) for one in outputs if _is_map(one)}
        self._labels, self._outputs = _methods_of(outputs, self._maps, model.facts.labels)
        self.methods = tuple(self._outputs)

    def call(self, method: str, feeds: Tensors) -> Tensors:
        names = self._outputs[method]
        found = self._run(names, feeds)
        if len(names) == 1:
            return {method: self._array(names[0], found[0])}
        return {name: self._array(name, one) for name, one in zip(names, found, strict=True)}

    def output_shape(self, method: str, name: str) -> Sequence[int] | None:
        return self._shapes[self._outputs[method][0] if name == method else name]

    def classes(self, method: str) -> list[Any] | None:
        if method != "predict_proba":
            return None
        maps = self._maps.get(self._outputs[method][0])
        return self._labels if maps is None else maps.labels

    def digest(self, sha256: str | None) -> str | None:
        del sha256  # that of the file is one of what it says, not of where it runs
        return self._digest

    def _array(self, name: str, found: Any) -> Array:
        if name in self._maps:
            return self._maps[name].matrix(found)
        array: Array = np.asarray(found)
        return array


# Sessions -----------------------------------------------------------------------------------


def _open(onnxruntime: Any, model: OnnxModel, device: str | None) -> Any:
    options = _options(onnxruntime)
    names = list(model.files)
    if names:
        buffers = [model.files[name] for name in names]
        options.add_external_initializers_from_files_in_memory(names, buffers, list(map(len, buffers)))
    providers = _providers(onnxruntime.get_available_providers(), device)
    try:
        session = onnxruntime.InferenceSession(model.content, options, providers=providers)
    except Exception as error:  # the runtime's errors share no class but Exception
        raise LoadError(f"onnxruntime refuses it: {_without_places(error)}") from error
    session.disable_fallback()  # it would try again and print
    return session


def _providers(available: Sequence[str], device: str | None) -> list[Any]:
    """Return where a graph runs: on the GPU where there is one, unless the operator says otherwise."""
    kind, _, number = (device or "").partition(":")
    if kind not in {"", "cpu", "cuda"} or (number and not (kind == "cuda" and number.isdigit())):
        raise ConfigurationError(f"There is no device {device!r} for ONNX; there are: cpu, cuda, cuda:0, …")
    if kind == "cuda" and _CUDA not in available:
        raise ConfigurationError(f"The device {device!r} needs onnxruntime-gpu, which is not installed")
    if kind == "cpu" or _CUDA not in available:
        return [_CPU]
    return [(_CUDA, {"device_id": number or "0"}), _CPU]


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    if HARDWARE.threads is not None:
        options.intra_op_num_threads = HARDWARE.threads
    for pool in ("intra_op", "inter_op"):  # who waits must not take a core from another worker
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    return options


def _refusals() -> tuple[type[Exception], ...]:
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    return (InvalidArgument,)


def _metadata_of(session: Any) -> dict[str, str]:
    """Return what the file says of itself, without what it leaves empty."""
    found = session.get_modelmeta()
    said = {
        "producer_name": found.producer_name,
        "graph_name": found.graph_name,
        "domain": found.domain,
        "version": str(found.version) if found.version else "",
        "description": found.description,
        "graph_description": found.graph_description,
    }
    return {name: text for name, text in {**found.custom_metadata_map, **said}.items() if text}


def _without_places(error: Exception) -> str:
    text = " ".join(_CODE.sub("", str(error)).split()) or type(error).__name__
    return _PLACE.sub("", text)[:_LONGEST_TEXT]


# Inputs and outputs -------------------------------------------------------------------------


def _input_of(found: Any) -> GraphInput:
    return GraphInput(found.name, _dtype_of(found, "input"), _shape_of(found.shape))


def _dtype_of(found: Any, what: str) -> str:
    tensor = _TENSOR.match(found.type)
    if tensor is None or tensor[1] not in _DTYPES:
        raise LoadError(f"Its {what} {found.name!r} is a {found.type}, which cannot be served")
    return _DTYPES[tensor[1]]


def _shape_of(sizes: Sequence[Any]) -> tuple[int, ...]:
    """Return a shape in which a size without a number is -1."""
    return tuple(size if isinstance(size, int) and size >= 0 else -1 for size in sizes)


def _is_map(output: Any) -> bool:
    return _MAPS.match(output.type) is not None


def _methods_of(
    outputs: Sequence[Any], maps: Mapping[str, _Maps], known: Sequence[list[Any]]
) -> tuple[list[Any] | None, dict[str, list[str]]]:
    """Return a classifier's labels where its file has them, and which outputs each method returns."""
    for output in outputs:
        if output.name not in maps:
            _dtype_of(output, "output")
    names = [output.name for output in outputs]
    if len(names) == 2 and names[0] in _LABELS and (names[1] in _PROBABILITIES or names[1] in maps):
        labels = None if names[1] in maps else _labels_of(outputs[0], outputs[1], known)
        if labels is not None or names[1] in maps:
            return labels, {"predict": names[:1], "predict_proba": names[1:]}
    return None, {"predict": names}


def _labels_of(label: Any, probabilities: Any, known: Sequence[list[Any]]) -> list[Any] | None:
    """Return the only list of labels that fits both outputs; None where there is none, or a choice."""
    kind = str if label.type == "tensor(string)" else int
    width = _shape_of(probabilities.shape)[-1] if len(probabilities.shape) == 2 else 0
    fitting = [one for one in known if isinstance(one[0], kind) and width in {-1, len(one)}]
    return fitting[0] if len(fitting) == 1 else None


class _Maps:
    """Turns a map per row, from label to probability, into a matrix.

    Args:
        known: Lists of labels that the file has; the one of the maps gives the order of the columns.
    """

    def __init__(self, known: Sequence[list[Any]]) -> None:
        self._known = known
        self.labels: list[Any] | None = None  #: Of the columns; None before the first call.

    def matrix(self, rows: Sequence[Mapping[Any, float]]) -> Array:
        """Return a matrix (n_rows, n_labels), float32 as the maps are.

        Raises:
            ModelError: the maps of two rows have other labels.
        """
        labels = self.labels
        if labels is None:
            keys = list(rows[0])
            labels = self.labels = next((one for one in self._known if sorted(one) == sorted(keys)), keys)
        try:
            return np.array([[row[label] for label in labels] for row in rows], np.float32)
        except KeyError as error:
            raise ModelError("The model returned other labels for one row than for another") from error
