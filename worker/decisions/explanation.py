"""Why a table decides as it does: the rule that matches, and why no earlier rule does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.decisions.facts import Facts
    from worker.decisions.table import Table


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision and its reasons. `rule` counts from 1; None: no rule matches, and `otherwise` decides."""

    decision: str
    rule: int | None
    text: str
    #: For each earlier rule why it does not match.
    earlier: tuple[str, ...]


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
