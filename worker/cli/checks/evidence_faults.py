"""What workers could not do with the evidence store lately. This machine may reach the store where they cannot."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from worker.cli.checks.finding import Finding, Level
from worker.errors import EvidenceKeyUnknown, EvidenceUnavailable, LedgerUnavailable
from worker.ledger import Stats
from worker.ledger.connection import connect
from worker.policy.time_format import span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings

NAME: Final = "evidence of workers"

#: By the cause of a fault, what it means and what to do.
_MEANS: Final = {
    EvidenceUnavailable.cause: (
        "could not use the evidence store: decisions wait meanwhile",
        "see `evidence_unavailable` in the workers' logs, and docs/runbooks.md#ekycevidencefailing",
    ),
    EvidenceKeyUnknown.cause: (
        "met evidence under a key that they do not have: it waits, and goes into quarantine after forty tries",
        "give all workers the same EKYC_EVIDENCE_KEYS: docs/encryption.md#if-something-is-wrong",
    ),
}


def check_evidence_faults(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each region and fault. If Redis does not answer, `check_ledger` reports that."""
    with suppress(LedgerUnavailable), connect(settings.redis_url) as redis:
        for region in settings.regions:
            lately = Stats(redis).lately(region)
            for cause, (said, todo) in _MEANS.items():
                if count := lately.faults.get(cause):
                    times = f"{count:,} time{'s' * (count != 1)} in the last {span(lately.seconds)}"
                    yield Finding(NAME, Level.WARNING, f"{region}: {times} workers {said}", todo)
