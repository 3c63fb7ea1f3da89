"""`ekyc deliveries list` and `show`: what waits for endpoints, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.deliveries.options import endpoint_name, find, regions_of, states
from worker.cli.options import json_option, regions_option
from worker.decisions.deliveries import Health
from worker.ledger.connection import connect
from worker.ledger.moments import rfc3339, rfc3339_or_none
from worker.ledger.webhooks import Shelf, State, Webhooks
from worker.policy.time_format import span
from worker.policy.webhooks import LIMITS
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.ledger.webhooks import Delivery, EndpointState

#: The default number of lines.
LIMIT: Final = 50


@click.command("list")
@regions_option
@click.option("--endpoint", metavar="NAME", callback=endpoint_name, help="Only this endpoint.")
@click.option(
    "--state",
    type=click.Choice([state.value for state in State]),
    help="Only deliveries in this state. Default: those that are not acknowledged.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=LIMIT,
    show_default=True,
    help="List at most this many of each endpoint, state and region.",
)
@json_option
def list_(region: str | None, endpoint: str | None, state: str | None, limit: int, *, as_json: bool) -> None:
    """List deliveries by webhook, after a summary of their endpoints.

    A delivery waits until its endpoint acknowledges it with a status from 200 to 299. After ten tries in three days it
    is kept as failed. An endpoint that acknowledges nothing is paused, and what waits for it is kept.

    With --json: endpoints (name, region, paused (at, why, who), held_until, failing_since, failures in a row, strain
    from 0 to 1 (1: it is paused for its failures), at_a_time (null: it is not slowed), waiting, in_flight, failed,
    acknowledged), and deliveries (id, region, endpoint, type, signature_id, state, tries, fault (of the last try),
    created_at, last_try_at, acknowledged_at, due_at).

    Exit status: 0, also if there are none; 1 Redis does not answer; 2 invalid input.
    """
    settings = current()
    wanted = [State(state)] if state else [State.FAILED, State.WAITING]
    with connect(settings.redis_url) as redis:
        webhooks = Webhooks(redis)
        endpoints = [
            each
            for each in states(webhooks, settings, regions_of(region, settings))
            if endpoint in {None, each.name}
        ]
        found = [
            delivery
            for each in endpoints
            for one in wanted
            for delivery in _read(webhooks, Shelf(each.region, each.name, one), limit)
        ]
    if as_json:
        listed = {"endpoints": [endpoint_json(each) for each in endpoints]}
        click.echo(json.dumps(listed | {"deliveries": [each.as_json() for each in found]}))
    elif endpoints:
        click.echo("\n".join(_lines(endpoints, found)))
    else:
        click.echo("there is no endpoint: EKYC_ENDPOINTS_FILE names none, and nothing was ever sent to one")


@click.command
@click.argument("delivery_id", metavar="ID")
@regions_option
@click.option("--body", is_flag=True, help="Print the body alone, as it is sent.")
@json_option
def show(delivery_id: str, region: str | None, *, body: bool, as_json: bool) -> None:
    """Show one delivery: its tries, its last fault, when it is due, and its body.

    ID is the id of the delivery, which is its header webhook-id. With --json: as `ekyc deliveries list`, and body.

    Exit status: 0 the id is known, 1 it is not or Redis does not answer, 2 invalid input.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        webhooks = Webhooks(redis)
        found = find(webhooks, regions_of(region, settings), delivery_id)
        now_ms = webhooks.now_ms(found.region)
    if body:
        click.echo(found.body)
    elif as_json:
        click.echo(json.dumps(found.as_json() | {"body": json.loads(found.body)}))
    else:
        click.echo("\n".join(_story(found, now_ms)))


def endpoint_json(one: EndpointState) -> dict[str, Any]:
    return {
        "name": one.name,
        "region": one.region,
        "paused": {"at": rfc3339(one.paused_at_ms), "why": one.paused_why, "who": one.paused_by}
        if one.paused_at_ms
        else None,
        "held_until": rfc3339_or_none(one.held_until_ms),
        "failing_since": rfc3339_or_none(one.failing_since_ms),
        "failures": one.failures_in_a_row,
        "strain": round(one.strain(LIMITS), 3),
        "at_a_time": one.window,
        "waiting": one.waiting,
        "in_flight": one.in_flight,
        "failed": one.failed,
        "acknowledged": one.acknowledged,
    }


def _read(webhooks: Webhooks, shelf: Shelf, limit: int) -> list[Delivery]:
    return webhooks.read(shelf.region, webhooks.ids(shelf, count=limit))


def _lines(endpoints: Sequence[EndpointState], found: Sequence[Delivery]) -> Iterator[str]:
    yield from _aligned(
        [
            ("endpoint", "region", "waiting", "failed", "acknowledged", "state"),
            *(
                (
                    each.name,
                    each.region,
                    str(each.waiting),
                    str(each.failed),
                    str(each.acknowledged),
                    _state(each),
                )
                for each in endpoints
            ),
        ]
    )
    if not found:
        return
    yield ""
    yield from _aligned(
        [
            ("id", "region", "endpoint", "about", "state", "tries", "last fault"),
            *(
                (
                    each.id,
                    each.region,
                    each.endpoint,
                    each.signature_id or each.type,
                    each.state.value,
                    str(each.tries),
                    each.fault or "",
                )
                for each in found
            ),
        ]
    )


def _state(one: EndpointState) -> str:
    if one.paused_at_ms:
        by = f" by {one.paused_by}" if one.paused_by else ""
        return f"paused{by}: {one.paused_why}; run `ekyc deliveries resume {one.name}`"
    # The words are those of the console and the HTTP API.
    slowed = f"slowed, at most {one.window} at a time" if one.window is not None else ""
    if one.failing_since_ms is None:
        return slowed or Health.OPEN.value
    lasts = span((one.now_ms - one.failing_since_ms) / 1000)
    held_s = ((one.held_until_ms or 0) - one.now_ms) / 1000
    held = (
        f"; nothing is sent for {span(held_s)}, or until `ekyc deliveries resume {one.name}`"
        if held_s > 0
        else ""
    )
    begin = f"{slowed}; " if slowed else ""
    return f"{begin}failing for {lasts} ({one.strain(LIMITS):.0%} of the way to its pause){held}"


def _story(one: Delivery, now_ms: int) -> Iterator[str]:
    yield f"{one.endpoint}: {one.type}, {one.state.value}"
    facts = {
        "id": one.id,
        "region": one.region,
        "verification": one.signature_id,
        "tries": f"{one.tries} of {LIMITS.most_tries}",
        "last fault": one.fault,
        "created": rfc3339(one.created_at_ms),
        "last try": rfc3339_or_none(one.last_try_at_ms),
        "acknowledged": rfc3339_or_none(one.acknowledged_at_ms),
        "due": None if one.due_at_ms is None else f"in {span((one.due_at_ms - now_ms) / 1000)}",
        "body": one.body,
    }
    yield from (f"  {name:<13} {fact}" for name, fact in facts.items() if fact)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
