"""The ledger on a real Valkey, one promise a test. The random histories are in ``test_ledger_properties``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from worker.errors import EkycError, EvidenceUnsuitable, LedgerUnavailable
from worker.evidence.ledger_identity import LedgerIdentity
from worker.evidence.store import Evidence
from worker.ledger import Ledger, Quarantine, Stats, transitions
from worker.ledger.connection import connect
from worker.ledger.fields import Field
from worker.ledger.ledger import MOST_STARTS
from worker.ledger.models import EvidenceState, Recorded, Stage
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard
from worker.time_budget import DISPATCHER_SLEEP_S

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from worker.ledger.models import Batch, Event, Verification

pytestmark = pytest.mark.every_server

PH = prefix("ph")


def enqueue(ledger: Ledger, *ids: str, region: str = "ph", context: str | None = None) -> None:
    ledger.enqueue([EnqueueRequest(name, region, context) for name in ids])


def take(ledger: Ledger, limit: int = 64) -> tuple[Batch, list[Verification]]:
    """Claim and load one batch."""
    (batch,) = ledger.claim("ph", limit=limit).batches
    return batch, ledger.load(batch)


def lapse_leases(redis: Redis) -> None:
    """The batches that hold anything have crashed, and their leases are over."""
    for member, score in redis.zscan_iter(f"{PH}leased"):
        redis.zincrby(f"{PH}leased", -score, member)


def test_enqueueing_a_known_id_changes_nothing_and_says_so(ledger: Ledger) -> None:
    assert ledger.enqueue([EnqueueRequest("a", "ph", '"first"')]) == [True]
    assert ledger.enqueue([EnqueueRequest("a", "ph", '"second"'), EnqueueRequest("a", "sg")]) == [False, True]
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.verification.context == '"first"'


def test_an_id_that_stands_twice_in_one_call_is_new_once(ledger: Ledger) -> None:
    assert ledger.enqueue([EnqueueRequest("a", "ph")] * 3) == [True, False, False]


def test_more_than_a_chunk_is_enqueued_in_order(ledger: Ledger, redis: Redis) -> None:
    """A thousand requests take more than one script call, and every answer belongs to its request."""
    enqueue(ledger, "v7", "v901")
    answers = ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(1001)])
    assert [number for number, new in enumerate(answers) if not new] == [7, 901]
    assert Stats(redis).counts("ph").waiting == 1001


def test_a_verification_travels_to_its_end(ledger: Ledger, redis: Redis) -> None:
    """Every stage, the counters and the timeline of the usual way."""
    enqueue(ledger, "a", context='{"n":1}')
    batch, (one,) = take(ledger)
    ledger.record(batch, [transitions.repoll(one, Heard("pending", "t1", nulls=1), in_s=0)])
    batch, (one,) = take(ledger)
    assert (one.polls, one.nulls, one.transaction_id) == (1, 1, "t1")
    settled = transitions.settle(one, Heard("result", "t2"), overall_result="PASS", error_code="SUCCESS")
    ledger.record(batch, [settled])
    archiving = at(batch, Stage.ARCHIVING)
    (one,) = ledger.load(archiving)
    ledger.record(archiving, [transitions.archived(one, EvidenceState.COMPLETE, files=3, size_bytes=99)])
    routing = at(batch, Stage.ROUTING)
    (one,) = ledger.load(routing)
    assert ledger.record(routing, [transitions.decide(one, name="approve", decision='{"d":1}')]) == [
        Recorded(written=True)
    ]
    assert ledger.record(routing, [transitions.delivered(one, name="approve")]) == [Recorded(written=True)]

    counts = Stats(redis).counts("ph")
    assert (counts.done, counts.waiting, counts.in_flight, counts.polls) == (1, 0, 0, 2)
    assert counts.decisions == {"approve": 1}
    assert counts.answers == {"pending": 1, "result": 1}
    assert counts.error_codes == {"SUCCESS": 1}
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.verification.stage is Stage.DONE
    assert status.verification.decision == '{"d":1}'
    assert status.verification.context is None
    assert [event.name for event in status.timeline] == ["settled", "archived", "decided", "delivered"]
    assert {event.worker for event in status.timeline} == {"w1"}


def at(batch: Batch, stage: Stage) -> Batch:
    """The batch as the message for its next stage names it."""
    return type(batch)(batch.id, batch.region, stage, batch.signature_ids)


def test_what_is_done_is_forgotten_after_its_retention(redis: Redis) -> None:
    """Redis does not grow for ever; the evidence is what stays."""
    ledger = Ledger(redis, retention_s=3600)
    enqueue(ledger, "a")
    batch, (one,) = take(ledger)
    ledger.record(
        batch, [transitions.unsettled(one, Heard("pending"), reason="DEADLINE_PASSED", answer_kept=False)]
    )
    (one,) = ledger.load(at(batch, Stage.ROUTING))
    ledger.record(at(batch, Stage.ROUTING), [transitions.delivered(one, name="review")])
    assert 3590_000 < redis.pttl(f"{PH}v:a") <= 3600_000
    assert 3590_000 < redis.pttl(f"{PH}t:a") <= 3600_000


def test_one_batch_is_not_claimed_twice(ledger: Ledger) -> None:
    enqueue(ledger, "a", "b", "c")
    (batch,) = ledger.claim("ph", limit=2).batches
    (rest,) = ledger.claim("ph", limit=2).batches
    assert sorted(batch.signature_ids + rest.signature_ids) == ["a", "b", "c"]
    assert ledger.claim("ph", limit=2).batches == ()


def test_many_dispatchers_at_once_share_what_is_due(redis: Redis, ledger: Ledger) -> None:
    """Eight dispatchers claim in parallel: every verification is claimed once."""
    names = [f"v{number}" for number in range(2000)]
    enqueue(ledger, *names)
    claimed: list[str] = []

    def dispatch() -> None:
        mine = Ledger(redis)
        while batches := mine.claim("ph", limit=16).batches:
            claimed.extend(name for batch in batches for name in batch.signature_ids)

    threads = [threading.Thread(target=dispatch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(names)


def test_a_second_delivery_of_a_message_does_nothing(ledger: Ledger) -> None:
    enqueue(ledger, "a")
    batch, loaded = take(ledger)
    assert len(loaded) == 1
    assert ledger.load(batch) == []


def test_a_crashed_batch_comes_back_with_few_and_then_alone(ledger: Ledger, redis: Redis) -> None:
    """Whatever killed the worker takes ever fewer with it, and the others do not have to travel one by one."""
    enqueue(ledger, *(f"v{number:02}" for number in range(20)))
    take(ledger)
    lapse_leases(redis)
    few = ledger.claim("ph", limit=64).batches
    assert sorted(len(batch.signature_ids) for batch in few) == [4, 8, 8]
    for batch in few:
        ledger.load(batch)
    lapse_leases(redis)
    assert [len(batch.signature_ids) for batch in ledger.claim("ph", limit=64).batches] == [1] * 20


def test_what_is_given_back_has_not_been_started(ledger: Ledger, redis: Redis) -> None:
    """A stop in good order is no crash: it travels with the others again, and only crashes count."""
    enqueue(ledger, "a", "b")
    batch, ones = take(ledger)
    ledger.record(batch, [transitions.release(one) for one in ones])
    (again,) = ledger.claim("ph", limit=64).batches
    assert len(again.signature_ids) == 2
    ledger.load(again)
    lapse_leases(redis)
    (few,) = ledger.claim("ph", limit=64).batches
    ledger.record(few, [transitions.release(one) for one in ledger.load(few)])
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.starts == 1


def test_lost_messages_are_nobodys_crash(ledger: Ledger, redis: Redis) -> None:
    """A broker that is flushed again and again quarantines nobody, and takes no batch apart."""
    enqueue(ledger, "a", "b")
    for _ in range(MOST_STARTS + 2):
        (batch,) = ledger.claim("ph", limit=64).batches
        assert batch.signature_ids == ("a", "b")
        lapse_leases(redis)


def test_what_crashes_again_and_again_is_quarantined_and_its_batch_is_not(
    ledger: Ledger, redis: Redis
) -> None:
    """One verification kills its worker every time; the other gets through as soon as it travels alone."""
    enqueue(ledger, "poison", "good")
    take(ledger)
    given_up: list[Verification] = []
    for _ in range(MOST_STARTS):
        lapse_leases(redis)
        claim = ledger.claim("ph", limit=64)
        given_up += claim.quarantined
        for batch in claim.batches:
            for one in ledger.load(batch):
                if one.signature_id == "good":
                    ledger.record(batch, [transitions.repoll(one, Heard("pending"), in_s=900)])
    counts = Stats(redis).counts("ph")
    assert counts.quarantine == {"CRASHES_WORKERS": 1}
    assert counts.waiting == 1
    status = ledger.status("ph", "poison")
    assert status is not None
    assert status.verification.stage is Stage.QUARANTINED
    assert status.timeline[-1].detail == "CRASHES_WORKERS"
    assert [(one.signature_id, one.stage) for one in given_up] == [("poison", Stage.POLLING)], "once told"


def test_a_zombie_writes_nothing(ledger: Ledger, redis: Redis) -> None:
    """A worker that was frozen beyond its lease comes back with an answer that nobody waits for any more."""
    enqueue(ledger, "a")
    batch, (one,) = take(ledger)
    lapse_leases(redis)
    heir, (again,) = take(ledger)
    assert ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE")]) == [
        Recorded(written=False)
    ]
    assert ledger.renew(batch, ["a"]) == 0
    assert ledger.record(heir, [transitions.repoll(again, Heard("pending"), in_s=0)]) == [
        Recorded(written=True)
    ]


def test_while_a_region_rests_nothing_of_it_is_polled_and_others_go_on(ledger: Ledger, redis: Redis) -> None:
    enqueue(ledger, "a")
    enqueue(ledger, "b", region="sg")
    (batch,) = ledger.claim("ph", limit=64).batches
    ledger.hold("ph", for_s=60, reason="VENDOR_BUSY")
    assert ledger.load(batch) == []
    claim = ledger.claim("ph", limit=64)
    assert claim.batches == ()
    assert 0 < claim.sleep_s <= DISPATCHER_SLEEP_S
    assert len(ledger.claim("sg", limit=64).batches) == 1
    (hold,) = Stats(redis).total(["ph", "sg"]).holds
    assert (hold.region, hold.reason) == ("ph", "VENDOR_BUSY")
    assert ledger.resume("ph") is True
    assert ledger.resume("ph") is False
    assert len(ledger.claim("ph", limit=64).batches) == 1


def test_a_rest_does_not_keep_decisions_from_the_pipeline(ledger: Ledger) -> None:
    """A vendor that is busy has nothing to do with what it has answered already."""
    enqueue(ledger, "a")
    batch, (one,) = take(ledger)
    ledger.record(
        batch, [transitions.settle(one, Heard("result"), overall_result="PASS", error_code="SUCCESS")]
    )
    (one,) = ledger.load(at(batch, Stage.ARCHIVING))
    ledger.record(at(batch, Stage.ARCHIVING), [transitions.retry(one, in_s=0, cause="IMAGE_UNAVAILABLE")])
    ledger.hold("ph", for_s=60, reason="VENDOR_BUSY")
    (again,) = ledger.claim("ph", limit=64).batches
    assert again.stage is Stage.ARCHIVING


def test_the_right_to_call_is_one_for_the_whole_fleet(redis: Redis) -> None:
    """One call in ten seconds: two dispatchers and an archive together get one."""
    one, other = Ledger(redis, rate=0.1), Ledger(redis, rate=0.1)
    enqueue(one, *(f"v{number}" for number in range(20)))
    taken = [len(batch.signature_ids) for who in (one, other) for batch in who.claim("ph", limit=64).batches]
    assert taken == [1]
    assert one.spend("ph") > 0


def test_a_call_beyond_those_claimed_is_counted(ledger: Ledger, redis: Redis) -> None:
    assert ledger.spend("ph") == 0
    assert Stats(redis).counts("ph").extra_calls == 1


def test_the_fleet_keeps_to_one_rate(redis: Redis) -> None:
    """At 100 a second: a tenth of a second's worth at once, and no more than that before its time."""
    one, other = Ledger(redis, rate=100), Ledger(redis, rate=100)
    enqueue(one, *(f"v{number}" for number in range(200)))
    started = time.monotonic()
    taken = 0
    while taken < 50:
        for who in (one, other):
            claim = who.claim("ph", limit=64)
            taken += sum(len(batch.signature_ids) for batch in claim.batches)
        time.sleep(0.01)
    # The promise is about the vendor, not about our speed: 50 calls may not take less than their time.
    assert taken <= 10 + 100 * (time.monotonic() - started) + 1


