"""What Schemathesis checks of ours beside its own; it loads this module by SCHEMATHESIS_HOOKS."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance


@schemathesis.check
def accepts_what_fits(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """``positive_data_acceptance``, but for the refusals that no JSON Schema can foretell."""
    if not _may_be_refused(response, case):
        positive_data_acceptance(ctx, response, case)


def _may_be_refused(response: schemathesis.Response, case: schemathesis.Case) -> bool:
    if case.media_type == "text/csv":
        return response.status_code in (400, 422)  # any text fits a CSV body's type, and few are rows
    if case.path.startswith("/v2/models/") and case.method == "POST":
        return response.status_code == 400  # shape and data of a tensor must agree
    if response.status_code != 422:
        return False
    code = response.json()["code"]
    return code == "model_refused" or (code == "signature_mismatch" and _is_ragged(case.body))


def _is_ragged(body: Any) -> bool:
    """Say whether the columns of a body have several lengths, which JSON Schema cannot forbid."""
    columns = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(columns, dict):
        return False
    return len({len(values) for values in columns.values() if isinstance(values, list)}) > 1
