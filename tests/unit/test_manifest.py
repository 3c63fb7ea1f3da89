"""The manifest as bytes, and what `verify` finds where the store no longer agrees with it."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from schemas.errors import SchemaError
from worker.errors import EvidenceConflict
from worker.evidence.manifest import FileEntry, Manifest, Missing, dump_manifest, load_manifest
from worker.evidence.store import Evidence
from worker.evidence.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

REGION, ID = "ph", "f302f5d2454a85c2"
BODIES = {"answer.json": b'{"code":"SUCCESS"}', "front.jpg": b"\xff\xd8\xff front"}


def entry(name: str, role: str, media_type: str) -> FileEntry:
    body = BODIES[name]
    digest = hashlib.sha256(body).hexdigest()
    return FileEntry(name, role, len(body), digest, media_type, "2026-01-02T03:04:05.006Z")


MANIFEST = Manifest(
    signature_id=ID,
    region=REGION,
    overall_result="PASS",
    error_code="SUCCESS",
    transaction_id="d3fde1547eeaf226",
    archived_at="2026-01-02T03:04:06.007Z",
    complete=False,
    files=(
        entry("answer.json", "answer", "application/json"),
        entry("front.jpg", "front", "image/jpeg"),
    ),
    missing=(Missing("back", "TOO_LARGE"),),
)


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """A store that holds what the manifest says."""
    evidence = Evidence((tmp_path / "evidence").as_uri())
    for name, body in BODIES.items():
        evidence.of(REGION, ID).keep(name, body)
    evidence.of(REGION, ID).keep_manifest(MANIFEST)
    return evidence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence" / REGION / ID


def test_a_manifest_comes_back_as_it_was_written() -> None:
    assert load_manifest(dump_manifest(MANIFEST)) == MANIFEST


def test_a_manifest_without_images_comes_back_as_it_was_written() -> None:
    bare = replace(
        MANIFEST,
        overall_result=None,
        error_code=None,
        transaction_id=None,
        files=(),
        missing=(),
        complete=True,
    )
    assert load_manifest(dump_manifest(bare)) == bare


def test_equal_manifests_are_equal_bytes_whatever_order_their_fields_came_in() -> None:
    raw = dump_manifest(MANIFEST)
    shuffled = dict(reversed(json.loads(raw).items()))
    assert dump_manifest(load_manifest(json.dumps(shuffled, indent=2).encode())) == raw


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"version": 2}, "manifest.version"),
        ({"signature_id": "../x"}, "manifest.signature_id"),
        ({"region": "mars"}, "manifest.region"),
        ({"complete": "perhaps"}, "manifest.complete"),
        ({"files": [{"name": "../../etc/passwd"}]}, "manifest.files.0.name"),
        ({"missing": [{"role": "selfie", "reason": "X"}]}, "manifest.missing.0.role"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_field_and_never_by_value(change: Any, at: str) -> None:
    raw = json.dumps({**json.loads(dump_manifest(MANIFEST)), **change}).encode()
    with pytest.raises(SchemaError) as caught:
        load_manifest(raw)
    assert caught.value.field == at
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_manifest_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(SchemaError):
        load_manifest(raw)


def test_evidence_as_it_was_kept_has_no_faults(evidence: Evidence) -> None:
    assert verify(evidence.of(REGION, ID)) == []


def test_an_unreadable_answer_beside_the_evidence_is_no_fault(evidence: Evidence) -> None:
    evidence.of(REGION, ID).keep_unreadable(b"<html>")
    assert verify(evidence.of(REGION, ID)) == []


def test_a_changed_byte_is_found(evidence: Evidence, folder: Path) -> None:
    (folder / "front.jpg").write_bytes(BODIES["front.jpg"].replace(b"f", b"F"))
    assert verify(evidence.of(REGION, ID)) == ["front.jpg has other bytes than the manifest says"]


def test_a_cut_file_is_found(evidence: Evidence, folder: Path) -> None:
    (folder / "answer.json").write_bytes(b"{")
    assert verify(evidence.of(REGION, ID)) == ["answer.json has 1 bytes, not 18"]


def test_a_file_that_is_gone_is_found(evidence: Evidence, folder: Path) -> None:
    (folder / "front.jpg").unlink()
    assert verify(evidence.of(REGION, ID)) == ["front.jpg is missing"]


def test_a_file_that_came_later_is_found(evidence: Evidence, folder: Path) -> None:
    (folder / "back.png").write_bytes(b"later")
    assert verify(evidence.of(REGION, ID)) == ["back.png is not in the manifest"]


def test_evidence_of_another_verification_is_found(evidence: Evidence, folder: Path) -> None:
    folder.rename(folder.parent / "another")
    assert verify(evidence.of(REGION, "another")) == ["manifest.json belongs to another verification"]


def test_evidence_without_a_manifest_is_not_proven(evidence: Evidence, folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert verify(evidence.of(REGION, ID)) == ["manifest.json is missing"]


def test_a_broken_manifest_proves_nothing_and_asks_for_a_person(evidence: Evidence, folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b"{")
    assert verify(evidence.of(REGION, ID)) == ["manifest.json cannot be read"]
    with pytest.raises(EvidenceConflict) as caught:
        evidence.of(REGION, ID).manifest()
    assert caught.value.quarantine
    assert caught.value.reason == "MANIFEST_UNREADABLE"


def test_a_manifest_that_names_a_file_twice_is_refused() -> None:
    """Each entry is read: a thousand entries would read one large object a thousand times."""
    document = json.loads(dump_manifest(MANIFEST))
    document["files"] += document["files"][:1] * 500
    with pytest.raises(SchemaError, match="name each file once"):
        load_manifest(json.dumps(document).encode())


def test_a_manifest_of_any_size_is_refused_in_bounded_time_and_memory() -> None:
    document = json.loads(dump_manifest(MANIFEST))
    document["missing"] = [{"role": "front", "reason": "TOO_LARGE"}] * 200_000
    raw = json.dumps(document).encode()
    tracemalloc.start()
    try:
        with pytest.raises(SchemaError, match="too long"):
            load_manifest(raw)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
