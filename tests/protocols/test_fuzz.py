"""Whatever bytes come, each decoder reads or refuses them: nothing else is raised, little memory is used.

2,000 bodies each in ``make test``, 100,000 each in ``make fuzz``.
"""

from __future__ import annotations

import gzip
import json
import mmap
import os
import random
import resource
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import media_bodies, v2_client
from tests.dialect_clients import CLIENTS
from tests.images import jpeg, png

from demijohn.config import Settings
from demijohn.errors import DemijohnError, NotOffered, RequestError
from demijohn.messages import ImageBody, InferenceRequest, Inputs, RawTensor
from demijohn.protocols import PROTOCOLS, mlflow, native, open_inference, tensorflow
from demijohn.protocols.image_media import Images
from demijohn.protocols.pieces import Bounds
from demijohn.row_pieces import checked
from demijohn.signature import Signature, TensorSpec
from demijohn.web.bodies import read_body

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2000"))
SETTINGS = Settings(max_elements=200, max_depth=20, max_pixels=10_000)
MOST_BYTES = 2**28  #: That all examples of a decoder may add to this process.
BOUND = 10_000  #: Of a body, decompressed.
MOST_KEPT = 2**20  #: Longer than any body here.

SIGNATURES = [
    Signature("matrix", (TensorSpec("x", "float64", (-1, 2)),), {}),
    Signature("table", (TensorSpec("a", "float64", nullable=True), TensorSpec("b", "str")), {}),
    Signature("tensors", (TensorSpec("x", "int8", (-1, -1)), TensorSpec("y", "bool", (-1, 2))), {}),
]

TABLE = {"a": np.array([1.5, -2.0]), "b": np.array(["x", "é"], dtype=object)}
MATRIX = {"x": np.array([[1.5, -2.0], [0.25, 4.0]])}
SEVERAL = {"x": np.array([[1, 2]], np.int8), "y": np.array([[True, False]])}

_PUNCTUATION = ["{", "}", "[", "]", ",", ":", '"', "\\", " ", "\n", "\\u0000", "\\ud800", "\ufeff"]
_VALUES = [
    "1", "-0.5", "1e999", "9" * 400, "18446744073709551616", "-9223372036854775809", "null", "true", "false",
    '"x"', '""', "NaN", "-Infinity", "Inf", "[]", "{}", "[[1,2],[3,4]]", '{"b64":"aGk="}', '{"b64":"aGk"}',
]  # fmt: skip
_KEYS = [
    "instances", "inputs", "outputs", "dataframe_split", "dataframe_records", "columns", "data", "index",
    "params", "examples", "context", "signature_name", "b64", "x", "a", "b", "name", "shape", "datatype",
    "parameters", "id", "binary_data_size", "binary_data", "classification", "messages", "prompt", "input",
]  # fmt: skip
TOKENS = [token.encode() for token in (*_PUNCTUATION, *_VALUES, *(f'"{key}":' for key in _KEYS))]
CSV_TOKENS = [
    token.encode() for token in ("a,b", "x", "1", "-1.5", ",", '"', "\r\n", "\n", "\r", ";", "\0", "é", "nan")
]

_LIES = (0, 1, -1, 2**7, 2**15 - 1, 2**16, 2**31 - 1, -(2**31), 2**40, 2**63 - 1, -(2**63))
#: Lengths and places that files of bytes are full of, little-endian.
LIES = [struct.pack("<q", lie)[:n_bytes] for lie in _LIES for n_bytes in (1, 2, 4, 8)]

_NPY_TEXTS = (
    "<f8",
    ">i4",
    "|b1",
    "|O",
    "<U9",
    "|S0",
    "<M8[s]",
    "(2,)",
    "()",
    "(0, 2)",
    "(9999999999, 4)",
    "True",
)
NPY_TOKENS = [*LIES, *(text.encode() for text in _NPY_TEXTS)]

Read = Callable[[bytes, str], object]


class Decoder(NamedTuple):
    """What reads bodies; some are told a word beside."""

    read: Read
    seeds: Sequence[bytes]
    words: Sequence[str] = ("",)
    tokens: Sequence[bytes] = TOKENS
    tell: str = ""  #: A client of ``CLIENTS``, that reads the errors.

    @property
    def is_binary(self) -> bool:
        return LIES[0] in self.tokens


