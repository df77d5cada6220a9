"""The formats of model files: one table, each told by its content.

Rules of this room:
1. Telling a format runs nothing, imports no framework and decompresses a few bytes at most.
2. A format has one loader, and a loader never hands a file on to another.
3. ``trust`` says what loading may do: "data" holds none of the author's code; "inspected" is looked
   through before it is built; "code" runs what the file names, so it loads only where the operator
   named the file.
"""

from __future__ import annotations

import bz2
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .onnx_file import is_onnx

Trust = Literal["data", "inspected", "code"]

_PICKLE_PROTOCOLS = range(2, 6)  # those that begin with the opcode PROTO
_LZ4 = b"\x04\x22\x4d\x18"
_ZIP = b"PK\x03\x04"
_HDF5 = b"\x89HDF\r\n\x1a\n"
# Both forms begin with an object whose first key is one of two, in UBJSON with its length before it.
_XGBOOST = re.compile(rb'\s*\{\s*"(learner|version)"\s*:|\{L\0{7}\x07(learner|version)')
_LIGHTGBM = re.compile(rb"tree\r?\nversion=")
_COMPRESSED: tuple[
    tuple[bytes, Callable[[], zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor]], ...
]
_COMPRESSED = (
    (b"\x78", zlib.decompressobj),
    (b"\x1f\x8b", lambda: zlib.decompressobj(wbits=31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lzma.LZMADecompressor),
    (b"\x5d\x00", lzma.LZMADecompressor),
)


@dataclass(frozen=True, slots=True)
class Format:
    """One format of model files."""

    name: str
    framework: str  #: The runtime that loads it: a key of ``RUNTIMES``, or a third party's entry point.
    trust: Trust
    #: ``module:function``, from an ``Artifact`` and its content to the model. The module is below
    #: ``demijohn.runtimes``, or a third party's by its whole name.
    loader: str
    matches: Callable[[bytes], bool]  #: Says whether a file's content is of this format.
    suffixes: tuple[
        str, ...
    ]  #: By which its files usually go; they decide nothing but what a folder must hold.
    #: False: the framework, once imported, does not survive a fork, so each worker loads the model itself.
    survives_fork: bool = True
    #: ``module:function``, from a content and its path to the digest over it and the files that belong to it,
    #: None where none does.
    whole_digest: str | None = None


def is_pickle(content: bytes) -> bool:
    """Say whether content is a pickle, neither compressed nor joblib's."""
    # joblib writes arrays beside the pickle's own opcodes, so only joblib can read such a file.
    return _begins_as_pickle(content) and b"joblib.numpy_pickle" not in content


def is_joblib(content: bytes) -> bool:
    """Say whether content is what joblib writes: a pickle with arrays in it, or a compressed one."""
    if _begins_as_pickle(content):
        return b"joblib.numpy_pickle" in content
    return content.startswith(_LZ4) or _is_compressed_pickle(content)


def is_skops(content: bytes) -> bool:
    """Say whether content is a skops file."""
    return "schema.json" in names_in_zip(content)


def is_keras(content: bytes) -> bool:
    """Say whether content is Keras' own format."""
    return {"config.json", "metadata.json"} <= names_in_zip(content)


def is_hdf5(content: bytes) -> bool:
    """Say whether content is HDF5, as Keras 2 wrote its models."""
    return content.startswith(_HDF5)


def is_exported_program(content: bytes) -> bool:
    """Say whether content is what ``torch.export.save`` writes, now or up to PyTorch 2.7."""
    names = names_in_zip(content)
    return _has_below_root(names, "archive_format", "archive_version") or (
        "serialized_exported_program.json" in names
    )


def is_torchscript(content: bytes) -> bool:
    """Say whether content is what ``torch.jit.save`` writes."""
    names = names_in_zip(content)
    return _has_below_root(names, "constants.pkl") and any("/code/" in name for name in names)


def is_torch_pickle(content: bytes) -> bool:
    """Say whether content is what ``torch.save`` writes: a pickle of weights, or of anything."""
    return _has_below_root(names_in_zip(content), "data.pkl") and not is_torchscript(content)


def _has_below_root(names: frozenset[str], *wanted: str) -> bool:
    """Say whether an archive's only folder at the top holds files of these names."""
    roots = {name.partition("/")[0] for name in names}
    return len(roots) == 1 and all(f"{root}/{name}" in names for name in wanted for root in roots)


def is_xgboost(content: bytes) -> bool:
    """Say whether content is a model that XGBoost saved: JSON, or UBJSON."""
    return _XGBOOST.match(content) is not None


def is_lightgbm(content: bytes) -> bool:
    """Say whether content is a model that LightGBM saved as text."""
    return _LIGHTGBM.match(content) is not None


def is_catboost(content: bytes) -> bool:
    """Say whether content is a model that CatBoost saved in its own binary format."""
    return content.startswith(b"CBM1")


def names_in_zip(content: bytes) -> frozenset[str]:
    """Return the names of a zip archive's members; none where content is no such archive."""
    if not content.startswith(_ZIP):
        return frozenset()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return frozenset(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return frozenset()


def _begins_as_pickle(content: bytes) -> bool:
    return len(content) > 1 and content[0] == 0x80 and content[1] in _PICKLE_PROTOCOLS


def _is_compressed_pickle(content: bytes) -> bool:
    for magic, decompressor in _COMPRESSED:
        if content.startswith(magic):
            try:
                start = decompressor().decompress(content[:65536], 2)
            except (zlib.error, OSError, EOFError, lzma.LZMAError):
                continue
            return _begins_as_pickle(start)
    return False


#: In the order in which they are tried.
FORMATS: tuple[Format, ...] = (
    Format("pickle", "sklearn", "code", "pickles:load_pickle", is_pickle, (".pickle", ".pkl")),
    Format("joblib", "sklearn", "code", "pickles:load_pickle", is_joblib, (".joblib",)),
    Format("catboost", "catboost", "data", "catboost:load_catboost", is_catboost, (".cbm",)),
    Format("xgboost", "xgboost", "data", "xgboost:load_xgboost", is_xgboost, (".ubj", ".json")),
    Format("lightgbm", "lightgbm", "data", "lightgbm:load_lightgbm", is_lightgbm, (".txt",)),
    Format("skops", "sklearn", "inspected", "skops_files:load_skops", is_skops, (".skops",)),
    Format(
        "keras", "keras", "inspected", "keras_files:load_keras", is_keras, (".keras",), survives_fork=False
    ),
    Format("hdf5", "keras", "code", "keras_files:load_h5", is_hdf5, (".h5", ".hdf5"), survives_fork=False),
    Format(
        "torch.export", "torch", "code", "torch_files:load_exported_program", is_exported_program, (".pt2",),
        survives_fork=False,
    ),
    Format(
        "TorchScript", "torch", "code", "torch_files:load_torchscript", is_torchscript, (".pt",),
        survives_fork=False,
    ),
    Format(
        "ONNX", "onnx", "data", "onnx:load_onnx", is_onnx, (".onnx",),
        survives_fork=False, whole_digest="onnx_external:digest",
    ),
)  # fmt: skip

#: Names that promise that loading runs no code. Who names such a file has not agreed to run any.
DATA_SUFFIXES = frozenset({".safetensors"}).union(*(one.suffixes for one in FORMATS if one.trust != "code"))
#: Names that promise a model; these two are also of much else that may lie in a folder.
MODEL_SUFFIXES = frozenset[str]().union(*(one.suffixes for one in FORMATS)) - {".json", ".txt"}


def format_of(content: bytes) -> Format | None:
    """Return the format of a file's content; None where it is of none that is known."""
    return next((one for one in FORMATS if one.matches(content)), None)
