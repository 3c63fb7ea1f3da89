"""What the ledger does with each answer: one test a row of the table."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.result import OverallResult, Result
from worker.advance import answers
from worker.errors import (
    BrokerUnavailable,
    EkycError,
    EvidenceConflict,
    EvidenceKeyUnknown,
    EvidenceLost,
    EvidenceUnavailable,
    ImageUnavailable,
    LedgerUnavailable,
    StoreAway,
)
from worker.ledger.fields import Field
from worker.ledger.models import EvidenceState, Stage, Verification
from worker.ledger.transitions import Destination, Trip
from worker.policy.backoff import (
    BUSY_REST_S,
    LAST_TRIES,
    LATE_FOR_S,
    LATE_TRIES,
    USER_TIMEOUT_S,
    USER_TIMEOUT_SPREAD_S,
    Backoff,
    Backoffs,
)
from worker.policy.rules import DEADLINE_PASSED, SIGNATURE_NOT_EXIST, Policy, also_polled

if TYPE_CHECKING:
    from worker.ledger.transitions import Transition

DEADLINE_S = 7200.0


class Longest(Random):
    """Jitter that always draws the ceiling, so that a countdown can be named."""

    def uniform(self, a: float, b: float) -> float:
        del a
        return b


@pytest.fixture
def policy() -> Policy:
    backoffs = Backoffs(pending=Backoff(2, 2, 600), unsubmitted=Backoff(10, 2, 600))
    return Policy(backoffs, deadline_s=DEADLINE_S, random=Longest())


def verification(age_s: float = 60, **fields: Any) -> Verification:
    return Verification(
        "f302", "ph", Stage.POLLING, enqueued_at_ms=0, read_at_ms=round(age_s * 1000), **fields
    )


def waits(step: Transition) -> float:
    """For how long the verification waits to be polled again."""
    assert step.place is Destination.DUE
    assert step.stage is Stage.POLLING
    return step.in_s


def test_a_decision_waits_a_minute_for_images_for_which_there_is_no_room(policy: Policy) -> None:
    def after(settled_for_s: float, **fields: Any) -> Transition:
        begun = round((DEADLINE_S - settled_for_s) * 1000)
        return policy.no_room_for_images(verification(DEADLINE_S, settled_at_ms=begun, **fields))

    assert (after(59).place, after(59).fields.get(Field.EVIDENCE)) == (Destination.DUE, None)
    assert (after(61).place, after(61).fields[Field.EVIDENCE]) == (Destination.HELD, EvidenceState.PENDING)
    assert after(61, decision="approve").place is Destination.DUE


@pytest.mark.parametrize(("nulls", "expected_s"), [(0, 2), (1, 4), (5, 64), (30, 600)])
def test_null_waits_exponentially(policy: Policy, nulls: int, expected_s: float) -> None:
    known = verification(nulls=nulls, submission_completed=True)
    step = policy.after(known, answers.Pending(submission_completed=True))
    assert waits(step) == expected_s
    assert step.fields[Field.NULLS] == str(nulls + 1)
    assert step.trip is None


@pytest.mark.parametrize(("nulls", "expected_s"), [(0, 10), (1, 20), (5, 320), (30, 600)])
def test_while_the_user_is_at_it_null_waits_longer(policy: Policy, nulls: int, expected_s: float) -> None:
    step = policy.after(verification(nulls=nulls), answers.Pending(submission_completed=False))
    assert waits(step) == expected_s
    assert step.fields[Field.NULLS] == str(nulls + 1)


def test_who_has_submitted_stays_submitted(policy: Policy) -> None:
    """An answer that has forgotten it makes nobody wait for a user who is done."""
    known = verification(nulls=1, submission_completed=True)
    step = policy.after(known, answers.Pending(submission_completed=False))
    assert waits(step) == 4
    assert step.fields[Field.SUBMITTED] == "1"


@pytest.mark.parametrize(
    ("age_s", "expected_s"),
    [
        (3500, 100 + USER_TIMEOUT_SPREAD_S),  # instead of 600 s
        (2000, 600),  # ends before it
        (USER_TIMEOUT_S - 1, 1 + USER_TIMEOUT_SPREAD_S),
        (USER_TIMEOUT_S, 600),  # the hour is over
    ],
)
def test_no_countdown_leaps_over_the_hour_after_which_the_vendor_gives_up(
    policy: Policy, age_s: float, expected_s: float
) -> None:
    step = policy.after(verification(age_s=age_s, nulls=30), answers.Pending(submission_completed=False))
    assert waits(step) == expected_s


def test_whose_user_is_done_has_no_hour(policy: Policy) -> None:
    known = verification(age_s=3500, nulls=30, submission_completed=True)
    assert waits(policy.after(known, answers.Pending(submission_completed=True))) == 600


def test_those_whose_hour_ends_together_are_polled_within_a_minute_of_it() -> None:
    long = Backoffs(Backoff(600, 1, 600), Backoff(600, 1, 600, shortest=1.0))
    policy = Policy(long, deadline_s=DEADLINE_S, random=Random(3))
    pending = answers.Pending(submission_completed=False)
    after_s = [waits(policy.after(verification(age_s=3500), pending)) - 100 for _ in range(600)]
    assert all(0 <= one <= USER_TIMEOUT_SPREAD_S for one in after_s)
    assert all(sum(1 for one in after_s if tenth <= one < tenth + 6) > 30 for tenth in range(0, 60, 6))


def test_the_countdown_begins_anew_when_the_submission_is_completed(policy: Policy) -> None:
    step = policy.after(verification(nulls=9), answers.Pending(submission_completed=True))
    assert waits(step) == 2
    assert step.event == "submitted"
    later = policy.after(
        verification(nulls=1, submission_completed=True), answers.Pending(submission_completed=True)
    )
    assert waits(later) == 4
    assert later.event == ""


def test_how_long_the_call_took_is_counted_with_its_answer(policy: Policy) -> None:
    asked = policy.after(verification(), answers.TransientFault("HTTP_503", took_s=0.3))
    assert asked.counts == {
        "polls": 1,
        "answer:transient_fault": 1,
        "took:vendor_call:0.5": 1,
        "took:vendor_call:ms": 300,
    }
    without_a_token = policy.after(verification(), answers.TransientFault("TOKEN_TIMEOUT"))
    assert without_a_token.counts == {"polls": 1, "answer:transient_fault": 1}


def test_a_fault_in_between_does_not_reset_the_null_countdown(policy: Policy) -> None:
    fault = policy.after(verification(nulls=6), answers.TransientFault("HTTP_503"))
    assert fault.fields[Field.NULLS] == "6"
    null = policy.after(verification(nulls=5, faults=1), answers.Pending(submission_completed=False))
    assert waits(null) == 320
    assert null.fields[Field.FAULTS] == "0"


def test_the_last_countdown_ends_at_the_deadline(policy: Policy) -> None:
    step = policy.after(verification(age_s=7100, nulls=30), answers.Pending(submission_completed=False))
    assert waits(step) == pytest.approx(100)


def test_at_the_deadline_it_is_decided_without_a_result(policy: Policy) -> None:
    step = policy.after(verification(age_s=DEADLINE_S), answers.Pending(submission_completed=True))
    assert step.stage is Stage.ROUTING
    assert step.fields[Field.REASON] == DEADLINE_PASSED


@pytest.mark.parametrize("answer", [answers.TransientFault("HTTP_500"), answers.Busy(10.0)])
def test_a_fault_at_the_deadline_is_no_null_and_a_vendor_that_only_fails_is_not_waited_for(
    policy: Policy, answer: answers.Answer
) -> None:
    # However often it had failed before.
    once = verification(
        age_s=DEADLINE_S, faults=LAST_TRIES * 2, fault_cause=answer.kind, late_faults=LAST_TRIES - 2
    )
    assert waits(policy.after(once, answer)) > 0
    again = replace(once, late_faults=LAST_TRIES - 1)
    assert waits(policy.after(replace(again, faults=LAST_TRIES - 2), answer)) > 0, "not all in a row"
    step = policy.after(again, answer)
    assert step.stage is Stage.ROUTING
    assert step.fields[Field.REASON] == DEADLINE_PASSED
    # What was the last straw is told.
    assert step.detail in {"DEADLINE_PASSED HTTP_500", "DEADLINE_PASSED VENDOR_BUSY"}


def test_a_busy_vendor_is_a_fault_in_the_story(policy: Policy) -> None:
    write = policy.after(verification(), answers.Busy(10.0))
    assert (write.event, write.detail) == ("fault", "VENDOR_BUSY")


def test_a_result_is_taken_even_after_the_deadline(policy: Policy) -> None:
    step = policy.after(verification(age_s=DEADLINE_S * 2), settled())
    assert step.stage is Stage.ARCHIVING
    assert Field.REASON not in step.fields


def settled() -> answers.Settled:
    result = Result("f302", OverallResult.PASS, submission_completed=True, error_code="SUCCESS")
    return answers.Settled(result, b"{}", transaction_id="tx")


def test_a_result_goes_on_to_the_archive_in_the_same_batch(policy: Policy) -> None:
    write = policy.after(verification(), settled())
    assert (write.place, write.stage) == (Destination.HELD, Stage.ARCHIVING)
    names = (Field.OVERALL_RESULT, Field.ERROR_CODE, Field.TRANSACTION_ID)
    assert tuple(map(write.fields.get, names)) == ("PASS", "SUCCESS", "tx")


@pytest.mark.parametrize(
    ("answer", "trip"),
    [
        (answers.Busy(7.0), Trip(1, 7.0, 7.0, "VENDOR_BUSY")),
        (answers.Busy(None), Trip(1, BUSY_REST_S, BUSY_REST_S, "VENDOR_BUSY")),
        (answers.Unauthorised("IAM_FAILED"), Trip(2, 60.0, 60.0, "IAM_FAILED", alarm=True)),
        (
            answers.AccountFault("INSUFFICIENT_BALANCE"),
            Trip(1, 300.0, 300.0, "INSUFFICIENT_BALANCE", alarm=True),
        ),
        (answers.TransientFault("HTTP_503"), Trip(5, 5.0, 15.0, "VENDOR_DOWN", lasting_s=1.0)),
    ],
)
def test_what_lets_a_region_rest(policy: Policy, answer: answers.Answer, trip: Trip) -> None:
    """And the verification waits by itself, so that another one may try the vendor first."""
    write = policy.after(verification(nulls=3, faults=2, fault_cause=answer.kind), answer)
    assert write.trip == trip
    assert waits(write) > 0
    assert (write.fields[Field.NULLS], write.fields[Field.FAULTS]) == ("3", "3")


@pytest.mark.parametrize(
    "answer", [answers.Unauthorised("ACCESS_DENIED"), answers.AccountFault("SERVICE_DISABLED")]
)
def test_one_id_that_is_always_refused_ends_in_quarantine(policy: Policy, answer: answers.Answer) -> None:
    """It would let its region rest for ever."""
    write = policy.after(verification(faults=7, fault_cause=answer.kind), answer)
    assert (write.place, write.reason) == (Destination.QUARANTINE, answer.detail)


def test_the_deadline_decides_nobody_whose_region_is_refused(policy: Policy) -> None:
    """The vendor has not answered about it: it waits until it does."""
    assert waits(policy.after(verification(age_s=DEADLINE_S * 2), answers.Unauthorised("IAM_FAILED"))) > 0
    assert waits(policy.after(verification(age_s=DEADLINE_S * 2), answers.Busy(3))) > 0


def test_an_unknown_id_gets_a_short_grace_and_is_then_decided(policy: Policy) -> None:
    answer = answers.UnknownId(b"{}")
    assert waits(policy.after(verification(), answer)) == 3
    write = policy.after(verification(faults=4, fault_cause=answer.kind), answer)
    assert write.stage is Stage.ARCHIVING
    assert write.fields[Field.REASON] == SIGNATURE_NOT_EXIST


def test_an_unknown_code_is_tried_a_few_times_and_then_quarantined(policy: Policy) -> None:
    answer = answers.UnknownCode("BRAND_NEW")
    assert waits(policy.after(verification(), answer)) == 5
    write = policy.after(verification(faults=4, fault_cause=answer.kind), answer)
    assert (write.place, write.reason) == (Destination.QUARANTINE, "UNKNOWN_CODE")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answers.Unreadable("data.overallResult: not a known value", b"x"), "UNREADABLE"),
        (answers.OursToFix("PARAMETER_ERROR", b"x"), "PARAMETER_ERROR"),
    ],
)
def test_what_cannot_be_read_is_quarantined(policy: Policy, answer: answers.Answer, reason: str) -> None:
    write = policy.after(verification(), answer)
    assert (write.place, write.reason) == (Destination.QUARANTINE, reason)


@pytest.mark.parametrize("error", [BrokerUnavailable("x"), ImageUnavailable("x")])
def test_what_we_stand_on_is_waited_for(policy: Policy, error: EkycError) -> None:
    step = policy.after_error(verification(faults=50, fault_cause=error.cause), error)
    assert waits(step) > 0
    assert step.detail == error.cause


@pytest.mark.parametrize("error", [EvidenceUnavailable("x"), EvidenceKeyUnknown("x")])
def test_evidence_that_fails_for_one_alone_ends_with_a_person(policy: Policy, error: EkycError) -> None:
    """A store that is away as a whole has a breaker; one that refuses this one for ever is no matter of waiting."""
    limit = policy.backoffs.evidence.limit
    assert limit
    assert waits(policy.after_error(verification(faults=limit - 2, fault_cause=error.cause), error)) > 0
    write = policy.after_error(verification(faults=limit - 1, fault_cause=error.cause), error)
    assert (write.place, write.reason) == (Destination.QUARANTINE, error.cause)


def test_a_store_that_is_away_is_no_try_of_anybody(policy: Policy) -> None:
    one = verification(faults=3, fault_cause="EVIDENCE_UNAVAILABLE")
    write = policy.store_away(one, StoreAway(5.0))
    assert 5 <= waits(write) <= 6
    assert (write.fields, write.counts, write.event) == ({}, {}, "")
    assert policy.store_away(one, StoreAway(5.0, probed=True)).counts == {"fault:EVIDENCE_UNAVAILABLE": 1}


def test_an_answer_that_is_gone_is_asked_for_again_a_few_times(policy: Policy) -> None:
    gone = EvidenceLost(EvidenceLost.ANSWER_GONE)
    for losses in range(2):
        write = policy.after_loss(verification(losses=losses), gone)
        assert (write.place, write.stage, write.fields[Field.LOSSES]) == (
            Destination.DUE,
            Stage.POLLING,
            str(losses + 1),
        )
    write = policy.after_loss(verification(losses=2), gone)
    assert (write.place, write.reason) == (Destination.QUARANTINE, "EVIDENCE_LOST")
    write = policy.after_loss(verification(), EvidenceLost(EvidenceLost.FILES_GONE))
    assert (write.place, write.reason) == (Destination.QUARANTINE, "EVIDENCE_LOST")
    decided = replace(verification(decision="{}", decision_name="approve", losses=2), stage=Stage.ARCHIVING)
    assert policy.after_loss(decided, gone).place is Destination.DONE


def test_one_whose_answer_is_gone_is_not_decided_as_if_there_had_been_none(policy: Policy) -> None:
    """The vendor had a result: that it gives none any more is for a person, not a decision."""
    lost = verification(losses=1, overall_result="PASS", error_code="SUCCESS", age_s=DEADLINE_S)
    write = policy.after(lost, answers.Pending(submission_completed=True))
    assert (write.place, write.reason, write.detail) == (
        Destination.QUARANTINE,
        "EVIDENCE_LOST",
        "DEADLINE_PASSED",
    )
    lost = replace(lost, faults=10, fault_cause="unknown_id")
    write = policy.after(lost, answers.UnknownId(b"{}"))
    assert (write.reason, write.detail) == ("EVIDENCE_LOST", "SIGNATURE_NOT_EXIST")


def test_what_the_vendor_answered_counts_whatever_became_of_it(policy: Policy) -> None:
    one = verification(polls=4)
    write = also_polled(policy.after_error(one, EvidenceUnavailable("x")), one, answers.Busy(3))
    assert write.fields[Field.POLLS] == "5"
    assert write.counts == {"fault:EVIDENCE_UNAVAILABLE": 1, "polls": 1, "answer:busy": 1}
    assert write.trip is not None
    assert also_polled(write, one, None) is write


def test_evidence_that_contradicts_itself_is_quarantined(policy: Policy) -> None:
    write = policy.after_error(verification(), EvidenceConflict("OTHER_BYTES"))
    assert (write.place, write.reason) == (Destination.QUARANTINE, "EVIDENCE_CONFLICT")


def test_what_fails_after_the_decision_is_given_up_not_quarantined(policy: Policy) -> None:
    """The pipeline was told: evidence that cannot be had any more is no matter for a person."""
    decided = verification(decision="{}", decision_name="review", faults=4, fault_cause="UNFORESEEN")
    for write in (
        policy.after_error(decided, EvidenceConflict("OTHER_BYTES")),
        policy.after_unforeseen(decided),
        policy.after_unforeseen(replace(decided, stage=Stage.ARCHIVING)),
    ):
        assert (write.place, write.event) == (Destination.DONE, "given_up")
        assert write.fields[Field.EVIDENCE] == EvidenceState.INCOMPLETE
    # Fixed is not told: nobody may lose a decision on its way to the pipeline.
    fixed = replace(decided, stage=Stage.ROUTING)
    assert policy.after_unforeseen(fixed).place is Destination.QUARANTINE


def test_what_nobody_foresaw_is_tried_a_few_times_and_then_quarantined(policy: Policy) -> None:
    assert waits(policy.after_unforeseen(verification())) == 5
    assert (
        policy.after_unforeseen(verification(faults=4, fault_cause="UNFORESEEN")).place
        is Destination.QUARANTINE
    )


def test_every_answer_has_its_row() -> None:
    """A new kind of answer without a row would fail when it first comes, at night."""
    kinds = {cls.kind for cls in answers.Answer.__args__}
    assert (
        set(Policy(Backoffs(Backoff(1, 1, 1), Backoff(1, 1, 1)), deadline_s=1, random=Random())._after)
        == kinds
    )


def test_every_error_names_a_countdown_that_exists() -> None:
    def of(cls: type[EkycError]) -> list[type[EkycError]]:
        return [cls, *(one for sub in cls.__subclasses__() for one in of(sub))]

    backoffs = Backoffs(Backoff(1, 1, 1), Backoff(1, 1, 1))
    assert LedgerUnavailable in of(EkycError)
    for cls in of(EkycError):
        assert isinstance(getattr(backoffs, cls.backoff), Backoff)


def decided(**fields: Any) -> Verification:
    """One whose pipeline was told `review` at the deadline."""
    return verification(
        age_s=DEADLINE_S + 60, decision="{}", decision_name="review", reason=DEADLINE_PASSED, **fields
    )


def test_after_the_deadline_the_vendor_is_still_asked_at_the_longest_countdown(policy: Policy) -> None:
    step = policy.after(decided(nulls=3), answers.Pending(submission_completed=False))
    assert waits(step) == 600
    assert waits(policy.after(decided(), answers.TransientFault("HTTP_500"))) == 600


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answers.TransientFault("HTTP_500"), "VENDOR_DOWN"),
        (answers.Busy(60.0), "VENDOR_BUSY"),
        (answers.AccountFault("INSUFFICIENT_BALANCE"), "INSUFFICIENT_BALANCE"),
        (answers.Unauthorised("ACCESS_TOKEN_EXPIRED"), "ACCESS_TOKEN_EXPIRED"),
    ],
)
@pytest.mark.parametrize("faults", [0, 9])
def test_whatever_becomes_of_one_the_breaker_hears_that_the_vendor_failed(
    policy: Policy, answer: answers.Answer, reason: str, faults: int
) -> None:
    """Also of one that is late, was decided, or gives up: its failure is no sign that the vendor is back."""
    seen: dict[str, Any] = {"faults": faults, "fault_cause": answer.kind}
    for one in (verification(**seen), verification(age_s=DEADLINE_S + 60, **seen), decided(**seen)):
        trip = policy.after(one, answer).trip
        assert trip is not None
        assert trip.reason == reason


def test_a_day_later_nobody_asks_any_more(policy: Policy) -> None:
    late = verification(age_s=DEADLINE_S + LATE_FOR_S, decision="{}", reason=DEADLINE_PASSED)
    write = policy.after(late, answers.Pending(submission_completed=False))
    assert (write.place, write.event) == (Destination.DONE, "given_up")


def test_a_late_result_is_archived_and_noted_as_late(policy: Policy) -> None:
    write = policy.after(decided(), settled())
    assert (write.stage, write.event) == (Stage.ARCHIVING, "settled_late")


@pytest.mark.parametrize(
    "answer",
    [answers.Unreadable("data: no", b""), answers.OursToFix("CLIENT_ERROR", b""), answers.UnknownId(b"")],
)
def test_who_was_decided_never_goes_to_quarantine(policy: Policy, answer: answers.Answer) -> None:
    write = policy.after(decided(faults=9, fault_cause=answer.kind), answer)
    assert (write.place, write.event) == (Destination.DONE, "given_up")


def test_what_follows_a_delivery(policy: Policy) -> None:
    """The end, unless images or a late answer may still come."""
    assert policy.after_delivery(verification(), "approve").place is Destination.DONE
    pending = policy.after_delivery(verification(evidence=EvidenceState.PENDING), "approve")
    assert (pending.place, pending.stage) == (Destination.DUE, Stage.ARCHIVING)
    late = policy.after_delivery(verification(reason=DEADLINE_PASSED), "review")
    assert (late.place, late.stage, late.in_s) == (Destination.DUE, Stage.POLLING, 600)


def test_every_answer_is_heard_by_the_breaker(policy: Policy) -> None:
    assert policy.after(verification(), answers.TransientFault("RESET")).answer == "transient_fault"
    assert policy.after(verification(), settled()).answer == "result"
    assert policy.after(verification(), answers.Busy(1)).answer == "busy"


def test_each_cause_has_tries_of_its_own(policy: Policy) -> None:
    """Four broken connections leave the grace of an unknown id untouched."""
    shaken = verification(faults=4, fault_cause="transient_fault")
    assert waits(policy.after(shaken, answers.UnknownId(b"{}"))) == 3
    assert waits(policy.after(shaken, answers.UnknownCode("NEW"))) == 5
    assert waits(policy.after_unforeseen(shaken)) == 5
    assert policy.after(shaken, answers.UnknownId(b"{}")).fields[Field.FAULTS] == "1"


@pytest.mark.parametrize(
    "answer",
    [
        answers.TransientFault("HTTP_500"),
        answers.Busy(None),
        answers.UnknownCode("NEW"),
        answers.UnknownId(b"{}"),
        answers.Unauthorised("IAM_FAILED"),
        answers.AccountFault("INSUFFICIENT_BALANCE"),
        answers.Unreadable("data: no", b""),
        answers.OursToFix("CLIENT_ERROR", b""),
    ],
)
def test_every_faulty_answer_is_counted_until_the_decision(policy: Policy, answer: answers.Answer) -> None:
    known = verification(vendor_faults=2)
    assert policy.after(known, answer).fields[Field.VENDOR_FAULTS] == "3"
    for other in (settled(), answers.Pending(submission_completed=True)):
        assert Field.VENDOR_FAULTS not in policy.after(known, other).fields
    # What fails on our side is no fault of the vendor.
    assert Field.VENDOR_FAULTS not in policy.after_unforeseen(known).fields


#: What may come instead of an answer, again and again, and what our own code may do.
FAULTS: dict[str, answers.Answer | None] = {
    "transient": answers.TransientFault("HTTP_500"),
    "busy": answers.Busy(None),
    "unknown code": answers.UnknownCode("NEW"),
    "unknown id": answers.UnknownId(b"{}"),
    "unauthorised": answers.Unauthorised("IAM_FAILED"),
    "account": answers.AccountFault("INSUFFICIENT_BALANCE"),
    "unforeseen": None,
}


def after_fault(policy: Policy, known: Verification, fault: str) -> Transition:
    answer = FAULTS[fault]
    return policy.after_unforeseen(known) if answer is None else policy.after(known, answer)


def kept(known: Verification, write: Transition) -> Verification:
    """The verification as the ledger has it when it is due again."""
    return replace(
        known,
        read_at_ms=known.read_at_ms + round(write.in_s * 1000),
        faults=int(write.fields.get(Field.FAULTS, known.faults)),
        fault_cause=write.fields.get(Field.FAULT_CAUSE, known.fault_cause),
        late_faults=int(write.fields.get(Field.LATE_FAULTS, known.late_faults)),
    )


@given(
    faults=st.lists(st.sampled_from(sorted(FAULTS)), min_size=LATE_TRIES, max_size=LATE_TRIES),
    before=st.sampled_from([None, *sorted(FAULTS)]),
    faults_before=st.integers(1, 3),
    told=st.booleans(),
)
def test_no_mixture_of_faults_outlives_the_deadline(
    faults: list[str], before: str | None, faults_before: int, told: bool
) -> None:
    """Whatever fails how: after ten faults past the deadline it is decided, or a person's. A late answer has a day."""
    policy = Policy(
        Backoffs(pending=Backoff(2, 2, 600), unsubmitted=Backoff(10, 2, 600)),
        deadline_s=DEADLINE_S,
        random=Longest(),
    )
    known = decided() if told else verification(age_s=DEADLINE_S)
    if before:
        answer = FAULTS[before]
        known = replace(known, faults=faults_before, fault_cause=answer.kind if answer else "UNFORESEEN")
    course = faults if not told else faults * 60
    for fault in course:
        write = after_fault(policy, known, fault)
        if write.place is not Destination.DUE:
            break
        known = kept(known, write)
    else:
        pytest.fail(f"still waits {known.age_s - DEADLINE_S:.0f} s after its deadline")
    if told:
        # At the longest countdown, or its own for what is a fault of ours.
        assert known.age_s <= DEADLINE_S + 60 + LATE_FOR_S + 600
        assert write.place is Destination.DONE
        return
    assert known.age_s <= DEADLINE_S + LATE_TRIES * 600
    assert write.place in {Destination.HELD, Destination.QUARANTINE}
    assert write.fields.get(Field.REASON) in {DEADLINE_PASSED, SIGNATURE_NOT_EXIST} or write.reason


