"""``demijohn predict``: a file of rows in, a file of predictions out, the same way as a request.

Rules of this room:
1. Rows are run in pieces only by a method that was proved to treat rows one by one; any other gets
   the whole file in one call.
2. Nothing is written unless every row was predicted, and then all at once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from . import runtimes
from .config import Settings
from .errors import LoadError, MethodNotFound
from .examples import content_type_of, read_example, read_file
from .lifecycle import Lifecycle
from .messages import InferenceResponse, Tensors, count_rows
from .predictor import Predictor
from .protocols import native
from .targets import stem

PIECE_ROWS = 4096
_FOREVER_S = 10 * 365 * 86_400.0  # a file may take as long as it takes


def predict_file(
    model: Path,
    rows: Path,
    *,
    method: str,
    output: Path | None,
    form: str | None,
    example: Path | None,
    strict_versions: bool,
) -> None:
    """Predict every row of a file.

    Args:
        model: A model file.
        rows: CSV with a header, or JSON in any body form; "-" reads standard input.
        method: One of the model's methods.
        output: Where the predictions go; None for standard output.
        form: "csv" or "json"; None for the form of ``rows``.
        example: Rows that complete the signature.
        strict_versions: Refuse a model that another version of its framework saved.

    Raises:
        OperatorError: a file cannot be read or written.
        RequestError: the rows do not fit; says where.
    """
    settings = Settings.from_mapping({}, os.environ, deadline_s=_FOREVER_S, max_queue_s=_FOREVER_S)
    example_rows = read_example(example, settings) if example else None
    runtime = runtimes.load(model, example=example_rows, strict_versions=strict_versions)
    predictor = Predictor(stem(model), "1", runtime, settings, Lifecycle())
    if method not in runtime.methods:
        raise MethodNotFound(f"{model} has no method {method!r}; it has: {', '.join(runtime.methods)}")
    content = sys.stdin.buffer.read() if str(rows) == "-" else read_file(rows)
    media_type = _sniff(content) if str(rows) == "-" else content_type_of(rows)
    unlimited = Settings(max_elements=max(len(content), 1), max_body_bytes=max(len(content), 1))
    request = native.decode(content, media_type, unlimited)
    tensors = runtime.signature.validate(request.inputs)
    response = _predict(predictor, method, tensors)
    answer = native.encode(
        response, request, {"csv": native.CSV, "json": native.JSON, None: media_type}[form]
    )
    _write(answer.body, output)


def _sniff(content: bytes) -> str:
    return native.JSON if content.lstrip()[:1] in (b"[", b"{") else native.CSV


def _predict(predictor: Predictor, method: str, tensors: Tensors) -> InferenceResponse:
    n_rows = count_rows(tensors)
    deadline = time.monotonic() + _FOREVER_S
    if n_rows > PIECE_ROWS:
        predictor.prove()
    if n_rows <= PIECE_ROWS or method in predictor.not_joined:
        return predictor.answer(method, tensors, {}, deadline)
    answers = []
    with click.progressbar(
        length=n_rows, label="rows", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for piece in _pieces(tensors, n_rows):
            answers.append(predictor.answer(method, piece, {}, deadline))
            bar.update(count_rows(piece))
    names = answers[0].outputs
    outputs = {name: np.concatenate([answer.outputs[name] for answer in answers]) for name in names}
    return answers[0]._replace(outputs=outputs, n_rows=n_rows)


def _pieces(tensors: Tensors, n_rows: int) -> Iterator[Tensors]:
    for start in range(0, n_rows, PIECE_ROWS):
        yield {name: array[start : start + PIECE_ROWS] for name, array in tensors.items()}


def _write(body: bytes, output: Path | None) -> None:
    if not body.endswith(b"\n"):
        body += b"\n"
    if output is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        # Beside the target and then renamed: a reader never sees half a file.
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=output.name, delete=False) as file:
            file.write(body)
        Path(file.name).chmod(0o644)
        Path(file.name).replace(output)
    except OSError as error:
        raise LoadError(f"{output}: cannot be written: {(error.strerror or str(error)).lower()}") from error
