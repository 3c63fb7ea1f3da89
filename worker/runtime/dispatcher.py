"""The dispatcher: a thread in every worker that turns due verifications into messages.

It claims only while its own worker has free slots and the queue is empty, so that batches start soon after their claim
and leases are not spent in a queue. Any number of dispatchers may run; all are equal.
"""

from __future__ import annotations

import secrets
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import structlog
from celery import bootsteps
from celery.worker import state

from worker import keyring
from worker.decisions import events
from worker.errors import LedgerUnavailable
from worker.evidence.log.timestamps import Authority
from worker.ledger import Ledger, transitions
from worker.ledger.connection import connect
from worker.ledger.erasures import Erasures
from worker.ledger.evidence_log import EvidenceLogQueue
from worker.ledger.models import Batch
from worker.ledger.webhooks import Webhooks
from worker.ledger.worker_registry import Worker, WorkerRegistry
from worker.messaging import publish, queues
from worker.messaging.publish import BROKEN
from worker.observability.verification_log import log_claimed
from worker.runtime import startup
from worker.runtime.batch_runner import give_back
from worker.runtime.closings import ClosingsThread
from worker.runtime.delivery_runner import BATCHES
from worker.runtime.heartbeat import Heartbeat
from worker.runtime.hold_log import HoldLog
from worker.runtime.log_sequencer import LogSequencer
from worker.runtime.services import services
from worker.runtime.watchdog import Watchdog
from worker.server_faults import described
from worker.settings import current
from worker.signatures import key_ids
from worker.time_budget import DISPATCHER_SLEEP_S, HEARTBEAT_CALL_S, REDIS_CALL_S
from worker.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery
    from celery.worker.consumer import Consumer
    from kombu import Connection

    from worker.evidence.log.log_keys import LogKeys
    from worker.ledger.models import Verification
    from worker.observability.hook import Interceptor
    from worker.runtime.watchdog import Intake
    from worker.settings import Settings

_log = structlog.get_logger(__name__)

#: How long to wait before checking again for free slots, in seconds: half of a Celery message's travel time.
LOOK_AGAIN_S: Final = 0.005

#: How long to wait before checking again whether the queue is empty, in seconds: each check is a call of Redis. The
#: wait grows from the first to the second while the queue is busy.
ASK_AGAIN_S: Final = (0.02, 0.08)

#: The time between two claims, if the first one left nothing due, in seconds, and from how many verifications in flight
#: here on. A message and a claim cost as much as several verifications, so more of them share a batch.
CLAIM_AGAIN_S: Final = 0.05
BUSY: Final = 16

#: How long to sleep at most while a region has no free capacity here, in seconds.
NO_ROOM_S: Final = 0.1

#: How long to wait after a failure of Redis, in seconds.
RETRY_S: Final = 1.0


