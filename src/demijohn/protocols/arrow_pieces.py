"""Arrow IPC streams piece by piece: batches are read while they come, and answers written batch by batch.

Rules of this room:
1. Arrow's reader gets whole messages, and of each what it announces has been added up before: none is
   longer than a row may be, nor all dictionaries together than ``_DICTIONARY_BYTES``.
2. What is done for a batch costs as much as its rows do, however long a dictionary it shares.
3. An answer says in the schema's metadata what JSON says beside the predictions. An error is a batch
   without rows whose metadata has it under "error"; behind it the stream breaks off, so that no reader
   takes it for whole.

Source: https://arrow.apache.org/docs/format/Columnar.html ("IPC Streaming Format")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from demijohn.config import Settings
from demijohn.errors import BodyTooLarge, DecodeError, DemijohnError, NotAcceptable, Problem, RequestError
from demijohn.messages import ArrayColumns, InferenceResponse

from . import arrow_answers, arrow_media, arrow_messages
from .pieces import Bounds, counted

_DICTIONARY_BYTES = 4 * 2**20
# A continuation, the length of metadata that does not follow.
_BREAK = b"\xff\xff\xff\xff\x08\x00\x00\x00"


# In -------------------------------------------------------------------------------------------


def decode_stream(read: Callable[[], bytes], bounds: Bounds, settings: Settings) -> Iterator[ArrayColumns]:
    """Read a body that is still coming; yields a piece for each batch, or one without rows.

    Args:
        read: Returns what comes next, as soon as anything does; nothing at the end.
        bounds: How much is read at a time; a batch may be as long as a row.
        settings: For the limits, of each batch.

    Raises:
        RequestError: as ``arrow_media.decode``; also, a batch or the dictionaries are too long.
    """
    return counted(_pieces(_Messages(read, bounds), bounds, settings))


def _pieces(messages: _Messages, bounds: Bounds, settings: Settings) -> Iterator[ArrayColumns]:
    import pyarrow as pa

    try:
        reader = pa.ipc.open_stream(pa.PythonFile(messages, mode="r"))
        batches: list[Any] = []
        is_first = True
        for batch in reader:
            if batch.num_rows:
                batches.append(batch)
            if batches and (not is_first or messages.n_bytes > bounds.first_bytes):
                yield _read(batches, reader.schema, settings)
                batches, is_first = [], False
        messages.raise_failure()
        if batches or is_first:
            yield _read(batches, reader.schema, settings)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError) as error:
        messages.raise_failure()
        raise _placed(arrow_media.broken(error)) from error


def _placed(error: DemijohnError) -> DemijohnError:
    if isinstance(error, RequestError) and not error.errors:
        error.errors = (Problem(0, None, "a sound batch", "a broken one"),)
    return error


def _read(batches: list[Any], schema: Any, settings: Settings) -> ArrayColumns:
    if len(batches) == 1:
        batches[0].validate(full=True)
        batches = [_without_long_dictionaries(batches[0])]
        schema = batches[0].schema
    return arrow_media.read_batches(batches, schema, settings)


def _without_long_dictionaries(batch: Any) -> Any:
    """Write each row's own text in the place of a dictionary that has more of them than there are rows."""
    import pyarrow as pa

    def is_long(column: Any) -> bool:
        return pa.types.is_dictionary(column.type) and len(column.dictionary) > len(column)

    if not any(map(is_long, batch.columns)):
        return batch
    columns = [column.dictionary_decode() if is_long(column) else column for column in batch.columns]
    fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


