"""Builds the C kernels into the wheel, where a C compiler and Python.h are at hand.

Rules of this file:
1. Without them the wheel is a pure one, the installation succeeds, and standard error says what is missing.
2. One file serves every CPython from 3.11 on: the limited API. Free-threaded Python has none: no kernels.
3. No flag for this machine's processor: a wheel must run on another.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/demijohn/kernels")
LIBRARY = FOLDER / "_kernels.abi3.so"
# Answers are to be equal to the last bit: no contraction of a product and a sum.
FLAGS = ["-std=c11", "-O3", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-Wall"]
LINK_FLAGS = {"darwin": ["-bundle", "-undefined", "dynamic_lookup"]}


class CannotBuild(Exception):
    """The kernels cannot be built here; the text says why."""


def compiler() -> list[str]:
    """Return the command of a C compiler: ``CC``, the one that built this Python, cc, gcc or clang.

    Raises:
        CannotBuild: There is none.
    """
    for candidate in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang"):
        words = shlex.split(candidate or "")
        if words and shutil.which(words[0]):
            return words
    raise CannotBuild("there is no C compiler")


def include_folder() -> str:
    """Return where Python.h is.

    Raises:
        CannotBuild: It is not there, or this Python has no limited API.
    """
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise CannotBuild("this Python has no limited API")
    folder = sysconfig.get_path("include")
    if not (Path(folder) / "Python.h").exists():
        raise CannotBuild(f"there is no Python.h in {folder}; on Debian: apt-get install python3-dev")
    return folder


def build(root: Path) -> None:
    """Compile the kernels into ``LIBRARY`` under root.

    Raises:
        CannotBuild: Something that it takes is missing, or the compiler fails.
    """
    command = [*compiler(), *FLAGS, f"-I{include_folder()}"]
    sources = sorted(str(path) for path in (root / FOLDER).glob("_*.c"))
    with tempfile.TemporaryDirectory(dir=root / FOLDER, prefix=".build-") as folder:
        made = Path(folder) / LIBRARY.name
        command += [*LINK_FLAGS.get(sys.platform, ["-shared"]), *sources, "-lm", "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the builder's own
        if done.returncode != 0:
            raise CannotBuild(f"{shlex.join(command)} failed:\n{done.stderr.strip()}")
        # In one step: a process that runs the old file keeps it.
        made.replace(root / LIBRARY)


def tag() -> str:
    """Return the wheel's tag: what this machine makes runs on its kind of machine alone."""
    system = sysconfig.get_platform()
    if system.endswith("universal2"):  # a Python for two processors; we compile for this one
        system = system.replace("universal2", platform.machine())
    return f"cp311-abi3-{system.replace('-', '_').replace('.', '_')}"


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg] # its parameter differs between versions
    """What hatchling calls before it makes a wheel, editable ones included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's
        """Build the kernels and tell hatchling of them, or tell the operator why not."""
        root = Path(self.root)
        try:
            build(root)
        except CannotBuild as error:
            # An older build would be of other sources.
            (root / LIBRARY).unlink(missing_ok=True)
            print(f"Demijohn: its C kernels are not built, it works without: {error}.", file=sys.stderr)  # noqa: T201
            return
        build_data["artifacts"].append(f"/{LIBRARY.as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = tag()
