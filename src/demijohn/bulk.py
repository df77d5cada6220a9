"""``demijohn predict``: a file of rows in, a file of predictions out, the same way as a request.

Rules of this room:
1. A file of up to ``PIECE_ROWS`` rows is one call, and so is a larger one for a method that was not
   proved to treat rows one by one. Else rows are run in pieces: as with joined requests labels are
   equal then, and numbers within 1e-12 relative.
2. Nothing is written unless every row was predicted, and then all at once.
3. Engines are used where a server or ``inspect`` has proved them before: for one file alone a proof
   would not pay.
4. A CSV file is read piece by piece, since its cells as text take ten times what they take as numbers.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import click
from msgspec.structs import replace

from . import runtimes
from .config import Settings
from .errors import ConfigurationError, LoadError, MethodNotFound, MissingExtra, RequestError
from .examples import MEDIA_TYPES, media_type_of, read_example, why_unreadable
from .lifecycle import Lifecycle
from .messages import InferenceRequest, InferenceResponse, Rows, Tensors, count_rows, join_rows
from .predictor import Predictor
from .protocols import csv_media, native
from .protocols.pieces import Bounds
from .row_pieces import checked, regrouped
from .targets import stem

PIECE_ROWS = 16_384
STANDARD_INPUT = Path("-")
_FOREVER_S = 10 * 365 * 86_400.0  # a file may take as long as it takes
_NO_LIMIT = 2**40
_READ_BYTES = 2**18
_WAY_OUT = "say --no-header if it is data"
#: Forms of an answer, by the name that ``--to`` has for them.
FORMS = {suffix[1:]: form for suffix, form in MEDIA_TYPES.items() if form in native.ANSWERS}
_TEXTS = (native.JSON, native.CSV, *native.LINES)


def predict_file(  # noqa: PLR0913 - the options of one command, each given by name
    model: Path,
    rows: Path,
    *,
    method: str,
    output: Path | None,
    form: str | None,
    no_header: bool,
    example: Path | None,
    strict_versions: bool,
    acceleration: str | None = None,
    is_trusted: bool = False,
) -> None:
    """Predict every row of a file.

    Args:
        model: A model file.
        rows: In any form that a body may have; "-" reads standard input.
        method: One of the model's methods.
        output: Where the predictions go; None for standard output.
        form: One of ``FORMS``; None for what ``output`` is called, else for the form of ``rows``.
        no_header: The CSV's first row is data.
        example: Rows that complete the signature.
        strict_versions: Refuse a model that another version of its framework saved.
        acceleration: Which engines may run it, "exact" or "fast"; None takes the setting.
        is_trusted: The model file may run code of its author.

    Raises:
        OperatorError: a file cannot be read or written.
        RequestError: the rows do not fit; says where.
    """
    settings = Settings.from_mapping(
        {}, os.environ, deadline_s=_FOREVER_S, max_queue_s=_FOREVER_S, acceleration=acceleration
    )
    example_rows = read_example(example, settings) if example else None
    runtime = runtimes.load(
        model, example=example_rows, strict_versions=strict_versions, is_trusted=is_trusted
    )
    predictor = Predictor(stem(model), "1", runtime, settings, Lifecycle())
    if method not in runtime.methods:
        raise MethodNotFound(f"{model} has no method {method!r}; it has: {', '.join(runtime.methods)}")
    predictor.settle_if_known()
    with _opened(rows) as file:
        media_type = media_type_of(rows.with_suffix("") if _is_gzip(rows) else rows, file.peek(64)[:64])
        answer_type = _answer_type(form, output, media_type)
        try:
            if media_type == native.CSV:
                response = _predict_csv(predictor, method, file, has_header=not no_header)
            else:
                response = _predict_whole(predictor, method, file.read(), media_type)
        except (EOFError, OSError, zlib.error) as error:
            raise why_unreadable(rows, error) from error
        except RequestError as error:
            source = "standard input" if rows == STANDARD_INPUT else rows
            raise type(error)(f"{source}: {error.detail}", errors=error.errors) from error
    answer = native.encode(response, InferenceRequest(Rows([])), answer_type)
    body = answer.body
    _write(body if answer_type not in _TEXTS or body.endswith(b"\n") else body + b"\n", output)


def _answer_type(form: str | None, output: Path | None, media_type: str) -> str:
    """Choose the form of the answer, before it is made.

    Raises:
        MissingExtra: it cannot be written here.
        ConfigurationError: it is nothing to look at.
    """
    suffix = output.suffix.lower()[1:] if output is not None else ""
    chosen = FORMS.get(form or suffix, media_type if media_type in native.ANSWERS else native.JSON)
    for needed in (media_type, chosen):
        if not native.is_available(needed):
            raise MissingExtra(native.refuse_answer(needed).detail)
    if output is None and chosen not in _TEXTS and sys.stdout.isatty():
        raise ConfigurationError(f"{chosen} is nothing to look at: say where it goes with -o, or --to csv")
    return chosen


def _opened(path: Path) -> AbstractContextManager[io.BufferedReader]:
    if path == STANDARD_INPUT:
        return nullcontext(cast(io.BufferedReader, sys.stdin.buffer))
    try:
        file = _unpacked(path) if _is_gzip(path) else path.open("rb")
        file.peek(1)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise why_unreadable(path, error) from error
    return file


def _unpacked(path: Path) -> io.BufferedReader:
    return io.BufferedReader(gzip.GzipFile(path))  # closes what it wraps


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


# All but CSV ---------------------------------------------------------------------------------


def _predict_whole(predictor: Predictor, method: str, content: bytes, media_type: str) -> InferenceResponse:
    settings = Settings(max_elements=_NO_LIMIT, max_body_bytes=_NO_LIMIT, max_pixels=predictor.max_pixels)
    request = native.decode(content, media_type, settings)
    if request.parameters:
        return predictor.predict(method, request, _deadline())
    tensors = predictor.signature.of(method).validate(request.inputs)
    n_rows = count_rows(tensors)
    starts = range(0, n_rows, PIECE_ROWS)
    pieces = ({name: array[i : i + PIECE_ROWS] for name, array in tensors.items()} for i in starts)
    with _bar(n_rows) as bar:
        return _predict(predictor, method, (_counted(piece, bar) for piece in pieces))


def _deadline() -> float:
    return time.monotonic() + _FOREVER_S


# CSV ------------------------------------------------------------------------------------------


def _predict_csv(
    predictor: Predictor, method: str, file: io.BufferedReader, *, has_header: bool
) -> InferenceResponse:
    with _bar(_size(file)) as bar:
        pieces = csv_media.decode_stream(
            partial(_read, file, bar), Bounds(PIECE_ROWS), has_header=has_header, way_out=_WAY_OUT
        )
        rows = checked(predictor.signature.of(method), pieces)
        return _predict(predictor, method, regrouped(rows, PIECE_ROWS))


def _read(file: io.BufferedReader, bar: Any) -> bytes:
    """Return what comes next of a file, and move the progress bar by it."""
    text = file.read1(_READ_BYTES)
    bar.update(len(text))
    return text


# The model ------------------------------------------------------------------------------------


def _predict(predictor: Predictor, method: str, pieces: Iterator[Tensors]) -> InferenceResponse:
    """Run all pieces, together where the method does not treat rows one by one."""
    beginning = list(islice(pieces, 2))
    if len(beginning) > 1:
        predictor.prove()
        pieces = chain(beginning, pieces)
        beginning = [join_rows(list(pieces))] if method in predictor.not_joined else []
    answers = [predictor.answer(method, piece, {}, _deadline()) for piece in chain(beginning, pieces)]
    outputs = join_rows([answer.outputs for answer in answers])
    return replace(answers[0], outputs=outputs, n_rows=count_rows(outputs))


# Progress -------------------------------------------------------------------------------------


def _bar(length: int) -> Any:
    """Return a progress bar on stderr; hidden where nobody watches, or nobody knows the length."""
    is_hidden = not sys.stderr.isatty() or not length
    return click.progressbar(length=length, label="predicting", file=sys.stderr, hidden=is_hidden)


def _size(file: io.BufferedReader) -> int:
    try:
        return os.fstat(file.fileno()).st_size
    except (OSError, ValueError):  # not a file: a stream made in memory
        return 0


def _counted(piece: Tensors, bar: Any) -> Tensors:
    bar.update(count_rows(piece))
    return piece


# The answer -----------------------------------------------------------------------------------


def _write(body: bytes, output: Path | None) -> None:
    """Write the whole answer, or nothing.

    Raises:
        LoadError: ``output`` cannot be written.
    """
    if output is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        if output.exists() and not output.is_file():
            output.write_bytes(body)  # a pipe or a device, which must not be replaced by a file
        else:
            _replace(output.resolve(), body)
    except OSError as error:
        raise LoadError(f"{output} cannot be written: {(error.strerror or str(error)).lower()}") from error


def _replace(output: Path, body: bytes) -> None:
    """Write beside the target and rename: a reader never sees half a file."""
    half = output.with_name(f".{output.name}.{os.getpid()}.half")
    try:
        half.write_bytes(body)
        half.replace(output)
    except OSError:
        half.unlink(missing_ok=True)
        raise
