"""An act whose entry cannot be added to the audit log is not done: nothing of the ledger changes."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.redis_states import account, full
from worker.decisions import events
from worker.errors import LedgerUnavailable
from worker.ledger import Ledger, Quarantine, looks, transitions
from worker.ledger.audit import PARTS, AuditLog, Via
from worker.ledger.connection import connect
from worker.ledger.decided import Decided
from worker.ledger.erasures import Erasures
from worker.ledger.looks import Looks
from worker.ledger.reviews import ReviewLedger
from worker.ledger.scripts import NAMES, source
from worker.ledger.webhooks import NewDelivery, Webhooks, delivery_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

pytestmark = pytest.mark.every_server

KEY: Final = "ekyc:{ph}:audit"
STREAMS: Final = (KEY, f"{KEY}:evidence", f"{KEY}:erasures")
KEYS: Final = tuple(f"{name}{part}" for name in STREAMS for part in PARTS)
HIGHEST: Final = 2**64 - 1
WHO: Final[dict[str, Any]] = {"who": "maria", "via": Via.CLI}
FAILED, WAITS = delivery_id("shop", "failed"), delivery_id("shop", "waits")

ACTS: Final[dict[str, Callable[[Redis], object]]] = {
    "requeue": lambda redis: Quarantine(redis, **WHO).retry("ph", ["a"]),
    "drop": lambda redis: Quarantine(redis, **WHO).drop("ph", ["a"], why="a test"),
    "nudge": lambda redis: Ledger(redis).nudge("ph", ["w"], **WHO),
    "hold": lambda redis: Ledger(redis).hold("ph", for_s=60, reason="ran out", **WHO),
    "resume": lambda redis: Ledger(redis).resume("ph", **WHO),
    "accept": lambda redis: Ledger(redis).accept("ph", new="n1", replaces="n0", **WHO),
    "resend": lambda redis: Webhooks(redis).resend("ph", [FAILED], **WHO),
    "drop_deliveries": lambda redis: Webhooks(redis).drop("ph", [WAITS], why="gone", **WHO),
    "pause_endpoint": lambda redis: events.pause_by_hand(
        Webhooks(redis), {}, ["ph"], "shop", why="gone", **WHO
    ),
    "resume_endpoint": lambda redis: Webhooks(redis).resume("ph", "paused", **WHO),
    "looked": lambda redis: Looks(redis, **WHO).note("ph", looks.SHOW, "ph/a: complaint", ["a"]),
    "redelivered": lambda redis: Decided(redis, **WHO).note("ph", ["a"], act="1 given by id"),
    "act": lambda redis: Erasures(redis, via=Via.CLI).note(
        "ph", "legal_hold", "case 7", who="maria", signature_ids=["a"]
    ),
    "reviewed": lambda redis: ReviewLedger(redis, via=Via.CONSOLE).note(
        "ph", "a", number=1, verdict="confirmed", who="maria", events=[]
    ),
    "erase": lambda redis: Erasures(redis, via=Via.CLI).mark(
        "ph", "a", decision_id="d", stored=True, who="maria", why="asked"
    ),
    "erase of what only the store has": lambda redis: Erasures(redis, via=Via.CLI).mark(
        "ph", "s", decision_id="d", stored=True, who="maria", why="asked"
    ),
    "audited": lambda redis: AuditLog(redis).record("table_diff", region="ph", **WHO),
}


@contextmanager
def of_another_type(redis: Redis, _: str) -> Iterator[Redis]:
    redis.mset(dict.fromkeys(STREAMS, "junk"))
    yield redis


@contextmanager
def without_an_id_left(redis: Redis, _: str) -> Iterator[Redis]:
    for key in KEYS:
        redis.xadd(key, {"act": "x"}, id=f"{HIGHEST}-{HIGHEST}")
    yield redis


@contextmanager
def without_the_right(redis: Redis, redis_url: str) -> Iterator[Redis]:
    with ExitStack() as stack:
        name = stack.enter_context(account(redis, "~*", "+@all", "-xadd"))
        yield stack.enter_context(connect(redis_url.replace("//", f"//{name}@")))


@contextmanager
def without_memory(redis: Redis, _: str) -> Iterator[Redis]:
    with full(redis):
        yield redis


WAYS: Final = (of_another_type, without_an_id_left, without_the_right, without_memory)


def filled(redis: Redis) -> None:
    """One in quarantine, one that waits, deliveries that failed and that wait, a paused endpoint, a region on hold."""
    ledger, webhooks = Ledger(redis), Webhooks(redis)
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=64).batches
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)])
    ledger.enqueue([EnqueueRequest("w", "ph")])
    redis.zadd("ekyc:{ph}:due:polling", {"w": 1e14})
    webhooks.add("ph", "a", [NewDelivery(each, "shop", "region.held", "{}") for each in (FAILED, WAITS)])
    redis.zrem("ekyc:{ph}:due:webhook:shop", FAILED)
    redis.zadd("ekyc:{ph}:failed:webhook:shop", {FAILED: 1})
    webhooks.pause("ph", "paused", why="GONE")
    ledger.hold("ph", for_s=600, reason="VENDOR_BUSY")


def everything(redis: Redis) -> dict[bytes, object]:
    keys: list[Any] = sorted(redis.keys())
    kept: list[bytes] = [key for key in keys if not key.startswith(KEY.encode())]
    return {key: redis.dump(key) for key in kept}


@pytest.mark.parametrize("way", WAYS)
def test_an_act_that_cannot_be_recorded_is_not_done(
    redis: Redis, redis_url: str, way: Callable[[Redis, str], Any]
) -> None:
    for name, act in ACTS.items():
        redis.flushdb()
        filled(redis)
        before = everything(redis)
        with way(redis, redis_url) as client:
            types = [redis.type(key) for key in KEYS]
            with pytest.raises(LedgerUnavailable):
                act(client)
            assert everything(redis) == before, name
            assert [redis.type(key) for key in KEYS] == types
        redis.delete(*KEYS)
        act(redis)
        assert sum(map(redis.xlen, KEYS)) >= 1, f"{name} is done as soon as it can be recorded"


def test_every_script_that_records_an_act_is_tried() -> None:
    recording = {
        name
        for name in NAMES
        if "audit(" in source(name).removeprefix(source()).replace("add_to_audit(", "audit(")
    }
    assert recording == {name.partition(" ")[0] for name in ACTS}


def test_what_is_wrong_is_said(redis: Redis, redis_url: str) -> None:
    filled(redis)
    with without_an_id_left(redis, redis_url), pytest.raises(LedgerUnavailable, match="add to the audit log"):
        Quarantine(redis, **WHO).retry("ph", ["a"])
    redis.set(KEY, "junk")
    with pytest.raises(LedgerUnavailable, match=r"the audit log \(ekyc:\{ph\}:audit\)"):
        AuditLog(redis).page()


def test_an_entry_of_the_future_stops_no_act_and_no_page(redis: Redis) -> None:
    filled(redis)
    redis.xadd(KEY, {"act": "x"}, id=f"{HIGHEST}-{HIGHEST}")
    log, quarantine = AuditLog(redis), Quarantine(redis, **WHO)
    assert quarantine.retry("ph", ["a"]) == [True]
    log.record("table_diff", region="ph", **WHO)
    first = log.page(limit=1)
    assert [one.as_json()["at"][:4] for one in first.entries] == ["9999"]
    assert first.following is not None
    assert [one.act for one in log.page(cursor=first.following).entries] == ["table_diff", "quarantine_retry"]
    # Its removal leaves a stream that still takes no id.
    redis.xdel(KEY, f"{HIGHEST}-{HIGHEST}")
    log.record("table_diff", region="ph", **WHO)
    assert [one.act for one in log.entries()] == ["table_diff", "table_diff", "quarantine_retry"]