def test_enqueueing_wakes_one_sleeping_dispatcher(ledger: Ledger, redis_url: str) -> None:
    woken: list[str | None] = []
    sleeper = Ledger(connect(redis_url, timeout_s=30))
    thread = threading.Thread(target=lambda: woken.append(sleeper.wait(["sg", "ph"], timeout_s=20)))
    thread.start()
    time.sleep(0.1)
    enqueue(ledger, "a")
    thread.join(timeout=10)
    assert woken == ["ph"]


def test_one_dispatcher_wakes_for_the_next_due_moment_and_the_others_sleep_longer(redis: Redis) -> None:
    """A herd of a hundred would cost Redis a hundred claims for every due moment."""
    first, second = Ledger(redis), Ledger(redis)
    enqueue(first, "a")
    batch, (one,) = take(first)
    first.record(batch, [transitions.repoll(one, Heard("pending"), in_s=4.5)])
    promised, spared = first.claim("ph", limit=1).sleep_s, second.claim("ph", limit=1).sleep_s
    assert 0.1 < promised <= 4.5 < spared <= DISPATCHER_SLEEP_S
    # The one that promised keeps its promise when something else wakes it.
    assert first.claim("ph", limit=1).sleep_s <= 4.5


def test_an_earlier_due_moment_wakes_somebody(redis: Redis, ledger: Ledger) -> None:
    """A dispatcher sleeps until the next due moment; should an earlier one come up, it is woken."""
    enqueue(ledger, "a", "b")
    batch, (one, other) = take(ledger)
    ledger.record(batch, [transitions.repoll(one, Heard("pending"), in_s=100)])
    ledger.claim("ph", limit=1)
    redis.delete(f"{PH}wake")
    ledger.record(batch, [transitions.repoll(other, Heard("pending"), in_s=1)])
    assert redis.llen(f"{PH}wake") == 1


