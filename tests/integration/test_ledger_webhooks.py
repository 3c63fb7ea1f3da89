"""Deliveries by webhook in the ledger: each waits by itself, and a verification ends with the last one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from schemas.decision import decision_id
from tests.support.drive_ledger import decide, to_routing
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix
from worker.ledger.webhooks import (
    DECIDED,
    DeliveryBatch,
    Down,
    Kind,
    Limits,
    NewDelivery,
    Outcome,
    Shelf,
    State,
    Wanted,
    Webhooks,
    Written,
    delivery_id,
)

if TYPE_CHECKING:
    from redis import Redis

pytestmark = pytest.mark.every_server

BASE = prefix("ph")


@pytest.fixture
def webhooks(redis: Redis) -> Webhooks:
    return Webhooks(redis, lease_s=5.0, worker="w1")


def new(signature_id: str, *endpoints: str) -> tuple[NewDelivery, ...]:
    about = decision_id("ph", signature_id)
    return tuple(NewDelivery(delivery_id(each, about), each, DECIDED, '{"a":1}') for each in endpoints)


def decided(ledger: Ledger, signature_id: str, *endpoints: str, celery: bool = True) -> None:
    """A verification whose decision goes to endpoints, after its Celery delivery."""
    batch, one = to_routing(ledger, signature_id)
    deliveries = new(signature_id, *endpoints)
    ledger.record(batch, [transitions.decide(one, name="approve", decision="{}", deliveries=deliveries)])
    ledger.record(batch, [transitions.delivered(one, name="approve", by_celery=celery)])


def stage(ledger: Ledger, signature_id: str) -> Stage:
    status = ledger.status("ph", signature_id)
    assert status
    return status.verification.stage


def claim(webhooks: Webhooks, *endpoints: str, limit: int = 10) -> list[DeliveryBatch]:
    return list(webhooks.claim("ph", [Wanted(each, limit) for each in endpoints]).batches)


def test_a_delivery_that_is_not_tried_says_why_until_it_is(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "one", "shop")
    tried(webhooks, "shop", kind=Kind.BACK, fault="EVIDENCE_KEY_UNKNOWN")
    (id_,) = webhooks.ids(Shelf("ph", "shop", State.WAITING))
    one = webhooks.get("ph", id_)
    assert one is not None
    assert (one.tries, one.fault, one.state) == (0, "EVIDENCE_KEY_UNKNOWN", State.WAITING)
    tried(webhooks, "shop", kind=Kind.ACKNOWLEDGED)
    one = webhooks.get("ph", id_)
    assert one is not None
    assert (one.fault, one.state) == (None, State.ACKNOWLEDGED)


def test_nothing_is_noted_of_a_delivery_that_the_batch_lost(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "one", "shop")
    (batch,) = claim(webhooks, "shop")
    (loaded,) = webhooks.load(batch)
    webhooks.record(batch, [Outcome(loaded.id, Kind.ACKNOWLEDGED)])
    webhooks.record(batch, [Outcome(loaded.id, Kind.BACK, "EVIDENCE_KEY_UNKNOWN")])
    one = webhooks.get("ph", loaded.id)
    assert one is not None
    assert (one.fault, one.state) == (None, State.ACKNOWLEDGED)


def tried(webhooks: Webhooks, endpoint: str, **given: object) -> list[Written]:
    """Claim, load and record the same outcome for all that is due."""
    (batch,) = claim(webhooks, endpoint)
    loaded = webhooks.load(batch)
    assert [each.id for each in loaded] == list(batch.delivery_ids)
    return webhooks.record(batch, [Outcome(each.id, **given) for each in loaded])  # type: ignore[arg-type]


def failed(webhooks: Webhooks, endpoint: str, **given: object) -> list[Written]:
    return tried(webhooks, endpoint, kind=Kind.FAILED, fault="HTTP_500", **given)


def acknowledged(webhooks: Webhooks, endpoint: str) -> list[Written]:
    return tried(webhooks, endpoint, kind=Kind.ACKNOWLEDGED)


def balance(redis: Redis) -> tuple[int, int, int, int]:
    counts = Stats(redis).counts("ph")
    assert (
        counts.enqueued
        == counts.waiting + counts.in_flight + counts.quarantined + counts.done + counts.dropped
    )
    return counts.waiting, counts.delivering, counts.in_flight, counts.done


def test_a_verification_is_done_when_the_last_endpoint_has_acknowledged(
    ledger: Ledger, redis: Redis, webhooks: Webhooks
) -> None:
    decided(ledger, "a", "shop", "bank")
    status = ledger.status("ph", "a")
    assert status
    assert status.verification.stage is Stage.DELIVERING
    assert status.verification.deliveries == ("shop", "bank")
    assert redis.ttl(f"{BASE}v:a") == -1
    assert balance(redis) == (1, 1, 0, 0)

    assert acknowledged(webhooks, "bank") == [Written.YES]
    status = ledger.status("ph", "a")
    assert status
    assert (status.verification.stage, status.verification.deliveries) == (Stage.DELIVERING, ("shop",))

    assert acknowledged(webhooks, "shop") == [Written.YES]
    assert stage(ledger, "a") is Stage.DONE
    assert redis.ttl(f"{BASE}v:a") > 0
    assert redis.ttl(f"{BASE}webhook:{new('a', 'shop')[0].id}") > 0
    assert balance(redis) == (0, 0, 0, 1)
    assert not redis.exists(f"{BASE}delivering")
    status = ledger.status("ph", "a")
    assert status
    events = [(event.name, event.detail) for event in status.timeline]
    assert events[-3:] == [("delivered", "approve"), ("acknowledged", "bank"), ("acknowledged", "shop")]


def test_an_endpoint_may_acknowledge_before_the_celery_delivery(ledger: Ledger, webhooks: Webhooks) -> None:
    batch, one = to_routing(ledger, "a")
    ledger.record(
        batch, [transitions.decide(one, name="approve", decision="{}", deliveries=new("a", "shop"))]
    )
    acknowledged(webhooks, "shop")
    assert stage(ledger, "a") is Stage.ROUTING
    ledger.record(batch, [transitions.delivered(one, name="approve")])
    assert stage(ledger, "a") is Stage.DONE


def test_a_decision_that_is_fixed_again_adds_no_delivery(
    ledger: Ledger, redis: Redis, webhooks: Webhooks
) -> None:
    batch, one = to_routing(ledger, "a")
    fix = transitions.decide(one, name="approve", decision="{}", deliveries=new("a", "shop"))
    ledger.record(batch, [fix])
    acknowledged(webhooks, "shop")
    # A crash after the first record: the table may even have changed meanwhile.
    ledger.record(
        batch, [transitions.decide(one, name="approve", decision="{}", deliveries=new("a", "bank"))]
    )
    assert not claim(webhooks, "shop", "bank")
    assert redis.smembers(f"{BASE}endpoints") == {b"shop"}


def test_late_evidence_does_not_end_what_an_endpoint_has_not_acknowledged(
    ledger: Ledger, webhooks: Webhooks
) -> None:
    batch, one = to_routing(ledger, "a")
    ledger.record(
        batch, [transitions.decide(one, name="approve", decision="{}", deliveries=new("a", "shop"))]
    )
    ledger.record(batch, [transitions.delivered(one, name="approve", then=Stage.ARCHIVING)])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.give_up(one, cause="EVIDENCE_LOST")])
    assert stage(ledger, "a") is Stage.DELIVERING
    acknowledged(webhooks, "shop")
    assert stage(ledger, "a") is Stage.DONE


def test_without_endpoints_no_key_is_added(ledger: Ledger, redis: Redis) -> None:
    decide(ledger, "a")
    assert stage(ledger, "a") is Stage.DONE
    assert not [
        key for key in redis.scan_iter() if b"webhook" in key or b"endpoint" in key or b"delivering" in key
    ]
    assert not redis.hexists(f"{BASE}v:a", "D")


def test_what_one_endpoint_has_waiting_is_not_in_the_way_of_another(
    ledger: Ledger, webhooks: Webhooks
) -> None:
    for number in range(20):
        decided(ledger, f"d{number}", "dead")
    decided(ledger, "a", "shop")
    batches = claim(webhooks, "dead", "shop", limit=5)
    assert {batch.endpoint: len(batch.delivery_ids) for batch in batches} == {"dead": 5, "shop": 1}


def test_a_delivery_is_started_once(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    (batch,) = claim(webhooks, "shop")
    assert not claim(webhooks, "shop")
    assert len(webhooks.load(batch)) == 1
    assert webhooks.load(batch) == []


def test_a_batch_that_lost_its_lease_changes_nothing(
    ledger: Ledger, redis: Redis, webhooks: Webhooks
) -> None:
    decided(ledger, "a", "shop")
    (old,) = claim(webhooks, "shop")
    (one,) = webhooks.load(old)
    redis.zadd(f"{BASE}leased:webhook:shop", {one.id: 0})
    (batch,) = claim(webhooks, "shop")
    (same,) = webhooks.load(batch)
    assert same.body == one.body
    assert webhooks.record(old, [Outcome(one.id, Kind.ACKNOWLEDGED)]) == [Written.NOT]
    assert webhooks.renew(old, [one.id]) == 0
    assert webhooks.renew(batch, [one.id]) == 1
    assert stage(ledger, "a") is Stage.DELIVERING
    assert webhooks.record(batch, [Outcome(one.id, Kind.ACKNOWLEDGED)]) == [Written.YES]


def test_a_delivery_that_ends_workers_is_given_up(ledger: Ledger, redis: Redis, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    for _ in range(5):
        (batch,) = claim(webhooks, "shop")
        (one,) = webhooks.load(batch)
        redis.zadd(f"{BASE}leased:webhook:shop", {one.id: 0})
    assert webhooks.claim("ph", [Wanted("shop", 10)]).given_up == ((one.id, "shop"),)
    found = webhooks.get("ph", one.id)
    assert found
    assert (found.state, found.fault) == (State.FAILED, "CRASHES_WORKERS")


@pytest.mark.parametrize(("field", "text"), [("state", b"zzz"), ("body", b"\xff"), ("type", b"")])
def test_a_delivery_that_is_none_stops_no_other_and_is_given_up(
    ledger: Ledger, redis: Redis, webhooks: Webhooks, field: str, text: bytes
) -> None:
    decided(ledger, "bad", "shop")
    decided(ledger, "good", "shop")
    (bad,), (good,) = new("bad", "shop"), new("good", "shop")
    if text:
        redis.hset(f"{BASE}webhook:{bad.id}", field, text)
    else:
        redis.hdel(f"{BASE}webhook:{bad.id}", field)
    redis.zadd(f"{BASE}due:webhook:shop", {b"\xff": 1})
    redis.hset(f"{BASE}webhook:".encode() + b"\xff", mapping={"about": "", "starts": "9"})
    redis.zadd(f"{BASE}leased:webhook:shop", {b"\xff": 1})
    found = webhooks.claim("ph", [Wanted("shop", 10)])
    (batch,) = found.batches
    (one,) = webhooks.load(batch)
    assert one.id == good.id
    assert webhooks.record(batch, [Outcome(one.id, Kind.ACKNOWLEDGED)]) == [Written.YES]
    given_up = list(found.given_up)
    for _ in range(5):
        redis.zadd(f"{BASE}leased:webhook:shop", {bad.id: 0})
        found = webhooks.claim("ph", [Wanted("shop", 10)])
        given_up += found.given_up
        assert [each for batch in found.batches for each in webhooks.load(batch)] == []
    assert given_up == [("\ufffd", "shop"), (bad.id, "shop")]


def test_a_failed_try_has_a_countdown(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    assert failed(webhooks, "shop", in_s=60.0) == [Written.YES]
    assert not claim(webhooks, "shop")
    (one,) = webhooks.read("ph", webhooks.ids(Shelf("ph", "shop", State.WAITING)))
    assert (one.tries, one.fault) == (1, "HTTP_500")
    assert one.due_at_ms
    assert 50_000 < one.due_at_ms - webhooks.now_ms("ph") <= 60_000


def test_a_dispatcher_sleeps_until_a_delivery_is_due(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    failed(webhooks, "shop", in_s=4.0)
    assert 0.1 < webhooks.claim("ph", [Wanted("shop", 1)]).sleep_s <= 4.0


def test_what_is_given_back_is_no_try(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    (batch,) = claim(webhooks, "shop")
    webhooks.give_back(batch)
    (batch,) = claim(webhooks, "shop")
    (one,) = webhooks.load(batch)
    assert one.tries == 0


def test_a_delivery_that_the_endpoint_does_not_take_is_kept_as_failed(
    ledger: Ledger, redis: Redis, webhooks: Webhooks
) -> None:
    decided(ledger, "bad", "shop")
    for number in range(10):
        time.sleep(0.002)
        written = failed(webhooks, "shop", down=Down(after=100))
        if number == 8:
            time.sleep(0.002)
            decided(ledger, "good", "shop")
            (batch,) = claim(webhooks, "shop")
            webhooks.record(
                batch,
                [
                    Outcome(each.id, Kind.ACKNOWLEDGED if each.signature_id == "good" else Kind.BACK)
                    for each in webhooks.load(batch)
                ],
            )
    assert written == [Written.GIVEN_UP]
    assert not claim(webhooks, "shop")
    (lost,) = webhooks.read("ph", webhooks.ids(Shelf("ph", "shop", State.FAILED)))
    assert (lost.signature_id, lost.tries, lost.state) == ("bad", 10, State.FAILED)
    status = ledger.status("ph", "bad")
    assert status
    assert status.verification.stage is Stage.DELIVERING
    assert ("not_delivered", "shop HTTP_500") in [(event.name, event.detail) for event in status.timeline]
    assert redis.ttl(f"{BASE}v:bad") == -1
    assert redis.ttl(f"{BASE}webhook:{lost.id}") == -1
    assert balance(redis) == (1, 1, 0, 1)

    assert webhooks.resend("ph", [lost.id, "unknown"], who="ann") == [True, False]
    assert acknowledged(webhooks, "shop") == [Written.YES]
    assert stage(ledger, "bad") is Stage.DONE


def test_an_endpoint_that_takes_nothing_is_paused_and_its_deliveries_wait(
    ledger: Ledger, webhooks: Webhooks
) -> None:
    decided(ledger, "a", "shop")
    down = Down(first_s=0.0)
    written = [failed(webhooks, "shop", down=down) for _ in range(10)]
    assert written == [[Written.YES]] * 9 + [[Written.PAUSED]]
    assert not claim(webhooks, "shop")
    (shop,) = webhooks.endpoints("ph")
    assert (shop.paused_why, shop.waiting, shop.failed) == ("FAILING", 1, 0)
    assert shop.strain(Limits()) == 1.0

    assert webhooks.resume("ph", "shop", who="ann")
    (batch,) = claim(webhooks, "shop")
    (one,) = webhooks.load(batch)
    assert one.tries == 0
    webhooks.record(batch, [Outcome(one.id, Kind.ACKNOWLEDGED)])
    assert stage(ledger, "a") is Stage.DONE


def test_an_endpoint_that_fails_for_long_is_paused(ledger: Ledger, redis: Redis) -> None:
    limits = Limits(most_tries=100, pause_after_s=1000)
    webhooks = Webhooks(redis, limits=limits)
    decided(ledger, "a", "shop")
    down = Down(first_s=0.0)
    for _ in range(5):
        assert failed(webhooks, "shop", down=down) == [Written.YES]
    redis.hincrby(f"{BASE}endpoint:shop", "failing", -500_000)
    (shop,) = webhooks.endpoints("ph")
    assert 0.5 <= shop.strain(limits) < 1.0
    assert failed(webhooks, "shop", down=down) == [Written.YES]
    redis.hincrby(f"{BASE}endpoint:shop", "failing", -500_000)
    assert failed(webhooks, "shop", down=down) == [Written.PAUSED]


def test_an_endpoint_that_wants_no_more_is_paused_at_once(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    assert failed(webhooks, "shop", gone=True) == [Written.PAUSED]
    (shop,) = webhooks.endpoints("ph")
    assert (shop.paused_why, shop.paused_by) == ("GONE", None)
    decided(ledger, "b", "shop")
    assert not claim(webhooks, "shop")


def test_a_dead_endpoint_gets_one_probe_at_a_time(ledger: Ledger, redis: Redis, webhooks: Webhooks) -> None:
    for number in range(30):
        decided(ledger, f"a{number}", "shop")
    failed(webhooks, "shop", down=Down(5, 50.0, 3000.0))
    (shop,) = webhooks.endpoints("ph")
    assert shop.held_until_ms
    # However many failed at once, it is one failure of the endpoint.
    assert 40_000 < shop.held_until_ms - shop.now_ms <= 50_000
    assert not claim(webhooks, "shop")
    redis.hset(f"{BASE}endpoint:shop", "held", 0)
    (batch,) = claim(webhooks, "shop")
    assert len(batch.delivery_ids) == 1
    (one,) = webhooks.load(batch)
    webhooks.record(batch, [Outcome(one.id, Kind.FAILED, "HTTP_500", down=Down(5, 50.0, 3000.0))])
    (shop,) = webhooks.endpoints("ph")
    assert shop.held_until_ms
    assert 90_000 < shop.held_until_ms - shop.now_ms <= 100_000
    redis.hset(f"{BASE}endpoint:shop", "held", 0)
    assert acknowledged(webhooks, "shop") == [Written.RECOVERED]
    (batch,) = claim(webhooks, "shop")
    assert len(batch.delivery_ids) == 2


def test_an_endpoint_with_too_much_to_do_gets_fewer_at_a_time(
    ledger: Ledger, redis: Redis, webhooks: Webhooks
) -> None:
    for number in range(8):
        decided(ledger, f"a{number}", "shop")
    failed(webhooks, "shop", slow=True, hold_s=60.0, down=Down(after=100))
    (shop,) = webhooks.endpoints("ph")
    assert shop.window == 4
    assert not claim(webhooks, "shop")
    redis.hset(f"{BASE}endpoint:shop", "held", 0)
    (batch,) = claim(webhooks, "shop")
    assert len(batch.delivery_ids) == 4
    webhooks.record(batch, [Outcome(each.id, Kind.ACKNOWLEDGED) for each in webhooks.load(batch)])
    (shop,) = webhooks.endpoints("ph")
    assert shop.window == 8
    assert shop.held_until_ms is None


def test_a_rate_limits_an_endpoint(ledger: Ledger, webhooks: Webhooks) -> None:
    for number in range(8):
        decided(ledger, f"a{number}", "shop")
    claimed = webhooks.claim("ph", [Wanted("shop", 10, rate=20)])
    assert len(claimed.batches[0].delivery_ids) == 2
    assert 0 < claimed.sleep_s <= 0.1


def test_a_person_pauses_and_resumes(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    failed(webhooks, "shop", in_s=3600.0)
    assert webhooks.pause("ph", "shop", why="maintenance", who="ann")
    assert not webhooks.pause("ph", "shop", why="again", who="bob")
    (shop,) = webhooks.endpoints("ph", ["other"])[1:]
    assert (shop.paused_why, shop.paused_by) == ("maintenance", "ann")
    assert not claim(webhooks, "shop")
    assert webhooks.resume("ph", "shop", who="ann")
    assert not webhooks.resume("ph", "shop", who="ann")
    assert acknowledged(webhooks, "shop") == [Written.YES]


def test_what_was_claimed_before_a_pause_is_given_back(ledger: Ledger, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    (batch,) = claim(webhooks, "shop")
    webhooks.pause("ph", "shop", why="maintenance")
    assert webhooks.load(batch) == []
    webhooks.resume("ph", "shop")
    assert acknowledged(webhooks, "shop") == [Written.YES]


def test_an_acknowledged_delivery_can_be_sent_again(ledger: Ledger, redis: Redis, webhooks: Webhooks) -> None:
    decided(ledger, "a", "shop")
    acknowledged(webhooks, "shop")
    (one,) = webhooks.ids(Shelf("ph", "shop", State.ACKNOWLEDGED))
    assert webhooks.resend("ph", [one], who="ann") == [True]
    assert redis.ttl(f"{BASE}webhook:{one}") == -1
    assert stage(ledger, "a") is Stage.DONE
    (batch,) = claim(webhooks, "shop")
    (again,) = webhooks.load(batch)
    assert (again.id, again.body) == (one, '{"a":1}')
    assert webhooks.resend("ph", [one], who="ann") == [False]
    webhooks.record(batch, [Outcome(one, Kind.ACKNOWLEDGED)])
    assert redis.ttl(f"{BASE}webhook:{one}") > 0
    assert balance(redis) == (0, 0, 0, 1)


def test_a_resumption_moves_all_that_waits(ledger: Ledger, redis: Redis, webhooks: Webhooks) -> None:
    del ledger
    later = webhooks.now_ms("ph") + 10**8
    redis.zadd(f"{BASE}due:webhook:shop", {f"d{number}": later for number in range(2500)})
    webhooks.resume("ph", "shop")
    assert redis.zcount(f"{BASE}due:webhook:shop", 0, later - 1) == 2500


def test_two_identities_of_one_decision_do_not_collide() -> None:
    ids = {delivery_id(endpoint, about) for endpoint in ("shop", "bank") for about in ("1", "2")}
    assert len(ids) == 4
    # Receivers know deliveries by their ids, so that no release may change them.
    assert delivery_id("shop", "1") == "c118258c-aa51-5229-a00e-232073371abf"


def test_evidence_that_ends_workers_does_not_end_what_an_endpoint_has_not_acknowledged(
    ledger: Ledger, redis: Redis, webhooks: Webhooks
) -> None:
    batch, one = to_routing(ledger, "a")
    ledger.record(
        batch, [transitions.decide(one, name="approve", decision="{}", deliveries=new("a", "shop"))]
    )
    ledger.record(batch, [transitions.delivered(one, name="approve", then=Stage.ARCHIVING)])
    for _ in range(5):
        (batch,) = ledger.claim("ph", limit=1).batches
        ledger.load(batch)
        redis.zadd(f"{BASE}leased", {"a": 0})
        redis.delete(f"{BASE}suspect")
    assert ledger.claim("ph", limit=1).batches == ()
    assert stage(ledger, "a") is Stage.DELIVERING
    acknowledged(webhooks, "shop")
    assert stage(ledger, "a") is Stage.DONE


def test_countdowns_are_set_back_with_a_clock_that_was_ahead(
    ledger: Ledger, redis: Redis, webhooks: Webhooks
) -> None:
    decided(ledger, "a", "shop")
    ledger.claim("ph", limit=1)
    redis.hset(f"{BASE}clock", "ahead", 10**8)
    failed(webhooks, "shop", in_s=60.0, hold_s=60.0)
    ledger.claim("ph", limit=1)
    (one,) = webhooks.read("ph", webhooks.ids(Shelf("ph", "shop", State.WAITING)))
    assert one.due_at_ms
    assert one.due_at_ms - webhooks.now_ms("ph") <= 61_000
    (shop,) = webhooks.endpoints("ph")
    assert shop.held_until_ms is None


def test_a_delivery_that_is_added_again_stays_as_it_is(redis: Redis, webhooks: Webhooks) -> None:
    """A client sends a call again whose reply was lost."""
    event = NewDelivery("e1", "shop", "region.held", '{"a":1}')
    webhooks.add("ph", "", [event])
    failed(webhooks, "shop", in_s=60.0)
    webhooks.add("ph", "", [event])
    assert not claim(webhooks, "shop")
    found = webhooks.get("ph", "e1")
    assert found
    assert found.tries == 1
    assert redis.hget(f"{BASE}counts", "webhook:created:shop") == b"1"
    webhooks.add("ph", "", [])


@pytest.mark.parametrize(
    "planted", ["x", "", "1.5", "nan", "inf", "-inf", "1e300", "9" * 400, "9223372036854775807"]
)
@pytest.mark.parametrize("kind", list(Kind))
def test_a_number_that_is_none_stops_no_other_delivery(
    redis: Redis, ledger: Ledger, webhooks: Webhooks, planted: str, kind: Kind
) -> None:
    decided(ledger, "a", "shop")
    decided(ledger, "b", "shop")
    endpoint = f"{BASE}endpoint:shop"
    delivery = f"{BASE}webhook:{delivery_id('shop', decision_id('ph', 'a'))}"

    def plant() -> None:
        fields = ("held", "window", "failures", "trips", "worst", "failing", "success", "slowed", "resumed")
        redis.hset(endpoint, mapping=dict.fromkeys(fields, planted))
        redis.hset(delivery, mapping=dict.fromkeys(("starts", "tries", "first", "last", "at"), planted))

    redis.hset(f"{BASE}alarm:webhook", "at", planted)
    redis.set(f"{BASE}tat:webhook:shop", planted)
    plant()
    (batch,) = claim(webhooks, "shop", "bank")
    plant()
    loaded = webhooks.load(batch)
    plant()
    written = webhooks.record(batch, [Outcome(each.id, kind, "HTTP_500", slow=True) for each in loaded])
    assert len(written) == len(batch.delivery_ids)
    assert Written.NOT not in written
    assert webhooks.get("ph", loaded[0].id)
    assert webhooks.endpoints("ph", ["shop"])


@pytest.mark.parametrize("planted", ["0", "0.5", "-1", "-99999999999999"])
def test_a_window_without_a_place_stops_no_endpoint(
    redis: Redis, ledger: Ledger, webhooks: Webhooks, planted: str
) -> None:
    """A script writes 1 at least, so nothing that an endpoint does would end it."""
    endpoint = f"{BASE}endpoint:shop"
    for name, kind in (("a", Kind.ACKNOWLEDGED), ("b", Kind.FAILED)):
        decided(ledger, name, "shop")
        redis.hset(endpoint, "window", planted)
        (batch,) = claim(webhooks, "shop")
        redis.hset(endpoint, "window", planted)
        webhooks.record(
            batch, [Outcome(each.id, kind, "HTTP_503", slow=True) for each in webhooks.load(batch)]
        )
        assert redis.hget(endpoint, "window") == (b"1" if kind is Kind.FAILED else None)
