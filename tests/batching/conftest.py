from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.batching.rig import MakeRig, Rig


@pytest.fixture
def make_rig() -> Iterator[MakeRig]:
    rigs = []

    def make(*args: Any, **options: Any) -> Rig:
        rigs.append(Rig(*args, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(make_rig: MakeRig) -> Rig:
    return make_rig()
