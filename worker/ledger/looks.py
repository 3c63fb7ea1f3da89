"""Records who read evidence, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.ledger.audit import write_lines
from worker.ledger.scripts import Scripts, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

#: A person saw evidence of one verification on the command line or in the console, or took an archive with that of
#: several. The names of the acts.
SHOW: Final = "show_evidence"
VIEW: Final = "view_evidence"
EXPORT: Final = "export_evidence"

#: The names of these acts in the audit log.
_AUDITED: Final = {SHOW: "evidence_show", VIEW: "evidence_view", EXPORT: "evidence_export"}


class Looks:
    """Records looks at evidence. Every method raises ``LedgerUnavailable`` when Redis cannot be used.

    Parameters:
        who: the person who looks.
        via: how the person reached us, for the audit log.
    """

    def __init__(self, redis: Redis, *, who: str, via: str = "") -> None:
        self._scripts = Scripts(redis)
        self._who = plain(who)
        self._via = via

    def note(self, region: str, act: str, detail: str, signature_ids: Sequence[str]) -> None:
        """Record a look at a few hundred verifications: in the region's `acts`, the audit log and each timeline."""
        audited = _AUDITED.get(act, act)
        self._scripts.call(
            "looked", region, act, audited, plain(detail), self._who, self._via, *signature_ids
        )
        write_lines(
            audited, who=self._who, via=self._via, region=region, subjects=signature_ids, detail=plain(detail)
        )
