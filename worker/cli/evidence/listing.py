"""`ekyc evidence list`: what the evidence store has, by region and time."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.evidence.selection import regions_of, since_option, until_option
from worker.cli.options import regions_option
from worker.enqueue_request import SIGNATURE_ID, canonical_region
from worker.errors import (
    EvidenceConflict,
    EvidenceErased,
    EvidenceKeyUnknown,
    EvidenceUnavailable,
    InvalidInput,
)
from worker.evidence.store import Evidence
from worker.ledger.moments import rfc3339
from worker.records.listing import Kept, Listed, Period, listed
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: The default number of lines.
LIMIT: Final = 50

_WIDTHS: Final = (8, 25, 10, 6, 12, 0)


def _after(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    region, slash, signature_id = given.partition("/")
    try:
        found = canonical_region(region), signature_id
    except ValueError:
        slash = ""
    if not slash or not SIGNATURE_ID.fullmatch(signature_id):
        raise click.BadParameter("must be REGION/ID, as the command before printed it", ctx, param)
    return found


@click.command("list")
@regions_option
@since_option
@until_option
@click.option(
    "--state",
    type=click.Choice([state.value for state in Kept]),
    help="archived: it has a manifest; open: it has none yet, or never had an answer; erased.",
)
@click.option(
    "--decision", metavar="NAME", help="Only with this decision, such as review. Reads one file of each."
)
@click.option(
    "--after", metavar="REGION/ID", callback=_after, help="Continue after this one: see the end of a list."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=LIMIT,
    show_default=True,
    help="List at most this many; 0: all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, for scripts.")
@click.pass_context
def list_(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    region: str | None,
    since: datetime | None,
    until: datetime | None,
    state: str | None,
    decision: str | None,
    after: tuple[str, str] | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the verifications whose evidence the store has.

    It lists the store and not the ledger, which forgets a verification after EKYC_RETENTION, and opens no file unless
    --decision is given. The order is that of the ids in each region, and stays. Each line is printed as it is found.
    Nothing personal is shown. Files and bytes are those of the evidence, without key, marks and certificate: an erased
    verification has none, but for what a locked bucket keeps unreadable. Times are those of the store: when the first
    file of a verification was written.

    With --json, each line: region, signature_id, stored_at, state, files (names), size_bytes (as stored), and with
    --decision also decision. There is no line if none is found.

    Exit status: 0, also if none is found; 1 the store does not answer, or with --decision a file cannot be opened; 2
    invalid input.
    """
    settings = current()
    regions = regions_of(region, settings)
    if after and after[0] not in regions:
        raise InvalidInput(
            f"--after: {after[0]} is not among the regions that are listed, {', '.join(regions)}"
        )
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    faults: list[str] = []
    wanted = (
        one
        for one in listed(evidence, regions, Period(since, until), after)
        if (state is None or one.state.value == state)
        and (decision is None or _decision(evidence, one, faults) == decision)
    )
    last = None
    for one in islice(wanted, limit or None):
        if not as_json and last is None:
            click.echo(_line(("region", "stored", "state", "files", "bytes", "id")))
        last = one
        click.echo(json.dumps(_as_json(one, decision)) if as_json else _line(tuple(_cells(one))))
    if not as_json and last is None:
        click.echo(f"no such evidence in {' or '.join(regions)} at {evidence.url}")
    elif not as_json and last and limit and next(wanted, None) is not None:
        click.echo(f"there are more: pass --after {last.region}/{last.signature_id}, or --limit 0")
    ctx.exit(1 if faults else 0)


def _decision(evidence: Evidence, one: Listed, faults: list[str]) -> str | None:
    """Return the decision of a verification; None: there is none, or its record cannot be opened."""
    try:
        record = one.evidence.decision()
    except EvidenceErased:
        return None
    except (EvidenceConflict, EvidenceUnavailable) as error:
        if isinstance(error, EvidenceKeyUnknown) and not one.evidence.keys.are_on:
            raise
        if isinstance(error, EvidenceUnavailable):
            # One object that cannot be read must not stop the others.
            evidence.check_answers()
        click.echo(f"ekyc: {one.region}/{one.signature_id}: {error}", err=True)
        faults.append(error.cause)
        return None
    return record.decision.decision if record else None


def _as_json(one: Listed, decision: str | None) -> dict[str, Any]:
    return {
        "region": one.region,
        "signature_id": one.signature_id,
        "stored_at": rfc3339(round(one.kept_at.timestamp() * 1000)),
        "state": one.state.value,
        "files": one.files,
        "size_bytes": one.size_bytes,
    } | ({"decision": decision} if decision else {})


def _cells(one: Listed) -> Iterator[str]:
    yield one.region
    yield rfc3339(round(one.kept_at.timestamp() * 1000))
    yield one.state.value
    yield str(len(one.files))
    yield f"{one.size_bytes:,}"
    yield one.signature_id


def _line(cells: tuple[str, ...]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
