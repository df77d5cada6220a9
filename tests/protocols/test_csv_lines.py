"""CSV that is still coming: the rows are those of the whole, however its bytes are cut."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demijohn import kernels
from demijohn.errors import BodyTooLarge, DecodeError, RequestError, SignatureMismatch
from demijohn.messages import Matrix, Rows, as_written
from demijohn.protocols import csv_media
from demijohn.protocols.pieces import NO_BOUNDS, Bounds, counted, rows_in

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(repr)
TABLES = st.tuples(st.sampled_from([TEXTS, NUMBERS, TEXTS | NUMBERS]), st.integers(2, 4)).flatmap(
    lambda kind: st.lists(st.lists(kind[0], min_size=kind[1], max_size=kind[1]), min_size=1, max_size=12)
)


def reader(body: bytes, sizes: Sequence[int]) -> Callable[[], bytes]:
    """Return what gives a body in pieces of such sizes, over and over."""
    stream, turn = io.BytesIO(body), iter(range(10**9))
    return lambda: stream.read(sizes[next(turn) % len(sizes)])


def read(
    body: bytes, sizes: Sequence[int], bounds: Bounds = NO_BOUNDS, **options: Any
) -> list[Rows | Matrix]:
    return list(csv_media.decode_stream(reader(body, sizes), bounds, **{"has_header": True, **options}))


def cells(pieces: list[Rows | Matrix]) -> list[list[str]]:
    return [row for piece in pieces for row in as_written(piece).rows]


def written(rows: list[list[str]], **options: Any) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, **options).writerows(rows)
    return out.getvalue().encode()


@given(
    TABLES, st.sampled_from(["\r\n", "\n", "\r"]), st.lists(st.integers(1, 20), min_size=1), st.integers(1, 5)
)
def test_rows_are_those_of_the_whole_however_they_come(
    rows: list[list[str]], line_end: str, sizes: list[int], piece_rows: int
) -> None:
    # Of a line's end within a cell the writer only sees its own.
    quoting = csv.QUOTE_ALL if any({"\r", "\n"} & set("".join(row)) for row in rows) else csv.QUOTE_MINIMAL
    body = written(rows, lineterminator=line_end, quoting=quoting)
    pieces = read(body, sizes, Bounds(piece_rows), has_header=False)
    assert cells(pieces) == rows
    assert max(map(rows_in, pieces)) <= piece_rows
    assert cells([csv_media.decode(body, has_header=False)]) == rows
    assert cells(read(body.rstrip(b"\r\n"), sizes, has_header=False)) == rows


def test_a_short_body_is_one_piece_with_a_last_line_end_and_without() -> None:
    bounds = Bounds(first_bytes=20)
    for body in (b"a\n" + b"1\n" * 9, b"a\n" + b"1\n" * 8 + b"1", b"a\nx\n" + b"1\n" * 8):
        assert len(read(body, [3], bounds)) == 1
    assert len(read(b"a\n" + b"1\n" * 99, [3], bounds)) > 1


@given(
    st.lists(st.integers(0, 40_000), min_size=1, max_size=8),
    st.sampled_from(["\r\n", "\n", "\r"]),
    st.booleans(),
)
def test_lines_of_any_length_are_rows(lengths: list[int], line_end: str, has_last_end: bool) -> None:
    rows = [[f"é{line_end}" + "x" * length, str(index)] for index, length in enumerate(lengths)]
    body = written(rows, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    body = body if has_last_end else body.rstrip(b"\r\n")
    assert cells([csv_media.decode(body, has_header=False)]) == rows
    assert cells(read(body, [10_000], has_header=False)) == rows


def test_the_header_is_read_once_and_named_in_each_piece() -> None:
    pieces = read(b'\xef\xbb\xbf\r\n"the\nname",b\n' + b"1,2\n" * 9, [1], Bounds(4))
    assert len(pieces) > 1
    assert all(piece.columns == ["the\nname", "b"] for piece in pieces)
    assert sum(map(rows_in, pieces)) == 9


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_each_piece_is_read_the_fast_way_if_all_its_cells_are_numbers() -> None:
    body = b"a,b\n" + b"1,\n" * 10 + b'"2",3\n' + b"1,2\n" * 200
    kinds = [type(piece) for piece in read(body, [30])]
    assert kinds[0] is kinds[-1] is Matrix
    assert Rows in kinds
    assert sum(piece.n_missing for piece in read(body, [30]) if isinstance(piece, Matrix)) >= 8


@pytest.mark.parametrize("size", [1, 5, 100])
def test_an_error_comes_behind_the_rows_before_it_and_says_where(size: int) -> None:
    for row, problem in ((b'"a"b,1', "a row of cells"), (b"\xff,1", "UTF-8"), (b'"open', "a row of cells")):
        pieces = csv_media.decode_stream(
            reader(b"a,b\n" + b"x,1\n" * 7 + row + b"\n1,2\n", [size]), Bounds(3), has_header=True
        )
        found = []
        with pytest.raises(DecodeError) as raised:
            found += [cells([piece]) for piece in pieces]  # pragma: no branch
        (where,) = raised.value.errors
        assert (where.row, where.expected) == (7, problem)
        assert str(where) in raised.value.detail


def test_an_error_in_the_header_is_in_no_row() -> None:
    with pytest.raises(DecodeError) as raised:
        read(b"\xff\n1\n", [100])
    assert raised.value.errors[0].row is None
    with pytest.raises(SignatureMismatch, match="all numbers; go"):
        read(b"1,2\n3,4\n", [1], way_out="go")


@pytest.mark.parametrize("size", [1, 64])
@pytest.mark.parametrize("row", [b"1" * 500, b'"' + b"x\n" * 250, b"x" * 500])
def test_a_row_that_never_ends_is_given_up(row: bytes, size: int) -> None:
    taken = []
    give = reader(b"a\n" + b"1\n" * 5 + row, [size])

    def count() -> bytes:
        taken.append(piece := give())
        return piece

    with pytest.raises(BodyTooLarge) as raised:
        list(csv_media.decode_stream(count, Bounds(row_bytes=100), has_header=True))
    assert raised.value.errors[0].row == 5
    assert sum(map(len, taken)) <= 2 + 10 + 100 + 2 * size + 1


def test_no_rows_are_one_piece_without_any() -> None:
    assert read(b"a,b\n", [1]) == [Rows([], columns=["a", "b"], is_text=True)]
    for body in (b"", b"\n\r\n", b"\xef\xbb\xbf"):
        with pytest.raises(DecodeError, match="empty"):
            read(body, [1])


def test_rows_are_counted_on_for_errors_of_readers_alone() -> None:
    def pieces(error: Exception) -> Any:
        yield Rows([[1], [2]])
        raise error

    for error in (RequestError("no"), RuntimeError("no")):
        with pytest.raises(type(error), match="no"):
            list(counted(pieces(error)))
    with pytest.raises(TypeError, match="no piece"):
        rows_in(object())  # type: ignore[arg-type]
