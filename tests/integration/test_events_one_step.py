"""An event and what it reports are one step: no process ends between the two, and what did not happen is no event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import quarantine
from worker.decisions import events
from worker.decisions.endpoints import EVENTS, Endpoint
from worker.ledger import Ledger, Quarantine, transitions
from worker.ledger.scripts import source
from worker.ledger.transitions import Heard, Trip
from worker.ledger.webhooks import Down, Kind, NewDelivery, Outcome, Shelf, State, Wanted, Webhooks

if TYPE_CHECKING:
    from redis import Redis

ENDPOINTS: Final = {"all": Endpoint("all", "https://all.example/", events=frozenset(EVENTS))}


@pytest.fixture
def webhooks(redis: Redis) -> Webhooks:
    return Webhooks(redis)


def told(webhooks: Webhooks, region: str = "ph") -> list[dict[str, Any]]:
    found = webhooks.read(region, webhooks.ids(Shelf(region, "all", State.WAITING)))
    return [json.loads(each.body) for each in found]


def about(name: str, **fields: Any) -> tuple[NewDelivery, ...]:
    return events.of_region(ENDPOINTS, name, "ph", **fields)


@pytest.mark.every_server
def test_a_hold_is_announced_with_its_end_and_one_that_changes_nothing_is_not(
    ledger: Ledger, webhooks: Webhooks
) -> None:
    until_ms = ledger.hold(
        "ph", for_s=600, reason="x", who="maria", events=events.of_hold(ENDPOINTS, "ph", reason="BY_HAND")
    )
    (body,) = told(webhooks)
    assert (body["type"], body["reason"]) == ("region.held", "BY_HAND")
    assert body["until"] == events.rfc3339(datetime.fromtimestamp(until_ms / 1000, UTC))
    ledger.hold(
        "ph", for_s=60, reason="x", who="maria", events=events.of_hold(ENDPOINTS, "ph", reason="BY_HAND")
    )
    assert told(webhooks) == [body]


MOMENTS: Final = (
    0,
    951_782_399_999,  # before 29 February 2000
    951_782_400_000,
    1_709_164_800_001,  # 29 February 2024
    1_735_689_599_999,  # the last moment of a leap year
    1_735_689_600_000,
    1_796_040_059_007,
    4_107_542_399_999,  # 28 February 2100, which has no 29th
    4_107_542_400_000,
)


@pytest.mark.every_server
def test_a_moment_is_written_as_python_writes_it(redis: Redis) -> None:
    script = source() + "return rfc3339(tonumber(ARGV[1]))"
    every_day = range(1_767_225_600_000, 1_798_761_600_000, 86_400_000 + 3_723_004)
    for at_ms in (*MOMENTS, *every_day):
        written = redis.eval(script, 1, "ekyc:{ph}:", str(at_ms))
        assert written == events.rfc3339(datetime.fromtimestamp(at_ms / 1000, UTC)).encode()


def test_the_end_of_a_hold_is_announced_only_if_there_was_one(ledger: Ledger, webhooks: Webhooks) -> None:
    assert not ledger.resume("ph", events=about(events.REGION_RESUMED, reason="BY_HAND"))
    assert told(webhooks) == []
    ledger.hold("ph", for_s=60, reason="x")
    assert ledger.resume("ph", events=about(events.REGION_RESUMED, reason="BY_HAND"))
    assert [body["type"] for body in told(webhooks)] == ["region.resumed"]


def test_a_trip_and_its_end_are_announced_with_the_write(ledger: Ledger, webhooks: Webhooks) -> None:
    ledger.enqueue([EnqueueRequest(name, "ph") for name in ("a", "b", "c")])
    (batch,) = ledger.claim("ph", limit=3).batches
    one, two, three = ledger.load(batch)
    trip = Trip(2, 30.0, 60.0, "VENDOR_DOWN")

    def failed(loaded: Any) -> transitions.Transition:
        write = replace(transitions.repoll(loaded, Heard("fault"), in_s=1), trip=trip)
        return events.of_transition(ENDPOINTS, "ph", write)

    assert failed(one).held
    ledger.record(batch, [failed(one)])
    # One failure does not trip it.
    assert told(webhooks) == []
    (how,) = ledger.record(batch, [failed(two)])
    (body,) = told(webhooks)
    assert (body["type"], body["reason"]) == ("region.held", "VENDOR_DOWN")
    assert body["until"] == events.rfc3339(datetime.fromtimestamp(how.held_until_ms / 1000, UTC))

    resumed = about(events.REGION_RESUMED, reason=events.VENDOR_ANSWERS)
    answered = transitions.repoll(three, Heard("pending"), in_s=1)
    ledger._redis.delete("ekyc:{ph}:hold")  # it is half-open now
    (how,) = ledger.record(batch, [answered], resumed=resumed)
    assert how.closed_breaker
    assert [each["type"] for each in told(webhooks) if each != body] == ["region.resumed"]


def test_a_write_that_closes_no_breaker_announces_nothing(ledger: Ledger, webhooks: Webhooks) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    resumed = about(events.REGION_RESUMED, reason=events.VENDOR_ANSWERS)
    assert ledger.record(batch, [transitions.repoll(one, Heard("pending"), in_s=1)], resumed=resumed)[
        0
    ].written
    assert told(webhooks) == []


@pytest.mark.parametrize("act", ["retry", "drop"])
def test_a_release_announces_what_was_there(
    redis: Redis, ledger: Ledger, webhooks: Webhooks, act: str
) -> None:
    quarantine(ledger, "a")

    def released(signature_id: str) -> tuple[NewDelivery, ...]:
        return events.of_verification(ENDPOINTS, events.RELEASED, "ph", signature_id, outcome="retried")

    desk = Quarantine(redis, who="maria")
    names = ["a", "never-there"]
    answers = (
        desk.retry("ph", names, events=released)
        if act == "retry"
        else desk.drop("ph", names, why="test", events=released)
    )
    assert answers == [True, False]
    (body,) = told(webhooks)
    assert (body["type"], body["signature_id"]) == ("verification.released", "a")


def test_a_ledger_is_announced_once_it_is_accepted(ledger: Ledger, webhooks: Webhooks) -> None:
    ledger.accept("ph", new="n1", replaces="n1", who="maria", events=about(events.LEDGER_REPLACED))
    assert told(webhooks) == []
    ledger.accept("ph", new="n2", replaces="old", who="maria", events=about(events.LEDGER_REPLACED))
    assert [body["type"] for body in told(webhooks)] == ["ledger.replaced"]


def test_a_pause_by_hand_is_one_event_for_all_regions(webhooks: Webhooks) -> None:
    def pause() -> bool:
        return events.pause_by_hand(webhooks, ENDPOINTS, ("ph", "sg"), "shop", why="test", who="maria")

    webhooks.pause("ph", "shop", why="earlier")
    assert pause()
    # It was paused in the first region before.
    assert [told(webhooks, region) for region in ("ph",)] == [[]]
    (body,) = told(webhooks, "sg")
    assert (body["type"], body["endpoint"], body["reason"]) == ("endpoint.paused", "shop", "BY_HAND")
    assert not pause()
    assert len(told(webhooks, "sg")) == 1


@pytest.mark.parametrize(("gone", "reason"), [(True, "GONE"), (False, "FAILING")])
def test_a_pause_for_failures_is_announced_with_the_outcome(
    webhooks: Webhooks, *, gone: bool, reason: str
) -> None:
    webhooks.add("ph", "", [NewDelivery("d", "shop", "t", "{}")])
    (batch,) = webhooks.claim("ph", [Wanted("shop", 1)]).batches
    webhooks.load(batch)
    if not gone:
        # As if it had failed for four days.
        webhooks._redis.hset("ekyc:{ph}:endpoint:shop", "failing", webhooks.now_ms("ph") - 4 * 86_400_000)
    paused = events.of_pause(ENDPOINTS, "ph", "shop")
    assert set(paused) == {"GONE", "FAILING"}
    outcome = Outcome("d", Kind.FAILED, "HTTP_410", gone=gone, down=Down(after=1))
    webhooks.record(batch, [outcome], paused=paused)
    (body,) = told(webhooks)
    assert (body["type"], body["endpoint"], body["reason"]) == ("endpoint.paused", "shop", reason)
