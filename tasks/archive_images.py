"""Second: keep the evidence before its links die."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tasks.route_decision import route_decision
from worker.app import app
from worker.batches import give_back, next_stage, work_through
from worker.errors import ImageUnavailable
from worker.evidence.archive import archive
from worker.ledger import writes
from worker.ledger.values import Batch, EvidenceState, Stage
from worker.messages import BROKEN, described
from worker.schedule import ARCHIVE_FOR_S, DECIDE_FIRST_AFTER
from worker.services import services
from worker.vendor.answers import Settled

if TYPE_CHECKING:
    from celery import Task

    from schemas.result import Result
    from worker.ledger.values import Verification
    from worker.ledger.writes import Write


IMAGE_UNAVAILABLE: Final = ImageUnavailable.cause


@app.task(name="tasks.archive_images", bind=True)
def archive_images(self: Task[..., None], region: str, batch_id: str, signature_ids: list[str]) -> None:
    """Fetch and keep the images of a batch, and seal the evidence.

    Where a chain decides for the batch when this ends, only those that must not wait for a slow image are sent ahead.
    """
    batch = Batch(batch_id, region, Stage.ARCHIVING, tuple(signature_ids))
    left = set(signature_ids)
    for archived in work_through(services(), batch, keep):
        left.difference_update(archived)
        if left or not self.request.chain:
            try:
                route_decision.apply_async((region, batch.id, archived), **described(region, archived))
            except BROKEN:
                give_back(services().ledger, next_stage(batch, Stage.ROUTING, archived))


def keep(verification: Verification) -> Write:
    """Keep what can be had. Where an image's host is down: wait, then decide first, and go on trying for a day."""
    kept = archive(
        services().evidence,
        services().images,
        region=verification.region,
        signature_id=verification.signature_id,
        refresh=lambda: ask_again(verification),
        final=verification.settled_for_s > ARCHIVE_FOR_S,
    )
    if not kept.pending:
        state = EvidenceState.COMPLETE if kept.complete else EvidenceState.INCOMPLETE
        return writes.archived(verification, state, files=kept.files, size_bytes=kept.size_bytes)
    if verification.decision is None and verification.tries(IMAGE_UNAVAILABLE) + 1 >= DECIDE_FIRST_AFTER:
        return writes.archived(verification, EvidenceState.PENDING)
    policy = services().policy
    return policy.again(verification, policy.backoffs.image, cause=IMAGE_UNAVAILABLE)


def ask_again(verification: Verification) -> Result | None:
    """Fresh links for links that died, within the region's rate. None: not now."""
    region = verification.region
    if services().ledger.spend(region) > 0:
        return None
    answer = services().client.get_result(region, verification.signature_id)
    return answer.result if isinstance(answer, Settled) else None
