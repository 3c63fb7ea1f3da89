"""The erasure of a verification: what is gone everywhere, what stops it, and a kill after every step."""

from __future__ import annotations

import json
import signal
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.faults import Faults, Mode
from sandbox.server import Sandbox
from schemas.decision import load_decision
from schemas.enqueue import EnqueueRequest
from tests.support.bucket_stub import S3
from tests.support.cli_process import Ended, run_program
from tests.support.drive_ledger import decide, decision_text, quarantine
from tests.support.logged_evidence import LoggedEvidence, names
from tests.support.moto_s3 import MotoS3
from worker.advance.client import Client
from worker.errors import EvidenceConflict, EvidenceErased
from worker.evidence.decision_record import DecisionRecord
from worker.evidence.keys import Tombstone, WrappedKey
from worker.evidence.lifecycle import fingerprint
from worker.evidence.log.entries import ErasureEntry
from worker.evidence.log.notes import NoteRefused, new_signer, open_note
from worker.evidence.log.proofs import proof_of
from worker.evidence.manifest import FileEntry
from worker.evidence.marks import Act, ErasurePlan, StoredObject
from worker.evidence.storage.local import LocalFolder
from worker.evidence.storage.s3 import ObjectLock, S3Options
from worker.evidence.store import Evidence
from worker.ledger import Ledger, Quarantine
from worker.ledger.audit import AuditLog
from worker.ledger.erasures import Erased, Erasures
from worker.ledger.models import Stage
from worker.ledger.scripts import prefix
from worker.records.erasure import STEPS, AlreadyErased, Eraser, NotErased, Order, Vendor, members_of
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from redis import Redis

PH = prefix("ph")
ID = "pass-1"
PERSON = b"SANDBOX PERSON"
ANSWER = b'{"code":"SUCCESS","name":"SANDBOX PERSON"}'
IMAGE = b"\xff\xd8\xff SANDBOX PERSON"
KEYS = f"now:{b64encode(b'k' * 32).decode()}"
SIGNER = new_signer("kyc.example.com/ph")
AT = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def order(signature_id: str = ID, why: str = "asked by the person") -> Order:
    return Order("ph", signature_id, Act(AT, "maria", why))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(params=["encrypted", "plain", "keys elsewhere", "bucket, keys in another"])
def evidence(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Evidence]:
    if not request.param.startswith("bucket"):
        keys_url = (tmp_path / "keys").as_uri() if request.param == "keys elsewhere" else ""
        yield Evidence(
            (tmp_path / "evidence").as_uri(), keys="" if request.param == "plain" else KEYS, keys_url=keys_url
        )
        return
    with S3().running() as stub:
        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)
        yield Evidence("s3://bucket/ekyc", keys=KEYS, keys_url="s3://keys/ekyc")


def fill(evidence: Evidence, signature_id: str = ID) -> None:
    one = evidence.of("ph", signature_id)
    one.keep_answer(ANSWER)
    with one.adding() as add:
        add(
            FileEntry("front.jpg", "front", len(IMAGE), "0" * 64, "image/jpeg", "2026-11-30T12:00:00Z"), IMAGE
        )
    one.keep_decision(DecisionRecord.of(load_decision(json.loads(decision_text(signature_id)))))


def eraser(evidence: Evidence, redis: Redis, sandbox: Sandbox | None = None, **more: Any) -> Eraser:
    vendor = None
    if sandbox is not None:
        client, ledger = client_of(sandbox, redis), Ledger(redis)
        vendor = Vendor(
            client.clear_data,
            ledger.spend,
            lambda region, for_s, reason: ledger.hold(region, for_s=for_s, reason=reason),
        )
    return Eraser(evidence, Erasures(redis), vendor, lambda _, text: SIGNER.sign(text), **more)


def client_of(sandbox: Sandbox, redis: Redis) -> Client:
    environment = sandbox.environment()
    return Client(
        Settings(
            base_url=environment["ADVANCE_BASE_URL"],
            access_key=environment["ADVANCE_ACCESS_KEY"],
            secret_key=environment["ADVANCE_SECRET_KEY"],
        ),
        redis,
    )


