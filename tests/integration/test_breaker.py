"""The breaker: a region whose vendor is down rests, is tried by one verification, and opens when that is answered."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from worker.advance.answers import AccountFault
from worker.advance.token_store import TokenStore
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard
from worker.policy.backoff import UNAUTHORISED, VENDOR_DOWN
from worker.runtime.batch_runner import give_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from worker.ledger.models import Batch, Recorded, Verification
    from worker.ledger.transitions import Transition

PH = prefix("ph")


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """Ten wait."""
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(10)])
    return ledger


def take(ledger: Ledger, limit: int = 64) -> tuple[Batch, list[Verification]]:
    (batch,) = ledger.claim("ph", limit=limit).batches
    return batch, ledger.load(batch)


def answer(ledger: Ledger, batch: Batch, ones: list[Verification], kind: str) -> list[Recorded]:
    trips = {
        "transient_fault": replace(VENDOR_DOWN, lasting_s=0.0),
        "unauthorised": replace(UNAUTHORISED, reason="IAM_FAILED"),
        "down": VENDOR_DOWN,
    }
    trip = trips.get(kind)
    return ledger.record(
        batch, [replace(transitions.repoll(one, Heard(kind), in_s=0), trip=trip) for one in ones]
    )


def held_s(redis: Redis) -> float:
    """How long the region still rests."""
    counts = Stats(redis).counts("ph")
    now_s, micros = redis.time()
    return (
        sum(hold.until_ms for hold in counts.holds) / 1000 - (now_s + micros / 1e6) if counts.holds else 0.0
    )


def end_hold(redis: Redis) -> None:
    redis.delete(f"{PH}hold")


def test_a_few_failures_in_a_row_let_the_region_rest(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones[:4], "transient_fault")
    assert Stats(redis).counts("ph").holds == ()
    (recorded,) = answer(ledger, batch, ones[4:5], "transient_fault")
    (hold,) = Stats(redis).counts("ph").holds
    assert hold.reason == "VENDOR_DOWN"
    # Who tripped it is told until when, for the log.
    assert recorded.held_until_ms == hold.until_ms
    assert 1 < held_s(redis) <= 5


def test_an_answer_in_between_begins_the_count_anew(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones[:4], "transient_fault")
    answer(ledger, batch, ones[4:5], "pending")
    answer(ledger, batch, ones[5:9], "transient_fault")
    assert Stats(redis).counts("ph").holds == ()


def test_failures_that_come_before_the_answers_of_their_batch_trip_nothing(
    ledger: Ledger, redis: Redis
) -> None:
    """Of a hundred calls at once a fifth fails quickly: no answer lies between them, and the vendor is not down."""
    batch, ones = take(ledger)
    answer(ledger, batch, ones[:8], "down")
    assert Stats(redis).counts("ph").holds == ()
    answer(ledger, batch, ones[8:9], "pending")
    assert redis.hgetall(f"{PH}failing_since") == {}


def test_failures_over_a_second_let_the_region_rest(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones[:8], "down")
    redis.hincrby(f"{PH}failing_since", "VENDOR_DOWN", -1000)
    answer(ledger, batch, ones[8:9], "down")
    (hold,) = Stats(redis).counts("ph").holds
    assert hold.reason == "VENDOR_DOWN"


def test_one_verification_that_always_fails_trips_nothing(redis: Redis) -> None:
    """It is counted once, however often it fails: the others go on."""
    ledger = Ledger(redis)
    ledger.enqueue([EnqueueRequest("bad", "ph")])
    for _ in range(30):
        batch, ones = take(ledger)
        answer(ledger, batch, ones, "transient_fault")
    assert Stats(redis).counts("ph").holds == ()


def test_what_was_under_way_when_it_tripped_does_not_trip_it_again(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    assert held_s(redis) <= 5


def test_after_the_rest_one_verification_tries_the_vendor(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    assert ledger.claim("ph", limit=64).batches == ()
    end_hold(redis)
    probe, (one,) = take(ledger)
    assert ledger.claim("ph", limit=64).batches == ()
    # It fails: a longer rest, at once.
    answer(ledger, probe, [one], "transient_fault")
    assert 5 < held_s(redis) <= 10
    end_hold(redis)
    probe, (one,) = take(ledger)
    # It is answered: everybody goes on.
    answer(ledger, probe, [one], "pending")
    batch, ones = take(ledger)
    assert len(ones) == 10


def test_a_probe_that_is_lost_is_followed_by_another(ledger: Ledger, redis: Redis) -> None:
    """A worker dies with the only verification that may try the vendor: the region is not shut for ever."""
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    end_hold(redis)
    take(ledger)
    redis.hset(f"{PH}health", "probe", 1)
    for member, score in redis.zscan_iter(f"{PH}leased"):
        redis.zincrby(f"{PH}leased", -score, member)
    assert len(ledger.claim("ph", limit=64).batches) == 1


def half_open(ledger: Ledger, redis: Redis) -> tuple[Batch, list[Verification]]:
    """The region's rest is over, and one verification has begun to try the vendor."""
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    end_hold(redis)
    return take(ledger)


