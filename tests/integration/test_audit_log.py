"""The audit log: every act has one entry, written with the act, and read by pages and filters."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.redis_states import full
from worker.decisions import events
from worker.errors import InvalidInput, LedgerUnavailable
from worker.ledger import Ledger, Quarantine, audit, looks, transitions
from worker.ledger.audit import ACTS, AuditLog, Via, Wanted
from worker.ledger.decided import Decided
from worker.ledger.erasures import Erasures
from worker.ledger.looks import Looks
from worker.ledger.transitions import Heard
from worker.ledger.webhooks import NewDelivery, Webhooks, delivery_id

if TYPE_CHECKING:
    from redis import Redis

pytestmark = pytest.mark.every_server

DAY_MS = 86_400_000


@pytest.fixture
def log(redis: Redis) -> AuditLog:
    return AuditLog(redis)


def quarantined(ledger: Ledger, *names: str) -> None:
    """Put verifications of the region ph into quarantine."""
    ledger.enqueue([EnqueueRequest(name, "ph") for name in names])
    (batch,) = ledger.claim("ph", limit=64).batches
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)])


def seen(log: AuditLog, wanted: Wanted | None = None) -> list[tuple[str, ...]]:
    """All entries without their times, the oldest first."""
    entries = log.entries(wanted or Wanted())
    found: list[tuple[str, ...]] = [
        (one.act, one.who, one.via, one.region, one.subject, one.detail) for one in entries
    ]
    return found[::-1]


def test_acts_on_the_quarantine_have_an_entry_for_each_verification(
    redis: Redis, ledger: Ledger, log: AuditLog
) -> None:
    quarantined(ledger, "a", "b", "c")
    quarantine = Quarantine(redis, who="maria", via=Via.CONSOLE)
    assert quarantine.retry("ph", ["a", "unknown", "b"]) == [True, False, True]
    assert quarantine.retry("ph", ["a"]) == [False]
    assert quarantine.drop("ph", ["b", "c"], why="a test | account") == [False, True]
    assert seen(log) == [
        ("quarantine_retry", "maria", "console", "ph", "a", "UNREADABLE"),
        ("quarantine_retry", "maria", "console", "ph", "b", "UNREADABLE"),
        ("quarantine_drop", "maria", "console", "ph", "c", "a test / account"),
    ]


def test_acts_on_regions_and_endpoints_have_an_entry(redis: Redis, ledger: Ledger, log: AuditLog) -> None:
    ledger.hold("ph", for_s=60, reason="ran out", who="maria", via=Via.CLI)
    ledger.hold("ph", for_s=90, reason="VENDOR_BUSY")
    ledger.resume("ph", who="juan", via=Via.CLI)
    ledger.resume("ph", who="juan", via=Via.CLI)
    webhooks = Webhooks(redis)
    events.pause_by_hand(webhooks, {}, ["ph", "sg"], "shop", why="moves", who="token x", via=Via.API)
    webhooks.pause("sg", "shop", why="GONE")
    webhooks.resume("sg", "shop", who="maria", via=Via.CONSOLE)
    ledger.accept("ph", new="n1", replaces="n0", who="maria", via=Via.CLI)
    assert sorted(seen(log)) == sorted(
        [
            ("region_hold", "maria", "cli", "ph", "", "ran out (for 60 s)"),
            ("region_resume", "juan", "cli", "ph", "", "VENDOR_BUSY"),
            ("endpoint_pause", "token x", "api", "ph", "shop", "moves"),
            ("endpoint_pause", "token x", "api", "sg", "shop", "moves"),
            ("endpoint_resume", "maria", "console", "sg", "shop", ""),
            ("ledger_accept", "maria", "cli", "ph", "n1", "in place of n0"),
        ]
    )


def test_acts_on_deliveries_have_an_entry_for_each(redis: Redis, log: AuditLog) -> None:
    webhooks = Webhooks(redis)
    ids = [delivery_id("shop", name) for name in ("one", "two")]
    for name, id_ in zip(("one", ""), ids, strict=True):
        webhooks.add("ph", name, [NewDelivery(id_, "shop", "region.held", "{}")])
    assert webhooks.resend("ph", [*ids, "unknown"], who="maria", via=Via.CLI) == [True, True, False]
    webhooks.resend("ph", ids[:1], who="maria", via=Via.API, act="deliveries_recover")
    webhooks.drop("ph", ids, why="gone", who="maria", via=Via.CLI)
    assert seen(log) == [
        ("delivery_resend", "maria", "cli", "ph", "one", f"shop {ids[0]}"),
        ("delivery_resend", "maria", "cli", "ph", "shop", f"shop {ids[1]}"),
        ("deliveries_recover", "maria", "api", "ph", "one", f"shop {ids[0]}"),
        ("delivery_drop", "maria", "cli", "ph", "one", f"shop {ids[0]} gone"),
        ("delivery_drop", "maria", "cli", "ph", "shop", f"shop {ids[1]} gone"),
    ]


def test_looks_erasures_and_deliveries_again_have_an_entry_for_each(
    redis: Redis, ledger: Ledger, log: AuditLog
) -> None:
    Looks(redis, who="maria", via=Via.CLI).note("ph", looks.SHOW, "ph/a front.jpg: complaint", ["a"])
    Looks(redis, who="maria", via=Via.CLI).note("ph", looks.EXPORT, "2 of all: audit", ["a", "b"])
    erasures = Erasures(redis, via=Via.CLI)
    erasures.note("ph", "erase", "certificate 01 (asked)", who="juan", signature_ids=["a"])
    erasures.note("ph", "retention", "erased 1 over age", who="juan")
    erasures.note("ph", "legal_hold", "case 7", who="juan", signature_ids=["b"])
    Decided(redis, who="ann", via=Via.CLI).note("ph", ["a"], act="1 given by id")
    ledger.enqueue([EnqueueRequest("w", "ph"), EnqueueRequest("x", "ph")])
    (batch,) = ledger.claim("ph", limit=2).batches
    ledger.record(
        batch, [transitions.repoll(each, Heard("pending", nulls=1), in_s=60) for each in ledger.load(batch)]
    )
    ledger.nudge("ph", ["w"])
    for _ in range(3):
        # Only what it changes is an act.
        assert ledger.nudge("ph", ["w", "x", "no"], who="ann", via=Via.CONSOLE) == [True, True, False]
    of_evidence = [one for one in seen(log) if one[0].startswith("evidence_")]
    assert sorted(of_evidence) + [one for one in seen(log) if one not in of_evidence] == [
        ("evidence_erase", "juan", "cli", "ph", "a", "certificate 01 (asked)"),
        ("evidence_export", "maria", "cli", "ph", "a", "2 of all: audit"),
        ("evidence_export", "maria", "cli", "ph", "b", "2 of all: audit"),
        ("evidence_hold", "juan", "cli", "ph", "b", "case 7"),
        ("evidence_show", "maria", "cli", "ph", "a", "ph/a front.jpg: complaint"),
        ("decision_redeliver", "ann", "cli", "ph", "", "1 given by id"),
        ("decision_redeliver", "ann", "cli", "ph", "a", ""),
        ("nudge", "ann", "console", "ph", "x", ""),
    ]
    # No number of other acts pushes out those on evidence, and no sweep pushes out looks.
    lengths = [redis.xlen(f"ekyc:{{ph}}:audit{part}") for part in (":evidence", ":erasures", "")]
    assert lengths == [4, 1, 3]
    log.record("evidence_erase_begin", who="juan", via=Via.CLI, region="ph", subject="b")
    assert redis.xlen("ekyc:{ph}:audit:erasures") == 2
    assert {one.act for one in log.entries()} <= set(ACTS)


def test_other_acts_are_recorded_and_filtered(redis: Redis, log: AuditLog) -> None:
    log.record("log_in", who="maria", via=Via.CONSOLE)
    log.record("verdict", who="maria", via=Via.CONSOLE, region="sg", subject="a", detail="false\nalarm " * 60)
    log.record("audit_export", who="juan", via=Via.CONSOLE, detail="csv")
    log.record("verdict", who="juan", via=Via.CONSOLE, region="ph", subject="a")
    assert sorted(one[0] for one in seen(log)) == ["audit_export", "log_in", "verdict", "verdict"]
    assert len(seen(log, Wanted(region="sg"))[0][5]) == audit.MOST_TEXT
    filters: list[tuple[dict[str, Any], list[str]]] = [
        ({"who": "juan"}, ["audit_export", "verdict"]),
        ({"act": "verdict", "region": "ph"}, ["verdict"]),
        ({"subject": "a"}, ["verdict", "verdict"]),
        ({"via": "cli"}, []),
        ({"region": "vn"}, []),
    ]
    for given, acts in filters:
        assert sorted(one[0] for one in seen(log, Wanted(**given))) == acts, given
    with pytest.raises(ValueError, match="no such region"):
        log.record("verdict", who="juan", via=Via.CONSOLE, region="nowhere")
    assert redis.xlen("ekyc:audit:log-ins") == 1


def add(redis: Redis, region: str, at_ms: int, subject: str) -> None:
    """An entry of a chosen time."""
    fields: dict[Any, Any] = {"act": "nudge", "who": "maria", "via": "cli", "subject": subject, "detail": ""}
    redis.xadd(f"ekyc:{{{region}}}:audit", fields, id=f"{at_ms}-*")


def test_pages_have_each_entry_once_newest_first(redis: Redis, log: AuditLog) -> None:
    for number in range(50):
        # Several in one millisecond, in one stream and in two.
        add(redis, "ph", 1000 + number // 3, f"ph-{number:02}")
        add(redis, "sg", 1000 + number // 2, f"sg-{number:02}")
    whole = [one.subject for one in log.entries()]
    assert len(set(whole)) == 100
    found: list[str] = []
    cursor = ""
    while True:
        page = log.page(cursor=cursor, limit=7)
        found += [one.subject for one in page.entries]
        assert len(page.entries) == 7 or page.following is None
        if page.following is None:
            break
        cursor = page.following
        # What is added meanwhile does not move what follows.
        add(redis, "ph", 5000 + len(found), "later")
    assert found == whole
    times = [one.at_ms for one in log.entries()]
    assert times == sorted(times, reverse=True)


def test_times_bound_what_is_read(redis: Redis, log: AuditLog) -> None:
    for at_ms in (1000, 2000, 2000, 3000):
        add(redis, "ph", at_ms, str(at_ms))
    between = Wanted(since_ms=2000, until_ms=3000)
    assert [one.subject for one in log.entries(between)] == ["2000", "2000"]
    first = log.page(between, limit=1)
    assert first.following is not None
    again = log.page(between, cursor=first.following, limit=5)
    assert ([one.subject for one in again.entries], again.following) == (["2000"], None)
    assert [one.subject for one in log.entries(Wanted(until_ms=0))] == []


def test_a_page_looks_at_a_bounded_number_of_entries(
    redis: Redis, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(25):
        add(redis, "ph", 1000 + number, f"s{number}")
    monkeypatch.setattr(audit, "MOST_READ", 10)
    wanted = Wanted(subject="s0")
    pages = [log.page(wanted)]
    while pages[-1].following is not None:
        pages.append(log.page(wanted, cursor=pages[-1].following))
    assert [len(page.entries) for page in pages] == [0, 0, 1]
    assert [page.looked_back_to_ms for page in pages] == [1015, 1005, None]


@pytest.mark.parametrize("cursor", ["x", "1-2", "1-2-3-4", "1-2-333", "-1-2-3", "1" * 40 + "-1-1", "1-1-1\n"])
def test_a_cursor_that_is_none_is_refused(log: AuditLog, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        log.page(cursor=cursor)


def test_old_entries_and_those_beyond_the_limit_go(redis: Redis, ledger: Ledger, log: AuditLog) -> None:
    now_s, _ = redis.time()
    ledger.claim("ph", limit=1)
    with redis.pipeline() as pipe:
        for number in range(1000):
            fields: dict[Any, Any] = {"act": "nudge", "who": "m", "via": "", "subject": "", "detail": ""}
            pipe.xadd("ekyc:{ph}:audit", fields, id=f"{now_s * 1000 - 401 * DAY_MS + number}-*")
            pipe.xadd("ekyc:audit", fields, id=f"{now_s * 1000 - 401 * DAY_MS + number}-*")
        pipe.execute()
    # The first entry removes nothing: by the newest entry before it, nothing is too old.
    for _ in range(101):
        ledger.hold("ph", for_s=60, reason="ran out", who="maria", via=Via.CLI)
        log.record("audit_export", who="maria", via=Via.CLI)
    assert redis.xlen("ekyc:{ph}:audit") == 101
    assert redis.xlen("ekyc:audit") == 101
    assert {one[0] for one in seen(log)} == {"region_hold", "audit_export"}


def test_the_limit_of_the_scripts_is_the_documented_one() -> None:
    from worker.ledger.scripts import source  # noqa: PLC0415 - only here

    assert f"AUDIT_KEPT, AUDIT_KEPT_MS = {audit.KEPT}, {audit.KEPT_MS // DAY_MS} * {DAY_MS}" in source()


def test_each_entry_is_a_log_line(redis: Redis, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    quarantined(ledger, "a", "b")
    with caplog.at_level(logging.INFO, audit.__name__):
        Quarantine(redis, who="maria", via=Via.CLI).drop("ph", ["a", "x", "b"], why="a test")
        AuditLog(redis).record("log_in", who="maria", via=Via.CONSOLE)
        ledger.hold("ph", for_s=1, reason="VENDOR_BUSY")
    lines = [line for record in caplog.records for line in getattr(record, "events", [])]
    assert [(one["event"], one["act"], one["who"], one["subject"], one["detail"]) for one in lines] == [
        ("operator_act", "quarantine_drop", "maria", "a", "a test"),
        ("operator_act", "quarantine_drop", "maria", "b", "a test"),
        ("operator_act", "log_in", "maria", "", ""),
    ]


def test_a_redis_that_is_full_does_nothing_without_an_entry(redis: Redis, ledger: Ledger) -> None:
    quarantined(ledger, "a")
    log = AuditLog(redis)
    with full(redis):
        with pytest.raises(LedgerUnavailable):
            Looks(redis, who="maria", via=Via.CLI).note("ph", looks.SHOW, "ph/a front.jpg: complaint", ["a"])
        with pytest.raises(LedgerUnavailable):
            log.record("log_in", who="maria", via=Via.CONSOLE)
        with pytest.raises(LedgerUnavailable):
            ledger.hold("ph", for_s=60, reason="ran out", who="maria", via=Via.CLI)
        with pytest.raises(LedgerUnavailable):
            Quarantine(redis, who="maria", via=Via.CLI).retry("ph", ["a"])
        assert list(log.entries()) == []
    assert Quarantine(redis, who="maria", via=Via.CLI).retry("ph", ["a"]) == [True]
