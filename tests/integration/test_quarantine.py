"""The quarantine: listed, retried, dropped, and everything a person did can be read back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Quarantine, Stats, transitions
from worker.ledger.models import Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger.models import Batch, Verification


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """Three in quarantine for two reasons, one of them from its archive."""
    ledger.enqueue([EnqueueRequest(name, "ph") for name in ("a", "b", "c", "waits")])
    (batch,) = ledger.claim("ph", limit=64).batches
    by_name = {one.signature_id: one for one in ledger.load(batch)}
    settled = transitions.settle(by_name["c"], Heard("result"), overall_result="PASS", error_code="SUCCESS")
    ledger.record(
        batch,
        [
            transitions.quarantine(
                by_name["a"], reason="UNREADABLE", detail="data: no", heard=Heard("unreadable")
            ),
            transitions.quarantine(by_name["b"], reason="UNREADABLE", heard=Heard("unreadable")),
            settled,
            transitions.repoll(by_name["waits"], Heard("pending", nulls=1), in_s=60),
        ],
    )
    archiving = type(batch)(batch.id, "ph", Stage.ARCHIVING, ("c",))
    (one,) = ledger.load(archiving)
    ledger.record(archiving, [transitions.quarantine(one, reason="EVIDENCE_CONFLICT")])
    return ledger


@pytest.fixture
def quarantine(redis: Redis, ledger: Ledger) -> Quarantine:
    assert ledger
    return Quarantine(redis, who="maria|x")


def test_the_list_says_who_why_and_since_when(quarantine: Quarantine) -> None:
    lines = list(quarantine.listed("ph"))
    assert [(line.signature_id, line.reason, line.polls) for line in lines] == [
        ("a", "UNREADABLE", 1),
        ("b", "UNREADABLE", 1),
        ("c", "EVIDENCE_CONFLICT", 1),
    ]
    assert all(line.since_ms >= line.enqueued_at_ms > 0 for line in lines)
    assert list(quarantine.listed("sg")) == []


def test_what_is_retried_has_its_tries_after_the_deadline_again(ledger: Ledger, redis: Redis) -> None:
    """Its deadline starts over, and what failed after the last one is no matter."""

    def taken() -> tuple[Batch, Verification]:
        (batch,) = ledger.claim("ph", limit=1).batches
        (one,) = ledger.load(batch)
        return batch, one

    ledger.enqueue([EnqueueRequest("late", "ph")])
    batch, one = taken()
    heard = Heard("busy", faults=1, cause="busy", late_faults=7)
    ledger.record(batch, [transitions.repoll(one, heard, in_s=0)])
    batch, one = taken()
    assert one.late_faults == 7
    ledger.record(
        batch, [transitions.quarantine(one, reason="UNKNOWN_CODE", heard=replace(heard, late_faults=8))]
    )
    Quarantine(redis, who="maria").retry("ph", ["late"])
    _, one = taken()
    assert one.late_faults == 0


def test_what_is_retried_is_due_where_it_was_and_keeps_its_history(
    quarantine: Quarantine, ledger: Ledger, redis: Redis
) -> None:
    assert quarantine.retry("ph", ["a", "c", "waits", "nobody"]) == [True, True, False, False]
    stages = {batch.stage: batch.signature_ids for batch in ledger.claim("ph", limit=64).batches}
    assert stages == {Stage.POLLING: ("a",), Stage.ARCHIVING: ("c",)}
    status = ledger.status("ph", "a")
    assert status is not None
    assert [(event.name, event.detail) for event in status.timeline] == [
        ("refused", "data: no"),
        ("quarantined", "UNREADABLE"),
        ("retried", "UNREADABLE"),
    ]
    assert status.timeline[-1].worker == "maria/x"
    assert status.verification.quarantine_reason is None
    assert status.verification.retried_at_ms is not None
    assert Stats(redis).counts("ph").quarantine == {"UNREADABLE": 1}


def test_a_retry_has_a_new_deadline(quarantine: Quarantine, ledger: Ledger, redis: Redis) -> None:
    """It was enqueued an hour ago, and is retried now: waiting starts over."""
    redis.hincrby("ekyc:{ph}:v:a", "e", -3_600_000)
    quarantine.retry("ph", ["a"])
    (batch,) = ledger.claim("ph", limit=64).batches
    (one,) = ledger.load(batch)
    assert one.age_s < 60


def test_what_is_dropped_ends_without_a_decision_and_is_recorded(
    quarantine: Quarantine, ledger: Ledger, redis: Redis
) -> None:
    assert quarantine.drop("ph", ["a", "waits"], why="asked for by the user") == [True, False]
    status = ledger.status("ph", "a")
    assert status is not None
    assert status.verification.stage is Stage.DROPPED
    assert (status.timeline[-1].name, status.timeline[-1].detail) == ("dropped", "asked for by the user")
    counts = Stats(redis).counts("ph")
    assert (counts.dropped, counts.quarantined) == (1, 2)
    assert (
        counts.enqueued
        == counts.waiting + counts.in_flight + counts.done + counts.quarantined + counts.dropped
    )
    assert ledger.enqueue([EnqueueRequest("a", "ph")]) == [False]
    assert redis.pttl("ekyc:{ph}:v:a") > 0


def test_holds_by_people_are_recorded_with_their_names(quarantine: Quarantine, ledger: Ledger) -> None:
    ledger.hold("ph", for_s=60, reason="maintenance", who="juan")
    ledger.hold("ph", for_s=90, reason="VENDOR_BUSY")
    ledger.resume("ph", who="maria")
    acts = [(event.name, event.detail, event.worker) for event in quarantine.acts("ph")]
    assert acts == [("hold", "maintenance (for 60 s)", "juan"), ("resume", "VENDOR_BUSY", "maria")]


def test_more_than_a_page_is_listed_and_retried(redis: Redis) -> None:
    ledger, quarantine = Ledger(redis), Quarantine(redis, who="maria")
    names = [f"v{number:04}" for number in range(450)]
    ledger.enqueue([EnqueueRequest(name, "ph") for name in names])
    while batches := ledger.claim("ph", limit=64).batches:
        for batch in batches:
            ledger.record(
                batch, [transitions.quarantine(one, reason="UNKNOWN_CODE") for one in ledger.load(batch)]
            )
    assert sorted(line.signature_id for line in quarantine.listed("ph")) == names
    assert all(quarantine.retry("ph", names))
    assert list(quarantine.listed("ph")) == []


def test_a_retried_killer_of_workers_travels_alone(redis: Redis) -> None:
    """A person gives it another chance, and it takes nobody along."""
    ledger, quarantine = Ledger(redis), Quarantine(redis, who="maria")
    ledger.enqueue([EnqueueRequest("killer", "ph"), EnqueueRequest("other", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.quarantine(one, reason="CRASHES_WORKERS")])
    assert quarantine.retry("ph", [one.signature_id]) == [True]
    assert sorted(len(batch.signature_ids) for batch in ledger.claim("ph", limit=64).batches) == [1, 1]
