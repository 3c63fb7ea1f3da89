"""`ekyc evidence export`: one archive that proves itself to people without our software."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.evidence.selection import region_of, regions_of, since_option, until_option
from worker.cli.options import json_option, regions_option, who_option, why_option
from worker.cli.reporter import Reporter
from worker.decisions.table import Source, Table
from worker.enqueue_request import SIGNATURE_ID
from worker.errors import ConfigError, InvalidInput
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.store import Evidence
from worker.ledger import looks
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.looks import Looks
from worker.records.encrypting import parse_recipients, write
from worker.records.export import Export, Lacks, State
from worker.records.listing import Period, listed
from worker.records.log_proofs import LogProofs
from worker.records.new_file import new_file, refuse_taken
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from worker.evidence.store import VerificationEvidence
    from worker.settings import Settings


@click.command
@click.argument("signature_ids", metavar="[ID]...", nargs=-1)
@regions_option
@since_option
@until_option
@click.option(
    "--recipient",
    "recipients",
    metavar="AGE_KEY",
    multiple=True,
    help="Encrypt for this public key of age, age1…; may be given several times.",
)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="The archive, a tar file, encrypted if there is a --recipient. It must not exist.",
)
@why_option
@who_option
@json_option
@click.pass_context
def export(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_ids: tuple[str, ...],
    region: str | None,
    since: datetime | None,
    until: datetime | None,
    recipients: tuple[str, ...],
    output: Path,
    why: str,
    who: str,
    as_json: bool,
) -> None:
    """Export evidence as one archive that a third party can verify without this software.

    Give signature ids (after -- if one begins with a dash), or --since and --until, which without --region select from
    all regions in ADVANCE_REGIONS. The archive has the files as they were stored, decrypted; manifests, decisions,
    decision tables, proofs and checkpoints of the log; and VERIFY.md, which says how to verify it with standard tools.
    It holds personal data: encrypt it with --recipient (`age-keygen` makes a key).

    FILE appears when it is complete, and only you can read it. The ledger records name, time and reason before the
    first file is read: `ekyc stats --json` shows them among acts. With --json: output, exported, erased, damaged.

    Exit status: 0 everything was exported; 1 some of it is damaged, or nothing was stored in that time, or the store or
    Redis does not answer; 2 invalid input, an unknown id, or FILE exists; 130 Ctrl-C.
    """
    if bool(signature_ids) == (since is not None or until is not None):
        raise click.UsageError("give either signature ids, or --since or --until", ctx)
    keys = parse_recipients(recipients)
    _check_output(output)
    settings = current()
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    if signature_ids:
        chosen = iter(_given(evidence, settings, signature_ids, region))
        said = f"{len(set(signature_ids))} given by id"
    else:
        regions = regions_of(region, settings)
        found = listed(evidence, regions, Period(since, until))
        chosen = (each.evidence for each in found)
        said = f"{' and '.join(regions)}{_when('since', since)}{_when('until', until)}"
    first = next(chosen, None)
    if first is None:
        click.echo(f"ekyc: no evidence in {said} at {evidence.url}: nothing is exported", err=True)
        ctx.exit(1)
    built = _export(evidence, settings)
    with connect(settings.redis_url) as redis, closing(Reporter("exporting")) as reporter:
        record = _recorder(Looks(redis, who=who, via=Via.CLI), f"{said}: {why}")
        pieces = built.pieces(chain([first], chosen), record, reporter.advance)
        with new_file(output) as file:
            write(pieces, file, keys)
    click.echo(json.dumps(_as_json(built, output)) if as_json else _done(built, output))
    if not keys:
        click.echo(f"ekyc: {output} holds personal data, and is not encrypted", err=True)
    ctx.exit(1 if built.counts[State.DAMAGED] else 0)


def _recorder(record: Looks, detail: str) -> Callable[[Sequence[VerificationEvidence]], None]:
    """Return what records a page of verifications before any of them is read: a killed export is on record, too.

    It raises ``LedgerUnavailable``: nothing is exported without a record.
    """

    def note(page: Sequence[VerificationEvidence]) -> None:
        said = f"{len(page)} of {detail}"
        record.note(page[0].region, looks.EXPORT, said, [one.signature_id for one in page])

    return note


def _check_output(output: Path) -> None:
    refuse_taken(output)
    if not output.parent.is_dir():
        raise InvalidInput(f"--output: {output.parent} is not a folder: create it, or give another name")


def _given(
    evidence: Evidence, settings: Settings, signature_ids: Sequence[str], region: str | None
) -> list[VerificationEvidence]:
    """Return the evidence of each id, once, by region. Raises ``InvalidInput``, a line for each bad or unknown id."""
    faults = [
        f"id number {position}: must be 1 to 64 of letters, digits, - and _"
        for position, signature_id in enumerate(signature_ids, start=1)
        if not SIGNATURE_ID.fullmatch(signature_id)
    ]
    found: list[VerificationEvidence] = []
    for signature_id in [] if faults else dict.fromkeys(signature_ids):
        try:
            found.append(evidence.of(region_of(evidence, settings, signature_id, region), signature_id))
        except InvalidInput as error:
            faults.append(str(error))
    if faults:
        raise InvalidInput("\n".join([*faults, "nothing is exported"]))
    return sorted(found, key=lambda one: (one.region, one.signature_id))


def _export(evidence: Evidence, settings: Settings) -> Export:
    keys = LogKeys.parse(settings.log_key) if settings.log_key else None
    return Export(
        lacks=Lacks(keys=not evidence.keys.are_on, log=keys is None),
        log=LogProofs(evidence, keys) if keys else None,
        certificate=lambda region, signature_id: evidence.lifecycle(region, signature_id).certificate(),
        table=_tables(evidence, settings),
        note=lambda line: click.echo(f"ekyc: {line}", err=True),
        check_answers=evidence.check_answers,
    )


def _tables(evidence: Evidence, settings: Settings) -> Callable[[str], str | None]:
    """Return what finds the text of a decision table: as workers stored it, in a file of the settings, or packaged.

    The stored text counts only if its version is that of its content.
    """

    def sources(version: str) -> Iterator[Source]:
        for path in dict.fromkeys((settings.decisions_file, settings.decisions_shadow, None)):
            with suppress(ConfigError):
                yield Source.read(path)
        if (stored := evidence.table(version)) is not None:
            with suppress(ConfigError):
                yield Source.parse(version, stored)

    def text_of(version: str) -> str | None:
        for source in sources(version):
            table = source.table()
            if isinstance(table, Table) and table.version == version:
                return source.text
        return None

    return text_of


def _when(word: str, moment: datetime | None) -> str:
    return "" if moment is None else f" {word} {moment.isoformat(timespec='seconds').replace('+00:00', 'Z')}"


def _as_json(built: Export, output: Path) -> dict[str, object]:
    return {"output": str(output)} | {state.value: built.counts[state] for state in State}


def _done(built: Export, output: Path) -> str:
    counts = ", ".join(f"{state.value} {built.counts[state]}" for state in State if built.counts[state])
    return f"{output}: {counts}; VERIFY.md in it says how to verify it"
