"""`ekyc evidence erase`: erase a person's evidence everywhere, with a signed certificate."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.evidence.legal_hold import id_argument
from worker.cli.evidence.log_lines import warnings_to_stderr
from worker.cli.options import (
    canonical,
    json_option,
    known_in,
    only_region,
    who_option,
    why_option,
    yes_option,
)
from worker.errors import EvidenceConflict, EvidenceKeyUnknown, InvalidInput
from worker.evidence.marks import Act
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.policy.retention import load
from worker.records.assembly import certificate_signer, eraser
from worker.records.certificate import summary
from worker.records.erasure import AlreadyErased, Order, members_of
from worker.records.listing import found_in
from worker.records.new_file import new_file
from worker.records.retention import kept, until_text
from worker.settings import current

if TYPE_CHECKING:
    from redis import Redis

    from worker.evidence.store import Evidence
    from worker.settings import Settings


@click.command
@id_argument
@click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="The region. Default: the one in ADVANCE_REGIONS whose evidence or ledger has the id.",
)
@why_option
@who_option
@click.option(
    "--certificate",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the certificate to this file, which must not exist.",
)
@click.option("--without-vendor", is_flag=True, help="Do not ask the vendor to delete its data.")
@yes_option
@json_option
@click.pass_context
def erase(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_id: str,
    region: str | None,
    why: str,
    who: str,
    file: Path | None,
    without_vendor: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase a verification everywhere, for good, and certify it.

    The data key is destroyed, the objects are deleted where the store allows it, the ledger forgets the record and its
    history, and the vendor is asked to delete its data. A tombstone keeps the verification from being stored or decided
    again. The signed certificate says what is gone, what a locked bucket keeps, unreadable, until when, and whether
    the retention ends early; it is printed, and stays in the evidence store: `ekyc evidence certificate` prints it
    again. If the command is interrupted or killed, run it again.

    With --json: region, signature_id, certificate (its JSON), note (the signed text), verifier (the public key).

    Exit status: 0 it is erased; 1 it is under way, held, unknown or erased already, or the answer was no, or Redis, the
    evidence store or the vendor does not answer; 2 invalid input, or stdin is not a terminal.
    """
    warnings_to_stderr()
    settings = current()
    if file is not None and (file.exists() or not file.absolute().parent.is_dir()):
        raise InvalidInput(
            f"{file}: the file exists, and is not replaced, or its folder does not: name a new one"
        )
    with connect(settings.redis_url) as redis:
        parts = eraser(settings, redis, at_vendor=not without_vendor, via=Via.CLI)
        region = _region(parts.evidence, redis, settings, signature_id, region)
        if not yes and not _agreed(
            f"{region}/{signature_id}", _kept(parts.evidence, settings, region, signature_id)
        ):
            ctx.exit(1)
        order = Order(region, signature_id, Act(datetime.now(UTC), who, why))
        try:
            note = parts.erase(order)
        except AlreadyErased as error:
            if file is not None and error.certificate:
                _write(file, error.certificate)
            raise
    if file is not None:
        _write(file, note)
    members = members_of(note)
    if as_json:
        verifier = str(certificate_signer(settings)(region).verifier)
        about = {"region": region, "signature_id": signature_id, "certificate": members}
        click.echo(json.dumps(about | {"note": note, "verifier": verifier}))
        return
    click.echo(note, nl=False)
    for line in summary(members):
        click.echo(f"ekyc: {line}", err=True)


def _region(
    evidence: Evidence, redis: Redis, settings: Settings, signature_id: str, given: str | None
) -> str:
    """Return the region of a verification, which the store or the ledger knows. Raises ``InvalidInput``."""
    region = given or only_region(settings)
    if region is not None:
        return region
    found = found_in(evidence, settings.regions, signature_id) or known_in(redis, signature_id, settings)
    if len(found) > 1:
        raise InvalidInput(f"{signature_id} is known in {' and '.join(found)}: pass --region")
    if not found:
        raise InvalidInput(
            f"neither the evidence store nor the ledger has {signature_id} in {' or '.join(settings.regions)}: "
            "check the id, and pass --region if ADVANCE_REGIONS does not name its region here"
        )
    return found[0]


def _kept(evidence: Evidence, settings: Settings, region: str, signature_id: str) -> str:
    """Return what the erasure means for the retention, for people; "": there is no evidence."""
    try:
        found = kept(evidence, load(settings.retain), region, signature_id)
    except (EvidenceConflict, EvidenceKeyUnknown) as error:
        return f"until when it must be kept is not known here: {error}"
    if found is None:
        return ""
    over = found.is_over(datetime.now(UTC))
    return f"by EKYC_RETAIN ({found.rule}) it is {until_text(found)}{'' if over else ': this erasure comes before'}"


def _agreed(name: str, retention: str) -> bool:
    """Ask. Raises ``InvalidInput`` if stdin is not a terminal."""
    said = f"{name} will be erased for good; nothing brings it back"
    if retention:
        said = f"{said}\n{retention}"
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise InvalidInput(f"{said}\nstdin is not a terminal: pass --yes to erase it")
    click.echo(said, err=True)
    answer = click.confirm("erase it?", err=True)
    if not answer:
        click.echo("ekyc: nothing was erased", err=True)
    return answer


def _write(file: Path, text: str) -> None:
    """Raises ``InvalidInput``; the certificate is in the evidence store anyway."""
    try:
        with new_file(file) as opened:
            opened.write(text.encode())
        click.echo(f"ekyc: the certificate is in {file}", err=True)
    except OSError as error:
        raise InvalidInput(
            f"{file}: the verification is erased, but its certificate cannot be written there "
            f"({error.strerror}): run the command again with another file"
        ) from None
