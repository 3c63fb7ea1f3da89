"""The roll of those in quarantine: read from the ledger, filtered, and counted."""

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


#: `--reason`, for all that came to quarantine for the same.
reason_option = click.option(
    "--reason", metavar="REASON", callback=_reason, help="All that are there for this reason."
)


@dataclass(frozen=True, slots=True)
class Roll:
    """Those in quarantine, the oldest first."""

    entries: tuple[Quarantined, ...]
    #: By the clock of each region's ledger, when it was read.
    now_ms: Mapping[str, int]

    @classmethod
    def read(cls, redis: Redis, regions: Sequence[str], reason: str | None = None) -> Roll:
        """All of `regions`, or those that are there for `reason`. Raises ``LedgerUnavailable``."""
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
        """For how long it has been there."""
        return max(self.now_ms[entry.region] - entry.since_ms, 0) / 1000

    def reasons(self) -> dict[str, list[Quarantined]]:
        """Its entries by reason, the most frequent first."""
        by_reason: dict[str, list[Quarantined]] = {}
        for entry in self.entries:
            by_reason.setdefault(entry.reason, []).append(entry)
        return dict(sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])))

    def signature_ids(self) -> dict[str, list[str]]:
        """Its ids by region."""
        by_region: dict[str, list[str]] = {}
        for entry in self.entries:
            by_region.setdefault(entry.region, []).append(entry.signature_id)
        return by_region


def per_region(entries: Sequence[Quarantined]) -> dict[str, int]:
    """How many there are of each region, the most first."""
    return dict(Counter(entry.region for entry in entries).most_common())


def nobody(regions: Sequence[str], reason: str | None) -> str:
    """What to say where nobody is."""
    return f"nobody is in quarantine{f' for {reason}' if reason else ''} in {' or '.join(regions)}"
