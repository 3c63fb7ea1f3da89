"""Each act of a person on a region is told once by each process, in order; what was over before it began is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from worker.ledger import Ledger, Stats, looks
from worker.ledger.erasures import Erasures
from worker.ledger.looks import Looks
from worker.ledger.webhooks import NewDelivery, Webhooks
from worker.runtime.hold_log import HoldLog

if TYPE_CHECKING:
    from redis import Redis


def told(notices: HoldLog, ledger: Ledger) -> list[dict[str, Any]]:
    """What a dispatcher's next claim leads to in the log."""
    with capture_logs() as lines:
        notices.look("ph", ledger.claim("ph", limit=1).act)
    return [dict(line) for line in lines]


def events(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["event"], line["reason"]) for line in lines]


def test_what_was_done_and_undone_between_two_looks_is_told_in_order(redis: Redis, ledger: Ledger) -> None:
    notices = HoldLog(redis)
    assert told(notices, ledger) == []
    ledger.hold("ph", for_s=60, reason="first", who="maria")
    ledger.resume("ph", who="maria")
    ledger.hold("ph", for_s=3600, reason="second", who="juan")
    lines = told(notices, ledger)
    assert events(lines) == [
        ("region_held", "first (for 60 s)"),
        ("region_resumed", "first"),
        ("region_held", "second (for 3600 s)"),
    ]
    assert lines[0]["until"] is None
    assert str(lines[2]["until"]).startswith("20")
    assert told(notices, ledger) == []


def test_a_hold_that_lasts_is_told_by_a_worker_that_starts_and_one_that_is_over_is_not(
    redis: Redis, ledger: Ledger
) -> None:
    ledger.hold("ph", for_s=60, reason="over", who="maria")
    ledger.resume("ph", who="maria")
    assert told(HoldLog(redis), ledger) == []
    ledger.hold("ph", for_s=60, reason="lasts", who="maria")
    assert events(told(HoldLog(redis), ledger)) == [("region_held", "lasts (for 60 s)")]
    redis.delete("ekyc:{ph}:hold")
    assert told(HoldLog(redis), ledger) == []


def test_a_rest_that_the_fleet_ordered_after_a_persons_is_not_told_as_the_persons(
    redis: Redis, ledger: Ledger
) -> None:
    before = HoldLog(redis)
    told(before, ledger)
    ledger.hold("ph", for_s=60, reason="ran out", who="maria")
    redis.delete("ekyc:{ph}:hold")
    ledger.hold("ph", for_s=300, reason="VENDOR_BUSY")
    assert told(HoldLog(redis), ledger) == []
    # Who was there tells the act, but not the other rest's end as its own.
    (line,) = told(before, ledger)
    assert (line["reason"], line["until"]) == ("ran out (for 60 s)", None)


def test_of_two_peoples_holds_the_one_that_lasts_is_told(redis: Redis, ledger: Ledger) -> None:
    ledger.hold("ph", for_s=3600, reason="longer", who="maria")
    time.sleep(0.002)
    ledger.hold("ph", for_s=60, reason="shorter", who="juan")
    assert events(told(HoldLog(redis), ledger)) == [("region_held", "longer (for 3600 s)")]


def test_looks_at_evidence_are_told_without_the_name(redis: Redis, ledger: Ledger) -> None:
    notices = HoldLog(redis)
    assert told(notices, ledger) == []
    record = Looks(redis, who="maria")
    record.note("ph", looks.SHOW, "ph/one front.jpg: complaint", ["one"])
    record.note("ph", looks.EXPORT, "2 given by id: audit", ["one", "two"])
    lines = told(notices, ledger)
    assert [(line["event"], line["what"]) for line in lines] == [
        ("evidence_shown", "ph/one front.jpg: complaint"),
        ("evidence_exported", "2 given by id: audit"),
    ]
    assert "maria" not in str(lines)


def test_acts_on_evidence_are_told_and_none_is_taken_for_a_hold(redis: Redis, ledger: Ledger) -> None:
    notices, erasures = HoldLog(redis), Erasures(redis)
    assert told(notices, ledger) == []
    for name in ("erase", "retention", "legal_hold", "legal_release", "closed", "of_a_newer_release"):
        erasures.note("ph", name, f"of {name}", who="maria")
    lines = told(notices, ledger)
    assert [(line["event"], line["what"]) for line in lines] == [
        ("evidence_erased", "of erase"),
        ("evidence_swept", "of retention"),
        ("evidence_held", "of legal_hold"),
        ("evidence_released", "of legal_release"),
        ("relationships_closed", "of closed"),
    ]
    assert "maria" not in str(lines)


def test_what_the_fleet_orders_is_no_act(redis: Redis, ledger: Ledger) -> None:
    """Who ordered it has told it."""
    notices = HoldLog(redis)
    ledger.hold("ph", for_s=60, reason="VENDOR_BUSY")
    assert told(notices, ledger) == []
    assert Stats(redis).counts("ph").holds


def test_a_ledger_that_was_emptied_is_no_act_either(redis: Redis, ledger: Ledger) -> None:
    notices = HoldLog(redis)
    ledger.hold("ph", for_s=60, reason="x", who="maria")
    told(notices, ledger)
    redis.flushdb()
    assert told(notices, ledger) == []


def test_deliveries_that_were_dropped_are_told_as_such(redis: Redis, ledger: Ledger) -> None:
    notices, webhooks = HoldLog(redis), Webhooks(redis)
    told(notices, ledger)
    webhooks.add("ph", "", [NewDelivery(name, "shop", "t", "{}") for name in ("one", "two")])
    assert webhooks.drop("ph", ["one", "two", "never"], why="closed", who="maria") == [True, True, False]
    assert webhooks.get("ph", "one") is None
    assert [(line["event"], line["what"]) for line in told(notices, ledger)] == [
        ("deliveries_dropped", "shop: 2, closed")
    ]
