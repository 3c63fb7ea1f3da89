"""The first task: poll the vendor until the answer is no longer null.

`get_result` and `follow_up` run on a thread of Celery's pool; `poll` and `keep` run on the event loop and must not
block it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import chain

from tasks.archive_images import archive_images
from tasks.route_decision import route_decision
from worker.advance.answers import OursToFix, Settled, UnknownId, Unreadable, read_again
from worker.decisions.authenticity import established, sealed
from worker.errors import EvidenceConflict
from worker.evidence.paths import ANSWER
from worker.evidence.recent_answers import Known
from worker.ledger import transitions
from worker.ledger.models import Batch, Stage
from worker.messaging.publish import BROKEN, described
from worker.runtime.app import app
from worker.runtime.batch_runner import BatchRunner, give_back, next_stage
from worker.runtime.services import services

if TYPE_CHECKING:
    from worker.advance.answers import Answer
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition
    from worker.runtime.batch_runner import Attempt


@app.task(name="tasks.get_result")
def get_result(region: str, batch_id: str, signature_ids: list[str]) -> None:
    """Poll each verification of a batch once. Settled ones continue at once, the others get a countdown."""
    batch = Batch(batch_id, region, Stage.POLLING, tuple(signature_ids))
    for settled in BatchRunner(services(), batch).concurrently(poll):
        next_batch = next_stage(batch, Stage.ARCHIVING, settled)
        try:
            follow_up(next_batch)
        except BROKEN:
            give_back(services().ledger, next_batch)


def poll(verification: Verification, attempt: Attempt) -> Transition:
    """Poll once. The raw answer is stored before the ledger records it. If one is stored already, that one counts."""
    region, holds = verification.region, services().region_holds
    if holds.is_held(region):
        return transitions.release(verification)

    # The vendor is polled only while its answer can be stored.
    with services().breakers.use(region):
        attempt.answer = services().client.get_result(region, verification.signature_id)
        transition = keep(verification, attempt.answer)
    if transition.trip and transition.trip.after == 1:
        holds.hold(region, transition.trip.first_s)
    return transition


def keep(verification: Verification, answer: Answer) -> Transition:
    """Store `answer` and return its transition. Raises errors of the evidence store, and ``EvidenceConflict``."""
    signature_id = verification.signature_id
    evidence = services().evidence.of(verification.region, signature_id)
    write = after(verification, answer)
    match answer:
        case Unreadable() | OursToFix():
            evidence.keep_unreadable(answer.raw)
        case Settled() | UnknownId() if write.stage is Stage.ARCHIVING:
            kept = evidence.keep_answer(answer.raw)
            if kept == answer.raw:
                if isinstance(answer, Settled):
                    known = Known(answer.result, answer.transaction_id)
                    services().recent_answers.add(verification.region, signature_id, kept, known)
            else:
                earlier = read_again(kept, signature_id=signature_id)
                if outcome(earlier) != outcome(answer):
                    raise EvidenceConflict("OTHER_RESULT", "an answer with another result is stored already")
                if evidence.may_be_planted(ANSWER):
                    # People who can write the store and have no key can plant an answer before the first one is stored.
                    if established(earlier) != established(answer):
                        raise EvidenceConflict(
                            EvidenceConflict.MAY_BE_PLANTED,
                            "an answer with other facts is stored already, and was not encrypted",
                        )
                    evidence.replace_planted(ANSWER, answer.raw)
                else:
                    write = after(verification, earlier)
    return write


def after(verification: Verification, answer: Answer) -> Transition:
    """Return the transition of `answer`, with what decisions are made by."""
    transition = services().policy.after(verification, answer)
    return sealed(transition, verification, answer, services().sealer)


def outcome(answer: Answer) -> tuple[str, ...]:
    """Return the essence of an answer. Two answers may differ in transaction ids and links, but not in this."""
    if isinstance(answer, Settled):
        result = answer.result
        return (answer.kind, str(result.overall_result), str(result.error_code), str(result.contradiction))
    return (answer.kind,)


def follow_up(batch: Batch) -> None:
    """Archive, then decide. The messages are hints: if they are lost, the lease ends and the batch is due again."""
    arguments = (batch.region, batch.id, batch.signature_ids)
    description = described(batch.region, batch.signature_ids)
    chain(
        archive_images.si(*arguments).set(**description),
        route_decision.si(*arguments).set(**description),
    ).apply_async()
