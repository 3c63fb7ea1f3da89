"""Metrics of endpoints, which receive webhooks. Without an endpoint they have no sample, and cost no call of Redis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily

from worker.policy.webhooks import LIMITS, overdue_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric

    from worker.ledger.webhooks import EndpointState


@dataclass(frozen=True, slots=True)
class OfEndpoint:
    """A number per region and endpoint."""

    name: str
    help: str
    read: Callable[[EndpointState], float]

    def family(self, states: Mapping[str, Sequence[EndpointState]]) -> Metric:
        family = GaugeMetricFamily(self.name, self.help, labels=("region", "endpoint"))
        for region, endpoints in states.items():
            for each in endpoints:
                family.add_metric((region, each.name), self.read(each))
        return family


_METRICS: Final = (
    OfEndpoint(
        "ekyc_webhooks_waiting",
        "Deliveries by webhook that wait for an endpoint: in a countdown, due, in flight, or because it is paused.",
        lambda one: one.waiting,
    ),
    OfEndpoint(
        "ekyc_webhooks_given_up",
        "Deliveries by webhook whose tries are used up. They are kept, and with them their verifications, until a "
        "person resends them.",
        lambda one: one.failed,
    ),
    OfEndpoint(
        "ekyc_webhooks_oldest_due_seconds",
        "Seconds since the longest due delivery to an endpoint became due; 0 if none, and while it is paused or held.",
        overdue_s,
    ),
    OfEndpoint(
        "ekyc_endpoint_paused",
        "1 if an endpoint is paused, by a person or for its failures, else 0.",
        lambda one: float(one.is_paused),
    ),
    OfEndpoint(
        "ekyc_endpoint_strain",
        "How near an endpoint is to its pause: the larger of the share of tries that its worst delivery has used, and "
        "of the time that it may fail. 1: it is paused for its failures.",
        lambda one: one.strain(LIMITS),
    ),
)


def endpoint_metrics(states: Mapping[str, Sequence[EndpointState]]) -> Iterator[Metric]:
    """The metrics of the endpoints of each region."""
    for metric in _METRICS:
        yield metric.family(states)
