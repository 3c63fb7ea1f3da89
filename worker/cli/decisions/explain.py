"""`ekyc decisions explain`: why a verification, or an answer, is decided as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from schemas.envelope import load_envelope
from schemas.errors import SchemaError
from worker.advance.answers import Pending, Settled, UnknownId, read_again
from worker.cli.decisions.options import FILE, as_line, in_use, table_option
from worker.cli.options import json_option, only_region, region_of, region_option, well_formed
from worker.cli.status import UnknownVerification
from worker.decisions import facts
from worker.decisions.explanation import Subject
from worker.decisions.explanation import explain as explanation_of
from worker.decisions.facts import Facts
from worker.decisions.table import Table
from worker.errors import EkycError, InvalidInput
from worker.ledger import Ledger
from worker.ledger.connection import connect
from worker.policy.rules import SIGNATURE_NOT_EXIST
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.decisions.explanation import Explanation
    from worker.settings import Settings

#: The longest answer that is read.
MAX_ANSWER_BYTES = 64 * 1024 * 1024


class NotSettled(EkycError):
    """There is no result yet that a table could decide."""

    cause = "NOT_SETTLED"


def _id(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    return None if given is None else well_formed(ctx, param, given)


@click.command
@click.argument("signature_id", metavar="[ID]", callback=_id, required=False)
@region_option
@click.option(
    "--answer",
    "answer",
    metavar="FILE",
    type=FILE,
    help="Explain this answer of get-result, as evidence keeps it.",
)
@table_option
@json_option
@click.pass_context
def explain(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    signature_id: str | None,
    *,
    region: str | None,
    answer: Path | None,
    table_file: Path | None,
    as_json: bool,
) -> None:
    """Explain why a verification, or an answer, is decided as it is.

    Says which rule matches, and of each earlier rule the first condition that does not hold. Give the ID of a
    verification, whose facts the ledger keeps for EKYC_RETENTION after its end, or --answer. With --json:
    signature_id, facts, table, decision, rule (null: otherwise), text, earlier (a line for each earlier rule),
    recorded (decision and table, null: none was made), and partial (an older release settled it, without labels
    and scores).

    Exit status: 0 it is explained, 1 the ledger does not know it, there is no result yet, or Redis does not answer,
    2 what was given is wrong.
    """
    if (signature_id is None) == (answer is None):
        raise click.UsageError("give either the ID of a verification or --answer", ctx)
    table = Table.load(in_use(table_file))
    subject = _of_answer(answer, region) if answer else _of_ledger(str(signature_id), region, current())
    explained = explanation_of(table, subject.facts)
    if as_json:
        click.echo(json.dumps(_as_json(subject, table, explained)))
    else:
        click.echo("\n".join(_lines(subject, table, explained)))


def _of_ledger(signature_id: str, given: str | None, settings: Settings) -> Subject:
    """Raises ``UnknownVerification``, ``NotSettled``, ``InvalidInput`` and ``LedgerUnavailable``."""
    with connect(settings.redis_url) as redis:
        region = region_of(redis, signature_id, given, settings)
        status = Ledger(redis).status(region, signature_id)
    if status is None:
        raise UnknownVerification(
            f"the ledger does not know this id in {given or ' or '.join(settings.regions)}: it was never enqueued "
            "there, or was done longer ago than the ledger remembers "
            f"({settings.retention_s / 86_400:g} days); `--answer FILE` explains an answer that the evidence has"
        )
    subject = Subject.of(status.verification)
    if subject is None:
        raise NotSettled(
            f"it has no result yet, it is {status.verification.stage.value}: "
            f"`ekyc status {signature_id} --region {region}` shows what it waits for"
        )
    return subject


def _of_answer(path: Path, region: str | None) -> Subject:
    """Raises ``InvalidInput`` for a file that is no answer, and ``NotSettled`` for an answer without a result."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_ANSWER_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_ANSWER_BYTES:
        raise InvalidInput(f"{path}: is longer than any answer of the vendor's")
    try:
        envelope = load_envelope(raw)
    except SchemaError as error:
        raise InvalidInput(f"{path}: is no answer of get-result: {error}") from None
    named = envelope.data.get("signatureId") if isinstance(envelope.data, Mapping) else None
    signature_id = named if isinstance(named, str) else ""
    answer = read_again(raw, signature_id=signature_id)
    where = region or only_region(current()) or ""
    match answer:
        case Settled():
            return Subject(signature_id, facts.of_result(answer.result, where))
        case UnknownId():
            return Subject(signature_id, Facts(region=where, reason=SIGNATURE_NOT_EXIST))
        case Pending():
            raise NotSettled(f"{path}: the answer has no result yet: the vendor is still at work")
    raise NotSettled(f"{path}: the answer is {answer.kind.replace('_', ' ')}: no table decides it")


def _as_json(subject: Subject, table: Table, explained: Explanation) -> dict[str, Any]:
    recorded = subject.recorded
    return {
        "signature_id": subject.signature_id or None,
        "facts": facts.as_json(subject.facts),
        "partial": subject.is_partial,
        "table": table.version,
        "decision": explained.decision,
        "rule": explained.rule,
        "text": explained.text,
        "earlier": list(explained.earlier),
        "recorded": {"decision": recorded[0], "table": recorded[1]} if recorded else None,
    }


def _lines(subject: Subject, table: Table, explained: Explanation) -> Iterator[str]:
    text = f" ({explained.text})" if explained.text else ""
    of_table = f"of table {table.version}{text}"
    yield f"{subject.signature_id or 'the answer'}: {explained.decision}, by {explained.by}, {of_table}"
    yield f"facts: {as_line(subject.facts)}"
    if subject.is_partial:
        yield "an older release settled it: labels and scores are not known"
    if subject.recorded and subject.recorded != (explained.decision, table.version):
        decision, version = subject.recorded
        yield f"decided {decision} by table {version}: that decision stays"
    for number, mismatch in enumerate(explained.earlier, start=1):
        yield f"rule {number} does not match: {mismatch}"
