"""The queue of the log in the ledger: what ends is queued in the same step, and only if a log is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide, decision_text, quarantine, to_routing
from worker.ledger import Ledger, Quarantine, transitions
from worker.ledger.evidence_log import EvidenceLogQueue, LogLedger, Seen
from worker.ledger.transitions import Heard
from worker.ledger.webhooks import NewDelivery

if TYPE_CHECKING:
    from redis import Redis

REGION = "ph"
LOG = f"ekyc:{{{REGION}}}:log"


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, worker="w1", logs=True)


@pytest.fixture
def queue(redis: Redis) -> EvidenceLogQueue:
    return EvidenceLogQueue(redis)


def waiting(queue: EvidenceLogQueue) -> list[str]:
    return [each.signature_id for each in queue.pending(REGION, 100)]


@pytest.mark.every_server
def test_what_is_done_waits_for_the_log_and_nothing_else_does(
    ledger: Ledger, queue: EvidenceLogQueue
) -> None:
    decide(ledger, "done")
    decide(ledger, "undelivered", deliver=False)
    quarantine(ledger, "quarantined")
    ledger.enqueue([EnqueueRequest("waiting", REGION)])
    assert waiting(queue) == ["done"]
    state = queue.state(REGION)
    assert (state.pending, state.queued, state.logged, state.lost) == (1, 1, 0, 0)
    assert 0 <= state.oldest_pending_s < 60


def test_without_a_key_of_the_log_nothing_is_kept_of_it(redis: Redis, queue: EvidenceLogQueue) -> None:
    decide(Ledger(redis, worker="w1"), "done")
    quarantine(Ledger(redis, worker="w1"), "dropped")
    Quarantine(redis, who="me").drop(REGION, ["dropped"], why="test")
    assert waiting(queue) == []
    assert redis.keys(f"{LOG}*") == []
    assert queue.state(REGION).seen == Seen()


def test_a_late_end_and_a_dropped_one_are_queued(
    ledger: Ledger, redis: Redis, queue: EvidenceLogQueue
) -> None:
    ledger.enqueue([EnqueueRequest("late", REGION)])
    (batch,) = ledger.claim(REGION, limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.finish(one, Heard("pending"), event="given_up", detail="")])
    quarantine(ledger, "dropped")
    Quarantine(redis, who="me").drop(REGION, ["dropped"], why="test")
    assert sorted(waiting(queue)) == ["dropped", "late"]


def test_a_verification_that_waits_for_endpoints_is_queued_at_once_and_only_then(
    ledger: Ledger, queue: EvidenceLogQueue
) -> None:
    batch, one = to_routing(ledger, "hooked")
    delivery = NewDelivery("d1", "shop", "verification.decided", "{}")
    text = decision_text("hooked", REGION)
    ledger.record(batch, [transitions.decide(one, name="approve", decision=text, deliveries=(delivery,))])
    assert waiting(queue) == []
    ledger.record(batch, [transitions.delivered(one, name="approve")])
    assert waiting(queue) == ["hooked"]


def test_a_transition_of_a_batch_that_lost_its_lease_queues_nothing(
    ledger: Ledger, queue: EvidenceLogQueue
) -> None:
    batch, one = to_routing(ledger, "fenced")
    ledger.record(batch, [transitions.release(one)])
    assert [each.written for each in ledger.record(batch, [transitions.delivered(one, name="approve")])] == [
        False
    ]
    assert waiting(queue) == []


def test_notes_go_forward_only_and_take_out_what_was_read(queue: EvidenceLogQueue) -> None:
    queue.add(REGION, ["a", "b", "c"])
    assert queue.add(REGION, ["a"]) == 0
    read = queue.pending(REGION, 2)
    assert queue.note(REGION, Seen(2, 7, "root"), [(read[0], True), (read[1], False)]) == 2
    assert queue.note(REGION, Seen(1, 5, "older")) == 0
    state = queue.state(REGION)
    assert state.seen == Seen(2, 7, "root")
    assert (state.queued, state.logged, state.skipped, state.pending, state.lost) == (3, 1, 1, 1, 0)


def test_many_are_noted_in_several_calls(queue: EvidenceLogQueue) -> None:
    ids = [f"id{number}" for number in range(1203)]
    assert queue.add(REGION, ids) == 1203
    assert (
        queue.note(REGION, Seen(1, 1203, "r"), [(each, True) for each in queue.pending(REGION, 2000)]) == 1203
    )
    assert queue.state(REGION).pending == 0


def test_what_is_under_way_or_waits_is_open(ledger: Ledger, redis: Redis, queue: EvidenceLogQueue) -> None:
    decide(ledger, "done")
    decide(ledger, "noted")
    ledger.enqueue([EnqueueRequest("waiting", REGION)])
    taken = [each for each in queue.pending(REGION, 9) if each.signature_id == "noted"]
    queue.note(REGION, Seen(1, 1, "r"), [(each, True) for each in taken])
    ids = ["done", "noted", "waiting", "unknown"]
    assert LogLedger(redis, REGION).open_ids(ids) == {"done", "waiting"}


def test_a_fault_is_noted_and_removed(queue: EvidenceLogQueue) -> None:
    queue.fault(REGION, "EVIDENCE_LOG_DAMAGED")
    assert queue.state(REGION).fault == "EVIDENCE_LOG_DAMAGED"
    queue.fault(REGION, "")
    assert queue.state(REGION).fault == ""
