"""The table of what every runtime claims.

Rules of this room and of those that hold the claims (``description``, ``answering``, ``lifetime``):
1. A check is named as the claim, tries every method, and yields where the claim does not hold.
2. It does only what a server would do: rows that fit, from any thread. A function is never called with
   rows that its author may not have thought of (``is_callable_unasked``).
3. What a check does not expect to be raised breaks its claim too; ``contract`` writes it down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .answering import (
    batch_equals_one_by_one,
    keeps_its_answers,
    keeps_row_count,
    leaves_its_inputs_alone,
    refuses_bad_rows,
)
from .description import (
    classes_name_the_columns,
    describes_itself,
    digest_is_stable,
    example_rows_fit,
    matches_signature,
)
from .lifetime import frees_memory_when_dropped, is_thread_safe, survives_being_loaded_twice
from .subject import Finding, Subject

Check = Callable[[Subject], Iterable[Finding]]

#: What every runtime claims. Without the first two the others cannot be tried.
CHECKS: list[Check] = [
    describes_itself,
    example_rows_fit,
    keeps_row_count,
    matches_signature,
    classes_name_the_columns,
    batch_equals_one_by_one,
    is_thread_safe,
    leaves_its_inputs_alone,
    keeps_its_answers,
    refuses_bad_rows,
    survives_being_loaded_twice,
    frees_memory_when_dropped,
    digest_is_stable,
]
FOUNDATIONS = CHECKS[:2]
