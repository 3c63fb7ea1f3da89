"""`ekyc evidence verify`: compares the evidence with the log, and the log with the ledger."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from worker.cli.options import canonical, json_option, region_of
from worker.cli.reporter import Reporter
from worker.enqueue_request import REGIONS, SIGNATURE_ID
from worker.errors import ConfigError, EvidenceUnavailable, EvidenceUnsuitable, InvalidInput
from worker.evidence.log.checkpoint import Checkpoint
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.notes import MAX_NOTE, NoteRefused
from worker.evidence.log.timestamps import base64_of
from worker.evidence.store import Evidence
from worker.ledger import reviews
from worker.ledger.connection import connect
from worker.records.checking import audit_of
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import date

    from redis import Redis

    from worker.evidence.log.audit import Audit, Finding, Report
    from worker.settings import Settings

#: Findings that are printed where people read.
SHOWN: Final = 50


def _day(ctx: click.Context, param: click.Parameter, given: str | None) -> date | None:
    if given is None:
        return None
    try:
        day = datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise click.BadParameter("must be a day such as 2026-11-30", ctx, param) from None
    if day > (today := datetime.now(UTC).date()):
        raise click.BadParameter(f"is in the future: today is {today} in UTC", ctx, param)
    return day


@click.command
@click.argument("signature_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All evidence, of all regions in ADVANCE_REGIONS.")
@click.option("--day", metavar="DAY", callback=_day, help="The evidence that was logged on this day, by UTC.")
@click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help=f"One of {', '.join(REGIONS)}. Alone: all evidence of it.",
)
@click.option(
    "--key",
    metavar="KEY",
    help="The public key of the log, for an auditor who does not have EKYC_LOG_KEY.",
)
@click.option(
    "--offline",
    is_flag=True,
    help="Do not ask the ledger: an older copy of the whole store, and evidence that was never logged, do not show.",
)
@click.option(
    "--since-checkpoint",
    "kept_files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A checkpoint that you have kept: the log must continue it. May be given for each region.",
)
@json_option
@click.pass_context
def verify(  # noqa: PLR0913 - one an option
    ctx: click.Context,
    *,
    signature_ids: tuple[str, ...],
    everything: bool,
    day: date | None,
    region: str | None,
    key: str | None,
    offline: bool,
    kept_files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Compare evidence with its log, and the log with the ledger.

    Give signature ids (after -- if one begins with a dash), --day, --region or --all. The whole log of a region is
    always checked: its signatures, the order and the number of its entries, its tiles. It finds what was changed, is
    missing, was added, reordered, cut off or rolled back. With --since-checkpoint it proves that nothing before a
    checkpoint that you have kept was changed since. The log has no reviews: these are compared with the verdicts that
    the audit log has. It only reads. See docs/evidence-log.md.

    With --json: ok, regions (region, size and root of the log, commits, checked: verifications compared, unsure:
    verifications without an entry that the ledger was not asked about, waiting: those that have not ended or wait for
    the log, unproved: of the ids that were given, signature_id and why there is no entry (said), grown: size and root
    of each kept checkpoint that the log continues, and the consistency proof, its hashes in base64) and findings (kind,
    region, path, said, signature_id).

    Exit status: 0 all is as it was logged, 1 it is not, or an id that was given has no entry, or the store or Redis
    does not answer, 2 what was given is wrong, 130 Ctrl-C.
    """
    ways = [bool(signature_ids), everything, day is not None, region is not None and not signature_ids]
    if sum(ways[:3]) > 1 or not any(ways) or (everything and region):
        raise click.UsageError("give one of: signature ids, --day, --region or --all", ctx)
    _check_ids(signature_ids)
    settings = current()
    keys = _keys(settings, key)
    kept = _kept(kept_files, keys)
    evidence = Evidence.from_settings(settings, must_exist=True)
    reports: list[Report] = []
    with connect(settings.redis_url) as redis, closing(Reporter("verifying")) as reporter:
        asked = None if offline else redis
        places = _places(settings, redis, region, signature_ids, offline=offline)
        _check_kept(kept, places, keys)
        for place, ids in places.items():
            before = sum(report.checked for report in reports)
            audit = audit_of(
                settings,
                evidence,
                RegionLog(evidence.backend, place, keys),
                asked,
                lambda checked, before=before: reporter.advance(before + checked),  # type: ignore[misc]
                kept=[each for each in kept if each.origin == keys.origin(place)],
                reviews=None if asked is None else reviews.recorded(asked, place),
            )
            reports.append(_run(audit, ids, day))
    findings = [finding for report in reports for finding in report.findings]
    click.echo(json.dumps(_as_json(reports)) if as_json else "\n".join(_lines(reports, findings)))
    if findings:
        _warn_of_keys(evidence)
    ctx.exit(0 if _is_well(reports) else 1)


def _warn_of_keys(evidence: Evidence) -> None:
    """Print a line if the keys here are not those of the evidence: this may explain the findings."""
    try:
        evidence.keys.check(evidence.backend, note=False)
    except EvidenceUnsuitable as error:
        click.echo(f"ekyc: {error}", err=True)
    except EvidenceUnavailable:
        pass


