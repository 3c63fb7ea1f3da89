"""`ekyc quarantine retry`: retries verifications in quarantine."""

from __future__ import annotations

import click

from worker.cli.announcement import listeners
from worker.cli.options import json_option, must_be_polled, region_option, who_option, yes_option
from worker.cli.quarantine.act import Act, choose, ids_argument
from worker.cli.quarantine.selection import reason_option
from worker.decisions.releases import retrying
from worker.errors import EkycError
from worker.ledger import Quarantine
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.damage import left_out
from worker.settings import current


@click.command
@ids_argument
@region_option
@reason_option
@click.option("--all", "everybody", is_flag=True, help="All in quarantine.")
@who_option
@yes_option
@json_option
@click.pass_context
def retry(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_ids: tuple[str, ...],
    region: str | None,
    reason: str | None,
    everybody: bool,
    who: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Retry verifications in quarantine, due now.

    They continue at the stage where they stopped, and their deadline starts over.

    Give signature ids (after -- if one begins with a dash), or --reason, or --all. Without --region, --reason and
    --all select from all regions in ADVANCE_REGIONS. The command shows how many are selected, and asks for
    confirmation.

    The history of a verification is kept, and records who retried it. With --json: retried, not_in_quarantine.

    Exit status: 0 all were in quarantine, 1 some were not, or the answer was no, or Redis does not answer, or the
    key of one is damaged, 2 invalid input, or stdin is not a terminal; 130 Ctrl-C.
    """
    if [bool(signature_ids), reason is not None, everybody].count(True) != 1:
        raise click.UsageError("give either signature ids, or --reason, or --all", ctx)
    settings = current()
    if region:
        must_be_polled(region, settings)
    with connect(settings.redis_url) as redis:
        chosen = choose(redis, settings, signature_ids=signature_ids, region=region, reason=reason)
        quarantine = Quarantine(redis, who=who, via=Via.CLI)
        act = Act("retry", "retried", retrying(quarantine, listeners(settings)))
        status = act.on(chosen, yes=yes, as_json=as_json)
        if quarantine.damaged:
            raise EkycError(left_out(quarantine.damaged))
        ctx.exit(status)