def test_a_nudge_makes_due_now_and_only_who_waits_to_be_polled(ledger: Ledger) -> None:
    enqueue(ledger, "a", "b")
    batch, (one, _) = take(ledger)
    ledger.record(batch, [transitions.repoll(one, Heard("pending"), in_s=600)])
    assert ledger.claim("ph", limit=64).batches == ()
    assert ledger.nudge("ph", ["a", "b", "unknown"]) == [True, False, False]
    assert ledger.claim("ph", limit=64).batches[0].signature_ids == ("a",)


def test_a_nudge_in_some_seconds_never_makes_later(ledger: Ledger) -> None:
    enqueue(ledger, "a", "b")
    batch, (soon, late) = take(ledger)
    ledger.record(batch, [transitions.repoll(soon, Heard("pending"), in_s=5)])
    ledger.record(batch, [transitions.repoll(late, Heard("pending"), in_s=600)])
    assert ledger.nudge("ph", ["a", "b"], in_s=60) == [True, True]
    dues = [due_in_s(ledger, name) for name in ("a", "b")]
    assert 0 < dues[0] <= 5
    assert 50 < dues[1] <= 60


def test_one_that_is_nudged_while_it_is_polled_is_polled_again_after_a_null(ledger: Ledger) -> None:
    """The call may have been answered before the result was there."""
    enqueue(ledger, "a", "b")
    batch, (one, other) = take(ledger)
    assert ledger.nudge("ph", ["a"]) == [False]
    assert ledger.nudge("ph", ["b"], in_s=1) == [False]
    for each in (one, other):
        ledger.record(batch, [transitions.repoll(each, Heard("pending"), in_s=600)])
    (again,) = ledger.claim("ph", limit=64).batches
    assert again.signature_ids == ("a",)
    (one,) = ledger.load(again)
    ledger.record(again, [transitions.repoll(one, Heard("pending"), in_s=600)])
    assert ledger.claim("ph", limit=64).batches == ()


