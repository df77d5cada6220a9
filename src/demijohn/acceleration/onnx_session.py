"""Sessions of onnxruntime: a graph in, a function from arrays to arrays out.

Rules of this room:
1. A session has no threads of its own, writes nothing to stderr or stdout, and may be run by any
   number of threads at a time.
2. A session is opened in the worker that runs it, after the fork: onnxruntime does not promise
   that one opened before survives it.

Measured (onnxruntime 1.32, one row): ``run`` takes 4.2 µs, 0.8 of them for checks that the private
``_sess.run`` spares; an ``IOBinding`` per call 6.8, ``run_with_ort_values`` 37. So ``run`` it is.
Without the memory arena a session takes 35 KiB, with it 100, and a call no less time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from demijohn.messages import Array

from .engine import StepAside, Unconvertible

#: From a graph's inputs by name to its outputs in their order. Raises ``StepAside`` where the
#: runtime fails on them.
Session = Callable[[Mapping[str, Array]], list[Array]]

_CODE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")  #: How the runtime's texts begin.
_FATAL = 4  # what fails is raised; as an error it would be written to stderr too


def open_session(model_bytes: bytes) -> Session:
    """Open a graph on the CPU.

    Args:
        model_bytes: A serialized ``ModelProto``.

    Raises:
        Unconvertible: onnxruntime is not installed, or refuses the graph.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime") from error
    try:
        session = onnxruntime.InferenceSession(
            model_bytes, _options(onnxruntime), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime's errors share no class but Exception
        raise Unconvertible(f"onnxruntime refuses the graph: {first_line(error)}") from error
    session.disable_fallback()  # it would try again and print
    names = [output.name for output in session.get_outputs()]
    run = session.run

    def run_session(inputs: Mapping[str, Array]) -> list[Array]:
        try:
            outputs: list[Array] = run(names, inputs)
        except Exception as error:  # the same
            raise StepAside(f"onnxruntime failed: {first_line(error)}") from error
        return outputs

    return run_session


def missing(package: str) -> Unconvertible:
    """Return the refusal that names the extra to install."""
    return Unconvertible(f"{package} is not installed: pip install 'demijohn[accel]'")


def first_line(error: BaseException) -> str:
    """Return an error's text as one readable line of at most 200 characters."""
    text = " ".join(_CODE.sub("", str(error)).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = _FATAL
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    return options
