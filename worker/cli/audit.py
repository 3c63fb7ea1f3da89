"""`ekyc audit`: what people did, from the audit log in Redis."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from worker.cli.evidence.selection import moment
from worker.cli.options import canonical, json_option, said
from worker.ledger import audit_state
from worker.ledger.audit import ACTS, AuditLog, Via, Wanted
from worker.ledger.connection import connect
from worker.ledger.moments import rfc3339
from worker.records.audit_export import as_csv, as_json
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from worker.ledger.audit import Entry

#: How many entries are shown by default.
LIMIT: Final = 50


@click.command
@click.option("--who", metavar="NAME", callback=said, help="Only acts of this person, or of `token NAME`.")
@click.option(
    "--act",
    "acts",
    metavar="ACT",
    multiple=True,
    type=click.Choice(list(ACTS)),
    help="Only this act. May be given several times.",
)
@click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="Only this region. Default: all, and acts without one.",
)
@click.option(
    "--subject", metavar="ID", callback=said, help="Only acts on this verification, endpoint or user."
)
@click.option("--via", type=click.Choice([*Via]), help="Only acts on this way.")
@click.option(
    "--since",
    metavar="TIME",
    callback=moment,
    help="At this time or later: 2026-11-01 (UTC), 2026-11-01T08:00:00Z, or an age such as 30d.",
)
@click.option("--until", metavar="TIME", callback=moment, help="Before this time.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    help=f"Show the newest N. Default: {LIMIT}; with --json or --csv: all.",
)
@json_option
@click.option("--csv", "csv_wanted", is_flag=True, help="Print CSV, for spreadsheets.")
@click.pass_context
def audit(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    who: str | None,
    acts: tuple[str, ...],
    region: str | None,
    subject: str | None,
    via: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    as_json: bool,
    csv_wanted: bool,
) -> None:
    """Show what people did: to what, when and why.

    The newest acts come first. Redis keeps each for 400 days, and of each region the newest 200,000 on
    evidence, 200,000 of erasures, and 200,000 others; a note says how far back a full part reaches. Each is also a line
    `operator_act` in the log of the process that acted, except for acts of this command.

    With --json: entries (at, act, who, via, region, subject, detail). With --csv the same columns; a cell that a
    spreadsheet would take for a formula begins with an apostrophe.

    Exit status: 0, also if there are none; 1 Redis does not answer; 2 invalid input.
    """
    if as_json and csv_wanted:
        raise click.UsageError("give --json or --csv, not both", ctx)
    wanted = Wanted(
        who=who or "",
        via=via or "",
        region=region or "",
        subject=subject or "",
        since_ms=max(_ms(since) or 0, 0),
        until_ms=_ms(until),
    )
    with connect(current().redis_url) as redis:
        entries = (entry for entry in AuditLog(redis).entries(wanted) if not acts or entry.act in acts)
        if as_json or csv_wanted:
            for piece in _pieces(islice(entries, limit), csv_wanted=csv_wanted):
                sys.stdout.write(piece)
            return
        shown = list(islice(entries, limit or LIMIT))
        full = [part for part in audit_state.read(redis) if part.is_full]
    for entry in shown:
        click.echo(_line(entry))
    if not shown:
        click.echo("no act matches")
    for part in full:
        click.echo(f"note: {part.name}: full, reaches back to {rfc3339(part.since_ms or 0)}", err=True)


def _pieces(entries: Iterable[Entry], *, csv_wanted: bool) -> Iterator[str]:
    return as_csv(entries) if csv_wanted else as_json(entries)


def _ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


def _line(entry: Entry) -> str:
    place = "/".join(filter(None, (entry.region, entry.subject)))
    by = f"by {entry.who}" + (f" ({entry.via})" if entry.via else "")
    return " ".join(filter(None, (rfc3339(entry.at_ms), entry.act, place, by))) + (
        f": {entry.detail}" if entry.detail else ""
    )
