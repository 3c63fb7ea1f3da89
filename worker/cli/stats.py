"""`ekyc stats`: the ledger in figures, once."""

from __future__ import annotations

import json

import click

from worker.cli.figures import look
from worker.cli.options import canonical, json_option
from worker.redis import connect
from worker.settings import current


@click.command
@click.option(
    "--region", metavar="REGION", callback=canonical, help="Only this one. Default: all in ADVANCE_REGIONS."
)
@json_option
def stats(region: str | None, *, as_json: bool) -> None:
    """Show the ledger in figures: what waits, what is done, and how.

    With --json: waiting, in_flight, done, quarantined, enqueued, polls, oldest_due_s (for how long the one
    longest due has been due), decisions, error_codes, answers, faults and quarantine (counts by name of
    all that ever happened), holds (region, reason, until), and under regions the same for each.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        seen = look(redis, (region,) if region else settings.regions)
    if as_json:
        click.echo(json.dumps(seen.as_json()))
        return
    from rich.console import Console  # noqa: PLC0415 - machines need none of it

    from worker.cli.panels import panels  # noqa: PLC0415

    Console().print(panels(seen))
