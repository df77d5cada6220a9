"""What exported programs and modules of PyTorch have in common: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError, LoadError, ModelError
from demijohn.messages import Array, Tensors

from .graph_inputs import GraphInput, limits_of
from .row_chunks import RowLimits

_DTYPES = frozenset({
    "float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "uint64",
})  # fmt: skip
ROUNDED = {"bfloat16": "float32"}  # numpy has none: a client sends the wider kind


class TorchGraph:
    """What programs and modules have in common.

    Args:
        torch: The package.
        call: Runs the model: named tensors in, whatever it returns out.
        inputs: It takes them in this order.
        device: Where it is.
    """

    framework = "torch"
    methods: tuple[str, ...] = ("predict",)
    program: Any = None  #: That of ``torch.export``, where there is one: it can be compiled.
    is_free = False  # a call may be long, and takes several cores
    metadata: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, torch: Any, call: Callable[[dict[str, Any]], Any], inputs: Sequence[GraphInput], device: Any
    ) -> None:
        self.framework_version = str(torch.__version__)
        self.inputs = tuple(inputs)
        self.limits: RowLimits = limits_of(inputs)
        self.warnings: tuple[str, ...] = ()
        self.device = device
        # A program checks what it was told of sizes by assertions.
        self.refusals: tuple[type[Exception], ...] = (
            IndexError, ValueError, TypeError, RuntimeError, AssertionError,
        )  # fmt: skip
        self.casts: dict[str, Any] = {}  #: Inputs that go in as what numpy has not, by name.
        self._torch = torch
        self._call = call

    def call(self, method: str, feeds: Tensors) -> Tensors:
        given = {name: self._tensor(name, array) for name, array in feeds.items()}
        try:
            with self._torch.inference_mode():
                result = self._call(given)
        except RuntimeError as error:
            if isinstance(error, self._torch.OutOfMemoryError) or "allocate memory" in str(error):
                raise ModelError("The model ran out of memory") from error
            raise
        return {name: self._array(tensor) for name, tensor in _named(self._torch, method, result)}

    def output_shape(self, method: str, name: str) -> Sequence[int] | None:
        del method, name
        return None

    def classes(self, method: str) -> list[Any] | None:
        del method
        return None

    def digest(self, sha256: str | None) -> str | None:
        return None if sha256 is None else f"{sha256} on {self.device.type}"

    def _tensor(self, name: str, array: Array) -> Any:
        """View an array as a tensor, without a copy where it lies as PyTorch needs it."""
        tensor = self._torch.from_numpy(np.require(array, requirements=["C", "W"]))
        if name in self.casts:
            tensor = tensor.to(self.casts[name])
        return tensor if self.device.type == "cpu" else tensor.to(self.device)

    def _array(self, tensor: Any) -> Array:
        torch = self._torch
        if not tensor.is_inference():  # a part of the model or of its input: nobody else may write to it
            tensor = tensor.clone()
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        array: Array = tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
        return array


def _named(torch: Any, method: str, result: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a model returned, by name.

    Raises:
        ModelError: it is neither a tensor nor made of tensors.
    """
    if isinstance(result, torch.Tensor):
        yield method, result
        return
    parts = _parts_of(result)
    if parts is None:
        raise ModelError(f"The model returned a {type(result).__name__}, which is no tensor")
    if len(parts) == 1 and not isinstance(result, Mapping):
        parts = {method: next(iter(parts.values()))}
    for name, part in parts.items():
        for inner, tensor in _named(torch, "", part):
            yield (f"{name}_{inner}" if inner else name), tensor


def _parts_of(result: Any) -> dict[str, Any] | None:
    """Return the parts of a dict, a tuple with names, or one without; None of anything else."""
    if isinstance(result, Mapping):
        parts = {str(name): part for name, part in result.items()}
    elif hasattr(result, "_fields"):
        parts = dict(zip(result._fields, result, strict=True))
    elif isinstance(result, (tuple, list)):
        parts = {f"output_{index}": part for index, part in enumerate(result)}
    elif hasattr(result, "__dataclass_fields__"):
        parts = {name: getattr(result, name) for name in result.__dataclass_fields__}
    else:
        return None
    return {name: part for name, part in parts.items() if part is not None}


def device_of(torch: Any, wanted: str | None) -> Any:
    """Return the device that the operator names; else the GPU where there is one.

    Raises:
        ConfigurationError: there is no such device.
    """
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).partition("\n")[0]
        raise ConfigurationError(f"PyTorch has no device {wanted!r} here: {first}") from error
    return device


def dtype_of(name: str, dtype: Any) -> str:
    """Name a tensor's dtype, as an array that goes in for it has it.

    Raises:
        LoadError: numpy has no such dtype.
    """
    text = str(dtype).removeprefix("torch.")
    if text not in _DTYPES | ROUNDED.keys():
        raise LoadError(f"Its input {name!r} is of dtype {text}, which cannot be served")
    return ROUNDED.get(text, text)
