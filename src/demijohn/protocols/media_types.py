"""What a Content-Type says: its media type and its parameters.

Source: RFC 9110, 8.3.1.
"""

from __future__ import annotations

JSON = "application/json"
CSV = "text/csv"


def split(content_type: str) -> tuple[str, dict[str, str]]:
    """Return the media type and the parameters by name, both in lower case."""
    media_type, *options = content_type.split(";")
    pairs = (option.partition("=") for option in options)
    return media_type.strip().lower(), {k.strip().lower(): v.strip().strip('"') for k, _, v in pairs}
