"""Every decision in order: positions only grow, and a cursor skips nothing, whatever the clock does."""

from __future__ import annotations

import json
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide, decision_text
from tests.support.faketime import needs_faketime, server_ahead
from tests.support.ports import free_port
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.connection import connect
from worker.ledger.decision_feed import Cursor, CursorExpired, DecisionFeed
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from worker.ledger.models import Verification

FEED = f"{prefix('ph')}feed"
GONE = f"{prefix('ph')}feed:gone"
DAY_US = 86_400 * 1_000_000


def names(feed: DecisionFeed, cursor: Cursor, limit: int = 100) -> tuple[list[str], Cursor]:
    page = feed.read(cursor, limit)
    return [json.loads(text)["signature_id"] for text in page.decisions], page.cursor


def all_names(feed: DecisionFeed, cursor: Cursor, limit: int = 100) -> list[str]:
    found: list[str] = []
    while True:
        page = feed.read(cursor, limit)
        found += [json.loads(text)["signature_id"] for text in page.decisions]
        cursor = Cursor.parse(page.cursor.text)
        if not page.more:
            return found


def in_order(redis: Redis) -> list[tuple[str, float]]:
    """The names and positions that Redis has."""
    found: list[Any] = redis.zrange(FEED, 0, -1, withscores=True)
    return [(name.decode(), position) for name, position in found]


@pytest.fixture
def feed(redis: Redis) -> DecisionFeed:
    return DecisionFeed(redis, ("ph", "sg"))


@pytest.mark.every_server
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_decisions_of_all_regions_come_in_order_in_pages_of_any_size(
    ledger: Ledger, feed: DecisionFeed, limit: int
) -> None:
    made = [("a", "ph"), ("b", "sg"), ("c", "sg"), ("d", "ph"), ("e", "ph"), ("f", "sg")]
    for name, region in made:
        decide(ledger, name, region)
    assert all_names(feed, Cursor(), limit) == [name for name, _ in made]


@pytest.mark.every_server
def test_a_reader_at_the_end_gets_what_is_new_and_nothing_twice(ledger: Ledger, feed: DecisionFeed) -> None:
    found, cursor = names(feed, Cursor())
    assert found == []
    for name in ("a", "b"):
        decide(ledger, name)
        found, cursor = names(feed, Cursor.parse(cursor.text))
        assert found == [name]
        assert names(feed, cursor)[0] == []
    decide(ledger, "c", "sg")
    assert names(feed, cursor)[0] == ["c"]


def test_a_decision_is_in_the_feed_with_its_bytes_before_it_is_delivered(
    ledger: Ledger, feed: DecisionFeed
) -> None:
    decide(ledger, "a", deliver=False)
    assert feed.read(Cursor()).decisions == (decision_text("a"),)


def test_a_decision_that_is_delivered_again_is_in_the_feed_once(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    decide(ledger, "a", deliver=False)
    _, cursor = names(feed, Cursor())
    redis.zadd(f"{prefix('ph')}due:routing", {"a": 0})
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.decide(one, name="approve", decision=one.decision or "")])
    ledger.record(batch, [transitions.delivered(one, name="approve")])
    assert names(feed, cursor)[0] == []
    assert all_names(feed, Cursor()) == ["a"]


