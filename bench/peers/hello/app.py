"""The floor: reads a body and answers a constant, as plain WSGI under Granian."""

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "5")]


def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", HEADERS)
    return [b"hello"]
