"""`ekyc status`: all there is to say about one verification."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from worker.cli.options import json_option, need_region, region_option, well_formed
from worker.cli.story import Story
from worker.errors import EkycError
from worker.ledger import Census, Ledger
from worker.redis import connect
from worker.settings import current

if TYPE_CHECKING:
    from redis import Redis

    from worker.settings import Settings


class UnknownVerification(EkycError):
    """The ledger does not know an id."""

    cause = "UNKNOWN_VERIFICATION"


@click.command
@click.argument("signature_id", metavar="ID", callback=well_formed)
@region_option
@json_option
def status(signature_id: str, region: str | None, *, as_json: bool) -> None:
    """Show what became of one verification, and what happens next.

    With --json: signature_id, region, stage (polling, archiving, routing, done, quarantined or dropped), polls,
    nulls and faults (in a row), starts (without an outcome), submission_completed, transaction_id,
    overall_result, error_code, reason, quarantine_reason, batch (that holds it), hold (of its region), evidence
    (url and state), decision (as delivered), enqueued_at, settled_at, retried_at (out of quarantine), due_at,
    leased_until, now, and timeline (at, event, detail, worker, which is the person where a person did it).
    Times are RFC 3339 in UTC; what is not so is null. The context is left out.

    Exit status: 0 it is known, 1 it is not or Redis does not answer.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        story = told(redis, settings, need_region(region, settings), signature_id)
    click.echo(json.dumps(story.as_json()) if as_json else "\n".join(story.lines()))


def told(redis: Redis, settings: Settings, region: str, signature_id: str) -> Story:
    """The story of one verification. Raises ``UnknownVerification`` and ``LedgerUnavailable``."""
    known = Ledger(redis).status(region, signature_id)
    if known is None:
        raise UnknownVerification(
            f"the ledger does not know this id in {region}: it was never enqueued there, or was done longer ago "
            f"than the ledger remembers ({settings.retention_s / 86_400:g} days)"
        )
    holds = Census(redis).counts(region).holds
    return Story(known, holds[0] if holds else None, settings.evidence_url)
