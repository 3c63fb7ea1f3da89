"""`ekyc decisions diff`: which recorded decisions another table would change."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from worker.cli.decisions.options import FILE, in_use, table_option
from worker.cli.hold import duration
from worker.cli.options import canonical, json_option
from worker.cli.reporter import Reporter
from worker.decisions.replay import Replay, replay
from worker.decisions.table import Table
from worker.errors import EkycError
from worker.evidence.store import Evidence
from worker.ledger.connection import connect
from worker.ledger.damage import left_out
from worker.policy.time_format import span
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.settings import Settings

#: Ids that are shown of each change where people read.
SHOWN = 5


def _since(ctx: click.Context, param: click.Parameter, given: str | None) -> float | None:
    return None if given is None else duration(ctx, param, given)


@click.command
@click.argument("new", metavar="NEW.toml", type=FILE)
@click.option(
    "--since",
    "since_s",
    metavar="TIME",
    callback=_since,
    help="Only what was settled within that time, such as 2h or 7d. Default: all that the ledger remembers.",
)
@click.option(
    "--region", metavar="REGION", callback=canonical, help="Only this one. Default: all in ADVANCE_REGIONS."
)
@click.option(
    "--ids",
    metavar="N",
    type=click.IntRange(min=0),
    default=SHOWN,
    show_default=True,
    help="How many ids to show of each change. With --json: all.",
)
@click.option(
    "--answers",
    is_flag=True,
    help="Read the labels and scores of what an older release settled from the answers that the evidence store has.",
)
@table_option
@json_option
@click.pass_context
def diff(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    new: Path,
    *,
    since_s: float | None,
    region: str | None,
    ids: int,
    answers: bool,
    table_file: Path | None,
    as_json: bool,
) -> None:
    """Show which recorded decisions NEW.toml would change, from what to what.

    Replays the facts of decided verifications, which the ledger keeps for EKYC_RETENTION after their end, through the
    table in use and through NEW.toml. It scans the whole Redis and changes nothing: what is decided stays. With --json:
    before and after (versions), compared, without_facts (settled by an older release, without labels and scores),
    decided_otherwise (another table than the one in use made the decision), changed, and changes (from, to, count,
    ids with region).

    Exit status: 0 no decision would change, 1 some would, or Redis or the evidence store does not answer, or the key of
    a verification is damaged, 2 what was given is wrong, 130 Ctrl-C.
    """
    settings = current()
    evidence = _evidence(settings) if answers else None
    before, after = Table.load(in_use(table_file)), Table.load(new)
    regions = (region,) if region else settings.regions
    with connect(settings.redis_url) as redis, closing(Reporter("replaying")) as reporter:
        replayed = Replay(before, after, None if as_json else ids, evidence, reporter.advance)
        replay(redis, regions, replayed, since_s=since_s)
    if as_json:
        click.echo(json.dumps(_as_json(replayed)))
    else:
        click.echo("\n".join(_lines(replayed, since_s)))
    if replayed.damaged:
        raise EkycError(left_out(replayed.damaged))
    ctx.exit(1 if replayed.changes else 0)


def _evidence(settings: Settings) -> Evidence:
    """Raises ``ConfigError``."""
    settings.require_evidence()
    return Evidence.from_settings(settings, must_exist=True)


def _as_json(replayed: Replay) -> dict[str, Any]:
    return {
        "before": replayed.before.version,
        "after": replayed.after.version,
        "compared": replayed.compared,
        "without_facts": replayed.without_facts,
        "decided_otherwise": replayed.decided_otherwise,
        "changed": replayed.changes.total(),
        "changes": [
            {
                "from": before,
                "to": after,
                "count": count,
                "ids": [
                    {"region": region, "signature_id": signature_id}
                    for region, signature_id in sorted(replayed.ids[before, after])
                ],
            }
            for (before, after), count in replayed.changes.most_common()
        ],
    }


def _lines(replayed: Replay, since_s: float | None) -> Iterator[str]:
    when = "" if since_s is None else f" of the last {span(since_s)}"
    if not replayed.compared:
        yield f"the ledger has no decisions{when}: there is nothing to compare"
        return
    yield (
        f"{replayed.before.version} -> {replayed.after.version}: "
        f"{replayed.changes.total():,} of {replayed.compared:,} decisions{when} would change"
    )
    for (before, after), count in replayed.changes.most_common():
        yield f"  {before} -> {after}: {count:,}"
        ids = sorted(replayed.ids[before, after])
        yield from (f"    {region} {signature_id}" for region, signature_id in ids)
        if ids and len(ids) < count:
            yield f"    and {count - len(ids):,} more"
    if replayed.without_facts:
        yield (
            f"{replayed.without_facts:,} were settled by an older release: labels and scores are not known, "
            "--answers reads them from the evidence store"
        )
    if replayed.decided_otherwise:
        yield f"{replayed.decided_otherwise:,} were decided otherwise, by an earlier table"