def objects(evidence: Evidence, signature_id: str = ID) -> set[str]:
    found = {each.path for each in evidence._backend.list(f"ph/{signature_id}")}
    found |= {each.path for each in evidence._keys_backend.list(f"ph/{signature_id}")}
    return {path.rpartition("/")[2] for path in found}


def readable(evidence: Evidence) -> bool:
    """Whether anything in the store still has something of the person, in whatever form that can be opened."""
    one = evidence.of("ph", ID)
    for name in ("answer.json", "front.jpg", "decision.json"):
        try:
            if one.read(name) is not None:
                return True
        except (EvidenceErased, EvidenceConflict):
            continue
    raw = (evidence._backend.read(f"ph/{ID}/{name}") for name in objects(evidence))
    return any(body is not None and PERSON in body for body in raw)


def stage(redis: Redis, signature_id: str = ID) -> Stage | None:
    status = Ledger(redis).status("ph", signature_id)
    return status.verification.stage if status else None


def test_everything_is_gone_but_the_tombstone_and_the_certificate(
    evidence: Evidence, redis: Redis, ledger: Ledger, sandbox: Sandbox
) -> None:
    fill(evidence)
    fill(evidence, "other-1")
    decide(ledger, ID)
    client_of(sandbox, redis).get_result("ph", ID)
    encrypted = evidence.keys.are_on
    key = evidence.lifecycle("ph", ID).key()
    queued: list[tuple[str, str]] = []
    parts = eraser(
        evidence,
        redis,
        sandbox,
        queue=lambda region, signature_id: queued.append((region, signature_id)),
    )
    certificate = parts.erase(order())

    assert objects(evidence) == {"key.json", "certificate.txt"}
    assert not readable(evidence)
    assert stage(redis) is Stage.ERASED
    assert sandbox.verifications()[ID]["cleared"] is True
    assert queued == [("ph", ID)]
    tombstone = evidence.lifecycle("ph", ID).key()
    assert tombstone == Tombstone("2026-11-30T12:00:00.000Z", fingerprint(certificate))
    members = json.loads(open_note(certificate, [SIGNER.verifier]))
    assert members == members_of(certificate)
    assert (members["region"], members["signature_id"], members["by"], members["why"]) == (
        "ph",
        ID,
        "maria",
        "asked by the person",
    )
    names = {each["name"] for each in members["evidence"]["deleted"]}
    assert names == {"answer.json", "front.jpg", "decision.json"}
    assert members["evidence"]["kept_unreadable"] == []
    assert members["vendor"]["asked"] is members["vendor"]["cleared"] is True
    if encrypted:
        assert isinstance(key, WrappedKey)
        assert members["data_key"] == {"id": key.data_key_id, "destroyed": True}
    else:
        assert members["data_key"] is None
    assert PERSON.decode() not in certificate
    (act,) = Quarantine(redis, who="x").acts("ph")
    assert (act.name, act.worker) == ("erase", "maria")
    assert act.detail == f"certificate {fingerprint(certificate)[:16]} (asked by the person)"
    # Another person's evidence is untouched.
    assert evidence.of("ph", "other-1").answer() == ANSWER

    with pytest.raises(NoteRefused):
        open_note(certificate.replace("maria", "mario"), [SIGNER.verifier])


def test_an_erasure_that_does_not_end_is_in_the_audit_log_and_so_is_who_ends_it(
    evidence: Evidence, redis: Redis
) -> None:
    fill(evidence)

    def stop(step: str) -> None:
        if step == "delete":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eraser(evidence, redis).erase(order(), reached=stop)
    log = AuditLog(redis)
    assert [(one.act, one.who, one.subject) for one in log.entries()] == [
        ("evidence_erase_begin", "maria", ID)
    ]
    certificate = eraser(evidence, redis).erase(replace(order(), act=Act(AT, "ben", "second")))
    assert [(one.act, one.who) for one in log.entries()][:2] == [
        ("evidence_erase", "ben"),
        ("evidence_erase_begin", "ben"),
    ]
    detail = f"certificate {fingerprint(certificate)[:16]} (asked by the person, begun by maria)"
    assert next(log.entries()).detail == detail