def test_a_nudge_while_it_is_polled_changes_no_countdown_after_a_fault(ledger: Ledger) -> None:
    enqueue(ledger, "a")
    batch, (one,) = take(ledger)
    ledger.nudge("ph", ["a"])
    ledger.record(batch, [transitions.repoll(one, Heard("transient_fault"), in_s=600, event="fault")])
    assert ledger.claim("ph", limit=64).batches == ()


def test_a_nudge_of_one_past_its_poll_leaves_nothing_behind(redis: Redis, ledger: Ledger) -> None:
    enqueue(ledger, "a")
    batch, (one,) = take(ledger)
    ledger.nudge("ph", ["a"])
    assert redis.hget(f"{PH}v:a", Field.NUDGED) == b"1"
    ledger.record(
        batch, [transitions.settle(one, Heard("result"), overall_result="PASS", error_code="SUCCESS")]
    )
    ledger.nudge("ph", ["a"])
    assert redis.hget(f"{PH}v:a", Field.NUDGED) is None


def due_in_s(ledger: Ledger, name: str) -> float:
    status = ledger.status("ph", name)
    assert status is not None
    assert status.due_at_ms is not None
    return (status.due_at_ms - status.now_ms) / 1000


def story_of(ledger: Ledger, *causes: str) -> list[str]:
    """The timeline of one whose tries fail like this, one after the other."""
    enqueue(ledger, "a")
    fail(ledger, *causes)
    return [event.detail for event in timeline(ledger)]


