"""Answers that a process has just stored: archiving does not parse them again, and never takes one for another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from schemas.envelope import load_envelope
from schemas.result import Result, load_result
from tests.support.image_host import JPEG, PNG, ImageHost
from worker.client import enqueue
from worker.evidence import archive as archiving
from worker.evidence import recent_answers
from worker.evidence.archive import archive
from worker.evidence.images import Images
from worker.evidence.recent_answers import MAX_BYTES, Known, RecentAnswers
from worker.evidence.store import Evidence
from worker.runtime.services import services
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.envelope import Envelope
    from worker.evidence.manifest import Manifest

REGION, ID = "ph", "f302f5d2454a85c2"
RAW = b'{"code":"SUCCESS"}'
KNOWN = Known(Result(), "d3fde1547eeaf226")


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The answers that archiving parses."""
    found: list[bytes] = []

    def load(raw: bytes) -> Envelope:
        found.append(raw)
        return load_envelope(raw)

    monkeypatch.setattr(archiving, "load_envelope", load)
    return found


def answer(front: str, transaction_id: str = "d3fde1547eeaf226") -> bytes:
    data = {"signatureId": ID, "overallResult": "PASS", "errorCode": "SUCCESS"}
    envelope = {"code": "SUCCESS", "data": data | {"docDetail": {"docFrontImage": front}}}
    return json.dumps(envelope | {"transactionId": transaction_id}).encode()


def known(raw: bytes) -> Known:
    envelope = json.loads(raw)
    return Known(load_result(envelope["data"], signature_id=ID), envelope["transactionId"])


def archived(folder: Path, raw: bytes, recent: RecentAnswers | None, host: ImageHost) -> Manifest:
    evidence = Evidence(folder.as_uri()).of(REGION, ID)
    evidence.keep_answer(raw)
    archive(evidence, Images((host.origin,)), refresh=lambda: None, recent=recent)
    manifest = evidence.manifest()
    assert manifest is not None
    return manifest


def test_an_answer_is_known_once_by_its_region_its_id_and_its_bytes() -> None:
    recent = RecentAnswers()
    for region, signature_id, raw in ((REGION, "other", RAW), ("my", ID, RAW), (REGION, ID, RAW + b" ")):
        recent.add(REGION, ID, RAW, KNOWN)
        assert recent.take(region, signature_id, raw) is None
    recent.add(REGION, ID, RAW, KNOWN)
    assert recent.take(REGION, ID, RAW) is KNOWN
    assert recent.take(REGION, ID, RAW) is None


def test_the_last_answer_of_a_verification_counts() -> None:
    recent, later = RecentAnswers(), Known(Result(), None)
    recent.add(REGION, ID, RAW, KNOWN)
    recent.add(REGION, ID, b"{}", later)
    assert len(recent) == 1
    assert recent.take(REGION, ID, b"{}") is later


def test_old_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    recent = RecentAnswers()
    monkeypatch.setattr(recent_answers, "REMEMBER_S", 0.0)
    for number in range(3):
        recent.add(REGION, f"{number}", RAW, KNOWN)
        assert len(recent) == 1
    assert recent.take(REGION, "2", RAW) is None


def test_there_are_only_so_many_answers_and_no_large_ones() -> None:
    recent = RecentAnswers(2)
    for signature_id in ("a", "b", "c"):
        recent.add(REGION, signature_id, RAW, KNOWN)
    assert recent.take(REGION, "a", RAW) is None
    assert recent.take(REGION, "b", RAW) is KNOWN
    recent.add(REGION, "c", bytes(MAX_BYTES + 1), KNOWN)
    assert len(recent) == 0
    recent.add(REGION, "c", bytes(MAX_BYTES), KNOWN)
    assert len(recent) == 1


def test_a_known_answer_is_archived_as_a_parsed_one(
    tmp_path: Path, host: ImageHost, parsed: list[bytes]
) -> None:
    raw, recent = answer(host.serve("/front", JPEG)), RecentAnswers()
    recent.add(REGION, ID, raw, known(raw))
    one = archived(tmp_path / "known", raw, recent, host)
    assert parsed == []
    other = archived(tmp_path / "parsed", raw, None, host)
    assert parsed == [raw]
    assert one.complete
    assert one.transaction_id == other.transaction_id == "d3fde1547eeaf226"
    assert [(file.name, file.sha256) for file in one.files] == [
        (file.name, file.sha256) for file in other.files
    ]
    assert (one.overall_result, one.error_code) == (other.overall_result, other.error_code)


def test_the_stored_answer_counts_if_it_is_another(
    tmp_path: Path, host: ImageHost, parsed: list[bytes]
) -> None:
    stored, asked = answer(host.serve("/stored", JPEG), "stored"), answer(host.serve("/asked", PNG), "asked")
    recent = RecentAnswers()
    recent.add(REGION, ID, asked, known(asked))
    manifest = archived(tmp_path, stored, recent, host)
    assert parsed == [stored]
    assert manifest.transaction_id == "stored"
    assert [file.name for file in manifest.files] == ["answer.json", "front.jpg"]


def test_a_fleet_parses_an_answer_once(parsed: list[bytes]) -> None:
    with LocalFleet(settings={"ADVANCE_REGIONS": REGION}) as fleet:
        for number in range(3):
            enqueue(f"PASS-{number}", REGION)
        assert len(fleet.drain()) == 3
        assert len(services().recent_answers) == 0
    assert parsed == []


def test_a_fleet_archives_the_answer_that_was_stored_first(parsed: list[bytes]) -> None:
    """Another worker has stored its answer, and was killed before it could tell the ledger."""
    data = {"signatureId": "PASS-1", "overallResult": "PASS", "errorCode": "SUCCESS"}
    earlier = json.dumps({"code": "SUCCESS", "data": data, "transactionId": "earlier"}).encode()
    with LocalFleet(settings={"ADVANCE_REGIONS": REGION}) as fleet:
        evidence = services().evidence.of(REGION, "PASS-1")
        evidence.keep_answer(earlier)
        enqueue("PASS-1", REGION)
        assert len(fleet.drain()) == 1
        manifest = evidence.manifest()
        assert manifest is not None
        assert manifest.transaction_id == "earlier"
        assert [file.name for file in manifest.files] == ["answer.json"]
    assert parsed == [earlier]
