"""The framework on one core, and on all of them elsewhere."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from demijohn.acceleration.cores import OneCore


def test_openmp_takes_one_core_in_this_thread_alone() -> None:
    with ThreadPoolExecutor(1) as elsewhere:
        here, there = (
            _openmp_effective_n_threads(),
            elsewhere.submit(_openmp_effective_n_threads).result(),
        )
        on_one_core = OneCore()
        for _ in range(2):
            with on_one_core():
                assert _openmp_effective_n_threads() == 1
                assert elsewhere.submit(_openmp_effective_n_threads).result() == there
            assert _openmp_effective_n_threads() == here


def test_where_nothing_can_limit_it_nothing_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "threadpoolctl")
    before = _openmp_effective_n_threads()
    with OneCore()():
        assert _openmp_effective_n_threads() == before