def written(*clients: str) -> list[bytes]:
    sent = [CLIENTS[client][1].write(tensors) for client in clients for tensors in (MATRIX, TABLE, SEVERAL)]
    return [one.body for one in sent if one is not None]


def in_bytes() -> list[bytes]:
    """Return requests with their head's length before them, as ``read_v2_bytes`` takes it off."""
    sent = [CLIENTS["v2 in bytes"][1].write(tensors) for tensors in (MATRIX, TABLE, SEVERAL)]
    halves = {"x": ("BF16", np.ones((1, 2), np.float32)), "y": ("FP16", np.ones((1, 2), np.float16))}
    bodies = [(one.body, one.environ[HEAD]) for one in sent if one is not None]
    spoiled = v2_client.request(halves, is_binary=True)
    return [head.encode() + b"\n" + body for body, head in (*bodies, (spoiled.body, spoiled.head))]


HEAD = "HTTP_INFERENCE_HEADER_CONTENT_LENGTH"


def read_v2_bytes(body: bytes, word: str) -> object:
    head, _, rest = body.partition(b"\n")
    return open_inference.decode(rest, word or head.decode("latin-1"), SETTINGS)


def read_native(body: bytes, media_type: str) -> object:
    return native.decode(body, media_type, SETTINGS)


def read_stream(body: bytes, word: str) -> list[Inputs]:
    """Read all pieces of a body of which so many bytes come at a time."""
    media_type, _, size = word.rpartition(" of ")
    coming = (body[start : start + int(size)] for start in range(0, len(body), int(size)))
    bounds = Bounds(piece_rows=3, row_bytes=BOUND, first_bytes=len(body) % 50)
    return list(native.decode_stream(lambda: next(coming, b""), media_type, bounds, SETTINGS))


def streamed(media_type: str) -> list[str]:
    return [f"{media_type} of {size}" for size in (1, 7, 100, 10_000)]


def read_image(body: bytes, media_type: str) -> object:
    return Images(SETTINGS.max_pixels, media_type or None).open(body).pixels(3)


def read_compressed(body: bytes, encoding: str) -> object:
    content = read_body({}, BytesIO(body), len(body), encoding.split(), BOUND)
    assert len(content) <= BOUND
    return content


EXAMPLES_IN_CONTEXT = b'{"context":{"b":"x"},"examples":[{"a":[NaN]}]}'
_JSON = "application/json"
_PICTURE = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
_BOMB = gzip.compress(bytes(BOUND * 100))

_CSV = [b"a,b\r\n1,x\r\n2,y\r\n", b'1,2\n"3",4\n']
_CSV_TYPES = ("text/csv", "text/csv; header=absent")
_STREAMS, _FILES, _LINES = media_bodies.arrow_streams(), media_bodies.arrow_files(), media_bodies.JSON_LINES

DECODERS = {
    "native": Decoder(
        read_native,
        written("native rows", "native columns", "mlflow split", "mlflow records"),
        ("", _JSON),
        tell="native rows",
    ),
    "native CSV": Decoder(read_native, _CSV, _CSV_TYPES, CSV_TOKENS, "native rows"),
    "CSV stream": Decoder(
        read_stream, _CSV, [*streamed(_CSV_TYPES[0]), *streamed(_CSV_TYPES[1])], CSV_TOKENS, "native rows"
    ),
    "JSON lines": Decoder(read_native, _LINES, native.LINES, tell="native rows"),
    "JSON lines stream": Decoder(read_stream, _LINES, streamed(native.LINES[0]), tell="native rows"),
    "Arrow stream": Decoder(read_native, _STREAMS, [native.ARROW], LIES, "native rows"),
    "Arrow stream in pieces": Decoder(read_stream, _STREAMS, streamed(native.ARROW), LIES, "native rows"),
    "Arrow file": Decoder(read_native, _FILES, [native.ARROW_FILE], LIES, "native rows"),
    "Parquet": Decoder(read_native, media_bodies.parquet_files(), [native.PARQUET], LIES, "native rows"),
    "npy": Decoder(read_native, media_bodies.npy_files(), [native.NPY], NPY_TOKENS, "native rows"),
    "npz": Decoder(read_native, media_bodies.npz_files(), [native.NPZ], LIES, "native rows"),
    "v2": Decoder(
        lambda body, _: open_inference.decode(body, "", SETTINGS), written("v2 in JSON"), tell="v2 in JSON"
    ),
    "v2 in bytes": Decoder(read_v2_bytes, in_bytes(), ("", "0"), tell="v2 in bytes"),
    "tensorflow": Decoder(
        lambda body, verb: tensorflow.decode(body, verb, SETTINGS),
        [
            *written("tensorflow rows", "tensorflow columns"),
            b'{"context":{"b":"x"},"examples":[{"a":[NaN]}]}',
        ],
        tensorflow.VERBS,
        tell="tensorflow rows",
    ),
    "mlflow": Decoder(
        lambda body, head: mlflow.decode(body, head, SETTINGS),
        written("mlflow split", "mlflow records", "mlflow columns"),
        mlflow.BODIES,
        tell="mlflow columns",
    ),
    "images": Decoder(read_image, [png(_PICTURE), jpeg(_PICTURE)], ("", "image/png", "image/jpeg"), LIES),
    "compressed": Decoder(
        read_compressed,
        [gzip.compress(b"[1]"), zlib.compress(b"[1]" * 50), _BOMB, gzip.compress(b"") * 9],
        ("gzip", "deflate", "gzip deflate"),
        LIES,
    ),
}


