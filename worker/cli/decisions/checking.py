"""`ekyc decisions check`: what is wrong with the file of a table."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from worker.cli.decisions.options import FILE, in_use
from worker.cli.options import json_option
from worker.decisions.check import Severity
from worker.decisions.check import check as check_source
from worker.decisions.endpoints import load as load_endpoints
from worker.decisions.table import Source, Table
from worker.errors import ConfigError
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from worker.decisions.check import Checked

_COLOURS: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "blue"}


@click.command
@click.argument("file", metavar="[FILE]", type=FILE, required=False)
@json_option
@click.pass_context
def check(ctx: click.Context, file: Path | None, *, as_json: bool) -> None:
    """Check the file of a decision table: FILE, or the one in use.

    Each line has the file, the line in it, what is wrong, and what to do. An error keeps workers from starting. A
    warning does not: a rule that never decides, a code that looks misspelt, a documented errorCode without a rule, a
    decision that nothing consumes. A delivery to an endpoint that EKYC_ENDPOINTS_FILE does not have is an error. A note
    is about the format. With --json: file, version (null: it has errors), ok,
    findings (severity, line, said, cure).

    Exit status: 0 nothing but notes, 1 an error or a warning, 2 the file cannot be read or is not TOML.
    """
    checked = check_source(Source.read(in_use(file)), Table.load(None), _endpoints())
    if as_json:
        click.echo(json.dumps(_as_json(checked)))
    else:
        _print(checked)
    ctx.exit(0 if checked.is_sound else 1)


def _endpoints() -> Collection[str] | None:
    """The names of the endpoints; None: the settings or their file cannot be used, which `ekyc doctor` reports."""
    with suppress(ConfigError):
        return load_endpoints(current().endpoints_file, with_secrets=False)
    return None


def _as_json(checked: Checked) -> dict[str, object]:
    return {
        "file": checked.source.name,
        "version": checked.table.version if checked.table else None,
        "ok": checked.is_sound,
        "findings": [asdict(finding) for finding in checked.findings],
    }


def _print(checked: Checked) -> None:
    for finding in checked.findings:
        severity = click.style(finding.severity, fg=_COLOURS[finding.severity])
        cure = f"; {finding.cure}" if finding.cure else ""
        click.echo(f"{checked.where(finding)}: {severity}: {finding.said}{cure}")
    if checked.is_sound and checked.table:
        rules = len(checked.table.rules)
        click.echo(f"{checked.source.name}: table {checked.table.version} with {rules} rules is fine")
