"""The check of a verification's evidence that a person asks for: its files, the log, and what the answer decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.errors import SchemaError
from worker.advance.answers import Settled, read_again
from worker.decisions import facts
from worker.decisions.explanation import explain
from worker.errors import EkycError
from worker.evidence.store import Evidence
from worker.records.checking import Checked, State, check

if TYPE_CHECKING:
    from redis import Redis

    from worker.decisions.explanation import Explanation
    from worker.decisions.facts import Facts
    from worker.decisions.table import Table
    from worker.ledger.models import Verification
    from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class EvidenceCheck:
    """The outcome.

    Parameters:
        same_facts: whether the stored answer has the facts that the ledger keeps; None: not compared.
        explanation: what the table makes of the stored answer, where the ledger does not keep all facts of it.
    """

    checked: Checked
    same_facts: bool | None = None
    explanation: Explanation | None = None

    @property
    def is_good(self) -> bool:
        return self.checked.state is State.UNCHANGED and self.same_facts is not False

    @property
    def is_bad(self) -> bool:
        return self.checked.state is State.CHANGED or self.same_facts is False


def run(settings: Settings, redis: Redis, one: Verification, table: Table) -> EvidenceCheck:
    """Check the evidence. Codes of the answer are compared, and nothing of it is kept. Raises ``LedgerUnavailable``."""
    checked = check(settings, redis, one.region, one.signature_id)
    if one.overall_result is None:
        return EvidenceCheck(checked)
    try:
        kept = _kept(settings, one)
        if kept is None:
            return EvidenceCheck(checked)
        if facts.is_partial(one):
            return EvidenceCheck(checked, explanation=explain(table, kept))
        return EvidenceCheck(checked, same_facts=kept == facts.of_verification(one))
    except (EkycError, SchemaError, ValueError, KeyError, TypeError, AttributeError):
        # The answer cannot be read here, or a Redis client wrote the facts.
        return EvidenceCheck(checked)


def _kept(settings: Settings, one: Verification) -> Facts | None:
    """Return the facts of the stored answer; None: there is no answer with a result."""
    raw = Evidence.from_settings(settings, must_exist=True).of(one.region, one.signature_id).answer()
    if raw is None:
        return None
    answer = read_again(raw, signature_id=one.signature_id)
    return facts.of_result(answer.result, one.region) if isinstance(answer, Settled) else None
