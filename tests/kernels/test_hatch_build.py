"""The hook builds the kernels where that is possible, and says why not where it is not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from demijohn import kernels
from demijohn.kernels import absent

ROOT = Path(__file__).resolve().parents[2]


class Hook:
    """hatchling's BuildHookInterface, as far as ours uses it; hatchling is there where wheels are built."""

    def __init__(self, root: str) -> None:
        self.root = root


@pytest.fixture
def hatch_build(monkeypatch: pytest.MonkeyPatch) -> Any:
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = Hook  # type: ignore[attr-defined]
    parts = interface.__name__.split(".")
    for length in range(1, len(parts)):
        name = ".".join(parts[:length])
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sources(hatch_build: Any, tmp_path: Path) -> Path:
    """Return a folder like the repository's, with the sources of the kernels alone."""
    folder = tmp_path / hatch_build.FOLDER
    folder.mkdir(parents=True)
    for path in (ROOT / hatch_build.FOLDER).glob("_*.[ch]"):
        shutil.copy(path, folder)
    return tmp_path


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)


def initialize(hatch_build: Any, root: Path) -> dict[str, Any]:
    build_data: dict[str, Any] = {"artifacts": [], "pure_python": True, "infer_tag": False}
    hatch_build.KernelsHook(str(root)).initialize("standard", build_data)
    return build_data


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_a_wheel_with_kernels_is_one_for_this_machine_and_every_python(
    hatch_build: Any, sources: Path
) -> None:
    build_data = initialize(hatch_build, sources)
    assert (sources / hatch_build.LIBRARY).is_file()
    assert [path.name for path in (sources / hatch_build.FOLDER).iterdir() if path.name.startswith(".")] == []
    assert build_data["artifacts"] == ["/src/demijohn/kernels/_kernels.abi3.so"]
    assert build_data["pure_python"] is False
    assert build_data["tag"].startswith("cp311-abi3-")


def test_without_a_compiler_the_wheel_is_pure_and_the_operator_is_told(
    hatch_build: Any, sources: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_compiler(monkeypatch)
    stale = sources / hatch_build.LIBRARY
    stale.write_bytes(b"of older sources")
    assert initialize(hatch_build, sources) == {"artifacts": [], "pure_python": True, "infer_tag": False}
    assert not stale.exists()
    assert "its C kernels are not built, it works without: there is no C compiler." in capsys.readouterr().err


def test_without_python_h_the_operator_is_told_where_it_is_missing(
    hatch_build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(hatch_build.CannotBuild, match=r"no Python\.h in .*python3-dev"):
        hatch_build.include_folder()


def test_free_threaded_python_goes_without(hatch_build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: 1)
    with pytest.raises(hatch_build.CannotBuild, match="no limited API"):
        hatch_build.include_folder()


@pytest.mark.skipif(not kernels.IS_BUILT, reason=kernels.WHY_NOT)
def test_what_the_compiler_says_reaches_the_operator(
    hatch_build: Any, sources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sources / hatch_build.FOLDER / "_broken.c").write_text("this is no C\n")
    assert initialize(hatch_build, sources)["pure_python"] is True
    assert "_broken.c" in capsys.readouterr().err


def test_cc_may_be_several_words_and_comes_first(hatch_build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "ccache gcc -m64")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert hatch_build.compiler() == ["ccache", "gcc", "-m64"]


def test_a_python_for_two_processors_gets_a_wheel_for_this_one(
    hatch_build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "macosx-11.0-universal2")
    monkeypatch.setattr(hatch_build.platform, "machine", lambda: "arm64")
    assert hatch_build.tag() == "cp311-abi3-macosx_11_0_arm64"


def test_without_kernels_the_package_imports_and_refuses(tmp_path: Path) -> None:
    package = tmp_path / "demijohn"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(ROOT / "src/demijohn/kernels", package / "kernels", ignore=shutil.ignore_patterns("*.so"))
    code = """
from demijohn import kernels
print(kernels.IS_BUILT, kernels.WHY_NOT)
for call in (lambda: kernels.read_matrix(b"[[1]]", 9), lambda: kernels.Forest.from_packed(b"")):
    try:
        call()
    except RuntimeError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"False {absent.WHY_NOT}", absent.WHY_NOT, absent.WHY_NOT]


def test_a_broken_extension_is_an_error_and_not_an_absent_one(tmp_path: Path) -> None:
    package = tmp_path / "demijohn"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(ROOT / "src/demijohn/kernels", package / "kernels", ignore=shutil.ignore_patterns("*.so"))
    (package / "kernels/_kernels.abi3.so").write_bytes(b"no library")
    done = subprocess.run(
        [sys.executable, "-c", "import demijohn.kernels"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "ImportError" in done.stderr