def fail(ledger: Ledger, *causes: str) -> None:
    for cause in causes:
        batch, (one,) = take(ledger)
        ledger.record(batch, [transitions.retry(one, in_s=0, cause=cause)])


def timeline(ledger: Ledger) -> tuple[Event, ...]:
    status = ledger.status("ph", "a")
    assert status is not None
    return status.timeline


def quarantined_and_retried(ledger: Ledger, redis: Redis) -> None:
    batch, (one,) = take(ledger)
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE", detail="data.x")])
    assert Quarantine(redis, who="maria").retry("ph", ["a"]) == [True]


def test_every_fault_of_the_same_kind_can_be_read_back_with_its_worker(ledger: Ledger, redis: Redis) -> None:
    enqueue(ledger, "a")
    for number in range(32):
        batch = ledger.claim("ph", limit=1).batches[0]
        other = Ledger(redis, worker=f"w{number}")
        (one,) = other.load(batch)
        other.record(batch, [transitions.retry(one, in_s=0, cause="HTTP_500")])
    told = timeline(ledger)
    assert [(event.name, event.detail, event.worker) for event in told] == [
        ("fault", "HTTP_500", f"w{number}") for number in range(32)
    ]


def test_faults_that_come_when_there_is_no_room_are_counted(ledger: Ledger) -> None:
    told = story_of(ledger, *["EVIDENCE_UNAVAILABLE", "IMAGE_UNAVAILABLE"] * 40)
    assert told == [
        *["EVIDENCE_UNAVAILABLE", "IMAGE_UNAVAILABLE"] * 15,
        "EVIDENCE_UNAVAILABLE x25",
        "IMAGE_UNAVAILABLE x25",
    ]


def test_no_number_of_faults_pushes_out_what_was_done_with_a_verification(
    ledger: Ledger, redis: Redis
) -> None:
    """Of faults that all differ the oldest go, and a line says how many they were, since when and until when."""
    enqueue(ledger, "a")
    fail(ledger, "BEFORE")
    quarantined_and_retried(ledger, redis)
    fail(ledger, *(f"CODE_{number}" for number in range(100)), "LAST", "LAST", "LAST")
    batch, (one,) = take(ledger)
    ledger.record(
        batch, [transitions.settle(one, Heard("result"), overall_result="PASS", error_code="SUCCESS")]
    )

    left_out, *others = timeline(ledger)

    assert [event.name for event in others if event.name != "fault"] == [
        "refused",
        "quarantined",
        "retried",
        "settled",
    ]
    assert others[2].worker == "maria"
    faults = [event.detail for event in others if event.name == "fault"]
    assert faults == [*(f"CODE_{number}" for number in range(70, 100)), "LAST", "LAST x2"]
    # BEFORE, and 70 codes.
    assert left_out.name == "left_out"
    kind, times, _, within_s, _ = left_out.detail.split()
    assert (kind, times) == ("faults", "x71")
    assert left_out.at_ms + float(within_s) * 1000 <= others[3].at_ms
    assert float(within_s) > 0
    moments = [event.at_ms for event in (left_out, *others)]
    assert moments == sorted(moments)


