"""With keys, plain files prove nothing: neither to a worker whose ledger was forged, nor beside encrypted ones."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
from redis import Redis

from tests.support.logged_evidence import LoggedEvidence
from tests.support.redis_attacker import DECIDED, PASSED, Attacker
from worker.client import enqueue
from worker.errors import EvidenceConflict
from worker.evidence.decision_record import dump_record
from worker.evidence.log.audit import Kind
from worker.evidence.log.sequencer import candidate_of
from worker.evidence.review import Review, ReviewVerdict, dump_review
from worker.evidence.rotation import Rotated, rotate
from worker.evidence.sealing import Origin
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.keyring import format_key, new_key
from worker.ledger.fields import Field
from worker.runtime.services import services
from worker.settings import current
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.evidence.store import VerificationEvidence

STRANGER: Final = "unreadable-0000000000000000.bin"

#: What a client of Redis writes to have a pass decided that nobody sealed.
UNSEALED: Final = {
    **PASSED,
    Field.FACTS: "",
    Field.OUTCOME_SEAL: "",
    Field.EVIDENCE: "complete",
} | dict.fromkeys(DECIDED, "")


@pytest.fixture(scope="module")
def fleet() -> Iterator[LocalFleet]:
    settings = {"ADVANCE_REGIONS": "ph", "EKYC_EVIDENCE_KEYS": format_key(new_key("test"))}
    with LocalFleet(settings=settings) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def attacker(fleet: LocalFleet) -> Iterator[Attacker]:
    with Redis.from_url(fleet.redis_url) as redis:
        yield Attacker(redis, fleet.redis_url)


@pytest.fixture(scope="module")
def passed(fleet: LocalFleet) -> str:
    """The answer about somebody who passed."""
    enqueue("pass-genuine", "ph")
    (delivered,) = fleet.drain()
    assert delivered.name == "approve"
    return (evidence("pass-genuine").answer() or b"").decode()


def evidence(name: str) -> VerificationEvidence:
    return Evidence.from_settings(current()).of("ph", name)


def plant(fleet: LocalFleet, name: str, file: str, body: bytes) -> None:
    folder = fleet.evidence / "ph" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(body)


def answer(passed: str, name: str) -> bytes:
    found = json.loads(passed)
    found["data"]["signatureId"] = name
    return json.dumps(found).encode()


def answered(fleet: LocalFleet, attacker: Attacker, name: str) -> tuple[bytes, bytes]:
    """Have a verification answered, and remove its evidence. Returns answer and image."""
    enqueue(name, "ph")
    assert [each.name for each in fleet.drain()] == ["approve"]
    one = evidence(name)
    found = one.answer() or b"", one.read("front.jpg") or b""
    for file in (fleet.evidence / "ph" / name).iterdir():
        file.unlink()
    services().evidence.keys.forget(f"ph/{name}")  # as after a minute
    attacker.write({Field.EVIDENCE: ""} | dict.fromkeys(DECIDED, ""), name)
    attacker.redis.zrem("ekyc:{ph}:done", name)
    return found


def in_quarantine(fleet: LocalFleet) -> dict[str, str]:
    return {each.signature_id: each.reason for each in fleet.quarantined()}


@pytest.mark.parametrize("way", ["plain", "rotated", "beside an encrypted file"])
def test_a_planted_answer_and_a_forged_ledger_approve_nobody(
    fleet: LocalFleet, attacker: Attacker, passed: str, way: str
) -> None:
    """Of somebody about whom the vendor was never asked."""
    name = f"ID_FORGERY_DETECTED-{way[:3]}"
    enqueue(name, "ph")
    plant(fleet, name, "answer.json", answer(passed, name))
    if way == "rotated":
        assert rotate(evidence(name)) is Rotated.ENCRYPTED
    if way == "beside an encrypted file":
        evidence(name).keep_unreadable(b"<html>")
    attacker.write(UNSEALED, name)
    attacker.make_due("routing", name)
    assert [each for each in fleet.drain() if each.name == "approve"] == []
    assert in_quarantine(fleet).get(name) == "EVIDENCE_CONFLICT", "the vendor says something else"


@pytest.mark.parametrize("way", ["plain", "rotated"])
def test_a_planted_decision_and_a_forged_ledger_approve_nobody(
    fleet: LocalFleet, attacker: Attacker, passed: str, way: str
) -> None:
    name, of = f"ID_FORGERY_DETECTED-decided-{way}", "pass-genuine"
    genuine = evidence(of).decision()
    assert genuine is not None
    fixed = attacker.fields(of)
    enqueue(name, "ph")
    plant(fleet, name, "answer.json", answer(passed, name))
    record = replace(genuine, decision=replace(genuine.decision, signature_id=name))
    plant(fleet, name, "decision.json", dump_record(record))
    if way == "rotated":
        assert rotate(evidence(name)) is Rotated.ENCRYPTED
    text = fixed[Field.DECISION].replace(of, name)
    decided = {Field.DECISION: text, Field.DECISION_NAME: "approve"}
    attacker.write({**UNSEALED, **decided}, name)
    attacker.make_due("routing", name)
    assert [each for each in fleet.drain() if each.name == "approve"] == []
    assert name in in_quarantine(fleet)


@pytest.mark.parametrize("planted", [STRANGER, "review-001.json", "front.jpg", "closed.json"])
def test_a_file_planted_before_the_first_write_lets_no_plain_one_count_later(
    fleet: LocalFleet, attacker: Attacker, passed: str, planted: str
) -> None:
    name = f"ID_FORGERY_DETECTED-{planted.partition('.')[0]}"
    plant(
        fleet,
        name,
        planted,
        b"x" if planted != "closed.json" else b'{"version":1,"at":"2020-01-01T00:00:00Z"}',
    )
    enqueue(name, "ph")
    delivered = fleet.drain()
    if planted == "front.jpg":
        assert in_quarantine(fleet)[name] == "EVIDENCE_CONFLICT"
        return
    assert [each.name for each in delivered] == ["reject"]
    folder = fleet.evidence / "ph" / name
    assert b'"plain"' not in (folder / "key.json").read_bytes()
    genuine = evidence(name).decision()
    assert genuine is not None
    # The decision is made another one, for those who read the evidence.
    forged = replace(genuine, decision=replace(genuine.decision, decision="approve"))
    plant(fleet, name, "decision.json", dump_record(forged))
    with pytest.raises(EvidenceConflict):
        evidence(name).decision()
    # It is made another one for the fleet.
    (folder / "decision.json").unlink()
    plant(fleet, name, "answer.json", answer(passed, name))
    attacker.write(UNSEALED, name)
    attacker.make_due("routing", name)
    attacker.redis.zrem("ekyc:{ph}:done", name)
    assert fleet.drain() == []
    assert in_quarantine(fleet)[name] == "EVIDENCE_CONFLICT"


def test_a_review_that_was_planted_before_the_first_write_is_none(fleet: LocalFleet) -> None:
    name = "pass-reviewed"
    review = Review("0" * 32, "ph", name, datetime.now(UTC), "director", ReviewVerdict.CONFIRMED)
    plant(fleet, name, "review-001.json", dump_review(review))
    enqueue(name, "ph")
    assert [each.name for each in fleet.drain()] == ["approve"]
    with pytest.raises(EvidenceConflict, match=r"review-001\.json was not encrypted"):
        evidence(name).reviews()
    assert verify(evidence(name)) == ["review-001.json cannot be read"]


def test_an_encrypted_copy_of_a_planted_decision_does_not_come_back(fleet: LocalFleet, passed: str) -> None:
    """The planted one is encrypted under the key of the folder before the worker's takes its place."""
    name = "pass-copied"
    plant(fleet, name, STRANGER, b"x")
    genuine = evidence("pass-genuine").decision()
    assert genuine is not None
    plant(fleet, name, "decision.json", dump_record(genuine))
    one = evidence(name)
    one.keep_answer(answer(passed, name))
    folder = fleet.evidence / "ph" / name
    copy = (folder / "decision.json").read_bytes()
    assert copy.startswith(b"EKYCE1\n")
    (folder / "decision.json").unlink()
    one.keep_decision(replace(genuine, decision=replace(genuine.decision, signature_id=name)))
    assert one.is_ours("decision.json")
    (folder / "decision.json").write_bytes(copy)
    with pytest.raises(EvidenceConflict, match="was not encrypted"):
        evidence(name).decision()


