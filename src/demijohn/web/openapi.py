"""OpenAPI stand-in."""
from flask import Response
from .models import answer_json
def document() -> Response:
    return answer_json({"openapi": "3.1.0"})
