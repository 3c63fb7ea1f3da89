"""The transitions that a batch may record for a verification it holds. Each function returns one; none does I/O.

polling ──retry──► polling          archiving ──retry──► archiving         routing ──decide──► routing
polling ──settle─► archiving        archiving ──archive─► routing          routing ──deliver─► done
polling ─unsettled► routing         archiving ──finish──► done             routing ──deliver─► archiving
any ─────release─► as it was        any ─────quarantine─► quarantined      routing ──deliver─► polling
polling ──finish─► done             archiving ──ask_again─► polling          any ─────erase─────► erased

If endpoints have not acknowledged the decision by then, `delivering` comes before `done`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from worker.ledger.fields import Field
from worker.ledger.histograms import ENQUEUED_TO_DECIDED, SETTLED_TO_DECIDED
from worker.ledger.models import EvidenceState, Stage

if TYPE_CHECKING:
    from worker.ledger.models import Verification
    from worker.ledger.webhooks import NewDelivery


class Destination(StrEnum):
    """Where a verification is after a transition, in the words of ``record.lua``."""

    #: It stays as it is, under the same holder.
    SAME = "same"
    #: The same batch continues with it at its new stage.
    HELD = "held"
    DUE = "due"
    #: Due now, as if it had never been started.
    BACK = "back"
    DONE = "done"
    QUARANTINE = "quarantine"
    #: Nothing is left of it but a mark.
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Trip:
    """Why a region goes on hold: the circuit breaker of ``record.lua`` trips.

    After the hold one verification probes the vendor. If the probe succeeds the breaker closes. If it fails like this
    again, the next hold doubles, up to `longest_s`.
    """

    #: How many verifications in a row must have failed; 1: this one is enough.
    after: int
    first_s: float
    longest_s: float
    reason: str
    #: How long there must have been no answer, too: of many concurrent calls, those that fail end first.
    lasting_s: float = 0.0
    #: Only a person can fix it.
    alarm: bool = False
    #: The fault behind it, for the log.
    cause: str = field(default="", compare=False)

    def packed(self) -> dict[str, Any]:
        return {
            "after": self.after,
            "first_ms": round(self.first_s * 1000),
            "longest_ms": round(self.longest_s * 1000),
            "reason": self.reason,
            "lasting_ms": round(self.lasting_s * 1000),
        }


@dataclass(frozen=True, slots=True)
class Transition:
    """One transition of one verification, as ``record.lua`` takes it."""

    signature_id: str
    place: Destination
    stage: Stage
    in_s: float = 0.0
    reason: str = ""
    fields: dict[Field, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    event: str = ""
    detail: str = ""
    #: The kind of the vendor's answer that this follows from, for the circuit breaker.
    answer: str = ""
    #: Why the region may go on hold.
    trip: Trip | None = None
    #: What is delivered by webhook if this is the first decision of the verification.
    deliveries: tuple[NewDelivery, ...] = ()
    #: Events that are delivered by webhook if it is recorded.
    events: tuple[NewDelivery, ...] = ()
    #: The same if it puts the region on hold. Their bodies have `"until":null`, for the end of the hold.
    held: tuple[NewDelivery, ...] = ()
    #: The exception that was raised, if any: for error reports. It is not recorded.
    error: Exception | None = field(default=None, repr=False, compare=False)

    def packed(self) -> dict[str, Any]:
        """The shape of one element of the script's JSON."""
        packed: dict[str, Any] = {
            "id": self.signature_id,
            "place": self.place.value,
            "to": self.stage.value,
            "in_ms": round(self.in_s * 1000),
            "reason": self.reason,
            "set": self.fields,
            "count": self.counts,
        }
        if self.event:
            packed |= {"event": self.event, "detail": self.detail}
        if self.deliveries:
            packed["deliveries"] = [each.packed() for each in self.deliveries]
        if self.events:
            packed["events"] = [each.packed() for each in self.events]
        if self.answer:
            packed["answer"] = self.answer
        if self.trip:
            packed["trip"] = self.trip.packed()
        if self.held:
            packed["held"] = [each.packed() for each in self.held]
        return packed


@dataclass(frozen=True, slots=True)
class Heard:
    """What the ledger records of one answer of the vendor, whatever the transition."""

    kind: str
    transaction_id: str | None = None
    nulls: int = 0
    faults: int = 0
    cause: str = ""
    late_faults: int = 0
    submitted: bool = False

    def fields(self, verification: Verification) -> dict[Field, str]:
        values = {
            Field.POLLS: str(verification.polls + 1),
            Field.NULLS: str(self.nulls),
            Field.FAULTS: str(self.faults),
        }
        if self.faults:
            values[Field.FAULT_CAUSE] = self.cause
            values[Field.VENDOR_FAULTS] = str(verification.vendor_faults + 1)
        if self.late_faults:
            values[Field.LATE_FAULTS] = str(self.late_faults)
        if self.submitted or verification.submission_completed:
            values[Field.SUBMITTED] = "1"
        if self.transaction_id:
            values[Field.TRANSACTION_ID] = self.transaction_id
        return values

    def counts(self) -> dict[str, int]:
        return {"polls": 1, f"answer:{self.kind}": 1}


