"""What ``demijohn serve`` prints when it is up: the address, the models, commands to paste.

Rules of this room:
1. A printed command works as it stands in bash: every text is quoted, and nothing in it can act on
   the terminal.
2. No key is printed: a command takes it from DEMIJOHN_API_KEY of the shell it is pasted into.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence

from . import __version__
from .acceleration import describe_method
from .chains import ChainRuntime
from .config import Settings
from .planning import kept_plan, may_plan, shown_rows
from .pool import rank
from .runtimes.base import Runtime

LONGEST_BODY = 4000  #: Characters of an example that a command holds; beyond it, it asks for one.
_EVERY_ADDRESS = {"//0.0.0.0:": "//127.0.0.1:", "//[::]:": "//[::1]:"}
_KEY = ' -H "X-API-Key: ${DEMIJOHN_API_KEY%%,*}"'
_JSON = " -H 'Content-Type: application/json'"
_TAKE_EXAMPLE = 'import json, sys; print(json.dumps(json.load(sys.stdin)["example"]))'


def describe(url: str, models: Sequence[tuple[tuple[str, str], Runtime]], settings: Settings) -> list[str]:
    """Return the lines: one for the address, one for each version, a command for each model.

    Args:
        url: Of the server, without a path.
        models: Names and versions, in the order in which they were named.
        settings: For the prefix and whether a key is needed.
    """
    prefix = settings.url_prefix
    lines = [f"Demijohn {__version__} at {url}  (console: {url}{prefix}/  docs: {url}{prefix}/docs)"]
    names = list(dict.fromkeys(name for (name, _), _ in models))
    latest = {}
    for (name, version), runtime in sorted(models, key=lambda one: (names.index(one[0][0]), rank(one[0][1]))):
        lines.append(
            f"  {name}  version {version}  {printable(str(runtime.signature))}  "
            f"methods: {', '.join(runtime.methods)}  engine: {_engine(runtime, settings)}"
        )
        latest[name] = runtime
    if settings.api_key:
        lines += ["", "These commands take the key from DEMIJOHN_API_KEY of your shell:"]
    for name in names:
        lines += ["", curl(url, name, latest[name], settings)]
    return [*lines, "", "Ctrl-C stops it."]


def _engine(runtime: Runtime, settings: Settings) -> str:
    """Return what runs the first method, as far as that is known already."""
    if isinstance(runtime, ChainRuntime):
        return f"those of {', '.join(member.name for member in runtime.members)}"
    native = f"native ({runtime.framework})"
    if not may_plan(runtime, settings):
        return native
    plan = kept_plan(runtime, settings)
    known = None if plan is None else plan.methods.get(runtime.methods[0])
    if known is None:
        return f"{native}, proving others"
    return describe_method(known) if known.engines else native


def curl(url: str, name: str, runtime: Runtime, settings: Settings) -> str:
    """Return a bash command that predicts one example row; where none is known to work, a comment."""
    for every, loopback in _EVERY_ADDRESS.items():
        url = url.replace(every, loopback)
    address = f"{url}{settings.url_prefix}/models/{name}"
    key = _KEY if settings.api_key else ""
    method = next((one for one in runtime.methods if one in runtime.signature.outputs), runtime.methods[0])
    target = shlex.quote(f"{address}/{method}")
    rows = shown_rows(runtime, method)[:1]
    if not rows:
        return (
            f"# {name} fails on its example; a command for it needs one that it takes: --example {name}=FILE"
        )
    body = _written({"instances": rows})
    if len(body) <= LONGEST_BODY:
        return f"curl {target}{key}{_JSON} -d {shlex.quote(body)}"
    example = f"curl -s {shlex.quote(address)}{key} | python3 -c {shlex.quote(_TAKE_EXAMPLE)}"
    return f"{example} | curl {target}{key}{_JSON} -d @-"


def printable(text: str) -> str:
    """Return ``text`` in one line that a terminal shows and does not obey."""
    return "".join(char if char.isprintable() else "�" for char in text)


def _written(document: object) -> str:
    text = json.dumps(document, ensure_ascii=False)
    is_plain = text.isprintable() and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return text if is_plain else json.dumps(document)
