"""`ekyc doctor`: checks everything that a worker depends on, and says how to fix each fault."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from worker.cli.checks.audit_log import check_audit_log
from worker.cli.checks.broker import check_broker
from worker.cli.checks.console import check_console
from worker.cli.checks.decisions import check_decisions, check_fleet_tables, check_shadow
from worker.cli.checks.endpoints import check_endpoints
from worker.cli.checks.erasures import check_erasures
from worker.cli.checks.evidence_faults import check_evidence_faults
from worker.cli.checks.evidence_keys import check_evidence_keys, check_fleet_evidence_keys
from worker.cli.checks.evidence_log import check_evidence_log
from worker.cli.checks.files import check_evidence
from worker.cli.checks.finding import Finding, Level
from worker.cli.checks.holds import check_holds
from worker.cli.checks.identity import check_identity
from worker.cli.checks.ledger import check_ledger
from worker.cli.checks.queues import check_queues
from worker.cli.checks.retention import check_retention
from worker.cli.checks.signing import check_fleet_keys, check_signing_key
from worker.cli.checks.vendor import check_address, check_keys, check_vendor, check_way_out
from worker.cli.options import json_option
from worker.errors import ConfigError, EkycError
from worker.process import refuse_shadows
from worker.settings import current, unread_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.settings import Settings

#: The checks. An error that a check raises is shown under its name.
CHECKS: Final[dict[str, Callable[[Settings], Iterator[Finding]]]] = {
    "redis": check_ledger,
    "holds": check_holds,
    "broker": check_broker,
    "queues": check_queues,
    "decision table": check_decisions,
    "shadow table": check_shadow,
    "fleet tables": check_fleet_tables,
    "signing key": check_signing_key,
    "fleet signing keys": check_fleet_keys,
    "endpoints": check_endpoints,
    "evidence": check_evidence,
    "evidence of workers": check_evidence_faults,
    "evidence keys": check_evidence_keys,
    "fleet evidence keys": check_fleet_evidence_keys,
    "evidence log": check_evidence_log,
    "retention": check_retention,
    "erasures": check_erasures,
    "ledger": check_identity,
    "console": check_console,
    "audit log": check_audit_log,
    "vendor address": check_address,
    "way out": check_way_out,
    "vendor keys": check_keys,
    "vendor": check_vendor,
}

_COLOURS: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


@click.command
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check settings, Redis, evidence, decision table and vendor.

    Each line is ok, a warning or an error, followed by what to do about it. With --json: ok (whether there is no
    error), and checks (check, level, said, todo). The only change it makes is a probe, written and removed.
    Run it as the account that runs the workers, because it checks what that account may do.

    Exit status: 0 no error, 1 an error.
    """
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _print(finding)
    well = all(finding.level is not Level.ERROR for finding in findings)
    if as_json:
        click.echo(json.dumps({"ok": well, "checks": [asdict(finding) for finding in findings]}))
    ctx.exit(0 if well else 1)


def examine() -> Iterator[Finding]:
    """Run every check, whatever the others find."""
    try:
        settings = current()
    except ConfigError as error:
        yield from _faults("settings", error)
        yield Finding("all else", Level.WARNING, "was not checked", "fix the settings first")
        return
    yield Finding("settings", Level.OK, f"regions {', '.join(settings.regions)}")
    for line in unread_names():
        yield Finding("settings", Level.WARNING, line, "remove it, unless another program reads it")
    yield from _shadows()
    told: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            yield from check(settings)
        except EkycError as error:
            # Two checks may need the same file: its fault is one line.
            if before := told.get(str(error)):
                yield Finding(name, Level.ERROR, f"was not checked: see the fault of {before}")
                continue
            told[str(error)] = name
            yield from _faults(name, error)


def _shadows() -> Iterator[Finding]:
    """Warn about files here that stop Celery's commands. The installed `ekyc` does not import from this folder."""
    try:
        refuse_shadows(os.getcwd())  # noqa: PTH109 - as Celery does
    except ConfigError as error:
        for line in str(error).splitlines():
            said, _, todo = line.partition(": ")
            yield Finding("folder", Level.WARNING, said, f"{todo}: a worker does not start here")


def _faults(name: str, error: EkycError) -> Iterator[Finding]:
    # Our error messages already say what to do.
    for line in str(error).splitlines():
        yield Finding(name, Level.ERROR, line)


def _print(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=_COLOURS[finding.level])
    click.echo(f"{level} {finding.check:<18} {finding.said}")
    if finding.todo:
        click.echo(f"{'':<27} -> {finding.todo}")
