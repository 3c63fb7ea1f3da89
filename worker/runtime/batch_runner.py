"""The batch runner: how each of the three tasks processes its batch and records the outcomes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from worker.decisions import events
from worker.errors import EkycError, LedgerUnavailable, StoreAway
from worker.ledger import transitions
from worker.ledger.models import Batch, Stage
from worker.ledger.transitions import Destination
from worker.observability.verification_log import log_written
from worker.policy.rules import also_polled
from worker.server_faults import described
from worker.time_budget import BATCH_CHECK_S, RENEWALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.advance.answers import Answer
    from worker.concurrency.executor import BatchRun
    from worker.ledger import Ledger
    from worker.ledger.models import Recorded, Verification
    from worker.ledger.transitions import Transition
    from worker.ledger.webhooks import NewDelivery
    from worker.runtime.services import Services

_log = structlog.get_logger(__name__)

#: How long the first outcomes wait, so that others are recorded with them: in seconds, or as a share of the time that
#: the batch has taken so far, whichever is longer. A record and a message cost as much as several verifications. An
#: outcome is delayed by at most half of the batch's time, and not at all once the batch is complete. With 0.02 and
#: 0.25, and a dispatcher that queried a busy queue every 5 ms, a verification answered at once took a tenth more CPU.
GATHER_S: Final = 0.05
GATHER_SHARE: Final = 0.5


@dataclass(slots=True)
class Attempt:
    """One attempt at a verification. `answer`: the vendor's answer during it, whatever follows."""

    answer: Answer | None = None


class BatchRunner:
    """Processes one batch. It skips verifications that the batch no longer holds, because the message is only a hint.

    Every method raises ``LedgerUnavailable``; verifications without a record come back when their lease ends.
    """

    def __init__(self, services: Services, batch: Batch) -> None:
        self._services = services
        self._batch = batch

    def concurrently(self, each: Callable[[Verification, Attempt], Transition]) -> Iterator[tuple[str, ...]]:
        """Call `each` for all verifications of the batch concurrently, and record the outcomes as they come.

        Yields the ids that the batch still holds, at its next stage, in groups. When the worker stops, verifications
        that have not begun are given back. A batch of a region without free capacity here is given back, too. When the
        worker's event loop is stuck, everything is given back.
        """
        services, batch = self._services, self._batch
        if services.stopping.is_set() or services.event_loop.is_stuck:
            give_back(services.ledger, batch)
            return
        with services.in_flight.batch(batch.region) as has_place:
            verifications = services.ledger.load(batch)
            if not has_place:
                services.ledger.record(batch, [services.policy.no_room(each) for each in verifications])
                return
            with services.in_flight.of(batch.region, len(verifications)):
                for outcomes in self.attempted(each, verifications):
                    if held := self.record(outcomes):
                        yield held

    def slices(self, size: int) -> Iterator[list[Verification]]:
        """Yield the verifications of the batch, `size` at a time, for work that never waits."""
        verifications = self._services.ledger.load(self._batch)
        for start in range(0, len(verifications), size):
            yield list(verifications[start : start + size])

    def attempted(
        self, each: Callable[[Verification, Attempt], Transition], verifications: Sequence[Verification]
    ) -> Iterator[list[Transition]]:
        """Call `each` for verifications of the batch concurrently, and yield the outcomes in groups, as they come."""
        services, batch = self._services, self._batch
        attempt = services.intercept(batch, partial(_attempt, services, each))
        run = services.executors[batch.stage].begin(attempt, verifications, batch.region)
        try:
            yield from self._as_they_come(run)
        finally:
            run.take_back()

    def record(self, outcomes: Sequence[Transition]) -> tuple[str, ...]:
        """Record and log transitions. Returns the ids that the batch still holds afterwards, in the given order."""
        endpoints, region = self._services.endpoints, self._batch.region
        resumed: Sequence[NewDelivery] = ()
        if endpoints:
            outcomes = [events.of_transition(endpoints, region, each) for each in outcomes]
            resumed = events.of_region(endpoints, events.REGION_RESUMED, region, reason=events.VENDOR_ANSWERS)
        recorded = self._services.ledger.record(self._batch, outcomes, resumed=resumed)
        made = [transition for transition, how in zip(outcomes, recorded, strict=True) if how.written]
        log_written(self._batch, made)
        self._note_holds(outcomes, recorded)
        return tuple(each.signature_id for each in made if each.place in _HELD)

    def _as_they_come(self, run: BatchRun[Verification, Transition]) -> Iterator[list[Transition]]:
        services, began_at = self._services, time.monotonic()
        renew_every_s = services.ledger.lease_s / RENEWALS
        renew_at = began_at + renew_every_s

        def gather_s() -> float:
            return min(max(GATHER_S, GATHER_SHARE * (time.monotonic() - began_at)), BATCH_CHECK_S)

        while run.pending:
            if services.stopping.is_set() and (unbegun := run.take_back()):
                yield [transitions.release(each) for each in unbegun]
            if outcomes := run.outcomes(timeout_s=BATCH_CHECK_S, gather_s=gather_s):
                yield [transition for _, transition in outcomes]
            elif services.event_loop.is_stuck:
                # Later results of the stuck calls are dropped, because this batch then holds nothing.
                yield [transitions.release(each, event="worker_stuck") for each in run.pending]
                return
            if run.pending and time.monotonic() >= renew_at:
                services.ledger.renew(self._batch, [each.signature_id for each in run.pending])
                renew_at = time.monotonic() + renew_every_s

    def _note_holds(self, outcomes: Sequence[Transition], recorded: Sequence[Recorded]) -> None:
        region = self._batch.region
        for transition, how in zip(outcomes, recorded, strict=True):
            if how.held_until_ms and transition.trip:
                self._services.region_holds.hold(region, transition.trip.first_s)
                log = _log.error if transition.trip.alarm else _log.warning
                until = datetime.fromtimestamp(how.held_until_ms / 1000, UTC).isoformat(timespec="seconds")
                cause = {"cause": transition.trip.cause} if transition.trip.cause else {}
                log("region_held", region=region, reason=transition.trip.reason, **cause, until=until)
            elif how.closed_breaker:
                _log.warning("breaker_closed", region=region, answer=transition.answer)


