"""The C extension, or what stands in its place where it could not be built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demijohn.kernels import absent

if TYPE_CHECKING:
    from demijohn.kernels import _kernels
else:
    try:
        import demijohn.kernels._kernels as _kernels  # noqa: PLR0402 - this one names what is missing
    except ModuleNotFoundError as error:
        if error.name != "demijohn.kernels._kernels":
            raise
        _kernels = absent

__all__ = ["IS_BUILT", "WHY_NOT", "_kernels"]

IS_BUILT: bool = _kernels is not absent
WHY_NOT: str = "" if IS_BUILT else absent.WHY_NOT  #: One line for the operator.
