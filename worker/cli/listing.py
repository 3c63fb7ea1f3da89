"""`ekyc list`: lists verifications by stage, region, pipeline, age, decision and a key of their context."""

from __future__ import annotations

import json
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.hold import duration
from worker.cli.options import json_option, pipeline_option, regions_option
from worker.errors import EkycError
from worker.ledger.connection import connect
from worker.ledger.damage import left_out
from worker.ledger.models import Stage
from worker.ledger.moments import rfc3339
from worker.ledger.search import Wanted, age_s, as_text, context_of, search
from worker.policy.time_format import span
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.models import Verification

#: The default number of lines.
LIMIT: Final = 50


def _age(ctx: click.Context, param: click.Parameter, given: str | None) -> float | None:
    return None if given is None else duration(ctx, param, given)


def _context(ctx: click.Context, param: click.Parameter, given: str | None) -> tuple[str, str | None] | None:
    if given is None:
        return None
    key, equals, value = given.partition("=")
    if not key:
        raise click.BadParameter("must be KEY or KEY=VALUE", ctx, param)
    return key, value if equals else None


@click.command("list")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice([stage.value for stage in Stage]),
    help="Only at this stage; may be given several times.",
)
@regions_option
@click.option(
    "--older-than",
    "older_than_s",
    metavar="TIME",
    callback=_age,
    help="Enqueued longer ago than this, such as 30m.",
)
@click.option("--decision", metavar="NAME", help="Only with this decision, such as review.")
@pipeline_option
@click.option(
    "--context",
    metavar="KEY[=VALUE]",
    callback=_context,
    help="Only with this key at the top of the context, which is shown; with =VALUE only with this value.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="List at most this many."
)
@json_option
def list_(  # noqa: PLR0913 - one an option
    *,
    stages: tuple[str, ...],
    region: str | None,
    older_than_s: float | None,
    decision: str | None,
    pipeline: str | None,
    context: tuple[str, str | None] | None,
    limit: int,
    as_json: bool,
) -> None:
    """List verifications by stage, region, age or decision.

    It reads Redis in small slices, so that even a million verifications delay no worker, and ends at --limit. All
    stages except done and dropped have an index, which gives the earliest due first. For anything else it reads every
    key, in no order. A verification that changes its stage meanwhile may be missed.

    With --json: verifications (signature_id, region, pipeline, stage, age_s, enqueued_at, polls, overall_result,
    error_code, reason, decision, quarantine_reason; with --context also context, which holds that key alone), and
    more (whether there are more than --limit).

    Exit status: 0, also if none is found; 1 Redis does not answer, or a verification is left out because its key is
    damaged; 2 invalid input.
    """
    settings = current()
    regions = (region,) if region else settings.regions
    wanted = Wanted(
        stages=frozenset(map(Stage, stages)) or None,
        decision=decision,
        pipeline=pipeline,
        older_than_s=older_than_s,
        context=context,
    )
    damaged: list[str] = []
    with connect(settings.redis_url) as redis:
        everywhere = chain.from_iterable(search(redis, each, wanted, damaged.append) for each in regions)
        found = list(islice(everywhere, limit + 1))
    listed, more = found[:limit], len(found) > limit
    key = context[0] if context else None
    if as_json:
        click.echo(json.dumps({"verifications": [_as_json(each, key) for each in listed], "more": more}))
    elif listed:
        click.echo("\n".join(_lines(listed, key)))
        if more:
            click.echo(f"there are more: pass --limit, such as --limit {10 * limit}")
    else:
        click.echo(f"no verification found in {' or '.join(regions)}")
    if damaged:
        raise EkycError(left_out(damaged))


def _as_json(verification: Verification, key: str | None) -> dict[str, Any]:
    return {
        "signature_id": verification.signature_id,
        "region": verification.region,
        "pipeline": verification.pipeline,
        "stage": verification.stage.value,
        "age_s": age_s(verification),
        "enqueued_at": rfc3339(verification.enqueued_at_ms),
        "polls": verification.polls,
        "overall_result": verification.overall_result or None,
        "error_code": verification.error_code or None,
        "reason": verification.reason,
        "decision": verification.decision_name,
        "quarantine_reason": verification.quarantine_reason,
    } | ({"context": {key: context_of(verification)[key]}} if key else {})


def _printable(text: str) -> str:
    """Return a pipeline's text without control characters for the terminal."""
    return text if text.isprintable() else json.dumps(text)


def _lines(listed: Sequence[Verification], key: str | None) -> list[str]:
    head = ("region", "id", "stage", "age", "polls", "decision", "why", *([key] if key else []))
    rows = [
        (
            each.region,
            each.signature_id,
            each.stage.value,
            span(age_s(each)),
            str(each.polls),
            each.decision_name or "",
            each.quarantine_reason or each.reason or each.error_code or "",
            *([_printable(as_text(context_of(each)[key]))] if key else []),
        )
        for each in listed
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
