"""The collector, which reads the ledger once per scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from worker.advance.token_store import TokenStore
from worker.errors import LedgerUnavailable
from worker.evidence.ledger_identity import LedgerWatch
from worker.ledger import Ledger, Stats, audit_state, codec
from worker.ledger.connection import translated
from worker.ledger.evidence_log import EvidenceLogQueue
from worker.ledger.ledger import REFUSALS
from worker.ledger.redis_health import Memory, RedisHealth
from worker.ledger.webhooks import Webhooks
from worker.ledger.worker_registry import WorkerRegistry
from worker.observability.metrics.audit_log import audit_log_metrics
from worker.observability.metrics.catalogue import catalogue
from worker.observability.metrics.endpoints import endpoint_metrics
from worker.observability.metrics.families import Reading
from worker.observability.metrics.shadow import shadow_tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric
    from redis import Redis

    from worker.decisions.table import Table
    from worker.ledger.webhooks import EndpointState
    from worker.ledger.worker_registry import Worker
    from worker.messaging.unread import Unread


class Metrics(Collector):
    """All metrics of the fleet. The cost of a scrape does not grow with the number of waiting verifications.

    If Redis does not answer, the scrape succeeds with `ekyc_up 0` and nothing else.

    Parameters:
      redis: a client that returns bytes.
      table: the decision table of the workers; its codes and decisions become label values.
      unread: counts decisions in the pipeline's queue; None to make no call to the broker.
      endpoints: the names of the endpoints that receive webhooks.
    """

    def __init__(  # noqa: PLR0913 - what a scrape reads
        self,
        redis: Redis,
        regions: Sequence[str],
        table: Table,
        ledgers: LedgerWatch | None = None,
        unread: Unread | None = None,
        *,
        endpoints: Collection[str] = (),
    ) -> None:
        self._census = Stats(redis)
        self._tokens = TokenStore(redis)
        self._logs = EvidenceLogQueue(redis)
        self._registry = WorkerRegistry(redis)
        self._room = RedisHealth(redis)
        self._redis = redis
        self._ledgers = ledgers or LedgerWatch(Ledger(redis))
        self._regions = tuple(regions)
        self._catalogue = catalogue(table)
        self._unread = unread
        self._endpoints = tuple(endpoints)
        self._webhooks = Webhooks(redis)

    def collect(self) -> Iterator[Metric]:
        try:
            with translated():
                workers = self._registry.present()
                readings = {region: self._read(region) for region in self._regions}
                memory, refusal = self._room.memory(), self._room.refusal()
                replaced = {region: self._ledgers.look(region).is_replaced for region in self._regions}
                refusals: Mapping[Any, Any] = self._redis.hgetall(REFUSALS)
                durability = self._room.durability()
                endpoints = self._states()
                audit_log = audit_state.read(self._redis, self._regions)
        except LedgerUnavailable:
            yield _up(0)
            return
        yield _up(1)
        yield from _redis(memory, refusal)
        yield _durable(durability)
        yield from _workers(workers)
        yield shadow_tables(workers)
        yield _replaced(replaced)
        yield _refused({codec.text(field): codec.count(raw) for field, raw in refusals.items()})
        yield _decisions_unread(self._unread.read() if self._unread else None)
        yield from audit_log_metrics(audit_log)
        yield from endpoint_metrics(endpoints)
        for metric in self._catalogue:
            yield metric.family(readings)

    def describe(self) -> Iterator[Metric]:
        """Yield all metrics that `collect` may yield, without figures and without a call to Redis."""
        yield _up(0)
        yield from _redis(Memory(None, None), None)
        yield _durable({})
        yield from _workers(())
        yield shadow_tables(())
        yield _replaced({})
        yield _refused({})
        yield _decisions_unread(None)
        yield from audit_log_metrics(())
        yield from endpoint_metrics({})
        for metric in self._catalogue:
            yield metric.family({})

    def _states(self) -> dict[str, list[EndpointState]]:
        if not self._endpoints:
            return {}
        return {region: self._webhooks.endpoints(region, self._endpoints) for region in self._regions}

    def _read(self, region: str) -> Reading:
        return Reading(self._census.counts(region), self._tokens.read(region), self._logs.state(region))


def _up(value: int) -> Metric:
    return GaugeMetricFamily("ekyc_up", "1 if the ledger's Redis answered this scrape, else 0.", value=value)


def _redis(memory: Memory, refusal: str | None) -> Iterable[Metric]:
    """Yield the metrics of Redis. Figures that are not known are left out."""
    for name, text, figure in (
        (
            "ekyc_redis_writable",
            "1 if the ledger's Redis took a write at this scrape, 0 if it refused, as a full Redis does.",
            None if refusal is None else float(not refusal),
        ),
        (
            "ekyc_redis_memory_used_bytes",
            "Memory that the ledger's Redis uses.",
            memory.used_bytes,
        ),
        (
            "ekyc_redis_memory_limit_bytes",
            "Memory that the ledger's Redis may use: maxmemory, or that of its machine if it is not set.",
            memory.limit_bytes,
        ),
    ):
        family = GaugeMetricFamily(name, text, labels=())
        if figure is not None:
            family.add_metric((), figure)
        yield family


def _replaced(replaced: Mapping[str, bool]) -> Metric:
    family = GaugeMetricFamily(
        "ekyc_ledger_replaced",
        "1 if the region's ledger is not the one that the fleet knows, so that nothing is claimed, else 0.",
        labels=("region",),
    )
    for region, is_replaced in replaced.items():
        family.add_metric((region,), float(is_replaced))
    return family


def _refused(refused: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "ekyc_enqueue_refused",
        "Refused messages of tasks.enqueue, by the invalid field.",
        labels=("field",),
    )
    for field, count in sorted(refused.items()):
        family.add_metric((field,), count)
    return family


def _decisions_unread(count: int | None) -> Metric:
    """Return the metric, without a sample if the broker does not answer."""
    family = GaugeMetricFamily(
        "ekyc_decisions_unread",
        "Delivered decisions that the pipeline has not read yet. Missing while the broker is unavailable.",
        labels=(),
    )
    if count is not None:
        family.add_metric((), count)
    return family


def _durable(durability: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(
        "ekyc_redis_durable",
        "How far a setting of the ledger's Redis keeps acknowledged writes: 1 all, 0.5 all but seconds, 0 not.",
        labels=("setting",),
    )
    for setting, figure in durability.items():
        family.add_metric((setting,), figure)
    return family


def _workers(workers: Sequence[Worker]) -> Iterable[Metric]:
    yield GaugeMetricFamily("ekyc_workers", "Workers that were seen lately.", value=len(workers))
    info = InfoMetricFamily(
        "ekyc_worker",
        "Each worker that was seen lately, with the versions of its decision table and of its code.",
    )
    # Two workers with one name are one series: Prometheus rejects a page with a repeated series.
    for name, table, version in dict.fromkeys((each.name, each.table, each.version) for each in workers):
        info.add_metric((), {"worker": name, "table": table, "version": version})
    yield info
