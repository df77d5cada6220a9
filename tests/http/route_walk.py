"""Every route of ours, as it stands in the app itself, so that none is forgotten."""

from __future__ import annotations

import re

from flask import Flask

from demijohn import Demijohn

#: What a request must say for its route to be one at all: a PUT brings rows, and is answered in rows.
FORMS = {"PUT": {"content_type": "text/csv", "accept": "text/csv"}}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def _routes() -> list[tuple[str, str]]:
    """List every route of ours with every method it takes, as it stands in the app itself."""
    app = Flask(__name__)
    Demijohn(app, url_prefix="/ml")
    arguments = {
        "name": "plane",
        "version": "1",
        "alias": "champion",
        "method": "predict",
        "verb": "predict",
        "path": "console.js",
        "rest": "status",
    }
    routes = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("demijohn.") and rule.endpoint != "demijohn.no_route":
            path = re.sub(
                r"<(?:\w+:)?(\w+)>", lambda match: arguments[match[1]], rule.rule.removeprefix("/ml")
            )
            routes += [(path, method) for method in sorted(rule.methods or ())]
    return routes


ROUTES = _routes()
