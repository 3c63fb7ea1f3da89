"""What the ledger does with a verification whose kept answer is gone, and that fresh links count as polls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from schemas.enqueue import EnqueueRequest
from worker.advance.answers import Busy
from worker.ledger import Ledger, Quarantine, Stats, transitions
from worker.ledger.models import Stage, Verification
from worker.ledger.transitions import Heard
from worker.policy.rules import also_polled

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger.models import Batch


def archiving(ledger: Ledger) -> tuple[Batch, Verification]:
    """One that has settled without a result, and whose images are next."""
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(
        batch,
        [transitions.unsettled(one, Heard("unknown_id"), reason="SIGNATURE_NOT_EXIST", answer_kept=True)],
    )
    batch = replace(batch, stage=Stage.ARCHIVING)
    (one,) = ledger.load(batch)
    return batch, one


def seen(ledger: Ledger) -> Verification:
    status = ledger.status("ph", "a")
    assert status is not None
    return status.verification


def test_it_is_polled_again_as_if_nothing_had_settled(redis: Redis) -> None:
    ledger = Ledger(redis)
    batch, one = archiving(ledger)
    assert one.reason == "SIGNATURE_NOT_EXIST"
    ledger.record(batch, [transitions.ask_again(one, in_s=0, cause="EVIDENCE_LOST")])
    again = seen(ledger)
    assert (again.stage, again.losses, again.reason, again.nulls, again.faults) == (
        Stage.POLLING,
        1,
        None,
        0,
        0,
    )
    assert Stats(redis).counts("ph").faults == {"EVIDENCE_LOST": 1}
    (batch,) = ledger.claim("ph", limit=1).batches
    assert batch.stage is Stage.POLLING


def test_a_person_who_retries_it_begins_anew(redis: Redis) -> None:
    ledger = Ledger(redis)
    batch, one = archiving(ledger)
    ledger.record(batch, [transitions.ask_again(one, in_s=0, cause="EVIDENCE_LOST")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.quarantine(one, reason="EVIDENCE_LOST")])
    assert Quarantine(redis, who="maria").retry("ph", ["a"]) == [True]
    assert seen(ledger).losses == 0


def test_fresh_links_that_were_asked_for_count_as_a_poll(redis: Redis) -> None:
    ledger = Ledger(redis)
    batch, one = archiving(ledger)
    ledger.record(
        batch, [also_polled(transitions.retry(one, in_s=60, cause="IMAGE_UNAVAILABLE"), one, Busy(3))]
    )
    counts = Stats(redis).counts("ph")
    assert (counts.polls, seen(ledger).polls, counts.answers) == (2, 2, {"busy": 1, "unknown_id": 1})