def test_a_batch_that_lost_its_lease_puts_nothing_into_the_feed(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    stranger = Batch("other", "ph", Stage.POLLING, ("a",))
    ledger.record(stranger, [transitions.decide(one, name="approve", decision="{}")])
    assert redis.zcard(FEED) == 0


def routed(ledger: Ledger, names: list[str]) -> tuple[Batch, list[Verification]]:
    """A batch that is about to decide."""
    ledger.enqueue([EnqueueRequest(name, "ph") for name in names])
    (batch,) = ledger.claim("ph", limit=len(names)).batches
    heard = Heard("result")
    loaded = ledger.load(batch)
    ledger.record(
        batch,
        [transitions.settle(one, heard, overall_result="PASS", error_code="SUCCESS") for one in loaded],
    )
    batch = Batch(batch.id, "ph", Stage.ARCHIVING, batch.signature_ids)
    ledger.record(batch, [transitions.archived(one, EvidenceState.COMPLETE) for one in ledger.load(batch)])
    batch = Batch(batch.id, "ph", Stage.ROUTING, batch.signature_ids)
    return batch, ledger.load(batch)


def test_the_decisions_of_one_batch_have_their_own_positions(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    batch, ones = routed(ledger, [f"v{number}" for number in range(64)])
    ledger.record(
        batch,
        [transitions.decide(one, name="approve", decision=decision_text(one.signature_id)) for one in ones],
    )
    positions = [position for _, position in in_order(redis)]
    assert len(set(positions)) == 64
    assert all_names(feed, Cursor(), 7) == [one.signature_id for one in ones]


def test_readers_beside_many_writers_miss_nothing(redis: Redis, redis_url: str) -> None:
    """Four writers decide, each in batches, while a reader follows with pages of random sizes."""
    writers = 4
    seen: list[str] = []
    done = threading.Event()

    def write(number: int) -> None:
        mine = Ledger(connect(redis_url))
        for count in range(25):
            name = f"w{number}-{count}"
            mine.enqueue([EnqueueRequest(name, "ph")])
            for batch in mine.claim("ph", limit=8).batches:
                # Whatever stage it is at: a decision can be recorded by who holds it.
                mine.record(
                    batch,
                    [
                        transitions.decide(one, name="approve", decision=decision_text(one.signature_id))
                        for one in mine.load(batch)
                    ],
                )

    def read() -> None:
        mine, cursor = DecisionFeed(connect(redis_url), ("ph",)), Cursor()
        while True:
            last = done.is_set()
            page = mine.read(cursor, random.randint(1, 20))
            seen.extend(json.loads(text)["signature_id"] for text in page.decisions)
            cursor = Cursor.parse(page.cursor.text)
            if last and not page.more:
                return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    reader = threading.Thread(target=read)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    in_redis = [name for name, _ in in_order(redis)]
    assert len(in_redis) == writers * 25
    assert seen == in_redis


def age(redis: Redis, name: str, by_us: int) -> None:
    redis.zincrby(FEED, -by_us, name)


def test_decisions_are_kept_for_the_retention_and_the_newest_for_longer(redis: Redis) -> None:
    ledger, feed = Ledger(redis, retention_s=3600), DecisionFeed(redis, ("ph",))
    for name in ("old", "older", "new"):
        decide(ledger, name)
    for name, by_us in (("old", DAY_US), ("older", 2 * DAY_US), ("new", 1_000_000)):
        age(redis, name, by_us)
    assert all_names(feed, Cursor()) == ["older", "old", "new"]
    decide(ledger, "newer")
    assert all_names(feed, Cursor()) == ["new", "newer"]
    for name in ("new", "newer"):
        age(redis, name, 3 * DAY_US)
    assert all_names(feed, Cursor()) == ["new", "newer"]
    decide(ledger, "newest")
    assert all_names(feed, Cursor()) == ["newest"]


def test_a_cursor_from_before_what_was_removed_is_refused(redis: Redis) -> None:
    """Also one that a reader got while the feed was empty. A reader who has read all that was removed goes on."""
    ledger, feed = Ledger(redis, retention_s=3600), DecisionFeed(redis, ("ph",))
    _, empty = names(feed, Cursor())
    decide(ledger, "first")
    _, after_first = names(feed, empty)
    decide(ledger, "second")
    _, after_second = names(feed, after_first)
    for name in ("first", "second"):
        age(redis, name, DAY_US)
    moved = Cursor({"ph": after_second.positions["ph"] - DAY_US})
    decide(ledger, "third")
    assert names(feed, moved)[0] == ["third"]
    for cursor in (empty, Cursor({"ph": after_first.positions["ph"] - DAY_US})):
        with pytest.raises(CursorExpired, match="read from the beginning"):
            feed.read(cursor)
    assert all_names(feed, Cursor()) == ["third"]


def test_a_thousand_old_decisions_are_removed_at_a_time(redis: Redis) -> None:
    ledger = Ledger(redis, retention_s=3600)
    redis.zadd(FEED, {f"v{number}": number + 1 for number in range(2500)})
    for left in (1501, 502, 3):
        decide(ledger, f"d{left}")
        assert redis.zcard(FEED) == left
    assert redis.get(GONE) == b"2500"


def test_a_region_that_is_new_in_the_settings_is_read_from_its_beginning(
    ledger: Ledger, redis: Redis
) -> None:
    decide(ledger, "a", "ph")
    decide(ledger, "b", "sg")
    _, cursor = names(DecisionFeed(redis, ("ph",)), Cursor())
    found, cursor = names(DecisionFeed(redis, ("ph", "sg")), cursor)
    assert found == ["b"]
    # And one that is left out keeps its place.
    _, narrow = names(DecisionFeed(redis, ("ph",)), cursor)
    assert names(DecisionFeed(redis, ("ph", "sg")), narrow)[0] == []


def test_a_feed_that_lost_its_end_in_a_failover_is_read_again(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    """The replica's clock is behind: its new decisions have positions before the reader's cursor."""
    decide(ledger, "kept")
    decide(ledger, "lost")
    _, cursor = names(feed, Cursor())
    redis.zrem(FEED, "lost")
    ahead = Cursor(dict(cursor.positions) | {"ph": cursor.positions["ph"] + 3_000_000})
    decide(ledger, "new")
    found, cursor = names(feed, ahead)
    assert found == ["kept", "new"]
    assert names(feed, cursor)[0] == []


@needs_faketime
def test_no_position_goes_back_with_the_clock(tmp_path: Path) -> None:
    """The clock leaps ahead by hours and comes back; a reader follows all the while."""
    port = free_port()
    ledger = Ledger(connect(f"redis://127.0.0.1:{port}/0"))
    feed = DecisionFeed(connect(f"redis://127.0.0.1:{port}/0"), ("ph",))
    seen: list[str] = []
    cursor = Cursor()
    expected = []
    for number, ahead_s in enumerate((0, 3 * 3600, 0, -3600, 0)):
        with server_ahead(tmp_path, port, ahead_s) as redis:
            for name in (f"v{number}-a", f"v{number}-b"):
                decide(ledger, name)
                expected.append(name)
            found, cursor = names(feed, Cursor.parse(cursor.text))
            seen += found
            positions = [position for _, position in in_order(redis)]
            assert positions == sorted(set(positions))
            assert [name for name, _ in in_order(redis)] == expected
    assert seen == expected


def test_the_feed_and_the_counters_agree(ledger: Ledger, redis: Redis) -> None:
    for number in range(5):
        decide(ledger, f"v{number}")
    assert redis.zcard(FEED) == Stats(redis).counts("ph").done == 5


@pytest.mark.every_server
@pytest.mark.parametrize("score", ["inf", "-inf", 1e300])
def test_a_position_that_no_script_wrote_hides_no_decision(
    redis: Redis, ledger: Ledger, feed: DecisionFeed, score: Any
) -> None:
    decide(ledger, "a")
    redis.zadd(FEED, {"odd": score})
    decide(ledger, "b")
    _, before = names(feed, Cursor(), 1)
    assert all_names(feed, before, 1) == ["b"]
    decide(ledger, "c")
    assert all_names(feed, before, 1) == ["b", "c"]
    assert all_names(feed, Cursor()) == ["a", "b", "c"]
