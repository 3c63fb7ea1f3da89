"""`ekyc hold` and `ekyc resume`: put a region on hold, and end its hold."""

from __future__ import annotations

from typing import Final

import click

from worker.cli.options import canonical, who_option, why_option
from worker.cli.time_format import rfc3339, seconds
from worker.ledger import Ledger, Stats
from worker.ledger.connection import connect
from worker.settings import current

#: Take a region out of ADVANCE_REGIONS for a longer hold.
LONGEST_S: Final = 30 * 86_400.0

region_argument = click.argument("region", metavar="REGION", callback=canonical)


def duration(ctx: click.Context, param: click.Parameter, given: str) -> float:
    """A callback for an option: how many seconds it means, more than none and at most `LONGEST_S`."""
    try:
        for_s = seconds(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if not 0 < for_s <= LONGEST_S:
        raise click.BadParameter("must be more than nothing and at most 720h", ctx, param)
    return for_s


@click.command
@region_argument
@click.option(
    "--for",
    "for_s",
    metavar="TIME",
    required=True,
    callback=duration,
    help="How long, such as 30s, 10m or 2h; a bare number is seconds.",
)
@why_option
@who_option
def hold(region: str, for_s: float, why: str, who: str) -> None:
    """Put a region on hold: nothing of it is polled meanwhile.

    What has settled is archived and decided all the same. Deadlines go on; but nothing is decided without
    having asked the vendor once more after the rest. A rest that ends later stays; to shorten one, resume
    first. It is recorded with name, time and reason, which `ekyc stats` shows.

    Exit status: 0 it is on hold, 1 Redis does not answer, 2 what was given is wrong.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        until_ms = Ledger(redis).hold(region, for_s=for_s, reason=why, who=who)
        holds = Stats(redis).counts(region).holds
    reason = holds[0].reason if holds else why
    stays = "" if reason == why else ", as before: a hold that ends later stays"
    click.echo(f"{region} is on hold until {rfc3339(until_ms)}: {reason}{stays}")
    if region not in settings.regions:
        click.echo(f"ADVANCE_REGIONS does not name {region} here: `ekyc stats` will not show it", err=True)


@click.command
@region_argument
@who_option
def resume(region: str, who: str) -> None:
    """End the hold of a region now, also one of the fleet.

    The breaker starts over, too: the region is polled at full speed again. Where what called for the rest
    still lasts, the fleet puts the region on hold again. It is recorded with name and time.

    Exit status: 0 it is polled, also where it was not on hold; 1 Redis does not answer; 2 what was given is wrong.
    """
    with connect(current().redis_url) as redis:
        holds = Stats(redis).counts(region).holds
        was_held = Ledger(redis).resume(region, who=who)
    if not was_held:
        click.echo(f"{region} was not on hold: nothing to resume")
        return
    until = "".join(
        f"; it would have been on hold until {rfc3339(hold.until_ms)}: {hold.reason}"
        for hold in holds
        if not hold.half_open
    )
    click.echo(f"{region} is polled again{until}")
