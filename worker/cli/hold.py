"""`ekyc hold` and `ekyc resume`: put a region on hold, and end its hold."""

from __future__ import annotations

from typing import Final

import click

from worker.cli.announcement import listeners
from worker.cli.options import canonical, who_option, why_option
from worker.decisions import events
from worker.ledger import Ledger, Stats
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.moments import rfc3339
from worker.policy.time_format import seconds
from worker.settings import current

#: For a longer hold, remove the region from ADVANCE_REGIONS.
LONGEST_S: Final = 30 * 86_400.0

region_argument = click.argument("region", metavar="REGION", callback=canonical)


def duration(ctx: click.Context, param: click.Parameter, given: str) -> float:
    """Return an option's value in seconds: above 0, at most `LONGEST_S`. A callback for click."""
    try:
        for_s = seconds(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    if not 0 < for_s <= LONGEST_S:
        raise click.BadParameter("must be more than 0 and at most 720h", ctx, param)
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
    """Put a region on hold: it is not polled meanwhile.

    Results that are already known are still archived and decided. Deadlines keep running, but a verification whose
    deadline has passed is polled once more after the hold before it is decided. A hold that ends later is kept; to
    shorten a hold, resume first. The ledger records name, time and reason, and `ekyc stats` shows them.

    Exit status: 0 the region is on hold, 1 Redis does not answer, 2 invalid input.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        about = events.of_hold(listeners(settings), region, reason=events.BY_HAND)
        until_ms = Ledger(redis).hold(region, for_s=for_s, reason=why, who=who, via=Via.CLI, events=about)
        holds = Stats(redis).counts(region).holds
    reason = holds[0].reason if holds else why
    stays = "" if reason == why else ", as before: a hold that ends later is kept"
    click.echo(f"{region} is on hold until {rfc3339(until_ms)}: {reason}{stays}")
    if region not in settings.regions:
        click.echo(
            f"ekyc: ADVANCE_REGIONS does not name {region} here: `ekyc stats` will not show it", err=True
        )


@click.command
@region_argument
@who_option
def resume(region: str, who: str) -> None:
    """End the hold of a region now, also one that the fleet began.

    This also closes the circuit breaker: the region is polled at full speed again. If the cause of the hold
    persists, the fleet puts the region on hold again. The ledger records name and time.

    Exit status: 0 the region is polled, also if it was not on hold; 1 Redis does not answer; 2 invalid input.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        holds = Stats(redis).counts(region).holds
        about = events.of_region(listeners(settings), events.REGION_RESUMED, region, reason=events.BY_HAND)
        was_held = Ledger(redis).resume(region, who=who, via=Via.CLI, events=about)
    if not was_held:
        click.echo(f"{region} was not on hold: nothing to resume")
        return
    until = "".join(
        f"; it would have been on hold until {rfc3339(hold.until_ms)}: {hold.reason}"
        for hold in holds
        if not hold.half_open
    )
    click.echo(f"{region} is polled again{until}")