def _is_well(reports: Sequence[Report]) -> bool:
    return not any(report.findings or report.unproved for report in reports)


def _run(audit: Audit, signature_ids: Sequence[str], day: date | None) -> Report:
    if signature_ids:
        return audit.some(signature_ids)
    return audit.whole() if day is None else audit.day(day)


def _check_ids(signature_ids: Sequence[str]) -> None:
    faults = [
        f"id number {position}: must be 1 to 64 of letters, digits, - and _"
        for position, signature_id in enumerate(signature_ids, start=1)
        if not SIGNATURE_ID.fullmatch(signature_id)
    ]
    if faults:
        raise InvalidInput("\n".join(faults))


def _keys(settings: Settings, key: str | None) -> LogKeys:
    if key:
        return LogKeys.parse(key, "--key")
    if not settings.log_key:
        raise ConfigError(
            "EKYC_LOG_KEY is not set, so there is no log to verify: set it as for the workers, or pass --key"
        )
    return LogKeys.parse(settings.log_key)


def _kept(files: Sequence[Path], keys: LogKeys) -> list[Checkpoint]:
    """Return kept checkpoints. Raises ``InvalidInput`` for a file that is none of this log."""
    found = []
    for file in files:
        try:
            note = file.read_bytes()[: MAX_NOTE + 1]
        except OSError as error:
            raise InvalidInput(f"--since-checkpoint {file}: {error.strerror}") from None
        origin = note.partition(b"\n")[0].decode(errors="replace")
        region = next((each for each in REGIONS if keys.origin(each) == origin), None)
        if region is None:
            raise InvalidInput(f"--since-checkpoint {file}: this is no checkpoint of the log {keys.name}/…")
        try:
            found.append(Checkpoint.opened(note, keys.verifiers(region), origin))
        except NoteRefused as error:
            raise InvalidInput(f"--since-checkpoint {file}: {error}") from None
    return found


def _check_kept(kept: Sequence[Checkpoint], places: Collection[str], keys: LogKeys) -> None:
    """Raise ``InvalidInput`` if a checkpoint is of a region that is not verified: it would prove nothing."""
    origins = {keys.origin(place) for place in places}
    for each in kept:
        if each.origin not in origins:
            raise InvalidInput(
                f"--since-checkpoint: a checkpoint is of {each.origin}, and {', '.join(sorted(origins))} is verified"
            )


def _places(
    settings: Settings, redis: Redis, region: str | None, signature_ids: Sequence[str], *, offline: bool
) -> dict[str, list[str]]:
    """Return the regions to audit, each with the ids that were given for it."""
    if not signature_ids:
        return {each: [] for each in ((region,) if region else settings.regions)}
    found: dict[str, list[str]] = {}
    for signature_id in dict.fromkeys(signature_ids):
        if offline and region is None and len(settings.regions) > 1:
            raise InvalidInput("which region? Pass --region, because --offline does not ask the ledger")
        place = region or (settings.regions[0] if offline else region_of(redis, signature_id, None, settings))
        found.setdefault(place, []).append(signature_id)
    return found


def _as_json(reports: Sequence[Report]) -> dict[str, Any]:
    findings = [asdict(finding) for report in reports for finding in report.findings]
    regions = [
        {
            "region": report.region,
            "size": report.size,
            "root": report.root,
            "commits": report.commits,
            "checked": report.checked,
            "unsure": report.unsure,
            "waiting": report.waiting,
            "unproved": [{"signature_id": each.signature_id, "said": each.said} for each in report.unproved],
            "grown": [
                {
                    "size": each.size,
                    "root": base64_of(each.root),
                    "proof": [base64_of(one) for one in each.proof],
                }
                for each in report.grown
            ],
        }
        for report in reports
    ]
    return {"ok": _is_well(reports), "regions": regions, "findings": findings}


def _lines(reports: Sequence[Report], findings: Sequence[Finding]) -> list[str]:
    lines = [f"{finding.kind:<11} {finding.path} {finding.said}" for finding in findings[:SHOWN]]
    if len(findings) > SHOWN:
        lines.append(f"… and {len(findings) - SHOWN:,} more: pass --json for all")
    for report in reports:
        wrong = len(report.findings)
        said = "as it was logged" if not wrong else f"{wrong:,} finding{'' if wrong == 1 else 's'}"
        if report.unproved:
            said = f"the log is whole, {len(report.unproved):,} not verified" if not wrong else said
        unsure = f", {report.unsure:,} without an entry were not checked" if report.unsure else ""
        if report.waiting:
            unsure += f", {report.waiting:,} under way or waiting for the log were not checked"
        lines += [
            f"{'no entry':<11} {each.region}/{each.signature_id} {each.said}" for each in report.unproved
        ]
        lines += [
            f"{report.region}: continues the kept checkpoint of {each.size:,} entries"
            for each in report.grown
        ]
        lines.append(
            f"{report.region}: {report.checked:,} verifications, a log of {report.size:,} entries: {said}{unsure}"
        )
    return lines
