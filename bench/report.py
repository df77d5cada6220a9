"""From measured rows to a table in Markdown and a chart in SVG."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from peers import PEERS

Row = dict[str, Any]
_LABELS = {
    "linear": "linear regression",
    "logreg": "scaled logistic regression",
    "hgb": "histogram boosting",
    "rf": "forest, 100 trees",
    "mixed": "DataFrame pipeline",
    "keras-mlp": "Keras MLP",
    "keras-cnn": "Keras CNN, 28 × 28",
    "lightgbm": "LightGBM, 300 trees",
    "xgboost": "XGBoost, 300 trees",
    "neighbors": "k nearest neighbours (Chebyshev)",
    "custom": "forest behind a transformer of one's own",
}


def write(rows: Sequence[Row], failed: dict[str, str], peers: Sequence[str], path: Path) -> str:
    """Write path.md and path.svg; returns the Markdown."""
    text = table(rows, failed, peers)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".md").write_text(text)
    path.with_suffix(".svg").write_text(chart(rows, peers))
    return text


def least(rows: Sequence[Row], field: str, **where: Any) -> float | None:
    """Return the least value of a field among the rows that are like this."""
    values = [row[field] for row in rows if field in row and where.items() <= row.items()]
    return min(values) if values else None


def _median(rows: Sequence[Row], field: str, where: dict[str, Any]) -> float | None:
    values = [row[field] for row in rows if field in row and where.items() <= row.items()]
    return statistics.median(values) if values else None


def table(rows: Sequence[Row], failed: dict[str, str], peers: Sequence[str]) -> str:
    models = list(dict.fromkeys(row["model"] for row in rows))
    loads = {(r["mode"], r["workload"], r["connections"]) for r in rows if "connections" in r}
    parts = [f"Measured on {time.strftime('%d %B %Y')}. CPU: µs per request of all the server's processes."]
    for mode, workload, connections in sorted(loads, key=str, reverse=True):
        n_rows = {"one": "1 row", "many": "1,000 rows"}[workload]
        where = {"mode": mode, "workload": workload, "connections": connections}
        parts.append(f"### {n_rows}, {connections} connection{'s' * (connections > 1)} ({mode})\n")
        parts.append("CPU µs (least; median) · requests/s · p50 ms · p99 ms\n")
        parts.append(_grid(models, peers, lambda cell, where=where: _load_cell(rows, where | cell)))
    if any(row["workload"] == "start" for row in rows):
        parts.append("### Cold start to the first answer, s · idle memory (PSS), MiB\n")
        parts.append(_grid(models, peers, lambda cell: _start_cell(rows, cell)))
    if any(row["workload"] == "own" for row in rows):
        parts.append("### One row beside the framework's own `predict` in process, CPU µs\n")
        parts.append(_beside_own(rows, models))
    if failed:
        parts.append("### Not measured\n")
        parts.append("\n".join(f"- {name}: {why}" for name, why in failed.items()))
    noise = [row["loop_ms"] for row in rows if "loop_ms" in row]
    if noise:
        spread = f"{min(noise):.1f} to {max(noise):.1f}"
        parts.append(f"A fixed loop took {spread} ms meanwhile: so even was the machine.")
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _grid(models: Sequence[str], peers: Sequence[str], cell: Callable[[dict[str, Any]], str]) -> str:
    head = ["", *(_LABELS[model] for model in models)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name in peers:
        cells = [cell({"peer": name, "model": model}) for model in models]
        if any(cells):
            lines.append(f"| {PEERS[name].label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _load_cell(rows: Sequence[Row], where: dict[str, Any]) -> str:
    cpu = least(rows, "cpu_us", **where)
    if cpu is None:
        return ""
    rps, p50, p99 = (_median(rows, field, where) for field in ("rps", "p50_ms", "p99_ms"))
    failures = sum(row["failed"] for row in rows if where.items() <= row.items())
    told = f"**{cpu:,.0f}**; {_median(rows, 'cpu_us', where):,.0f} · {rps:,.0f} · {p50:.2f} · {p99:.2f}"
    return told + (f" · {failures} failed" if failures else "")


def _start_cell(rows: Sequence[Row], where: dict[str, Any]) -> str:
    cold_s = _median(rows, "cold_s", where)
    return "" if cold_s is None else f"{cold_s:.1f} · {_median(rows, 'pss_mib', where):.0f}"


def _beside_own(rows: Sequence[Row], models: Sequence[str]) -> str:
    """Compare Demijohn with the sum of the framework's own ``predict`` and a server that does nothing."""
    loads = sorted({(r["mode"], r["connections"]) for r in rows if r["workload"] == "one"})
    head = ["", "own `predict`: 1 row", "1,000 rows"]
    for mode, count in loads:
        head += [f"it and bare HTTP, {count} conn. ({mode})", "Demijohn"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for model in models:
        own_us = [least(rows, "own_us", model=model, workload="own", n_rows=n) for n in (1, 1000)]
        cells = [_us(own) for own in own_us]
        for mode, count in loads:
            where = {"model": model, "mode": mode, "workload": "one", "connections": count}
            bare = least(rows, "cpu_us", peer="hello", **where)
            cells.append(_us(None if bare is None or own_us[0] is None else bare + own_us[0]))
            cells.append(_us(least(rows, "cpu_us", peer="demijohn", **where)))
        lines.append(f"| {_LABELS[model]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _us(us: float | None) -> str:
    return "" if us is None else f"{us:,.0f}"


# The chart ------------------------------------------------------------------------------------

_LEFT, _BAR, _GAP, _WIDTH, _TEXT = 300, 14, 34, 900, 90
_COLOURS = {"demijohn": "#0b7285", "hello": "#adb5bd"}


def chart(rows: Sequence[Row], peers: Sequence[str]) -> str:
    """Draw CPU per one-row request, a group of bars per model, on a scale of powers of ten."""
    import math

    models = list(dict.fromkeys(row["model"] for row in rows))
    where = {"workload": "one", "mode": "core"}
    costs = {
        (model, peer): cpu
        for model in models
        for peer in peers
        if (cpu := least(rows, "cpu_us", model=model, peer=peer, **where)) is not None
    }
    if not costs:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>\n'
    top = math.log10(max(costs.values())) * 1.02
    scale = (_WIDTH - _LEFT - _TEXT) / top
    lines, y = [], 40
    for model in models:
        y += _GAP
        lines.append(f'<text x="8" y="{y - 8}" font-weight="bold">{escape(_LABELS[model])}</text>')
        for peer in [peer for peer in peers if (model, peer) in costs]:
            cpu = costs[model, peer]
            width = max(1.0, math.log10(max(cpu, 1.0)) * scale)
            colour = _COLOURS.get(peer, "#ced4da" if peer.startswith("demijohn") else "#e8590c")
            label = escape(PEERS[peer].label.replace("*", "").replace("`", ""))
            lines.append(f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{label}</text>')
            lines.append(
                f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR - 2}" fill="{colour}"/>'
            )
            lines.append(f'<text x="{_LEFT + width + 5:.1f}" y="{y + 11}">{cpu:,.0f}</text>')
            y += _BAR
    height = y + 20
    title = "CPU per one-row request, µs (all processes of the server; each line of bars: powers of ten)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="system-ui, sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<text x="8" y="22" font-size="14">{escape(title)}</text>\n' + "\n".join(lines) + "\n</svg>\n"
    )