def repoll(
    verification: Verification, heard: Heard, *, in_s: float, event: str = "", detail: str = ""
) -> Transition:
    """Poll again after a countdown."""
    return Transition(
        verification.signature_id,
        Destination.DUE,
        Stage.POLLING,
        in_s=in_s,
        fields=heard.fields(verification),
        counts=heard.counts(),
        answer=heard.kind,
        event=event,
        detail=detail,
    )


def finish(verification: Verification, heard: Heard, *, event: str, detail: str) -> Transition:
    """End a verification that was decided before, because no late answer is expected any more."""
    return Transition(
        verification.signature_id,
        Destination.DONE,
        Stage.DONE,
        fields=heard.fields(verification),
        counts=heard.counts(),
        answer=heard.kind,
        event=event,
        detail=detail,
    )


def give_up(verification: Verification, *, cause: str) -> Transition:
    """End a decided verification for a fault on our side. The decision stays, the evidence is incomplete."""
    return Transition(
        verification.signature_id,
        Destination.DONE,
        Stage.DONE,
        fields={Field.EVIDENCE: EvidenceState.INCOMPLETE.value},
        counts={f"fault:{cause}": 1},
        event="given_up",
        detail=cause,
    )


def settle(
    verification: Verification,
    heard: Heard,
    *,
    overall_result: str | None,
    error_code: str | None,
    contradiction: str | None = None,
) -> Transition:
    """Record the vendor's result, whose raw answer is stored. The images come next.

    `contradiction`: what in the answer contradicts the result. It replaces that of an earlier answer, unless the
    decision is made: then the reason stays.
    """
    fields = heard.fields(verification) | {
        Field.OVERALL_RESULT: overall_result or "",
        Field.ERROR_CODE: error_code or "",
    }
    if verification.decision is None and (contradiction or verification.reason):
        fields[Field.REASON] = contradiction or ""
    return Transition(
        verification.signature_id,
        Destination.HELD,
        Stage.ARCHIVING,
        fields=fields,
        counts=heard.counts(),
        answer=heard.kind,
        # After the deadline it is only evidence: the decision is made already.
        event="settled" if verification.decision is None else "settled_late",
        detail=" ".join(filter(None, (overall_result, error_code, contradiction))),
    )


def unsettled(
    verification: Verification, heard: Heard, *, reason: str, cause: str = "", answer_kept: bool = False
) -> Transition:
    """Settle without a result, for a `reason` that the decision table has. `cause`: the fault that led to it."""
    stage = Stage.ARCHIVING if answer_kept else Stage.ROUTING
    fields = heard.fields(verification) | {Field.REASON: reason}
    if not answer_kept:
        fields[Field.EVIDENCE] = EvidenceState.INCOMPLETE.value
    return Transition(
        verification.signature_id,
        Destination.HELD,
        stage,
        fields=fields,
        counts=heard.counts(),
        answer=heard.kind,
        event="settled",
        detail=" ".join(filter(None, (reason, cause))),
    )


def archived(
    verification: Verification, state: EvidenceState, *, files: int = 0, size_bytes: int = 0
) -> Transition:
    """Record the archived evidence. The decision comes next, or the end if it was made before."""
    decided = verification.decision is not None
    pending = state is EvidenceState.PENDING
    return Transition(
        verification.signature_id,
        Destination.DONE if decided else Destination.HELD,
        Stage.DONE if decided else Stage.ROUTING,
        fields={Field.EVIDENCE: state.value, Field.FAULTS: "0"},
        counts={}
        if pending
        else {"evidence_files": files, "evidence_bytes": size_bytes, f"evidence:{state.value}": 1},
        event="decide_first" if pending else "archived",
        detail="IMAGE_UNAVAILABLE" if pending else f"{state.value} files={files} bytes={size_bytes}",
    )


def decide(  # noqa: PLR0913 - what is recorded of a decision
    verification: Verification,
    *,
    name: str,
    decision: str,
    deliveries: tuple[NewDelivery, ...] = (),
    seal: str = "",
    signature: str = "",
) -> Transition:
    """Fix the decision's bytes before they are delivered, so that a second delivery carries the same.

    `deliveries`: those by webhook. They are added with it, and wait each by itself. `seal`: the MAC of the decision;
    `signature`: its signature, if the fleet has a signing key.
    """
    proof = {Field.DECISION_SEAL: seal, Field.DECISION_SIGNATURE: signature}
    return Transition(
        verification.signature_id,
        Destination.SAME,
        Stage.ROUTING,
        fields={Field.DECISION_NAME: name, Field.DECISION: decision}
        | {field: text for field, text in proof.items() if text},
        # A repeated delivery makes no new decision.
        event="" if verification.decision else "decided",
        detail=name,
        deliveries=() if verification.decision else deliveries,
    )


