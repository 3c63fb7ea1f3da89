"""What the commands of the quarantine share: the option that names a reason, and the message for an empty one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import click

from worker.ledger.quarantine_scan import QuarantineScan, Sought

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from worker.ledger.quarantine_scan import Roll

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


def read(redis: Redis, regions: Sequence[str], reason: str | None) -> Roll:
    """Read all of `regions`, or those with this `reason`. Raises ``LedgerUnavailable``."""
    return QuarantineScan(redis).roll(Sought(tuple(regions), reason or ""))


def nobody(regions: Sequence[str], reason: str | None) -> str:
    """Return the message for an empty quarantine."""
    return f"nothing is in quarantine{f' for {reason}' if reason else ''} in {' or '.join(regions)}"
