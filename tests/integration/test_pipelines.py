"""Pipelines share a region: what each may claim, and that its verifications are found wherever they wait."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from worker.enqueue_request import DEFAULT_PIPELINE
from worker.ledger import Ledger, Quarantine, Stats, transitions
from worker.ledger.keys import pipelines
from worker.ledger.models import Batch, Stage
from worker.ledger.pages import Filter, Position, page
from worker.ledger.scripts import prefix
from worker.ledger.search import Wanted, search
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger.models import Claim, Verification
    from worker.ledger.transitions import Transition

pytestmark = pytest.mark.every_server

PH = prefix("ph")

#: As in `common.lua`.
MAX_PIPELINES = 64


def enqueue(ledger: Ledger, pipeline: str, *ids: str) -> None:
    ledger.enqueue([EnqueueRequest(each, "ph", pipeline=pipeline) for each in ids])


def fill(ledger: Ledger, pipeline: str, number: int) -> None:
    enqueue(ledger, pipeline, *(f"{pipeline}-{index}" for index in range(number)))


def taken(claim: Claim) -> list[str]:
    return [each for batch in claim.batches for each in batch.signature_ids]


def given_by(claim: Claim) -> Counter[str]:
    """How many each pipeline gave, for ids made by `fill`."""
    return Counter(each.rpartition("-")[0] for each in taken(claim))


def take(ledger: Ledger) -> tuple[Batch, Verification]:
    (batch,) = ledger.claim("ph", limit=1).batches
    (verification,) = ledger.load(batch)
    return batch, verification


def due_at(ledger: Ledger, signature_id: str) -> int | None:
    status = ledger.status("ph", signature_id)
    assert status is not None
    return status.due_at_ms


def in_sets(redis: Redis, signature_id: str) -> list[str]:
    names = sorted(key.decode().removeprefix(PH) for key in redis.scan_iter(f"{PH}due:*"))
    return [name for name in names if redis.zscore(PH + name, signature_id) is not None]


def null(verification: Verification, in_s: float = 3600.0) -> Transition:
    return transitions.repoll(verification, Heard("pending", nulls=1), in_s=in_s)


# What each pipeline may claim.


def test_a_backfill_leaves_half_of_each_claim_to_another_pipeline(ledger: Ledger) -> None:
    fill(ledger, "backfill", 200)
    fill(ledger, "shop", 200)
    assert given_by(ledger.claim("ph", limit=64)) == {"backfill": 32, "shop": 32}


def test_what_does_not_divide_goes_by_turns(ledger: Ledger) -> None:
    for pipeline in ("a", "b", "c"):
        fill(ledger, pipeline, 30)
    assert [given_by(ledger.claim("ph", limit=4)) for _ in range(3)] == [
        {"a": 2, "b": 1, "c": 1},
        {"a": 1, "b": 2, "c": 1},
        {"a": 1, "b": 1, "c": 2},
    ]


def test_claims_of_one_go_round(ledger: Ledger) -> None:
    fill(ledger, DEFAULT_PIPELINE, 10)
    fill(ledger, "a", 10)
    fill(ledger, "b", 10)
    round_ = [*given_by(ledger.claim("ph", limit=1))], [*given_by(ledger.claim("ph", limit=1))]
    third = [*given_by(ledger.claim("ph", limit=1))]
    assert sorted([*round_[0], *round_[1], *third]) == ["a", "b", DEFAULT_PIPELINE]
    assert ([*given_by(ledger.claim("ph", limit=1))], [*given_by(ledger.claim("ph", limit=1))]) == round_


def test_the_turn_is_kept_in_redis_for_all_dispatchers(redis: Redis) -> None:
    dispatchers = [Ledger(redis) for _ in range(4)]
    fill(dispatchers[0], "a", 10)
    fill(dispatchers[0], "b", 10)
    took = Counter[str]()
    for dispatcher in dispatchers:
        took += given_by(dispatcher.claim("ph", limit=1))
    assert took == {"a": 2, "b": 2}


def test_a_pipeline_that_comes_and_goes_gets_no_more_than_its_turn(ledger: Ledger) -> None:
    """Its set is empty after each claim, so it joins the turns again each time: at their end."""
    fill(ledger, "backfill", 100)
    took = Counter[str]()
    for number in range(20):
        enqueue(ledger, "shop", f"shop-{number}")
        took += given_by(ledger.claim("ph", limit=1))
    assert took == {"backfill": 10, "shop": 10}


def test_what_one_pipeline_does_not_need_another_gets(ledger: Ledger) -> None:
    fill(ledger, "backfill", 200)
    fill(ledger, "shop", 3)
    assert given_by(ledger.claim("ph", limit=64)) == {"backfill": 61, "shop": 3}


def test_the_rate_is_shared(redis: Redis) -> None:
    """A tenth of a second's calls may be claimed at once."""
    ledger = Ledger(redis, rate=40)
    fill(ledger, "backfill", 100)
    fill(ledger, "shop", 100)
    assert given_by(ledger.claim("ph", limit=64)) == {"backfill": 2, "shop": 2}


