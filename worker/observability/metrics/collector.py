"""Reads the ledger once for each scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from worker.advance.token_store import TokenStore
from worker.errors import LedgerUnavailable
from worker.evidence.ledger_identity import LedgerWatch
from worker.ledger import Ledger, Stats
from worker.ledger.connection import translated
from worker.ledger.ledger import REFUSALS
from worker.ledger.redis_health import Memory, RedisHealth
from worker.ledger.worker_registry import WorkerRegistry
from worker.observability.metrics.catalogue import catalogue
from worker.observability.metrics.families import Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.core import Metric
    from redis import Redis

    from worker.decisions.table import Table
    from worker.ledger.worker_registry import Worker
    from worker.messaging.unread import Unread


class Metrics(Collector):
    """All metrics of the fleet. What a scrape costs does not grow with the number waiting.

    A Redis that does not answer is no fault of a scrape: then there is `ekyc_up 0`, and nothing else.

    Parameters:
      redis: a client that answers bytes.
      table: the decision table of the workers; its codes and decisions become label values.
      unread: counts what waits in the pipeline's queue; None: the broker is not asked.
    """

    def __init__(
        self,
        redis: Redis,
        regions: Sequence[str],
        table: Table,
        ledgers: LedgerWatch | None = None,
        unread: Unread | None = None,
    ) -> None:
        self._census = Stats(redis)
        self._tokens = TokenStore(redis)
        self._registry = WorkerRegistry(redis)
        self._room = RedisHealth(redis)
        self._redis = redis
        self._ledgers = ledgers or LedgerWatch(Ledger(redis))
        self._regions = tuple(regions)
        self._catalogue = catalogue(table)
        self._unread = unread

    def collect(self) -> Iterator[Metric]:
        try:
            with translated():
                workers = self._registry.present()
                readings = {region: self._read(region) for region in self._regions}
                memory, refusal = self._room.memory(), self._room.refusal()
                replaced = {region: self._ledgers.look(region).is_replaced for region in self._regions}
                refusals: Mapping[Any, Any] = self._redis.hgetall(REFUSALS)
                durability = self._room.durability()
        except LedgerUnavailable:
            yield _up(0)
            return
        yield _up(1)
        yield from _redis(memory, refusal)
        yield _durable(durability)
        yield from _workers(workers)
        yield _replaced(replaced)
        yield _refused({field.decode(): int(count) for field, count in refusals.items()})
        yield _decisions_unread(self._unread.read() if self._unread else None)
        for metric in self._catalogue:
            yield metric.family(readings)

    def describe(self) -> Iterator[Metric]:
        """All that `collect` may yield, without figures and without asking Redis."""
        yield _up(0)
        yield from _redis(Memory(None, None), None)
        yield _durable({})
        yield from _workers(())
        yield _replaced({})
        yield _refused({})
        yield _decisions_unread(None)
        for metric in self._catalogue:
            yield metric.family({})

    def _read(self, region: str) -> Reading:
        return Reading(self._census.counts(region), self._tokens.read(region))


def _up(value: int) -> Metric:
    return GaugeMetricFamily(
        "ekyc_up", "1: the ledger's Redis answered this scrape; 0: it did not.", value=value
    )


def _redis(memory: Memory, refusal: str | None) -> Iterable[Metric]:
    """What is not known is left out."""
    for name, told, figure in (
        (
            "ekyc_redis_writable",
            "1: the ledger's Redis took a write at this scrape; 0: it refused, as a full one does.",
            None if refusal is None else float(not refusal),
        ),
        (
            "ekyc_redis_memory_used_bytes",
            "Memory that the ledger's Redis uses.",
            memory.used_bytes,
        ),
        (
            "ekyc_redis_memory_limit_bytes",
            "Memory that it may use: maxmemory, or what its machine has where that is not set.",
            memory.limit_bytes,
        ),
    ):
        family = GaugeMetricFamily(name, told, labels=())
        if figure is not None:
            family.add_metric((), figure)
        yield family


def _replaced(replaced: Mapping[str, bool]) -> Metric:
    family = GaugeMetricFamily(
        "ekyc_ledger_replaced",
        "1: the region's ledger is another than the fleet knows, and nothing is claimed; 0: it is not.",
        labels=("region",),
    )
    for region, is_replaced in replaced.items():
        family.add_metric((region,), float(is_replaced))
    return family


def _refused(refused: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "ekyc_enqueue_refused",
        "Messages of tasks.enqueue that were refused, by the field at fault.",
        labels=("field",),
    )
    for field, count in sorted(refused.items()):
        family.add_metric((field,), count)
    return family


def _decisions_unread(count: int | None) -> Metric:
    """Without a sample where the broker does not say."""
    family = GaugeMetricFamily(
        "ekyc_decisions_unread",
        "Decisions that wait in the pipeline's queue: delivered, and not read yet. Missing while the broker is away.",
        labels=(),
    )
    if count is not None:
        family.add_metric((), count)
    return family


def _durable(durability: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(
        "ekyc_redis_durable",
        "How far a setting of the ledger's Redis keeps what it acknowledged: 1 all, 0.5 all but seconds, 0 not.",
        labels=("setting",),
    )
    for setting, figure in durability.items():
        family.add_metric((setting,), figure)
    return family


def _workers(workers: Sequence[Worker]) -> Iterable[Metric]:
    yield GaugeMetricFamily("ekyc_workers", "Workers that were seen lately.", value=len(workers))
    info = InfoMetricFamily(
        "ekyc_worker",
        "Each worker that was seen lately, with the version of its decision table and of its code.",
    )
    # Two under one name are one series: Prometheus refuses a page that has it twice.
    for name, table, version in dict.fromkeys((each.name, each.table, each.version) for each in workers):
        info.add_metric((), {"worker": name, "table": table, "version": version})
    yield info
