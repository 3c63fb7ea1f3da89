"""A reader of the feed learns that decisions are no longer kept, also where no newer decision removed their entries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.drive_ledger import decide
from worker.ledger.decision_feed import Cursor, CursorExpired, DecisionFeed
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger import Ledger

BASE = prefix("ph")


@pytest.fixture
def feed(redis: Redis) -> DecisionFeed:
    return DecisionFeed(redis, ("ph", "sg"))


def read(feed: DecisionFeed, cursor: Cursor, limit: int = 100) -> tuple[list[str], Cursor, bool]:
    page = feed.read(cursor, limit)
    names = [json.loads(text)["signature_id"] for text in page.decisions]
    return names, Cursor.parse(page.cursor.text), page.more


def walk(feed: DecisionFeed, limit: int) -> tuple[list[str], Cursor]:
    """Everything from the beginning to the end."""
    names, cursor, more = read(feed, Cursor(), limit)
    while more:
        found, cursor, more = read(feed, cursor, limit)
        names += found
    return names, cursor


def forget(redis: Redis, *names: str) -> None:
    """As the end of the retention does: the hash goes, the entry of the feed stays."""
    redis.delete(*(f"{BASE}v:{name}" for name in names))


@pytest.mark.every_server
def test_a_reader_is_told_of_decisions_that_expired_before_it_read_them(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    decide(ledger, "read")
    _, cursor = walk(feed, 100)
    for name in ("unread", "newer"):
        decide(ledger, name)
    forget(redis, "unread")
    with pytest.raises(CursorExpired, match="read from the beginning"):
        feed.read(cursor)


def test_a_reader_that_has_read_what_expired_continues(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    decide(ledger, "read")
    _, cursor = walk(feed, 100)
    forget(redis, "read")
    decide(ledger, "newer")
    assert read(feed, cursor)[0] == ["newer"]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_reading_from_the_beginning_passes_what_expired_before_it_began(
    ledger: Ledger, redis: Redis, feed: DecisionFeed, limit: int
) -> None:
    """A decision that was delivered late is kept for longer than those around it."""
    for name in ("a", "late", "b", "c", "kept"):
        decide(ledger, name)
    forget(redis, "a", "b", "c")
    names, cursor = walk(feed, limit)
    assert names == ["late", "kept"]
    assert cursor.begun == {}
    decide(ledger, "unread")
    forget(redis, "unread")
    with pytest.raises(CursorExpired):
        feed.read(cursor)


def test_what_expires_after_the_reader_began_beyond_its_beginning_is_not_passed(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    for name in ("a", "b"):
        decide(ledger, name)
    _, cursor, _ = read(feed, Cursor(), 1)
    decide(ledger, "c")
    forget(redis, "c")
    names, cursor, _ = read(feed, cursor, 1)
    assert names == ["b"]
    with pytest.raises(CursorExpired):
        feed.read(cursor)


def test_the_beginning_of_a_region_can_be_read_after_a_first_page_of_another(
    ledger: Ledger, redis: Redis, feed: DecisionFeed
) -> None:
    """The first page leaves the region at 0, and decisions after 0 were removed before the reader began."""
    decide(ledger, "first", "sg")
    decide(ledger, "second", "ph")
    redis.set(f"{BASE}feed:gone", "1")
    assert walk(feed, 1)[0] == ["first", "second"]


def test_cursors_of_earlier_releases_are_read(ledger: Ledger, feed: DecisionFeed) -> None:
    decide(ledger, "a")
    _, cursor = walk(feed, 100)
    assert Cursor.parse(Cursor(cursor.positions).text) == Cursor(cursor.positions)
    begun = Cursor({"ph": 5, "sg": 7}, {"ph": 10**15})
    assert Cursor.parse(begun.text) == begun
