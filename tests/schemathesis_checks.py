"""What Schemathesis checks of ours beside its own; it loads this module by SCHEMATHESIS_HOOKS."""

from __future__ import annotations

from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance
from tests.images import jpeg, png

from demijohn.messages import InferenceResponse
from demijohn.protocols import arrow_media, native, npy_media, parquet_media

SIZES = [(2, 3), (3, 2)]  # what the model of images takes, and what it does not
for media_type, encode in (("image/png", png), ("image/jpeg", jpeg)):
    files = [encode(np.zeros((*size, 3), np.uint8)) for size in SIZES]
    schemathesis.openapi.media_type(media_type, st.sampled_from([*files, b"no image"]))

# Rows of numbers, some of which fit the width of a model, by way of the forms' own writers.
TABLES = [{"x": np.zeros((2, width))} for width in (1, 4, 10)]
ANSWERS = [InferenceResponse(table, "m", "1", "predict", 2) for table in TABLES]
FORMS = {
    native.ARROW: [arrow_media.encode(answer, native.ARROW) for answer in ANSWERS],
    native.ARROW_FILE: [arrow_media.encode(answer, native.ARROW_FILE) for answer in ANSWERS],
    native.PARQUET: [parquet_media.encode(answer) for answer in ANSWERS],
    native.NPY: [npy_media.encode(table, native.NPY) for table in TABLES],
    native.NPZ: [npy_media.encode(table, native.NPZ) for table in TABLES],
    **{form: [b"[0, 0, 0, 0]\n", b'{"x": 1}\n'] for form in native.LINES},
}
for media_type, files in FORMS.items():
    schemathesis.openapi.media_type(media_type, st.sampled_from([*files, b"\0 broken"]))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """Ask a PUT for an answer in rows: OpenAPI has no word for what Accept must be."""
    if case.method == "PUT" and "Accept" not in case.headers:
        case.headers["Accept"] = "text/csv"


@schemathesis.check
def accepts_what_fits(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """``positive_data_acceptance``, but for the refusals that no JSON Schema can foretell."""
    if not _may_be_refused(response, case):
        positive_data_acceptance(ctx, response, case)


def _may_be_refused(response: schemathesis.Response, case: schemathesis.Case) -> bool:
    if case.media_type == "text/csv" or case.media_type in FORMS:
        return response.status_code in (400, 422)  # any text fits a CSV body's type, and few are rows
    if case.path.startswith(("/v1/", "/invocations")):
        return response.status_code == 400  # in these dialects no code says why
    if case.path.startswith("/v2/models/") and case.method == "POST":
        return response.status_code == 400  # shape and data of a tensor must agree
    if (case.media_type or "").startswith("image/"):
        return response.status_code in (400, 422)  # the same of bytes, and images of one size
    if response.status_code == 400:
        return _is_no_image(response.json())  # any text fits "b64"
    if response.status_code != 422:
        return False
    code = response.json()["code"]
    return code == "model_refused" or (code == "signature_mismatch" and _is_ragged(case.body))


def _is_no_image(problem: dict[str, Any]) -> bool:
    errors = problem.get("errors", [])  # other dialects have another form
    return [error["expected"] for error in errors] == ["an image that can be read"]


def _is_ragged(body: Any) -> bool:
    """Say whether the columns of a body have several lengths, which JSON Schema cannot forbid."""
    columns = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(columns, dict):
        return False
    return len({len(values) for values in columns.values() if isinstance(values, list)}) > 1