def splice(body: bytes, decoder: Decoder, chance: random.Random) -> bytes:
    """Take a piece out, put one in, double one or take one from another body."""
    start = chance.randint(0, len(body))
    end = start + chance.choice([0, 1, 1, 2, 8, 20])
    other = chance.choice(decoder.seeds)
    place = chance.randint(0, len(other))
    put = chance.choice(
        [chance.choice(decoder.tokens), chance.randbytes(chance.randint(0, 4)), body[start:end] * 2,
         other[place : place + 30], b""]
    )  # fmt: skip
    return body[:start] + put + body[end:]


def lie(body: bytes, _: Decoder, chance: random.Random) -> bytes:
    """Write another number over one that may be a length or a place, both little-endian."""
    numbers = np.frombuffer(body, "<u4", len(body) // 4)
    places = np.flatnonzero((numbers > 0) & (numbers <= 2 * len(body))).tolist()
    if not places:
        return body
    place = chance.choice(places)
    near = int(numbers[place]) + chance.choice([-8, -1, 1, 8, len(body)])
    put = struct.pack("<q", chance.choice([near, chance.choice(_LIES)]))[: chance.choice([1, 2, 4, 8])]
    return body[: 4 * place] + put + body[4 * place + len(put) :]


def overwrite(body: bytes, decoder: Decoder, chance: random.Random) -> bytes:
    """Write a token over something else."""
    put, start = chance.choice(decoder.tokens), chance.randint(0, len(body))
    return body[:start] + put + body[start + len(put) :]


def flip(body: bytes, _: Decoder, chance: random.Random) -> bytes:
    """Turn one bit."""
    if not body:
        return body
    place = chance.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1 << chance.randrange(8)]) + body[place + 1 :]


def truncate(body: bytes, _: Decoder, chance: random.Random) -> bytes:
    """Let the body break off."""
    return body[: chance.randint(0, len(body))]


BINARY_EDITS = (*[lie, flip] * 4, overwrite, overwrite, splice, truncate)


def spoil(decoder: Decoder, chance: random.Random) -> bytes:
    """Return a good body that was edited a few times.

    Of bytes most edits keep the length: where all that follows is displaced, a reader does not get far.
    """
    body = chance.choice(decoder.seeds)
    for _ in range(chance.choice([1, 1, 1, 2, 3] if decoder.is_binary else [1, 2, 3, 4])):
        edit = chance.choice(BINARY_EDITS) if decoder.is_binary else splice
        body = edit(body, decoder, chance)
    return body


def draw(seed: int, decoder: Decoder) -> tuple[bytes, str]:
    """Return a body and a word beside it: mostly a spoiled one, else tokens or bytes in any order."""
    # One number draws it all: hypothesis would draw each piece of it, for ten times as long.
    chance = random.Random(seed)
    word, kind = chance.choice(decoder.words), chance.randrange(30 if decoder.is_binary else 5)
    if kind == 0:
        return b"".join(chance.choices(decoder.tokens, k=chance.randint(0, 25))), word
    if kind == 1:
        return chance.randbytes(chance.randint(0, 100)), word
    return spoil(decoder, chance), word


