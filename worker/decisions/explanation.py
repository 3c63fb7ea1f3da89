"""Why a table decides as it does: the rule that matches, and why no earlier rule does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.decisions import facts as facts_of
from worker.ledger.models import Stage

if TYPE_CHECKING:
    from worker.decisions.facts import Facts
    from worker.decisions.table import Table
    from worker.ledger.models import Verification


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained. `recorded` is the decision that was made, and the table that made it."""

    signature_id: str
    facts: Facts
    recorded: tuple[str, str] | None = None
    #: An older release settled it: it has result, code and reason, and no further facts.
    is_partial: bool = False

    @classmethod
    def of(cls, verification: Verification) -> Subject | None:
        """Return what the ledger keeps of a verification; None: it has no result yet."""
        if not _is_settled(verification):
            return None
        return cls(
            verification.signature_id,
            facts_of.of_verification(verification),
            _recorded(verification),
            is_partial=facts_of.is_partial(verification),
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and its reasons. `rule` counts from 1; None: no rule matches, and `otherwise` decides."""

    decision: str
    rule: int | None
    text: str
    #: For each earlier rule why it does not match.
    earlier: tuple[str, ...]

    @property
    def by(self) -> str:
        """What decides, for people."""
        return f"rule {self.rule}" if self.rule else "otherwise, because no rule matches"


def explain(table: Table, facts: Facts) -> Explanation:
    """Why `table` decides `facts` as it does."""
    read, earlier = table.read(facts), list[str]()
    for number, rule in enumerate(table.rules, start=1):
        mismatch = rule.mismatch(read)
        if mismatch is None and table.is_doubtful(rule, read):
            mismatch = "the answer has more codes or labels than the ledger keeps, so it is not approved"
        if mismatch is None:
            return Explanation(rule.decision, number, rule.text, tuple(earlier))
        earlier.append(mismatch)
    return Explanation(table.otherwise, None, "", tuple(earlier))


def _is_settled(verification: Verification) -> bool:
    if verification.decision_name:
        return True
    return verification.settled_at_ms is not None and verification.stage is not Stage.POLLING


def _recorded(verification: Verification) -> tuple[str, str] | None:
    if not verification.decision_name or not verification.decision:
        return None
    return verification.decision_name, str(json.loads(verification.decision)["table"])
