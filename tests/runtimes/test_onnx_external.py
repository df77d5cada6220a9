"""Weights in files beside an ONNX model: read only below its own folder (CVE-2022-25882 and its kin)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.model_files import unprivileged
from tests.onnx_models import WEIGHTS, affine, own, save, save_apart
from tests.servers import DEMIJOHN

from demijohn.errors import LoadError
from demijohn.runtimes import inspect, load

ROWS = np.eye(4, dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a model, with a secret of the right length outside."""
    made = tmp_path / "models"
    (made / "inner").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    return made


def pointing(folder: Path, location: str, **entries: str) -> Path:
    """A model whose weights are said to be at a location."""
    save_apart(affine(), folder / "m.onnx")
    proto = onnx.load(folder / "m.onnx", load_external_data=False)
    tensor = proto.graph.initializer[0]
    for entry in tensor.external_data:
        entry.value = {"location": location, **entries}.get(entry.key, entry.value)
    return save(proto, folder / "m.onnx")


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "inner/weights.bin"])
def test_weights_below_the_models_folder_are_read(folder: Path, location: str) -> None:
    path = pointing(folder, location)
    (folder / location).write_bytes((folder / "weights.bin").read_bytes())
    found = load(path).run("predict", {"x": ROWS}, {})["predict"]
    np.testing.assert_array_equal(found, own(affine(), {"x": ROWS})[0])


def test_the_digest_is_over_the_weights_too(folder: Path) -> None:
    path = save_apart(affine(), folder / "m.onnx")
    before = inspect(path).sha256
    assert load(path).sha256 == before
    (folder / "weights.bin").write_bytes((WEIGHTS + 1).tobytes())
    assert inspect(path).sha256 != before


def link(folder: Path) -> str:
    (folder / "link.bin").symlink_to(folder.parent / "secret")
    return "link.bin"


def link_inside(folder: Path) -> str:
    (folder / "link.bin").symlink_to("weights.bin")
    return "link.bin"


def folder_link(folder: Path) -> str:
    (folder / "outside").symlink_to(folder.parent)
    return "outside/secret"


def hard_link(folder: Path) -> str:
    os.link(folder.parent / "secret", folder / "hard.bin")
    return "hard.bin"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe.bin")
    return "pipe.bin"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda folder: str(folder.parent / "secret"), "outside its own folder"),
        (lambda _: "../secret", "outside its own folder"),
        (lambda _: "inner/../../secret", "outside its own folder"),
        (lambda _: "..\\secret", "outside its own folder"),
        (lambda _: "weights.bin\0/../secret", "outside its own folder"),
        (lambda _: "", "outside its own folder"),
        (link, "is a link"),
        (link_inside, "is a link"),
        (folder_link, "behind what is no folder, or a link to one"),
        (hard_link, "has another name elsewhere"),
        (pipe, "no regular file"),
        (lambda _: "inner", "no regular file"),
        (lambda _: "gone.bin", "is missing"),
        (lambda _: "/dev/zero", "outside its own folder"),
    ],
)
def test_weights_elsewhere_are_not_read(folder: Path, make: Callable[[Path], str], complaint: str) -> None:
    path = pointing(folder, make(folder))
    for look in (inspect, load):
        with pytest.raises(LoadError, match=complaint) as caught:
            look(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ({"offset": "8"}, "is said to lie at byte 8"),
        ({"offset": "999999999999"}, "is said to lie at byte"),
        ({"offset": "-4"}, "has the offset or length '-4'"),
        ({"offset": "1e3"}, "has the offset or length"),
        ({"length": "9" * 30}, "has the offset or length"),
        ({"length": "4096"}, "4096 bytes long; the file has"),
        ({"length": "4"}, "declares 12 elements and has 4 bytes"),
    ],
)
def test_places_that_are_not_in_the_file_are_refused(
    folder: Path, entries: dict[str, str], complaint: str
) -> None:
    with pytest.raises(LoadError, match=complaint):
        load(pointing(folder, "weights.bin", **entries))


def test_a_tensor_that_does_not_say_where_it_is_is_refused(folder: Path) -> None:
    save_apart(affine(), folder / "m.onnx")
    proto = onnx.load(folder / "m.onnx", load_external_data=False)
    del proto.graph.initializer[0].external_data[:]
    with pytest.raises(LoadError, match="the file is not named"):
        load(save(proto, folder / "m.onnx"))
    entry = proto.graph.initializer[0].external_data.add
    entry(key="location", value="weights.bin")
    entry(key="location", value="../secret")
    with pytest.raises(LoadError, match="has 'location' twice"):
        load(save(proto, folder / "m.onnx"))


def test_weights_that_may_not_be_read_are_told(folder: Path) -> None:
    path = save_apart(affine(), folder / "m.onnx")
    (folder / "weights.bin").chmod(0)
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o055)
    with unprivileged(), pytest.raises(LoadError, match="may not be read by this user"):
        load(path)


def test_weights_that_change_while_they_are_loaded_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demijohn.runtimes import onnx as room

    path = save_apart(affine(), folder / "m.onnx")
    read = room.read_facts

    def swap(content: bytes) -> Any:
        (folder / "weights.bin").write_bytes((WEIGHTS + 1).tobytes())
        return read(content)

    monkeypatch.setattr(room, "read_facts", swap)
    with pytest.raises(LoadError, match="changed while it was loaded"):
        load(path)


def test_a_model_in_memory_has_no_folder(folder: Path) -> None:
    from demijohn.runtimes import wrap

    proto = onnx.load(pointing(folder, "weights.bin"), load_external_data=False)
    with pytest.raises(LoadError, match="give the path of its file"):
        wrap(proto)


def test_a_command_ends_with_one_line(folder: Path) -> None:
    paths = [pointing(folder, "../secret").rename(folder / "a.onnx")]
    paths.append(pointing(folder, link(folder)).rename(folder / "b.onnx"))
    paths.append(pointing(folder, folder_link(folder)).rename(folder / "c.onnx"))
    for path in paths:
        done = subprocess.run([*DEMIJOHN, "inspect", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
