"""The shadow table: applied beside the table in use, only to count the decisions that would differ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.decisions.facts import of_verification
from worker.ledger.fields import Field

if TYPE_CHECKING:
    from worker.decisions.table import Table
    from worker.ledger.models import Verification
    from worker.ledger.transitions import Transition


def counted(shadow: Table | None, verification: Verification, transition: Transition) -> Transition:
    """The transition that fixes a decision, with a count where `shadow` names another decision.

    A verification whose decision was fixed before is not counted again.
    """
    if shadow is None or verification.decision:
        return transition
    decided, other = transition.fields[Field.DECISION_NAME], shadow.decide(of_verification(verification))
    if other == decided:
        return transition
    return replace(transition, counts={**transition.counts, f"shadow:{decided}:{other}": 1})
