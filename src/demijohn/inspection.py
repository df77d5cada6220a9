"""``demijohn inspect``: what a model file is, what it takes and returns, what runs it and how fast."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from . import runtimes
from .config import Settings
from .errors import DemijohnError
from .examples import read_example
from .lifecycle import Lifecycle
from .messages import Tensors
from .predictor import Predictor
from .probes import draw
from .runtimes.base import Artifact
from .targets import stem

BATCHES = (1, 8, 64, 512)  #: Rows per call that are timed.
_LONGEST_TIMING_S = 0.2


def inspect_file(path: Path, example: Path | None, *, as_json: bool) -> None:
    """Print what a model file is.

    Raises:
        OperatorError: it cannot be read or loaded.
    """
    settings = Settings.from_mapping({}, os.environ)
    artifact = runtimes.inspect(path)
    rows = read_example(example, settings) if example else None
    runtime = runtimes.load(path, example=rows)
    predictor = Predictor(stem(path), "1", runtime, settings, Lifecycle())
    predictor.prove()
    report = _report(artifact, predictor)
    click.echo(json.dumps(report, indent=2, default=str) if as_json else _as_text(report))


def _report(artifact: Artifact, predictor: Predictor) -> dict[str, Any]:
    runtime = predictor.runtime
    return {
        "file": str(artifact.path),
        "format": artifact.format,
        "runs_code_when_loaded": artifact.runs_code,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "framework": runtime.framework,
        "framework_version": runtime.framework_version,
        "methods": list(runtime.methods),
        "signature": predictor.signature.as_json(),
        "example": {"instances": list(runtime.example_rows())},
        "warnings": list(runtime.warnings),
        "engine": "native",
        "us_per_call": {method: _timings(predictor, method) for method in runtime.methods},
        "kept_alone": predictor.not_joined,
    }


def _timings(predictor: Predictor, method: str) -> dict[int, float] | str:
    """Return microseconds per call by rows per call, or why the method could not be timed."""
    try:
        return {n_rows: _time(predictor, method, n_rows) for n_rows in BATCHES}
    except DemijohnError as error:
        return error.detail


def _time(predictor: Predictor, method: str, n_rows: int) -> float:
    """Return the best of a few calls, in microseconds: the least disturbed is the truest."""
    tensors: Tensors = draw(predictor.signature, list(predictor.runtime.example_rows()), n_rows)
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < _LONGEST_TIMING_S:
        start = time.perf_counter()
        predictor.run_alone(method, tensors)
        best = min(best, time.perf_counter() - start)
    return round(best * 1e6, 1)


def _as_text(report: dict[str, Any]) -> str:
    code = "  (loading it runs the code in it)" if report["runs_code_when_loaded"] else ""
    lines = [
        f"file       {report['file']}",
        f"format     {report['format']}, {report['size_bytes']} bytes{code}",
        f"sha256     {report['sha256']}",
        f"framework  {report['framework']} {report['framework_version'] or ''}".rstrip(),
        f"engine     {report['engine']}",
        "inputs",
        *(f"  {_spec(spec)}" for spec in report["signature"]["inputs"]),
        "methods",
    ]
    for method in report["methods"]:
        outputs = (
            ", ".join(_spec(spec) for spec in report["signature"]["outputs"].get(method, [])) or "unknown"
        )
        lines.append(f"  {method} -> {outputs}")
        timings = report["us_per_call"][method]
        if isinstance(timings, dict):
            lines.append("    " + ", ".join(f"{rows} rows {us:g} µs" for rows, us in timings.items()))
        else:
            lines.append(f"    not timed: {timings}")
        if method in report["kept_alone"]:
            lines.append(f"    requests are not joined: {report['kept_alone'][method]}")
    lines += [f"warning    {warning}" for warning in report["warnings"]]
    lines.append(f"example    {json.dumps(report['example'], default=str)}")
    return "\n".join(lines)


def _spec(spec: dict[str, Any]) -> str:
    shape = ", ".join("any" if size < 0 else str(size) for size in spec["shape"][1:])
    text = f"{spec['name']}: {spec['dtype']}{f' [{shape}]' if shape else ''}"
    text += ", may be missing" if spec["nullable"] else ""
    if spec["categories"]:
        shown = ", ".join(map(str, spec["categories"][:8]))
        text += f", of {shown}{', …' if len(spec['categories']) > 8 else ''}"
    return text