@pytest.mark.parametrize("form", ["like ours", "other"])
def test_a_planted_certificate_ends_no_erasure(
    evidence: Evidence, redis: Redis, sandbox: Sandbox, form: str
) -> None:
    """The vendor is asked, and our key signs."""
    fill(evidence)
    folder = evidence.lifecycle("ph", ID)
    planted = {"certificate": "erasure", "region": "ph", "signature_id": ID, "vendor": {"cleared": True}}
    text = (
        f"{json.dumps(planted)}\n\n\u2014 kyc.example/evidence/ph AAAA\n" if form == "like ours" else "hello"
    )
    folder.keep_certificate(text)
    certificate = eraser(evidence, redis, sandbox).erase(order())
    assert open_note(certificate, [SIGNER.verifier])
    assert members_of(certificate)["vendor"]["asked"] is True
    assert folder.certificate() == certificate
    assert folder.key() == Tombstone("2026-11-30T12:00:00.000Z", fingerprint(certificate))


@pytest.mark.parametrize("after", ["", "finish"])
def test_our_key_signs_no_planted_plan(evidence: Evidence, redis: Redis, after: str) -> None:
    """Nor one that cannot be read; and it does not make an erasure that has ended run once more."""
    for number, signature_id in enumerate((ID, "b")):
        fill(evidence, signature_id)
        folder = evidence.lifecycle("ph", signature_id)
        certificate = eraser(evidence, redis).erase(order(signature_id)) if after else ""
        planted = ErasurePlan(Act(AT, "director", "Jane Roe"), "0" * 16, (StoredObject("passport.jpg", 1),))
        folder.replace_plan(planted)
        if number:
            evidence._backend.replace(f"ph/{signature_id}/erasure.json", b"garbage")
        if after:
            with pytest.raises(AlreadyErased) as raised:
                eraser(evidence, redis).erase(order(signature_id))
            assert raised.value.certificate == certificate
            continue
        members = members_of(eraser(evidence, redis).erase(order(signature_id)))
        assert (members["by"], members["why"]) == ("maria", "asked by the person")
        assert "answer.json" in {each["name"] for each in members["evidence"]["deleted"]}
        assert "passport.jpg" not in json.dumps(members)


def test_a_hold_that_the_ledger_forgot_in_a_race_stops_an_erasure_all_the_same(
    evidence: Evidence, redis: Redis
) -> None:
    fill(evidence)
    lifecycle = evidence.lifecycle("ph", ID)

    def place(step: str) -> None:
        if step == "check":
            lifecycle.change_holds(lambda known: known.placing(Act(AT, "judge", "case 7")))

    with pytest.raises(NotErased, match="is on legal hold since a moment ago"):
        eraser(evidence, redis).erase(order(), reached=place)
    assert not isinstance(lifecycle.key(), Tombstone)
    assert evidence.of("ph", ID).answer() == ANSWER


def test_an_erased_one_is_refused_and_stays_as_it_is(evidence: Evidence, redis: Redis) -> None:
    fill(evidence)
    certificate = eraser(evidence, redis).erase(order())
    before = objects(evidence), evidence.keys.read(f"ph/{ID}")
    with pytest.raises(AlreadyErased, match=f"^ph/{ID} was erased at 2026-11-30T12:00:00.000Z") as raised:
        eraser(evidence, redis).erase(order(why="again"))
    assert raised.value.certificate == certificate
    assert (objects(evidence), evidence.keys.read(f"ph/{ID}")) == before
    redis.flushall()
    with pytest.raises(AlreadyErased):
        eraser(evidence, redis).erase(order())


