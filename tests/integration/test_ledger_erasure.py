"""What an erasure leaves of a verification in the ledger: a mark, and nothing brings anything back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide, quarantine, to_routing
from worker.errors import InvalidInput
from worker.ledger import Ledger, Quarantine, Stats, transitions
from worker.ledger.decided import Decided, Known
from worker.ledger.decision_feed import Cursor, DecisionFeed
from worker.ledger.erasures import Closing, Erased, Erasures, Marked
from worker.ledger.models import Batch, Counts, Stage
from worker.ledger.scripts import prefix
from worker.ledger.webhooks import (
    DECIDED,
    DeliveryBatch,
    Kind,
    NewDelivery,
    Outcome,
    Wanted,
    Webhooks,
    delivery_id,
)

if TYPE_CHECKING:
    from redis import Redis

pytestmark = pytest.mark.every_server

PH = prefix("ph")


@pytest.fixture
def erasures(redis: Redis) -> Erasures:
    return Erasures(redis, retention_s=3600)


def mark(erasures: Erasures, signature_id: str, *, stored: bool = True) -> Marked:
    return erasures.mark("ph", signature_id, decision_id=decision_id("ph", signature_id), stored=stored)


def balanced(redis: Redis) -> Counts:
    counts = Stats(redis).counts("ph")
    assert counts.enqueued == (
        counts.waiting + counts.in_flight + counts.quarantined + counts.done + counts.dropped
    )
    return counts


def holding(redis: Redis, text: str) -> list[str]:
    """The keys and members of Redis that have a text."""
    client: Any = redis
    read: Any = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
    }
    found = [
        key for key in client.scan_iter() if text.encode() in key + repr(read[client.type(key)](key)).encode()
    ]
    return sorted(key.decode() for key in found)


def newest(redis: Redis) -> float:
    """The newest position of the feed."""
    found: Any = redis.zrange(f"{PH}feed", -1, -1, withscores=True)
    return float(found[0][1])


def new(signature_id: str, endpoint: str = "shop") -> NewDelivery:
    about = decision_id("ph", signature_id)
    return NewDelivery(
        delivery_id(endpoint, about), endpoint, DECIDED, f'{{"signature_id":"{signature_id}"}}'
    )


def delivering(ledger: Ledger, signature_id: str) -> None:
    batch, one = to_routing(ledger, signature_id)
    decision = f'{{"signature_id":"{signature_id}"}}'
    ledger.record(
        batch, [transitions.decide(one, name="approve", decision=decision, deliveries=(new(signature_id),))]
    )
    ledger.record(batch, [transitions.delivered(one, name="approve", by_celery=False)])


def send(webhooks: Webhooks, kind: Kind, tries: int = 1) -> None:
    for _ in range(tries):
        claim = webhooks.claim("ph", [Wanted("shop", 10)])
        (batch,) = claim.batches
        webhooks.record(
            batch, [Outcome(each.id, kind, fault="HTTP_400", in_s=0) for each in webhooks.load(batch)]
        )


def test_of_a_decided_one_only_the_mark_is_left(erasures: Erasures, ledger: Ledger, redis: Redis) -> None:
    decide(ledger, "keep")
    decide(ledger, "gone-1")
    Webhooks(redis).add(
        "ph", "gone-1", [NewDelivery("event-1", "shop", "evidence.completed", '{"a":"gone-1"}')]
    )
    assert mark(erasures, "gone-1") is Marked.MARKED
    assert holding(redis, "gone-1") == [f"{PH}erasing", f"{PH}v:gone-1"]
    assert redis.exists(f"{PH}webhook:event-1") == 0
    assert redis.zrange(f"{PH}due:webhook:shop", 0, -1) == []
    assert redis.pttl(f"{PH}v:gone-1") == -1
    status = ledger.status("ph", "gone-1")
    assert status
    assert (status.verification.stage, status.verification.reason, status.timeline) == (
        Stage.ERASED,
        "ERASING",
        (),
    )
    assert abs(status.verification.enqueued_at_ms - status.now_ms) < 60_000
    assert mark(erasures, "gone-1") is Marked.AGAIN
    erasures.finish("ph", "gone-1")
    assert 0 < redis.pttl(f"{PH}v:gone-1") <= 3_600_000
    status = ledger.status("ph", "gone-1")
    assert status
    assert status.verification.reason is None
    # An erasure that is repeated after its end keeps the mark until it ends again.
    assert mark(erasures, "gone-1") is Marked.AGAIN
    assert redis.pttl(f"{PH}v:gone-1") == -1
    assert balanced(redis).done == 2


def test_nothing_brings_an_erased_one_back(erasures: Erasures, ledger: Ledger, redis: Redis) -> None:
    """A second enqueue, a nudge, and late messages of its batch and of its delivery."""
    batch, one = to_routing(ledger, "a")
    ledger.record(batch, [transitions.decide(one, name="approve", decision="{}", deliveries=(new("a"),))])
    ledger.record(batch, [transitions.delivered(one, name="approve", by_celery=False)])
    webhooks = Webhooks(redis)
    send(webhooks, Kind.ACKNOWLEDGED)
    mark(erasures, "a")
    assert ledger.enqueue([EnqueueRequest("a", "ph")]) == [False]
    assert ledger.nudge("ph", ["a"]) == [False]
    for stage in (Stage.POLLING, Stage.ARCHIVING, Stage.ROUTING):
        assert ledger.load(Batch(batch.id, "ph", stage, ("a",))) == []
    assert not any(how.written for how in ledger.record(batch, [transitions.delivered(one, name="approve")]))
    assert webhooks.resend("ph", [new("a").id], who="maria") == [False]
    assert webhooks.load(DeliveryBatch("b", "ph", "shop", (new("a").id,))) == []
    assert Quarantine(redis, who="maria").retry("ph", ["a"]) == [False]
    assert [kept.known for kept in Decided(redis).read("ph", ["a"])] == [Known.UNKNOWN]
    assert holding(redis, new("a").id) == []
    assert ledger.claim("ph", limit=10).batches == ()
    status = ledger.status("ph", "a")
    assert status
    assert status.verification.stage is Stage.ERASED


def test_what_is_under_way_or_unknown_is_refused(erasures: Erasures, ledger: Ledger, redis: Redis) -> None:
    assert mark(erasures, "nobody", stored=False) is Marked.UNKNOWN
    assert holding(redis, "nobody") == []
    ledger.enqueue([EnqueueRequest("waits", "ph")])
    assert mark(erasures, "waits") is Marked.UNDER_WAY
    (batch,) = ledger.claim("ph", limit=1).batches
    assert mark(erasures, "waits") is Marked.UNDER_WAY
    assert [one.signature_id for one in ledger.load(batch)] == ["waits"]
    delivering(ledger, "sent")
    assert mark(erasures, "sent") is Marked.UNDER_WAY
    status = ledger.status("ph", "sent")
    assert status
    assert status.verification.stage is Stage.DELIVERING


def test_one_that_only_the_evidence_store_knows_is_marked(erasures: Erasures, ledger: Ledger) -> None:
    """The ledger forgot it after its retention: the mark keeps a second enqueue out during the erasure."""
    assert mark(erasures, "old") is Marked.MARKED
    assert ledger.enqueue([EnqueueRequest("old", "ph")]) == [False]


def test_one_whose_delivery_was_given_up_can_be_erased(
    erasures: Erasures, ledger: Ledger, redis: Redis
) -> None:
    """It would wait for a person for ever."""
    delivering(ledger, "a")
    webhooks = Webhooks(redis)
    redis.hset(f"{PH}webhook:{new('a').id}", "tries", 999)
    redis.hset(f"{PH}endpoint:shop", "success", round(time.time() * 1000) + 60_000)
    send(webhooks, Kind.FAILED)
    assert redis.hget(f"{PH}webhook:{new('a').id}", "state") == b"failed"
    assert mark(erasures, "a") is Marked.MARKED
    assert holding(redis, new("a").id) == []
    assert balanced(redis).done == 1


def test_one_in_quarantine_can_be_erased(erasures: Erasures, ledger: Ledger, redis: Redis) -> None:
    quarantine(ledger, "a")
    quarantine(ledger, "b")
    assert mark(erasures, "a") is Marked.MARKED
    counts = balanced(redis)
    assert (counts.quarantined, counts.dropped, counts.quarantine) == (1, 1, {"UNREADABLE": 1})
    assert holding(redis, "UNREADABLE") == [f"{PH}counts", f"{PH}t:b", f"{PH}v:b"]


def test_the_feed_goes_on_without_it(erasures: Erasures, ledger: Ledger, redis: Redis) -> None:
    """Neither its decision nor a gap is seen, also if it was the newest one; positions still only grow."""
    feed = DecisionFeed(redis, ["ph"])
    decide(ledger, "a")
    start = feed.read(Cursor()).cursor
    decide(ledger, "b")
    decide(ledger, "c")
    before = newest(redis)
    mark(erasures, "c")
    mark(erasures, "a")
    page = feed.read(start)
    assert [text for text in page.decisions if '"b"' not in text] == []
    assert (len(page.decisions), page.more) == (1, False)
    decide(ledger, "d")
    assert newest(redis) > before
    assert [len(feed.read(cursor).decisions) for cursor in (start, page.cursor)] == [2, 1]
    mark(erasures, "d")
    mark(erasures, "b")
    assert feed.read(start).decisions == ()


def test_positions_grow_after_the_newest_decision_was_erased(
    erasures: Erasures, ledger: Ledger, redis: Redis
) -> None:
    """Its position may be ahead of the clock. A reader at that position must see the next decision."""
    feed = DecisionFeed(redis, ["ph"])
    decide(ledger, "a")
    redis.zincrby(f"{PH}feed", 3_600_000_000, "a")
    reader = feed.read(Cursor()).cursor
    before = newest(redis)
    mark(erasures, "a")
    decide(ledger, "b")
    assert newest(redis) > before
    page = feed.read(reader)
    assert len(page.decisions) == 1
    assert feed.read(page.cursor).decisions == ()


def test_a_worker_that_meets_a_tombstone_ends_it_quietly(ledger: Ledger, redis: Redis) -> None:
    """After a lost Redis the ledger does not know: the evidence store does."""
    ledger.enqueue([EnqueueRequest("a", "ph", '{"name":"Juan"}')])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    assert all(how.written for how in ledger.record(batch, [transitions.erased(one)]))
    assert ledger.enqueue([EnqueueRequest("a", "ph")]) == [False]
    assert holding(redis, "Juan") == []
    assert redis.pttl(f"{PH}v:a") > 0
    assert balanced(redis).dropped == 1


def test_a_legal_hold_stops_an_erasure_until_its_release(
    erasures: Erasures, ledger: Ledger, redis: Redis
) -> None:
    decide(ledger, "a")
    erasures.hold("ph", "a")
    erasures.hold("ph", "a")
    assert mark(erasures, "a") is Marked.LEGAL_HOLD
    status = ledger.status("ph", "a")
    assert status
    assert status.verification.stage is Stage.DONE
    erasures.release("ph", "a")
    assert mark(erasures, "a") is Marked.MARKED
    with pytest.raises(Erased, match="cannot be held"):
        erasures.hold("ph", "a")
    assert redis.zcard(f"{PH}legal_holds") == 0


def test_of_several_closings_the_latest_counts_until_it_is_stored(erasures: Erasures, redis: Redis) -> None:
    now_ms = round(time.time() * 1000)
    assert erasures.close("ph", "a", now_ms - 5000) == now_ms - 5000
    assert erasures.close("ph", "a", now_ms - 9000) == now_ms - 5000
    (first,) = erasures.closings("ph")
    assert first == Closing("a", now_ms - 5000)
    assert erasures.closings("ph") == ()  # another worker has the turn
    later = erasures.close("ph", "a")
    assert later >= now_ms
    erasures.closings_stored("ph", [first])
    (second,) = erasures.closings("ph")
    assert second == Closing("a", later)
    erasures.closings_stored("ph", [second])
    assert erasures.closings("ph") == ()
    assert redis.exists(f"{PH}closings", f"{PH}closings:turn") == 0


def test_a_new_closing_time_stops_an_erasure_for_age_alone(erasures: Erasures, redis: Redis) -> None:
    def mark_over_age() -> Marked:
        return erasures.mark(
            "ph", "a", decision_id=decision_id("ph", "a"), stored=True, over_age=True, endpoints=("shop",)
        )

    erasures.close("ph", "a")
    assert mark_over_age() is Marked.CLOSING
    erasures.closings_stored("ph", erasures.closings("ph"))
    assert mark_over_age() is Marked.CLOSING
    assert 0 < redis.pttl(f"{PH}closings:stored") <= 600_000
    redis.zadd(f"{PH}closings:stored", {"a": time.time() * 1000 - 700_000})
    erasures.closings_stored("ph", [])
    assert mark_over_age() is Marked.MARKED
    erasures.finish("ph", "a")
    erasures.close("ph", "gone-1")
    assert mark(erasures, "gone-1") is Marked.MARKED
    assert holding(redis, "gone-1") == [f"{PH}erasing", f"{PH}v:gone-1"]


def test_a_closing_in_the_future_or_of_an_erased_one_is_refused(erasures: Erasures) -> None:
    with pytest.raises(InvalidInput, match="must not be in the future"):
        erasures.close("ph", "a", round(time.time() * 1000) + 3_600_000)
    mark(erasures, "a")
    with pytest.raises(Erased):
        erasures.close("ph", "a")


def test_acts_are_recorded(erasures: Erasures, redis: Redis) -> None:
    erasures.note("ph", "erase", "certificate 0123|x", who="maria")
    (event,) = Quarantine(redis, who="x").acts("ph")
    assert (event.name, event.detail, event.worker) == ("erase", "certificate 0123/x", "maria")
