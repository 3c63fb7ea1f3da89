"""`ekyc stats`: prints the figures of the ledger once."""

from __future__ import annotations

import json
from typing import Final

import click

from worker.cli.acts import KEPT, USUAL, recent
from worker.cli.options import canonical, json_option
from worker.cli.snapshot import look
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.messaging.unread import count
from worker.settings import current

#: How long the broker may take to answer, in seconds.
BROKER_TIMEOUT_S: Final = 1


@click.command
@click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="Only this region. Default: all in ADVANCE_REGIONS.",
)
@click.option(
    "--acts",
    "most_acts",
    metavar="N",
    type=click.IntRange(min=1),
    default=USUAL,
    show_default=True,
    help=f"With --json: show this many of the newest acts of people. The ledger keeps {KEPT} of each region.",
)
@json_option
def stats(region: str | None, most_acts: int, *, as_json: bool) -> None:
    """Show the ledger's figures: what waits, what is done, and how.

    With --json: waiting, waiting_by_pipeline (of each pipeline that has some, and of the default one; without what only
    endpoints have to acknowledge), in_flight,
    lapsed (in flight, but the lease has ended: the next claim takes them back), done, quarantined, dropped, enqueued,
    polls, oldest_due_s (seconds since the longest due verification became due, or its lease ended, excluding regions
    on hold or half-open), decisions, error_codes, answers and faults (counts by name since the ledger began),
    shadow_differences (decisions for which the shadow table names another one, by decision:other), last_5_min
    (seconds: the time that it covers, five to six minutes, less if the fleet has just begun; enqueued, done, polls,
    decisions, error_codes, answers, faults in that time), quarantine (counts by reason of those there now),
    evidence_files, evidence_bytes, holds (region, reason, until, half_open), regions (the same for each), workers
    (those seen lately: name, table (the version of the decision table), version, process (a random token), shadow
    (the version of the shadow table, or empty), signing (the ids of its signing keys, or empty)),
    decisions_unread (decisions in the pipeline's queue, of all regions; null if the broker does not answer),
    acts (the newest acts of people on whole regions: at, region, act, why, who), and ledger_replaced (regions
    from which workers claim nothing, because Redis is not the one that they know).
    """
    settings = current()
    regions = (region,) if region else settings.regions
    unread = count(settings.broker_url, BROKER_TIMEOUT_S)
    with connect(settings.redis_url) as redis:
        seen, acts = look(redis, regions, lately=True), recent(redis, regions, most_acts)
        replaced = [name for name in regions if Ledger(redis).identify(name).is_replaced]
    if as_json:
        more = {
            "decisions_unread": unread,
            "acts": [act.as_json() for act in acts],
            "ledger_replaced": replaced,
        }
        click.echo(json.dumps(seen.as_json() | more))
        return
    from rich.console import Console  # noqa: PLC0415 - not needed with --json

    from worker.cli.tables import panels  # noqa: PLC0415

    Console().print(panels(seen, acts=acts))
    waiting = "unknown: the broker does not answer" if unread is None else f"{unread:,}"
    click.echo(f" decisions that the pipeline has not read yet: {waiting}")
    if replaced:
        click.echo(
            f" workers claim nothing from {' and '.join(replaced)}, because Redis was replaced; see `ekyc doctor`"
        )
