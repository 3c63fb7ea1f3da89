"""A reviewer's verdict on a decision: stored beside it, recorded, and announced. The decision stays as it is.

    store     `review-001.json` beside the evidence: what counts
    ledger    in one step the act in the audit log, a line in the timeline, and the event `verification.reviewed`

It may be interrupted in between. The same review, sent again, has the same id: what is done is not done twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.errors import EvidenceErased, InvalidInput
from worker.evidence.review import LONGEST_NOTE, Review, ReviewVerdict
from worker.policy import personal_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.evidence.store import VerificationEvidence
    from worker.ledger.reviews import ReviewLedger
    from worker.ledger.webhooks import NewDelivery


@dataclass(frozen=True, slots=True)
class ReviewDesk:
    """Takes verdicts.

    Parameters:
        announce: returns the deliveries of the event about a stored review.
    """

    ledger: ReviewLedger
    announce: Callable[[Review], Sequence[NewDelivery]]

    def take(self, evidence: VerificationEvidence, review: Review) -> Review:
        """Store, record and announce a review, and return the stored one.

        Raises ``InvalidInput`` for a note that looks personal, and where there is no decision; ``EvidenceErased``;
        ``EvidenceUnavailable`` and ``EvidenceConflict``; ``LedgerUnavailable`` if only the store has it: then take the
        same review again.
        """
        check_text(review.note, "the note", longest=LONGEST_NOTE)
        evidence.keys.check_erased(evidence.folder)
        if evidence.decision() is None:
            raise InvalidInput("there is no decision to judge yet")
        stored = evidence.keep_review(review)
        known = self.ledger.note(
            stored.region,
            stored.signature_id,
            number=stored.number,
            verdict=stored.verdict.value,
            who=stored.who,
            events=self.announce(stored),
        )
        if not known:
            # The erasure may have listed the files before this one was there.
            evidence.withdraw_review(stored)
            raise EvidenceErased("ERASED", f"the evidence {evidence.folder} is being erased")
        return stored


def new_review(  # noqa: PLR0913 - the parts of a review
    form: str, region: str, signature_id: str, *, who: str, verdict: str, note: str
) -> Review:
    """Return a review. Raises ``InvalidInput`` for an unknown verdict.

    `form`: says which form it is, so that one that is sent twice is one review.
    """
    if verdict not in tuple(ReviewVerdict):
        raise InvalidInput("choose a verdict: confirmed or false alarm")
    text = " ".join(note.split())
    parts = f"{form}\0{region}\0{signature_id}\0{who}\0{verdict}\0{text}"
    id_ = hashlib.sha256(parts.encode(errors="replace")).hexdigest()[:32]
    return Review(id_, region, signature_id, datetime.now(UTC), who, ReviewVerdict(verdict), text)


def check_text(text: str, what: str, *, longest: int) -> None:
    """Refuse a text that is too long, or that looks personal. Raises ``InvalidInput``, which quotes nothing."""
    if len(text) > longest:
        raise InvalidInput(f"{what} is longer than {longest} characters: shorten it")
    if not text.isprintable():
        raise InvalidInput(f"{what} has characters that cannot be seen: type it again")
    if found := personal_text.found_in(text):
        raise InvalidInput(f"{what} has what looks like {found}: leave it out")