def test_a_planted_manifest_ends_no_archiving(fleet: LocalFleet) -> None:
    name = "pass-manifest"
    manifest = (evidence("pass-genuine").read("manifest.json") or b"").replace(b"pass-genuine", name.encode())
    files = json.loads(manifest)
    files["files"] = [each for each in files["files"] if each["name"] == "answer.json"]
    plant(fleet, name, "manifest.json", json.dumps(files).encode())
    enqueue(name, "ph")
    assert [each.name for each in fleet.drain()] == ["approve"]
    one = evidence(name)
    assert verify(one) == []
    assert one.is_ours("manifest.json")
    assert one.read("front.jpg")


def test_an_answer_that_was_replaced_before_archiving_is_asked_for_again(
    fleet: LocalFleet, attacker: Attacker
) -> None:
    """Also where everything that was encrypted is removed with its key."""
    name = "pass-replaced"
    genuine, _ = answered(fleet, attacker, name)
    planted = json.loads(genuine)
    planted["data"]["name"] = "PLANTED PERSON"
    plant(fleet, name, "answer.json", json.dumps(planted).encode())
    attacker.make_due("archiving", name)
    assert [each.name for each in fleet.drain()] == ["approve"]
    one = evidence(name)
    assert b"PLANTED" not in (one.answer() or b"")
    assert one.is_ours("answer.json")
    assert verify(one) == []


