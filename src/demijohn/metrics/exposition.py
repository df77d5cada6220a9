"""Prometheus' text, from what was counted; prometheus-client is imported here alone, when asked."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from .families import FAMILIES, Family, Labels
from .ledger import Reading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Children = Mapping[Labels, Sequence[float]]


class _Given(Collector):
    """Collects what it is given."""

    def __init__(self, families: Mapping[str, Children]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            yield _as_metric(family, self._families.get(family.name, {}))


def add_up(readings: Iterable[Reading]) -> dict[str, dict[Labels, list[float]]]:
    """Add up what several processes counted, by family and labels; gauges of the living alone."""
    families: dict[str, dict[Labels, list[float]]] = {}
    for reading in readings:
        for family, labels, values in reading.children():
            totals = families.setdefault(family.name, {})
            so_far = totals.get(labels, [0.0] * family.width)
            add = max if family.is_latest else operator.add
            totals[labels] = list(map(add, so_far, values))
    return families


def write(families: Mapping[str, Children]) -> bytes:
    """Write the text exposition format 0.0.4.

    Args:
        families: By name, then labels: the value, or a histogram's sum and the counts of its buckets.
    """
    registry = CollectorRegistry()
    registry.register(_Given(families))
    return generate_latest(registry)


def _as_metric(family: Family, children: Children) -> Metric:
    metric = Metric(family.name, family.text, family.kind)
    suffix = "_total" if family.kind == "counter" else ""
    for values, values_of in sorted(children.items()):
        labels = dict(zip(family.labels, values, strict=True))
        if family.kind != "histogram":
            metric.add_sample(family.name + suffix, labels, values_of[0])
            continue
        total, *counts = values_of
        cumulated = list(accumulate(counts))
        for bound, count in zip((*map(str, family.bounds), "+Inf"), cumulated, strict=True):
            metric.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
        metric.add_sample(f"{family.name}_count", labels, cumulated[-1])
        metric.add_sample(f"{family.name}_sum", labels, total)
    return metric
