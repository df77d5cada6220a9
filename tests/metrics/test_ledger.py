from __future__ import annotations

from pathlib import Path

from demijohn.metrics.families import QUEUE_ROWS, ROWS
from demijohn.metrics.ledger import Ledger, Reading

IRIS = ("iris", "1")
PREDICT = (*IRIS, "predict")


def count(ledger: Ledger, n_rows: int) -> None:
    ledger.values[ledger.place(ROWS, PREDICT)] += n_rows
    ledger.values[ledger.place(QUEUE_ROWS, IRIS)] = n_rows


def shown(reading: Reading) -> dict[str, list[float]]:
    return {family.name: list(values) for family, _, values in reading.children()}


def test_a_place_never_moves(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        ledger = Ledger(folder, 0)
        places = [ledger.place(family, labels) for family, labels in ((ROWS, PREDICT), (QUEUE_ROWS, IRIS))]
        assert [ledger.place(ROWS, PREDICT), ledger.place(QUEUE_ROWS, IRIS)] == places


def test_siblings_read_each_other(tmp_path: Path) -> None:
    first, second, stranger = Ledger(tmp_path, 0), Ledger(tmp_path, 0), Ledger(tmp_path, 1)
    for ledger, n_rows in ((first, 1), (second, 2), (stranger, 4)):
        count(ledger, n_rows)
    assert [shown(reading) for reading in first.read_siblings()] == [{ROWS.name: [2], QUEUE_ROWS.name: [2]}]
    assert [shown(reading) for reading in second.read_siblings()] == [{ROWS.name: [1], QUEUE_ROWS.name: [1]}]
    assert list(stranger.read_siblings()) == []


def test_of_the_dead_only_what_adds_up_is_read(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path, 0), Ledger(tmp_path, 0)
    count(second, 2)
    del second
    (reading,) = first.read_siblings()
    assert not reading.is_alive
    assert shown(reading) == {ROWS.name: [2]}


def test_a_successor_goes_on_in_the_file_of_the_dead(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path, 0), Ledger(tmp_path, 0)
    count(first, 1)
    count(second, 2)
    del second
    third = Ledger(tmp_path, 0)
    assert shown(third.read()) == {ROWS.name: [2], QUEUE_ROWS.name: [0]}
    third.place(ROWS, ("iris", "2", "predict"))
    assert len(third.read().places) == 3


def test_a_file_that_has_just_been_claimed_holds_nothing(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path, 0), Ledger(tmp_path, 0)
    count(second, 2)
    for index in tmp_path.glob("*-1.index"):
        index.unlink()
    assert [shown(reading) for reading in first.read_siblings()] == [{}]


def test_without_a_folder_there_are_no_siblings() -> None:
    assert list(Ledger(None, 0).read_siblings()) == []
