"""How a task works through its batch: all at once, and nobody waits for the slowest."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from worker.errors import EkycError, LedgerUnavailable
from worker.ledger import writes
from worker.ledger.values import Batch, Stage
from worker.ledger.writes import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from worker.ledger import Ledger
    from worker.ledger.values import Recorded, Verification
    from worker.ledger.writes import Write
    from worker.services import Services

_log = structlog.get_logger(__name__)

#: How long the first to finish wait for others to be recorded with them: a tenth of a quick vendor's answer, so that a
#: batch of quick answers costs one record and one message, and a slow one delays nobody.
GATHER_S: Final = 0.02

#: How often a task that waits for slow calls looks up: whether its lease must be renewed, or the worker stops.
LOOK_UP_S: Final = 0.25


def work_through(
    services: Services, batch: Batch, each: Callable[[Verification], Write]
) -> Iterator[tuple[str, ...]]:
    """Load a batch, do `each` of its verifications concurrently, and record the outcomes as they come.

    Yields the ids that go on at the batch's next stage, some at a time. A verification that the batch no longer holds
    is left alone: the message was a hint. When the worker is told to stop, what has not begun is given back.
    Raises ``LedgerUnavailable``; the lease brings back what was not recorded.
    """
    if services.stopping.is_set():
        give_back(services.ledger, batch)
        return
    verifications = services.ledger.load(batch)
    with services.load.of(len(verifications)):
        yield from _worked_through(services, batch, each, verifications)


def give_back(ledger: Ledger, batch: Batch) -> None:
    """What no message has started is due now again: it is nobody's crash."""
    ledger.record(batch, [writes.release(one) for one in ledger.load(batch)])


def _worked_through(
    services: Services,
    batch: Batch,
    each: Callable[[Verification], Write],
    verifications: Sequence[Verification],
) -> Iterator[tuple[str, ...]]:
    under_way = {services.calls.submit(_outcome, services, each, one): one for one in verifications}
    try:
        for outcomes in _as_they_come(services, batch, under_way):
            recorded = services.ledger.record(batch, outcomes)
            _hear_of_rests(services, batch.region, outcomes, recorded)
            going_on = tuple(
                write.signature_id
                for write, how in zip(outcomes, recorded, strict=True)
                if how.written and write.place is Place.HELD
            )
            if going_on:
                yield going_on
    finally:
        for future in under_way:
            future.cancel()


def next_stage(batch: Batch, stage: Stage, signature_ids: Sequence[str]) -> Batch:
    """The same batch, with those of its verifications that go on."""
    return Batch(batch.id, batch.region, stage, tuple(signature_ids))


def _as_they_come(
    services: Services, batch: Batch, under_way: dict[Future[Write], Verification]
) -> Iterator[list[Write]]:
    renew_every_s = services.ledger.lease_s / 4
    renew_at = time.monotonic() + renew_every_s
    pending = set(under_way)
    while pending:
        done, pending = wait(pending, timeout=LOOK_UP_S, return_when=FIRST_COMPLETED)
        if services.stopping.is_set():
            unbegun = {future for future in pending if future.cancel()}
            pending -= unbegun
            yield [writes.release(under_way[future]) for future in unbegun]
        if done and pending:
            more, pending = wait(pending, timeout=GATHER_S)
            done |= more
        if done:
            yield [future.result() for future in done]
        if pending and time.monotonic() >= renew_at:
            services.ledger.renew(batch, [under_way[future].signature_id for future in pending])
            renew_at = time.monotonic() + renew_every_s


def _outcome(services: Services, each: Callable[[Verification], Write], verification: Verification) -> Write:
    """What `each` makes of a verification, whatever happens to it."""
    try:
        return each(verification)
    except LedgerUnavailable:
        raise
    except EkycError as error:
        _log.warning(
            "verification_fault",
            signature_id=verification.signature_id,
            region=verification.region,
            stage=verification.stage,
            cause=error.cause,
            error=str(error),
        )
        return services.policy.after_error(verification, error)
    except Exception as error:  # noqa: BLE001 - one verification's trouble is not its batch's
        # Its text may quote what the vendor said: the type and the place must do.
        _log.error(
            "verification_failed",
            signature_id=verification.signature_id,
            region=verification.region,
            stage=verification.stage,
            error=type(error).__name__,
            at=_where(error),
        )
        return services.policy.after_unforeseen(verification)


def _where(error: Exception) -> str:
    """File and line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _hear_of_rests(
    services: Services, region: str, outcomes: Sequence[Write], recorded: Sequence[Recorded]
) -> None:
    for write, how in zip(outcomes, recorded, strict=True):
        if how.rests_until_ms and write.trip:
            services.rests.begin(region, write.trip.first_s)
            log = _log.error if write.trip.alarm else _log.warning
            until = datetime.fromtimestamp(how.rests_until_ms / 1000, UTC).isoformat(timespec="seconds")
            log("region_held", region=region, reason=write.trip.reason, until=until)
