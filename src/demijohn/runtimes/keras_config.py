"""Looking through a ``.keras`` file's config before Keras is imported, let alone builds anything of it.

Rules of this room:
1. Every object in the config, however deep, is named in ``keras_names``; everything else is refused
   and told by its name.
2. A text where Keras expects a vocabulary is the path of a file that Keras would read, or a URL that
   it would fetch (CVE-2025-12058); it is refused.
3. ``safe_mode`` alone is no boundary (CVE-2025-1550, CVE-2026-1462): it is on as well.

Source: keras/src/saving/serialization_lib.py, deserialize_keras_object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from demijohn.errors import LoadError, UntrustedArtifact

from .keras_names import CLASSES, FUNCTION_MODULES, FUNCTIONS, VALUE_DTYPES, VALUES

MAX_CONFIG_BYTES = 32 * 2**20
_MAX_DEPTH = 200
_MAX_TOLD = 10
_LONGEST_NAME = 100


def read_config(content: bytes) -> dict[str, Any]:
    """Read ``config.json``.

    Raises:
        LoadError: it is no JSON object, or so deep that Keras could not read it.
    """
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LoadError(f"its config.json cannot be read: {type(error).__name__}") from error
    if not isinstance(config, dict):
        raise LoadError("its config.json describes no model")
    return config


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse a config that names what does more than calculate.

    Raises:
        UntrustedArtifact: says what it names.
        LoadError: it is nested too deep.
    """
    # Loaded with compile=False, Keras does not look at how the model itself was trained.
    served = {key: value for key, value in config.items() if key != "compile_config"}
    refused = list(dict.fromkeys(why for part in _parts(served) for why in _whys(part)))
    if refused:
        more = ", …" if len(refused) > _MAX_TOLD else ""
        raise UntrustedArtifact(
            f"it names what is not Keras' own arithmetic: {', '.join(refused[:_MAX_TOLD])}{more};"
            " if you trust its author, say so: --trust, or trust=True"
        )


def _parts(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a config, without recursion."""
    waiting: list[tuple[Any, int]] = [(config, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > _MAX_DEPTH:
            raise LoadError(f"its config.json is nested more than {_MAX_DEPTH} deep")
        if isinstance(part, dict):
            yield part
            waiting.extend((value, depth + 1) for value in part.values())
        elif isinstance(part, list):
            waiting.extend((value, depth + 1) for value in part)


def _whys(part: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with one object, not counting what is inside it."""
    vocabulary = part.get("vocabulary")
    if vocabulary is not None and not isinstance(vocabulary, list):
        yield f"a vocabulary in another file ({_shown(vocabulary)})"
    if "class_name" not in part:
        if "registered_name" in part:
            yield f"the custom object {_shown(part['registered_name'])}"
        return
    name, module = part["class_name"], part.get("module")
    if not isinstance(name, str):
        yield _full_name(module, name)
    elif name in VALUES:
        yield from _value_whys(part)
    elif name == "function":
        if not _is_activation(part):
            yield f"the function {_full_name(module, part.get('config'))}"
    elif not _is_known(module, name):
        yield _full_name(module, name)
    elif part.get("registered_name") not in (None, name):
        yield f"the custom object {_shown(part['registered_name'])}"


def _is_known(module: Any, name: str) -> bool:
    return isinstance(module, str) and name in CLASSES.get(module, ())


def _is_activation(part: Mapping[str, Any]) -> bool:
    name, module, registered = part.get("config"), part.get("module"), part.get("registered_name")
    is_plain = module is None or isinstance(module, str)
    return (
        is_plain
        and module in FUNCTION_MODULES
        and isinstance(name, str)
        and name in FUNCTIONS
        and registered in (None, "function", name)
    )


def _value_whys(part: Mapping[str, Any]) -> Iterator[str]:
    inner = part.get("config")
    dtype = inner.get("dtype") if isinstance(inner, dict) else None
    if dtype is not None and not (isinstance(dtype, str) and dtype in VALUE_DTYPES):
        yield f"a value of dtype {_shown(dtype)}"


def _full_name(module: Any, name: Any) -> str:
    return _shown(name) if module is None else f"{_shown(module)}.{_shown(name)}"


def _shown(name: Any) -> str:
    text = name if isinstance(name, str) else json.dumps(name)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "…"
