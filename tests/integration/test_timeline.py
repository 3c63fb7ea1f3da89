"""The timeline of a verification: two bounded lists in Redis, read as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Quarantine, scripts, transitions
from worker.ledger.codec import timeline
from worker.ledger.scripts import prefix

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger.models import Batch, Event, Verification

pytestmark = pytest.mark.every_server

PH = prefix("ph")
STEPS: Final = f"{PH}t:a"
FAULTS: Final = f"{PH}f:a"

MOST_FAULTS: Final = 32
MOST_STEPS: Final = 64

#: What follows the common part: `note` as every script calls it, with a clock of the test's own.
_NOTE: Final = "\nfor at = 1, #ARGV, 4 do note('a', tonumber(ARGV[at]), unpack(ARGV, at + 1, at + 3)) end"


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    ledger = Ledger(redis, worker="w1")
    ledger.enqueue([EnqueueRequest("a", "ph")])
    return ledger


def take(ledger: Ledger) -> tuple[Batch, Verification]:
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    return batch, one


def fail(ledger: Ledger, cause: str) -> None:
    batch, one = take(ledger)
    ledger.record(batch, [transitions.retry(one, in_s=0, cause=cause)])


def quarantined_and_retried(ledger: Ledger, redis: Redis) -> None:
    """Three steps."""
    batch, one = take(ledger)
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE", detail="data.x")])
    assert Quarantine(redis, who="maria").retry("ph", ["a"]) == [True]


def events_of(ledger: Ledger) -> tuple[Event, ...]:
    status = ledger.status("ph", "a")
    assert status is not None
    return status.timeline


def test_faults_and_steps_are_kept_apart_and_read_by_time(ledger: Ledger, redis: Redis) -> None:
    fail(ledger, "HTTP_500")
    quarantined_and_retried(ledger, redis)
    fail(ledger, "TIMEOUT")
    assert [event.name for event in events_of(ledger)] == [
        "fault",
        "refused",
        "quarantined",
        "retried",
        "fault",
    ]
    assert (redis.llen(STEPS), redis.llen(FAULTS)) == (3, 2)


def test_a_verification_without_a_fault_has_no_list_of_faults(ledger: Ledger, redis: Redis) -> None:
    """A waiting verification has the keys it needs, and no other."""
    batch, one = take(ledger)
    heard = transitions.Heard("pending", "d3fde1547eeaf226", nulls=1, submitted=True)
    ledger.record(batch, [transitions.repoll(one, heard, in_s=3600, event="submitted")])
    assert set(redis.keys(f"{PH}*:a")) == {f"{PH}v:a".encode(), STEPS.encode()}


def test_the_end_of_a_verification_is_the_end_of_both_lists(ledger: Ledger, redis: Redis) -> None:
    fail(ledger, "HTTP_500")
    batch, one = take(ledger)
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE", detail="data.x")])
    assert Quarantine(redis, who="maria", retention_s=60).drop("ph", ["a"], why="test") == [True]
    assert all(0 < redis.pttl(name) <= 60_000 for name in (STEPS, FAULTS, f"{PH}v:a"))


def test_faults_expire_though_an_older_release_ends_the_verification(ledger: Ledger, redis: Redis) -> None:
    """It knows the hash and the list of steps alone; what it does not know may not stay for ever."""
    fail(ledger, "HTTP_500")
    assert 89 * 86_400_000 < redis.pttl(FAULTS) <= 90 * 86_400_000
    redis.pexpire(FAULTS, 60_000)
    fail(ledger, "HTTP_500")
    assert 0 < redis.pttl(FAULTS) <= 60_000


def of_an_older_release(redis: Redis, steps: int, faults: int) -> list[bytes]:
    """A timeline in one list, as an older release leaves it. Returns its lines."""
    lines = [b"1700000000000|left_out|faults x71 within 5230.842 s|"]
    lines += [b"1700000000%03d|retried|UNREADABLE|maria" % number for number in range(steps)]
    lines += [b"1700000001%03d|fault|CODE_%d x2|4711@host" % (number, number) for number in range(faults)]
    redis.rpush(STEPS, *lines)
    return lines


def test_what_an_older_release_wrote_is_read_as_it_was(ledger: Ledger, redis: Redis) -> None:
    lines = of_an_older_release(redis, 40, 32)
    told = events_of(ledger)
    assert [f"{each.at_ms}|{each.name}|{each.detail}|{each.worker}".encode() for each in told] == lines
    fail(ledger, "NEWEST")
    assert events_of(ledger)[:-1] == told
    assert (events_of(ledger)[-1].name, events_of(ledger)[-1].detail) == ("fault", "NEWEST")


def test_faults_of_an_older_release_push_out_no_step(ledger: Ledger, redis: Redis) -> None:
    """They count as no steps, though they are in the list of steps."""
    of_an_older_release(redis, 40, 32)
    before = events_of(ledger)
    for _ in range(8):
        quarantined_and_retried(ledger, redis)
    told = events_of(ledger)
    assert told[: len(before)] == before
    assert [event.name for event in told[len(before) :]] == ["refused", "quarantined", "retried"] * 8
    quarantined_and_retried(ledger, redis)
    told = events_of(ledger)
    assert [event.detail.split(" within")[0] for event in told if event.name == "left_out"] == [
        "steps x3",
        "faults x71",
    ]
    assert sum(event.name not in {"left_out", "fault"} for event in told) == MOST_STEPS
    assert sum(event.name == "fault" for event in told) == 32


def test_an_older_release_finds_the_steps_where_it_looks(ledger: Ledger, redis: Redis) -> None:
    """It reads one list, and takes a line apart at its first three separators."""
    fail(ledger, "HTTP_500")
    quarantined_and_retried(ledger, redis)
    lines: Any = redis.lrange(STEPS, 0, -1)
    told = [line.decode().split("|", 3) for line in lines]
    assert [(event, worker) for _, event, _, worker in told] == [
        ("refused", "w1"),
        ("quarantined", "w1"),
        ("retried", "maria"),
    ]


#: What happens to a verification: a step, or a fault for one of few causes or for one of many.
_steps = st.tuples(st.sampled_from(["retried", "refused", "settled"]), st.just("x"), st.just("maria"))
_faults = st.tuples(
    st.sampled_from(["fault", "fault", "fault", "lease_expired", "worker_stuck"]),
    st.one_of(st.sampled_from(["A", "B"]), st.integers(0, 40).map(lambda number: f"CODE_{number}")),
    st.sampled_from(["w1", ""]),
)
_histories = st.lists(
    st.one_of(st.lists(_faults, max_size=50), st.lists(_steps, max_size=10)), min_size=1, max_size=15
)


def weight(event: Event) -> int:
    """For how many faults a line stands."""
    *_, last = event.detail.split(" ")
    return int(last[1:]) if last.startswith("x") and last[1:].isdigit() else 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=_histories)
def test_whatever_happens_steps_stay_and_no_fault_is_uncounted(
    redis: Redis, history: list[list[tuple[str, str, str]]]
) -> None:
    redis.flushdb()
    happened = [event for part in history for event in part]
    moments = range(1_700_000_000_000, 1_700_000_000_000 + len(happened))
    flat = [text for at_ms, event in zip(moments, happened, strict=True) for text in (at_ms, *event)]
    redis.register_script(scripts.source() + _NOTE)(keys=[PH], args=flat)

    lists: Any = [redis.lrange(name, 0, -1) for name in (STEPS, FAULTS)]
    told = timeline(*lists)

    steps = [event for event in happened if event[2] == "maria"]
    shown = [event for event in told if event.worker == "maria"]
    assert [(event.name, event.detail, event.worker) for event in shown] == steps[-MOST_STEPS:]
    left_out = {
        word[0]: int(word[1][1:])
        for event in told
        if event.name == "left_out"
        for word in [event.detail.split()]
    }
    assert left_out.get("steps", 0) == len(steps) - len(shown)
    faults = [event for event in told if event.worker != "maria" and event.name != "left_out"]
    assert len(faults) <= MOST_FAULTS
    assert sum(map(weight, faults)) + left_out.get("faults", 0) == len(happened) - len(steps)
    assert [event.at_ms for event in told] == sorted(event.at_ms for event in told)
    # The first fault for a cause since a step keeps its own line, unless it is older than all that are left.
    for event in faults:
        if weight(event) > 1:
            assert any(
                earlier.detail == event.detail.split(" ")[0] and earlier.at_ms < event.at_ms
                for earlier in faults
            ) or left_out.get("faults")
