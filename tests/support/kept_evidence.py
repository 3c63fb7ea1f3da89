"""Evidence of verifications as workers leave it: an answer, an image, a manifest and a decision."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from schemas.decision import Decision, EvidenceRef, decision_id
from worker.decisions.table import Table
from worker.evidence.decision_record import DecisionRecord
from worker.evidence.manifest import FileEntry, Manifest, Missing

if TYPE_CHECKING:
    from worker.evidence.store import Evidence, VerificationEvidence

#: What nobody may see who has no reason to look.
PERSON: Final = "RECOGNISABLE PERSON"

IMAGE: Final = b"\xff\xd8\xff" + bytes(range(256)) * 8

DECIDED_AT: Final = datetime(2026, 11, 30, 1, 2, 3, tzinfo=UTC)


def answer_of(signature_id: str) -> bytes:
    data = {"signatureId": signature_id, "overallResult": "PASS", "errorCode": "SUCCESS", "name": PERSON}
    return json.dumps({"code": "SUCCESS", "data": data}).encode()


def keep(
    evidence: Evidence,
    region: str,
    signature_id: str,
    *,
    decision: str = "approve",
    archived: bool = True,
    table: str | None = None,
) -> VerificationEvidence:
    """Store the evidence of one verification."""
    one = evidence.of(region, signature_id)
    raw = one.keep_answer(answer_of(signature_id))
    if archived:
        bodies = {"answer.json": raw, "front.jpg": IMAGE}
        entries = tuple(entry(name, body) for name, body in bodies.items())
        with one.adding() as add:
            add(entries[1], IMAGE)
        one.keep_manifest(
            Manifest(
                signature_id=signature_id,
                region=region,
                overall_result="PASS",
                error_code="SUCCESS",
                transaction_id=None,
                archived_at="2026-11-30T01:02:03.004Z",
                complete=False,
                files=entries,
                missing=(Missing("face", "NOT_AN_IMAGE"),),
                salt=secrets.token_hex(16),
            )
        )
    one.keep_decision(DecisionRecord.of(decided(region, signature_id, decision, table), rule=2))
    return one


def entry(name: str, body: bytes) -> FileEntry:
    role, _, extension = name.partition(".")
    media = "application/json" if extension == "json" else "image/jpeg"
    return FileEntry(
        name, role, len(body), hashlib.sha256(body).hexdigest(), media, "2026-11-30T01:02:03.004Z"
    )


def decided(region: str, signature_id: str, decision: str, table: str | None) -> Decision:
    return Decision(
        id=decision_id(region, signature_id),
        signature_id=signature_id,
        region=region,
        decision=decision,
        overall_result="PASS",
        error_code="SUCCESS",
        reason=None,
        decided_at=DECIDED_AT,
        evidence=EvidenceRef("file:///kept", complete=True),
        context=None,
        polls=1,
        table=table or Table.load(None).version,
    )
