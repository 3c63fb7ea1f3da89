"""How full the audit log is, what newer entries pushed out, and which acts it refused: read, scraped and shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from prometheus_client.core import CollectorRegistry

from tests.support.redis_states import account, full
from worker.cli.checks.audit_log import check_audit_log
from worker.cli.checks.finding import Level
from worker.decisions.table import Table
from worker.enqueue_request import REGIONS
from worker.errors import LedgerUnavailable, RightMissing
from worker.ledger import audit_state
from worker.ledger.audit import KEPT, PARTS, AuditLog, Via
from worker.ledger.audit_state import Kind, Part, complete_since_ms
from worker.ledger.connection import connect
from worker.observability.metrics.collector import Metrics
from worker.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

    from tests.support.cli_process import Ekyc

KEY: Final = "ekyc:{ph}:audit"
FIRST_MS: Final = 1_790_000_000_000
WHO: Final[dict[str, Any]] = {"who": "maria", "via": Via.CLI, "region": "ph"}
HIGHEST: Final = 2**64 - 1


def filled(redis: Redis, key: str, number: int) -> None:
    """Add old entries within Redis, some at a time: a slow machine needs seconds for all."""
    for first in range(0, number, 10_000):
        redis.eval(
            "for at = ARGV[1] + 1, ARGV[2] + 0 do redis.call('XADD', KEYS[1], ARGV[3] + at .. '-0', 'act', 'x') end",
            1,
            key,
            first,
            min(first + 10_000, number),
            FIRST_MS,
        )


def part(redis: Redis, kind: Kind = Kind.ACTS, region: str = "ph") -> Part:
    (found,) = [each for each in audit_state.read(redis) if (each.kind, each.region) == (kind, region)]
    return found


def figure(redis: Redis, name: str, kind: str = "acts", region: str = "ph") -> float | None:
    registry = CollectorRegistry()
    registry.register(Metrics(redis, ["ph", "sg"], Table.load(None)))
    return registry.get_sample_value(f"ekyc_audit_log_{name}", {"region": region, "part": kind})


def checks(redis: Redis) -> list[tuple[Level, str]]:
    port = redis.connection_pool.connection_kwargs["port"]
    found = check_audit_log(Settings(redis_url=f"redis://127.0.0.1:{port}/0"))
    return [(each.level, each.said) for each in found]


def test_an_empty_log_has_every_part_and_nothing_in_it(redis: Redis) -> None:
    parts = audit_state.read(redis, ["ph", "sg"])
    assert [(each.region, each.kind) for each in parts] == [
        ("", Kind.LOG_INS),
        ("", Kind.ACTS),
        ("ph", Kind.ACTS),
        ("sg", Kind.ACTS),
        ("ph", Kind.EVIDENCE),
        ("sg", Kind.EVIDENCE),
        ("ph", Kind.ERASURES),
        ("sg", Kind.ERASURES),
    ]
    assert complete_since_ms(parts) is None
    # A counter that begins with its first event has no growth for Prometheus: it must be 0 before.
    for name in ("used_ratio", "dropped_total", "refused_total"):
        assert figure(redis, name) == figure(redis, name, "log_ins", "") == 0
    assert figure(redis, "oldest_timestamp_seconds") is None


@pytest.mark.every_server
def test_what_a_full_part_drops_is_counted_and_what_others_have_is_not(redis: Redis) -> None:
    log = AuditLog(redis)
    log.record("nudge", subject="first", **WHO)
    assert (part(redis).entries, part(redis).dropped) == (1, 0)
    redis.delete(KEY)
    filled(redis, KEY, KEPT)
    log.record("evidence_view", **WHO)
    assert (part(redis).is_full, part(redis).dropped) == (True, 0)
    for number in range(250):
        log.record("nudge", subject=str(number), **WHO)
    left: Any = redis.xlen(KEY)
    seen = part(redis)
    assert seen.dropped == KEPT + 250 - left >= 100
    assert seen.since_ms == FIRST_MS + 1 + seen.dropped
    assert (seen.used, seen.is_full, seen.refused) == (1.0, True, 0)
    others = [each for each in audit_state.read(redis) if (each.kind, each.region) != (Kind.ACTS, "ph")]
    assert {each.dropped for each in others} == {0}
    # Another part has a newer oldest entry, and has lost none.
    assert complete_since_ms(audit_state.read(redis)) == seen.since_ms
    assert figure(redis, "used_ratio") == 1
    assert figure(redis, "dropped_total") == seen.dropped
    assert figure(redis, "oldest_timestamp_seconds") == (seen.since_ms or 0) / 1000
    assert figure(redis, "dropped_total", "evidence") == 0


@pytest.mark.every_server
def test_entries_that_are_too_old_are_no_dropped_ones(redis: Redis) -> None:
    redis.xadd(KEY, {"act": "x"}, id="1000-0")
    AuditLog(redis).record("nudge", **WHO)
    AuditLog(redis).record("nudge", **WHO)
    assert redis.xrange(KEY, max="2000") == []
    assert part(redis).dropped == 0


@pytest.mark.every_server
@pytest.mark.parametrize("way", ["type", "ids", "right"])
def test_a_refused_act_is_counted_with_its_time(redis: Redis, redis_url: str, way: str) -> None:
    def refused(client: Redis) -> None:
        with pytest.raises(LedgerUnavailable):
            AuditLog(client).record("nudge", **WHO)

    if way == "type":
        redis.set(KEY, "junk")
        refused(redis)
    elif way == "ids":
        for suffix in PARTS:
            redis.xadd(KEY + suffix, {"act": "x"}, id=f"{HIGHEST}-{HIGHEST}")
        refused(redis)
    else:
        with account(redis, "~*", "+@all", "-xadd") as name:
            refused(connect(redis_url.replace("//", f"//{name}@")))
    seen, now_ms = part(redis), redis.time()[0] * 1000
    assert seen.refused == 1
    assert abs(seen.refused_at_ms - now_ms) < 60_000
    assert seen.refused_lately(now_ms)
    assert not seen.refused_lately(now_ms + 2 * 86_400_000)
    assert part(redis, Kind.EVIDENCE).refused == part(redis, region="sg").refused == 0
    # A scrape has its other figures, too.
    assert figure(redis, "refused_total") == 1
    assert figure(redis, "refused_total", "evidence") == 0
    redis.delete(*(KEY + suffix for suffix in PARTS))
    AuditLog(redis).record("nudge", **WHO)
    assert part(redis).refused == 1


@pytest.mark.every_server
@pytest.mark.parametrize("junk", [b"\xff", "-3", "9" * 400, "9" * 19, "other type"])
def test_counts_that_no_script_wrote_stop_no_act_and_no_figure(redis: Redis, junk: bytes | str) -> None:
    filled(redis, KEY, KEPT)
    if junk == "other type":
        redis.set(f"{KEY}:counts", "x")
    else:
        fields: dict[Any, Any] = {f"{name}:audit": junk for name in ("dropped", "refused", "refused_at")}
        redis.hset(f"{KEY}:counts", mapping=fields)
    for _ in range(120):
        AuditLog(redis).record("nudge", **WHO)
    seen = part(redis)
    assert (seen.is_full, seen.as_json()["full"]) == (True, True)
    assert figure(redis, "used_ratio") == 1
    assert len(checks(redis)) >= 1


@pytest.mark.every_server
def test_a_redis_without_memory_counts_nothing_and_says_its_own_fault(redis: Redis) -> None:
    with full(redis), pytest.raises(LedgerUnavailable, match="memory"):
        AuditLog(redis).record("nudge", **WHO)
    assert part(redis).refused == 0


def test_the_doctor_warns_of_parts_that_are_nearly_full_and_of_refused_acts(redis: Redis) -> None:
    assert checks(redis) == [(Level.OK, "no part is full: it has no entry yet")]
    redis.xadd("ekyc:audit", {"act": "x"}, id=f"{FIRST_MS}-0")
    assert checks(redis) == [(Level.OK, "no part is full: complete since 2026-09-21T14:13:20Z")]
    filled(redis, KEY, KEPT * 95 // 100)
    nearly = (Level.WARNING, "acts in ph: 95% full, the oldest entry is of 2026-09-21T14:13:20Z")
    assert checks(redis) == [nearly]
    log_in_refused(redis)
    (level, said), *others = checks(redis)
    assert level is Level.WARNING
    assert said.startswith("log-ins: took no entry, so an act was refused, last at 2")
    assert others == [nearly]


def test_the_doctor_has_the_number_of_dropped_entries_once_it_was_counted(redis: Redis) -> None:
    """A part that an older release has filled has dropped entries that nothing has counted."""
    filled(redis, KEY, KEPT)
    assert checks(redis)[0][1] == "acts in ph: full, complete since 2026-09-21T14:13:20Z"
    redis.hset(f"{KEY}:counts", "dropped:audit", 1200)
    assert checks(redis)[0][1].endswith(":20Z, 1,200 older entries were pushed out")


def test_a_part_that_has_refused_nothing_never_says_so() -> None:
    assert not Part(Kind.ACTS).refused_lately(0)
    assert Part(Kind.ACTS, refused=1, refused_at_ms=1).refused_lately(1000)


@pytest.mark.parametrize("junk", ["junk", b"\xff"])
def test_a_damaged_clock_stops_neither_the_doctor_nor_the_stats(
    ekyc: Ekyc, redis: Redis, junk: str | bytes
) -> None:
    for region in REGIONS:
        redis.hset(f"ekyc:{{{region}}}:clock", mapping={"ahead": junk, "seen": junk})
    assert "no part is full: it has no entry yet" in ekyc("doctor").out
    assert ekyc("stats").code == 0


def test_a_part_of_several_streams_is_complete_since_the_newest_cut(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_state, "KEPT", 2)
    for suffix, times in (("", (5, 6)), (PARTS[1], (1,)), (PARTS[2], (7, 8))):
        for at_ms in times:
            redis.xadd(KEY + suffix, {"act": "x"}, id=f"{at_ms}-0")
    assert (part(redis).entries, part(redis).since_ms) == (2, 7)
    redis.delete(KEY + PARTS[2])
    assert part(redis).since_ms == 5
    redis.xadd("ekyc:{sg}:audit", {"act": "x"}, id="3-0")
    assert complete_since_ms(audit_state.read(redis)) == 5
    redis.xdel(KEY, "6-0")
    assert complete_since_ms(audit_state.read(redis)) == 1


def test_an_account_that_may_not_read_the_log_gets_no_empty_one(redis: Redis, redis_url: str) -> None:
    with account(redis, "~*", "+@all", "-xlen") as name, pytest.raises(RightMissing):
        audit_state.read(connect(redis_url.replace("//", f"//{name}@")))


def test_the_stats_show_both_and_nothing_of_a_log_that_is_well(ekyc: Ekyc, redis: Redis) -> None:
    assert "audit log" not in ekyc("stats").out
    redis.xadd("ekyc:audit", {"act": "x"}, id=f"{FIRST_MS}-0")
    filled(redis, KEY, KEPT * 95 // 100)
    log_in_refused(redis)
    lines = ekyc("stats").out.splitlines()
    assert " the audit log is 95% full of acts in ph; see `ekyc doctor`" in lines
    assert " the audit log took no entry of log-ins, so an act was refused; see `ekyc doctor`" in lines
    log_ins, acts, *_ = json.loads(ekyc("stats", "--json").out)["audit_log"]
    assert (log_ins["part"], log_ins["refused"], log_ins["full"]) == ("log_ins", 1, False)
    assert acts == {
        "part": "acts",
        "region": "",
        "entries": 1,
        "full": False,
        "since": "2026-09-21T14:13:20.000Z",
        "dropped": 0,
        "refused": 0,
        "refused_at": None,
    }


def log_in_refused(redis: Redis) -> None:
    redis.set("ekyc:audit:log-ins", "junk")
    with pytest.raises(LedgerUnavailable):
        AuditLog(redis).record("log_in", who="ann", via=Via.CONSOLE)
