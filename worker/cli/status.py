"""`ekyc status`: everything that is known about one verification."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from worker.cli.options import json_option, region_of, region_option, well_formed
from worker.errors import EkycError
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.ledger.search import context_of
from worker.records.status_view import StatusView
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
@click.option("--with-context", is_flag=True, help="With --json: also show the pipeline's context.")
@click.pass_context
def status(
    ctx: click.Context, signature_id: str, region: str | None, *, as_json: bool, with_context: bool
) -> None:
    """Show the state of one verification, and what happens next.

    With --json: signature_id, region, pipeline, stage (polling, archiving, routing, delivering, done, quarantined,
    dropped or erased), polls, nulls and faults (in a row), starts (without an outcome), submission_completed,
    transaction_id, overall_result, error_code, reason, quarantine_reason, batch (that holds it), hold (of its region),
    evidence (url and state), decision (as delivered), deliveries (by webhook, that are not acknowledged: id, endpoint,
    state, tries, fault, due_at), enqueued_at, erased_at, settled_at, retried_at (from quarantine), due_at,
    leased_until, now, and timeline (at, event, detail, worker, or the person who did it).
    Times are RFC 3339 in UTC; values that do not apply are null. The context is left out unless
    --with-context is given. The default region is the one in ADVANCE_REGIONS that knows the id.

    Exit status: 0 the id is known, 1 it is not or Redis does not answer, 2 several regions know it.
    """
    if with_context and not as_json:
        raise click.UsageError("--with-context needs --json", ctx)
    settings = current()
    with connect(settings.redis_url) as redis:
        story = told(redis, settings, region, signature_id)
    if as_json:
        context = {"context": context_of(story.verification)} if with_context else {}
        click.echo(json.dumps(story.as_json() | context))
    else:
        click.echo("\n".join(story.lines()))


def told(redis: Redis, settings: Settings, given: str | None, signature_id: str) -> StatusView:
    """Return the view of one verification. `given`: its region; None for the one that knows the id.

    Raises ``UnknownVerification``, ``InvalidInput`` and ``LedgerUnavailable``.
    """
    region = region_of(redis, signature_id, given, settings)
    found = StatusView.read(redis, region, signature_id, settings.evidence_url)
    if found is None:
        regions = (given,) if given else settings.regions
        raise UnknownVerification(
            f"the ledger does not know this id in {' or '.join(regions)}: "
            + (
                "Redis was replaced, so it may have been in the old one: see `ekyc doctor`"
                if any(Ledger(redis).identify(name).is_replaced for name in regions)
                else "it was never enqueued there, or was done longer ago than the ledger keeps it "
                f"({settings.retention_s / 86_400:g} days)"
            )
        )
    return found
