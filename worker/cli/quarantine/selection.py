"""The verifications in quarantine: read from the ledger, filtered, and counted."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from worker.ledger import Quarantine
from worker.ledger.keys import now_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

    from worker.ledger.models import Quarantined

_REASON: Final = re.compile(r"[A-Z0-9_]{1,64}")


def _reason(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    reason = given and given.strip().upper()
    if reason is not None and not _REASON.fullmatch(reason):
        raise click.BadParameter("must be one word, such as UNREADABLE", ctx, param)
    return reason


#: `--reason`, for all verifications in quarantine for the same reason.
reason_option = click.option(
    "--reason", metavar="REASON", callback=_reason, help="All in quarantine for this reason."
)


@dataclass(frozen=True, slots=True)
class Roll:
    """The verifications in quarantine, the oldest first."""

    entries: tuple[Quarantined, ...]
    #: By region, the time of its ledger's clock at the read.
    now_ms: Mapping[str, int]

    @classmethod
    def read(cls, redis: Redis, regions: Sequence[str], reason: str | None = None) -> Roll:
        """Read all of `regions`, or those with this `reason`. Raises ``LedgerUnavailable``."""
        quarantine = Quarantine(redis, who="")
        found = [
            entry
            for region in regions
            for entry in quarantine.listed(region)
            if reason is None or entry.reason == reason
        ]
        found.sort(key=lambda entry: entry.since_ms)
        return cls(tuple(found), {region: now_ms(redis, region) for region in regions})

    def age_s(self, entry: Quarantined) -> float:
        """Return how long an entry has been in quarantine."""
        return max(self.now_ms[entry.region] - entry.since_ms, 0) / 1000

    def reasons(self) -> dict[str, list[Quarantined]]:
        """Return the entries by reason, the most frequent first."""
        by_reason: dict[str, list[Quarantined]] = {}
        for entry in self.entries:
            by_reason.setdefault(entry.reason, []).append(entry)
        return dict(sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])))

    def signature_ids(self) -> dict[str, list[str]]:
        """Return the ids by region."""
        by_region: dict[str, list[str]] = {}
        for entry in self.entries:
            by_region.setdefault(entry.region, []).append(entry.signature_id)
        return by_region


def per_region(entries: Sequence[Quarantined]) -> dict[str, int]:
    """Count the entries by region, the most first."""
    return dict(Counter(entry.region for entry in entries).most_common())


def nobody(regions: Sequence[str], reason: str | None) -> str:
    """Return the message for an empty quarantine."""
    return f"nothing is in quarantine{f' for {reason}' if reason else ''} in {' or '.join(regions)}"
