"""The vendor's other products, from the enqueue to the decision and its evidence: a sandbox and a whole fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.catalogue import catalogue
from schemas.face import FACE_LINKS
from tests.support.decided import decided as decided_by_table
from worker.client import enqueue
from worker.decisions.table import Table
from worker.evidence.manifest import Manifest, load_manifest
from worker.evidence.store import Evidence
from worker.evidence.verification import verify
from worker.ledger.models import EvidenceState
from worker.testing import LocalFleet

if TYPE_CHECKING:
    from collections.abc import Iterator

FACE = set(FACE_LINKS)
SIDES = {"front", "back"}


@pytest.fixture
def fleet() -> Iterator[LocalFleet]:
    with LocalFleet(settings={"ADVANCE_REGIONS": "ph"}) as fleet:
        yield fleet


def manifest(fleet: LocalFleet, signature_id: str) -> Manifest:
    folder = fleet.evidence / "ph" / signature_id
    assert verify(Evidence(fleet.evidence.as_uri()).of("ph", signature_id)) == []
    return load_manifest((folder / "manifest.json").read_bytes())


def roles(manifest: Manifest) -> set[str]:
    return {file.role for file in manifest.files} - {"answer"}


#: Result, code, the roles of what is kept.
ENDS: dict[str, tuple[str, str, set[str]]] = {
    "liveness-1": ("PASS", "SUCCESS", SIDES | FACE),
    "face-1": ("PASS", "SUCCESS", FACE),
    "face-n2-1": ("PASS", "SUCCESS", FACE),
    "database-1": ("PASS", "SUCCESS", FACE),
    "address-1": ("PASS", "SUCCESS", {"address_1"}),
    "pass-older-1": ("PASS", "SUCCESS", SIDES),
    "face-older-1": ("PASS", "SUCCESS", FACE),
    "nofacevideo-1": ("PASS", "SUCCESS", SIDES | FACE - {"video"}),
    "facevideopending-1": ("PASS", "SUCCESS", SIDES | FACE - {"video"}),
    "LIVENESS_ATTACK-1": ("FAIL", "LIVENESS_ATTACK", SIDES | FACE),
    "face-SIMILARITY_FAILED-1": ("FAIL", "SIMILARITY_FAILED", FACE),
    "face-older-LIVENESS_ATTACK-1": ("FAIL", "LIVENESS_ATTACK", FACE),
    "address-SOMETHING_NEW-1": ("INCOMPLETE", "SOMETHING_NEW", {"address_1"}),
    "face-imgexpired-1": ("PASS", "SUCCESS", FACE),
    "face-noimages-1": ("PASS", "SUCCESS", set()),
}


def test_each_product_ends_in_its_decision_with_all_its_evidence(fleet: LocalFleet) -> None:
    for signature_id in ENDS:
        enqueue(signature_id, "ph")
    decided = {each.signature_id: each.decision for each in fleet.drain()}

    assert decided.keys() == ENDS.keys()
    for signature_id, (result, code, kept) in ENDS.items():
        decision, stored = decided[signature_id], manifest(fleet, signature_id)
        found = (decision["overall_result"], decision["error_code"], decision["reason"])
        assert found == (result, code, None)
        assert decision["decision"] == decided_by_table(Table.load(None), *found)
        assert (decision["decision"] == "approve") == (result == "PASS")
        assert decision["evidence"]["complete"]
        assert (stored.complete, stored.missing, roles(stored)) == (True, (), kept)


@pytest.mark.parametrize("words", ["attacktype1", "face-attacktype2", "facefail", "face-older-facefail"])
def test_a_pass_beside_a_face_that_did_not_is_no_approval(fleet: LocalFleet, words: str) -> None:
    enqueue(f"{words}-2", "ph")
    (message,) = fleet.drain()

    assert (message.decision["decision"], message.decision["reason"]) == ("review", "FACE_RESULT")
    assert message.decision["evidence"]["complete"]


@pytest.mark.parametrize("words", ["livenessscore101", "face-similarityscore999", "attacktype999"])
def test_a_score_that_cannot_be_read_goes_to_a_person(fleet: LocalFleet, words: str) -> None:
    enqueue(f"{words}-3", "ph")

    assert fleet.drain() == []
    (found,) = [each for each in fleet.quarantined() if each.signature_id == f"{words}-3"]
    assert found.reason == "UNREADABLE"
    assert [path.name[:10] for path in (fleet.evidence / "ph" / f"{words}-3").iterdir()] == ["unreadable"]


def test_what_is_missing_is_said_by_role(fleet: LocalFleet) -> None:
    enqueue("face-notimage-4", "ph")
    (message,) = fleet.drain(for_s=0)
    stored = manifest(fleet, "face-notimage-4")

    assert message.decision["decision"] == "approve"
    assert not message.decision["evidence"]["complete"]
    assert {missing.role: missing.reason for missing in stored.missing} == dict.fromkeys(
        FACE, "NOT_AN_IMAGE"
    ) | {"audit": "NOT_AN_ARCHIVE", "video": "NOT_A_VIDEO"}


def test_objects_of_a_host_that_fails_for_a_while_are_completed(fleet: LocalFleet) -> None:
    enqueue("face-img503x3-5", "ph")
    (message,) = fleet.drain()

    assert message.decision["decision"] == "approve"
    assert fleet.status("face-img503x3-5", "ph").verification.evidence is EvidenceState.COMPLETE
    assert roles(manifest(fleet, "face-img503x3-5")) == FACE


def test_the_catalogue_says_what_is_tested_here() -> None:
    prefixes = {entry.id_prefix for entry in catalogue()}

    assert {"liveness", "face", "database", "address", "pass-older", "face-older", "nofacevideo"} <= prefixes
