"""The last task: decide by the decision table, store the decision, and deliver it.

It runs on a thread of Celery's pool; `decide_and_fix` and all that it calls run on the event loop and must not block
it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from schemas.decision import Decision, EvidenceRef, decision_id, load_decision
from schemas.result import OverallResult
from worker.decisions import facts, shadow
from worker.decisions.delivery import Outgoing, deliver, task_name
from worker.decisions.failures import deliveries
from worker.decisions.webhooks import of_decision
from worker.enqueue_request import check_context
from worker.errors import BrokerUnavailable, EvidenceConflict, OutcomeForged
from worker.evidence.decision_record import Course, DecisionRecord
from worker.evidence.paths import DECISION
from worker.ledger import transitions
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.runtime.app import app
from worker.runtime.batch_runner import BatchRunner
from worker.runtime.services import services
from worker.signatures import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition
    from worker.runtime.batch_runner import Attempt

#: Decisions between two checks that the batch still holds them: about 10 ms of deliveries, far below any lease.
SLICE: Final = 64

_log = structlog.get_logger(__name__)


@app.task(name="tasks.route_decision")
def route_decision(region: str, batch_id: str, signature_ids: list[str]) -> None:
    """Store the decisions of a batch, fix them in the ledger, deliver them, and record that they were delivered.

    The order matters: after a crash in between, the same decision is fixed, and the same bytes are delivered again,
    under the same id. The first record also checks that the batch still holds the verifications.
    """
    batch = Batch(batch_id, region, Stage.ROUTING, tuple(signature_ids))
    runner = BatchRunner(services(), batch)
    for verifications in runner.slices(SLICE):
        made: dict[str, tuple[Verification, Outgoing]] = {}
        for outcomes in runner.attempted(partial(decide_and_fix, made), verifications):
            held = runner.record(outcomes)
            if held:
                runner.record(tell([made[signature_id] for signature_id in held]))


def decide_and_fix(
    made: dict[str, tuple[Verification, Outgoing]], verification: Verification, attempt: Attempt
) -> Transition:
    """Store the decision of a verification with its evidence. Returns the transition that fixes it.

    Nothing is decided by an outcome that no worker wrote. Runs on the event loop, and adds the decision to `made`.
    """
    del attempt  # the vendor is not asked
    region, signature_id = verification.region, verification.signature_id
    with services().breakers.use(region):
        try:
            verification = services().authenticity.checked(verification)
        except OutcomeForged as forged:
            _log.error("outcome_forged", signature_id=signature_id, region=region, why=forged.reason)
            return services().policy.after_forgery(verification, forged)
        out, record = decide(verification)
        evidence = services().evidence.of(region, signature_id)
        stored = evidence.keep_decision(record)
        if stored is not record:
            out = earlier(verification, out, record, stored, is_ours=evidence.is_ours(DECISION))
    out = signed(out)
    made[signature_id] = (verification, out)
    return counted(verification, fixed(verification, out))


def decide(verification: Verification) -> tuple[Outgoing, DecisionRecord]:
    """Return the decision of a verification, and its record: the one fixed before, if there is one."""
    region, signature_id, table = verification.region, verification.signature_id, services().table
    read = facts.of_verification(verification)
    if verification.decision and verification.decision_name:
        out = Outgoing(decision_id(region, signature_id), verification.decision_name, verification.decision)
        return out, DecisionRecord.of(
            load_decision(json.loads(verification.decision)), course=course(verification, read)
        )
    rule = table.match(read)
    decision = Decision(
        id=decision_id(region, signature_id),
        signature_id=signature_id,
        region=region,
        decision=table.decision_of(rule),
        overall_result=verification.overall_result,
        error_code=verification.error_code,
        reason=verification.reason,
        decided_at=_moment(verification, verification.read_at_ms),
        evidence=EvidenceRef(
            url=services().evidence.of(region, signature_id).url,
            complete=verification.evidence is EvidenceState.COMPLETE,
        ),
        context=_context(verification.context),
        polls=verification.polls,
        table=table.version,
    )
    return Outgoing.of(decision), DecisionRecord.of(
        decision, None if rule is None else rule + 1, course(verification, read)
    )


def _context(text: str | None) -> Any:
    """Return the pipeline's context. Raises ``ValueError`` for one that no pipeline can have enqueued."""
    context = json.loads(text) if text else None
    check_context(context)
    return context


