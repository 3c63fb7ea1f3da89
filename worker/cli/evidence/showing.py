"""`ekyc evidence show`: what the store has of one verification; its files only on request, and on record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.evidence.selection import region_of
from worker.cli.options import json_option, regions_option, said, well_formed, who_option
from worker.errors import InvalidInput
from worker.evidence.store import Evidence
from worker.ledger import looks
from worker.ledger.audit import Via
from worker.ledger.connection import connect
from worker.ledger.looks import Looks
from worker.records.overview import Overview
from worker.records.saving import save, shown
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.evidence.store import VerificationEvidence
    from worker.settings import Settings

#: Prefixes of variables that hold secrets.
_NOT_FOR_VIEWERS: Final = ("EKYC_", "ADVANCE_", "AWS_", "AZURE_", "GOOGLE_", "REDIS_", "CELERY_", "SENTRY_")


@click.command
@click.argument("signature_id", metavar="ID", callback=well_formed)
@regions_option
@click.option(
    "--save",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Write the files into FOLDER, which only you can read if it is created. Nothing there is replaced.",
)
@click.option(
    "--role",
    "roles",
    metavar="ROLE",
    multiple=True,
    help="With --save: only this file, such as front or answer; may be given several times.",
)
@click.option("--open", "role", metavar="ROLE", help="Open one file, such as front, in a viewer.")
@click.option(
    "--viewer", metavar="COMMAND", help="With --open: the program. Default: what your desktop opens it with."
)
@click.option(
    "--why",
    metavar="TEXT",
    callback=said,
    help="With --save and --open: the reason, for the record. It must not hold personal data.",
)
@who_option
@json_option
@click.pass_context
def show(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_id: str,
    region: str | None,
    folder: Path | None,
    roles: tuple[str, ...],
    role: str | None,
    viewer: str | None,
    why: str | None,
    who: str,
    as_json: bool,
) -> None:
    """Show what the store has of one verification.

    It shows the manifest, the files, the decision, the key, the entry of the log and, if it was erased, the
    certificate. This is nothing personal: the contents of files are not shown. Each file is compared with the manifest:
    what is damaged is named. --save writes files to a folder, --open
    opens one in a viewer and removes it when you press Enter. Both need --why, and the ledger records name, time,
    reason and files before they begin: `ekyc stats --json` shows them among acts, and `ekyc status` in the timeline.

    With --json: region, signature_id, url, state (archived, open or erased), files (name, stored_at, size_bytes as
    stored, role and sha256 of the manifest), missing, manifest, decision (the record), key (key_id, data_key_id;
    null: not encrypted, or not known because of the fault), reviews (number, at, who, verdict, note), log_index (of its
    newest state; null: no entry, or not known here), retention (as `ekyc evidence retain`), erased (at, certificate),
    damaged (a line each), fault (why the rest is not known; null: all is), saved (paths).

    Exit status: 0 it is shown; 1 a file is damaged, a key is missing here, or the store or Redis does not answer; 2
    invalid input, no evidence of this id, or a file exists already.
    """
    _check(ctx, folder=folder, roles=roles, role=role, viewer=viewer, why=why)
    settings = current()
    evidence = Evidence.from_settings(settings, is_patient=True, must_exist=True)
    one = evidence.of(region_of(evidence, settings, signature_id, region), signature_id)
    page = Overview.read(evidence, one, settings)
    page.compare()
    saved: list[Path] = []
    if folder is not None:
        names = page.names(roles)
        _record(settings, one, names, str(why), who)
        saved = save(one, names, folder)
    elif role is not None:
        (name,) = page.names((role,))
        command = _viewer(viewer)
        _record(settings, one, [name], str(why), who)
        _open(one, name, command)
    click.echo(json.dumps(_json(page, saved)) if as_json else "\n".join(_lines(page, saved)))
    if page.fault is not None:
        raise page.fault
    if count := len(page.damaged):
        places = f"{count} place{'s' * (count != 1)}"
        click.echo(
            f"ekyc: {page.title} differs from its manifest in {places}: restore it from a backup", err=True
        )
        ctx.exit(1)


def _check(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    folder: Path | None,
    roles: Sequence[str],
    role: str | None,
    viewer: str | None,
    why: str | None,
) -> None:
    if folder is not None and role is not None:
        raise click.UsageError("give either --save or --open", ctx)
    if roles and folder is None:
        raise click.UsageError("--role needs --save", ctx)
    if viewer is not None and role is None:
        raise click.UsageError("--viewer needs --open", ctx)
    if (folder is not None or role is not None) and not why:
        raise click.UsageError("--save and --open need --why: who looked, and why, goes on record", ctx)
    if role is not None and not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidInput("--open needs a terminal, where you say when you have seen it: use --save")


def _record(settings: Settings, one: VerificationEvidence, names: Sequence[str], why: str, who: str) -> None:
    """Record the look. Raises ``LedgerUnavailable``: nobody looks without a record."""
    detail = f"{one.region}/{one.signature_id} {', '.join(names)}: {why}"
    with connect(settings.redis_url) as redis:
        Looks(redis, who=who, via=Via.CLI).note(one.region, looks.SHOW, detail, [one.signature_id])


def _viewer(command: str | None) -> str:
    wanted = command or ("open" if sys.platform == "darwin" else "xdg-open")
    found = shutil.which(wanted)
    if found is None:
        raise InvalidInput(
            f"there is no program {wanted} here: pass --viewer COMMAND, such as feh, or use --save"
        )
    return found


def _open(one: VerificationEvidence, name: str, command: str) -> None:
    with shown(one, name) as path:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_FOR_VIEWERS)}
        ended = subprocess.run([command, str(path)], env=kept, check=False)  # noqa: S603 - the user's own program
        if ended.returncode:
            raise InvalidInput(
                f"{command} ended with {ended.returncode}: pass another --viewer, or use --save"
            )
        click.prompt(
            f"{name} is open; press Enter to remove it here",
            default="",
            show_default=False,
            prompt_suffix=" ",
            err=True,
        )


def _json(page: Overview, saved: Sequence[Path]) -> dict[str, Any]:
    return page.as_json() | {"saved": [str(path) for path in saved]}


def _lines(page: Overview, saved: Sequence[Path]) -> Iterator[str]:
    yield f"{page.title}: {page.state}{', and cannot be opened with the keys here' if page.is_shut else ''}"
    yield from _facts(page.about())
    if page.files:
        yield "  files"
    for file in page.files:
        facts = page.file_json(file)
        digest = facts["sha256"] or page.no_digest
        yield f"    {file.name:<28} {file.size_bytes:>12,} bytes  {facts['stored_at']}  {digest}"
    if page.damaged:
        yield "  damaged"
    yield from (f"    {line}" for line in page.damaged)
    if page.missing:
        yield "  missing"
    yield from (f"    {each.role:<28} {each.reason}" for each in page.missing)
    yield from (f"saved: {path}" for path in saved)


def _facts(facts: Iterator[tuple[str, str]]) -> Iterator[str]:
    yield from (f"  {name:<10} {fact}" for name, fact in facts)
