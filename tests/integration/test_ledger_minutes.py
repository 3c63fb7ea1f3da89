"""The lines from which the figures of the last hour are computed: what a claim writes, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.drive_ledger import decide
from worker.ledger import Stats
from worker.ledger.histograms import (
    ENQUEUED_TO_DECIDED,
    POLL_LATENESS,
    PREFIX,
    SETTLED_TO_DECIDED,
    VENDOR_CALL,
)
from worker.ledger.hour import MINUTES, Line

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger import Ledger

pytestmark = pytest.mark.every_server

KEY = "ekyc:{ph}:minutes"
COUNTS = "ekyc:{ph}:counts"


def lines(redis: Redis) -> list[bytes]:
    found: Any = redis.lrange(KEY, 0, -1)
    return list(found)


def next_minute(redis: Redis) -> None:
    """Let the next claim be the first one of a minute."""
    for copy in redis.keys("ekyc:{ph}:counts:*"):
        redis.delete(copy)


def test_the_first_claim_of_a_minute_writes_a_line_with_the_counters(redis: Redis, ledger: Ledger) -> None:
    decide(ledger, "one")
    next_minute(redis)
    for _ in range(5):
        ledger.claim("ph", limit=1)
    counts = Stats(redis).counts("ph")
    line = Line.read(lines(redis)[-1])
    assert line is not None
    assert (line.enqueued, line.polls, line.decided, line.leases_expired) == (1, 1, 1, 0)
    assert line.took == counts.took
    assert ENQUEUED_TO_DECIDED.read(line.took).count == 1
    assert counts.read_at_ms - 60_000 < line.at_ms <= counts.read_at_ms
    # The claim of `decide` was of an earlier minute.
    assert len(lines(redis)) == 2


def test_a_counter_that_is_no_number_fails_no_claim(redis: Redis, ledger: Ledger) -> None:
    redis.hset(COUNTS, "decision:x", "abc")
    ledger.enqueue([EnqueueRequest("one", "ph")])
    assert ledger.claim("ph", limit=1).batches
    assert Line.read(lines(redis)[-1]) is not None


def test_the_lines_are_as_many_as_an_hour_needs_and_end(redis: Redis, ledger: Ledger) -> None:
    redis.rpush(KEY, *(b"1|0|0|0|0|" for _ in range(500)))
    ledger.claim("ph", limit=1)
    assert len(lines(redis)) == MINUTES + 2
    assert 0 < redis.pttl(KEY) <= (MINUTES + 2) * 60_000


def test_the_lines_of_a_busy_region_are_small(redis: Redis, ledger: Ledger) -> None:
    """At most 100 kB, as docs/redis.md says: every bucket of every histogram has counted millions."""
    counters: dict[Any, Any] = {
        f"{PREFIX}{timing.name}:{bucket}": 12_345_678
        for timing in (VENDOR_CALL, ENQUEUED_TO_DECIDED, SETTLED_TO_DECIDED, POLL_LATENESS)
        for bucket in (*(f"{bound:g}" for bound in timing.bounds_s), "inf", "ms")
    }
    redis.hset(COUNTS, mapping=counters | {"enqueued": 12_345_678, "decision:approve": 12_345_678})
    for _ in range(MINUTES + 2):
        next_minute(redis)
        ledger.claim("ph", limit=1)
    assert len(lines(redis)) == MINUTES + 2
    size: Any = redis.memory_usage(KEY, samples=0)
    assert 20_000 < size < 110_000


def test_the_last_hour_ends_with_this_moment(redis: Redis, ledger: Ledger) -> None:
    stats = Stats(redis)
    ledger.claim("ph", limit=1)
    decide(ledger, "one")
    hour = stats.hour("ph", stats.counts("ph"))
    assert hour.growth(lambda line: line.enqueued) == 1
    delay = hour.delay(ENQUEUED_TO_DECIDED)
    assert delay is not None
    assert delay.count == 1
    assert stats.hour("sg", stats.counts("sg")).growth(lambda line: line.enqueued) == 0


@pytest.mark.parametrize(
    ("late_s", "bucket"),
    [(0.06, "0.25"), (0.3, "1"), (30, "60"), (3599, "3600"), (4000, "inf")],
)
def test_a_claim_counts_how_late_its_oldest_poll_is(
    redis: Redis, ledger: Ledger, late_s: float, bucket: str
) -> None:
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(3)])
    seconds, micros = redis.time()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    redis.zadd("ekyc:{ph}:due:polling", {"v1": now_ms - round(late_s * 1000)})
    assert sum(len(batch.signature_ids) for batch in ledger.claim("ph", limit=64).batches) == 3
    ledger.claim("ph", limit=64)
    took = Stats(redis).counts("ph").took
    late = POLL_LATENESS.read(took)
    assert late.count == 1
    assert took[f"poll_lateness:{bucket}"] == 1


def test_a_hold_makes_no_poll_late(redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("v", "ph")])
    seconds, _ = redis.time()
    redis.zadd("ekyc:{ph}:due:polling", {"v": int(seconds) * 1000 - 600_000})
    redis.hset("ekyc:{ph}:hold", mapping={"until": int(seconds) * 1000 - 500, "reason": "VENDOR_BUSY"})
    ledger.claim("ph", limit=1)
    found = POLL_LATENESS.read(Stats(redis).counts("ph").took)
    (below,) = [count for bound, count in found.buckets if bound == 300]
    assert below == 1


def test_the_bounds_of_the_script_are_those_of_the_histogram(redis: Redis, ledger: Ledger) -> None:
    """A bucket that the histogram does not know would not be read."""
    for number, bound in enumerate((*POLL_LATENESS.bounds_s, 10_000.0)):
        ledger.enqueue([EnqueueRequest(f"v{number}", "ph")])
        seconds, _ = redis.time()
        late_ms = round(bound * 1000 * 0.98) if bound > 1 else 0
        redis.zadd("ekyc:{ph}:due:polling", {f"v{number}": int(seconds) * 1000 - late_ms})
        ledger.claim("ph", limit=1)
    took = Stats(redis).counts("ph").took
    written = {name for name in took if name.startswith("poll_lateness:")}
    known = {f"poll_lateness:{bound:g}" for bound in POLL_LATENESS.bounds_s} | {"poll_lateness:inf"}
    assert written <= known
    assert len(written) >= 6
    assert POLL_LATENESS.read(took).count == len(POLL_LATENESS.bounds_s) + 1