@pytest.mark.parametrize(
    "left",
    [
        transitions.release,
        partial(transitions.retry, in_s=600, cause="EVIDENCE_UNAVAILABLE"),
        partial(transitions.quarantine, reason="UNFORESEEN"),
        partial(transitions.give_up, cause="UNFORESEEN"),
    ],
)
def test_a_probe_that_ends_without_an_answer_is_followed_by_another_at_once(
    ledger: Ledger, redis: Redis, left: Callable[[Verification], Transition]
) -> None:
    """It is given back or fails of ours: the region is not shut for a lease, and somebody is woken."""
    probe, (one,) = half_open(ledger, redis)
    assert ledger.claim("ph", limit=64).batches == ()
    redis.delete(f"{PH}wake")
    ledger.record(probe, [left(one)])
    assert redis.llen(f"{PH}wake") == 1
    assert len(take(ledger)[1]) == 1
    assert ledger.claim("ph", limit=64).batches == ()


def test_what_leaves_its_lease_and_is_no_probe_lets_no_second_one_try(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones[:9], "transient_fault")
    end_hold(redis)
    take(ledger)
    ledger.record(batch, [transitions.release(ones[9])])
    assert ledger.claim("ph", limit=64).batches == ()


def test_a_probe_whose_message_cannot_be_sent_is_followed_by_another_at_once(
    ledger: Ledger, redis: Redis
) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    end_hold(redis)
    (probe,) = ledger.claim("ph", limit=64).batches
    give_back(ledger, probe)
    assert len(take(ledger)[1]) == 1


def test_a_probe_that_is_loaded_in_a_rest_is_followed_by_another_after_it(
    ledger: Ledger, redis: Redis
) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    end_hold(redis)
    (probe,) = ledger.claim("ph", limit=64).batches
    ledger.hold("ph", for_s=600, reason="maintenance", who="maria")
    assert ledger.load(probe) == []
    end_hold(redis)
    assert len(take(ledger)[1]) == 1


def test_a_probe_whose_lease_ends_is_followed_by_another_in_the_same_claim(
    ledger: Ledger, redis: Redis
) -> None:
    half_open(ledger, redis)
    for member, score in redis.zscan_iter(f"{PH}leased"):
        redis.zincrby(f"{PH}leased", -score, member)
    assert len(ledger.claim("ph", limit=64).batches) == 1


def test_what_the_vendor_answered_opens_the_breaker_though_it_could_not_be_kept(
    ledger: Ledger, redis: Redis
) -> None:
    probe, (one,) = half_open(ledger, redis)
    retry = transitions.retry(one, in_s=600, cause="EVIDENCE_UNAVAILABLE")
    ledger.record(probe, [replace(retry, answer="result")])
    assert len(take(ledger)[1]) == 9


def test_a_probe_of_a_worker_of_the_release_before_is_waited_for_as_ever(
    ledger: Ledger, redis: Redis
) -> None:
    """It does not say which verification that is: the trial lasts until it is answered, or for a lease."""
    probe, (one,) = half_open(ledger, redis)
    redis.hdel(f"{PH}health", "by")
    ledger.record(probe, [transitions.release(one)])
    assert ledger.claim("ph", limit=64).batches == ()
    redis.hset(f"{PH}health", "probe", 1)
    assert len(take(ledger)[1]) == 1


