"""`ekyc quarantine list`: which verifications are in quarantine, why, and for how long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.options import json_option, regions_option
from worker.cli.quarantine.selection import nobody, read, reason_option
from worker.ledger.connection import connect
from worker.ledger.moments import rfc3339
from worker.ledger.quarantine_scan import per_region
from worker.policy.time_format import span
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.ledger.quarantine_scan import Roll

#: The default number of lines.
LIMIT: Final = 50


@click.command("list")
@regions_option
@reason_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"List at most this many, the oldest. Default: {LIMIT}; with --json: all.",
)
@json_option
def list_(region: str | None, reason: str | None, limit: int | None, *, as_json: bool) -> None:
    """List the verifications in quarantine, after a summary by reason.

    The oldest come first; with --reason only those with this reason.

    With --json: quarantined (how many), reasons and regions (counts by name), and verifications (signature_id,
    region, reason, since, age_s, enqueued_at, polls).

    Exit status: 0, also if there are none; 1 Redis does not answer.
    """
    settings = current()
    regions = (region,) if region else settings.regions
    with connect(settings.redis_url) as redis:
        roll = read(redis, regions, reason)
    if as_json:
        click.echo(json.dumps(_as_json(roll, limit)))
    elif roll.entries:
        click.echo("\n".join(_lines(roll, limit or LIMIT)))
    else:
        click.echo(nobody(regions, reason))


def _as_json(roll: Roll, limit: int | None) -> dict[str, Any]:
    return {
        "quarantined": len(roll.entries),
        "reasons": {reason: len(entries) for reason, entries in roll.reasons().items()},
        "regions": per_region(roll.entries),
        "verifications": [
            {
                "signature_id": entry.signature_id,
                "region": entry.region,
                "reason": entry.reason,
                "since": rfc3339(entry.since_ms),
                "age_s": roll.age_s(entry),
                "enqueued_at": rfc3339(entry.enqueued_at_ms),
                "polls": entry.polls,
            }
            for entry in roll.entries[:limit]
        ],
    }


def _lines(roll: Roll, limit: int) -> Iterator[str]:
    summary = [
        (
            reason,
            str(len(entries)),
            span(roll.age_s(entries[0])),
            ", ".join(f"{region} {count}" for region, count in per_region(entries).items()),
        )
        for reason, entries in roll.reasons().items()
    ]
    yield from _aligned([("reason", "count", "for up to", "regions"), *summary])
    yield ""
    listed = [
        (entry.region, entry.signature_id, entry.reason, span(roll.age_s(entry)), str(entry.polls))
        for entry in roll.entries[:limit]
    ]
    yield from _aligned([("region", "id", "reason", "for", "polls"), *listed])
    if left := len(roll.entries) - len(listed):
        yield f"and {left} that came later: pass --limit {len(roll.entries)} to see all"
    yield ""
    yield "`ekyc quarantine show ID --region REGION` shows what happened to a verification, and what to do"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align the columns, as wide as needed: ids are long, and must not be cut."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
