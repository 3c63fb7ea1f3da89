"""The queue of the log in the ledger: what ends is queued in the same step, and only if a log is kept."""

from __future__ import annotations

import pytest
from redis import Redis

from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide, decision_text, quarantine, to_routing
from tests.support.logged_evidence import PRIVATE
from worker.client import enqueue
from worker.ledger import Ledger, Quarantine, transitions
from worker.ledger.evidence_log import EvidenceLogQueue, LogLedger, Seen
from worker.ledger.fields import Field
from worker.ledger.ledger import MOST_STARTS
from worker.ledger.models import Stage
from worker.ledger.transitions import Heard
from worker.ledger.webhooks import NewDelivery
from worker.testing import LocalFleet

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


@pytest.mark.parametrize("waits", [False, True])
def test_one_that_crashes_workers_after_its_decision_is_queued(
    ledger: Ledger, redis: Redis, queue: EvidenceLogQueue, *, waits: bool
) -> None:
    deliveries = (NewDelivery("d1", "shop", "verification.decided", "{}"),) if waits else ()
    batch, one = to_routing(ledger, "deadly")
    decided = transitions.decide(one, name="approve", decision=decision_text("deadly"), deliveries=deliveries)
    ledger.record(batch, [decided])
    ledger.record(batch, [transitions.delivered(one, name="approve", then=Stage.ARCHIVING)])
    for _ in range(MOST_STARTS):
        for again in ledger.claim(REGION, limit=5).batches:
            ledger.load(again)  # and the worker dies
        assert waiting(queue) == []
        for member, score in redis.zscan_iter("ekyc:{ph}:leased"):
            redis.zincrby("ekyc:{ph}:leased", -score, member)
    ledger.claim(REGION, limit=5)
    status = ledger.status(REGION, "deadly")
    assert status
    assert status.verification.stage is (Stage.DELIVERING if waits else Stage.DONE)
    assert (status.timeline[-1].name, status.timeline[-1].detail) == ("given_up", "CRASHES_WORKERS")
    assert waiting(queue) == ["deadly"]
    state = queue.state(REGION)
    assert (state.queued, state.lost) == (1, 0)


def test_the_dispatcher_of_a_worker_with_a_key_of_the_log_queues_it() -> None:
    with LocalFleet(settings={"ADVANCE_REGIONS": REGION, "EKYC_LOG_KEY": PRIVATE}) as fleet:
        enqueue("deadly", REGION)
        with Redis.from_url(fleet.redis_url) as redis:
            fields = {Field.STAGE: "archiving", Field.DECISION: "{}", Field.STARTS: MOST_STARTS}
            redis.hset(
                f"ekyc:{{{REGION}}}:v:deadly", mapping={key.value: each for key, each in fields.items()}
            )
            redis.zrem(f"ekyc:{{{REGION}}}:due:polling", "deadly")
            redis.zadd(f"ekyc:{{{REGION}}}:leased", {"deadly": 1})
            fleet.drain()
            assert redis.hget(LOG, "queued") == b"1"


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
