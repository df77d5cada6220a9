"""``demijohn inspect``: what a model file is, what it takes and returns, what runs it and how fast.

Rules of this room:
1. A file that may not be loaded is still described, as far as that runs nothing in it.
2. A function is never called unasked, not even to time it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from . import runtimes
from .acceleration import NATIVE, SIZES
from .announcement import printable
from .config import Settings
from .errors import DemijohnError, UntrustedArtifact
from .examples import read_example
from .lifecycle import Lifecycle
from .messages import Tensors
from .planning import example_rows, shown_rows
from .predictor import Predictor
from .probes import draw
from .protocols import json_media
from .runtimes.base import Artifact
from .targets import stem

_TIMING_S = 0.1
_SHOWN_COLUMNS = 40
_SHOWN_CATEGORIES = 8


def inspect_file(
    path: Path,
    example: Path | None,
    *,
    as_json: bool,
    acceleration: str | None = None,
    is_trusted: bool = False,
) -> None:
    """Print what a model file is.

    Args:
        path: Of the file.
        example: Rows that complete the signature.
        as_json: Print JSON.
        acceleration: Which engines may run it, "exact" or "fast"; None takes the setting.
        is_trusted: It may run code of its author.

    Raises:
        OperatorError: it cannot be read or loaded; of one that names types which are not trusted
            the format is printed before.
    """
    settings = Settings.from_mapping({}, os.environ, acceleration=acceleration)
    artifact = runtimes.inspect(path)
    rows = read_example(example, settings) if example else None
    try:
        runtime = runtimes.load(path, example=rows, is_trusted=is_trusted)
    except UntrustedArtifact as error:
        _print(_of_artifact(artifact) | {"refused": error.detail}, as_json=as_json)
        raise
    predictor = Predictor(stem(path), "1", runtime, settings, Lifecycle())
    predictor.settle(_tell_waiting)
    _print(_of_artifact(artifact) | _of_predictor(predictor), as_json=as_json)


def _tell_waiting() -> None:
    click.echo("demijohn: another process is proving this model's engines; waiting for its plan", err=True)


def _of_artifact(artifact: Artifact) -> dict[str, Any]:
    return {
        "file": str(artifact.path),
        "format": artifact.format,
        "runs_code_when_loaded": artifact.runs_code,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
    }


def _of_predictor(predictor: Predictor) -> dict[str, Any]:
    runtime, plan = predictor.runtime, predictor.plan()
    return {
        "framework": runtime.framework,
        "framework_version": runtime.framework_version,
        "metadata": dict(runtime.metadata),
        "methods": list(runtime.methods),
        "signature": predictor.signature.as_json(),
        "example": {"instances": shown_rows(runtime)},
        "warnings": list(runtime.warnings),
        "engine": plan["methods"][runtime.methods[0]][0]["engine"],
        "us_per_call": {method: _timings(predictor, method) for method in runtime.methods},
        "plan": plan,
        "kept_alone": predictor.not_joined,
    }


def _timings(predictor: Predictor, method: str) -> dict[str, float] | str:
    """Return the framework's microseconds per call by rows per call, or why there are none."""
    if not predictor.runtime.is_callable_unasked:
        return "a function is called by requests only"
    known = predictor.times_us(method).get(NATIVE)
    if known is not None:
        return {str(n_rows): us for n_rows, us in known.items() if us is not None}
    try:
        return {str(n_rows): _time(predictor, method, n_rows) for n_rows in SIZES}
    except DemijohnError as error:
        return error.detail


def _time(predictor: Predictor, method: str, n_rows: int) -> float:
    """Return the best of a few calls, in microseconds: the least disturbed is the truest."""
    tensors: Tensors = draw(predictor.signature.of(method), example_rows(predictor.runtime, method), n_rows)
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < _TIMING_S:
        start = time.perf_counter()
        predictor.run_alone(method, tensors)
        best = min(best, time.perf_counter() - start)
    return round(best * 1e6, 1)


# What is printed ------------------------------------------------------------------------------


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        plain = json.loads(json_media.dump(report))
        click.echo(json.dumps(plain, indent=2))
        return
    for line in _lines(report):
        click.echo(printable(line))


def _lines(report: dict[str, Any]) -> list[str]:
    code = "; loading it runs the code in it" if report["runs_code_when_loaded"] else "; data: no code is run"
    lines = [
        f"file       {report['file']}",
        f"format     {report['format']}, {report['size_bytes']} bytes{code}",
        f"sha256     {report['sha256']}",
    ]
    if "refused" in report:
        return [*lines, f"refused    {report['refused']}"]
    lines += [
        f"framework  {report['framework']} {report['framework_version'] or ''}".rstrip(),
        *(f"{name:10} {text}" for name, text in report["metadata"].items()),
        f"engine     {report['engine']}",
        "inputs",
        *_input_lines(report["signature"]["inputs"]),
        "methods",
    ]
    for method in report["methods"]:
        lines += _method_lines(report, method)
    lines += [f"warning    {warning}" for warning in report["warnings"]]
    example = json.loads(json_media.dump(report["example"]))
    return [*lines, f"example    {json.dumps(example, ensure_ascii=False)}"]


def _input_lines(specs: list[dict[str, Any]]) -> list[str]:
    lines = [f"  {_spec(spec)}" for spec in specs[:_SHOWN_COLUMNS]]
    n_more = len(specs) - len(lines)
    return [*lines, f"  and {n_more} more"] if n_more else lines


def _method_lines(report: dict[str, Any], method: str) -> list[str]:
    outputs = ", ".join(map(_spec, report["signature"]["outputs"].get(method, []))) or "unknown"
    lines = [f"  {method} -> {outputs}"]
    timings = report["us_per_call"][method]
    if isinstance(timings, dict):
        times = (f"{rows} row{'s' * (rows != '1')} {us:g} µs" for rows, us in timings.items())
        lines.append("    native: " + ", ".join(times))
    else:
        lines.append(f"    not timed: {timings}")
    lines += _engine_lines(report["plan"], method)
    if method in report["kept_alone"]:
        lines.append(f"    requests are not joined: {report['kept_alone'][method]}")
    return lines


def _engine_lines(plan: dict[str, Any], method: str) -> list[str]:
    """Return what runs a method in the framework's place, then what does not, and why."""
    lines = []
    ranges = plan["methods"][method]
    if any(one["engine"] != NATIVE for one in ranges):
        lines.append("    runs by " + ", then ".join(map(_range, ranges)))
    refused = [one for one in plan["refused"] if one["method"] == method]
    return lines + [f"    not used: {one['engine']}: {one['why']}" for one in refused]


def _range(one: dict[str, Any]) -> str:
    rows = "" if one["up_to_rows"] is None else f" up to {one['up_to_rows']} rows"
    return f"{one['engine']}{rows}" + ("" if one["us"] is None else f" ({one['us']:g} µs)")


def _spec(spec: dict[str, Any]) -> str:
    shape = ", ".join("any" if size < 0 else str(size) for size in spec["shape"][1:])
    text = f"{spec['name']}: {spec['dtype']}{f' [{shape}]' if shape else ''}"
    text += ", may be missing" if spec["nullable"] else ""
    if spec["categories"]:
        shown = ", ".join(map(str, spec["categories"][:_SHOWN_CATEGORIES]))
        text += f", of {shown}{', …' if len(spec['categories']) > _SHOWN_CATEGORIES else ''}"
    return text
