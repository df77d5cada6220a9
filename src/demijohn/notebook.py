"""What notebooks show of a model: its signature as a table."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from .signature import Signature

_HEAD = ("input", "dtype", "may be missing", "categories")


def signature_html(title: str, signature: Signature) -> str:
    """Return the inputs of a signature as a table; ``title`` stands above it."""
    cells = [
        (spec.name, spec.dtype, "yes" if spec.nullable else "no", ", ".join(map(str, spec.categories or ())))
        for spec in signature.inputs
    ]
    return table_html(title, _HEAD, cells)


def table_html(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; every text in it is escaped."""
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><caption>{html.escape(title)}</caption><tr>{names}</tr>{body}</table>"