def test_what_counts_many_faults_is_left_out_as_many(ledger: Ledger) -> None:
    enqueue(ledger, "a")
    fail(ledger, *["OLD"] * 9, *(f"CODE_{number}" for number in range(32)))
    assert timeline(ledger)[0].detail.startswith("faults x9 within ")


def test_what_was_done_is_bounded_too_and_what_is_left_out_is_counted(ledger: Ledger, redis: Redis) -> None:
    enqueue(ledger, "a")
    fail(ledger, "FIRST")
    for _ in range(30):
        quarantined_and_retried(ledger, redis)
    first, left_out, *others = timeline(ledger)
    assert (first.name, first.detail) == ("fault", "FIRST")
    assert (left_out.name, left_out.detail.split()[:2]) == ("left_out", ["steps", "x26"])
    assert len(others) == 64
    assert others[-1].name == "retried"


def test_a_timeline_that_is_shortened_is_forgotten_when_it_was_to_be(ledger: Ledger, redis: Redis) -> None:
    """What a worker may still write after the end keeps nothing for ever."""
    enqueue(ledger, "a")
    fail(ledger, *(f"CODE_{number}" for number in range(32)))
    redis.pexpire(f"{PH}f:a", 60_000)
    fail(ledger, "ONE_MORE")
    assert timeline(ledger)[0].name == "left_out"
    assert 0 < redis.pttl(f"{PH}f:a") <= 60_000


def test_a_lease_that_ended_names_the_worker_that_held_it(ledger: Ledger, redis: Redis) -> None:
    enqueue(ledger, "a")
    take(ledger)
    lapse_leases(redis)
    # Whoever notices is another one; and what nobody had started, nobody held.
    other = Ledger(redis, worker="w2")
    other.claim("ph", limit=1)
    lapse_leases(redis)
    other.claim("ph", limit=1)
    assert [(event.name, event.detail, event.worker) for event in timeline(ledger)] == [
        ("lease_expired", "polling", "w1"),
        ("lease_expired", "polling", ""),
    ]


def test_who_dies_of_a_verification_stands_in_its_quarantine(ledger: Ledger, redis: Redis) -> None:
    enqueue(ledger, "a")
    for number in range(MOST_STARTS):
        batch = ledger.claim("ph", limit=1).batches[0]
        Ledger(redis, worker=f"w{number}/x").load(batch)
        lapse_leases(redis)
    ledger.claim("ph", limit=1)
    assert [(event.name, event.worker) for event in timeline(ledger)] == [
        *(("lease_expired", f"w{number}/x") for number in range(MOST_STARTS - 1)),
        ("quarantined", f"w{MOST_STARTS - 1}/x"),
    ]


def test_a_worker_with_a_long_name_costs_no_more_memory(redis: Redis) -> None:
    """One long value, and Redis takes a hash apart for good."""
    ledger = Ledger(redis, worker="4711@" + "a-very-long-name-of-a-host" * 5)
    enqueue(ledger, "a")
    batch, (one,) = take(ledger)
    assert redis.object("encoding", f"{PH}v:a") == b"listpack"
    assert ledger.renew(batch, ["a"]) == 1
    assert ledger.record(batch, [transitions.repoll(one, Heard("pending"), in_s=0)]) == [
        Recorded(written=True)
    ]


def test_a_lease_that_has_ended_is_told_and_is_the_oldest_due(ledger: Ledger, redis: Redis) -> None:
    """Where no worker is left to take it back, somebody should hear of it."""
    enqueue(ledger, "a", "b")
    take(ledger)
    counts = Stats(redis).counts("ph")
    assert (counts.in_flight, counts.lapsed, counts.oldest_due_s) == (2, 0, 0.0)
    redis.zincrby(f"{PH}leased", -(20 + 90) * 1000, "a")
    counts = Stats(redis).counts("ph")
    assert (counts.in_flight, counts.lapsed) == (2, 1)
    assert 89 < counts.oldest_due_s < 100


