"""`ekyc quarantine drop`: ends verifications without a decision."""

from __future__ import annotations

import click

from worker.cli.announcement import listeners
from worker.cli.options import json_option, region_option, who_option, why_option, yes_option
from worker.cli.quarantine.act import Act, choose, ids_argument
from worker.cli.quarantine.selection import reason_option
from worker.decisions.releases import dropping
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
@why_option
@who_option
@yes_option
@json_option
@click.pass_context
def drop(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_ids: tuple[str, ...],
    region: str | None,
    reason: str | None,
    why: str,
    who: str,
    yes: bool,
    as_json: bool,
) -> None:
    """End verifications without a decision, for good.

    Give signature ids (after -- if one begins with a dash), or --reason, which without --region selects from all
    regions in ADVANCE_REGIONS. The command shows how many are selected, and asks for confirmation.

    The pipeline receives nothing: inform it yourself. The evidence is kept. The history of the verification, which
    is kept for EKYC_RETENTION, has name, time and --why; until then enqueueing such an id again changes nothing.
    --why must not hold personal data. With --json: dropped, not_in_quarantine.

    Exit status: 0 all were in quarantine, 1 some were not, or the answer was no, or Redis does not answer, or the
    key of one is damaged, 2 invalid input, or stdin is not a terminal; 130 Ctrl-C.
    """
    if bool(signature_ids) == (reason is not None):
        raise click.UsageError("give either signature ids or --reason", ctx)
    settings = current()
    with connect(settings.redis_url) as redis:
        chosen = choose(redis, settings, signature_ids=signature_ids, region=region, reason=reason)
        quarantine = Quarantine(redis, who=who, via=Via.CLI, retention_s=settings.retention_s)
        act = Act("drop", "dropped", dropping(quarantine, listeners(settings), why=why))
        status = act.on(chosen, yes=yes, as_json=as_json)
        if quarantine.damaged:
            raise EkycError(left_out(quarantine.damaged))
        ctx.exit(status)
