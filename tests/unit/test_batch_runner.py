"""The batch runner: what follows from one attempt, also where it fails."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from worker.advance.answers import Busy, Pending
from worker.errors import EvidenceConflict, EvidenceUnavailable, LedgerUnavailable, StoreAway
from worker.ledger import transitions
from worker.ledger.fields import Field
from worker.ledger.models import Stage, Verification
from worker.policy.backoff import Backoffs
from worker.policy.rules import Policy, trip
from worker.runtime.batch_runner import Attempt, _attempt
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.ledger.transitions import Transition
    from worker.runtime.services import Services

SERVICES = cast(
    "Services",
    SimpleNamespace(policy=Policy(Backoffs.from_settings(Settings()), deadline_s=7200.0, random=Random(1))),
)


def verification() -> Verification:
    return Verification(signature_id="a", region="ph", stage=Stage.POLLING, enqueued_at_ms=0)


def outcome(*, answer: Any = None, error: Exception | None = None) -> Transition:
    """What follows from an attempt that gets `answer` and then raises `error`."""

    def each(one: Verification, attempt: Attempt) -> Transition:
        attempt.answer = answer
        if error:
            raise error
        return transitions.release(one)

    return _attempt(SERVICES, each, verification())


@pytest.mark.parametrize(
    "error",
    [EvidenceUnavailable("away"), StoreAway(1.0), EvidenceConflict("OTHER_RESULT"), ValueError("boom")],
    ids=lambda error: type(error).__name__,
)
def test_an_answer_counts_whatever_fails_after_it(error: Exception) -> None:
    """The vendor is busy: the circuit breaker of its region has to see that, also where the answer was not stored."""
    after = outcome(answer=Busy(30.0), error=error)
    assert after.answer == Busy.kind
    assert after.trip == trip(Busy(30.0))
    assert after.fields[Field.POLLS] == "1"


@pytest.mark.parametrize("error", [EvidenceUnavailable("away"), StoreAway(1.0), ValueError("boom")])
def test_without_an_answer_nothing_is_counted_as_one(error: Exception) -> None:
    after = outcome(error=error)
    assert (after.answer, after.trip) == ("", None)
    assert Field.POLLS not in after.fields


def test_a_transition_that_follows_from_the_answer_counts_it_once() -> None:
    """`Policy.after` has counted it."""

    def each(one: Verification, attempt: Attempt) -> Transition:
        attempt.answer = Pending(submission_completed=True)
        return SERVICES.policy.after(one, attempt.answer)

    after = _attempt(SERVICES, each, verification())
    assert (after.answer, after.fields[Field.POLLS]) == (Pending.kind, "1")


def test_a_ledger_that_is_away_is_no_outcome() -> None:
    with pytest.raises(LedgerUnavailable):
        outcome(error=LedgerUnavailable("away"))
