"""Weights that are numbers in the file itself, and those that are not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from demijohn.errors import LoadError, UntrustedArtifact
from demijohn.runtimes.keras_weights import check_weights


def weights(write: Callable[[h5py.File], Any]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def test_numbers_are_counted() -> None:
    def write(file: h5py.File) -> None:
        file["layers/dense/vars/0"] = np.zeros((3, 4), np.float32)
        file["layers/dense/vars/1"] = np.zeros(4, np.float64)
        file.create_group("optimizer/vars")

    assert check_weights(weights(write)) == 3 * 4 * 4 + 4 * 8


def test_a_link_into_another_file_is_refused(tmp_path: Path) -> None:
    def write(file: h5py.File) -> None:
        file["layers/dense"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")

    with pytest.raises(UntrustedArtifact, match="link to elsewhere"):
        check_weights(weights(write))


def test_a_soft_link_is_refused() -> None:
    def write(file: h5py.File) -> None:
        file["a"] = h5py.SoftLink("/b")

    with pytest.raises(UntrustedArtifact, match="link to elsewhere"):
        check_weights(weights(write))


def test_a_dataset_whose_bytes_lie_in_another_file_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"canary-" * 100)
    content = weights(lambda file: file.create_dataset("a", (64,), "u1", external=[(str(secret), 0, 64)]))
    with pytest.raises(UntrustedArtifact, match="another file"):
        check_weights(content)


def test_a_virtual_dataset_is_refused(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4,))
    with pytest.raises(UntrustedArtifact, match="another file"):
        check_weights(weights(lambda file: file.create_virtual_dataset("a", layout)))


@pytest.mark.parametrize("shape", [(10**9, 10**9), (10**18,), (2**20,)])
def test_a_small_file_that_declares_many_numbers_is_refused(shape: tuple[int, ...]) -> None:
    content = weights(
        lambda file: file.create_dataset("a", shape, "f4", chunks=(1,) * len(shape), fillvalue=1)
    )
    assert len(content) < 10 * 2**10
    with pytest.raises(LoadError, match="declare"):
        check_weights(content)


def test_objects_are_refused() -> None:
    with pytest.raises(LoadError, match="no number"):
        check_weights(weights(lambda file: file.create_dataset("a", data=["x"], dtype=h5py.string_dtype())))


def test_a_type_that_is_no_array_is_refused() -> None:
    def write(file: h5py.File) -> None:
        file["a"] = np.dtype("f4")

    with pytest.raises(LoadError, match="no array"):
        check_weights(weights(write))


def test_groups_that_hold_themselves_end() -> None:
    def write(file: h5py.File) -> None:
        group = file.create_group("a")
        group["again"] = group
        group["root"] = file["/"]
        group["x"] = np.zeros(2, np.float32)
        file["twice"] = group["x"]

    assert check_weights(weights(write)) == 8


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"not hdf5" * 100])
def test_what_is_no_hdf5_is_refused(content: bytes) -> None:
    with pytest.raises(LoadError, match="cannot be read"):
        check_weights(content)


def test_weights_that_were_cut_off_or_changed_never_do_more_than_refuse() -> None:
    whole = weights(lambda file: file.create_dataset("a/b", data=np.arange(500.0)))
    rng = np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        try:
            check_weights(bytes(content))
        except (LoadError, UntrustedArtifact):
            continue
