"""The kinds of metrics: each has a name, a help text, and a function that reads its value for a region.

A name that ends in `_total` is a counter since the ledger began; every other number is a gauge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client.core import Metric

    from worker.advance.token_store import Stored
    from worker.ledger.evidence_log import LogState
    from worker.ledger.histograms import Timing
    from worker.ledger.models import Counts
    from worker.observability.metrics.label import FirstSeen, Label

_REGION = "region"


@dataclass(frozen=True, slots=True)
class Reading:
    """The data of a region at one moment."""

    counts: Counts
    token: Stored
    log: LogState


@dataclass(frozen=True, slots=True)
class Figure:
    """A number per region. `read` returns None if the region has none now."""

    name: str
    help: str
    read: Callable[[Reading], float | None]

    @property
    def labels(self) -> tuple[str, ...]:
        return (_REGION,)

    def family(self, readings: Mapping[str, Reading]) -> Metric:
        family = _kind(self.name)(self.name, self.help, labels=self.labels)
        for region, reading in readings.items():
            figure = self.read(reading)
            if figure is not None:
                family.add_metric([region], figure)
        return family


@dataclass(frozen=True, slots=True)
class Tally:
    """Several numbers per region, distinguished by a label."""

    name: str
    help: str
    label: Label | FirstSeen
    read: Callable[[Reading], Mapping[str, float]]

    @property
    def labels(self) -> tuple[str, ...]:
        return (_REGION, self.label.name)

    def family(self, readings: Mapping[str, Reading]) -> Metric:
        family = _kind(self.name)(self.name, self.help, labels=self.labels)
        for region, reading in readings.items():
            for value, figure in self.label.told_apart(self.read(reading)).items():
                family.add_metric([region, value], figure)
        return family


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram per region of how long something took."""

    name: str
    help: str
    timing: Timing

    @property
    def labels(self) -> tuple[str, ...]:
        return (_REGION,)

    def family(self, readings: Mapping[str, Reading]) -> Metric:
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for region, reading in readings.items():
            took = self.timing.read(reading.counts.took)
            buckets = [(_bound(bound_s), count) for bound_s, count in took.buckets]
            family.add_metric([region], buckets, took.sum_s)
        return family


def _kind(name: str) -> type[CounterMetricFamily | GaugeMetricFamily]:
    return CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily


def _bound(bound_s: float) -> str:
    return "+Inf" if math.isinf(bound_s) else str(float(bound_s))
