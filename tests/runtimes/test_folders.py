"""Model folders: read whole and once, and never out of themselves."""

from __future__ import annotations

import os
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model_files import unprivileged

from demijohn import runtimes
from demijohn.errors import LoadError
from demijohn.runtimes import folders
from demijohn.runtimes.folder_formats import folder_format_of, is_model_folder
from demijohn.runtimes.folders import digest_of_folder, read_folder, stamp_of_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph")
    (path / "variables" / "variables.index").write_bytes(b"index")
    return path


def test_a_folder_is_told_by_what_is_in_it(folder: Path, tmp_path: Path) -> None:
    found = folder_format_of(folder)
    assert found is not None
    assert found.name == "savedmodel"
    assert not is_model_folder(tmp_path)
    assert not is_model_folder(folder / "saved_model.pb")
    assert not is_model_folder(tmp_path / "absent")


def test_all_files_are_read_under_their_names(folder: Path) -> None:
    assert read_folder(folder) == {"saved_model.pb": b"graph", "variables/variables.index": b"index"}


def test_a_folder_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert read_folder(tmp_path / "current") == read_folder(folder)


@pytest.mark.parametrize("target", ["/etc/hostname", "saved_model.pb", "variables", "nowhere"])
@pytest.mark.parametrize("place", ["linked", "variables/linked"])
def test_a_link_inside_is_refused(folder: Path, place: str, target: str) -> None:
    (folder / place).symlink_to(target)
    with pytest.raises(
        LoadError, match="linked is a symbolic link; put the file itself into the model folder"
    ):
        runtimes.inspect(folder)


def test_the_mark_itself_may_be_no_link(folder: Path) -> None:
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pb").symlink_to("/etc/hostname")
    with pytest.raises(LoadError, match=r"saved_model\.pb is a symbolic link"):
        runtimes.inspect(folder)


def test_special_files_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(LoadError, match="pipe is no regular file"):
        runtimes.inspect(folder)
    (folder / "pipe").unlink()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(LoadError, match="socket is no regular file"):
            runtimes.inspect(folder)


def test_an_unreadable_file_is_told(folder: Path) -> None:
    for path in (folder.parent, folder):
        path.chmod(0o755)
    (folder / "saved_model.pb").chmod(0o000)
    with unprivileged(), pytest.raises(LoadError, match="may not be read by this user"):
        runtimes.inspect(folder)


def test_too_much_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 1)
    with pytest.raises(LoadError, match="more than 1 files"):
        read_folder(folder)
    monkeypatch.undo()
    (folder / "/".join("x" * 20)).mkdir(parents=True)
    with pytest.raises(LoadError, match="more than 16 deep"):
        read_folder(folder)


def test_what_is_described_is_the_whole_folder(folder: Path) -> None:
    artifact = runtimes.inspect(folder)
    assert artifact.path == folder
    assert artifact.size_bytes == len(b"graph" + b"index")
    assert artifact.sha256 == digest_of_folder(read_folder(folder))
    assert not artifact.runs_code


def test_an_empty_graph_is_no_reason_to_look_for_another(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(LoadError, match=r"saved_model\.pb holds no graph"):
        runtimes.load(folder)


NAMES = st.text("ab/:0\udcff", min_size=1, max_size=4)
FILES = st.dictionaries(NAMES, st.binary(max_size=3), max_size=3)


@given(FILES, FILES)
def test_a_digest_tells_any_two_folders_apart(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    assert (digest_of_folder(first) == digest_of_folder(second)) is (first == second)
    assert digest_of_folder(dict(reversed(first.items()))) == digest_of_folder(first)


def test_a_stamp_changes_with_any_file(folder: Path) -> None:
    stamps = [stamp_of_folder(folder)]
    assert stamp_of_folder(folder) == stamps[0]
    (folder / "variables" / "variables.index").write_bytes(b"other")
    stamps.append(stamp_of_folder(folder))
    (folder / "variables" / "new").touch()
    stamps.append(stamp_of_folder(folder))
    (folder / "variables" / "new").rename(folder / "variables" / "newer")
    stamps.append(stamp_of_folder(folder))
    (folder / "variables" / "newer").unlink()
    stamps.append(stamp_of_folder(folder))
    assert all(before != after for before, after in pairwise(stamps))
    with pytest.raises(FileNotFoundError):
        stamp_of_folder(folder / "absent")
