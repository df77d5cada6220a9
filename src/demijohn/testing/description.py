"""Claims about what a runtime says of itself: attributes, signature, example, classes, digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from demijohn.errors import ConfigurationError
from demijohn.messages import Array, Tensors
from demijohn.runtimes.base import Runtime
from demijohn.runtimes.examples import MAX_EXAMPLE_ROWS
from demijohn.signature import Signature, TensorSpec, output_specs

from .subject import Finding, Subject, copied, told

_CALLS = ("digest", "run", "parameters", "classes", "example_rows")


def describes_itself(subject: Subject) -> Iterator[Finding]:
    """Everything that ``Runtime`` lists is there, and of its kind."""
    runtime = subject.runtime
    absent = [name for name in (*Runtime.__annotations__, *_CALLS) if not hasattr(runtime, name)]
    for name in absent:
        yield Finding(name, "an attribute of every Runtime", "nothing")
    for name, (expected, is_fit) in _KINDS.items():
        value = getattr(runtime, name, None)
        if name not in absent and not is_fit(value):
            yield Finding(name, expected, repr(value))
    if absent or not _is_texts(runtime.methods):
        return
    for method in runtime.methods:
        parameters, classes = runtime.parameters(method), runtime.classes(method)
        if not _is_texts(parameters):
            yield Finding(f"parameters({method!r})", "a tuple of names", repr(parameters))
        if classes is not None and not isinstance(classes, list):
            yield Finding(f"classes({method!r})", "a list or None", repr(classes))
    for method in runtime.signature.outputs:
        if method not in runtime.methods:
            yield Finding("signature.outputs", "methods of the model", repr(method))


def _is_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(one, str) for one in value)


def _are_methods(value: Any) -> bool:
    return _is_texts(value) and len(value) == len(set(value)) > 0 and "predict" not in value[1:]


def _are_exceptions(value: Any) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(one, type) and issubclass(one, Exception) for one in value
    )


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "framework": ("a name", lambda value: isinstance(value, str) and value != ""),
    "framework_version": ("a text or None", lambda value: value is None or isinstance(value, str)),
    "methods": ("a tuple of different names, predict first", _are_methods),
    "signature": ("a Signature", lambda value: isinstance(value, Signature)),
    "warnings": ("a tuple of texts", _is_texts),
    "joining": ('"prove", "always" or "never"', lambda value: value in ("prove", "always", "never")),
    "concurrency": ("a whole number from 1", lambda value: type(value) is int and value >= 1),
    "refusals": ("a tuple of classes of exceptions", _are_exceptions),
    "is_callable_unasked": ("a bool", lambda value: isinstance(value, bool)),
    "survives_fork": ("a bool", lambda value: isinstance(value, bool)),
    "metadata": ("texts by name", lambda value: isinstance(value, Mapping)),
    "sha256": (
        "a digest or None",
        lambda value: value is None or (isinstance(value, str) and len(value) == 64),
    ),
}


def example_rows_fit(subject: Subject) -> Iterator[Finding]:
    """The example rows fit the signature, and every method answers them."""
    n_rows = len(subject.runtime.example_rows())
    if n_rows > MAX_EXAMPLE_ROWS:
        yield Finding("example_rows()", "one to five rows", f"{n_rows} rows")
    for method in subject.runtime.methods:
        try:
            subject.run(method, subject.example(method))
        except ConfigurationError:
            raise  # nobody gave any
        except Exception as error:  # noqa: BLE001  - foreign code: whatever it raises, it is no answer
            yield Finding(method, "an answer to the example rows", told(error))


def matches_signature(subject: Subject) -> Iterator[Finding]:
    """Answers are as ``signature.outputs`` says, and all that the inputs allow is taken."""
    for method in subject.runtime.methods:
        described = subject.runtime.signature.outputs.get(method)
        if described:
            answer = subject.run(method, subject.rows(method, 3))
            yield from _misfits(method, described, output_specs(answer))
        if subject.runtime.is_callable_unasked:
            yield from _untaken(subject, method)


def _misfits(
    method: str, described: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]
) -> Iterator[Finding]:
    if [spec.name for spec in described] != [spec.name for spec in found]:
        expected, received = (", ".join(spec.name for spec in specs) for specs in (described, found))
        yield Finding(method, f"outputs named {expected}", received)
        return
    for promised, spec in zip(described, found, strict=True):
        if not (_is_fit(promised, spec) or _are_ragged(promised, spec)):
            yield Finding(method, f"an output {promised}", str(spec))


def _is_fit(promised: TensorSpec, spec: TensorSpec) -> bool:
    return (
        promised.dtype in ("object", spec.dtype)
        and len(spec.shape) == len(promised.shape)
        and all(size in (-1, given) for size, given in zip(promised.shape[1:], spec.shape[1:], strict=True))
    )


def _are_ragged(promised: TensorSpec, spec: TensorSpec) -> bool:
    """Say whether an output of a free size is one of rows that differ in it: an array of lists."""
    return -1 in promised.shape[1:] and (spec.dtype, spec.shape) == ("object", (-1,))


def _untaken(subject: Subject, method: str) -> Iterator[Finding]:
    """Try what is missing, and sizes that are free."""
    for what, tensors in _variants(subject.signature(method), subject.rows(method, 2)):
        try:
            subject.run(method, tensors)
        except Exception as error:  # noqa: BLE001  - foreign code, as above
            yield Finding(method, f"an answer where {what}, as the signature allows", told(error))


def _variants(signature: Signature, tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
    for spec in signature.inputs:
        if spec.nullable and not spec.ragged_rank:
            given = copied(tensors)
            given[spec.name] = _without_first(given[spec.name])
            yield f"a value of {spec.name!r} is missing", given
    free = {spec.name: _free_axes(spec) for spec in signature.inputs}
    if any(free.values()):
        yield "free sizes are twice as large", {name: _doubled(tensors[name], free[name]) for name in free}


def _free_axes(spec: TensorSpec) -> list[int]:
    """Return the axes whose size is free; those of ragged rows vary anyway."""
    return [] if spec.ragged_rank else [axis for axis, size in enumerate(spec.shape) if axis and size < 0]


def _without_first(array: Array) -> Array:
    """Return a copy of which the first number of each row is missing."""
    missing = {"f": np.nan, "M": np.datetime64("NaT")}.get(array.dtype.kind)
    # No integer and no bool says that it is missing: those come as objects, as the signature casts them.
    array = array.astype(object if missing is None else array.dtype)
    array.reshape(len(array), -1)[:, 0] = missing
    return array


def _doubled(array: Array, axes: list[int]) -> Array:
    for axis in axes:
        array = np.concatenate([array, array], axis)
    return array


def classes_name_the_columns(subject: Subject) -> Iterator[Finding]:
    """``classes(method)`` has one label per column of the answer; a list of them per output of several."""
    for method in subject.runtime.methods:
        classes = subject.runtime.classes(method)
        if classes is None:
            continue
        answer = list(subject.run(method, subject.rows(method, 2)).values())
        per_output = [classes] if len(answer) == 1 else classes
        sizes = [len(labels) if isinstance(labels, list) else labels for labels in per_output]
        widths = [array.shape[1] if array.ndim == 2 else f"shape {array.shape}" for array in answer]
        if sizes != widths:
            yield Finding(method, f"columns for {sizes} classes", f"{widths}")


def digest_is_stable(subject: Subject) -> Iterator[Finding]:
    """The same model has one digest, however often it is loaded; or none."""
    first = subject.runtime.digest()
    if first is not None and not isinstance(first, str):
        yield Finding("digest()", "a text or None", repr(first))
    for whose, again in (
        ("asked again", subject.runtime.digest()),
        ("loaded again", subject.load().digest()),
    ):
        if again != first:
            yield Finding("digest()", f"{first} when {whose}", repr(again))
