"""No framework: a bare ASGI function under uvicorn, orjson in and out.  The least a Python server can do.
VARIANT frozen: what was made at import is taken out of the garbage collector's sight."""

import gc
import os

import joblib
import numpy as np
import orjson
import pandas as pd

model = joblib.load(os.environ["MODEL_FILE"])
if os.environ["VARIANT"] == "frozen":
    gc.collect()
    gc.freeze()
HEADERS = [(b"content-type", b"application/json")]


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    rows = orjson.loads(body)
    X = pd.DataFrame(rows) if isinstance(rows[0], dict) else np.array(rows)
    y = model.predict(X)
    answer = orjson.dumps(y if y.dtype.kind in "if" else y.tolist(), option=orjson.OPT_SERIALIZE_NUMPY)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*HEADERS, (b"content-length", str(len(answer)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": answer})
