"""`ekyc console sessions`: end sessions of the console."""

from __future__ import annotations

import json

import click

from worker.cli.console.users import name_argument
from worker.cli.options import json_option, who_option
from worker.ledger.audit import AuditLog
from worker.ledger.connection import connect
from worker.ledger.console_sessions import ConsoleSessions
from worker.settings import current


@click.group
def sessions() -> None:
    """End sessions of the console."""


@sessions.command
@name_argument
@who_option
@json_option
def revoke(*, name: str, who: str, as_json: bool) -> None:
    """End every session of a user at once, such as when a device was lost, and stop the runs over the quarantine that
    the user has at work.

    The user can log in again: to prevent that, remove the user or change the password, which both end the sessions,
    too. A user of whom a proxy says the name has no session: end it at the proxy. With --json: name.

    Exit status: 0, also if the user had no session; 1 Redis does not answer; 2 invalid input.
    """
    with connect(current().redis_url) as redis:
        AuditLog(redis).record("sessions_revoke", who=who, via="cli", subject=name)
        ConsoleSessions(redis).end_all(name)
    click.echo(json.dumps({"name": name}) if as_json else f"every session of {name} has ended")