def delivered(
    verification: Verification,
    *,
    name: str,
    then: Stage = Stage.DONE,
    in_s: float = 0.0,
    by_celery: bool = True,
) -> Transition:
    """Record that the pipeline has the decision. This is the end, unless `then` is a stage for more evidence.

    What is delivered by webhook may still wait. `by_celery`: False if the decision goes to endpoints alone.
    """
    return Transition(
        verification.signature_id,
        Destination.DONE if then is Stage.DONE else Destination.DUE,
        then,
        in_s=in_s,
        counts={
            f"decision:{name}": 1,
            f"error_code:{verification.reason or verification.error_code or 'NONE'}": 1,
        }
        | _took(verification),
        event="delivered" if by_celery else "handed_over",
        detail=name,
    )


def _took(verification: Verification) -> dict[str, int]:
    """Return counters of the time until the delivering task began: `decided_at`, if it delivered at once."""
    took = ENQUEUED_TO_DECIDED.counters((verification.read_at_ms - verification.enqueued_at_ms) / 1000)
    if verification.settled_at_ms and verification.reason is None:
        took |= SETTLED_TO_DECIDED.counters(verification.settled_for_s)
    return took


def retry(
    verification: Verification, *, in_s: float, cause: str, why: str = "", late_faults: int = 0
) -> Transition:
    """Repeat the stage after a countdown, because something on our side failed."""
    late = {Field.LATE_FAULTS: str(late_faults)} if late_faults else {}
    return Transition(
        verification.signature_id,
        Destination.DUE,
        verification.stage,
        in_s=in_s,
        fields={Field.FAULTS: str(verification.tries(cause) + 1), Field.FAULT_CAUSE: cause} | late,
        counts={f"fault:{cause}": 1},
        event="fault",
        detail=" ".join(filter(None, (cause, why))),
    )


#: The fields of an outcome and of a decision.
_DECIDING: Final = (
    *(Field.OVERALL_RESULT, Field.ERROR_CODE, Field.REASON, Field.FACTS, Field.OUTCOME_SEAL),
    *(Field.DECISION_NAME, Field.DECISION, Field.DECISION_SEAL, Field.DECISION_SIGNATURE),
)


def unproven(verification: Verification, *, cause: str) -> Transition:
    """Forget what nothing confirms, and poll the vendor for another answer."""
    write = ask_again(verification, in_s=0.0, cause=cause)
    return replace(write, fields=dict.fromkeys(_DECIDING, "") | write.fields)


def ask_again(verification: Verification, *, in_s: float, cause: str) -> Transition:
    """Poll the vendor for another answer, because the stored one is missing."""
    return Transition(
        verification.signature_id,
        Destination.DUE,
        Stage.POLLING,
        in_s=in_s,
        fields={
            Field.LOSSES: str(verification.losses + 1),
            Field.REASON: "",
            Field.NULLS: "0",
            Field.FAULTS: "0",
        },
        counts={f"fault:{cause}": 1},
        event="fault",
        detail=cause,
    )


def wait(verification: Verification, *, in_s: float) -> Transition:
    """Repeat the stage after a countdown. Nothing has failed."""
    return Transition(verification.signature_id, Destination.DUE, verification.stage, in_s=in_s)


def release(verification: Verification, *, event: str = "") -> Transition:
    """Give it back unchanged, due now. Its start does not count. `event`: for the timeline, if it needs one."""
    return Transition(verification.signature_id, Destination.BACK, verification.stage, event=event)


def forged(verification: Verification, *, reason: str, detail: str) -> Transition:
    """Put into quarantine what the stored answer does not confirm, and forget it: a retry polls the vendor again."""
    write = quarantine(verification, reason=reason, detail=detail)
    return replace(write, fields=dict.fromkeys(_DECIDING, "") | {Field.STAGE: Stage.POLLING.value})


def quarantine(
    verification: Verification, *, reason: str, detail: str = "", heard: Heard | None = None
) -> Transition:
    """Put it into quarantine for a person. `reason` is a word to count and filter by, `detail` says more."""
    return Transition(
        verification.signature_id,
        Destination.QUARANTINE,
        Stage.QUARANTINED,
        reason=reason,
        fields=heard.fields(verification) if heard else {},
        counts=heard.counts() if heard else {},
        answer=heard.kind if heard else "",
        event="refused" if detail else "",
        detail=detail,
    )


def erased(verification: Verification) -> Transition:
    """End it without a decision: its evidence was erased, so nothing about it may be stored or decided again."""
    return Transition(verification.signature_id, Destination.ERASED, Stage.ERASED, counts={"dropped": 1})
