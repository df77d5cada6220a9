"""Outputs that a request asks for by name: which methods they are of, and what of the answers they get.

Rule of this room: a name means a method, else the first method with an output of that name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .messages import Tensors
from .signature import Signature


def methods_by_name(names: Sequence[str], methods: Sequence[str], signature: Signature) -> dict[str, str]:
    """Return the method that each name means; a name that means none stands for itself."""
    return {name: name if name in methods else _method_of(name, signature) for name in names}


def _method_of(name: str, signature: Signature) -> str:
    for method, specs in signature.outputs.items():
        if any(spec.name == name for spec in specs):
            return method
    return name


def gather(names: Mapping[str, str], answers: Mapping[str, Tensors]) -> Tensors:
    """Return the outputs that were asked for, in that order.

    Args:
        names: What ``methods_by_name`` returned.
        answers: The outputs of each method.

    Returns:
        All outputs of a method, or the one that was named; one whose name another's has already stands
        under ``method.name``.
    """
    gathered: Tensors = {}
    for asked, method in names.items():
        outputs = answers[method]
        wanted = outputs if asked == method else {asked: outputs[asked]}
        for name, array in wanted.items():
            gathered[f"{method}.{name}" if name in gathered else name] = array
    return gathered