def course(verification: Verification, read: facts.Facts) -> Course:
    """Return how a verification came to its decision."""
    enqueued_at_ms, settled_at_ms = verification.enqueued_at_ms, verification.settled_at_ms
    return Course(
        enqueued_at=_moment(verification, enqueued_at_ms) if enqueued_at_ms else None,
        settled_at=_moment(verification, settled_at_ms) if settled_at_ms else None,
        document_type=read.document_type,
        vendor_faults=verification.vendor_faults,
    )


def _moment(verification: Verification, at_ms: int) -> datetime:
    """Return a moment of the ledger's clock in Redis's own. The times between two moments stay as they are."""
    return datetime.fromtimestamp((at_ms - verification.clock_ahead_ms) / 1000, UTC)


def earlier(
    verification: Verification,
    out: Outgoing,
    record: DecisionRecord,
    stored: DecisionRecord,
    *,
    is_ours: bool,
) -> Outgoing:
    """Return the decision that counts where another one is stored already: the first, as long as it claims no more.

    `is_ours`: a worker with keys stored it. Otherwise a writer of the store can have planted it. Raises
    ``EvidenceConflict`` if it belongs elsewhere, if it approves what the outcome does not, if the table does not know
    it and it may be planted, or if the ledger has fixed one with another result.
    """
    ours, theirs = record.decision, stored.decision
    if (theirs.id, theirs.region, theirs.signature_id) != (ours.id, ours.region, ours.signature_id):
        raise EvidenceConflict("OTHER_DECISION", "the stored decision.json is that of another verification")
    # A name that the table does not have may be a task of the pipeline that approves.
    is_strange = not is_ours and theirs.decision not in services().table.decisions
    if stored.essence != record.essence and (
        verification.decision or is_strange or _claims_more(theirs, ours)
    ):
        raise EvidenceConflict("OTHER_DECISION", "a decision with another result is stored already")
    if verification.decision:
        return out
    context = json.loads(out.text)["context"]
    # Receivers follow the URL, so it is that of these settings.
    return Outgoing.of(
        replace(theirs, context=context, evidence=replace(theirs.evidence, url=ours.evidence.url))
    )


def _claims_more(theirs: Decision, ours: Decision) -> bool:
    """Whether a stored decision, which differs, approves, or has a pass that the outcome does not have."""
    passed = OverallResult.PASS.value
    return theirs.decision in services().table.approvals or (
        theirs.overall_result == passed != ours.overall_result
    )


def signed(out: Outgoing) -> Outgoing:
    """Return a decision with its signature as a Celery task, if there is a signing key."""
    signer = services().signer
    return replace(out, headers=out.signature(task_name(out.name), signer)) if signer else out


def fixed(verification: Verification, out: Outgoing) -> Transition:
    """Fix a decision, with its deliveries by webhook."""
    names = services().table.webhooks(out.name)
    sealer = services().sealer
    deliveries = (
        of_decision(out.text, names, services().endpoints, sealer)
        if names and not verification.decision
        else ()
    )
    return transitions.decide(
        verification,
        name=out.name,
        decision=out.text,
        deliveries=deliveries,
        seal=sealer.decision(verification.region, verification.signature_id, out.name, out.text),
        signature=out.headers[SIGNATURE] if out.headers else "",
    )


def by_celery(verification: Verification, out: Outgoing) -> bool:
    """Whether a decision is delivered as a Celery task."""
    table = services().table
    if table.by_celery(out.name):
        return True
    # It was fixed by another table, which may have had no webhook for it: too many deliveries are better than none.
    before = verification.decision and not verification.deliveries
    return bool(before) and json.loads(out.text)["table"] != table.version


def counted(verification: Verification, transition: Transition) -> Transition:
    """Add a count to the transition that fixes a decision if the shadow table names another one."""
    return shadow.counted(services().shadow, verification, transition)


def tell(decided: Sequence[tuple[Verification, Outgoing]]) -> list[Transition]:
    """Deliver decisions. If the queue cannot be written, return transitions that retry."""
    policy = services().policy
    sent = [(each, out) for each, out in decided if by_celery(each, out)]
    rest = [(each, out) for each, out in decided if not by_celery(each, out)]
    handed_over = [policy.after_delivery(each, out.name, by_celery=False) for each, out in rest]
    try:
        if sent:
            deliver(app, [out for _, out in sent])
    except BrokerUnavailable as error:
        deliveries.failed(error, len(sent))
        return [policy.after_error(each, error) for each, _ in sent] + handed_over
    if sent:
        deliveries.succeeded()
    return [policy.after_delivery(each, out.name) for each, out in sent] + handed_over
