"""The rules for each answer of the vendor. Pure: they map an answer and a verification to a transition."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, Final

from worker.advance import answers
from worker.errors import EvidenceLost, OutcomeForged
from worker.ledger import transitions
from worker.ledger.fields import Field
from worker.ledger.histograms import VENDOR_CALL
from worker.ledger.models import EvidenceState, Stage
from worker.ledger.transitions import Destination, Heard, Trip
from worker.policy.backoff import (
    ACCOUNT,
    ARCHIVE_ON_S,
    BUSY_REST_S,
    BUSY_WAIT_S,
    HOST_BUSY_S,
    LAST_TRIES,
    LATE_FOR_S,
    LATE_TRIES,
    NO_ROOM_S,
    UNAUTHORISED,
    USER_TIMEOUT_S,
    USER_TIMEOUT_SPREAD_S,
    VENDOR_DOWN,
    Backoffs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.advance.answers import Answer
    from worker.errors import EkycError, StoreAway
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition
    from worker.policy.backoff import Backoff
    from worker.settings import Settings

#: Why a verification is decided without a result; rows of the decision table.
DEADLINE_PASSED: Final = "DEADLINE_PASSED"
SIGNATURE_NOT_EXIST: Final = "SIGNATURE_NOT_EXIST"

#: Why a region is on hold when the vendor asks for it.
VENDOR_BUSY: Final = "VENDOR_BUSY"


class Policy:
    """The table of answers: one method for each answer, found by its `kind`.

    Parameters:
      backoffs: the countdowns.
      deadline_s: how long a verification waits for a result.
      random: the source of jitter.
    """

    def __init__(self, backoffs: Backoffs, *, deadline_s: float, random: Random) -> None:
        self.backoffs = backoffs
        self._deadline_s = deadline_s
        self._random = random
        self._after: Mapping[str, Callable[[Verification, Any], Transition]] = {
            answers.Settled.kind: self._settled,
            answers.Pending.kind: self._pending,
            answers.Busy.kind: self._busy,
            answers.Unauthorised.kind: self._refused,
            answers.AccountFault.kind: self._refused,
            answers.TransientFault.kind: self._transient_fault,
            answers.UnknownCode.kind: self._unknown_code,
            answers.UnknownId.kind: self._unknown_id,
            answers.Unreadable.kind: self._unreadable,
            answers.OursToFix.kind: self._ours_to_fix,
        }

    @classmethod
    def from_settings(cls, settings: Settings) -> Policy:
        return cls(Backoffs.from_settings(settings), deadline_s=settings.poll_deadline_s, random=Random())  # noqa: S311 - jitter

    def after(self, verification: Verification, answer: Answer) -> Transition:
        """Return what follows from the vendor's `answer`."""
        write = self._after[answer.kind](verification, answer)
        if write.place is Destination.DUE and write.event == "fault" and self._outlived(verification):
            # Each fault has its own limit; this one is for all of them together.
            write = self._past_deadline(
                verification, self._fault_heard(verification, answer), cause=write.detail
            )
        timed = {} if answer.took_s is None else VENDOR_CALL.counters(answer.took_s)
        # Whatever follows for this verification, a failure of the vendor may put the region on hold.
        return replace(write, trip=trip(answer), counts=write.counts | timed)

    def after_delivery(self, verification: Verification, name: str, *, by_celery: bool = True) -> Transition:
        """Return what follows once the pipeline has the decision: more evidence, or the end."""
        then, in_s = Stage.DONE, 0.0
        if verification.evidence is EvidenceState.PENDING:
            then, in_s = Stage.ARCHIVING, ARCHIVE_ON_S
        elif verification.reason == DEADLINE_PASSED:
            then, in_s = Stage.POLLING, self.backoffs.pending.cap_s
        return transitions.delivered(verification, name=name, then=then, in_s=in_s, by_celery=by_celery)

    def after_error(self, verification: Verification, error: EkycError) -> Transition:
        """Return what follows from a fault of a dependency, as the error's class defines it."""
        if error.erased:
            return transitions.erased(verification)
        if error.quarantine or not error.retry:
            return self._given_up(verification, error.cause)
        return self.again(
            verification, getattr(self.backoffs, error.backoff), cause=error.cause, why=error.why
        )

    def after_forgery(self, verification: Verification, forged: OutcomeForged) -> Transition:
        """Return what follows if no worker wrote the outcome or the decision: quarantine."""
        if forged.reason == OutcomeForged.UNPROVEN:
            # As of an older release, at a deadline or before there were keys. What the vendor answers now decides.
            return transitions.unproven(verification, cause=forged.cause)
        return transitions.forged(verification, reason=forged.cause, detail=forged.reason)

    def after_loss(self, verification: Verification, lost: EvidenceLost) -> Transition:
        """Return what follows if stored evidence is missing: poll for another answer, up to the limit of tries."""
        if lost.reason != EvidenceLost.ANSWER_GONE or self.backoffs.lost.exhausted(verification.losses):
            return self._given_up(verification, lost.cause)
        countdown_s = self.backoffs.lost.countdown_s(verification.losses, self._random)
        return transitions.ask_again(verification, in_s=countdown_s, cause=lost.cause)

    def store_away(self, verification: Verification, away: StoreAway) -> Transition:
        """Return what follows while the evidence store is unavailable: the same stage later, not counted as a try."""
        write = self.later(verification, away.not_for_s, self.backoffs.evidence)
        return replace(write, counts={f"fault:{away.cause}": 1}) if away.probed else write

    def no_room(self, verification: Verification) -> Transition:
        """Return what follows if this process has no capacity left for the region."""
        return transitions.wait(verification, in_s=self._random.uniform(*NO_ROOM_S))

    def no_room_for_images(self, verification: Verification) -> Transition:
        """Return what follows if enough images are in flight: not a try, and a decision does not wait long for it."""
        if verification.decision is None and verification.settled_for_s > BUSY_WAIT_S:
            return transitions.archived(verification, EvidenceState.PENDING)
        return self.later(verification, HOST_BUSY_S, self.backoffs.image)

    def after_unforeseen(self, verification: Verification) -> Transition:
        """Return what follows from an unforeseen error."""
        return self.again(verification, self.backoffs.unforeseen, cause="UNFORESEEN")

    def again(self, verification: Verification, backoff: Backoff, *, cause: str, why: str = "") -> Transition:
        """Return a retry of the stage, until the tries are used up. `why`: more about the cause, for the timeline."""
        # Faults of our queue or store do not count against the vendor's deadline.
        counts_late = backoff.limit and backoff is not self.backoffs.evidence
        late_faults = self._late_faults(verification) if counts_late else 0
        if backoff.exhausted(verification.tries(cause)) or late_faults >= LATE_TRIES:
            return self._given_up(verification, cause)
        countdown_s = backoff.countdown_s(verification.tries(cause), self._random)
        return transitions.retry(
            verification, in_s=countdown_s, cause=cause, why=why, late_faults=late_faults
        )

    def later(self, verification: Verification, not_for_s: float, backoff: Backoff) -> Transition:
        """Return a wait at the same stage for a condition that lasts `not_for_s` and is not a fault."""
        return transitions.wait(verification, in_s=not_for_s + backoff.countdown_s(0, self._random))

    def _given_up(self, verification: Verification, cause: str) -> Transition:
        """Quarantine, unless the pipeline has its decision: then late evidence changes nothing, and this is the end."""
        if verification.decision is not None and verification.stage is not Stage.ROUTING:
            return transitions.give_up(verification, cause=cause)
        return transitions.quarantine(verification, reason=cause)

    def _settled(self, verification: Verification, answer: answers.Settled) -> Transition:
        result = answer.result
        overall_result = result.overall_result.value if result.overall_result else None
        return transitions.settle(
            verification,
            Heard(answer.kind, answer.transaction_id, submitted=result.submission_completed),
            overall_result=overall_result,
            error_code=result.error_code,
            contradiction=result.contradiction,
        )

    def _pending(self, verification: Verification, answer: answers.Pending) -> Transition:
        # The user is done, so the result should come soon: the countdown starts over.
        newly_submitted = answer.submission_completed and not verification.submission_completed
        attempt = 0 if newly_submitted else verification.nulls
        heard = Heard(
            answer.kind, answer.transaction_id, nulls=attempt + 1, submitted=answer.submission_completed
        )
        if verification.age_s >= self._deadline_s:
            return self._past_deadline(verification, heard)
        if answer.submission_completed or verification.submission_completed:
            countdown_s = self.backoffs.pending.countdown_s(attempt, self._random)
        else:
            countdown_s = self._unsubmitted_s(verification, attempt)
        return self._repoll(verification, heard, countdown_s, event="submitted" if newly_submitted else "")

    def _unsubmitted_s(self, verification: Verification, attempt: int) -> float:
        """Return the countdown while the user is not done. It ends shortly after the vendor's hour at the latest."""
        countdown_s = self.backoffs.unsubmitted.countdown_s(attempt, self._random)
        left_s = USER_TIMEOUT_S - verification.age_s
        if left_s <= 0:
            return countdown_s
        return min(countdown_s, left_s + self._random.uniform(0.0, USER_TIMEOUT_SPREAD_S))

    def _transient_fault(self, verification: Verification, answer: answers.TransientFault) -> Transition:
        heard = self._fault_heard(verification, answer)
        if self._waited_enough(verification, answer.kind):
            return self._past_deadline(verification, heard, cause=answer.cause)
        countdown_s = self.backoffs.transient_fault.countdown_s(verification.tries(answer.kind), self._random)
        return self._repoll(verification, heard, countdown_s, event="fault", detail=answer.cause)

    def _unknown_code(self, verification: Verification, answer: answers.UnknownCode) -> Transition:
        heard = self._fault_heard(verification, answer)
        if self.backoffs.unknown_code.exhausted(verification.tries(answer.kind)):
            return self._for_a_person(verification, heard, "UNKNOWN_CODE", answer.code)
        countdown_s = self.backoffs.unknown_code.countdown_s(verification.tries(answer.kind), self._random)
        return self._repoll(verification, heard, countdown_s, event="fault", detail=answer.code)

    def _unknown_id(self, verification: Verification, answer: answers.UnknownId) -> Transition:
        heard = self._fault_heard(verification, answer)
        if (
            self.backoffs.unknown_id.exhausted(verification.tries(answer.kind))
            and verification.decision is not None
        ):
            return transitions.finish(verification, heard, event="given_up", detail=SIGNATURE_NOT_EXIST)
        if self.backoffs.unknown_id.exhausted(verification.tries(answer.kind)):
            if _had_result(verification):
                return self._for_a_person(verification, heard, EvidenceLost.cause, SIGNATURE_NOT_EXIST)
            return transitions.unsettled(verification, heard, reason=SIGNATURE_NOT_EXIST, answer_kept=True)
        countdown_s = self.backoffs.unknown_id.countdown_s(verification.tries(answer.kind), self._random)
        return self._repoll(verification, heard, countdown_s, event="fault", detail=SIGNATURE_NOT_EXIST)

    def _busy(self, verification: Verification, answer: answers.Busy) -> Transition:
        heard = self._fault_heard(verification, answer)
        if self._waited_enough(verification, answer.kind):
            return self._past_deadline(verification, heard, cause=VENDOR_BUSY)
        countdown_s = self.backoffs.transient_fault.countdown_s(verification.tries(answer.kind), self._random)
        return transitions.repoll(verification, heard, in_s=countdown_s, event="fault", detail=VENDOR_BUSY)

    def _refused(
        self, verification: Verification, answer: answers.Unauthorised | answers.AccountFault
    ) -> Transition:
        """Most likely a fault of the account: the region goes on hold. A single refused id has its own countdown."""
        heard = self._fault_heard(verification, answer)
        if self.backoffs.refused.exhausted(verification.tries(answer.kind)):
            return self._for_a_person(verification, heard, answer.code, "")
        countdown_s = self.backoffs.refused.countdown_s(verification.tries(answer.kind), self._random)
        return transitions.repoll(verification, heard, in_s=countdown_s, event="fault", detail=answer.code)

    def _unreadable(self, verification: Verification, answer: answers.Unreadable) -> Transition:
        heard = self._fault_heard(verification, answer)
        return self._for_a_person(verification, heard, "UNREADABLE", answer.cause)

    def _ours_to_fix(self, verification: Verification, answer: answers.OursToFix) -> Transition:
        heard = self._fault_heard(verification, answer)
        return self._for_a_person(verification, heard, answer.code, "")

    def _waited_enough(self, verification: Verification, kind: str) -> bool:
        """Return whether the vendor has failed so often since the deadline that its answer may never come."""
        if verification.decision is not None:
            return verification.age_s >= self._deadline_s
        # An outage that began before the deadline may be over at the next poll.
        return min(verification.tries(kind) + 1, self._late_faults(verification)) >= LAST_TRIES

    def _outlived(self, verification: Verification) -> bool:
        """Return whether the deadline has passed and enough has failed since, in any way."""
        late = verification.age_s >= self._deadline_s
        decided = verification.decision is not None
        return late and (decided or self._late_faults(verification) >= LATE_TRIES)

    def _late_faults(self, verification: Verification) -> int:
        """Return the faults since the deadline, with this one; 0 before the deadline or after the decision."""
        waits = verification.stage is Stage.POLLING and verification.decision is None
        return verification.late_faults + 1 if waits and verification.age_s >= self._deadline_s else 0

    def _past_deadline(self, verification: Verification, heard: Heard, *, cause: str = "") -> Transition:
        if _had_result(verification):
            return self._for_a_person(verification, heard, EvidenceLost.cause, DEADLINE_PASSED)
        if verification.decision is None:
            return transitions.unsettled(verification, heard, reason=DEADLINE_PASSED, cause=cause)
        if verification.age_s >= self._deadline_s + LATE_FOR_S:
            return transitions.finish(verification, heard, event="given_up", detail=DEADLINE_PASSED)
        event = "fault" if cause else ""
        return transitions.repoll(
            verification, heard, in_s=self.backoffs.pending.cap_s, event=event, detail=cause
        )

    def _for_a_person(self, verification: Verification, heard: Heard, reason: str, detail: str) -> Transition:
        if verification.decision is not None:
            # The pipeline has its decision already: an unusable late answer is only recorded.
            return transitions.finish(verification, heard, event="given_up", detail=reason)
        return transitions.quarantine(verification, reason=reason, detail=detail, heard=heard)

    def _repoll(
        self,
        verification: Verification,
        heard: Heard,
        countdown_s: float,
        *,
        event: str = "",
        detail: str = "",
    ) -> Transition:
        left_s = self._deadline_s - verification.age_s
        # The last poll is at the deadline. Later polls have no deadline.
        in_s = min(countdown_s, left_s) if left_s > 0 else countdown_s
        return transitions.repoll(verification, heard, in_s=in_s, event=event, detail=detail)

    def _fault_heard(self, verification: Verification, answer: Answer) -> Heard:
        return Heard(
            answer.kind,
            answer.transaction_id,
            # A fault in between does not reset the countdown after null.
            nulls=verification.nulls,
            faults=verification.tries(answer.kind) + 1,
            cause=answer.kind,
            late_faults=self._late_faults(verification),
        )


