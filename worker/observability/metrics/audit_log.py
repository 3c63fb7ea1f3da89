"""Metrics of the audit log: how full its parts are, and what they did not take or keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.core import Metric

    from worker.ledger.audit_state import Part


@dataclass(frozen=True, slots=True)
class OfPart:
    """A number of each part. `read` returns None if the part has none now."""

    name: str
    help: str
    read: Callable[[Part], float | None]

    def family(self, parts: Sequence[Part]) -> Metric:
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        family: GaugeMetricFamily | CounterMetricFamily = kind(
            self.name, self.help, labels=("region", "part")
        )
        for part in parts:
            if (figure := self.read(part)) is not None:
                family.add_metric((part.region, part.kind.value), figure)
        return family


_METRICS: Final = (
    OfPart(
        "ekyc_audit_log_used_ratio",
        "How full a part of the audit log is: at 1, each new entry pushes out the oldest. The region is empty for acts "
        "without one, and for log-ins.",
        lambda part: part.used,
    ),
    OfPart(
        "ekyc_audit_log_oldest_timestamp_seconds",
        "Since when a part of the audit log is complete: the time of its oldest entry. Missing without entries.",
        lambda part: None if part.since_ms is None else part.since_ms / 1000,
    ),
    OfPart(
        "ekyc_audit_log_dropped_total",
        "Entries of the audit log that newer ones have pushed out, because the part was full.",
        lambda part: part.dropped,
    ),
    OfPart(
        "ekyc_audit_log_refused_total",
        "Acts of people that were refused, and not done, because the audit log could not take their entry. Not counted "
        "while Redis takes no writes at all.",
        lambda part: part.refused,
    ),
)


def audit_log_metrics(parts: Sequence[Part]) -> Iterator[Metric]:
    """Yield all metrics. `parts`: as a reading of the ledger has them."""
    for metric in _METRICS:
        yield metric.family(parts)
