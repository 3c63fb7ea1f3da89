"""`ekyc deliveries resend`, `recover`, `pause` and `resume`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import click

from worker.cli.announcement import announce
from worker.cli.deliveries.options import (
    endpoint_name,
    find,
    must_exist,
    regions_of,
    regions_option,
    yes_option,
)
from worker.cli.hold import duration
from worker.cli.options import json_option, who_option, why_option
from worker.cli.time_format import span
from worker.decisions import events
from worker.errors import InvalidInput
from worker.ledger.connection import connect
from worker.ledger.webhooks import Shelf, State, Webhooks
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Deliveries per round trip.
PAGE: Final = 500

endpoint_argument = click.argument("endpoint", metavar="ENDPOINT", callback=endpoint_name)


@click.command
@click.argument("delivery_ids", metavar="ID...", nargs=-1, required=True)
@regions_option
@who_option
@yes_option
@json_option
@click.pass_context
def resend(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    delivery_ids: tuple[str, ...],
    region: str | None,
    who: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Send deliveries again, the same bytes under the same id, now and with all their tries.

    For one that has failed, one that waits for its countdown, and one that the endpoint acknowledged and lost. ID is
    the id of the delivery. With --json: resent, not_resent (a worker is sending them now).

    Exit status: 0 all are due, 1 some are not, or an id is unknown, or the answer was no, or Redis does not answer,
    2 invalid input, or stdin is not a terminal; 130 Ctrl-C.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        webhooks = Webhooks(redis)
        chosen: dict[str, list[str]] = {}
        for each in dict.fromkeys(delivery_ids):
            found = find(webhooks, regions_of(region, settings), each)
            chosen.setdefault(found.region, []).append(found.id)
        ctx.exit(_resend(webhooks, chosen, "given by id", who=who, yes=yes, as_json=as_json))


@click.command
@click.option("--endpoint", metavar="NAME", required=True, callback=endpoint_name, help="The endpoint.")
@click.option(
    "--since",
    "since_s",
    metavar="TIME",
    required=True,
    callback=duration,
    help="What failed within this time, such as 30m or 2h.",
)
@click.option(
    "--acknowledged",
    is_flag=True,
    help="Also what was acknowledged within this time: for a receiver that has lost its data.",
)
@regions_option
@who_option
@yes_option
@json_option
@click.pass_context
def recover(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    endpoint: str,
    since_s: float,
    acknowledged: bool,
    region: str | None,
    who: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Send again what an endpoint did not take: all deliveries that failed within a time.

    The command shows how many these are, and asks. What still waits is not counted: it is sent anyway, at once if the
    endpoint is resumed. Acknowledged deliveries are kept for EKYC_RETENTION. With --json: resent, not_resent.

    Exit status: 0 all are due, 1 some are not, or the answer was no, or Redis does not answer, 2 invalid input, or
    stdin is not a terminal; 130 Ctrl-C.
    """
    settings = current()
    kinds = [State.FAILED, State.ACKNOWLEDGED] if acknowledged else [State.FAILED]
    with connect(settings.redis_url) as redis:
        webhooks = Webhooks(redis)
        must_exist(webhooks, settings, endpoint)
        chosen = {
            each: [
                delivery_id
                for kind in kinds
                for delivery_id in _since(webhooks, Shelf(each, endpoint, kind), since_s)
            ]
            for each in regions_of(region, settings)
        }
        said = (
            f"that {endpoint} did not take" if not acknowledged else f"of {endpoint}, acknowledged ones too,"
        )
        ctx.exit(
            _resend(
                webhooks, chosen, f"{said} in the last {span(since_s)}", who=who, yes=yes, as_json=as_json
            )
        )


@click.command
@endpoint_argument
@why_option
@who_option
def pause(endpoint: str, why: str, who: str) -> None:
    """Pause an endpoint: it gets no deliveries, in any region, and they wait.

    Nothing is lost while it is paused, and no tries are used up. Decisions for the queue and for other endpoints go
    on. The ledger records name, time and reason, and `ekyc stats` shows them.

    Exit status: 0 it is paused, also if it was before; 1 Redis does not answer; 2 invalid input.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        webhooks = Webhooks(redis)
        must_exist(webhooks, settings, endpoint)
        paused = [region for region in settings.regions if webhooks.pause(region, endpoint, why=why, who=who)]
        if paused:
            announce(
                redis,
                settings,
                events.ENDPOINT_PAUSED,
                paused[0],
                endpoint=endpoint,
                reason=events.BY_HAND,
            )
    click.echo(f"{endpoint} is paused" if paused else f"{endpoint} was paused already")


@click.command
@endpoint_argument
@who_option
def resume(endpoint: str, who: str) -> None:
    """Resume an endpoint: what waits for it is due now, and its tries start over.

    Also for an endpoint that is not paused, but whose deliveries wait for their countdowns.

    Exit status: 0 it gets deliveries, also if it did before; 1 Redis does not answer; 2 invalid input.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        webhooks = Webhooks(redis)
        must_exist(webhooks, settings, endpoint)
        resumed = [webhooks.resume(region, endpoint, who=who) for region in settings.regions]
        waiting = sum(
            each.waiting
            for region in settings.regions
            for each in webhooks.endpoints(region)
            if each.name == endpoint
        )
    before = "" if any(resumed) else " (it was not paused)"
    click.echo(f"{endpoint} is resumed{before}: {waiting} deliveries are due")


def _since(webhooks: Webhooks, shelf: Shelf, since_s: float) -> list[str]:
    after_ms = webhooks.now_ms(shelf.region) - round(since_s * 1000)
    found: list[str] = []
    while page := webhooks.ids(shelf, since_ms=after_ms, start=len(found), count=PAGE):
        found += page
    return found


def _resend(  # noqa: PLR0913 - one an option
    webhooks: Webhooks, chosen: Mapping[str, Sequence[str]], said: str, *, who: str, yes: bool, as_json: bool
) -> int:
    """Ask unless `yes`, resend, and print the counts. Returns the exit status."""
    total = sum(map(len, chosen.values()))
    where = ", ".join(f"{region} {len(ids)}" for region, ids in chosen.items() if ids)
    described = f"{total} {'delivery' if total == 1 else 'deliveries'} {said}" + (
        f" ({where})" if where else ""
    )
    if total and not yes and not _agreed(described):
        return 1
    answers = [
        answer
        for region, ids in chosen.items()
        for start in range(0, len(ids), PAGE)
        for answer in webhooks.resend(region, ids[start : start + PAGE], who=who)
    ]
    counts = {"resent": sum(answers), "not_resent": len(answers) - sum(answers)}
    if as_json:
        click.echo(json.dumps(counts))
    elif not total:
        click.echo(described)
    else:
        click.echo(f"resent {counts['resent']}, not resent {counts['not_resent']}")
    return 1 if counts["not_resent"] else 0


def _agreed(described: str) -> bool:
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise InvalidInput(f"{described}; stdin is not a terminal: pass --yes to resend them")
    click.echo(described, err=True)
    try:
        answer = click.confirm("resend them?", err=True)
    except click.Abort:
        click.echo("\nekyc: nothing was resent", err=True)
        raise
    if not answer:
        click.echo("ekyc: nothing was resent", err=True)
    return answer
