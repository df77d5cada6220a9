"""Claims about answers: as many rows as came, each by itself, to nobody's surprise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from demijohn.messages import Array

from .bad_rows import bad_cells, bad_tensors
from .subject import Finding, NotTried, Subject, copied, cut, difference, told

_FEW = 5
_MANY = 17


def keeps_row_count(subject: Subject) -> Iterator[Finding]:
    """As many rows come back as went in."""
    for method in subject.runtime.methods:
        for n_rows in (1, 2, _MANY):
            answer = subject.run(method, subject.rows(method, n_rows))
            sizes = {name: len(array) if array.ndim else "no" for name, array in answer.items()}
            if not sizes or set(sizes.values()) != {n_rows}:
                yield Finding(method, f"{n_rows} rows", f"{sizes or 'nothing'}")


def batch_equals_one_by_one(subject: Subject) -> Iterator[Finding]:
    """Each row of a batch is answered as it is alone; only so may requests share a call."""
    if subject.runtime.joining == "never":
        raise NotTried('its requests never share a call (joining is "never")')
    for method in subject.runtime.methods:
        tensors = subject.rows(method, _MANY)
        alone = [subject.run(method, row) for row in cut(tensors)]
        expected = {name: np.concatenate([answer[name] for answer in alone]) for name in alone[0]}
        differs = difference(subject.run(method, tensors), expected, tensors)
        if differs:
            yield Finding(method, "rows answered as each of them alone", differs)


def refuses_bad_rows(subject: Subject) -> Iterator[Finding]:
    """Rows that do not fit are a SignatureMismatch; those that do are answered, or refused as promised."""
    for method in subject.runtime.methods:
        for what, refused in bad_cells(subject.signature(method), subject.example_rows(method)):
            if not refused:
                yield Finding(f"signature of {method}", f"a SignatureMismatch for {what}", "no error")
        if not subject.runtime.is_callable_unasked:
            continue
        for what, tensors in bad_tensors(subject.signature(method), subject.rows(method, 1)):
            try:
                subject.run(method, tensors)
            except subject.refusals():
                continue
            except Exception as error:  # noqa: BLE001  - foreign code, as above
                yield Finding(method, f"an answer or one of its refusals to {what}", told(error))


def leaves_its_inputs_alone(subject: Subject) -> Iterator[Finding]:
    """The arrays of a call are as they were: they may be a slice of somebody's."""
    for method in subject.runtime.methods:
        tensors = subject.rows(method, _FEW)
        given = copied(tensors)
        subject.runtime.run(method, given, {})
        for name, array in tensors.items():
            if given.get(name) is None or not _is_same(given[name], array):
                yield Finding(method, f"{name!r} as it was given", "other values in it")


def keeps_its_answers(subject: Subject) -> Iterator[Finding]:
    """An answer stays what it is when the next call is made."""
    for method in subject.runtime.methods:
        answer = subject.run(method, subject.rows(method, _FEW))
        before = copied(answer)
        subject.run(method, subject.rows(method, _FEW, seed=1))
        if not all(_is_same(answer[name], before[name]) for name in before):
            yield Finding(method, "an answer that stays", "one that the next call wrote over")


def _is_same(left: Array, right: Array) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind != "O":
        return left.tobytes() == right.tobytes()
    return all(a is b or np.array_equal(a, b) for a, b in zip(left.ravel(), right.ravel(), strict=True))