class Dispatcher(bootsteps.StartStopStep):
    """The bootstep: starts the thread with the consumer, and stops it first when the worker stops."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Consumer, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._thread: DispatcherThread | None = None
        self._heartbeat: Heartbeat | None = None
        self._watchdog: Watchdog | None = None
        self._sequencer: LogSequencer | None = None
        self._closings: ClosingsThread | None = None
        self._hold_log = HoldLog(connect(current().redis_url))

    def start(self, parent: Consumer) -> None:
        pool = parent.pool
        thread = services().event_loop
        # Some threads stay free for decisions and for giving batches back.
        threads = int(pool.num_processes)
        places = services().delivery_places
        places.limit_batches(min(BATCHES, threads * 3 // 8))
        services().in_flight.limit_batches(max(threads * 7 // 8 - places.most_batches, 1))

        def free_slots() -> int:
            """Return how many more batches this worker can start now."""
            if thread.is_stuck:
                return 0
            return int(pool.num_processes) - len(state.reserved_requests)

        self._thread = DispatcherThread(parent.app, current(), free_slots=free_slots, hold_log=self._hold_log)
        self._thread.start()
        if self._heartbeat is None:
            self._heartbeat = _heartbeat(parent.hostname)
            self._heartbeat.start()
        if self._watchdog is None:
            self._watchdog = Watchdog(thread, cast("Intake", parent))
            self._watchdog.start()
        if self._sequencer is None and (keys := services().log_keys):
            self._sequencer = _log_sequencer(keys)
            self._sequencer.start()
        if self._closings is None:
            settings = current()
            self._closings = ClosingsThread(
                services().evidence, Erasures(connect(settings.redis_url)), settings.regions
            )
            self._closings.start()
        self._heartbeat.follow(self._thread)

    def stop(self, parent: Consumer) -> None:
        del parent
        if self._heartbeat is not None:
            self._heartbeat.follow(None)
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    def shutdown(self, parent: Consumer) -> None:
        """Stop the dispatcher and the heartbeat."""
        self.stop(parent)
        if self._sequencer is not None:
            self._sequencer.end()
        if self._closings is not None:
            self._closings.stop()
        if self._heartbeat is not None:
            self._heartbeat.end()


def _report_quarantined(intercept: Interceptor, verification: Verification) -> None:
    """Report to traces and error reports a verification that the ledger itself has put into quarantine."""
    batch = Batch("", verification.region, verification.stage, (verification.signature_id,))
    intercept(batch, partial(transitions.quarantine, reason="CRASHES_WORKERS"))(verification)


def _damaged(ids: Sequence[str]) -> str:
    others = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    return f"the key of {ids[0]}{others} is no hash: `ekyc doctor` says what to do"


def _heartbeat(name: str) -> Heartbeat:
    settings = current()
    shadow = services().shadow
    worker = Worker(
        name,
        services().table.version,
        __version__,
        secrets.token_hex(4),
        shadow.version if shadow else "",
        key_ids(settings.signing_key),
        keyring.key_ids(settings.evidence_keys),
    )
    return Heartbeat(
        WorkerRegistry(connect(settings.redis_url, timeout_s=HEARTBEAT_CALL_S)), worker, startup.health_file
    )


def _log_sequencer(keys: LogKeys) -> LogSequencer:
    settings, parts = current(), services()
    authority = (
        Authority(settings.timestamp_url, proxy=settings.proxy, ca_bundle=settings.ca_bundle)
        if settings.timestamp_url
        else None
    )
    return LogSequencer(
        parts.evidence,
        keys,
        EvidenceLogQueue(connect(settings.redis_url)),
        parts.breakers,
        settings.regions,
        authority,
    )


class DispatcherThread(threading.Thread):
    """Claims due verifications and puts them on the queue. `worker.testing` calls `claim` without a running thread."""

    def __init__(self, app: Celery, settings: Settings, *, free_slots: Any, hold_log: HoldLog) -> None:
        super().__init__(name="dispatcher", daemon=True)
        self._app = app
        self._settings = settings
        self._free_slots = free_slots
        self._hold_log = hold_log
        #: When the loop last ran, by the monotonic clock. The heartbeat reads it.
        self.turned_at = time.monotonic()
        self._stopping = threading.Event()
        # A client of its own with a longer timeout, because it sleeps on Redis.
        self._redis = connect(settings.redis_url, timeout_s=DISPATCHER_SLEEP_S + REDIS_CALL_S)
        self._ledger = Ledger(
            self._redis,
            lease_s=settings.lease_s,
            rate=settings.rate,
            retention_s=settings.retention_s,
            logs=bool(settings.log_key),
        )
        self._webhooks = Webhooks(self._redis, lease_s=settings.lease_s, retention_s=settings.retention_s)

    def stop(self) -> None:
        """Make no more claims. Does not wait for the thread, which may sleep on Redis."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._turn()
            try:
                with self._app.connection_for_write() as connection:
                    self._dispatch(connection)
            except LedgerUnavailable as error:
                services().dependency_log.unavailable(error)
                self._stopping.wait(RETRY_S)
            except BROKEN as error:
                services().dependency_log.unavailable(publish.unavailable(self._settings.queue, error))
                self._stopping.wait(RETRY_S)
            except Exception as error:  # noqa: BLE001 - a worker without a dispatcher would idle for ever
                _log.error("dispatcher_failed", error=described(error), exc_info=error)
                self._stopping.wait(RETRY_S)

    def _turn(self) -> None:
        # A worker whose event loop is stuck must look dead, although this thread still runs.
        if not services().event_loop.is_stuck:
            self.turned_at = time.monotonic()

    def _dispatch(self, connection: Connection) -> None:
        channel = connection.default_channel
        queues.ensure(self._app.amqp.queues[self._settings.queue], channel)
        ask_again_s, longest_s = ASK_AGAIN_S
        with connection.Producer() as producer:
            while not self._stopping.is_set():
                self._turn()
                if self._free_slots() <= 0:
                    self._stopping.wait(LOOK_AGAIN_S)
                    continue
                if self._waiting(channel) > 0:
                    self._stopping.wait(ask_again_s)
                    ask_again_s = min(ask_again_s * 2, longest_s)
                    continue
                ask_again_s = ASK_AGAIN_S[0]
                claimed_at = time.monotonic()
                sleep_s = self.claim(producer)
                services().dependency_log.recovered()
                if sleep_s > 0 and services().in_flight.verifications >= BUSY:
                    self._stopping.wait(claimed_at + CLAIM_AGAIN_S - time.monotonic())
                    sleep_s -= time.monotonic() - claimed_at
                if sleep_s > 0:
                    self._sleep(sleep_s)

    def _send(self, batches: Sequence[Batch], producer: Any) -> None:
        """Put claimed batches on the queue. If that fails, give them back, so that it does not count as a crash."""
        for number, batch in enumerate(batches):
            try:
                publish.send(self._app, batch, producer)
            except BROKEN:
                for unsent in batches[number:]:
                    give_back(self._ledger, unsent)
                raise

    def _waiting(self, channel: Any) -> int:
        """Return the number of messages in our queue that no worker has taken."""
        return queues.size(channel, self._settings.queue)

    def _sleep(self, sleep_s: float) -> None:
        regions = self._with_capacity()
        endpoints = services().endpoints
        full = len(services().delivery_places.wanted(endpoints)) < len(endpoints)
        if full or len(regions) < len(self._settings.regions):
            sleep_s = min(sleep_s, NO_ROOM_S)
        if not regions:
            self._stopping.wait(sleep_s)
            return
        woken = self._ledger.wait(regions, timeout_s=sleep_s)
        if woken and (self._stopping.is_set() or self._free_slots() <= 0):
            self._ledger.wake(woken)

    def _with_capacity(self) -> tuple[str, ...]:
        """Return the regions with free capacity here: a slow region must not stop the claims of others."""
        in_flight = services().in_flight
        return tuple(region for region in self._settings.regions if in_flight.has_capacity(region))

    def claim(self, producer: Any) -> float:
        """Claim once in each region with free capacity. Returns for how many seconds there is nothing to claim."""
        sleep_s, expected = DISPATCHER_SLEEP_S, list(self._settings.regions)
        for region in self._with_capacity():
            identity = services().identity
            claim = self._ledger.claim(region, limit=self._settings.batch, identity=identity.expected(region))
            if claim.replaced is not None:
                sleep_s = 0.0 if identity.found(region, claim.replaced) else sleep_s
                expected.remove(region)
                continue
            for verification in claim.quarantined:
                _report_quarantined(services().intercept, verification)
                self._announce(verification)
            log_claimed(region, quarantined=claim.quarantined, expired=claim.expired)
            if claim.damaged:
                _log.error("ledger_damaged", region=region, why=_damaged(claim.damaged))
            self._send(claim.batches, producer)
            self._hold_log.look(region, claim.act)
            sleep_s = min(sleep_s, claim.sleep_s)
        if services().endpoints:
            sleep_s = min([sleep_s, *(self._claim_deliveries(region, producer) for region in expected)])
        return sleep_s

    def _announce(self, verification: Verification) -> None:
        region, signature_id = verification.region, verification.signature_id
        about = events.of_verification(
            services().endpoints, events.QUARANTINED, region, signature_id, reason="CRASHES_WORKERS"
        )
        self._webhooks.add(region, signature_id, about)

    def _claim_deliveries(self, region: str, producer: Any) -> float:
        """Claim due deliveries of a region. Returns for how many seconds there is nothing to claim."""
        claim = self._webhooks.claim(region, services().delivery_places.wanted(services().endpoints))
        for delivery_id, endpoint in claim.given_up:
            _log.error(
                "webhook_given_up",
                delivery=delivery_id,
                cause="CRASHES_WORKERS",
                endpoint=endpoint,
                region=region,
            )
        for number, batch in enumerate(claim.batches):
            try:
                publish.send_deliveries(self._app, batch, producer)
            except BROKEN:
                for unsent in claim.batches[number:]:
                    self._webhooks.give_back(unsent)
                raise
        return claim.sleep_s
