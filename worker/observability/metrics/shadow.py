"""Metrics of the shadow table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prometheus_client.core import Metric

    from worker.ledger.worker_registry import Worker
    from worker.observability.metrics.families import Reading


@dataclass(frozen=True, slots=True)
class ShadowDifferences:
    """Counts of each region by two decisions. The ledger has as many as its tables have names of decisions."""

    name: str
    help: str

    @property
    def labels(self) -> tuple[str, ...]:
        return ("region", "from", "to")

    def family(self, readings: Mapping[str, Reading]) -> Metric:
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for region, reading in readings.items():
            for change, count in reading.counts.shadow.items():
                decided, _, other = change.partition(":")
                family.add_metric([region, decided, other], count)
        return family


def shadow_tables(workers: Sequence[Worker]) -> Metric:
    """Which worker has which shadow table; without a sample for a worker that has none."""
    family = GaugeMetricFamily(
        "ekyc_worker_shadow_table",
        "1 for each worker that was seen lately and has a shadow table, with the version of that table.",
        labels=("worker", "table"),
    )
    for worker, table in dict.fromkeys((each.name, each.shadow) for each in workers if each.shadow):
        family.add_metric((worker, table), 1)
    return family