def test_what_was_put_back_of_an_erased_one_is_deleted_by_another_erasure(
    evidence: Evidence, redis: Redis
) -> None:
    fill(evidence)
    certificate = eraser(evidence, redis).erase(order())
    for name in ("answer.json", "front.jpg"):
        assert evidence._backend.create(f"ph/{ID}/{name}", ANSWER)
    with pytest.raises(
        AlreadyErased, match=r"and 2 that had been put back are deleted: its certificate"
    ) as raised:
        eraser(evidence, redis).erase(order())
    assert raised.value.certificate == certificate
    assert objects(evidence) == {"key.json", "certificate.txt"}
    evidence._backend.replace(f"ph/{ID}/certificate.txt", b"forged")
    with pytest.raises(AlreadyErased, match=r"restore its certificate at .* from a backup$") as raised:
        eraser(evidence, redis).erase(order())
    assert raised.value.certificate == ""


def test_nothing_is_written_for_an_erased_one_after_a_lost_redis(evidence: Evidence, redis: Redis) -> None:
    fill(evidence)
    eraser(evidence, redis).erase(order())
    redis.flushall()
    one = evidence.of("ph", ID)
    for write in (
        lambda: one.keep_answer(ANSWER),
        lambda: one.keep_unreadable(b"?"),
        lambda: one.keep_decision(DecisionRecord.of(load_decision(json.loads(decision_text(ID))))),
    ):
        with pytest.raises(EvidenceErased):
            write()
    assert objects(evidence) == {"key.json", "certificate.txt"}


def test_what_is_under_way_held_or_unknown_is_refused_with_one_line(
    evidence: Evidence, redis: Redis, ledger: Ledger
) -> None:
    with pytest.raises(NotErased, match=r"^ph/nobody is unknown: ") as raised:
        eraser(evidence, redis).erase(order("nobody"))
    assert "\n" not in str(raised.value)
    assert objects(evidence, "nobody") == set()

    fill(evidence)
    ledger.enqueue([EnqueueRequest(ID, "ph")])
    with pytest.raises(NotErased, match="is under way: "):
        eraser(evidence, redis).erase(order())
    assert readable(evidence)
    assert stage(redis) is Stage.POLLING

    redis.flushall()
    lifecycle = evidence.lifecycle("ph", ID)
    lifecycle.change_holds(lambda known: known.placing(Act(AT, "judge", "case 7")))
    with pytest.raises(NotErased, match=r"is on legal hold since 2026-11-30.*\(judge: case 7\)"):
        eraser(evidence, redis).erase(order())
    assert readable(evidence)
    assert stage(redis) is None
    lifecycle.change_holds(lambda known: known.releasing(Act(AT, "judge", "closed")))
    eraser(evidence, redis).erase(order())
    assert not readable(evidence)


def test_a_hold_that_cannot_be_read_stops_an_erasure(evidence: Evidence, redis: Redis) -> None:
    fill(evidence)
    evidence._backend.create(f"ph/{ID}/hold.json", b"{")
    with pytest.raises(EvidenceConflict, match=r"hold\.json cannot be read"):
        eraser(evidence, redis).erase(order())
    assert readable(evidence)


def test_a_hold_and_an_erasure_at_once_never_both_succeed(evidence: Evidence, redis: Redis) -> None:
    """The ledger decides: a hold that comes after the mark is refused, an erasure after a hold too."""
    fill(evidence)
    ledger = Erasures(redis)

    def place(step: str) -> None:
        if step == "check":
            ledger.hold("ph", ID)

    with pytest.raises(NotErased, match="legal hold"):
        eraser(evidence, redis).erase(order(), reached=place)
    assert readable(evidence)
    ledger.release("ph", ID)

    def too_late(step: str) -> None:
        if step == "mark":
            with pytest.raises(Erased):
                ledger.hold("ph", ID)

    eraser(evidence, redis).erase(order(), reached=too_late)


def test_one_without_evidence_is_erased_from_the_ledger(
    evidence: Evidence, redis: Redis, ledger: Ledger
) -> None:
    quarantine(ledger, ID)
    certificate = eraser(evidence, redis).erase(order())
    assert members_of(certificate)["evidence"]["deleted"] == []
    assert stage(redis) is Stage.ERASED
    with pytest.raises(EvidenceErased):
        evidence.of("ph", ID).keep_answer(ANSWER)


class Killed(BaseException):
    """A process that ends, for steps inside one process."""