def test_a_due_verification_of_an_older_ledger_is_of_the_default_pipeline(ledger: Ledger) -> None:
    fill(ledger, DEFAULT_PIPELINE, 100)
    fill(ledger, "shop", 1)
    assert given_by(ledger.claim("ph", limit=10)) == {DEFAULT_PIPELINE: 9, "shop": 1}


def test_images_are_shared_too(ledger: Ledger) -> None:
    for pipeline in ("backfill", "shop"):
        fill(ledger, pipeline, 4)
    (batch,) = ledger.claim("ph", limit=8).batches
    result = Heard("result")
    ledger.record(
        batch,
        [
            transitions.settle(one, result, overall_result="PASS", error_code="SUCCESS")
            for one in ledger.load(batch)
        ],
    )
    archiving = Batch(batch.id, "ph", Stage.ARCHIVING, batch.signature_ids)
    ledger.record(
        archiving,
        [transitions.retry(one, in_s=0.0, cause="IMAGE_UNAVAILABLE") for one in ledger.load(archiving)],
    )
    claim = ledger.claim("ph", limit=4)
    assert [batch.stage for batch in claim.batches] == [Stage.ARCHIVING]
    assert given_by(claim) == {"backfill": 2, "shop": 2}


# Without pipelines.


def test_a_fleet_without_pipelines_has_no_key_and_no_command_for_them(redis: Redis, ledger: Ledger) -> None:
    enqueue(ledger, "shop", "shop-0")
    batch, one = take(ledger)
    ledger.record(batch, [null(one)])
    with_pipelines = _commands_of_a_claim(redis, ledger)
    redis.flushdb()
    enqueue(ledger, DEFAULT_PIPELINE, "a")
    batch, one = take(ledger)
    ledger.record(batch, [null(one)])
    without = _commands_of_a_claim(redis, ledger)
    assert "zcount" not in without
    # A look at each of the sets that there may be, and at `leased`.
    assert (without["zrange"], with_pipelines["zrange"]) == (4, 5)
    assert in_sets(redis, "a") == ["due:polling"]
    assert redis.hkeys(f"{PH}clock") == [b"seen"]
    assert not redis.hexists(f"{PH}v:a", "P")


def _commands_of_a_claim(redis: Redis, ledger: Ledger) -> dict[str, int]:
    redis.config_resetstat()
    assert not ledger.claim("ph", limit=1).batches
    stats = redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}


def test_once_nothing_of_a_pipeline_waits_a_claim_does_not_look_for_it(redis: Redis, ledger: Ledger) -> None:
    enqueue(ledger, "shop", "a")
    assert pipelines(redis, "ph", Stage.POLLING) == ("shop",)
    batch, one = take(ledger)
    assert redis.hkeys(f"{PH}clock") == [b"seen"]
    ledger.record(batch, [null(one)])
    assert pipelines(redis, "ph", Stage.POLLING) == ("shop",)


# More pipelines than may have a set.


def test_the_65th_pipeline_shares_with_the_default_one(redis: Redis, ledger: Ledger) -> None:
    for number in range(MAX_PIPELINES + 1):
        enqueue(ledger, f"p{number}", f"id{number}")
    assert len(pipelines(redis, "ph", Stage.POLLING)) == MAX_PIPELINES
    late = f"id{MAX_PIPELINES}"
    assert in_sets(redis, late) == ["due:polling"]
    status = ledger.status("ph", late)
    assert status is not None
    assert (status.verification.pipeline, status.due_at_ms) == (
        f"p{MAX_PIPELINES}",
        status.verification.enqueued_at_ms,
    )
    assert len(taken(ledger.claim("ph", limit=MAX_PIPELINES + 1))) == MAX_PIPELINES + 1


