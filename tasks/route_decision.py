"""The last task: decide by `errorCode`, and deliver the decision. It runs on a thread of Celery's pool."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from schemas.decision import Decision, EvidenceRef, decision_id
from worker.decisions import facts, shadow
from worker.decisions.delivery import Outgoing, deliver
from worker.decisions.failures import deliveries
from worker.decisions.webhooks import of_decision
from worker.errors import BrokerUnavailable
from worker.ledger import transitions
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.runtime.app import app
from worker.runtime.batch_runner import BatchRunner
from worker.runtime.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition

#: Decisions between two checks that the batch still holds them: about 10 ms of deliveries, far below any lease.
SLICE: Final = 64


@app.task(name="tasks.route_decision")
def route_decision(region: str, batch_id: str, signature_ids: list[str]) -> None:
    """Fix the decisions of a batch in the ledger, deliver them, and record that they were delivered.

    The order matters: after a crash in between, the same bytes are delivered again, under the same id. The first record
    also checks that the batch still holds the verifications.
    """
    batch = Batch(batch_id, region, Stage.ROUTING, tuple(signature_ids))
    runner, intercepted = BatchRunner(services(), batch), services().intercept(batch, decide)
    for verifications in runner.slices(SLICE):
        decided = {each.signature_id: (each, intercepted(each)) for each in verifications}
        held = runner.record([counted(each, fixed(each, out)) for each, out in decided.values()])
        if held:
            runner.record(tell([decided[signature_id] for signature_id in held]))


def decide(verification: Verification) -> Outgoing:
    """Return the decision of a verification: the one fixed before, if there is one."""
    region, signature_id, table = verification.region, verification.signature_id, services().table
    if verification.decision and verification.decision_name:
        return Outgoing(decision_id(region, signature_id), verification.decision_name, verification.decision)
    return Outgoing.of(
        Decision(
            id=decision_id(region, signature_id),
            signature_id=signature_id,
            region=region,
            decision=table.decide(facts.of_verification(verification)),
            overall_result=verification.overall_result,
            error_code=verification.error_code,
            reason=verification.reason,
            decided_at=datetime.fromtimestamp(
                (verification.read_at_ms - verification.clock_ahead_ms) / 1000, UTC
            ),
            evidence=EvidenceRef(
                url=services().evidence.of(region, signature_id).url,
                complete=verification.evidence is EvidenceState.COMPLETE,
            ),
            context=json.loads(verification.context) if verification.context else None,
            polls=verification.polls,
            table=table.version,
        )
    )


def fixed(verification: Verification, out: Outgoing) -> Transition:
    """Fix a decision, with its deliveries by webhook."""
    names = services().table.webhooks(out.name)
    deliveries = (
        of_decision(out.text, names, services().endpoints) if names and not verification.decision else ()
    )
    return transitions.decide(verification, name=out.name, decision=out.text, deliveries=deliveries)


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
            deliver(app, [out for _, out in sent], services().signer)
    except BrokerUnavailable as error:
        deliveries.failed(error, len(sent))
        return [policy.after_error(each, error) for each, _ in sent] + handed_over
    if sent:
        deliveries.succeeded()
    return [policy.after_delivery(each, out.name) for each, out in sent] + handed_over
