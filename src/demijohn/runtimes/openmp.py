"""One thread for what a framework does in OpenMP.

GNU's OpenMP keeps a pool of threads once it has used several, and a forked child waits for these for
ever as soon as it uses several itself. One that uses its own thread alone meets no pool.

Rules of this room:
1. OpenMP counts for each thread that begins a parallel part, so this holds for the calling thread alone.
2. LightGBM has a bound of its own, for the whole process; it is put back after the call.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_OPENMP = re.compile(r"/lib(?:gomp|omp|iomp5)[\w.-]*\.so[\w.]*$")
_LIGHTGBM = re.compile(r"/lib_lightgbm\.so$")

Bound = tuple[Callable[[], int], Callable[[int], object]]  # asks how many threads there may be, and sets it


class OneThread:
    """Bounds the libraries that are loaded now; looking through a process's memory takes a while."""

    def __init__(self) -> None:
        paths = _libraries()
        self._bounds = [_openmp(path) for path in paths if _OPENMP.search(path)]
        self._bounds += [_lightgbm(path) for path in paths if _LIGHTGBM.search(path)]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep them to the calling thread, as long as the context lasts."""
        before = [ask() for ask, _ in self._bounds]
        for _, bound in self._bounds:
            bound(1)
        try:
            yield
        finally:
            for (_, bound), n_threads in zip(self._bounds, before, strict=True):
                bound(n_threads)


def _libraries() -> list[str]:
    try:
        lines = _MAPS.read_text(errors="replace").splitlines()
    except OSError:  # no Linux
        return []
    return sorted({line[line.index("/") :] for line in lines if "/" in line})


def _openmp(path: str) -> Bound:
    library = _opened(path)
    return library.omp_get_max_threads, library.omp_set_num_threads


def _lightgbm(path: str) -> Bound:
    library = _opened(path)

    def ask() -> int:
        found = ctypes.c_int()
        library.LGBM_GetMaxThreads(ctypes.byref(found))
        return found.value

    return ask, library.LGBM_SetMaxThreads


def _opened(path: str) -> ctypes.CDLL:
    return ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
