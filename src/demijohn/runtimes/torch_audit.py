"""Looking through an exported program before PyTorch builds it.

Rules of this room:
1. Allowed are operators of known kinds, expressions of sizes, and pickles that PyTorch's own reader of
   bare weights takes. Anything else is refused: it is not what an export writes.
2. A tensor declares no more than it holds.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from demijohn.errors import LoadError, UntrustedArtifact

#: Operators by their full names: functions of PyTorch's own libraries, arithmetic, sizes.
_OPERATOR = re.compile(
    r"torch\.ops\.(?:aten|prims|quantized|quantized_decomposed|torchvision|higher_order)\.[A-Za-z0-9_.]+\Z"
    r"|torch\.sym_[a-z]+\Z|torch\._sym_[a-z]+\Z"
    r"|math\.[a-z0-9]+\Z"
    r"|_operator\.(?:abs|add|and_|eq|floordiv|ge|getitem|gt|le|lshift|lt|mod|mul|ne|neg|not_|or_|pos|pow|rshift"
    r"|sub|truediv|xor)\Z"
)
_OF_FILES = re.compile(r"\.(?:from_file|save|load)(?:\.|\Z)")  # operators that are given a file's name
#: What an expression of sizes may call: sympy's own classes and those that PyTorch adds.
_CALLED = frozenset({
    "Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Mod", "Abs", "floor",
    "ceiling", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "StrictLessThan", "LessThan",
    "StrictGreaterThan", "GreaterThan", "And", "Or", "Not", "Piecewise", "FloorDiv", "ModularIndexing",
    "Where", "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift",
    "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator",
    "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity",
})  # fmt: skip
_NAMED = re.compile(r"[suz]\d+\Z|(?:int_)?oo\Z|true\Z|false\Z|True\Z|False\Z")
_EXPRESSION = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.BinOp, ast.UnaryOp,
    ast.operator, ast.unaryop, ast.Compare, ast.cmpop, ast.Tuple, ast.BoolOp, ast.boolop,
)  # fmt: skip
_MOST_EXPRESSION = 10_000  # characters
_COMPILED = ("aotinductor", "executorch")
#: Of a structure of inputs or outputs: what makes PyTorch import whatever the file names.
_IMPORTING = ("__enum__", "defaultdict")


def audit(content: bytes, torch: Any) -> None:
    """Refuse a program that holds more than operators, sizes and tensors.

    Args:
        content: Of a zip archive that was checked.
        torch: The package.

    Raises:
        UntrustedArtifact: says what it holds.
        LoadError: it is broken, or declares more than it holds.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.partition("/")[2] if "/" in name else name: name for name in archive.namelist()}
        if len(members) != len(archive.namelist()):
            raise LoadError("the archive has members of one name in several folders")
        for inner, name in members.items():
            if any(part in _COMPILED for part in inner.split("/")):
                raise UntrustedArtifact(f"it holds compiled code ({inner}), which nobody can look through")
            if inner.endswith(".pt"):
                _check_pickle(inner, archive.read(name), torch)
            elif inner.endswith("_config.json"):
                _check_payloads(archive, inner, json.loads(archive.read(name)), members, torch)
        _check_programs(archive, members)


def _check_programs(archive: zipfile.ZipFile, members: Mapping[str, str]) -> None:
    programs = [
        one for one in members if one.startswith("models/") or one == "serialized_exported_program.json"
    ]
    if programs not in (["models/model.json"], ["serialized_exported_program.json"]):
        raise LoadError(f"expected one program named 'model', found {', '.join(programs) or 'none'}")
    for key, value in _strings(json.loads(archive.read(members[programs[0]]))):
        if key in {"target", "as_operator"}:
            _check_operator(value)
        elif key == "expr_str":
            _check_expression(value)
        elif key in {"in_spec", "out_spec"} and any(word in value for word in _IMPORTING):
            raise UntrustedArtifact("the structure of its inputs or outputs names modules to be imported")


def _strings(document: Any) -> Iterator[tuple[str, str]]:
    """Yield every text of a JSON document, with the key under which it stands."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((key, one) for one in value)
        elif isinstance(value, str):
            yield key, value


def _check_operator(name: str) -> None:
    if not _OPERATOR.match(name) or _OF_FILES.search(name):
        raise UntrustedArtifact(f"it calls {name[:100]!r}, which is no operator of a model")


def _check_expression(text: str) -> None:
    """Refuse what is more than an expression of sizes: sympy evaluates it as Python."""
    try:
        tree = ast.parse(text, mode="eval") if len(text) <= _MOST_EXPRESSION else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None or not all(map(_is_of_sizes, ast.walk(tree))):
        raise UntrustedArtifact(f"a size in it is no expression of sizes: {text[:100]!r}")


def _is_of_sizes(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _CALLED
    if isinstance(node, ast.Name):
        return node.id in _CALLED or _NAMED.match(node.id) is not None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.isidentifier()  # a symbol's name
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float))
    return isinstance(node, _EXPRESSION)


def _check_pickle(name: str, content: bytes, torch: Any) -> None:
    """Read a pickle as bare weights, in which nothing but tensors and plain containers may stand."""
    if not content:
        return
    try:
        torch.load(io.BytesIO(content), map_location="meta", weights_only=True)
    except Exception as error:
        # A foreign pickle, read by PyTorch's own reader: whatever it raises, it is not bare weights.
        raise UntrustedArtifact(f"{name} is a pickle of more than tensors") from error


def _check_payloads(
    archive: zipfile.ZipFile, name: str, document: Any, members: Mapping[str, str], torch: Any
) -> None:
    folder = name.rpartition("/")[0]
    for payload in document["config"].values():
        path_name = payload["path_name"]
        member = members.get(f"{folder}/{path_name}")
        if member is None:
            raise LoadError(f"{path_name!r}, which should hold a tensor, is missing")
        if not path_name.startswith(("weight_", "tensor_")):
            raise UntrustedArtifact(f"{path_name!r} is an object of the author's own class")
        if payload["use_pickle"]:
            _check_pickle(path_name, archive.read(member), torch)
        else:
            _check_size(path_name, payload["tensor_meta"], archive.getinfo(member).file_size)


def _check_size(name: str, meta: Mapping[str, Any], n_bytes: int) -> None:
    """Refuse a tensor that is longer than its bytes, which an empty one would become."""
    sizes = [size["as_int"] for size in meta["sizes"]]
    strides = [stride["as_int"] for stride in meta["strides"]]
    if math.prod(sizes) and 1 + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True)) > n_bytes:
        raise LoadError(f"{name!r} declares {math.prod(sizes):,} elements and has {n_bytes:,} bytes")
