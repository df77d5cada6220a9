"""Every dialect, dtype and shape: what a client writes is read, and what is answered is what it reads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.dialect_clients import CLIENTS

from demijohn.messages import Array, Tensors
from demijohn.protocols import PROTOCOLS
from demijohn.testing.protocol_subject import DTYPES, ProtocolSubject, misread, response_of, tensors_of

EXAMPLES = 200
FINITE = {"allow_nan": False, "allow_infinity": False}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
NAMES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=5)


def of(dtype: str, shape: tuple[int, ...]) -> st.SearchStrategy[Array]:
    if dtype == "str":
        return arrays.arrays(object, shape, elements=TEXTS)
    return arrays.arrays(np.dtype(dtype), shape, elements=FINITE if dtype.startswith("float") else None)


@st.composite
def tables(draw: st.DrawFn) -> Tensors:
    """One to three tensors of equally many rows."""
    n_rows = draw(st.integers(1, 4))
    tensors: Tensors = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        inner = draw(arrays.array_shapes(min_dims=1, max_dims=2, max_side=3) | st.just(()))
        tensors[name] = draw(of(draw(st.sampled_from(DTYPES)), (n_rows, *inner)))
    return tensors


@pytest.mark.parametrize("name", CLIENTS)
@settings(max_examples=EXAMPLES, deadline=None)
@given(tensors=tables())
def test_what_is_written_is_read_on_both_ways(name: str, tensors: Tensors) -> None:
    dialect, client = CLIENTS[name]
    sent = client.write(tensors)
    if sent is None:  # the dialect has no form for it
        return
    protocol = PROTOCOLS[dialect]
    request = ProtocolSubject(protocol, client).decode(sent)
    read = tensors_of(request.inputs, list(tensors), is_typed=client.is_typed)
    for column, array in tensors.items():
        assert not misread(array, read[column], is_typed=client.is_typed)
    response = response_of(tensors)
    answered = client.read(protocol.encode(response, request, (*protocol.ANSWERS, "")[0]))
    assert answered is not None
    assert len(answered) == len(tensors)
    for array, again in zip(response.outputs.values(), answered.values(), strict=True):
        assert not misread(array, again, is_typed=client.is_typed)