def test_it_has_a_set_of_its_own_as_soon_as_there_is_room(redis: Redis, ledger: Ledger) -> None:
    for number in range(MAX_PIPELINES + 1):
        enqueue(ledger, f"p{number}", f"id{number}")
    (batch,) = ledger.claim("ph", limit=MAX_PIPELINES + 1).batches
    late = f"id{MAX_PIPELINES}"
    (one,) = ledger.load(Batch(batch.id, "ph", Stage.POLLING, (late,)))
    ledger.record(batch, [null(one)])
    assert in_sets(redis, late) == [f"due:polling:p{MAX_PIPELINES}"]


# Wherever it waits, it is found.


def test_each_way_back_leads_to_the_set_of_its_pipeline(redis: Redis, ledger: Ledger) -> None:
    """A countdown, a batch given back, a lease that ended, a hold, and a person who retries it."""
    enqueue(ledger, "shop", "a")
    own = ["due:polling:shop"]
    batch, one = take(ledger)
    ledger.record(batch, [null(one, in_s=0.0)])
    assert in_sets(redis, "a") == own
    batch, one = take(ledger)
    ledger.record(batch, [transitions.release(one)])
    assert in_sets(redis, "a") == own
    batch, _ = take(ledger)
    redis.zadd(f"{PH}leased", {"a": 1})
    ledger.hold("ph", for_s=60, reason="VENDOR_BUSY")
    assert not ledger.claim("ph", limit=1).batches
    assert in_sets(redis, "a") == own
    ledger.resume("ph")
    (batch,) = ledger.claim("ph", limit=1).batches
    ledger.hold("ph", for_s=60, reason="VENDOR_BUSY")
    assert not ledger.load(batch)
    assert in_sets(redis, "a") == own
    ledger.resume("ph")
    batch, one = take(ledger)
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE")])
    assert in_sets(redis, "a") == []
    assert Quarantine(redis, who="me").retry("ph", ["a"]) == [True]
    assert in_sets(redis, "a") == own


def test_a_nudge_finds_it_in_the_set_of_its_pipeline(redis: Redis, ledger: Ledger) -> None:
    enqueue(ledger, "shop", "a")
    batch, one = take(ledger)
    ledger.record(batch, [null(one)])
    before = due_at(ledger, "a")
    assert ledger.nudge("ph", ["a", "unknown"]) == [True, False]
    after = due_at(ledger, "a")
    assert before is not None
    assert after is not None
    assert before - after > 3_000_000
    assert in_sets(redis, "a") == ["due:polling:shop"]
    assert taken(ledger.claim("ph", limit=1)) == ["a"]


def test_what_a_worker_of_an_older_release_puts_back_is_found_too(redis: Redis, ledger: Ledger) -> None:
    """It knows the default set alone. The pipeline may have a set at the same time."""
    enqueue(ledger, "shop", "a", "b")
    redis.zrem(f"{PH}due:polling:shop", "a")
    redis.zadd(f"{PH}due:polling", {"a": 10**14})
    assert due_at(ledger, "a") == 10**14
    assert ledger.nudge("ph", ["a"]) == [True]
    assert in_sets(redis, "a") == ["due:polling"]
    assert sorted(taken(ledger.claim("ph", limit=2))) == ["a", "b"]


def test_a_dispatcher_sleeps_until_the_first_of_any_pipeline_is_due(ledger: Ledger) -> None:
    enqueue(ledger, "shop", "a")
    batch, one = take(ledger)
    ledger.record(batch, [null(one, in_s=4.0)])
    assert 0.0 < ledger.claim("ph", limit=1).sleep_s <= 4.0


def test_a_dispatcher_that_sleeps_wakes_for_a_fresh_one(ledger: Ledger) -> None:
    ledger.claim("ph", limit=1)
    enqueue(ledger, "shop", "a")
    assert ledger.wait(["ph"], timeout_s=5.0) == "ph"


def test_a_jump_of_the_clock_is_undone_in_every_set(redis: Redis, ledger: Ledger) -> None:
    enqueue(ledger, "shop", "a")
    batch, one = take(ledger)
    redis.hset(f"{PH}clock", "ahead", str(7_200_000))
    ledger.record(batch, [null(one, in_s=60.0)])
    ledger.claim("ph", limit=1)
    in_ms = (due_at(ledger, "a") or 0) - round(time.time() * 1000)
    assert 0 < in_ms < 120_000


