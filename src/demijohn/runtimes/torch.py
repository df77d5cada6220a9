"""The PyTorch runtime: exported programs, TorchScript, and modules in memory.

Rules of this room:
1. A model is called in inference mode, and otherwise as it is: a module of the user's is never changed,
   neither its mode nor its device.
2. A program says itself what it takes; a module does not, so an example says it.
3. What a model returns is an array per tensor: one alone is ``predict``, several go by their names.
"""

from __future__ import annotations

from typing import Any

from demijohn.errors import ConfigurationError, LoadError

from .graph import GraphRuntime
from .hardware import HARDWARE
from .torch_files import import_torch
from .torch_modules import wrap_module
from .torch_programs import ProgramGraph


def wrap(
    model: Any,
    *,
    example: object = None,
    batch: bool = False,
    concurrency: int | None = None,
    device: str | None = None,
) -> GraphRuntime:
    """Adapt a model of PyTorch: an ``ExportedProgram``, a ``ScriptModule`` or any ``nn.Module``.

    Raises:
        LoadError: it is none of these, is in training mode, or takes what cannot be rows.
        ConfigurationError: the example does not fit it, or there is no such device.
    """
    if batch:
        raise ConfigurationError("batch=True is for functions; Demijohn finds out itself what a model allows")
    torch = import_torch("A model of PyTorch")
    if HARDWARE.threads is not None:
        torch.set_num_threads(HARDWARE.threads)
    if isinstance(model, torch.export.ExportedProgram):
        return GraphRuntime(ProgramGraph(torch, model, device), example, concurrency)
    if isinstance(model, torch.nn.Module):
        return wrap_module(torch, model, example, concurrency, device)
    raise LoadError(
        f"A {type(model).__name__} is no model: expected an exported program, TorchScript or a module"
    )
