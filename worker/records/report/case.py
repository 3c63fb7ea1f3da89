"""One decided verification as a report counts it: codes and moments, without its id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

#: The verdict of a case whose reviews cannot be read.
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Case:
    """What a report counts of one verification.

    Parameters:
        outcome: the name of the decision, such as `approve`.
        error_code: as the vendor sent it; None: the verification has no result.
        reason: why it has no result, or what contradicts its result.
        document_type: None: the vendor named none, or the record does not hold it.
        table: the version of the decision table.
        enqueued_at, settled_at: None: the record does not hold it.
        polls: the vendor's answers before the decision.
        vendor_faults: how many of them were faults; None: the record does not hold it.
        missing: the reason for each linked object that is not kept.
        verdict: of the newest review, or ``UNREADABLE``; None: nobody has reviewed the decision.
    """

    region: str
    outcome: str
    overall_result: str | None
    error_code: str | None
    reason: str | None
    document_type: str | None
    table: str
    decided_at: datetime
    enqueued_at: datetime | None
    settled_at: datetime | None
    polls: int
    vendor_faults: int | None
    complete: bool
    missing: tuple[str, ...] = ()
    verdict: str | None = None
