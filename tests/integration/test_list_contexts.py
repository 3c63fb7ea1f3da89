"""Pages of a search by the context, and how far a page has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from worker.errors import LedgerUnavailable
from worker.ledger.connection import connect
from worker.ledger.models import Stage
from worker.ledger.pages import SLICE, Bounds, Filter, Position, most, page

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger import Ledger

REGIONS = ("ph", "sg")
WANTED = Filter(context=("application", "42"))


def fill(ledger: Ledger, count: int, matching: int) -> list[str]:
    """Verifications of two regions, of which every so many have the wanted context. Returns those."""
    names = [f"v{number:05}" for number in range(count)]
    found = set(names[:: count // matching][:matching])
    ledger.enqueue(
        [
            EnqueueRequest(name, REGIONS[number % 2], f'{{"application":{42 if name in found else 7}}}')
            for number, name in enumerate(names)
        ]
    )
    return sorted(found)


def everything(redis: Redis, wanted: Filter, bounds: Bounds, limit: int = 50) -> tuple[list[str], int, int]:
    """What all pages have, how many they looked at, and how many pages they are."""
    found, searched, pages = list[str](), 0, 0
    start: Position | None = Position()
    while start is not None:
        one = page(redis, REGIONS, wanted, start, limit, bounds=bounds)
        found += [each.signature_id for each in one.verifications]
        searched, pages, start = searched + one.searched, pages + 1, one.following
        assert pages < 1000
    return sorted(found), searched, pages


@pytest.mark.every_server
@pytest.mark.parametrize("slices", [1, 3, 1000])
def test_every_page_continues_and_all_are_looked_at_once(redis: Redis, ledger: Ledger, slices: int) -> None:
    names = fill(ledger, 1000, 20)
    found, searched, pages = everything(redis, WANTED, Bounds(slices, 60.0))
    assert (found, searched) == (names, 1000)
    assert most(redis, REGIONS, WANTED) == 1000
    # Each verification has two keys or more, and a slice is about as many of them.
    assert pages >= 1000 // (SLICE * slices)


@pytest.mark.parametrize("stage", [None, Stage.POLLING])
@pytest.mark.parametrize("limit", [1, 7, 50])
def test_pages_that_are_full_count_what_they_passed(
    redis: Redis, ledger: Ledger, stage: Stage | None, limit: int
) -> None:
    names = fill(ledger, 300, 60)
    wanted = Filter(stage=stage, context=WANTED.context)
    found, searched, _ = everything(redis, wanted, Bounds(), limit)
    assert (found, searched) == (names, 300)


def test_the_most_is_what_the_sets_hold_or_the_keys(redis: Redis, ledger: Ledger) -> None:
    fill(ledger, 40, 2)
    assert most(redis, ("ph",), Filter(stage=Stage.POLLING)) == 20
    assert most(redis, REGIONS, Filter(stage=Stage.QUARANTINED)) == 0
    assert most(redis, REGIONS, Filter(decision="approve")) == 40
    # What was forgotten long ago counts no more than there are keys.
    redis.hset("ekyc:{ph}:counts", "enqueued", 10_000_000)
    assert 40 <= most(redis, REGIONS, Filter(decision="approve")) < 200


def test_an_account_that_may_not_ask_for_the_number_of_keys_still_searches(
    redis: Redis, ledger: Ledger
) -> None:
    names = fill(ledger, 40, 2)
    redis.acl_setuser("lister", enabled=True, nopass=True, keys="*", commands=["+@all", "-dbsize"])
    port = redis.connection_pool.connection_kwargs["port"]
    with connect(f"redis://lister:x@127.0.0.1:{port}/0") as other:
        assert most(other, REGIONS, WANTED) == 40
        assert everything(other, WANTED, Bounds())[0] == names
    redis.acl_deluser("lister")


def test_a_redis_that_is_away_is_said_to_be(unused_port: int) -> None:
    with (
        connect(f"redis://127.0.0.1:{unused_port}/0", timeout_s=0.2) as away,
        pytest.raises(LedgerUnavailable),
    ):
        most(away, REGIONS, WANTED)