class _Messages:
    """A stream that is still coming, as Arrow's reader reads a file: by whole messages that were checked.

    Args:
        read: As in ``decode_stream``.
        bounds: As in ``decode_stream``.
    """

    closed = False  #: For Arrow.

    def __init__(self, read: Callable[[], bytes], bounds: Bounds) -> None:
        self._read = read
        self._most = bounds.row_bytes
        self._coming = bytearray()
        self._message = memoryview(b"")
        self._dictionary_bytes = 0
        self._has_ended = False
        self._failures: list[DemijohnError] = []  # one at the most
        self.n_bytes = 0  #: Of all messages so far.

    def read(self, size: int) -> bytes:
        """Return what is left of a message, so many bytes at the most; nothing at the end."""
        try:
            if not self._message and not self._has_ended:
                self._message = memoryview(self._next())
        except (DemijohnError, OSError) as error:
            # Arrow would keep what is raised into it, and with its traceback the whole stream, for ever.
            self._keep(error)
        piece, self._message = bytes(self._message[:size]), self._message[size:]
        return piece

    def _keep(self, error: DemijohnError | OSError) -> None:
        failure = error if isinstance(error, DemijohnError) else arrow_media.broken(error)
        self._failures.append(_placed(failure.with_traceback(None)))
        self._has_ended = True

    def raise_failure(self) -> None:
        """Raise what was wrong with the stream, if anything was, whatever Arrow made of its end.

        Raises:
            DemijohnError: something was, or the stream does not come.
        """
        if self._failures:
            raise self._failures.pop()

    def _next(self) -> bytes:
        """Return the next message, whole.

        Raises:
            RequestError: it is none, or there is too much in it.
        """
        measured = self._measured()
        while isinstance(measured, int):
            self._check_length(measured)
            if not self._read_on(measured):
                return self._rest()
            measured = self._measured()
        self._check_length(measured.n_bytes)
        self._read_on(measured.n_bytes)
        message = bytes(self._coming[: measured.n_bytes])
        del self._coming[: measured.n_bytes]
        self.n_bytes += len(message)
        if measured.is_end:
            self._has_ended = True
            if self._coming or self._read():
                raise DecodeError("Something follows the Arrow stream")
        elif measured.is_dictionary:
            self._dictionary_bytes += len(message)
            arrow_messages.check_sizes(message, min(_DICTIONARY_BYTES, self._most))
            if self._dictionary_bytes > _DICTIONARY_BYTES:
                raise BodyTooLarge(f"The dictionaries of an Arrow stream may take {_DICTIONARY_BYTES} bytes")
        else:
            arrow_messages.check_sizes(message, self._most)
        return message

    def _measured(self) -> arrow_messages.Message | int:
        if not self.n_bytes:
            arrow_media.check_kind(self._coming)
        try:
            return arrow_messages.measure(self._coming)
        except ValueError as error:
            raise arrow_media.broken(error) from error

    def _check_length(self, n_bytes: int) -> None:
        if n_bytes > self._most:
            problem = Problem(0, None, f"a batch of at most {self._most} bytes", f"one of {n_bytes} bytes")
            raise BodyTooLarge(f"A batch is too long: {problem}", errors=[problem])

    def _read_on(self, n_bytes: int) -> bool:
        """Let so much come; says whether it has."""
        while len(self._coming) < n_bytes:
            piece = self._read()
            if not piece:
                return False
            self._coming += piece
        return True

    def _rest(self) -> bytes:
        """Return what a stream without an end of its own ends with: nothing, or what Arrow says is broken."""
        self._has_ended = True
        rest = bytes(self._coming)
        self._coming.clear()
        return rest


# Out ------------------------------------------------------------------------------------------


class ArrowWriter:
    """A batch for each piece; an error is a batch without rows, at which the stream breaks off."""

    def __init__(self, media_type: str) -> None:
        self.content_type = media_type
        self._out = _Out()
        self._writer: Any = None
        self._schema: Any = None

    def write(self, response: InferenceResponse) -> bytes:
        import pyarrow as pa

        table: Any = arrow_answers.table_of(response)
        if self._writer is None:
            self._schema = table.schema
            self._writer = pa.ipc.new_stream(self._out, table.schema)
        try:
            self._writer.write_table(table.cast(self._schema))
        except (pa.ArrowException, ValueError) as error:
            raise NotAcceptable(
                "A column of the answer is of another kind here than in the rows before; ask for "
                "application/x-ndjson"
            ) from error
        return self._out.take()

    def end(self) -> bytes:
        self._writer.close()
        return self._out.take()

    def fail(self, problem: bytes) -> bytes:
        import pyarrow as pa

        nothing: Any = pa.RecordBatch.from_pylist([], self._schema)
        self._writer.write_batch(nothing, custom_metadata={"error": problem})
        return self._out.take() + _BREAK


class _Out:
    """A file that Arrow writes to, and of which what was written is taken out."""

    closed = False  #: For Arrow.

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: Arrow asks for it."""

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
