"""Pages of a list while verifications come and go: what does not change is listed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from worker.ledger.models import Stage
from worker.ledger.pages import SLICE, Filter, Position, most, page
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger import Ledger

PH = prefix("ph")
POLLING = Filter(stage=Stage.POLLING)


def fill(ledger: Ledger, names: list[str]) -> None:
    ledger.enqueue([EnqueueRequest(name, "ph") for name in names])


def read(
    redis: Redis, start: Position, limit: int, wanted: Filter = POLLING
) -> tuple[list[str], Position | None]:
    """A page; its position goes through the text of a cursor."""
    found = page(redis, ["ph"], wanted, start, limit)
    following = None if found.following is None else Position.of_cursor(found.following.cursor())
    assert following == found.following
    return [one.signature_id for one in found.verifications], following


def rest(redis: Redis, start: Position | None, limit: int, wanted: Filter = POLLING) -> list[str]:
    names: list[str] = []
    while start is not None:
        found, start = read(redis, start, limit, wanted)
        names += found
    return names


@pytest.mark.every_server
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("limit", [1, 50, 100])
def test_what_leaves_the_stage_before_the_position_makes_no_other_one_be_missed(
    redis: Redis, ledger: Ledger, limit: int, spread: bool
) -> None:
    names = [f"v{number:04}" for number in range(2 * SLICE + 50)]
    fill(ledger, names)
    if spread:
        redis.zadd(f"{PH}due:polling", {name: number // 3 for number, name in enumerate(names)})
    first, following = read(redis, Position(), limit)
    # Also the last one of the page, whose place the cursor names.
    redis.zrem(f"{PH}due:polling", *first)
    assert first + rest(redis, following, 100) == names


@pytest.mark.every_server
def test_what_joins_before_the_position_is_not_listed_and_lists_nothing_twice(
    redis: Redis, ledger: Ledger
) -> None:
    names = [f"v{number:04}" for number in range(100)]
    fill(ledger, names)
    redis.zadd(f"{PH}due:polling", dict.fromkeys(names, 1_800_000_000_000))
    first, following = read(redis, Position(), 30)
    fill(ledger, ["early-1", "early-2"])
    assert first + rest(redis, following, 7) == names


def test_ids_of_one_moment_are_compared_by_their_bytes(redis: Redis, ledger: Ledger) -> None:
    names = sorted(["a", "B", "_", "-", "0", "aa", "aB", "a-", "Z9", "b"])
    fill(ledger, names)
    redis.zadd(f"{PH}due:polling", dict.fromkeys(names, 5))
    for limit in range(1, len(names) + 1):
        first, following = read(redis, Position(), limit)
        redis.zrem(f"{PH}due:polling", first[-1])
        assert first + rest(redis, following, 3) == names
        redis.zadd(f"{PH}due:polling", {first[-1]: 5})


@pytest.mark.every_server
@pytest.mark.parametrize("wanted", [Filter(), Filter(since_ms=0)])
@pytest.mark.parametrize("limit", [1, 2, 20, 100])
def test_what_is_forgotten_meanwhile_makes_no_other_one_of_all_keys_be_missed(
    redis: Redis, ledger: Ledger, limit: int, wanted: Filter
) -> None:
    """The first verifications of each of several pages are forgotten before the next page is read."""
    names = {f"v{number:04}" for number in range(300)}
    fill(ledger, sorted(names))
    listed: list[str] = []
    forgotten: set[str] = set()
    following: Position | None = Position()
    for _ in range(3):
        assert following is not None
        found, following = read(redis, following, limit, wanted)
        assert len(found) <= limit
        listed += found
        forgotten |= {*found[: max(1, limit // 2)]}
        redis.delete(*(f"{PH}{kind}:{name}" for kind in "vt" for name in forgotten))
        if following is None:
            break
    listed += rest(redis, following, limit, wanted)
    assert names - forgotten <= {*listed}
    assert len(listed) <= 2 * len(names)


@pytest.mark.parametrize(
    "position",
    [
        Position(),
        Position(3, 2**64 - 1),
        Position(10, 5, "shop"),
        Position(10, 5, "p" * 32, "a" * 64),
        Position(0, 2**64 - 1, "", "global_" + "a" * 64),
        Position(1, 1_800_000_000_000, "", "-_a"),
    ],
)
def test_a_cursor_holds_the_whole_position(position: Position) -> None:
    assert Position.of_cursor(position.cursor()) == position


@pytest.mark.every_server
@pytest.mark.parametrize("score", ["inf", "-inf", 1e300])
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_moments_that_no_script_wrote_end_no_list(
    redis: Redis, ledger: Ledger, limit: int, score: Any
) -> None:
    names = ["a", "b", "c"]
    fill(ledger, [*names, "odd-1", "odd-2"])
    redis.zadd(f"{PH}due:polling", {"odd-1": score, "odd-2": score})
    found = rest(redis, Position(), limit)
    assert sorted(each for each in found if each in names) == names
    assert len(found) == len(set(found))


def test_keys_and_counters_that_are_none_end_no_list(redis: Redis, ledger: Ledger) -> None:
    fill(ledger, ["a", "b"])
    for key in (b"\xff", "ü".encode(), b"b/c", b""):
        redis.hset(b"ekyc:{ph}:v:" + key, "x", "y")
    assert sorted(rest(redis, Position(), 1, Filter())) == ["a", "b"]
    redis.hset(f"{PH}counts", "enqueued", "x")
    assert most(redis, ["ph"], Filter()) == 0
