"""`ekyc evidence certificate`: the certificate of an erasure once more, and the key that verifies it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.cli.evidence.legal_hold import id_argument
from worker.cli.evidence.selection import one_region_option, place_of
from worker.cli.options import json_option
from worker.errors import EvidenceConflict, InvalidInput
from worker.evidence.keys import Tombstone
from worker.evidence.lifecycle import fingerprint
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.notes import NoteRefused, open_note
from worker.evidence.store import Evidence
from worker.records.assembly import certificate_verifiers
from worker.records.certificate import summary
from worker.records.erasure import NotErased, certified
from worker.records.new_file import new_file
from worker.settings import current

if TYPE_CHECKING:
    from worker.evidence.lifecycle import Lifecycle
    from worker.evidence.log.notes import NoteVerifier
    from worker.settings import Settings


@click.command
@id_argument
@one_region_option
@click.option(
    "--output",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the certificate to this file, which must not exist. Default: standard output.",
)
@json_option
def certificate(*, signature_id: str, region: str | None, file: Path | None, as_json: bool) -> None:
    """Print the certificate of an erasure again, and the key that verifies it.

    It only reads. The certificate is a signed note, and the same bytes as `ekyc evidence erase` printed. The key that
    verifies it, the public half of EKYC_LOG_KEY or EKYC_SIGNING_KEY, goes to stderr.

    With --json: region, signature_id, certificate (its JSON), note (the signed text), verifier (the public key).

    Exit status: 0; 1 the erasure has not ended, the certificate is gone or was changed, none of the keys here has
    signed it, or the store does not answer; 2 invalid input, or it is not erased.
    """
    settings = current()
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    region = place_of(evidence, settings, signature_id, region)
    note = _note(evidence.lifecycle(region, signature_id))
    verifier = _verifier(note, settings, region, signature_id)
    members = certified(note, region, signature_id)
    if file is not None:
        with new_file(file) as opened:
            opened.write(note.encode())
    if as_json:
        about = {"region": region, "signature_id": signature_id, "certificate": members}
        click.echo(json.dumps(about | {"note": note, "verifier": str(verifier)}))
        return
    if file is None:
        click.echo(note, nl=False)
    else:
        click.echo(f"ekyc: the certificate is in {file}", err=True)
    for line in summary(members):
        click.echo(f"ekyc: {line}", err=True)
    click.echo(f"ekyc: signed by {verifier}", err=True)


def _note(lifecycle: Lifecycle) -> str:
    """Return the certificate that the tombstone names.

    Raises ``InvalidInput``, ``NotErased`` and ``EvidenceConflict``.
    """
    name, key = f"{lifecycle.region}/{lifecycle.signature_id}", lifecycle.key()
    if not isinstance(key, Tombstone):
        raise InvalidInput(f"{name} is not erased: there is no certificate")
    if key.certificate is None:
        raise NotErased(f"the erasure of {name} has not ended: run `ekyc evidence erase` again")
    note = lifecycle.certificate()
    if note is None or fingerprint(note) != key.certificate:
        said = "is gone" if note is None else "was changed"
        raise EvidenceConflict(
            "CERTIFICATE", f"the certificate at {lifecycle.url} {said}: restore it from a backup"
        )
    return note


def _verifier(note: str, settings: Settings, region: str, signature_id: str) -> NoteVerifier:
    """Return the key that has signed a certificate. Raises ``EvidenceConflict`` if it is none of the settings."""
    known = LogKeys.parse(settings.log_key).verifiers(region) if settings.log_key else ()
    for verifier in (*known, *certificate_verifiers(settings, region)):
        try:
            open_note(note, [verifier])
        except NoteRefused:
            continue
        return verifier
    raise EvidenceConflict(
        "CERTIFICATE",
        f"no key here has signed the certificate of {region}/{signature_id}: set EKYC_LOG_KEY or EKYC_SIGNING_KEY as "
        "they were when it was erased",
    )