def test_what_a_worker_without_keys_stored_counts_where_the_vendor_says_the_same(
    fleet: LocalFleet, attacker: Attacker
) -> None:
    """As when keys are switched on while a verification is under way."""
    name = "pass-under-way"
    genuine, image = answered(fleet, attacker, name)
    plain = Evidence(fleet.evidence.as_uri()).of("ph", name)
    plain.keep_answer(genuine)
    plain.keep("front.jpg", image)
    attacker.make_due("archiving", name)
    delivered = fleet.drain()
    assert [each.name for each in delivered] == ["approve"]
    one = evidence(name)
    assert verify(one) == []
    for file in one.files():
        found = one.content(file.name)
        assert found is not None
        assert found.origin is Origin.WRITTEN


def test_a_planted_verification_gets_no_entry_in_the_log(redis: Redis, tmp_path: Path) -> None:
    """Also if a client of Redis queues it. One that a rotation encrypted is logged, and stays as it was logged."""
    plain = LoggedEvidence(redis, (tmp_path / "evidence").as_uri())
    plain.end("before")
    plain.sequencer().turn()
    world = LoggedEvidence(redis, plain.url, keys=format_key(new_key("test")))
    plain.end("planted")
    plain.store("added")
    world.end("genuine")
    sequencer = world.sequencer()
    assert sequencer.turn() == 1
    assert world.logged_ids() == ["before", "genuine"]
    assert sequencer.doubted == {"planted"}
    (found,) = world.audit().findings
    assert (found.kind, found.signature_id) == (Kind.ADDED, "added")
    candidates = [candidate_of(world.evidence, "ph", name) for name in ("before", "planted", "genuine")]
    assert sequencer.append([each for each in candidates if each]) == 0
    assert rotate(world.evidence.of("ph", "planted")) is Rotated.ENCRYPTED
    assert sequencer.turn() == 1
    assert sequencer.doubted == set()
    assert world.logged_ids() == ["before", "genuine", "planted"]