def test_the_counts_are_of_all_sets_and_tell_the_pipelines_apart(redis: Redis, ledger: Ledger) -> None:
    fill(ledger, DEFAULT_PIPELINE, 3)
    fill(ledger, "shop", 2)
    enqueue(ledger, "late", "late-0")
    redis.zadd(f"{PH}due:polling:shop", {"shop-0": 1})
    redis.zadd(f"{PH}due:polling:late", {"late-0": 10**14})
    counts = Stats(redis).counts("ph")
    assert counts.pipelines == {DEFAULT_PIPELINE: 3, "shop": 2, "late": 1}
    assert (counts.waiting, counts.stages["polling"], counts.due["polling"]) == (6, 6, 5)
    assert counts.oldest_due_s > 1_000_000
    assert Stats(redis).total(["ph", "sg"]).pipelines == counts.pipelines


@pytest.mark.parametrize("wanted", ["shop", DEFAULT_PIPELINE, None])
def test_lists_read_every_set_and_filter_by_pipeline(
    redis: Redis, ledger: Ledger, wanted: str | None
) -> None:
    fill(ledger, DEFAULT_PIPELINE, 3)
    fill(ledger, "shop", 4)
    fill(ledger, "mill", 2)
    # In the default one's set, as that of a 65th pipeline.
    redis.zrem(f"{PH}due:polling:shop", "shop-3")
    redis.zadd(f"{PH}due:polling", {"shop-3": 1})
    held = [one for batch in ledger.claim("ph", limit=3).batches for one in batch.signature_ids]
    assert len(held) == 3
    expected = sorted(
        f"{name}-{number}"
        for name, many in {DEFAULT_PIPELINE: 3, "shop": 4, "mill": 2}.items()
        if wanted in {None, name}
        for number in range(many)
    )
    for stage in (Stage.POLLING, None):
        found = page(redis, ["ph"], Filter(stage=stage, pipeline=wanted), Position(), 100)
        assert sorted(one.signature_id for one in found.verifications) == expected
        stages = frozenset({stage}) if stage else None
        listed = search(redis, "ph", Wanted(stages=stages, pipeline=wanted), pytest.fail)
        assert sorted(one.signature_id for one in listed) == expected


def test_pages_go_on_where_they_were_when_pipelines_come_and_go(redis: Redis, ledger: Ledger) -> None:
    """A page ends within the set of one pipeline; then another one joins before it, and its own is gone."""
    fill(ledger, "b", 3)
    fill(ledger, "d", 3)
    wanted = Filter(stage=Stage.POLLING)
    first = page(redis, ["ph"], wanted, Position(), 2)
    assert [one.signature_id for one in first.verifications] == ["b-0", "b-1"]
    fill(ledger, "a", 1)
    fill(ledger, "c", 1)
    assert first.following is not None
    second = page(redis, ["ph"], wanted, first.following, 2)
    assert [one.signature_id for one in second.verifications] == ["b-2", "c-0"]
    redis.delete(f"{PH}due:polling:c")
    ledger.claim("ph", limit=1)
    assert "c" not in pipelines(redis, "ph", Stage.POLLING)
    assert second.following is not None
    third = page(redis, ["ph"], wanted, second.following, 10)
    assert [one.signature_id for one in third.verifications][:3] == ["d-0", "d-1", "d-2"]


def test_a_known_verification_keeps_its_pipeline(redis: Redis, ledger: Ledger) -> None:
    enqueue(ledger, "shop", "a")
    enqueue(ledger, "mill", "a", "b")
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.verification.pipeline == "shop"
    assert (in_sets(redis, "a"), in_sets(redis, "b")) == (["due:polling:shop"], ["due:polling:mill"])


def test_one_call_takes_several_pipelines_and_answers_in_its_order(ledger: Ledger) -> None:
    given = [("a", "shop"), ("b", "mill"), ("a", "mill"), ("c", "shop")]
    requests = [EnqueueRequest(signature_id, "ph", pipeline=pipeline) for signature_id, pipeline in given]
    assert ledger.enqueue(requests) == [True, True, False, True]
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.verification.pipeline == "shop"