def die_at(wanted: str) -> Callable[[str], None]:
    def reached(step: str) -> None:
        if step == wanted:
            raise Killed

    return reached


def points(evidence: Evidence) -> list[str]:
    return [name for name, _ in STEPS] + ["delete answer.json", "delete front.jpg"]


def test_a_death_after_any_step_is_completed_by_the_next_run(
    evidence: Evidence, redis: Redis, sandbox: Sandbox
) -> None:
    """Never readable data that claims to be erased, never an erased person that is decided again."""
    for number, point in enumerate(points(evidence)):
        signature_id = f"pass-{number}"
        redis.flushall()
        fill(evidence, signature_id)
        decide(Ledger(redis), signature_id)
        client_of(sandbox, redis).get_result("ph", signature_id)
        with pytest.raises(Killed):
            eraser(evidence, redis, sandbox).erase(order(signature_id), reached=die_at(point))
        key = evidence.lifecycle("ph", signature_id).key()
        if isinstance(key, Tombstone) and key.certificate is not None:
            assert objects(evidence, signature_id) <= {"key.json", "certificate.txt", "erasure.json"}, point
        if isinstance(key, Tombstone):
            assert Ledger(redis).enqueue([EnqueueRequest(signature_id, "ph")]) == [False], point
        if point == "finish":
            with pytest.raises(AlreadyErased):
                eraser(evidence, redis, sandbox).erase(order(signature_id))
            continue
        asked = sandbox.stats()["clear_answers"]
        certificate = eraser(evidence, redis, sandbox).erase(order(signature_id, why="another reason"))
        if point in {"certify", "seal", "queue"}:
            assert sandbox.stats()["clear_answers"] == asked, point
        members = members_of(certificate)
        names = {each["name"] for each in members["evidence"]["deleted"]}
        assert names == {"answer.json", "front.jpg", "decision.json"}, point
        # From the plan on, the certificate is about the erasure that began.
        began = point not in {"check", "mark"}
        assert members["why"] == ("asked by the person" if began else "another reason"), point
        assert objects(evidence, signature_id) == {"key.json", "certificate.txt"}, point
        assert evidence.lifecycle("ph", signature_id).key() == Tombstone(
            "2026-11-30T12:00:00.000Z", fingerprint(certificate)
        )
        assert stage(redis, signature_id) is Stage.ERASED
        assert redis.pttl(f"{PH}v:{signature_id}") > 0, point
        assert sandbox.verifications()[signature_id]["cleared"] is True


VICTIM = """
import os, signal, sys
from datetime import UTC, datetime
from worker.evidence.log.notes import NoteSigner
from worker.evidence.marks import Act
from worker.evidence.store import Evidence
from worker.ledger.connection import connect
from worker.ledger.erasures import Erasures
from worker.records.erasure import Eraser, Order

redis_url, url, keys, signer, signature_id, point = sys.argv[1:]
note = NoteSigner.parse(signer)
parts = Eraser(
    Evidence(url, keys=keys), Erasures(connect(redis_url)), None, lambda region, text: note.sign(text)
)

def reached(step):
    if step == point:
        os.kill(os.getpid(), signal.SIGKILL)

order = Order("ph", signature_id, Act(datetime.now(UTC), "maria", "asked"))
print(parts.erase(order, reached=reached))
"""


@pytest.mark.parametrize(
    "point", ["mark", "plan", "entomb", "delete answer.json", "certify", "seal", "finish"]
)
def test_a_killed_process_leaves_what_the_next_one_completes(
    tmp_path: Path, redis: Redis, redis_url: str, ledger: Ledger, point: str
) -> None:
    url = (tmp_path / "evidence").as_uri()
    evidence = Evidence(url, keys=KEYS)
    fill(evidence)
    decide(ledger, ID)

    def run(point: str) -> Ended:
        return run_program(VICTIM, redis_url, url, KEYS, SIGNER.private_text(), ID, point)

    assert run(point).code == -signal.SIGKILL
    again = run("")
    if point == "finish":
        assert "was erased at" in again.err
    else:
        assert again.code == 0, again.err
        assert open_note(again.out[:-1], [SIGNER.verifier])
    assert objects(evidence) == {"key.json", "certificate.txt"}
    assert not readable(Evidence(url, keys=KEYS))
    assert stage(redis) is Stage.ERASED