def also_polled(write: Transition, verification: Verification, answer: Answer | None) -> Transition:
    """Return `write` with the vendor's answer counted, and passed to the circuit breaker. None: no answer."""
    if answer is None:
        return write
    heard = Heard(answer.kind, answer.transaction_id)
    timed = {} if answer.took_s is None else VENDOR_CALL.counters(answer.took_s)
    return replace(
        write,
        fields={Field.POLLS: str(verification.polls + 1)} | write.fields,
        counts=write.counts | heard.counts() | timed,
        answer=answer.kind,
        trip=trip(answer),
    )


def _had_result(verification: Verification) -> bool:
    """Return whether an earlier result of the vendor is lost before a decision was made by it."""
    had = verification.overall_result or verification.error_code
    return bool(verification.losses and had and verification.decision is None)


def trip(answer: Answer) -> Trip | None:
    """Return why the region may go on hold after `answer`. None: the vendor works, whatever it answered."""
    match answer:
        case answers.TransientFault():
            return None if answer.vendor_answers else replace(VENDOR_DOWN, cause=answer.cause)
        case answers.Busy():
            hold_s = BUSY_REST_S if answer.retry_after_s is None else answer.retry_after_s
            return Trip(after=1, first_s=hold_s, longest_s=hold_s, reason=VENDOR_BUSY, cause=answer.detail)
        case answers.Unauthorised():
            return replace(UNAUTHORISED, reason=answer.code)
        case answers.AccountFault():
            return replace(ACCOUNT, reason=answer.code)
    return None
