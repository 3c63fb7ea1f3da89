"""Brings verifications to a decision on a real ledger, without workers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemas.decision import Decision, EvidenceRef, decision_id, dump_decision
from schemas.enqueue import EnqueueRequest
from worker.ledger import transitions
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.ledger.transitions import Heard

if TYPE_CHECKING:
    from worker.ledger import Ledger
    from worker.ledger.models import Verification


def decision_text(
    signature_id: str, region: str = "ph", name: str = "approve", context: object = None
) -> str:
    """The JSON of a decision as a worker would store it."""
    decision = Decision(
        id=decision_id(region, signature_id),
        signature_id=signature_id,
        region=region,
        decision=name,
        overall_result="PASS",
        error_code="SUCCESS",
        reason=None,
        decided_at=datetime(2026, 11, 29, 12, 0, tzinfo=UTC),
        evidence=EvidenceRef(url="file:///evidence", complete=True),
        context=context,
        polls=1,
        table="default-0000",
    )
    return json.dumps(dump_decision(decision))


def decide(
    ledger: Ledger, signature_id: str, region: str = "ph", name: str = "approve", *, deliver: bool = True
) -> None:
    """Enqueue one verification, and take it through all stages. Nothing else of the region may be due."""
    batch, one = to_routing(ledger, signature_id, region)
    text = decision_text(signature_id, region, name)
    ledger.record(batch, [transitions.decide(one, name=name, decision=text)])
    if deliver:
        ledger.record(batch, [transitions.delivered(one, name=name)])
    else:
        ledger.record(batch, [transitions.retry(one, in_s=3600, cause="DELIVERY_FAILED")])


def to_routing(ledger: Ledger, signature_id: str, region: str = "ph") -> tuple[Batch, Verification]:
    """Enqueue one verification, and take it to its decision."""
    ledger.enqueue([EnqueueRequest(signature_id, region)])
    (batch,) = ledger.claim(region, limit=1).batches
    assert batch.signature_ids == (signature_id,)
    (one,) = ledger.load(batch)
    ledger.record(
        batch, [transitions.settle(one, Heard("result"), overall_result="PASS", error_code="SUCCESS")]
    )
    batch = Batch(batch.id, region, Stage.ARCHIVING, batch.signature_ids)
    (one,) = ledger.load(batch)
    ledger.record(batch, [transitions.archived(one, EvidenceState.COMPLETE)])
    batch = Batch(batch.id, region, Stage.ROUTING, batch.signature_ids)
    (one,) = ledger.load(batch)
    return batch, one


def quarantine(ledger: Ledger, signature_id: str, region: str = "ph") -> None:
    ledger.enqueue([EnqueueRequest(signature_id, region)])
    (batch,) = ledger.claim(region, limit=1).batches
    ledger.record(batch, [transitions.quarantine(one, reason="UNREADABLE") for one in ledger.load(batch)])
