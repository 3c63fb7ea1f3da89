"""Records in the ledger that a reviewer judged a decision. The review itself is in the evidence store."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from worker.ledger.audit import AuditLog, Wanted, write_lines
from worker.ledger.scripts import Scripts, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.ledger.webhooks import NewDelivery

#: The name of the act in the audit log.
ACT: Final = "verdict"

#: The detail of an entry.
_DETAIL: Final = re.compile(r"([a-z_]{1,32}), review ([0-9]{1,3})")


class ReviewLedger:
    """Raises ``LedgerUnavailable`` when Redis cannot be used.

    Parameters:
        via: how the reviewers reached us, for the audit log.
    """

    def __init__(self, redis: Redis, *, via: str) -> None:
        self._scripts = Scripts(redis)
        self._via = via

    def note(  # noqa: PLR0913 - one a fact
        self,
        region: str,
        signature_id: str,
        *,
        number: int,
        verdict: str,
        who: str,
        events: Sequence[NewDelivery],
    ) -> bool:
        """Add the act to the audit log and to the timeline, and the deliveries of the event, in one step.

        Repeating it changes nothing. False: the verification is erased, or is being erased.
        """
        packed = json.dumps([each.packed() for each in events])
        detail = plain(f"{verdict}, review {number}")
        if not self._scripts.call("reviewed", region, signature_id, detail, plain(who), self._via, packed):
            return False
        write_lines(ACT, who=who, via=self._via, region=region, subjects=[signature_id], detail=detail)
        return True


def recorded(redis: Redis, region: str) -> dict[str, dict[int, str]]:
    """Return by signature id the number and verdict of each review that the audit log has. Reads all of its entries."""
    found: dict[str, dict[int, str]] = {}
    for entry in AuditLog(redis).entries(Wanted(act=ACT, region=region)):
        if detail := _DETAIL.fullmatch(entry.detail):
            found.setdefault(entry.subject, {}).setdefault(int(detail[2]), detail[1])
    return found