def give_back(ledger: Ledger, batch: Batch) -> None:
    """Make the batch's verifications due now. This does not count as a start."""
    ledger.record(batch, [transitions.release(each) for each in ledger.load(batch)])


def next_stage(batch: Batch, stage: Stage, signature_ids: Sequence[str]) -> Batch:
    """Return the same batch with the verifications that continue at `stage`."""
    return Batch(batch.id, batch.region, stage, tuple(signature_ids))


#: Destinations of a verification that its batch still holds.
_HELD: Final = frozenset({Destination.HELD, Destination.SAME})


def _attempt(
    services: Services, each: Callable[[Verification, Attempt], Transition], verification: Verification
) -> Transition:
    """Call `each` and return its transition, or one for its error. Raises only ``LedgerUnavailable``."""
    attempt = Attempt()
    try:
        transition = each(verification, attempt)
    except LedgerUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of one verification does not stop its batch
        transition = _after(services, verification, error)
    # A poll's transition includes its answer. Add it to any other transition, for the counts and the circuit breaker.
    return transition if transition.answer else also_polled(transition, verification, attempt.answer)


def _after(services: Services, verification: Verification, error: Exception) -> Transition:
    about = {
        "signature_id": verification.signature_id,
        "region": verification.region,
        "stage": verification.stage,
    }
    match error:
        case StoreAway():
            return services.policy.store_away(verification, error)
        case EkycError():
            _log.warning(
                "verification_fault", **about, cause=error.cause, error=str(error), retry=error.retry
            )
            return replace(services.policy.after_error(verification, error), error=error)
    # The error's text may quote the vendor, so only its type and place are logged.
    _log.error("verification_failed", **about, error=described(error), at=_where(error))
    return replace(services.policy.after_unforeseen(verification), error=error)


def _where(error: Exception) -> str:
    """Return the file and line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
