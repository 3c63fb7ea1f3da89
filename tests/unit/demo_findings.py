"""Findings of a small demo in which all went well: one verification approved, one quarantined."""

from __future__ import annotations

from dataclasses import replace

from sandbox.catalogue import Expectation
from sandbox.demo.api import Enqueued, Seen
from sandbox.demo.console import NOW, Shown
from sandbox.demo.deliveries import Delivery
from sandbox.demo.findings import Erased, Findings, Kept, Leaks, Logged
from sandbox.demo.plan import Plan, Planned, Way
from schemas.decision import decision_id
from worker.evidence.store import Usage
from worker.ledger.models import Counts, Event, Stage, Status, Verification

APPROVED = Planned(
    "pass-1",
    "ph",
    Way.HTTP,
    {"application": 1},
    Expectation("decided", "approve", "PASS", "SUCCESS", evidence_complete=True),
    smooth=True,
    announced=True,
    called_back=True,
)
UNREADABLE = Planned(
    "nodata-2", "sg", Way.MESSAGE, {"application": 2}, Expectation("quarantined"), smooth=True
)
DELIVERY = Delivery(
    received_at_ms=5_250,
    task="onboarding.approve",
    decision={
        "id": decision_id("ph", "pass-1"),
        "signature_id": "pass-1",
        "region": "ph",
        "decision": "approve",
        "overall_result": "PASS",
        "error_code": "SUCCESS",
        "reason": None,
        "evidence": {"url": "file:///evidence/ph/pass-1", "complete": True},
        "context": {"application": 1},
        "polls": 2,
    },
)


def status(one: Planned, stage: Stage, *, polls: int, reason: str | None = None, events: str = "") -> Status:
    return Status(
        verification=Verification(
            one.signature_id, one.region, stage, enqueued_at_ms=4_000, polls=polls, quarantine_reason=reason
        ),
        now_ms=9_000,
        due_at_ms=None,
        leased_until_ms=None,
        starts=0,
        batch_id=None,
        timeline=tuple(Event(5_000, *event.split(":")) for event in events.split()),
    )


def reconciled(*, accepted: int = 0, **names: list[str]) -> dict[str, object]:
    """The answer about a region that has `accepted` verifications."""
    lists: dict[str, list[str]] = {"done": [], "under_way": [], "quarantined": [], "unknown": [], **names}
    figures = {"decided": len(lists["done"]), "quarantined": len(lists["quarantined"])}
    return {**lists, "balance": {"accepted": accepted, **figures, "waiting": 0, "dropped": 0}}


PLAN = Plan(at_once=(APPROVED, UNREADABLE), one_by_one=())
RECONCILED = {
    **{region: reconciled() for region in PLAN.regions},
    "ph": reconciled(accepted=1, done=["pass-1"]),
    "sg": reconciled(accepted=1, quarantined=["nodata-2"]),
}

GOOD = Findings(
    plan=PLAN,
    accepted={Way.HTTP: 1, Way.MESSAGE: 1},
    http=Enqueued(new=1, requests=1, repeated_alike=True),
    seen=Seen((DELIVERY.decision,), RECONCILED),
    shown=Shown(
        {
            NOW: f"{' '.join(PLAN.regions)} all enqueued 1 1 2 waiting 0 0 0 done 1 0 1 quarantined 0 1 1 dropped"
        }
    ),
    webhooks=(),
    callbacks={"sent": 1, "failed": 0, "lost": 0, "doubled": 0},
    deliveries={"pass-1": [DELIVERY]},
    statuses={
        "pass-1": status(APPROVED, Stage.DONE, polls=2),
        "nodata-2": status(
            UNREADABLE,
            Stage.QUARANTINED,
            polls=1,
            reason="UNREADABLE",
            events="refused:NO_DATA quarantined:UNREADABLE",
        ),
    },
    counts=Counts(
        done=1,
        quarantined=1,
        enqueued=2,
        polls=3,
        decisions={"approve": 1},
        error_codes={"SUCCESS": 1},
        quarantine={"UNREADABLE": 1},
        evidence_files=3,
        evidence_bytes=5_000,
    ),
    ready_at_ms={"pass-1": 5_000, "nodata-2": 5_000},
    kept={
        "pass-1": Kept(
            ("answer.json", "back.jpg", "front.jpg", "manifest.json"),
            listed=3,
            listed_bytes=5_000,
            complete=True,
        ),
        "nodata-2": Kept(("unreadable-0123456789abcdef.bin",)),
    },
    usage=Usage(files=5, size_bytes=6_000),
    log=Logged(1),
    messages_left=0,
    leaks=Leaks(),
    failures=(),
    exit_codes={"worker1": 0, "pipeline": 0},
    erased=Erased(
        "ph", "pass-1", deleted=5, vendor_cleared=True, is_readable=False, stage=Stage.ERASED, log=Logged(2)
    ),
)


def received(**decision: object) -> Findings:
    """The same, had the pipeline received another decision."""
    other = replace(DELIVERY, decision={**DELIVERY.decision, **decision})
    return replace(GOOD, deliveries={"pass-1": [other]}, seen=replace(GOOD.seen, decisions=(other.decision,)))


def answered(region: str, answer: dict[str, object]) -> Findings:
    """The same, had the reconciliation of a region been answered with `answer`."""
    return replace(
        GOOD, seen=replace(GOOD.seen, reconciliations={**GOOD.seen.reconciliations, region: answer})
    )


def fed(*decisions: dict[str, object]) -> Findings:
    """The same, had the feed had these decisions."""
    return replace(GOOD, seen=replace(GOOD.seen, decisions=decisions))
