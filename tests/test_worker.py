"""What a worker process sets up before it serves; how it serves is in test_server.py."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FAULTS = """
import resource, threading
from demijohn.worker import keep_memory

def faults():
    def work():
        for _ in range(10):
            blocks = [bytearray(700_000) for _ in range(4)]  # as the arrays of a request
            del blocks
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
keep_memory()
print(plain, faults())
"""


def faults(**environ: str) -> tuple[int, int]:
    """Return the page faults of ten requests, before and after a worker has said what is to be kept."""
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS], env=environ, capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    return before, after


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_what_one_request_has_freed_is_kept_for_the_next() -> None:
    before, after = faults()
    assert before > 4_000
    assert after < 2_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_what_the_operator_has_set_for_the_allocator_holds() -> None:
    _, after = faults(MALLOC_TRIM_THRESHOLD_="131072")
    assert after > 4_000
