"""`ekyc deliveries resend`, `recover`, `drop`, `pause` and `resume`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from worker.cli.announcement import listeners
from worker.cli.deliveries.options import endpoint_name, find, must_exist, regions_of
from worker.cli.hold import duration
from worker.cli.options import json_option, regions_option, who_option, why_option, yes_option
from worker.decisions import deliveries, events
from worker.decisions.deliveries import PAGE
from worker.errors import InvalidInput
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.webhooks import Shelf, State, Webhooks
from worker.policy.time_format import span
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        chosen = _given(webhooks, regions_of(region, settings), delivery_ids)
        ctx.exit(
            _RESEND.on(
                chosen, "given by id", _resending(webhooks, who, "delivery_resend"), yes=yes, as_json=as_json
            )
        )


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
    kinds = deliveries.not_taken(acknowledged=acknowledged)
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
        said += f" in the last {span(since_s)}"
        ctx.exit(
            _RESEND.on(
                chosen, said, _resending(webhooks, who, "deliveries_recover"), yes=yes, as_json=as_json
            )
        )


@click.command
@click.argument("delivery_ids", metavar="[ID]...", nargs=-1)
@click.option("--endpoint", metavar="NAME", callback=endpoint_name, help="All of this endpoint.")
@regions_option
@why_option
@who_option
@yes_option
@json_option
@click.pass_context
def drop(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    delivery_ids: tuple[str, ...],
    endpoint: str | None,
    region: str | None,
    why: str,
    who: str,
    yes: bool,
    as_json: bool,
) -> None:
    """End deliveries that no receiver will ever want, for good: they are not sent, and not kept.

    Give ids of deliveries, or --endpoint for all that wait for it or have failed, such as after it was removed from
    EKYC_ENDPOINTS_FILE. The command shows how many these are, and asks. A verification that waited for such a delivery
    alone is done. Its history and the record of the region have name, time and --why. What a worker is sending at the
    moment stays. With --json: dropped, not_dropped.

    Exit status: 0 all have ended, 1 some have not, or an id is unknown, or the answer was no, or Redis does not answer,
    2 invalid input, or stdin is not a terminal; 130 Ctrl-C.
    """
    if bool(delivery_ids) == (endpoint is not None):
        raise click.UsageError("give either ids of deliveries or --endpoint", ctx)
    settings = current()
    with connect(settings.redis_url) as redis:
        webhooks = Webhooks(redis, retention_s=settings.retention_s)
        regions = regions_of(region, settings)
        if endpoint is None:
            chosen, said = _given(webhooks, regions, delivery_ids), "given by id"
        else:
            must_exist(webhooks, settings, endpoint)
            kinds = (State.WAITING, State.FAILED)
            chosen = {
                each: [
                    name for kind in kinds for name in deliveries.ids(webhooks, Shelf(each, endpoint, kind))
                ]
                for each in regions
            }
            said = f"that wait for {endpoint} or have failed"

        def end(region: str, ids: Sequence[str]) -> list[bool]:
            return webhooks.drop(region, ids, why=why, who=who, via=Via.CLI)

        ctx.exit(_DROP.on(chosen, said, end, yes=yes, as_json=as_json))


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
        paused = events.pause_by_hand(
            webhooks, listeners(settings), settings.regions, endpoint, why=why, who=who, via=Via.CLI
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
        resumed = [webhooks.resume(region, endpoint, who=who, via=Via.CLI) for region in settings.regions]
        waiting = sum(
            each.waiting
            for region in settings.regions
            for each in webhooks.endpoints(region)
            if each.name == endpoint
        )
    before = "" if any(resumed) else " (it was not paused)"
    click.echo(f"{endpoint} is resumed{before}: {waiting} deliveries are due")


def _given(webhooks: Webhooks, regions: Sequence[str], delivery_ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids by region. Raises ``UnknownDelivery``."""
    chosen: dict[str, list[str]] = {}
    for each in dict.fromkeys(delivery_ids):
        found = find(webhooks, regions, each)
        chosen.setdefault(found.region, []).append(found.id)
    return chosen


def _since(webhooks: Webhooks, shelf: Shelf, since_s: float) -> list[str]:
    return deliveries.ids(webhooks, shelf, webhooks.now_ms(shelf.region) - round(since_s * 1000))


def _resending(webhooks: Webhooks, who: str, act: str) -> Callable[[str, Sequence[str]], list[bool]]:
    return lambda region, ids: webhooks.resend(region, ids, who=who, via=Via.CLI, act=act)


@dataclass(frozen=True, slots=True)
class _Act:
    """An act on many deliveries. `verb`: the word for it, such as `resend`; `done`: its past participle."""

    verb: str
    done: str

    def on(
        self,
        chosen: Mapping[str, Sequence[str]],
        said: str,
        do: Callable[[str, Sequence[str]], list[bool]],
        *,
        yes: bool,
        as_json: bool,
    ) -> int:
        """Ask unless `yes`, act, and print the counts. Returns the exit status."""
        total = sum(map(len, chosen.values()))
        where = ", ".join(f"{region} {len(ids)}" for region, ids in chosen.items() if ids)
        described = f"{total} {'delivery' if total == 1 else 'deliveries'} {said}" + (
            f" ({where})" if where else ""
        )
        if total and not yes and not self._agreed(described):
            return 1
        answers = [
            answer
            for region, ids in chosen.items()
            for start in range(0, len(ids), PAGE)
            for answer in do(region, ids[start : start + PAGE])
        ]
        done, left = sum(answers), len(answers) - sum(answers)
        if as_json:
            click.echo(json.dumps({self.done: done, f"not_{self.done}": left}))
        elif not total:
            click.echo(described)
        else:
            click.echo(f"{self.done} {done}, not {self.done} {left}")
        return 1 if left else 0

    def _agreed(self, described: str) -> bool:
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
            raise InvalidInput(f"{described}; stdin is not a terminal: pass --yes to {self.verb} them")
        click.echo(described, err=True)
        try:
            answer = click.confirm(f"{self.verb} them?", err=True)
        except click.Abort:
            click.echo(f"\nekyc: nothing was {self.done}", err=True)
            raise
        if not answer:
            click.echo(f"ekyc: nothing was {self.done}", err=True)
        return answer


_RESEND: Final = _Act("resend", "resent")
_DROP: Final = _Act("drop", "dropped")
