"""How a task works through its batch: all at once, and nobody waits for the slowest."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import EkycError, LedgerUnavailable, StoreAway
from worker.ledger import transitions
from worker.ledger.models import Batch, Stage
from worker.ledger.transitions import Destination
from worker.observability.verification_log import log_written
from worker.policy.rules import also_polled
from worker.server_faults import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.concurrency.executor import BatchRun
    from worker.ledger import Ledger
    from worker.ledger.models import Recorded, Verification
    from worker.ledger.transitions import Transition
    from worker.runtime.services import Services

_log = structlog.get_logger(__name__)

#: How long the first to finish wait for others to be recorded with them, in seconds and as a share of what their batch
#: took until then, whichever is more: few records and messages, each of which costs as much as some verifications.
#: Nobody is delayed by more than half; a batch that is done waits for nothing. With 0.02 and 0.25, and a dispatcher
#: that asked a busy queue every 5 ms, one that is answered at once took a tenth more CPU.
GATHER_S: Final = 0.05
GATHER_SHARE: Final = 0.5

#: How often a task that waits for slow calls looks up: whether its lease must be renewed, or the worker stops.
LOOK_UP_S: Final = 0.25


def work_through(
    services: Services, batch: Batch, each: Callable[[Verification], Transition]
) -> Iterator[tuple[str, ...]]:
    """Load a batch, do `each` of its verifications concurrently, and record the outcomes as they come.

    Yields the ids that go on at the batch's next stage, some at a time. A verification that the batch no longer holds
    is left alone: the message was a hint. When the worker stops, it gives back what has not begun, and also a
    batch of a region that has as many under way here as it may have. When the worker's calls are stuck, everything is
    given back. Raises ``LedgerUnavailable``; the lease brings back what was not recorded.
    """
    if services.stopping.is_set() or services.event_loop.is_stuck:
        give_back(services.ledger, batch)
        return
    with services.in_flight.batch(batch.region) as taken_up:
        verifications = services.ledger.load(batch)
        if not taken_up:
            services.ledger.record(batch, [services.policy.no_room(one) for one in verifications])
            return
        with services.in_flight.of(batch.region, len(verifications)):
            yield from _worked_through(services, batch, each, verifications)


def give_back(ledger: Ledger, batch: Batch) -> None:
    """What no message has started is due now again: it is nobody's crash."""
    ledger.record(batch, [transitions.release(one) for one in ledger.load(batch)])


def _worked_through(
    services: Services,
    batch: Batch,
    each: Callable[[Verification], Transition],
    verifications: Sequence[Verification],
) -> Iterator[tuple[str, ...]]:
    outcome = services.intercept(batch, partial(_outcome, services, each))
    work = services.executors[batch.stage].begin(outcome, verifications, batch.region)
    try:
        for outcomes in _as_they_come(services, batch, work):
            recorded = services.ledger.record(batch, outcomes)
            log_written(batch, written(outcomes, recorded))
            _hear_of_rests(services, batch.region, outcomes, recorded)
            going_on = tuple(
                write.signature_id
                for write, how in zip(outcomes, recorded, strict=True)
                if how.written and write.place is Destination.HELD
            )
            if going_on:
                yield going_on
    finally:
        work.take_back()


def written(outcomes: Sequence[Transition], recorded: Sequence[Recorded]) -> list[Transition]:
    """The writes that were made."""
    return [write for write, how in zip(outcomes, recorded, strict=True) if how.written]


def next_stage(batch: Batch, stage: Stage, signature_ids: Sequence[str]) -> Batch:
    """The same batch, with those of its verifications that go on."""
    return Batch(batch.id, batch.region, stage, tuple(signature_ids))


def _as_they_come(
    services: Services, batch: Batch, work: BatchRun[Verification, Transition]
) -> Iterator[list[Transition]]:
    began_at = time.monotonic()
    renew_every_s = services.ledger.lease_s / 4
    renew_at = began_at + renew_every_s

    def gather_s() -> float:
        return min(max(GATHER_S, GATHER_SHARE * (time.monotonic() - began_at)), LOOK_UP_S)

    while work.pending:
        if services.stopping.is_set() and (unbegun := work.take_back()):
            yield [transitions.release(one) for one in unbegun]
        if outcomes := work.outcomes(timeout_s=LOOK_UP_S, gather_s=gather_s):
            yield [write for _, write in outcomes]
        elif services.event_loop.is_stuck:
            # What the stuck calls may still return is dropped: this batch no longer holds anything by then.
            yield [transitions.release(one, event="worker_stuck") for one in work.pending]
            return
        if work.pending and time.monotonic() >= renew_at:
            services.ledger.renew(batch, [one.signature_id for one in work.pending])
            renew_at = time.monotonic() + renew_every_s


def _outcome(
    services: Services, each: Callable[[Verification], Transition], verification: Verification
) -> Transition:
    """What `each` makes of a verification, whatever happens to it."""
    try:
        return each(verification)
    except LedgerUnavailable:
        raise
    except StoreAway as away:
        return also_polled(services.policy.store_away(verification, away), verification, away.heard)
    except EkycError as error:
        _log.warning(
            "verification_fault",
            signature_id=verification.signature_id,
            region=verification.region,
            stage=verification.stage,
            cause=error.cause,
            error=str(error),
            retry=error.retry,
        )
        write = replace(services.policy.after_error(verification, error), error=error)
        return also_polled(write, verification, error.heard)
    except Exception as error:  # noqa: BLE001 - one verification's trouble is not its batch's
        # Its text may quote what the vendor said: the type and the place must do.
        _log.error(
            "verification_failed",
            signature_id=verification.signature_id,
            region=verification.region,
            stage=verification.stage,
            error=described(error),
            at=_where(error),
        )
        write = replace(services.policy.after_unforeseen(verification), error=error)
        return also_polled(write, verification, getattr(error, "heard", None))


def _where(error: Exception) -> str:
    """File and line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _hear_of_rests(
    services: Services, region: str, outcomes: Sequence[Transition], recorded: Sequence[Recorded]
) -> None:
    for write, how in zip(outcomes, recorded, strict=True):
        if how.held_until_ms and write.trip:
            services.region_holds.hold(region, write.trip.first_s)
            log = _log.error if write.trip.alarm else _log.warning
            until = datetime.fromtimestamp(how.held_until_ms / 1000, UTC).isoformat(timespec="seconds")
            cause = {"cause": write.trip.cause} if write.trip.cause else {}
            log("region_held", region=region, reason=write.trip.reason, **cause, until=until)
        elif how.closed_breaker:
            _log.warning("breaker_closed", region=region, answer=write.answer)