def test_the_longest_rest_is_a_quarter_of_a_minute(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    for _ in range(8):
        end_hold(redis)
        probe, some = take(ledger)
        answer(ledger, probe, some, "transient_fault")
    assert 10 < held_s(redis) <= 15


def test_other_regions_go_on(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    ledger.enqueue([EnqueueRequest("elsewhere", "sg")])
    assert len(ledger.claim("sg", limit=64).batches) == 1
    assert [hold.region for hold in Stats(redis).total(["ph", "sg"]).holds] == ["ph"]


def test_an_operator_who_resumes_trusts_the_vendor_again(ledger: Ledger) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    assert ledger.resume("ph", who="maria")
    assert len(take(ledger)[1]) == 10


def test_an_operator_who_resumes_has_the_vendor_asked_for_a_token_at_once(
    ledger: Ledger, redis: Redis
) -> None:
    """For some seconds after a refusal nobody asks again, and what it said would order the next rest."""
    tokens = TokenStore(redis)
    tokens.refuse("ph", AccountFault("PARAMETER_ERROR"))
    ledger.hold("ph", for_s=300, reason="TOKEN_PARAMETER_ERROR")
    ledger.resume("ph", who="maria")
    assert tokens.read("ph").refusal is None


def test_one_id_that_is_refused_lets_nobody_rest_and_two_do(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones[:1], "unauthorised")
    assert Stats(redis).counts("ph").holds == ()
    answer(ledger, batch, ones[1:2], "unauthorised")
    (hold,) = Stats(redis).counts("ph").holds
    assert hold.reason == "IAM_FAILED"
    assert held_s(redis) > 50


def test_different_faults_are_counted_apart(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones[:4], "transient_fault")
    answer(ledger, batch, ones[4:5], "unauthorised")
    assert Stats(redis).counts("ph").holds == ()


def test_while_one_verification_tries_the_vendor_nobody_else_is_due(ledger: Ledger, redis: Redis) -> None:
    """Whoever counts what is due to start more workers must not start them in an outage, between two rests."""
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    end_hold(redis)
    redis.hincrby(f"{PH}health", "rest", -6000)
    # Its rest is over: the next one may go, since then, whatever it waited before.
    redis.zadd(f"{PH}due:polling", {"v0": 1})
    counts = Stats(redis).counts("ph")
    assert (counts.due["polling"], counts.waiting) == (1, 10)
    assert 0 < counts.oldest_due_s < 30
    assert [(hold.reason, hold.word, hold.half_open) for hold in counts.holds] == [
        ("VENDOR_DOWN", "VENDOR_DOWN", True)
    ]
    probe, (one,) = take(ledger)
    counts = Stats(redis).counts("ph")
    assert (counts.due["polling"], counts.oldest_due_s, counts.waiting) == (0, 0.0, 9)
    (hold,) = counts.holds
    assert hold.half_open
    assert hold.until_ms > redis.time()[0] * 1000
    # It is answered: the trial is over, and all are due.
    answer(ledger, probe, [one], "pending")
    counts = Stats(redis).counts("ph")
    assert (counts.due["polling"], counts.holds) == (10, ())


def test_a_region_with_nobody_to_try_the_vendor_is_not_told_as_held(ledger: Ledger, redis: Redis) -> None:
    """It may have no verification for days."""
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    end_hold(redis)
    redis.hincrby(f"{PH}health", "rest", -6000)
    for one in ones:
        redis.zadd(f"{PH}due:polling", {one.signature_id: 1e14})
    counts = Stats(redis).counts("ph")
    assert (counts.holds, counts.due["polling"]) == ((), 0)


def test_a_longer_rest_ordered_meanwhile_is_the_one_that_counts(ledger: Ledger, redis: Redis) -> None:
    batch, ones = take(ledger)
    answer(ledger, batch, ones, "transient_fault")
    until_ms = ledger.hold("ph", for_s=600, reason="maintenance", who="maria")
    end_hold(redis)
    assert int(redis.hget(f"{PH}health", "rest") or 0) == until_ms