def test_faults_of_many_kinds_after_the_deadline_decide_with_the_last_one_told(policy: Policy) -> None:
    """The breaker hears of it all the same; and one fault fewer is waited out."""
    late = verification(age_s=DEADLINE_S, late_faults=LATE_TRIES - 1, faults=1, fault_cause="unknown_id")
    for answer, told in (
        (answers.TransientFault("HTTP_500"), "HTTP_500"),
        (answers.Busy(3), "VENDOR_BUSY"),
        (answers.UnknownCode("NEW"), "NEW"),
        (answers.Unauthorised("IAM_FAILED"), "IAM_FAILED"),
        (answers.UnknownId(b"{}"), SIGNATURE_NOT_EXIST),
    ):
        write = policy.after(late, answer)
        assert (write.stage, write.fields[Field.REASON]) == (Stage.ROUTING, DEADLINE_PASSED)
        assert write.detail == f"{DEADLINE_PASSED} {told}"
        assert write.trip == policy.after(verification(), answer).trip
        assert waits(policy.after(replace(late, late_faults=LATE_TRIES - 2), answer)) > 0


def test_what_failed_before_the_deadline_does_not_count_for_its_end(policy: Policy) -> None:
    early = policy.after(verification(), answers.TransientFault("HTTP_500"))
    assert Field.LATE_FAULTS not in early.fields
    assert policy.after(verification(age_s=DEADLINE_S), answers.Busy(3)).fields[Field.LATE_FAULTS] == "1"


def test_an_evidence_store_that_is_down_at_the_deadline_is_waited_for(policy: Policy) -> None:
    """The vendor has answered: what is missing is ours, and counts for nothing."""
    late = verification(age_s=DEADLINE_S * 2, late_faults=LATE_TRIES - 1)
    write = policy.after_error(late, EvidenceUnavailable("x"))
    assert waits(write) > 0
    assert Field.LATE_FAULTS not in write.fields