def _size_of_process() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@pytest.fixture(scope="module", autouse=True)
def bounded_memory() -> Iterator[None]:
    """Let this process grow by ``MOST_BYTES`` at most: beyond that, a decoder raises MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    for body in _STREAMS:
        pa.ipc.open_stream(body).read_all()  # starts the threads and pools that Arrow keeps
    resource.setrlimit(resource.RLIMIT_AS, (_size_of_process() + MOST_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def black_box(tmp_path: Path) -> Iterator[Callable[[bytes], None]]:
    """Keep what is about to be read in the file ``last_body``: a decoder that crashes leaves nothing else."""
    path = tmp_path / "last_body"
    path.write_bytes(bytes(MOST_KEPT))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), MOST_KEPT) as kept:

        def keep(body: bytes) -> None:
            kept[:8] = struct.pack("<q", len(body))
            kept[8 : 8 + len(body)] = body

        yield keep


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64 - 1))
def test_whatever_comes_is_read_or_refused(name: str, black_box: Callable[[bytes], None], seed: int) -> None:
    decoder = DECODERS[name]
    body, word = draw(seed, decoder)
    black_box(body)
    try:
        refusals = misfits(decoder.read(body, word))
    except (RequestError, NotOffered) as error:
        refusals = [error]
    if decoder.tell:
        dialect, client = CLIENTS[decoder.tell]
        for refusal in refusals:
            assert client.read_error(PROTOCOLS[dialect].encode_error(refusal, "id"))


def misfits(read: object) -> list[DemijohnError]:
    """Hold what was read of a body against each signature; returns how they refuse it."""
    pieces = read if isinstance(read, list) else [getattr(read, "inputs", None)]
    if pieces == [None] or isinstance(pieces[0], ImageBody):
        return []
    found: list[DemijohnError] = []
    for signature in SIGNATURES:
        try:
            list(checked(signature, pieces))
        except RequestError as error:
            found.append(error)
    return found


# Of the dialect with the most to be wrong: documents that are nearly right ----------------

SCALARS = (None, True, False, -1, 0, 1, 300, 2**63, -0.5, 1e300, "", "x", "é", "\0", "\U0001f600", "1")
LENGTHS = ("", "0", "right", "wrong")


def json_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(5) if depth < 3 else 2
    if kind == 0:
        return [json_value(chance, depth + 1) for _ in range(chance.randint(0, 3))]
    if kind == 1:
        return {
            str(chance.choice(SCALARS)): json_value(chance, depth + 1) for _ in range(chance.randint(0, 2))
        }
    return chance.choice(SCALARS)


def v2_document(chance: random.Random) -> Any:
    """Return a request of which some parts are something else, or are not there."""

    def mostly(*usual: Any) -> Any:
        return chance.choice(usual) if chance.random() < 0.8 else json_value(chance)

    def part(key: str, *usual: Any) -> dict[str, Any]:
        return {key: mostly(*usual)} if chance.random() < 0.5 else {}

    def tensor() -> dict[str, Any]:
        named = {"name": mostly("x", "y"), "datatype": mostly(*v2_client.DTYPES, "BYTES", "BF16")}
        sizes = ({"binary_data_size": 4}, {"binary_data_size": 8}, {})
        values = part("data", [1], [[1], [2]], ["a"], [True])
        return {**named, "shape": mostly([1], [2, 1]), **values, **part("parameters", *sizes)}

    tensors = [tensor() for _ in range(chance.randint(0, 3))]
    more = part("outputs", [{"name": "predict"}]) | part("id", "a") | part("parameters", {})
    return mostly({"inputs": tensors, **more}, {"inputs": mostly(tensors), **more})


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_a_v2_document_is_a_request_or_an_error_of_its_sender(seed: int) -> None:
    check_v2_document(seed)


def check_v2_document(seed: int) -> None:
    chance = random.Random(seed)
    head, kind = json.dumps(v2_document(chance)).encode(), chance.choice(LENGTHS)
    rest = chance.randbytes(chance.randint(0, 20)) if kind else b""
    length = {"right": str(len(head)), "wrong": str(len(head) // 2)}.get(kind, kind)
    try:
        request = open_inference.decode(head + rest, length, SETTINGS)
    except RequestError:
        return
    assert isinstance(request, InferenceRequest)
    assert isinstance(request.inputs, RawTensor) == (length == "0")