def test_a_vendor_that_is_away_leaves_the_rest_destroyed_and_the_command_to_be_repeated(
    evidence: Evidence, redis: Redis, sandbox: Sandbox
) -> None:
    fill(evidence)
    client_of(sandbox, redis).get_result("ph", ID)
    sandbox.set_faults(Faults(Mode.BUSY, 1.0, retry_after_s=30))
    with pytest.raises(NotErased, match=r"is destroyed here, but the vendor was not reached \(busy 30s\)"):
        eraser(evidence, redis, sandbox).erase(order())
    assert not readable(evidence)
    assert evidence.lifecycle("ph", ID).certificate() is None
    # The vendor asked for a rest, which the whole fleet obeys; the next run does not even ask.
    sandbox.set_faults(Faults())
    asked = sandbox.stats()["clear_answers"]
    with pytest.raises(NotErased, match="ph is on hold for"):
        eraser(evidence, redis, sandbox).erase(order())
    assert sandbox.stats()["clear_answers"] == asked
    Ledger(redis).resume("ph")
    members = members_of(eraser(evidence, redis, sandbox).erase(order()))
    assert members["vendor"]["code"] == "SUCCESS"


def test_what_the_vendor_will_not_delete_is_in_the_certificate(
    evidence: Evidence, redis: Redis, sandbox: Sandbox
) -> None:
    fill(evidence)
    members = members_of(eraser(evidence, redis, sandbox).erase(order()))
    vendor = members["vendor"]
    assert (vendor["asked"], vendor["cleared"], vendor["code"]) == (True, False, "PARAMETER_ERROR")
    fill(evidence, "b")
    members = members_of(eraser(evidence, redis).erase(order("b")))
    assert (members["vendor"]["asked"], members["vendor"]["code"]) == (False, None)


def test_the_fleets_rate_is_obeyed(tmp_path: Path, redis: Redis, sandbox: Sandbox) -> None:
    evidence = Evidence((tmp_path / "evidence").as_uri(), keys=KEYS)
    ledger, client = Ledger(redis, rate=0.25), client_of(sandbox, redis)
    paused: list[float] = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        # Instead of waiting: a rate that is quick to wait for gives the next permit before a slow machine asks.
        redis.delete("ekyc:{ph}:tat")

    vendor = Vendor(client.clear_data, ledger.spend, lambda *_: None, pause)
    parts = replace(eraser(evidence, redis), vendor=vendor)
    for signature_id in ("a", "b"):
        fill(evidence, signature_id)
        parts.erase(order(signature_id))
    assert len(paused) == 1


# A bucket that locks its objects.


class Locked(LocalFolder):
    """Keeps objects for a year from their writing, as a bucket with Object Lock does."""

    def locked_until(self, path: str, kept_at: datetime) -> datetime | None:
        if path.endswith(("key.json", "hold.json", "closed.json")):
            return None
        return kept_at + timedelta(days=365)


def locked(tmp_path: Path, *, keys: str = KEYS, elsewhere: bool = True) -> Evidence:
    evidence = Evidence(
        (tmp_path / "evidence").as_uri(),
        keys=keys,
        keys_url=(tmp_path / "keys").as_uri() if elsewhere else "",
    )
    evidence._backend.__class__ = Locked
    return evidence


def test_a_locked_bucket_keeps_what_nobody_can_read_and_the_certificate_says_until_when(
    tmp_path: Path, redis: Redis
) -> None:
    evidence = locked(tmp_path)
    fill(evidence)
    members = members_of(eraser(evidence, redis).erase(order()))
    kept = members["evidence"]["kept_unreadable"]
    assert {each["name"] for each in kept} == {"answer.json", "front.jpg", "decision.json"}
    until = datetime.fromisoformat(kept[0]["locked_until"])
    assert timedelta(days=364) < until - datetime.now(UTC) < timedelta(days=366)
    assert members["evidence"]["deleted"] == []
    assert not readable(evidence)


