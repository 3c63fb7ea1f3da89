"""The second task: store the evidence before its links expire.

`archive_images` runs on a thread of Celery's pool; `keep` and all that it calls run on the event loop and must not
block it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasks.route_decision import route_decision
from worker.advance.answers import Settled
from worker.concurrency.blocking import run_blocking
from worker.errors import EvidenceLost, ImageUnavailable
from worker.evidence.archive import archive
from worker.ledger import transitions
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.messaging.publish import BROKEN, described
from worker.policy.backoff import ARCHIVE_FOR_S, DECIDE_FIRST_AFTER, LINKS_WAIT_S
from worker.policy.rules import trip
from worker.runtime.app import app
from worker.runtime.batch_runner import BatchRunner, give_back, next_stage
from worker.runtime.region_holds import HEARD_FOR_S
from worker.runtime.services import services

if TYPE_CHECKING:
    from celery import Task

    from schemas.result import Result
    from worker.evidence.archive import Archived
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition
    from worker.runtime.batch_runner import Attempt


IMAGE_UNAVAILABLE: Final = ImageUnavailable.cause


@app.task(name="tasks.archive_images", bind=True)
def archive_images(self: Task[..., None], region: str, batch_id: str, signature_ids: list[str]) -> None:
    """Fetch and store the images of a batch, and seal the evidence.

    If a chained `route_decision` follows for the batch, only those that need not wait for a slow image are sent ahead.
    """
    batch = Batch(batch_id, region, Stage.ARCHIVING, tuple(signature_ids))
    left = set(signature_ids)
    for archived in BatchRunner(services(), batch).concurrently(keep):
        left.difference_update(archived)
        if left or not self.request.chain:
            try:
                route_decision.apply_async((region, batch.id, archived), **described(region, archived))
            except BROKEN:
                give_back(services().ledger, next_stage(batch, Stage.ROUTING, archived))


def keep(verification: Verification, attempt: Attempt) -> Transition:
    """Store the available images. While a host is down: wait, then decide first, and keep trying for a day."""
    links = FreshLinks(verification, attempt)
    try:
        with services().breakers.use(verification.region):
            kept = archive(
                services().evidence.of(verification.region, verification.signature_id),
                services().images,
                refresh=links.ask,
                final=verification.settled_for_s > ARCHIVE_FOR_S,
                recent=services().recent_answers,
            )
    except EvidenceLost as lost:
        return services().policy.after_loss(verification, lost)
    return _after(verification, kept, links.not_for_s)


def _after(verification: Verification, kept: Archived, links_not_for_s: float) -> Transition:
    if not kept.pending:
        state = EvidenceState.COMPLETE if kept.complete else EvidenceState.INCOMPLETE
        return transitions.archived(verification, state, files=kept.files, size_bytes=kept.size_bytes)
    policy, undecided = services().policy, verification.decision is None
    if undecided and links_not_for_s > LINKS_WAIT_S:
        return transitions.archived(verification, EvidenceState.PENDING)
    if links_not_for_s:
        # Not a fault of the images' host, so it does not count as a try.
        return policy.later(verification, links_not_for_s, policy.backoffs.image)
    if kept.busy:
        return policy.no_room_for_images(verification)
    if undecided and verification.tries(IMAGE_UNAVAILABLE) + 1 >= DECIDE_FIRST_AFTER:
        return transitions.archived(verification, EvidenceState.PENDING)
    return policy.again(verification, policy.backoffs.image, cause=IMAGE_UNAVAILABLE)


class FreshLinks:
    """Gets fresh links of one verification when its links have expired.

    `not_for_s`: for how many seconds the vendor may not be polled.
    """

    def __init__(self, verification: Verification, attempt: Attempt) -> None:
        self._verification = verification
        self._attempt = attempt
        self.not_for_s = 0.0

    def ask(self) -> Result | None:
        """Get the vendor's result again, within the region's holds and rate. None if that is not possible now."""
        region, holds = self._verification.region, services().region_holds
        self.not_for_s = (
            HEARD_FOR_S if holds.is_held(region) else run_blocking(services().ledger.spend, region)
        )
        if self.not_for_s:
            return None
        answer = self._attempt.answer = services().client.get_result(region, self._verification.signature_id)
        called_for = trip(answer)
        if called_for and called_for.after == 1:
            holds.hold(region, called_for.first_s)
            self.not_for_s = called_for.first_s
        return answer.result if isinstance(answer, Settled) else None