def test_a_fault_that_comes_again_and_again_is_counted_once_there_is_no_room(ledger: Ledger) -> None:
    many = ["EVIDENCE_UNAVAILABLE"] * 80
    left_out, *others = story_of(ledger, "IMAGE_UNAVAILABLE", *many, "IMAGE_UNAVAILABLE")
    assert left_out.startswith("faults x1 within ")
    assert others == [*many[:30], "EVIDENCE_UNAVAILABLE x50", "IMAGE_UNAVAILABLE"]


def test_of_those_that_were_in_many_crashes_one_at_a_time_is_under_way(ledger: Ledger, redis: Redis) -> None:
    """A crash takes all that its process holds: whoever is claimed with the killer would be quarantined with it."""
    enqueue(ledger, "killer", "victim")
    for _ in range(4):
        for batch in ledger.claim("ph", limit=64).batches:
            ledger.load(batch)
        let_leases_lapse(redis)
    (suspect,) = ledger.claim("ph", limit=64).batches
    (first,) = ledger.load(suspect)
    make_due(redis)
    assert ledger.claim("ph", limit=64).batches == ()
    # It comes to an outcome: the other one may go.
    ledger.record(suspect, [transitions.repoll(first, Heard("pending"), in_s=600)])
    make_due(redis, but_not=first.signature_id)
    (other,) = ledger.claim("ph", limit=64).batches
    assert other.signature_ids != suspect.signature_ids
    # It kills its worker: that is the fifth time, and the first one is not kept back by it.
    ledger.load(other)
    let_leases_lapse(redis)
    make_due(redis)
    assert [batch.signature_ids for batch in ledger.claim("ph", limit=64).batches] == [suspect.signature_ids]
    assert redis.zrange(f"{prefix('ph')}quarantine", 0, -1) == [other.signature_ids[0].encode()]


def let_leases_lapse(redis: Redis) -> None:
    """All leases end now, and so does what lasts as long as one."""
    for member, _ in redis.zscan_iter(f"{prefix('ph')}leased"):
        redis.zadd(f"{prefix('ph')}leased", {member: 0})


def make_due(redis: Redis, but_not: str = "") -> None:
    for member, _ in redis.zscan_iter(f"{prefix('ph')}due:polling"):
        if member.decode() != but_not:
            redis.zadd(f"{prefix('ph')}due:polling", {member: 0})


def test_the_commands_of_a_claim_do_not_grow_with_the_number_waiting(redis: Redis, ledger: Ledger) -> None:
    """Every command of a claim costs log n at most, and their number depends on what is claimed alone."""

    def commands_of_a_claim() -> dict[str, int]:
        redis.delete(f"{prefix('ph')}clock")  # which is noted once a second
        # The first claim of a minute copies the counters, and each that is compared is one.
        for copy in redis.keys("ekyc:{ph}:counts:*"):
            redis.delete(copy)
        redis.config_resetstat()
        ledger.claim("ph", limit=1)
        stats = redis.info("commandstats")
        return {name: row["calls"] for name, row in stats.items() if name != "cmdstat_info"}

    ledger.hold("ph", for_s=600, reason="VENDOR_BUSY")
    enqueue(ledger, "first")
    ledger.claim("ph", limit=1)  # so that Redis has the script
    few = commands_of_a_claim()
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(5000)])
    many = commands_of_a_claim()
    assert many == few
    assert not {"cmdstat_keys", "cmdstat_scan", "cmdstat_zscan"} & set(many)


#: Of the table that leads to a key: it has two pointers a key at the most.
TABLE_BYTES = 16


def test_a_waiting_verification_costs_at_most_400_bytes_of_redis(redis: Redis, ledger: Ledger) -> None:
    """Promise 3, without context, after polls that were answered null with a transaction id of the usual length.

    It asks for the size of each key. What the process uses also holds buffers of other connections and what a flush
    has not freed yet.
    """
    number = 4096
    enqueue(ledger, *(f"{index:016x}" for index in range(number)))
    while batches := ledger.claim("ph", limit=64).batches:
        for batch in batches:
            loaded = ledger.load(batch)
            null = [
                transitions.repoll(one, Heard("pending", "d3fde1547eeaf226", nulls=1), in_s=3600)
                for one in loaded
            ]
            ledger.record(batch, null)
    with redis.pipeline(transaction=False) as pipe:
        for key in redis.scan_iter(count=1000):
            pipe.memory_usage(key, samples=0)
        sizes = pipe.execute()
    assert len(sizes) > number, "each has a hash"
    each = sum(size + TABLE_BYTES for size in sizes) / number
    assert 100 < each <= 400