@pytest.mark.parametrize(
    ("keys", "elsewhere", "why"),
    [("", False, "it would stay readable until then"), (KEYS, False, "set EKYC_EVIDENCE_KEYS_URL")],
)
def test_what_a_locked_bucket_keeps_readable_is_not_certified(
    tmp_path: Path, redis: Redis, keys: str, elsewhere: bool, why: str
) -> None:
    evidence = locked(tmp_path, keys=keys, elsewhere=elsewhere)
    fill(evidence)
    with pytest.raises(NotErased, match=why):
        eraser(evidence, redis).erase(order())
    assert readable(evidence)
    assert stage(redis) is None


def test_the_log_of_evidence_has_the_erasure_and_still_verifies(tmp_path: Path, redis: Redis) -> None:
    world = LoggedEvidence(redis, (tmp_path / "evidence").as_uri(), KEYS)
    ids = names(5)
    world.end(*ids)
    world.sequencer().turn()
    proof = proof_of(world.log, world.evidence, ids[3])
    assert proof
    parts = replace(
        eraser(world.evidence, redis),
        sign=lambda region, text: world.log.keys.signer(region).sign(text),
        queue=lambda region, signature_id: world.queue.add(region, [signature_id]),
    )
    certificate = parts.erase(order(ids[1]))
    assert world.sequencer().turn() == 1
    newest = world.log.newest()
    assert newest
    assert newest.entries == (ErasureEntry(fingerprint(certificate)),)
    report = world.audit()
    assert (report.findings, report.size) == ([], 6)
    verifiers = world.log.keys.verifiers("ph")
    assert proof.proves(verifiers, world.log.origin).size == 5
    assert json.loads(open_note(certificate, verifiers))["signature_id"] == ids[1]
    # One that was not in the log yet is in it as erased only.
    world.end("late")
    parts.erase(order("late"))
    assert world.sequencer().turn() == 1
    report = world.audit()
    assert (report.findings, report.size) == ([], 7)
    # Repeated, and after a death behind its end, it is not logged twice.
    world.queue.add("ph", ["late", ids[1]])
    assert world.sequencer().turn() == 0


def test_a_bucket_with_object_lock_keeps_noise_until_the_lock_ends(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old versions are still there, and no key opens them any more."""
    with MotoS3().running() as server:
        server.use(monkeypatch)
        server.bucket("locked", locked=True)
        server.bucket("keys")
        lock = S3Options(lock=ObjectLock("COMPLIANCE", 1827))
        evidence = Evidence("s3://locked/ekyc", keys=KEYS, keys_url="s3://keys/ekyc", s3=lock)
        fill(evidence)
        data_key = evidence.keys.find(f"ph/{ID}")
        assert data_key
        certificate = eraser(evidence, redis).erase(order())
        kept = members_of(certificate)["evidence"]["kept_unreadable"]
        assert {each["name"] for each in kept} == {"answer.json", "front.jpg", "decision.json"}
        versions = server.client("s3").list_object_versions(Bucket="locked", Prefix=f"ekyc/ph/{ID}/")
        old = {each["Key"].rpartition("/")[2]: each["VersionId"] for each in versions["Versions"]}
        assert {"answer.json", "front.jpg", "decision.json"} <= old.keys()
        raw = (
            server.client("s3")
            .get_object(Bucket="locked", Key=f"ekyc/ph/{ID}/answer.json", VersionId=old["answer.json"])[
                "Body"
            ]
            .read()
        )
        assert PERSON not in raw
        # With the destroyed key it would open, so it is the key that makes it unreadable.
        assert data_key.open("answer.json", raw) == ANSWER
        keys = server.client("s3").list_object_versions(Bucket="keys")["Versions"]
        assert len(keys) == 1
        wrapped = server.client("s3").get_object(Bucket="keys", Key=keys[0]["Key"])["Body"].read()
        assert b'"erased"' in wrapped
        assert data_key.id.encode() not in wrapped
        assert not readable(evidence)
        with pytest.raises(AlreadyErased):
            eraser(evidence, redis).erase(order())
