"""The delivery runner: how the task `deliver` works through its batch and records the outcomes."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Final

import structlog

from worker.concurrency.executor import Executor
from worker.decisions import events
from worker.ledger.webhooks import Kind, Outcome, Wanted, Written
from worker.policy.webhooks import no_room
from worker.time_budget import BATCH_CHECK_S, RENEWALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from worker.concurrency.executor import BatchRun, EventLoop
    from worker.decisions.endpoints import Endpoint
    from worker.ledger.webhooks import Delivery, DeliveryBatch
    from worker.runtime.services import Services

_log = structlog.get_logger(__name__)

#: Deliveries of one endpoint that a process has in flight at a time.
CALLS: Final = 64

#: Batches of deliveries that a process has in flight at a time: each occupies a thread of Celery's pool, for 15 s if an
#: endpoint does not answer. One endpoint has at most `OF_ONE` of them, and always one.
BATCHES: Final = 24
OF_ONE: Final = 4

#: How long the first outcomes wait, so that others are recorded with them.
GATHER_S: Final = 0.02


class Places:
    """The places of a process for batches and deliveries, of each endpoint its own. Thread-safe.

    An endpoint that does not answer uses up its own places, and never those of another.
    """

    def __init__(self, names: Sequence[str], batches: int = BATCHES) -> None:
        self._lock = threading.Lock()
        self._names = tuple(names)
        self._batches = dict.fromkeys(names, 0)
        self._deliveries = dict.fromkeys(names, 0)
        self._most = 0
        self.limit_batches(batches)

    def limit_batches(self, batches: int) -> None:
        self._most = max(1, min(OF_ONE, batches // max(len(self._names), 1)))

    @property
    def most_batches(self) -> int:
        """The most batches of all endpoints together."""
        return self._most * len(self._names)

    def free(self, name: str) -> int:
        """How many deliveries of an endpoint this process can begin now."""
        with self._lock:
            if self._batches.get(name, 0) >= self._most:
                return 0
            return max(CALLS - self._deliveries.get(name, 0), 0)

    def wanted(self, endpoints: Mapping[str, Endpoint]) -> list[Wanted]:
        """What a dispatcher may claim."""
        return [
            Wanted(name, free, endpoints[name].rate) for name in self._names if (free := self.free(name)) > 0
        ]

    @contextmanager
    def batch(self, name: str, count: int) -> Iterator[bool]:
        """Count a batch and its deliveries while the block runs. Yields False, and counts nothing, without a place."""
        with self._lock:
            taken = self._batches.get(name, 0) < self._most
            self._add(name, int(taken), count if taken else 0)
        try:
            yield taken
        finally:
            with self._lock:
                self._add(name, -int(taken), -count if taken else 0)

    def _add(self, name: str, batches: int, deliveries: int) -> None:
        # A message may name any endpoint: do not keep unknown names.
        if name in self._batches:
            self._batches[name] += batches
            self._deliveries[name] += deliveries


class Lanes:
    """The executors of a process for deliveries: one for each endpoint, so that none waits for the calls of another."""

    def __init__(self, names: Sequence[str], event_loop: EventLoop) -> None:
        self._event_loop = event_loop
        self._executors = {name: Executor(CALLS, event_loop) for name in names}

    def begin(
        self, each: Callable[[Delivery], Outcome], deliveries: Sequence[Delivery], endpoint: str
    ) -> BatchRun[Delivery, Outcome]:
        """Call `each` for each of `deliveries`, after the earlier batches of the endpoint. Returns at once."""
        # A message may name any endpoint: do not keep unknown names.
        executor = self._executors.get(endpoint) or Executor(CALLS, self._event_loop)
        return executor.begin(each, deliveries)


class DeliveryRunner:
    """Sends one batch concurrently. It skips deliveries that the batch no longer holds: the message is only a hint.

    Raises ``LedgerUnavailable``; deliveries without a record come back when their lease ends.
    """

    def __init__(self, services: Services, batch: DeliveryBatch) -> None:
        self._services = services
        self._batch = batch
        self._random = Random()  # noqa: S311 - spreads tries, protects nothing

    def run(self) -> None:
        """Send each delivery once. When the worker stops, what has not begun is given back."""
        services, batch = self._services, self._batch
        if services.stopping.is_set() or services.event_loop.is_stuck:
            services.webhooks.give_back(batch)
            return
        with services.delivery_places.batch(batch.endpoint, len(batch.delivery_ids)) as has_place:
            deliveries = services.webhooks.load(batch)
            if not has_place:
                self._record([no_room(each.id, self._random) for each in deliveries])
                return
            run = services.delivery_lanes.begin(services.sender.send, deliveries, batch.endpoint)
            try:
                self._follow(run)
            finally:
                run.take_back()

    def _follow(self, run: BatchRun[Delivery, Outcome]) -> None:
        services = self._services
        renew_every_s = services.webhooks.lease_s / RENEWALS
        renew_at = time.monotonic() + renew_every_s
        while run.pending:
            if services.stopping.is_set() and (unbegun := run.take_back()):
                self._record([Outcome(each.id, Kind.BACK) for each in unbegun])
            if outcomes := run.outcomes(timeout_s=BATCH_CHECK_S, gather_s=lambda: GATHER_S):
                self._record([outcome for _, outcome in outcomes])
            elif services.event_loop.is_stuck:
                self._record([Outcome(each.id, Kind.BACK) for each in run.pending])
                return
            if run.pending and time.monotonic() >= renew_at:
                services.webhooks.renew(self._batch, [each.id for each in run.pending])
                renew_at = time.monotonic() + renew_every_s

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        batch = self._batch
        about = {"endpoint": batch.endpoint, "region": batch.region}
        paused = {}
        if any(each.kind is Kind.FAILED for each in outcomes):
            paused = events.of_pause(self._services.endpoints, batch.region, batch.endpoint)
        recorded = self._services.webhooks.record(batch, outcomes, paused=paused)
        for outcome, written in zip(outcomes, recorded, strict=True):
            if written is Written.GIVEN_UP:
                _log.error("webhook_given_up", delivery=outcome.delivery_id, cause=outcome.fault, **about)
            elif written is Written.PAUSED:
                _log.error("endpoint_paused", cause=outcome.fault, **about)
                if outcome.gone:
                    self._pause_elsewhere()
            elif written is Written.RECOVERED:
                _log.warning("endpoint_recovered", **about)
            elif written is Written.YES and outcome.kind is Kind.FAILED:
                _log.info("webhook_failed", delivery=outcome.delivery_id, cause=outcome.fault, **about)
            elif written is Written.YES and outcome.kind is Kind.BACK and outcome.fault:
                _log.warning("webhook_not_tried", delivery=outcome.delivery_id, cause=outcome.fault, **about)

    def _pause_elsewhere(self) -> None:
        """An endpoint that wants no more deliveries wants none of any region."""
        for region in self._services.settings.regions:
            if region != self._batch.region:
                self._services.webhooks.pause(region, self._batch.endpoint, why=events.GONE)
