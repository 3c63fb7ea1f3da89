"""`ekyc enqueue`: enqueue verifications."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from schemas.enqueue import load_enqueue
from schemas.errors import SchemaError
from worker.cli.bulk_enqueue import BulkEnqueue
from worker.cli.options import (
    json_option,
    must_be_polled,
    need_region,
    new_region_option,
    only_region,
    pipeline_option,
)
from worker.cli.reporter import Reporter
from worker.cli.rows import Defaults, parsed, read
from worker.cli.source import opened, rewindable
from worker.errors import InvalidInput
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from worker.enqueue_request import EnqueueRequest
    from worker.settings import Settings


@click.command
@click.argument("signature_ids", metavar="[ID]...", nargs=-1)
@click.option("--from", "source", metavar="FILE", help="Read a CSV file, - for standard input.")
@new_region_option
@click.option(
    "--context", metavar="JSON", help="Returned in the decision; at most 4 KB, without personal data."
)
@pipeline_option
@click.option(
    "--strict", is_flag=True, help="With --from: check every row first, enqueue none if one is bad."
)
@json_option
@click.pass_context
def enqueue(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_ids: tuple[str, ...],
    source: str | None,
    region: str | None,
    context: str | None,
    pipeline: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Enqueue verifications, to be polled, archived and decided.

    Give signature ids (after -- if one begins with a dash), or --from a CSV file in UTF-8 or UTF-16, separated
    by commas, semicolons, tabs or |. Its header names the columns: signature_id (or signatureId), and optionally
    region, context (JSON) and pipeline. --region, --context and --pipeline are the defaults for rows that leave them
    empty. A row that cannot be used is reported on stderr and skipped.

    Pipelines that have something due get equal shares of a region's polls: give a backfill a name of its own, so
    that it delays no other pipeline.

    Enqueueing a known id changes nothing, so it is safe to give the same input again.

    Exit status: 0 all are in the ledger, 1 rows were skipped or Redis does not answer, 2 invalid input.
    """
    if bool(signature_ids) == bool(source):
        raise click.UsageError("give either signature ids or --from FILE", ctx)
    if strict and not source:
        raise click.UsageError("--strict needs --from", ctx)
    settings = current()
    defaults = replace(_defaults(region, context, settings), pipeline=pipeline)
    if source:
        bulk = _from_file(source, defaults, strict=strict)
    else:
        need_region(region, settings)
        bulk = _given(signature_ids, defaults)
    counts = {"enqueued": bulk.enqueued, "known": bulk.known, "skipped": bulk.skipped}
    click.echo(json.dumps(counts) if as_json else str(bulk))
    ctx.exit(1 if bulk.skipped else 0)


def _defaults(region: str | None, context: str | None, settings: Settings) -> Defaults:
    if region:
        must_be_polled(region, settings)
    value: Any = None
    if context is not None:
        try:
            value = parsed(context)
            # Checked as part of a request, so that it is refused before any row is read.
            load_enqueue({"signature_id": "-", "region": settings.regions[0], "context": value})
        except SchemaError as error:
            raise InvalidInput(f"--context {error.problem}") from None
    return Defaults(region or only_region(settings), value, settings.regions)


def _given(signature_ids: Sequence[str], defaults: Defaults) -> BulkEnqueue:
    requests: list[EnqueueRequest] = []
    faults: list[str] = []
    for position, signature_id in enumerate(signature_ids, start=1):
        try:
            requests.append(
                load_enqueue(
                    {
                        "signature_id": signature_id,
                        "region": defaults.region,
                        "context": defaults.context,
                        "pipeline": defaults.pipeline,
                    }
                )
            )
        except SchemaError as error:
            faults.append(f"id number {position}: {error.problem}")
    if faults:
        raise InvalidInput("\n".join([*faults, "nothing was enqueued"]))
    with closing(Reporter("enqueueing")) as reporter:
        bulk = BulkEnqueue(reporter.say, reporter.advance)
        bulk.take(requests)
    return bulk


def _from_file(source: str, defaults: Defaults, *, strict: bool) -> BulkEnqueue:
    with opened(source) as stream:
        if not strict:
            return _enqueued(stream, defaults)
        with rewindable(stream) as copy:
            start = copy.tell()
            _checked(copy, defaults)
            copy.seek(start)
            return _enqueued(copy, defaults)


def _enqueued(stream: BinaryIO, defaults: Defaults) -> BulkEnqueue:
    with closing(read(stream, defaults)) as rows, closing(Reporter("enqueueing", stream)) as reporter:
        bulk = BulkEnqueue(reporter.say, reporter.advance)
        bulk.take(rows)
    return bulk


def _checked(stream: BinaryIO, defaults: Defaults) -> None:
    with closing(read(stream, defaults)) as rows, closing(Reporter("checking", stream)) as reporter:
        bulk = BulkEnqueue(reporter.say, reporter.advance)
        count = bulk.check(rows)
    if bulk.skipped:
        raise InvalidInput(f"nothing was enqueued: {bulk.skipped} of {count} rows cannot be used")