def test_a_redis_that_is_down_is_one_clear_line() -> None:
    ledger = Ledger(connect("redis://127.0.0.1:1/0", timeout_s=0.2))
    with pytest.raises(LedgerUnavailable, match="Redis does not answer"):
        ledger.enqueue([EnqueueRequest("a", "ph")])


def test_a_redis_that_cannot_write_is_one_clear_line(redis: Redis, ledger: Ledger) -> None:
    """Out of memory under `noeviction`: the command fails, and nothing is half done."""
    redis.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(LedgerUnavailable, match=r"\(O"):
            ledger.enqueue([EnqueueRequest(f"v{number}", "ph", "x" * 4000) for number in range(2000)])
    finally:
        redis.config_set("maxmemory", "0")
    counts = Stats(redis).counts("ph")
    assert counts.enqueued == counts.waiting


def test_many_different_counters_stop_no_claim(redis: Redis) -> None:
    """A vendor that invents an error code for each person makes as many counters."""
    ledger = Ledger(redis)
    ledger.enqueue([EnqueueRequest("one", "ph")])
    redis.hset("ekyc:{ph}:counts", mapping={f"error_code:E{number}": 1 for number in range(10_000)})
    assert len(ledger.claim("ph", limit=1).batches) == 1
    (copy,) = redis.keys("ekyc:{ph}:counts:*")
    # Also `enqueued`, `at`, and how late the claim was.
    assert redis.hlen(copy) == 10_003


def worker_starts(ledger: Ledger, folder: Path, *regions: str) -> None:
    """What a worker does about identities when it starts."""
    evidence = Evidence(folder.as_uri(), creates=False)
    identity = LedgerIdentity(ledger, evidence)
    identity.check_store(regions)
    evidence.check()
    identity.establish(regions)


def test_a_ledger_with_evidence_is_not_used_with_another_store(ledger: Ledger, tmp_path: Path) -> None:
    worker_starts(ledger, tmp_path / "first", "ph")
    for make in (False, True):
        if make:
            (tmp_path / "second").mkdir()
        with pytest.raises(EvidenceUnsuitable, match="first"):
            worker_starts(ledger, tmp_path / "second", "sg", "ph")
    assert not list((tmp_path / "second").iterdir())
    with pytest.raises(EvidenceUnsuitable):
        LedgerIdentity(ledger, Evidence((tmp_path / "second").as_uri())).establish(["ph"])


def test_an_identity_that_no_store_has_noted_is_noted_by_the_next_worker(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A worker died after it created the identity; then after it noted it, as workers of earlier releases do."""
    ledger.identify("ph", new="0123456789abcdef")
    worker_starts(ledger, tmp_path / "evidence", "ph")
    url = (tmp_path / "evidence").as_uri()
    assert ledger.identify("ph").store == url
    Evidence(url).keep_ledger("sg", ledger.identify("sg", new="fedcba9876543210").id)
    worker_starts(ledger, tmp_path / "evidence", "ph", "sg")
    assert ledger.identify("sg").store == url


def test_a_ledger_that_is_not_accepted_yet_does_not_know_the_store(
    ledger: Ledger, redis: Redis, tmp_path: Path
) -> None:
    worker_starts(ledger, tmp_path / "evidence", "ph")
    redis.flushall()
    worker_starts(ledger, tmp_path / "evidence", "ph")
    ledger.identify("ph", new="0123456789abcdef")
    worker_starts(ledger, tmp_path / "evidence", "ph")
    assert ledger.identify("ph").store == ""


def test_workers_that_start_at_once_all_start(ledger: Ledger, tmp_path: Path) -> None:
    for round_ in range(5):
        barrier = threading.Barrier(8)
        region, faults = ("ph", "sg", "th", "my", "vn")[round_], []

        def start(region: str = region, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            try:
                worker_starts(ledger, tmp_path / "evidence", region)
            except EkycError as error:
                faults.append(error)  # noqa: B023 - the threads end in this round

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults
