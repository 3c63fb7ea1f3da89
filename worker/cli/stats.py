"""`ekyc stats`: prints the figures of the ledger once."""

from __future__ import annotations

import json
from typing import Final

import click

from worker.cli.acts import KEPT, USUAL, recent
from worker.cli.options import json_option, regions_option
from worker.ledger import Ledger, audit_state, keys
from worker.ledger.connection import connect
from worker.ledger.snapshot import look
from worker.messaging.unread import count
from worker.settings import current

#: How long the broker may take to answer, in seconds.
BROKER_TIMEOUT_S: Final = 1


@click.command
@regions_option
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
    (the version of the shadow table, or empty), signing (the ids of its signing keys, or empty), evidence_keys
    (the ids of its evidence keys, or empty)),
    decisions_unread (decisions in the pipeline's queue, of all regions; null if the broker does not answer),
    acts (the newest acts of people on whole regions: at, region, act, why, who), ledger_replaced (regions
    from which workers claim nothing, because Redis is not the one that they know), and audit_log (of each part: part,
    region, or empty; entries, full, since (when it is complete), dropped (entries that newer ones pushed out), refused
    (acts that were not done because their entry could not be added), refused_at (the last of them)).
    """
    settings = current()
    regions = (region,) if region else settings.regions
    unread = count(settings.broker_url, BROKER_TIMEOUT_S)
    with connect(settings.redis_url) as redis:
        seen, acts = look(redis, regions, lately=True), recent(redis, regions, most_acts)
        replaced = [name for name in regions if Ledger(redis).identify(name).is_replaced]
        audit = audit_state.read(redis, regions)
        now_ms = keys.now_ms(redis, regions[0])
    if as_json:
        more = {
            "decisions_unread": unread,
            "acts": [act.as_json() for act in acts],
            "ledger_replaced": replaced,
            "audit_log": [part.as_json() for part in audit],
        }
        click.echo(json.dumps(seen.as_json() | more))
        return
    from rich.console import Console  # noqa: PLC0415 - not needed with --json

    from worker.cli.tables import panels  # noqa: PLC0415

    Console().print(panels(seen, acts=acts, is_replaced=bool(replaced)))
    waiting = "unknown: the broker does not answer" if unread is None else f"{unread:,}"
    click.echo(f" decisions that the pipeline has not read yet: {waiting}")
    if replaced:
        click.echo(
            f" workers claim nothing from {' and '.join(replaced)}, because Redis was replaced; see `ekyc doctor`"
        )
    for part in audit:
        if part.refused_lately(now_ms):
            click.echo(
                f" the audit log took no entry of {part.name}, so an act was refused; see `ekyc doctor`"
            )
        elif part.is_nearly_full:
            click.echo(f" the audit log is {part.used:.0%} full of {part.name}; see `ekyc doctor`")
